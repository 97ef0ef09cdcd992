"""What was said afterwards of a period, and what one more correction would make of its days.

Reads, and writes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from visavis.attendance.attendance import Attendance
from visavis.attendance.corrections import Claim, Correction, DayRuling, told_of
from visavis.attendance.days import DayRecord
from visavis.attendance.punches import Punch
from visavis.attendance.view import HeldPeriod, derived, held_in


@dataclass(frozen=True, slots=True)
class SaidAfterwards:
    """The corrections of a period's punches, and the rulings on its days, as they were made."""

    corrections: Sequence[Correction]
    rulings: Sequence[DayRuling]


@dataclass(frozen=True, slots=True)
class CorrectionPreview:
    """A punch, what it says now, and each day that a correction would touch, before and after."""

    punch: Punch
    told: Claim | None  # None: it does not count
    days: Sequence[tuple[Sequence[DayRecord], Sequence[DayRecord]]]


def said_afterwards(attendance: Attendance, period: tuple[date, date]) -> SaidAfterwards:
    """What was corrected and ruled of a period, both ends included."""
    held = held_in(attendance, period)

    def concerns(one: Correction) -> bool:
        claims = [claim for claim in (one.before, one.after) if claim is not None]
        days = (attendance.day_of(one.person, claim.at) for claim in claims)
        return any(period[0] <= day <= period[1] for day in days)

    rulings = [one for one in held.rulings if period[0] <= one.day <= period[1]]
    return SaidAfterwards([one for one in held.corrections if concerns(one)], rulings)


def preview_correction(
    attendance: Attendance, number: int, claim: Claim | None, now: datetime | None = None
) -> CorrectionPreview:
    """What the days would be, did a punch say this; None: did it not count.

    Raises AttendanceError where there is no such punch.
    """
    punch, moment = attendance.punch(number), now or datetime.now(UTC)
    held = held_in(attendance, (punch.at.date(), punch.at.date()), [punch.person])
    told = told_of(punch, {one.punch: one for one in held.corrections})
    moments = [punch.at, *(one.at for one in (told, claim) if one is not None)]
    days = sorted({attendance.day_of(punch.person, at) for at in moments})
    made = Correction(
        1 + max((one.number for one in held.corrections), default=0),
        punch.person,
        number,
        punch.device,
        told or Claim(punch.at, punch.direction),
        claim,
        actor="",
        reason="",
        made=moment,
    )

    def derive(day: date, held: HeldPeriod) -> Sequence[DayRecord]:
        return derived(attendance, held, (day, day), [punch.person], moment)

    shown = []
    for day in days:
        as_held = held_in(attendance, (day, day), [punch.person])
        corrected = replace(as_held, corrections=[*as_held.corrections, made])
        shown.append((derive(day, as_held), derive(day, corrected)))
    return CorrectionPreview(punch, told, shown)
