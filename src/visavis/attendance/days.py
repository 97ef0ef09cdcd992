"""From punches to days: when somebody came and went, what they worked, what is missing.

Pure functions of plain data, done anew whenever they are asked: nothing that is derived is kept,
so a correction is seen at once. Knows no database, no gallery and no files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from visavis.attendance.moments import DAY, midnight
from visavis.attendance.plans import Plan, Span
from visavis.attendance.rules import Direction, Shift

NOTHING = timedelta()
HOUR = timedelta(hours=1)
AUTO_CLOSED, MISSING_IN, DOUBLED = "auto_closed", "missing_in", "doubled_in"
CORRECTED, BY_HAND = "corrected", "by_hand"
# Unplanned work: paired as it comes, never closed by rule.
FREE = Shift(start=datetime.min.time(), end=datetime.min.time(), close="never")


class Status(StrEnum):
    """What a day was."""

    PRESENT = "present"
    HALF = "half"
    ABSENT = "absent"
    OPEN = "open"  # an out is missing, or an in
    PENDING = "pending"  # nobody has come yet, and may still
    HOLIDAY = "holiday"
    LEAVE = "leave"
    OFF = "off"  # nothing was due


class Mark(NamedTuple):
    """A punch as it counts: after all corrections. A month of a large house has a million."""

    at: datetime  # UTC
    direction: Direction | None = None
    punch: int = 0  # its number in the ledger
    device: str = ""
    notes: tuple[str, ...] = ()  # what is odd about it: corrected, clock


@dataclass(frozen=True, slots=True)
class Stay:
    """From an in to an out; None: the out is missing."""

    start: datetime
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class DayRecord:
    """What one shift of one day was, or a day on which none was due."""

    person: str
    day: date
    shift: str  # empty: none was due
    status: Status
    stays: tuple[Stay, ...] = ()
    worked: timedelta = NOTHING
    late: timedelta = NOTHING
    early: timedelta = NOTHING  # left before the end
    notes: tuple[str, ...] = ()
    punches: tuple[int, ...] = ()
    reason: str = ""  # a holiday's name, a kind of leave, or why somebody said so
    zone: str = ""  # of the wall that says when they came

    @property
    def first_in(self) -> datetime | None:
        """When they came."""
        return self.stays[0].start if self.stays else None

    @property
    def last_out(self) -> datetime | None:
        """When they went for the last time; None while they are there."""
        return self.stays[-1].end if self.stays else None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What somebody said a day was, whatever its punches are."""

    status: Status
    reason: str


def derive_days(
    person: str,
    marks: Sequence[Mark],
    plan: Plan,
    period: tuple[date, date],
    now: datetime,
    rulings: Mapping[date, Ruling] | None = None,
) -> list[DayRecord]:
    """Every day of a period, both ends included: a record for each shift, at least one a day.

    `marks` are one person's, in order, with those of the days around the period: each belongs to
    exactly one record.
    """
    by_span, by_day = _sorted_out(marks, plan)
    planned: dict[date, list[Span]] = {}
    for span in plan.spans:
        planned.setdefault(span.day, []).append(span)
    records: list[DayRecord] = []
    day, last = period
    while day <= last:
        spans = planned.get(day, ())
        records += [_of_shift(person, span, by_span.get(span.start, []), now) for span in spans]
        if not spans or day in by_day:
            records.append(_unplanned(person, day, by_day.get(day, []), plan))
        day += DAY
    return [_ruled(record, rulings) for record in records] if rulings else records


def _sorted_out(
    marks: Iterable[Mark], plan: Plan
) -> tuple[dict[datetime, list[Mark]], dict[date, list[Mark]]]:
    """Marks by the start of their shift, and those of no shift by their date."""
    by_span: dict[datetime, list[Mark]] = {}
    by_day: dict[date, list[Mark]] = {}
    span: Span | None = None
    for mark in marks:
        if span is None or not span.opens <= mark.at < span.closes:
            span = plan.span_at(mark.at)
        if span is not None:
            by_span.setdefault(span.start, []).append(mark)
        else:
            by_day.setdefault(plan.date_at(mark.at), []).append(mark)
    return by_span, by_day


def stays_of(marks: Sequence[Mark], shift: Shift) -> tuple[list[Stay], set[str]]:
    """Ins with their outs by the shift's rule, and what is odd about them."""
    if shift.direction == "first_last":
        out = marks[-1].at if len(marks) > 1 else None
        return ([Stay(marks[0].at, out)] if marks else []), set()
    declared = shift.direction == "declared"
    stays, notes, came = list[Stay](), set[str](), None
    for mark in marks:
        enters = came is None
        if declared and mark.direction is not None:
            enters = mark.direction.enters
        if enters and came is None:
            came = mark.at
        elif enters:
            notes.add(DOUBLED)
        elif came is None:
            notes.add(MISSING_IN)
        else:
            stays.append(Stay(came, mark.at))
            came = None
    if came is not None:
        stays.append(Stay(came))
    return stays, notes


def _of_shift(person: str, span: Span, marks: Sequence[Mark], now: datetime) -> DayRecord:
    shift = span.shift
    if not marks:
        ended = now >= span.closes + timedelta(minutes=shift.absent_after)
        status = Status.ABSENT if ended else Status.PENDING
        return DayRecord(person, span.day, span.name, status, zone=span.zone.key)
    stays, notes = stays_of(marks, shift)
    if stays and stays[-1].end is None and shift.close != "never":
        if now >= span.closes + timedelta(minutes=shift.close_after):
            start = stays[-1].start
            stays[-1] = Stay(start, max(start, span.end))
            notes.add(AUTO_CLOSED)
    worked = worked_of(stays, shift)
    is_open = not stays or stays[-1].end is None
    late = stays[0].start - span.start if stays else NOTHING
    early = NOTHING if is_open else span.end - (stays[-1].end or span.end)
    return DayRecord(
        person,
        span.day,
        span.name,
        Status.OPEN if is_open else _by_hours(worked, shift),
        tuple(stays),
        worked,
        late if late > timedelta(minutes=shift.grace) else NOTHING,
        early if early > timedelta(minutes=shift.leave_grace) else NOTHING,
        _notes(marks, notes),
        tuple([mark.punch for mark in marks]),
        zone=span.zone.key,
    )


def _by_hours(worked: timedelta, shift: Shift) -> Status:
    """Absent wins."""
    if worked < shift.absent_below * HOUR:
        return Status.ABSENT
    return Status.HALF if worked < shift.half_below * HOUR else Status.PRESENT


def worked_of(stays: Sequence[Stay], shift: Shift) -> timedelta:
    """What counts as worked: of a stay without an out, nothing."""
    whole = [(stay.start, stay.end) for stay in stays if stay.end is not None]
    if not whole:
        return NOTHING
    between = whole[-1][1] - whole[0][0]
    paired = sum((end - start for start, end in whole), NOTHING)
    worked = between if shift.hours == "first_last" else paired
    if shift.break_minutes and worked >= shift.break_after * HOUR:
        taken = NOTHING if shift.hours == "first_last" else between - paired
        worked -= max(NOTHING, timedelta(minutes=shift.break_minutes) - taken)
    return max(NOTHING, worked)


def _unplanned(person: str, day: date, marks: Sequence[Mark], plan: Plan) -> DayRecord:
    """A day, or a part of one, on which nothing was due."""
    leave = plan.leave_on(day)
    holiday = (plan.holidays or {}).get(day)
    status, reason = Status.OFF, ""
    if leave is not None:
        status, reason = Status.LEAVE, leave.kind
    elif holiday is not None:
        status, reason = Status.HOLIDAY, holiday
    if not marks:
        return DayRecord(person, day, "", status, reason=reason, zone=plan.zone_on(day).key)
    stays, notes = stays_of(marks, FREE)
    if status is Status.OFF and (not stays or stays[-1].end is None):
        status = Status.OPEN
    return DayRecord(
        person,
        day,
        "",
        status,
        tuple(stays),
        worked_of(stays, FREE),
        notes=_notes(marks, notes),
        punches=tuple([mark.punch for mark in marks]),
        reason=reason,
        zone=plan.zone_on(day).key,
    )


def _notes(marks: Sequence[Mark], own: set[str]) -> tuple[str, ...]:
    for mark in marks:
        own.update(mark.notes)
    return tuple(sorted(own)) if own else ()


def _ruled(record: DayRecord, rulings: Mapping[date, Ruling]) -> DayRecord:
    ruling = rulings.get(record.day)
    if ruling is None:
        return record
    return DayRecord(
        record.person,
        record.day,
        record.shift,
        ruling.status,
        record.stays,
        record.worked,
        notes=tuple(sorted({*record.notes, CORRECTED})),
        punches=record.punches,
        reason=ruling.reason,
        zone=record.zone,
    )


@dataclass(frozen=True, slots=True)
class Inside:
    """Somebody who is in the building."""

    person: str
    since: datetime
    seen: datetime  # for the last time
    device: str


def inside_now(
    person: str, marks: Sequence[Mark], plan: Plan, now: datetime, seen: datetime | None = None
) -> Inside | None:
    """Where somebody is in: since when, by what punch; None: out, or their day is over.

    `marks` are one person's, in order, of the days around `now`; `seen` is when a camera saw them
    last without a punch of their own.
    """
    span = plan.span_at(now)
    past = [mark for mark in marks if mark.at <= now]
    if not past:
        return None
    last_span = plan.span_at(past[-1].at)
    if last_span != span or (span is None and plan.day_at(past[-1].at) != plan.day_at(now)):
        return None
    own = [mark for mark in past if plan.span_at(mark.at) == span]
    if span is None:
        today = plan.day_at(now)
        own = [mark for mark in own if mark.at >= midnight(today, plan.zone_on(today))]
    # First in, last out says nothing while the day goes on: here each punch is a turn.
    stays, _ = stays_of(own, FREE)
    if not stays or stays[-1].end is not None:
        return None
    last = max(past[-1].at, seen or past[-1].at)
    return Inside(person, stays[-1].start, last, past[-1].device)
