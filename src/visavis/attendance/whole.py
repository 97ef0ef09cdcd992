"""Whether the ledger is as it was written: every entry of its chain, every row, every key.

What was erased with its person is not missing: the gallery's own audit says who was. What a rule of
retention removed is not missing either: a sealed row says which, written after them.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, select

from visavis.attendance.keys import parts_of, was_made
from visavis.attendance.ledger import (
    STORED,
    Entered,
    Ledger,
    chained,
    kept_person,
    merged_people,
)
from visavis.attendance.store import PUNCH, RETENTION, Removals, removals_in
from visavis.attendance.tables import CHAIN, EVIDENCES, ROWS
from visavis.gallery.audit import ERASE, ChainHead
from visavis.gallery.tables import AUDIT


def ledger_damages(ledger: Ledger, known: ChainHead | None = None) -> list[str]:
    """All that is not as it was written, in words. Reads and opens everything.

    With `known`, a head of earlier, its entry has to be there.
    """
    there = ledger.key() is not None
    with ledger.gallery.database.reading() as connection:
        if not there:
            gone = was_made(connection) or (known is not None and known.seq > 0)
            return ["its key is not there any more"] if gone else []
        query = select(CHAIN.c.hash).where(CHAIN.c.seq == (known.seq if known else 0))
        if known is not None and known.seq and connection.scalar(query) != known.hash:
            return [f"entry {known.seq} of its chain is not the one that was there"]
        return list(_damages(ledger, connection))


def ledger_head(ledger: Ledger) -> ChainHead:
    """The chain's last entry: kept elsewhere, it tells an older file from this one.

    Raises AttendanceError where the chain's end was altered.
    """
    if ledger.key() is None:
        return ChainHead()
    with ledger.gallery.database.reading() as connection:
        return ledger.head(connection)


def removed_counts(ledger: Ledger) -> dict[str, int]:
    """How much retention removed, by class, all in all."""
    counts: dict[str, int] = {}
    with ledger.gallery.database.reading() as connection:
        for one in removals_in(ledger, connection).all:
            counts[one.name] = counts.get(one.name, 0) + one.count
    return counts


def _damages(ledger: Ledger, connection: Connection) -> Iterator[str]:
    before, seq = b"", 0
    erased, merged = _erased(connection), merged_people(connection)
    removals = removals_in(ledger, connection)
    stored = dict(connection.execute(select(ROWS.c.seq, ROWS.c.sealed)).cursor.fetchall())
    numbers = set(stored)
    for row in connection.execute(select(CHAIN).order_by(CHAIN.c.seq)):
        seq += 1
        if row.seq != seq or row.hash != chained(before, dict(row._mapping)):
            yield f"its chain is broken at entry {seq}"
            return
        before, sealed = row.hash, stored.pop(seq, None)
        if sealed is not None:
            if _digest(sealed) != row.content:
                yield f"row {seq} was altered"
        elif kept_person(row.person_id, merged) not in erased and not removed(row, removals):
            yield f"row {seq} is not there"
    if ledger.sealed_head(connection) != ChainHead(seq, before):
        yield f"its chain was altered at its end, after entry {seq}"
    yield from (f"row {number} is in no entry of the chain" for number in sorted(stored))
    opened = {row.number: row for row in ledger.read(connection, STORED)}
    yield from (f"row {number} cannot be opened" for number in sorted(numbers - set(opened)))
    yield from _evidence_damages(ledger, connection, opened.values(), removals)


def removed(entry: Any, removals: Removals) -> bool:
    """Whether a rule of retention removed the row of an entry: a later row says so, of its class,
    and it was written before what the rule keeps.
    """
    one = removals.of("punches" if entry.kind == PUNCH else "audit", entry.seq)
    if one is None or entry.kind == RETENTION:
        return False
    return one.number > entry.seq and bool(entry.day < one.before.isoformat())


def _evidence_damages(
    ledger: Ledger, connection: Connection, rows: Iterable[Entered], removals: Removals
) -> Iterator[str]:
    """What of the punches' evidence is not there, or cannot be opened."""
    query = select(EVIDENCES.c.seq, EVIDENCES.c.crop.is_not(None))
    has_crop = dict(connection.execute(query).cursor.fetchall())
    for row in rows:
        number = row.number
        if row.body.get("evidence") and number not in has_crop:
            if removals.of("evidence", number) is None:
                yield f"the evidence of punch {number} is not there"
        elif row.body.get("crop") and number in has_crop and not has_crop[number]:
            if removals.of("crops", number) is None:
                yield f"the crop of punch {number} is not there"
    for part in parts_of(sorted(has_crop)):
        for number in ledger.altered_evidence(connection, part):
            yield f"the evidence of punch {number} was altered"


def _digest(sealed: Any) -> bytes:
    return hashlib.sha256(sealed).digest() if isinstance(sealed, bytes) else b""


def _erased(connection: Connection) -> set[str | None]:
    query = select(AUDIT.c.person_id).where(AUDIT.c.action == ERASE)
    return set(connection.scalars(query))
