"""The page that takes the last enrolment back: what it would erase, and erasing it."""

from collections import Counter
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from visavis.errors import GalleryError
from visavis.gallery.runs import EnrolmentRun, last_run, undo_run
from visavis.serve.refusals import Refusal
from visavis.serve.service import Service, service_of
from visavis.serve.site.visits import form_of, page_of, seen_by

# Before the pages of people: /people/undo is nobody's id.
site_undo = APIRouter(prefix="/people/undo", include_in_schema=False)

MOST_SHOWN = 100  # people


class UndoForm(BaseModel, extra="forbid"):
    """The enrolment that was shown, by its first photo, and that somebody is sure."""

    first: Annotated[str, Field(min_length=1, max_length=100)]
    sure: Literal["true"]


@site_undo.get("", dependencies=[seen_by("admin")])
def show_run(request: Request) -> HTMLResponse:
    """What the last enrolment added."""
    service = service_of(request)
    run = run_of(service)
    service.note(request)
    shown = Counter(run.photos.values()).most_common(MOST_SHOWN) if run else []
    known = service.gallery.people_of(person for person, _ in shown)
    people = [(known[person], photos) for person, photos in shown if person in known]
    values = {"run": run, "people": people, "first": _first(run) if run else "", "undone": False}
    return page_of(request, "undo", values)


@site_undo.post("", dependencies=[seen_by("admin")])
async def undo_shown(
    request: Request, form: Annotated[UndoForm, form_of(UndoForm)]
) -> HTMLResponse:
    """Erase it: the one that was shown, and no other that was made since."""
    service = service_of(request)

    def work() -> None:
        run = run_of(service)
        if run is None or _first(run) != form.first:
            raise Refusal("conflict", "another enrolment is the last one by now")
        undo_run(service.gallery, run)
        service.note(request)

    await service.desk.run(work)
    return page_of(request, "undo", {"run": None, "undone": True})


def run_of(service: Service) -> EnrolmentRun | None:
    """The last enrolment of which a photo is there; None for none."""
    try:
        return last_run(service.gallery)
    except GalleryError:
        # A gallery that is damaged says so when its head is asked for.
        service.gallery.audit_head()
        return None


def _first(run: EnrolmentRun) -> str:
    return min(run.photos)
