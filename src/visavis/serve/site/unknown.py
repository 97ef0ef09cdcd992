"""The page of people whom nobody knows: to be named, enrolled or discarded."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from visavis.attendance.moments import zone_named
from visavis.serve.punching import actor_of
from visavis.serve.refusals import Refusal
from visavis.serve.rest.people import KeptText, ShortText
from visavis.serve.rest.punches import PunchNumber, Reason
from visavis.serve.rest.unknown import NameAsked, named_by
from visavis.serve.service import service_of
from visavis.serve.site.attendance import PageNumber, desktop, paged
from visavis.serve.site.dayrows import stamp
from visavis.serve.site.visits import form_of, seen_by

site_unknown = APIRouter(prefix="/attendance/unknown", include_in_schema=False)

# Which sightings were shown as one person: what came since was not seen by who decides.
NUMBERS = r"^[1-9]\d{0,15}(,[1-9]\d{0,15})*$"
ShownNumbers = Annotated[str, Field(pattern=NUMBERS, max_length=100_000)]


class NameForm(BaseModel, extra="forbid"):
    """Who it is that was shown."""

    who: ShortText
    reason: Reason
    new: bool = False
    external_id: ShortText | None = None
    consent: KeptText | None = None
    numbers: ShownNumbers


class DiscardForm(BaseModel, extra="forbid"):
    """That nobody is to be named by what was shown."""

    reason: Reason
    numbers: ShownNumbers


@site_unknown.get("", dependencies=[seen_by("viewer")])
def unknown_page(request: Request, page: PageNumber = 1) -> HTMLResponse:
    """Everybody unknown, the most often seen first."""
    desk = desktop(request)
    inbox, zone = desk.service.inbox(), zone_named(desk.attendance.rules.zone)
    inbox.relate()
    clusters, more = paged(inbox.clusters(), page)
    shown = [
        {
            "number": one.number,
            "numbers": ",".join(map(str, one.numbers)),
            "count": len(one.sightings),
            "first": stamp(one.first, zone),
            "last": stamp(one.last, zone),
            "devices": ", ".join(name or "?" for name in one.devices),
            "crop": one.best()[0].number if one.best()[0].has_crop else None,
            "like": one.closest and desk.attendance.directory.name(one.closest),
        }
        for one in clusters
    ]
    return desk.shown(
        "unknown",
        {"unknown": shown, "more": more, "consent": desk.service.gallery.requires_consent},
    )


@site_unknown.get("/{number}.png", dependencies=[seen_by("viewer")])
def unknown_crop(request: Request, number: PunchNumber) -> Response:
    """The cut-out face of a sighting, where the rules keep it."""
    desk = desktop(request)
    crop = desk.service.inbox().crop(number)
    if crop is None:
        raise Refusal("not_found", "no picture of this sighting was kept")
    return Response(crop, media_type="image/png")


@site_unknown.post("/name", dependencies=[seen_by("operator")])
async def name_shown(request: Request, form: Annotated[NameForm, form_of(NameForm)]) -> Response:
    """Say who it is; then their month."""

    def work() -> Response:
        service = service_of(request)
        asked = NameAsked(**form.model_dump(exclude={"numbers"}))
        named = named_by(service.inbox(), _numbers(form.numbers), asked, request)
        service.note(request, named.person.id)
        return RedirectResponse(f"/attendance/people/{named.person.id}", 303)

    return await service_of(request).desk.run(work)


@site_unknown.post("/discard", dependencies=[seen_by("operator")])
async def discard_shown(
    request: Request, form: Annotated[DiscardForm, form_of(DiscardForm)]
) -> Response:
    """Name nobody."""

    def work() -> Response:
        service = service_of(request)
        numbers = _numbers(form.numbers)
        service.inbox().discard(numbers, actor=actor_of(request), reason=form.reason)
        service.note(request)
        return RedirectResponse("/attendance/unknown", 303)

    return await service_of(request).desk.run(work)


def _numbers(shown: str) -> list[int]:
    return [int(number) for number in shown.split(",")]
