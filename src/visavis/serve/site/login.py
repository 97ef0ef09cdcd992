"""Signing in and out. Signing in always begins a new session: nobody can choose its cookie."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from visavis.gallery.people import normal_name
from visavis.serve.forms import Multipart
from visavis.serve.refusals import Refusal
from visavis.serve.service import Service, service_of
from visavis.serve.site.visits import (
    begin_session,
    cookie_name,
    entered,
    form_of,
    is_foreign,
    named_by_proxy,
    page_language,
    page_of,
    seen_by,
)
from visavis.serve.site.wording import texts_of
from visavis.serve.who.sessions import AccountKind
from visavis.serve.who.users import MOST

login = APIRouter(include_in_schema=False)


class LoginForm(BaseModel, extra="forbid"):
    """A user's name and password; or a key, without a name."""

    name: str = Field("", max_length=200)
    password: str = Field(min_length=1, max_length=MOST)
    next: str = Field("/", max_length=2000)


class EmptyForm(BaseModel, extra="forbid"):
    """A form that is a button."""


LOGIN = Multipart(LoginForm, photos=0)


@login.get("/login")
def show_login(
    request: Request, after: Annotated[str, Query(alias="next", max_length=2000)] = "/"
) -> Response:
    """The login."""
    named = named_by_proxy(request)
    if named is not None:
        return entered(request, "proxy", named, local_path(after))
    return page_of(request, "login", _values(request, after, ""))


@login.post("/login")
async def sign_in(request: Request) -> Response:
    """Begin a session for whoever has a password or a key."""
    request.state.page = True
    if is_foreign(request):
        raise Refusal("forbidden", "the form is of another page")
    form = await LOGIN(request)
    service = service_of(request)
    address = request.client.host if request.client else ""
    service.guard.count_login(address)
    try:
        account = await service.desk.run(lambda: _account(service, form))
    except Refusal as refused:
        return _refused(request, form, refused)
    service.sessions.end(request.cookies.get(cookie_name(request), ""))
    answer = RedirectResponse(local_path(form.next), 303)
    begin_session(request, answer, service.sessions.begin(*account))
    return answer


@login.post("/logout", dependencies=[seen_by("viewer")])
async def sign_out(request: Request, form: Annotated[EmptyForm, form_of(EmptyForm)]) -> Response:
    """End the session, here and in the browser."""
    name = cookie_name(request)
    service_of(request).sessions.end(request.cookies.get(name, ""))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(name, httponly=True, samesite="strict", secure=name.startswith("__Host"))
    return answer


def local_path(path: str) -> str:
    """Where to go afterwards: a page of this service, and nowhere else."""
    plain = path.isascii() and path.isprintable() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"


def _account(service: Service, form: LoginForm) -> tuple[AccountKind, str]:
    """Whose name and password, or whose key, these are. Raises Refusal: 401, 429."""
    if not form.name:
        key = service.keys.of_text(form.password)
        if key is not None and key.scope != "kiosk":  # it opens no page
            return "key", key.id
        raise Refusal("unauthorized", "this is no key, or it was revoked")
    name = normal_name(form.name)
    service.lockout.take(name)
    user = service.users.of_password(name, form.password)
    if user is None:
        raise Refusal("unauthorized", "wrong name or password")
    service.lockout.passed(name)
    return "user", user.id


def _values(request: Request, after: str, fault: str) -> dict[str, object]:
    elsewhere = service_of(request).oidc is not None
    return {"next": local_path(after), "fault": fault, "elsewhere": elsewhere}


def _refused(request: Request, form: LoginForm, refused: Refusal) -> Response:
    texts = texts_of(page_language(request))["site"]["login"]
    values = _values(request, form.next, texts[refused.code])
    answer = page_of(request, "login", values, status=refused.status)
    answer.headers.update(refused.headers)
    return answer
