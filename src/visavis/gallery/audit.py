"""What was done, in a chain: each hash covers the entry before, the last is sealed by the key.

Changing, moving or dropping an entry breaks the chain; cutting its end breaks the seal.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from visavis.gallery import sqlite as schema
from visavis.gallery.vault import Vault

HEAD = "audit_head"  # the setting that holds the sealed last entry
Details = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One action. `person` is a random id, so that erasing a person leaves the chain whole."""

    seq: int
    at: str  # UTC, ISO 8601
    action: str
    person: str | None
    details: str  # JSON


def now() -> str:
    """This moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def record(
    connection: Connection, vault: Vault, action: str, person: str | None, details: Details
) -> None:
    """Append one entry, within the transaction that does what it says."""
    last = connection.execute(
        select(schema.audit.c.seq, schema.audit.c.hash).order_by(schema.audit.c.seq.desc()).limit(1)
    ).first()
    seq, before = (last.seq + 1, last.hash) if last else (1, b"")
    entry = Entry(seq, now(), action, person, json.dumps(dict(details), sort_keys=True))
    digest = _hash(before, entry)
    connection.execute(
        insert(schema.audit).values(
            seq=seq,
            at=entry.at,
            action=action,
            person_id=person,
            details=entry.details,
            hash=digest,
        )
    )
    sealed = vault.seal(f"{seq} {digest.hex()}".encode(), HEAD)
    connection.execute(
        insert(schema.settings).prefix_with("OR REPLACE").values(name=HEAD, value=sealed)
    )


def broken_at(connection: Connection, vault: Vault) -> int | None:
    """The number of the first entry that is not as it was written; None where all are."""
    before, seq = b"", 0
    for row in connection.execute(select(schema.audit).order_by(schema.audit.c.seq)):
        seq += 1
        entry = Entry(row.seq, row.at, row.action, row.person_id, row.details)
        if row.seq != seq or row.hash != _hash(before, entry):
            return seq
        before = row.hash
    head = connection.execute(
        select(schema.settings.c.value).where(schema.settings.c.name == HEAD)
    ).scalar()
    expected = f"{seq} {before.hex()}".encode()
    return None if head is not None and vault.open(head, HEAD) == expected else seq + 1


def _hash(before: bytes, entry: Entry) -> bytes:
    parts = [entry.seq, entry.at, entry.action, entry.person, entry.details]
    document = json.dumps(parts, default=repr)  # an altered file may hold bytes in any of them
    return hashlib.sha256(before + document.encode()).digest()
