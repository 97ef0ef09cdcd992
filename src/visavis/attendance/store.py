"""Rows of the ledger to punches and corrections, and back. Knows what each kind of row says."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection

from visavis.attendance.corrections import Claim, Correction, DayRuling, PeriodLock
from visavis.attendance.days import BY_HAND, Mark, Ruling, Status
from visavis.attendance.ledger import Entered, Ledger, NewRow
from visavis.attendance.punches import Punch, Reporter, Sighting
from visavis.attendance.rules import Direction

PUNCH, CORRECTION, RULING, LOCK = "punch", "correction", "ruling", "lock"
RETENTION = "retention"  # what was kept no longer, and went
INBOX = "inbox"  # what somebody did with sightings of unknown people
BEFORE = timedelta(hours=36)  # how long somebody may stand before one device
DIRECTIONS = {direction.value: direction for direction in Direction}
EPOCH = datetime.fromtimestamp(0, UTC)


def punch_entry(
    sighting: Sighting, person: str, zone: str, received: datetime, notes: Sequence[str]
) -> NewRow:
    """The row of a punch. What is nothing is left out."""
    said: dict[str, Any] = {
        "device": sighting.device,
        "zone": zone,
        "source": sighting.source,
        "received": int(received.timestamp()),
        "direction": sighting.direction,
        "offset": sighting.offset,
        "notes": list(notes),
        "actor": sighting.actor,
        "reason": sighting.reason,
        # That it is gone is told from that there never was any.
        "evidence": sighting.evidence is not None,
        "crop": sighting.evidence is not None and sighting.evidence.crop is not None,
    }
    body = {name: value for name, value in said.items() if value}
    return NewRow(PUNCH, person, sighting.true_at, body, sighting.token(person))


def punch_of(row: Entered, seen: datetime | None = None) -> Punch:
    """The punch that a row is."""
    body = row.body
    way = body.get("direction")
    return Punch(
        row.number,
        row.person or "",
        row.at,
        body.get("device", ""),
        Direction(way) if way else None,
        body["zone"],
        Reporter(body["source"]),
        body.get("offset", 0.0),
        _moment(body["received"]),
        tuple(body.get("notes", ())),
        body.get("actor", ""),
        body.get("reason", ""),
        seen,
    )


def punches_in(
    ledger: Ledger,
    connection: Connection,
    between: tuple[datetime, datetime] | None,
    people: Sequence[str] | None = None,
    *,
    seen: bool = False,
) -> list[Punch]:
    """The punches from a moment to a moment, in order; with `seen`, when each was seen last."""
    rows = ledger.rows(connection, [PUNCH], between=between, people=people)
    last = ledger.seen(connection, [row.number for row in rows]) if seen and rows else {}
    return [punch_of(row, last.get(row.number)) for row in rows]


def marks_in(
    ledger: Ledger,
    connection: Connection,
    between: tuple[datetime, datetime],
    people: Sequence[str] | None = None,
) -> dict[str, list[Mark]]:
    """What each person punched from a moment to a moment, in no order: `punches_in` as far as days
    need it.
    """
    marks: defaultdict[str, list[Mark]] = defaultdict(list)
    for number, _, person, at, body in ledger.punched(connection, PUNCH, between, people):
        way, notes = body.get("direction"), tuple(body.get("notes", ()))
        if body["source"] == Reporter.HAND:
            notes = (BY_HAND,)
        mark = Mark(at, way and DIRECTIONS[way], number, body.get("device", ""), notes)
        marks[person or ""].append(mark)
    return marks


def punches_near(
    ledger: Ledger, connection: Connection, person: str, at: datetime, seconds: int
) -> list[Punch]:
    """A person's punches around a moment, with when each was seen last."""
    between = (at - BEFORE, at + timedelta(seconds=seconds + 1))
    return punches_in(ledger, connection, between, [person], seen=True)


def correction_entry(
    punch: Punch, before: Claim, after: Claim | None, actor: str, reason: str
) -> NewRow:
    """The row of a correction of a punch."""
    body = {
        "punch": punch.number,
        "device": punch.device,
        "before": _told(before),
        "after": _told(after),
        **_made(actor, reason),
    }
    return NewRow(CORRECTION, punch.person, punch.at, body)


def ruling_entry(
    person: str, day: date, before: Ruling | None, after: Ruling | None, actor: str
) -> NewRow:
    """The row of a ruling on a day."""
    body = {
        "day": day.isoformat(),
        "before": _ruling(before),
        "after": _ruling(after),
        **_made(actor, ""),
    }
    return NewRow(RULING, person, EPOCH, body)


def lock_entry(locked: bool, period: tuple[date, date], actor: str, reason: str) -> NewRow:
    """The row of a lock."""
    since, until = period
    body = {"locked": locked, "since": str(since), "until": str(until), **_made(actor, reason)}
    return NewRow(LOCK, None, EPOCH, body)


def inbox_entry(done: str, person: str | None, count: int, actor: str, reason: str) -> NewRow:
    """The row of what somebody did with sightings of unknown people."""
    body: dict[str, Any] = {"done": done, "count": count, **_made(actor, reason)}
    return NewRow(INBOX, person, _moment(body["made"]), body)


@dataclass(frozen=True, slots=True)
class Removal:
    """What went of one class by a rule of retention."""

    number: int  # of the row that says so
    name: str
    before: date
    count: int
    ranges: Sequence[tuple[int, int]]  # of numbers that are gone, both ends included, in order


class Removals:
    """All that retention removed, in the order in which it did; asked by class and number."""

    def __init__(self, removals: Sequence[Removal]) -> None:
        self.all = removals
        self._ranges: defaultdict[str, list[tuple[int, int, Removal]]] = defaultdict(list)
        for one in removals:
            self._ranges[one.name] += [(first, last, one) for first, last in one.ranges]
        for ranges in self._ranges.values():
            ranges.sort(key=itemgetter(0))

    def of(self, name: str, number: int) -> Removal | None:
        """What says that a row of this number is gone; None where nothing does."""
        ranges = self._ranges[name]
        place = bisect_right(ranges, number, key=itemgetter(0)) - 1
        return ranges[place][2] if place >= 0 and number <= ranges[place][1] else None

    def until(self, name: str) -> date:
        """The first day that is kept of a class."""
        return max((one.before for one in self.all if one.name == name), default=date.min)


def retention_entry(
    removed: Mapping[str, tuple[int, date, Sequence[int], int]], actor: str, reason: str
) -> NewRow:
    """The row of what retention removed: by class the days, the first that is kept, numbers and
    how many in all.
    """
    classes = {
        name: {"days": days, "before": str(before), "rows": ranges_of(numbers), "count": count}
        for name, (days, before, numbers, count) in removed.items()
        if count
    }
    body: dict[str, Any] = {"removed": classes, **_made(actor, reason)}
    return NewRow(RETENTION, None, _moment(body["made"]), body)


def removals_in(ledger: Ledger, connection: Connection) -> Removals:
    """All that retention removed."""
    return Removals(
        [
            Removal(
                row.number,
                name,
                date.fromisoformat(one["before"]),
                one["count"],
                [(first, last) for first, last in one["rows"]],
            )
            for row in _by_number(ledger.rows(connection, [RETENTION]))
            for name, one in row.body["removed"].items()
        ]
    )


def ranges_of(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Numbers, in order, as ranges, both ends included."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


def corrections_in(ledger: Ledger, connection: Connection) -> list[Correction]:
    """Every correction, in the order in which they were made."""
    return [
        Correction(
            row.number,
            row.person or "",
            row.body["punch"],
            row.body["device"],
            _told_of(row.body["before"]) or Claim(row.at, None),
            _told_of(row.body["after"]),
            row.body["actor"],
            row.body["reason"],
            _moment(row.body["made"]),
        )
        for row in _by_number(ledger.rows(connection, [CORRECTION]))
    ]


def rulings_in(ledger: Ledger, connection: Connection) -> list[DayRuling]:
    """Every ruling, in the order in which they were made."""
    return [
        DayRuling(
            row.number,
            row.person or "",
            date.fromisoformat(row.body["day"]),
            _ruling_of(row.body["before"]),
            _ruling_of(row.body["after"]),
            row.body["actor"],
            _moment(row.body["made"]),
        )
        for row in _by_number(ledger.rows(connection, [RULING]))
    ]


def locks_in(ledger: Ledger, connection: Connection) -> list[PeriodLock]:
    """Every lock and unlocking, in the order in which they were made."""
    return [
        PeriodLock(
            row.number,
            row.body["locked"],
            date.fromisoformat(row.body["since"]),
            date.fromisoformat(row.body["until"]),
            row.body["actor"],
            row.body["reason"],
            _moment(row.body["made"]),
        )
        for row in _by_number(ledger.rows(connection, [LOCK]))
    ]


def _by_number(rows: Iterable[Entered]) -> list[Entered]:
    return sorted(rows, key=lambda row: row.number)


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _made(actor: str, reason: str) -> dict[str, Any]:
    return {"actor": actor, "reason": reason, "made": int(datetime.now(UTC).timestamp())}


def _told(told: Claim | None) -> dict[str, Any] | None:
    if told is None:
        return None
    return {"at": int(told.at.timestamp()), "direction": told.direction}


def _told_of(document: dict[str, Any] | None) -> Claim | None:
    if document is None:
        return None
    way = document["direction"]
    return Claim(_moment(document["at"]), Direction(way) if way else None)


def _ruling(ruling: Ruling | None) -> dict[str, str] | None:
    return None if ruling is None else {"status": ruling.status, "reason": ruling.reason}


def _ruling_of(document: dict[str, str] | None) -> Ruling | None:
    if document is None:
        return None
    return Ruling(Status(document["status"]), document["reason"])
