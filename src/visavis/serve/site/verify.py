"""The page for two photos: one request, the verdict in words, nothing stored."""

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from visavis.errors import VisavisError
from visavis.serve.forms import checked
from visavis.serve.refusals import Refusal, status_of
from visavis.serve.rest.photos import VERIFY, VerifyForm
from visavis.serve.service import Service, service_of
from visavis.serve.site.verdict import PageResult, shown_error, shown_verdict
from visavis.serve.site.visits import page_language, page_of, visitor
from visavis.serve.site.wording import texts_of
from visavis.serve.who.access import needs

page = APIRouter(include_in_schema=False)

FILES = {
    "verify.css": "text/css",
    "site.css": "text/css",
    "site.js": "text/javascript",
    "live.js": "text/javascript",
    "attendance.css": "text/css",
    "cameras.js": "text/javascript",
    "kiosk.css": "text/css",
    "kiosk.js": "text/javascript",
}


@page.get("/", dependencies=[visitor()])
async def show_page(request: Request) -> HTMLResponse:
    """The page, without a result."""
    return _rendered(request, None)


@page.post("/", dependencies=[visitor()])
async def show_verdict(request: Request) -> HTMLResponse:
    """The page with the result of its two photos, or with why there is none."""
    service = service_of(request)
    texts = texts_of(page_language(request))
    try:
        fields = await VERIFY.fields(request)
        # A browser sends an empty field for what was left out.
        form = checked(VerifyForm, [(name, value) for name, value in fields if value])
        shown = await service.desk.run(lambda: _compared(service, form, texts))
    except VisavisError as error:
        return _rendered(request, shown_error(error, texts), error)
    return _rendered(request, shown)


@page.get("/pages/{name}", dependencies=[needs("open")])
async def show_file(name: str) -> Response:
    """The page's style and script."""
    if name not in FILES:
        raise Refusal("not_found", "there is no such file")
    text = (files("visavis.serve.site") / "pages" / name).read_text(encoding="utf-8")
    return Response(text, media_type=FILES[name])


def _compared(service: Service, form: VerifyForm, texts: Any) -> PageResult:
    return shown_verdict(form.compared(service), texts)


def _rendered(
    request: Request, shown: PageResult | None, error: VisavisError | None = None
) -> HTMLResponse:
    answer = page_of(request, "verify", {"shown": shown}, status=status_of(error) if error else 200)
    if isinstance(error, Refusal):
        answer.headers.update(error.headers)
    return answer
