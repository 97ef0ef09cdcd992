"""What is kept no longer, by class: said first, then removed in one transaction.

A row of the ledger says what went, by which rule, by whom and why; rows that are gone and are in no
such row are missing. What was written on a day that the rule still keeps is never removed, so
nobody calls it retention to remove what was written a moment ago.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from sqlalchemy import ColumnElement, Connection, delete, select, update

from visavis.attendance import store
from visavis.attendance.attendance import Attendance
from visavis.attendance.inbox import Inbox
from visavis.attendance.ledger import Entered, Ledger
from visavis.attendance.moments import midnight_before
from visavis.attendance.punches import check_reason
from visavis.attendance.tables import CHAIN, EVIDENCES, ROWS, SEENS
from visavis.gallery import erasure

AUDITED = (store.CORRECTION, store.RULING, store.LOCK, store.INBOX)


@dataclass(frozen=True, slots=True)
class Due:
    """What of a class is kept no longer."""

    name: str  # as in the rules
    days: int  # for which it is kept
    before: date  # UTC: what was of this day is kept still
    count: int
    oldest: date | None = None  # UTC
    numbers: Sequence[int] = field(default=(), repr=False)  # in the ledger


def due(attendance: Attendance, now: datetime | None = None) -> list[Due]:
    """What the rules keep no longer, by class; nothing is removed."""
    with attendance.gallery.database.reading() as connection:
        if attendance.ledger.key() is None:
            return []
        return _due(attendance, connection, now or datetime.now(UTC))


def remove_due(
    attendance: Attendance, *, actor: str, reason: str, now: datetime | None = None
) -> list[Due]:
    """Remove what `due` says, all of it or nothing, and leave no trace of it in the files.

    Raises AttendanceError where nobody says who and why.
    """
    check_reason(actor, reason)
    attendance.ledger.prepare()
    database, now = attendance.gallery.database, now or datetime.now(UTC)

    def remove(connection: Connection) -> list[Due]:
        gone = _due(attendance, connection, now)
        if any(one.count for one in gone):
            _remove(connection, {one.name: one.numbers for one in gone})
            Inbox(attendance).expire(connection, now)
            removed = {one.name: (one.days, one.before, one.numbers, one.count) for one in gone}
            entry = store.retention_entry(removed, actor, reason)
            attendance.ledger.append(connection, entry)
            erasure.note_unused(database, connection)
        return gone

    gone = database.erasing(remove)
    erasure.finish(database)
    return gone


def _due(attendance: Attendance, connection: Connection, now: datetime) -> list[Due]:
    kept, ledger = attendance.rules.retention, attendance.ledger
    sightings, crops = Inbox(attendance).due(connection, now)
    all_of_it, has_crop = EVIDENCES.c.seq > 0, EVIDENCES.c.crop.is_not(None)
    looks: dict[str, Callable[[datetime], list[tuple[int, int]]]] = {
        "punches": lambda before: _rows(connection, before, ROWS.c.kind == store.PUNCH),
        "evidence": lambda before: _evidence(connection, before, all_of_it),
        "crops": lambda before: _evidence(connection, before, has_crop),
        "unknowns": lambda before: [],  # in no row of the ledger
        "audit": lambda before: _audited(ledger, connection, before),
    }
    beside = {"unknowns": sightings, "crops": crops}
    made = []
    for name, look in looks.items():
        days = getattr(kept, name)
        if days is not None:
            before = midnight_before(now, days)
            ages = dict(look(before))
            count, oldest = len(ages) + beside.get(name, 0), min(ages.values(), default=None)
            day = None if oldest is None else datetime.fromtimestamp(oldest, UTC).date()
            made.append(Due(name, days, before.date(), count, day, sorted(ages)))
    return made


def _rows(
    connection: Connection, before: datetime, these: ColumnElement[bool]
) -> list[tuple[int, int]]:
    """Numbers and moments of rows that are of before, and were written before."""
    query = select(ROWS.c.seq, ROWS.c.at).join(CHAIN, CHAIN.c.seq == ROWS.c.seq)
    old = (ROWS.c.at < int(before.timestamp())) & (CHAIN.c.day < before.date().isoformat())
    return [(number, at) for number, at in connection.execute(query.where(these, old))]


def _evidence(
    connection: Connection, before: datetime, these: ColumnElement[bool]
) -> list[tuple[int, int]]:
    own = select(EVIDENCES.c.seq).where(these)
    return _rows(connection, before, ROWS.c.seq.in_(own))


def _audited(ledger: Ledger, connection: Connection, before: datetime) -> list[tuple[int, int]]:
    """Corrections, rulings, locks: as old as what they are about."""
    rows = {row.number: row for row in ledger.rows(connection, AUDITED)}
    ages = {number: _about(row) for number, row in rows.items()}
    written = select(CHAIN.c.seq).where(
        CHAIN.c.kind.in_(AUDITED), CHAIN.c.day < before.date().isoformat()
    )
    old = (number for number in connection.scalars(written) if number in ages)
    limit = int(before.timestamp())
    return [(number, ages[number]) for number in old if ages[number] < limit]


def _about(row: Entered) -> int:
    """The moment that a row of the audit is about: the latest of them."""
    days = [row.body[name] for name in ("day", "until") if name in row.body]
    moments = [int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) for day in days]
    if row.kind == store.CORRECTION:
        moments += [one["at"] for one in (row.body["before"], row.body["after"]) if one]
    return max([*moments, int(row.at.timestamp())])


def _remove(connection: Connection, numbers: dict[str, Sequence[int]]) -> None:
    for name, tables in (
        ("punches", (ROWS, EVIDENCES, SEENS)),
        ("evidence", (EVIDENCES,)),
        ("audit", (ROWS,)),
    ):
        for first, last in store.ranges_of(numbers.get(name, ())):
            for table in tables:
                connection.execute(delete(table).where(table.c.seq.between(first, last)))
    for first, last in store.ranges_of(numbers.get("crops", ())):
        these = EVIDENCES.c.seq.between(first, last)
        connection.execute(update(EVIDENCES).where(these).values(crop=None))
