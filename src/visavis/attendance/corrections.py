"""What somebody said afterwards: a punch moved or taken out, a day's ruling, a locked period.

A correction is a row of its own that stands above an earlier one; nothing is ever changed in
place. Pure functions; knows no database.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import itemgetter

from visavis.attendance.days import CORRECTED, Mark, Ruling
from visavis.attendance.punches import Punch
from visavis.attendance.rules import Direction

BY_TIME = itemgetter(0, 2)  # of marks: their order


@dataclass(frozen=True, slots=True)
class Claim:
    """What a punch says as far as it can be corrected."""

    at: datetime
    direction: Direction | None


@dataclass(frozen=True, slots=True)
class Correction:
    """What somebody said of a punch; without `after` it does not count."""

    number: int
    person: str
    punch: int
    device: str
    before: Claim
    after: Claim | None
    actor: str
    reason: str
    made: datetime


@dataclass(frozen=True, slots=True)
class DayRuling:
    """What somebody said a day was; `after` None takes the ruling back."""

    number: int
    person: str
    day: date
    before: Ruling | None
    after: Ruling | None
    actor: str
    made: datetime


@dataclass(frozen=True, slots=True)
class PeriodLock:
    """A period that was locked, or unlocked again."""

    number: int
    locked: bool
    since: date
    until: date
    actor: str
    reason: str
    made: datetime


def marks_of(punches: Iterable[Punch]) -> dict[str, list[Mark]]:
    """What each person punched."""
    marks: defaultdict[str, list[Mark]] = defaultdict(list)
    for punch in punches:
        marks[punch.person].append(punch.mark)
    return marks


def effective_marks(
    punched: Mapping[str, Sequence[Mark]], corrections: Iterable[Correction]
) -> dict[str, list[Mark]]:
    """Each person's punches as they count, in order: of several corrections the last one."""
    marks = {person: sorted(own, key=BY_TIME) for person, own in punched.items()}
    last = {correction.punch: correction for correction in corrections}
    for person in {one.person for one in last.values()}:
        marks[person] = [mark for mark in marks.get(person, ()) if mark.punch not in last]
    # Of its own words: the punch itself may be of another day, and not among these.
    for one in last.values():
        if one.after is not None:
            mark = Mark(one.after.at, one.after.direction, one.punch, one.device, (CORRECTED,))
            insort(marks[one.person], mark, key=BY_TIME)
    return {person: own for person, own in marks.items() if own}


def rulings_of(rulings: Iterable[DayRuling]) -> dict[str, dict[date, Ruling]]:
    """What each person's days were said to be: of several rulings on a day the last one."""
    told: dict[str, dict[date, Ruling]] = {}
    for one in rulings:
        own = told.setdefault(one.person, {})
        if one.after is None:
            own.pop(one.day, None)
        else:
            own[one.day] = one.after
    return told


def locked_on(day: date, locks: Sequence[PeriodLock]) -> PeriodLock | None:
    """The lock that a day is under; None where it is open."""
    for one in reversed(locks):
        if one.since <= day <= one.until:
            return one if one.locked else None
    return None


def told_of(punch: Punch, corrections: Mapping[int, Correction]) -> Claim | None:
    """What a punch says now; None: it does not count."""
    known = corrections.get(punch.number)
    return known.after if known else Claim(punch.at, punch.direction)
