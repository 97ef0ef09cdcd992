"""Routes about the gallery's configurations: which models decide, from the next request on."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse

from visavis.answers.configurations import activated_json, history_json, shown_json
from visavis.configuration import Configuration
from visavis.errors import ConfigurationError
from visavis.gallery.configurations import read_history, stale_photos
from visavis.serve.once import WriteAnswer
from visavis.serve.refusals import Refusal
from visavis.serve.rest.kept import ActivatedShape, ConfigurationShownShape, ConfigurationsShape
from visavis.serve.rest.routes import told
from visavis.serve.service import Service, service_of, write_once
from visavis.serve.who.access import needs

configurations = APIRouter(prefix="/v1", tags=["configurations"])

VersionField = Annotated[int, Path(ge=1, le=1_000_000)]


@configurations.get(
    "/configurations", dependencies=[needs("viewer")], responses={**told(ConfigurationsShape)}
)
def list_configurations(request: Request) -> JSONResponse:
    """Every version, and the one that decides."""
    return JSONResponse(history_json(read_history(service_of(request).gallery)))


@configurations.get(
    "/configurations/{version}",
    dependencies=[needs("viewer")],
    responses={**told(ConfigurationShownShape, "not_found", "invalid")},
)
def show_configuration(request: Request, version: VersionField) -> JSONResponse:
    """One version: its members with weights beside slopes, its rules."""
    gallery = service_of(request).gallery
    history = read_history(gallery)
    try:
        one = history.version(version)
    except ConfigurationError as error:
        raise Refusal("not_found", error.what) from error
    shown = shown_json(
        one, one.states(), one.calibration(gallery.kept), active=one == history.active
    )
    return JSONResponse(shown)


@configurations.post(
    "/configurations/{version}:activate",
    dependencies=[needs("admin")],
    responses={**told(ActivatedShape, "not_found", "conflict", "invalid")},
)
def activate_configuration(request: Request, version: VersionField) -> JSONResponse:
    """Let a version decide from the next request on. Its models are loaded first: where they
    cannot be, nothing changes. Says how many photos have no template of its models.
    """
    return _switched(request, lambda service: service.models.activate(version))


@configurations.post(
    "/configurations:rollback",
    dependencies=[needs("admin")],
    responses={**told(ActivatedShape, "conflict", "invalid")},
)
def roll_back_configuration(request: Request) -> JSONResponse:
    """Let the version decide that did before the active one."""
    return _switched(request, lambda service: service.models.roll_back())


def _switched(request: Request, switch: Callable[[Service], Configuration]) -> JSONResponse:
    service = service_of(request)

    def work() -> WriteAnswer:
        configuration = switch(service)
        stale = stale_photos(service.gallery, configuration)
        document: dict[str, Any] = activated_json(configuration, stale)
        return WriteAnswer(document)

    return write_once(request, None, work)
