"""Who visits a page, in which language, and the page they get."""

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
from visavis.serve.who.access import FOREIGN, Caller, Needed
from visavis.serve.who.outside import OutsideAccount, OutsideSettings, account_of
from visavis.serve.who.sessions import LONGEST, AccountKind, Session

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
    ("attendance", "/attendance", "viewer"),
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
    outside = connection.app.state.service.asked.outside
    behind = outside is not None and outside.url.startswith("https:")
    secure = behind or connection.url.scheme in ("https", "wss")
    return "__Host-visavis" if secure else "visavis_session"


def session_of(connection: HTTPConnection) -> Session | None:
    """The session of whoever asks, if they are signed in."""
    service: Service = connection.app.state.service
    text = connection.cookies.get(cookie_name(connection))
    return service.sessions.of_text(text) if text else None


def named_by_proxy(connection: HTTPConnection) -> OutsideAccount | None:
    """Whom the proxy names. The doorman let its headers through from nobody else."""
    outside: OutsideSettings | None = connection.app.state.service.asked.outside
    if outside is None or outside.proxy is None:
        return None
    proxy, headers = outside.proxy, connection.headers
    users, groups = headers.getlist(proxy.user), headers.getlist(proxy.groups)
    if len(users) != 1 or not users[0] or len(groups) > 1:
        return None  # a proxy that adds its header to somebody else's
    among = [one.strip() for one in "".join(groups).split(proxy.separator)]
    return account_of("proxy", users[0], users[0], among, proxy.scopes)


def caller_in(connection: HTTPConnection, session: Session) -> Caller | None:
    """Who is behind a session, as they are now; None where they were removed or revoked."""
    service: Service = connection.app.state.service
    if session.kind == "proxy":
        named = named_by_proxy(connection)
        return Caller(None, named) if named and named.id == session.account else None
    if session.kind == "oidc":
        return Caller(None, session.outside)
    if session.kind == "user":
        users = [one for one in service.users.all() if one.id == session.account]
        return Caller(None, users[0]) if users else None
    keys = [one for one in service.keys.all() if one.id == session.account]
    return Caller(keys[0]) if keys else None


def is_foreign(connection: HTTPConnection) -> bool:
    """Whether a browser says that a page of another origin sends this."""
    headers = connection.headers
    origin = headers.get("origin")
    outside = connection.app.state.service.asked.outside
    own = (headers.get("host"), outside and outside.host)
    elsewhere = origin is not None and urlsplit(origin).netloc not in own
    return elsewhere or headers.get("sec-fetch-site") in FOREIGN


def admitted(connection: HTTPConnection, needed: Needed) -> Caller:
    """Who is signed in. Raises SignInFirst, and Refusal for too small a scope, and 429."""
    service: Service = connection.app.state.service
    session = session_of(connection)
    caller = caller_in(connection, session) if session else None
    if session is None or caller is None:
        raise SignInFirst
    service.guard.count(caller)
    if not caller.may(needed):
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


def form_of(model: type[M], *, photos: int = 0, archive: bool = False) -> Any:
    """A form of a page, as its model: refused where it is not of this session's pages."""
    reader = Multipart(model, photos=photos, archive=archive)

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


def entered(
    request: Request, kind: AccountKind, account: OutsideAccount, after: str
) -> HTMLResponse:
    """A session for somebody who signed in elsewhere, as a page that leads on by itself: after a
    redirect that began elsewhere the browser would not send the new cookie.
    """
    service: Service = request.app.state.service
    name = cookie_name(request)
    service.sessions.end(request.cookies.get(name, ""))
    answer = page_of(request, "entered", {"next": after})
    begin_session(request, answer, service.sessions.begin(kind, account.id, account))
    return answer


def begin_session(request: Request, answer: Response, text: str) -> None:
    """Give the browser the cookie of a session."""
    name = cookie_name(request)
    secure = name.startswith("__Host")
    answer.set_cookie(
        name, text, max_age=int(LONGEST), httponly=True, samesite="strict", secure=secure
    )


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
    caller: Caller = getattr(request.state, "caller", None) or Caller(None)
    session: Session | None = getattr(request.state, "session", None)
    text = PAGES.get_template(f"{page}.html").render(
        t=texts_of(code),
        language=code,
        languages=[(one, texts_of(one)["name"]) for one in LANGUAGES],
        page=page,
        menu=_menu(request, caller),
        may=caller.may,
        csrf=session.csrf if session else "",
        who=caller.title,
        **(values or {}),
    )
    answer = HTMLResponse(text, status)
    if request.query_params.get("lang") in LANGUAGES:
        answer.set_cookie(LANGUAGE, code, max_age=YEAR, httponly=True, samesite="strict")
    return answer


def _menu(request: Request, caller: Caller) -> list[tuple[str, str, Needed]]:
    """The pages that somebody may see; that of cameras where one is watched."""
    watched = bool(request.app.state.service.cameras.views)
    return [one for one in MENU if caller.may(one[2]) and (watched or one[0] != "cameras")]


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
