"""The page about models: which decides, what is installed, the gallery's configurations."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from visavis.answers.words import policies_words
from visavis.errors import VisavisError
from visavis.gallery.configurations import read_history
from visavis.pack import installed_packs
from visavis.serve.active import ActiveModels
from visavis.serve.service import Service, service_of
from visavis.serve.site.visits import form_of, page_of, seen_by

site_models = APIRouter(prefix="/models", include_in_schema=False)


class SwitchForm(BaseModel, extra="forbid"):
    """The version that is to decide."""

    version: Annotated[int, Field(ge=1, le=1_000_000)]


class BackForm(BaseModel, extra="forbid"):
    """That the version before is to decide."""


@site_models.get("", dependencies=[seen_by("viewer")])
def show_models(request: Request) -> HTMLResponse:
    """Models, licences, error rates, configurations."""
    service = service_of(request)
    history = read_history(service.gallery)
    return page_of(
        request,
        "models",
        {
            **_deciding(service),
            "packs": {name: pack.manifest for name, pack in installed_packs().items()},
            "history": history,
            "active": history.activated[-1] if history.activated else None,
        },
    )


@site_models.post("/activate", dependencies=[seen_by("admin")])
async def switch_model(
    request: Request, form: Annotated[SwitchForm, form_of(SwitchForm)]
) -> Response:
    """Let another version decide."""
    return await _changed(request, lambda models: models.activate(form.version))


@site_models.post("/rollback", dependencies=[seen_by("admin")])
async def roll_model_back(
    request: Request, form: Annotated[BackForm, form_of(BackForm)]
) -> Response:
    """Let the version decide that did before."""
    return await _changed(request, lambda models: models.roll_back())


def _deciding(service: Service) -> dict[str, Any]:
    """What decides now; or why nothing does, so that an admin can roll back."""
    try:
        recognizer = service.recognizer
    except VisavisError as error:
        return {"fault": f"{error.what}: {error.mend}", "model": "", "pack": "", "policies": {}}
    return {
        "fault": "",
        "model": recognizer.embed.model,
        "pack": service.pack_of(recognizer),
        "policies": policies_words(recognizer.calibration),
    }


async def _changed(request: Request, change: Callable[[ActiveModels], object]) -> Response:
    service = service_of(request)

    def work() -> None:
        change(service.models)
        service.note(request)

    await service.desk.run(work)
    return RedirectResponse("/models", 303)
