"""The pages that change attendance: a punch by hand or corrected, a day ruled, a period locked."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, Field

from visavis.attendance.changes import preview_correction
from visavis.attendance.corrections import Claim, Correction
from visavis.attendance.days import Status
from visavis.attendance.moments import read_moment, zone_named
from visavis.attendance.objections import settle
from visavis.attendance.punches import Reporter, Sighting
from visavis.attendance.rules import Direction
from visavis.serve.punching import actor_of
from visavis.serve.refusals import Refusal
from visavis.serve.rest.dayshapes import CalendarDay
from visavis.serve.rest.punches import LockChange, PunchNumber, Reason, TimeText
from visavis.serve.service import service_of
from visavis.serve.site.attendance import Desktop, desktop, timesheet
from visavis.serve.site.visits import form_of, seen_by
from visavis.serve.who.links import MOST_DAYS_OF_LINK, OwnLinks

site_correcting = APIRouter(prefix="/attendance", include_in_schema=False)


class CorrectionForm(BaseModel, extra="forbid"):
    """What a punch should have said; first as a preview, then for good."""

    reason: Annotated[str, Field(max_length=1000)] = ""
    at: TimeText | None = None
    direction: Direction | None = None
    void: bool = False
    step: Literal["preview", "apply"] = "preview"


class OwnPunchForm(BaseModel, extra="forbid"):
    """A punch by hand, of the person whose page it is."""

    at: TimeText
    reason: Reason
    direction: Direction | None = None


class RulingForm(BaseModel, extra="forbid"):
    """What a day of the person whose page it is was."""

    day: CalendarDay
    status: Literal["present", "half", "absent", "holiday", "leave", "off", "as-punched"]
    reason: Reason


class LinkForm(BaseModel, extra="forbid"):
    """How long a link to somebody's own page is valid; or that all of theirs are revoked."""

    days: Annotated[int, Field(ge=1, le=MOST_DAYS_OF_LINK)] = 30
    revoke: bool = False


class SettleForm(BaseModel, extra="forbid"):
    """The answer to an objection."""

    reason: Reason


@site_correcting.get("/punches/{number}", dependencies=[seen_by("operator")])
def show_punch(request: Request, number: PunchNumber, made: int = 0) -> HTMLResponse:
    """A punch, and the form that corrects it."""
    return _punch(desktop(request), number, CorrectionForm(), made=made)


@site_correcting.post("/punches/{number}", dependencies=[seen_by("operator")])
async def correct_it(
    request: Request,
    number: PunchNumber,
    form: Annotated[CorrectionForm, form_of(CorrectionForm)],
) -> Response:
    """What a correction would make of the days; or, by the second button, the correction."""
    if form.void == bool(form.at or form.direction):
        raise Refusal("invalid", "expected another time or direction, or that it does not count")

    def work() -> Response:
        desk = desktop(request)
        if form.step == "preview":
            return _punch(desk, number, form, previewed=True)
        made = _corrected(desk, number, form)
        return RedirectResponse(f"/attendance/punches/{number}?made={made.number}", 303)

    return await service_of(request).desk.run(work)


@site_correcting.post("/people/{person}/punches", dependencies=[seen_by("operator")])
async def punch_for(
    request: Request, person: str, form: Annotated[OwnPunchForm, form_of(OwnPunchForm)]
) -> Response:
    """Punch for somebody by hand, with the reason."""

    def work() -> Response:
        known = service_of(request).person(person)
        desk = desktop(request, person=known.id)
        at = read_moment(form.at, zone_named(desk.attendance.rules.zone))
        sighting = Sighting(
            known.id,
            at,
            direction=form.direction,
            source=Reporter.HAND,
            actor=actor_of(request),
            reason=form.reason,
        )
        desk.attendance.record(sighting)
        return RedirectResponse(f"/attendance/people/{known.id}?month={at:%Y-%m}", 303)

    return await service_of(request).desk.run(work)


@site_correcting.post("/people/{person}/rulings", dependencies=[seen_by("operator")])
async def rule_for(
    request: Request, person: str, form: Annotated[RulingForm, form_of(RulingForm)]
) -> Response:
    """Say what somebody's day was."""

    def work() -> Response:
        known = service_of(request).person(person)
        desk = desktop(request, person=known.id)
        status = None if form.status == "as-punched" else Status(form.status)
        desk.attendance.rule(
            known.id, form.day, status, actor=actor_of(request), reason=form.reason
        )
        return RedirectResponse(f"/attendance/people/{known.id}?month={form.day:%Y-%m}", 303)

    return await service_of(request).desk.run(work)


@site_correcting.post("/people/{person}/links", dependencies=[seen_by("operator")])
async def make_link(
    request: Request, person: str, form: Annotated[LinkForm, form_of(LinkForm)]
) -> Response:
    """A link to somebody's own page, shown this once; or none of theirs opens anything."""

    def work() -> Response:
        service = service_of(request)
        known = service.person(person)
        service.note(request, known.id)
        links = OwnLinks(service.gallery)
        if form.revoke:
            links.revoke(known.id)
            return RedirectResponse(f"/attendance/people/{known.id}", 303)
        made = f"{request.base_url}mine/{links.make(known.id, form.days)}"
        return timesheet(request, known, "", made)

    return await service_of(request).desk.run(work)


@site_correcting.post("/objections/{number}", dependencies=[seen_by("operator")])
async def settle_it(
    request: Request, number: PunchNumber, form: Annotated[SettleForm, form_of(SettleForm)]
) -> Response:
    """Answer an objection."""

    def work() -> Response:
        settled = settle(
            desktop(request).attendance, number, actor=actor_of(request), reason=form.reason
        )
        return RedirectResponse(f"/attendance/exceptions?month={settled.day:%Y-%m}", 303)

    return await service_of(request).desk.run(work)


@site_correcting.post("/locks", dependencies=[seen_by("admin")])
async def lock_it(request: Request, form: Annotated[LockChange, form_of(LockChange)]) -> Response:
    """Lock a period, or open it."""

    def work() -> Response:
        desktop(request).attendance.lock(
            form.since,
            form.until,
            actor=actor_of(request),
            reason=form.reason,
            locked=form.locked,
        )
        return RedirectResponse("/attendance/locks", 303)

    return await service_of(request).desk.run(work)


def _wished(desk: Desktop, number: int, form: CorrectionForm) -> Claim | None:
    """What a punch would say by this form."""
    if form.void:
        return None
    punch = desk.attendance.punch(number)
    told = preview_correction(desk.attendance, number, None).told
    told = told or Claim(punch.at, punch.direction)
    at = read_moment(form.at, zone_named(punch.zone)) if form.at else told.at
    return Claim(at, form.direction or told.direction)


def _corrected(desk: Desktop, number: int, form: CorrectionForm) -> Correction:
    actor = actor_of(desk.request)
    if form.void:
        return desk.attendance.void(number, actor=actor, reason=form.reason)
    zone = zone_named(desk.attendance.punch(number).zone)
    at = read_moment(form.at, zone) if form.at else None
    return desk.attendance.move(
        number, actor=actor, reason=form.reason, at=at, direction=form.direction
    )


def _punch(
    desk: Desktop,
    number: int,
    form: CorrectionForm,
    *,
    made: int = 0,
    previewed: bool = False,
) -> HTMLResponse:
    wished = _wished(desk, number, form) if previewed else None
    preview = preview_correction(desk.attendance, number, wished)
    punch, zone = preview.punch, zone_named(preview.punch.zone)
    values = {
        "punch": punch,
        "name": desk.attendance.directory.name(punch.person),
        "month": f"{punch.at.astimezone(zone):%Y-%m}",
        "came": desk.rows.claim(Claim(punch.at, punch.direction), zone),
        "counts": desk.rows.claim(preview.told, zone),
        "wished": desk.rows.claim(wished, zone),
        "before": [row for before, _ in preview.days for row in desk.rows.days(before)],
        "after": [row for _, after in preview.days for row in desk.rows.days(after)],
        "form": form,
        "previewed": previewed,
        "made": made,
    }
    return desk.shown("punch", values)
