"""Routes that write attendance: punches by photo and by hand, corrections, rulings, locks."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.answers.attendance import correction_json, lock_json, recorded_json, ruling_json
from visavis.attendance.attendance import Attendance
from visavis.attendance.days import Status
from visavis.attendance.moments import read_moment, zone_named
from visavis.attendance.punches import Fate, Reporter, Sighting
from visavis.attendance.rules import Direction, Rules
from visavis.serve.forms import Multipart, PhotoField
from visavis.serve.once import WriteAnswer
from visavis.serve.punching import (
    PunchPlace,
    actor_of,
    device_of,
    face_of,
    punch_seen,
    punched_json,
)
from visavis.serve.refusals import Refusal
from visavis.serve.rest.dayshapes import (
    CalendarDay,
    CorrectionShape,
    LockShape,
    PunchedShape,
    RulingShape,
    SightingShape,
)
from visavis.serve.rest.people import ShortText
from visavis.serve.rest.routes import told
from visavis.serve.service import service_of, write_once
from visavis.serve.who.access import caller_of, needs

punches = APIRouter(prefix="/v1/attendance", tags=["attendance"])

PunchDevice = Annotated[str, Field(max_length=100, description="as the rules name it")]
Reason = Annotated[str, Field(min_length=1, max_length=1000, description="why: it is kept")]
TimeText = Annotated[
    str,
    Field(
        max_length=40,
        description="ISO 8601; without an offset by the wall of the place",
        examples=["2026-03-02T08:00"],
    ),
]
PunchNumber = Annotated[int, Path(ge=1, le=1 << 53)]


class PunchForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """A photo of somebody who comes or goes."""

    image: PhotoField
    device: PunchDevice = ""
    direction: Direction | None = None


class HandPunch(BaseModel, extra="forbid"):
    """A punch that somebody says there was."""

    person: ShortText = Field(description="by id, by your own id, or by name")
    at: TimeText
    reason: Reason
    direction: Direction | None = None
    device: PunchDevice = ""


class PunchChange(BaseModel, extra="forbid"):
    """What a punch should have said; or, `void`, that it does not count."""

    reason: Reason
    at: TimeText | None = None
    direction: Direction | None = None
    void: bool = False


class DayChange(BaseModel, extra="forbid"):
    """What somebody's day was; `as-punched` takes that back."""

    person: ShortText
    status: Literal["present", "half", "absent", "holiday", "leave", "off", "as-punched"]
    reason: Reason


class LockChange(BaseModel, extra="forbid"):
    """A period, both ends included, that is locked, or opened again."""

    since: CalendarDay
    until: CalendarDay
    reason: Reason
    locked: bool = True


PUNCH = Multipart(PunchForm, photos=1)


@punches.post(
    "/punches",
    status_code=201,
    dependencies=[needs("kiosk")],
    openapi_extra=PUNCH.documented(),
    responses={
        **told(PunchedShape, "conflict", form=True, status=201),
        **told(PunchedShape, "conflict", form=True),
    },
)
async def punch_by_photo(
    request: Request, form: Annotated[PunchForm, Depends(PUNCH)]
) -> JSONResponse:
    """Punch for whoever the photo shows, now: 201. Where nobody is recognised, or the punch is a
    part of one before: 200. An `Idempotency-Key` that comes again is one punch, for good.
    """
    service, caller = service_of(request), caller_of(request)
    given = request.headers.get("idempotency-key")
    key = f"{caller.name} {given}" if given else ""
    is_kiosk = caller.key is not None and caller.key.scope == "kiosk"
    source = Reporter.KIOSK if is_kiosk else Reporter.REST

    def work() -> WriteAnswer:
        place = PunchPlace(device_of(caller, form.device), form.direction, key, source)
        check_no_challenge(service.attendance().rules, place.device)
        recognizer = service.recognizer
        seen = face_of(service, recognizer, form.image, service.roster(place.device))
        recorded = punch_seen(service, seen, recognizer.embed.model, place)
        status = 201 if recorded and recorded.fate is Fate.PUNCH else 200
        person = seen.person.id if seen.person else None
        return WriteAnswer(punched_json(seen, recorded), status, person)

    return await service.desk.run(lambda: write_once(request, form, work))


@punches.post(
    "/punches:hand",
    status_code=201,
    dependencies=[needs("operator")],
    responses={**told(SightingShape, "conflict", "invalid", status=201)},
)
def punch_by_hand(request: Request, said: HandPunch) -> JSONResponse:
    """Punch for somebody, with the reason. The record names the key that did it."""

    def work(attendance: Attendance) -> WriteAnswer:
        person = attendance.directory.find(said.person)
        zone = zone_named(attendance.rules.device_zone(said.device))
        at = read_moment(said.at, zone)
        sighting = Sighting(
            person.id,
            at,
            said.device,
            said.direction,
            Reporter.HAND,
            actor=actor_of(request),
            reason=said.reason,
        )
        return WriteAnswer(recorded_json(attendance.record(sighting)), 201, person.id)

    return _once(request, said, work)


@punches.post(
    "/punches/{number}/corrections",
    status_code=201,
    dependencies=[needs("operator")],
    responses={**told(CorrectionShape, "conflict", "invalid", status=201)},
)
def correct_punch(request: Request, number: PunchNumber, change: PunchChange) -> JSONResponse:
    """Say that a punch was at another time, the other way, or does not count: a row above it."""
    if change.void == bool(change.at or change.direction):
        raise Refusal("invalid", "expected `at` or `direction`, or `void` alone")

    def work(attendance: Attendance) -> WriteAnswer:
        actor = actor_of(request)
        zone = zone_named(attendance.punch(number).zone)
        if change.void:
            made = attendance.void(number, actor=actor, reason=change.reason)
        else:
            at = read_moment(change.at, zone) if change.at else None
            made = attendance.move(
                number, actor=actor, reason=change.reason, at=at, direction=change.direction
            )
        return WriteAnswer(correction_json(made, attendance.directory), 201, made.person)

    return _once(request, change, work)


@punches.post(
    "/days/{day}/rulings",
    status_code=201,
    dependencies=[needs("operator")],
    responses={**told(RulingShape, "conflict", "invalid", status=201)},
)
def rule_day(request: Request, day: CalendarDay, change: DayChange) -> JSONResponse:
    """Say what somebody's day was, whatever its punches are."""

    def work(attendance: Attendance) -> WriteAnswer:
        status = None if change.status == "as-punched" else Status(change.status)
        made = attendance.rule(
            change.person, day, status, actor=actor_of(request), reason=change.reason
        )
        return WriteAnswer(ruling_json(made, attendance.directory), 201, made.person)

    return _once(request, change, work)


@punches.post(
    "/locks",
    status_code=201,
    dependencies=[needs("admin")],
    responses={**told(LockShape, "conflict", "invalid", status=201)},
)
def lock_period(request: Request, change: LockChange) -> JSONResponse:
    """Lock a period, so that nothing in it is corrected; or, with `locked` false, open it again."""

    def work(attendance: Attendance) -> WriteAnswer:
        made = attendance.lock(
            change.since,
            change.until,
            actor=actor_of(request),
            reason=change.reason,
            locked=change.locked,
        )
        return WriteAnswer(lock_json(made), 201)

    return _once(request, change, work)


def check_no_challenge(rules: Rules, device: str) -> None:
    """Raise Refusal where one photo is not enough: the device asks for movements of the head."""
    terminal = rules.devices.get(device)
    if terminal is not None and terminal.challenge:
        what = "this device asks for movements of the head, which one photo does not show"
        raise Refusal("forbidden", what, mend="punch on the kiosk's page")


def _once(
    request: Request, form: BaseModel, work: Callable[[Attendance], WriteAnswer]
) -> JSONResponse:
    """A write of attendance, done once for its Idempotency-Key."""
    service = service_of(request)
    return write_once(request, form, lambda: work(service.attendance()))
