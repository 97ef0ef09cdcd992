"""Questions on attendance: days of a period, who is inside, a class. Reads, and writes nothing."""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime

from visavis.attendance import store
from visavis.attendance.attendance import AROUND, Attendance
from visavis.attendance.corrections import (
    Correction,
    DayRuling,
    PeriodLock,
    effective_marks,
    locked_on,
    marks_of,
    rulings_of,
)
from visavis.attendance.courses import Attendee, Meeting, Seen, meetings_of, roll
from visavis.attendance.days import (
    DayRecord,
    Inside,
    Mark,
    Status,
    derive_days,
    inside_now,
)
from visavis.attendance.moments import midnight, zone_named
from visavis.attendance.plans import Plan, Plans
from visavis.attendance.punches import LATE_ARRIVAL, Punch

EXCUSING = frozenset((Status.LEAVE, Status.HOLIDAY))


@dataclass(frozen=True, slots=True)
class HeldPeriod:
    """What the ledger holds of a period: by it days are derived."""

    punches: Sequence[Punch]
    corrections: Sequence[Correction]
    rulings: Sequence[DayRuling]
    locks: Sequence[PeriodLock]
    gone: date = date.min  # until this day, punches may be gone by a rule of retention
    # What each person punched, in place of the punches: as far as days need it.
    marked: Mapping[str, list[Mark]] | None = None

    def marks(self) -> dict[str, list[Mark]]:
        """Each person's punches after all corrections, in order."""
        marked = marks_of(self.punches) if self.marked is None else self.marked
        return effective_marks(marked, self.corrections)

    def counting(self, marks: list[Mark], plan: Plan) -> list[Mark]:
        """A person's marks, but for those that came when their day was locked, as it still is."""
        late = [mark for mark in marks if LATE_ARRIVAL in mark.notes]
        if not late:
            return marks
        shut = set()
        for mark in late:
            lock = locked_on(plan.day_at(mark.at), self.locks)
            # What came before a later lock was there to be seen when that was made.
            if lock is not None and lock.number < mark.punch:
                shut.add(mark.punch)
        return [mark for mark in marks if mark.punch not in shut]


def held_in(
    attendance: Attendance,
    period: tuple[date, date],
    people: Sequence[str] | None = None,
    *,
    seen: bool = False,
    bare: bool = False,
) -> HeldPeriod:
    """What the ledger holds of a period and the days around it, all as of one moment; with `seen`,
    when each punch was seen last, too. `bare`, it has marks in place of punches: a month of a large
    house is read in half the time.
    """
    zone = zone_named(attendance.rules.zone)
    between = (midnight(period[0] - AROUND, zone), midnight(period[1] + AROUND, zone))
    ledger = attendance.ledger
    with attendance.gallery.database.reading() as connection:
        attendance.catch_up(connection)
        removals = store.removals_in(ledger, connection)
        # What was said of a punch that is gone does not bring it back.
        corrections = [
            one
            for one in store.corrections_in(ledger, connection)
            if removals.of("punches", one.punch) is None
        ]
        where = (ledger, connection, between, people)
        return HeldPeriod(
            [] if bare else store.punches_in(*where, seen=seen),
            corrections,
            store.rulings_in(ledger, connection),
            store.locks_in(ledger, connection),
            removals.until("punches"),
            store.marks_in(*where) if bare else None,
        )


def days_of(
    attendance: Attendance,
    period: tuple[date, date],
    *,
    people: Iterable[str] | None = None,
    now: datetime | None = None,
) -> list[DayRecord]:
    """Every day of a period, of some people by the gallery's ids, or of all whom it concerns: those
    whom the rules name, and those who punched.
    """
    ids = None if people is None else list(people)
    with _uncollected():
        return derived(attendance, held_in(attendance, period, ids, bare=True), period, ids, now)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Do not look for garbage: of a month of a large house a million marks are made and none is
    dropped, and looking through them again and again takes a quarter of the time.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def derived(
    attendance: Attendance,
    held: HeldPeriod,
    period: tuple[date, date],
    people: Sequence[str] | None = None,
    now: datetime | None = None,
) -> list[DayRecord]:
    """Days of a period, from what the ledger holds of it."""
    now = now or datetime.now(UTC)
    marks, rulings = held.marks(), rulings_of(held.rulings)
    plans = Plans(attendance.rules, *period)
    named, _ = attendance.directory.named(attendance.rules.everybody())
    ids = list(dict.fromkeys([*named, *marks])) if people is None else people
    records: list[DayRecord] = []
    for person in ids:
        plan = plans.of(named.get(person, ""))
        own = held.counting(marks.get(person, []), plan)
        records += derive_days(person, own, plan, period, now, rulings.get(person))
    if people is None:
        # Who only punched on the days around has nothing here.
        records = [one for one in records if one.person in named or one.punches]
    # Nobody was absent on a day whose punches are gone.
    records = [one for one in records if one.day > held.gone]
    return sorted(records, key=lambda one: (one.day, attendance.directory.name(one.person)))


def inside_of(attendance: Attendance, now: datetime | None = None) -> list[Inside]:
    """Who is in the building, by name."""
    now = now or datetime.now(UTC)
    period = (now.date(), now.date())
    held = held_in(attendance, period, seen=True)
    seen: dict[str, datetime] = {}
    for punch in held.punches:
        if punch.at <= now:
            seen[punch.person] = min(punch.until, now)
    plans = Plans(attendance.rules, *period)
    named, _ = attendance.directory.named(attendance.rules.everybody())
    inside = []
    for person, own in held.marks().items():
        plan = plans.of(named.get(person, ""))
        counting = held.counting(own, plan)
        inside.append(inside_now(person, counting, plan, now, seen.get(person)))
    here = [one for one in inside if one is not None]
    return sorted(here, key=lambda one: attendance.directory.name(one.person))


def classes_of(
    attendance: Attendance, day: date, now: datetime | None = None
) -> list[tuple[Meeting, list[Attendee]]]:
    """The classes of a day, each with its roster: people by the gallery's ids."""
    now = now or datetime.now(UTC)
    held = held_in(attendance, (day, day), seen=True)
    moved = {one.punch for one in held.corrections}
    seen: dict[str, list[Seen]] = {}
    for punch in held.punches:
        if punch.number not in moved:
            seen.setdefault(punch.person, []).append(Seen(punch.at, punch.until, punch.device))
    for person, own in held.marks().items():
        seen.setdefault(person, []).extend(
            Seen(mark.at, mark.at, mark.device) for mark in own if mark.punch in moved
        )
    excused = {
        person
        for person, ruled in rulings_of(held.rulings).items()
        if day in ruled and ruled[day].status in EXCUSING
    }
    classes = []
    for meeting in meetings_of(attendance.rules, day):
        roster, _ = attendance.directory.named(attendance.rules.members(meeting.rule))
        away = {one for one, name in roster.items() if _on_leave(attendance, name, day)}
        classes.append((meeting, roll(meeting, roster, seen, now, excused | away)))
    return classes


def _on_leave(attendance: Attendance, name: str, day: date) -> bool:
    leave = attendance.rules.leave
    return any(one.person == name and one.since <= day <= one.until for one in leave)
