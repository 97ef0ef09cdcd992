"""What people object to in their own days, until somebody settles it.

Rows of the ledger like corrections: sealed with the person's key, chained, erased with them. An
objection changes no day: whoever settles it says why, and corrects what was wrong beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from visavis.attendance.attendance import Attendance
from visavis.attendance.ledger import NewRow
from visavis.attendance.moments import read_day
from visavis.attendance.punches import check_reason
from visavis.errors import AttendanceError

OBJECTION, SETTLEMENT = "objection", "settlement"
MOST_OPEN = 20  # objections of one person that wait


@dataclass(frozen=True, slots=True)
class Objection:
    """That a day is not as it was, in the words of whose day it is."""

    number: int
    person: str
    day: date
    words: str
    made: datetime
    answer: str = ""  # empty: nobody has settled it yet
    actor: str = ""  # who settled it

    @property
    def is_open(self) -> bool:
        """Whether it waits for somebody."""
        return not self.actor


def object_to(attendance: Attendance, person: str, day: date, words: str) -> Objection:
    """Keep an objection of a person, by the gallery's id.

    Raises AttendanceError for one without words, and where too many wait already.
    """
    if not words.strip():
        raise AttendanceError("an objection needs words", mend="say what is wrong with the day")
    waiting = [one for one in objections_of(attendance, [person]) if one.is_open]
    if len(waiting) >= MOST_OPEN:
        raise AttendanceError(
            f"{len(waiting)} objections wait already", mend="wait until they are settled"
        )
    made = datetime.now(UTC).replace(microsecond=0)
    attendance.ledger.prepare()
    with attendance.gallery.database.writing() as connection:
        body = {"day": day.isoformat(), "words": words.strip()}
        number = attendance.ledger.append(connection, NewRow(OBJECTION, person, made, body))
    return Objection(number, person, day, words.strip(), made)


def settle(attendance: Attendance, number: int, *, actor: str, reason: str) -> Objection:
    """Answer an objection. Raises AttendanceError where there is none that waits."""
    check_reason(actor, reason)
    waiting = [one for one in objections_of(attendance) if one.number == number and one.is_open]
    if not waiting:
        raise AttendanceError(f"there is no open objection {number}")
    (objection,) = waiting
    with attendance.gallery.database.writing() as connection:
        body = {"objection": number, "answer": reason, "actor": actor}
        row = NewRow(SETTLEMENT, objection.person, datetime.now(UTC), body)
        attendance.ledger.append(connection, row)
    return next(one for one in objections_of(attendance) if one.number == number)


def objections_of(attendance: Attendance, people: Sequence[str] | None = None) -> list[Objection]:
    """Every objection, of some people by the gallery's ids or of all, the last first."""
    kinds = [OBJECTION, SETTLEMENT]
    with attendance.gallery.database.reading() as connection:
        rows = attendance.ledger.rows(connection, kinds, people=people)
    settled = {row.body["objection"]: row.body for row in rows if row.kind == SETTLEMENT}
    made = []
    for row in rows:
        if row.kind == OBJECTION:
            answer = settled.get(row.number, {})
            made.append(
                Objection(
                    row.number,
                    row.person or "",
                    read_day(row.body["day"]),
                    row.body["words"],
                    row.at,
                    answer.get("answer", ""),
                    answer.get("actor", ""),
                )
            )
    return sorted(made, key=lambda one: -one.number)
