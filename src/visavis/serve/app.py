"""The application: its routes, its errors, its beginning and its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from visavis import __version__
from visavis.errors import VisavisError
from visavis.serve.doorman import Doorman, House, Served, log_served
from visavis.serve.figures import Figures
from visavis.serve.forms import invalid
from visavis.serve.refusals import Refusal
from visavis.serve.rest.configurations import configurations
from visavis.serve.rest.days import days
from visavis.serve.rest.groups import groups
from visavis.serve.rest.imports import imports
from visavis.serve.rest.negatives import negatives
from visavis.serve.rest.objections import objections
from visavis.serve.rest.people import people
from visavis.serve.rest.photos import photos
from visavis.serve.rest.punches import punches
from visavis.serve.rest.system import system
from visavis.serve.rest.unknown import unknowns
from visavis.serve.rest.webhooks import webhooks
from visavis.serve.service import Service, error_response
from visavis.serve.site.attendance import site_attendance
from visavis.serve.site.cameras import site_cameras
from visavis.serve.site.correcting import site_correcting
from visavis.serve.site.identify import site_identify
from visavis.serve.site.imports import site_imports
from visavis.serve.site.kiosk import site_kiosk
from visavis.serve.site.live import site_live
from visavis.serve.site.login import login
from visavis.serve.site.looking import site_looking
from visavis.serve.site.mine import site_mine
from visavis.serve.site.models import site_models
from visavis.serve.site.negatives import site_negatives
from visavis.serve.site.outside import site_outside
from visavis.serve.site.people import site_people
from visavis.serve.site.settings import site_settings
from visavis.serve.site.undo import site_undo
from visavis.serve.site.unknown import site_unknown
from visavis.serve.site.verify import page
from visavis.serve.site.visits import SignInFirst, error_page, to_login
from visavis.serve.terminals import terminals
from visavis.serve.who.access import needs

ABOUT = """Face recognition that states its error rate. Photos are sent as multipart forms, and are
forgotten when the answer is given. Every error is one envelope: code, message, mend, request_id."""
ROUTERS = (
    page,
    system,
    photos,
    people,
    negatives,
    groups,
    imports,
    configurations,
    webhooks,
    punches,
    days,
    objections,
    unknowns,
    terminals,
    site_kiosk,
    site_mine,
)
# What is seen by whoever signed in.
SITE = (
    login,
    site_outside,
    site_imports,
    site_undo,
    site_looking,
    site_people,
    site_negatives,
    site_identify,
    site_live,
    site_cameras,
    site_models,
    site_settings,
    site_attendance,
    site_correcting,
    site_unknown,
)
# What Starlette refuses by itself: its statuses, and our codes.
OF_STARLETTE = {400: "bad_request", 404: "not_found", 405: "not_allowed"}


def make_app(service: Service) -> FastAPI:
    """The application around a service, which it closes at its end."""

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.warm_up)
        yield
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="visavis",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,  # a route of its own, which asks who may
        lifespan=living,
    )
    app.state.service = service
    for router in (*ROUTERS, *SITE):
        app.include_router(router)
    app.add_api_route("/v1/openapi.json", _openapi, dependencies=[needs("guest")])
    app.add_exception_handler(VisavisError, _refuse)
    app.add_exception_handler(SignInFirst, to_login)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    _count(app, service)
    return app


def _count(app: FastAPI, service: Service) -> None:
    """Count and log every request, and show the figures."""
    figures = Figures(service)

    def note(served: Served) -> None:
        figures.count(served)
        log_served(served)

    def shown() -> Response:
        """Figures of the running service, for Prometheus."""
        return Response(figures.text(), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route(
        "/metrics", shown, dependencies=[needs("guest")], response_class=PlainTextResponse
    )
    outside = service.asked.outside
    house = House(
        service.is_meant,
        outside.proxy if outside else None,
        service.desk.place,
        _refused_at_the_door,
        note,
    )
    app.add_middleware(Doorman, house=house)


async def _openapi(request: Request) -> JSONResponse:
    """This description, as OpenAPI has it."""
    app: FastAPI = request.app
    return JSONResponse(app.openapi())


def _refused_at_the_door(request: Request, refused: Refusal) -> Response:
    """The refusal as whoever asks can read it: what is not of /v1 is asked for by a page."""
    if request.url.path.startswith("/v1/"):
        return error_response(request, refused)
    return error_page(request, refused)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, VisavisError)
    if getattr(request.state, "page", False):
        return error_page(request, error)
    return error_response(request, error)


async def _refuse_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = OF_STARLETTE.get(error.status_code, "bad_request")
    return error_response(request, Refusal(code, str(error.detail), headers=error.headers))


async def _refuse_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return error_response(request, invalid(error.errors()))
