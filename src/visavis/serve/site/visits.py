"""Who visits a page, in which language, and the page they get: for everything but Verify."""

from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from visavis.errors import VisavisError
from visavis.serve.forms import Multipart, checked
from visavis.serve.refusals import OURS, Refusal, status_of
from visavis.serve.service import Service
from visavis.serve.site.wording import LANGUAGES, language_of, texts_of
from visavis.serve.who.access import FOREIGN, Caller, Needed, rank_of
from visavis.serve.who.sessions import Session

M = TypeVar("M", bound=BaseModel)
Values = dict[str, Any]

PAGES = Environment(
    loader=PackageLoader("visavis.serve.site", "pages"), autoescape=True, undefined=StrictUndefined
)
# The menu: page, its address, the least scope.
MENU: tuple[tuple[str, str, Needed], ...] = (
    ("verify", "/", "guest"),
    ("people", "/people", "viewer"),
    ("identify", "/identify", "viewer"),
    ("live", "/live", "viewer"),
    ("cameras", "/cameras", "viewer"),
    ("models", "/models", "viewer"),
    ("settings", "/settings", "admin"),
)
LANGUAGE = "visavis_language"  # the cookie of a chosen language
YEAR = 365 * 24 * 3600


class SignInFirst(Exception):
    """A page that asks for somebody who signed in."""


def cookie_name(connection: HTTPConnection) -> str:
    """A session's cookie; under TLS one that no other host and no plain page can set."""
    secure = connection.url.scheme in ("https", "wss")
    return "__Host-visavis" if secure else "visavis_session"


def session_of(connection: HTTPConnection) -> Session | None:
    """The session of whoever asks, if they are signed in."""
    service: Service = connection.app.state.service
    text = connection.cookies.get(cookie_name(connection))
    return service.sessions.of_text(text) if text else None


def caller_in(service: Service, session: Session) -> Caller | None:
    """Who is behind a session, as they are now; None where they were removed or revoked."""
    if session.kind == "user":
        users = [one for one in service.users.all() if one.id == session.account]
        return Caller(None, users[0]) if users else None
    keys = [one for one in service.keys.all() if one.id == session.account]
    return Caller(keys[0]) if keys else None


def is_foreign(connection: HTTPConnection) -> bool:
    """Whether a browser says that a page of another origin sends this."""
    headers = connection.headers
    origin = headers.get("origin")
    elsewhere = origin is not None and urlsplit(origin).netloc != headers.get("host")
    return elsewhere or headers.get("sec-fetch-site") in FOREIGN


def admitted(connection: HTTPConnection, needed: Needed) -> Caller:
    """Who is signed in. Raises SignInFirst, and Refusal for too small a scope, and 429."""
    service: Service = connection.app.state.service
    session = session_of(connection)
    caller = caller_in(service, session) if session else None
    if session is None or caller is None:
        raise SignInFirst
    service.guard.count(caller)
    if rank_of(caller) < rank_of(needed):
        what = f"this page is for the scope {needed}"
        raise Refusal("forbidden", what, mend="ask an admin for it")
    connection.state.session = session
    return caller


def seen_by(needed: Needed) -> Any:
    """What a page depends on: that whoever is signed in may see it."""

    def admit(request: Request) -> None:
        request.state.page = True
        request.state.caller = admitted(request, needed)

    return Depends(admit)


def visitor() -> Any:
    """What Verify depends on: a guest, a key, or somebody who signed in; others sign in first."""

    def admit(request: Request) -> None:
        service: Service = request.app.state.service
        session = session_of(request)
        if session is not None:
            request.state.caller = admitted(request, "guest")
            return
        try:
            request.state.caller = service.guard.admit(request, "guest")
        except Refusal as refused:
            if refused.code == "unauthorized" and "text/html" in request.headers.get("accept", ""):
                raise SignInFirst from refused
            raise

    return Depends(admit)


def form_of(model: type[M], *, photos: int = 0) -> Any:
    """A form of a page, as its model: refused where it is not of this session's pages."""
    reader = Multipart(model, photos=photos)

    async def read(request: Request) -> M:
        if is_foreign(request):
            raise Refusal("forbidden", "the form is of another page")
        fields = await reader.fields(request)
        session: Session = request.state.session
        session.check(dict(fields).get("csrf"))
        # A browser sends an empty field for what was left out.
        given = [(name, value) for name, value in fields if name != "csrf" and value]
        return checked(model, given)

    return Depends(read)


def page_language(request: HTTPConnection) -> str:
    """The page's language: asked for, chosen before, or the browser's."""
    asked = request.query_params.get("lang")
    wished = request.cookies.get(LANGUAGE) if asked not in LANGUAGES else asked
    return language_of(wished, request.headers.get("accept-language", ""))


def page_of(
    request: Request, page: str, values: Values | None = None, *, status: int = 200
) -> HTMLResponse:
    """A page, by the name of its template."""
    code = page_language(request)
    caller: Caller | None = getattr(request.state, "caller", None)
    session: Session | None = getattr(request.state, "session", None)
    rank = rank_of(caller) if caller else rank_of("guest")
    text = PAGES.get_template(f"{page}.html").render(
        t=texts_of(code),
        language=code,
        languages=[(one, texts_of(one)["name"]) for one in LANGUAGES],
        page=page,
        menu=_menu(request, rank),
        may=lambda needed: rank >= rank_of(needed),
        csrf=session.csrf if session else "",
        who=caller.title if caller else "",
        **(values or {}),
    )
    answer = HTMLResponse(text, status)
    if request.query_params.get("lang") in LANGUAGES:
        answer.set_cookie(LANGUAGE, code, max_age=YEAR, httponly=True, samesite="strict")
    return answer


def _menu(request: Request, rank: int) -> list[tuple[str, str, Needed]]:
    """The pages that somebody may see; that of cameras where one is watched."""
    watched = bool(request.app.state.service.cameras.views)
    return [one for one in MENU if rank >= rank_of(one[2]) and (watched or one[0] != "cameras")]


def error_page(request: Request, error: VisavisError) -> HTMLResponse:
    """Why it did not work, as a page; what is the service's own fault shows no details."""
    texts = texts_of(page_language(request))
    status = status_of(error)
    said = {"what": error.what, "mend": error.mend}
    if status >= OURS and not isinstance(error, Refusal):
        said = {"what": texts["errors"]["other"], "mend": ""}
    answer = page_of(request, "error", said, status=status)
    if isinstance(error, Refusal):
        answer.headers.update(error.headers)
    return answer


def to_login(request: Request, _: Exception) -> Response:
    """Lead somebody to the login, and back to the page afterwards."""
    back = request.url.path if request.method == "GET" else "/"
    return RedirectResponse(f"/login?next={quote(back)}", 303)
