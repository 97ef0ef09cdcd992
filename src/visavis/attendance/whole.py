"""Whether the ledger is as it was written: every entry of its chain, every row, every key.

What was erased with its person is not missing: the gallery's own audit says who was.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from visavis.attendance.ledger import (
    STORED,
    Ledger,
    chained,
    kept_person,
    merged_people,
    was_made,
)
from visavis.attendance.tables import CHAIN, ROWS
from visavis.gallery.audit import ERASE, ChainHead
from visavis.gallery.tables import AUDIT


def ledger_damages(ledger: Ledger) -> list[str]:
    """All that is not as it was written, in words. Reads and opens everything."""
    there = ledger.key() is not None
    with ledger.gallery.database.reading() as connection:
        if not there:
            return ["its key is not there any more"] if was_made(connection) else []
        return list(_damages(ledger, connection))


def _damages(ledger: Ledger, connection: Connection) -> Iterator[str]:
    before, seq = b"", 0
    erased, merged = _erased(connection), merged_people(connection)
    stored = dict(connection.execute(select(ROWS.c.seq, ROWS.c.sealed)).cursor.fetchall())
    numbers = set(stored)
    for row in connection.execute(select(CHAIN).order_by(CHAIN.c.seq)):
        seq += 1
        if row.seq != seq or row.hash != chained(before, dict(row._mapping)):
            yield f"its chain is broken at entry {seq}"
            return
        before, sealed = row.hash, stored.pop(seq, None)
        if sealed is None and kept_person(row.person_id, merged) not in erased:
            yield f"row {seq} is not there"
        elif sealed is not None and _digest(sealed) != row.content:
            yield f"row {seq} was altered"
    if ledger.sealed_head(connection) != ChainHead(seq, before):
        yield f"its chain was altered at its end, after entry {seq}"
    yield from (f"row {number} is in no entry of the chain" for number in sorted(stored))
    opened = {row.number for row in ledger.read(connection, STORED)}
    yield from (f"row {number} cannot be opened" for number in sorted(numbers - opened))


def _digest(sealed: Any) -> bytes:
    return hashlib.sha256(sealed).digest() if isinstance(sealed, bytes) else b""


def _erased(connection: Connection) -> set[str | None]:
    query = select(AUDIT.c.person_id).where(AUDIT.c.action == ERASE)
    return set(connection.scalars(query))
