"""The page for two photos: one request, the verdict in words, nothing stored."""

from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from visavis.errors import VisavisError
from visavis.serve.forms import checked
from visavis.serve.refusals import Refusal, status_of
from visavis.serve.rest.photos import VERIFY, VerifyForm
from visavis.serve.service import Service, service_of
from visavis.serve.site.verdict import PageResult, shown_error, shown_verdict
from visavis.serve.site.visits import MENU, PAGES, visitor
from visavis.serve.site.wording import LANGUAGES, language_of, texts_of
from visavis.serve.who.access import HAS_ROOM, needs

page = APIRouter(include_in_schema=False)

FILES = {
    "verify.css": "text/css",
    "verify.js": "text/javascript",
    "site.css": "text/css",
    "site.js": "text/javascript",
    "live.js": "text/javascript",
    "attendance.css": "text/css",
    "kiosk.css": "text/css",
    "kiosk.js": "text/javascript",
}
Wished = Annotated[str | None, Query(alias="lang", max_length=10)]


@page.get("/", dependencies=[visitor()])
async def show_page(request: Request, wished: Wished = None) -> HTMLResponse:
    """The page, without a result."""
    return _rendered(request, wished, None)


@page.post("/", dependencies=[HAS_ROOM, visitor()])
async def show_verdict(request: Request, wished: Wished = None) -> HTMLResponse:
    """The page with the result of its two photos, or with why there is none."""
    service = service_of(request)
    texts = texts_of(_language(request, wished))
    try:
        fields = await VERIFY.fields(request)
        # A browser sends an empty field for what was left out.
        form = checked(VerifyForm, [(name, value) for name, value in fields if value])
        shown = await service.desk.run(lambda: _compared(service, form, texts))
    except VisavisError as error:
        headers = error.headers if isinstance(error, Refusal) else {}
        shown, status = shown_error(error, texts), status_of(error)
        return _rendered(request, wished, shown, status=status, headers=headers)
    return _rendered(request, wished, shown)


@page.get("/pages/{name}", dependencies=[needs("open")])
async def show_file(name: str) -> Response:
    """The page's style and script."""
    if name not in FILES:
        raise Refusal("not_found", "there is no such file")
    text = (files("visavis.serve.site") / "pages" / name).read_text(encoding="utf-8")
    return Response(text, media_type=FILES[name])


def _compared(service: Service, form: VerifyForm, texts: Any) -> PageResult:
    return shown_verdict(form.compared(service), texts)


def _language(request: Request, wished: str | None) -> str:
    return language_of(wished, request.headers.get("accept-language", ""))


def _rendered(
    request: Request,
    wished: str | None,
    shown: PageResult | None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> HTMLResponse:
    language = _language(request, wished)
    names = [(code, texts_of(code)["name"]) for code in LANGUAGES]
    text = PAGES.get_template("verify.html").render(
        language=language,
        languages=names,
        t=texts_of(language),
        shown=shown,
        menu=MENU,
        page="verify",
    )
    return HTMLResponse(text, status, headers=headers)
