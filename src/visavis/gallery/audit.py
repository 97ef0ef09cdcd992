"""What was done, in a chain: each hash covers the entry before, the last is sealed by the key.

Changing, moving or dropping an entry breaks the chain; cutting its end breaks the seal. The chain
is also the ordered log by which an index follows what any process added and erased.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from visavis.gallery.database import Database
from visavis.gallery.tables import AUDIT, SETTINGS
from visavis.gallery.vault import Vault

HEAD = "audit_head"  # the setting that holds the sealed last entry
ENROLL, RE_EMBED, ERASE, MERGE = "enroll", "re-embed", "erase", "merge"
# Made once: it is asked before each search.
SINCE = select(AUDIT).where(AUDIT.c.seq >= bindparam("seq")).order_by(AUDIT.c.seq)
Details = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One action. `person` is a random id, so that erasing a person leaves the chain whole."""

    seq: int
    at: str  # UTC, ISO 8601
    action: str
    person: str | None
    details: str  # JSON


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last entry's number and hash: two galleries with one head have one history."""

    seq: int = 0
    hash: bytes = b""


def now() -> str:
    """This moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Audit:
    """The chain of a gallery."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def record(
        self, connection: Connection, action: str, person: str | None, details: Details
    ) -> None:
        """Append one entry, within the transaction that does what it says."""
        last = head(connection)
        text = json.dumps(dict(details), sort_keys=True)
        entry = Entry(last.seq + 1, now(), action, person, text)
        digest = _hash(last.hash, entry)
        row = {
            "seq": entry.seq,
            "at": entry.at,
            "action": action,
            "person_id": person,
            "details": text,
            "hash": digest,
        }
        connection.execute(insert(AUDIT).values(row))
        sealed = self._vault.seal(f"{entry.seq} {digest.hex()}".encode(), HEAD)
        self._database.put(connection, SETTINGS, {"name": HEAD, "value": sealed})

    def broken_at(self, connection: Connection) -> int | None:
        """The number of the first entry that is not as it was written; None where all are."""
        before, seq = b"", 0
        for row in connection.execute(select(AUDIT).order_by(AUDIT.c.seq)):
            seq += 1
            if row.seq != seq or row.hash != _hash(before, _entry(row)):
                return seq
            before = row.hash
        sealed = connection.scalar(select(SETTINGS.c.value).where(SETTINGS.c.name == HEAD))
        expected = f"{seq} {before.hex()}".encode()
        whole = sealed is not None and self._vault.open(sealed, HEAD) == expected
        return None if whole else seq + 1


def head(connection: Connection) -> ChainHead:
    """The last entry: it differs after every change, whichever process made it."""
    query = select(AUDIT.c.seq, AUDIT.c.hash).order_by(AUDIT.c.seq.desc()).limit(1)
    last = connection.execute(query).first()
    return ChainHead(last.seq, last.hash) if last else ChainHead()


def entries_since(connection: Connection, seq: int) -> list[Entry]:
    """The entries after number `seq`, in order."""
    return [_entry(row) for row in connection.execute(SINCE, {"seq": seq + 1})]


def entries_of(connection: Connection, person: str) -> list[Entry]:
    """The entries on one person, in order."""
    query = select(AUDIT).where(AUDIT.c.person_id == person).order_by(AUDIT.c.seq)
    return [_entry(row) for row in connection.execute(query)]


def history(connection: Connection, known: ChainHead) -> tuple[ChainHead, list[Entry] | None]:
    """The head as it is now, and the entries since `known`.

    None where the chain does not go through `known`: a gallery restored from a backup may not.
    """
    rows = connection.execute(SINCE, {"seq": known.seq}).all()
    if not rows or (rows[0].seq, rows[0].hash) != (known.seq, known.hash):
        return head(connection), None
    return ChainHead(rows[-1].seq, rows[-1].hash), [_entry(row) for row in rows[1:]]


def _entry(row: Any) -> Entry:
    return Entry(row.seq, row.at, row.action, row.person_id, row.details)


def _hash(before: bytes, entry: Entry) -> bytes:
    parts = [entry.seq, entry.at, entry.action, entry.person, entry.details]
    document = json.dumps(parts, default=repr)  # an altered file may hold bytes in any of them
    return hashlib.sha256(before + document.encode()).digest()
