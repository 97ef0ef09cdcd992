"""What was done, in a chain: each hash covers the entry before, the last is sealed by the key.

Changing, moving or dropping an entry breaks the chain; cutting its end, or making it anew, breaks
the seal, which is looked at before every entry: nobody's honest write covers it up. Whoever has an
old file whole can put that back; the head, kept elsewhere, tells. The chain is also the ordered log
by which an index follows what any process added and erased.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import Connection, bindparam, insert, select

from visavis.errors import GalleryError
from visavis.gallery.database import Database
from visavis.gallery.tables import AUDIT, SETTINGS
from visavis.gallery.vault import Vault

HEAD = "audit_head"  # the setting that holds the sealed last entry
ENROLL, RE_EMBED, ERASE, MERGE = "enroll", "re-embed", "erase", "merge"
ADD, REMOVE = "add person", "remove photo"
# Made once: they are asked before each search, and with each write.
SINCE = select(AUDIT).where(AUDIT.c.seq >= bindparam("seq")).order_by(AUDIT.c.seq)
LAST = select(AUDIT.c.seq, AUDIT.c.hash).order_by(AUDIT.c.seq.desc()).limit(1)
SEALED = select(SETTINGS.c.value).where(SETTINGS.c.name == HEAD)
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

    def __str__(self) -> str:
        return f"{self.seq}-{self.hash.hex()}"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """The head that was printed so. Raises GalleryError for what is none."""
        number, _, digits = text.strip().partition("-")
        if not number.isdecimal() or not re.fullmatch("[0-9a-f]{64}", digits):
            raise GalleryError(
                f"expected an audit's head, a number, a dash and 64 hexadecimal digits: got {text}"
            )
        return cls(int(number), bytes.fromhex(digits))


def now() -> str:
    """This moment, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Audit:
    """The chain of a gallery."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def begin(self, connection: Connection) -> None:
        """Make the first entry, of a gallery that has none and no seal yet."""
        self._append(connection, ChainHead(), ("make gallery", None, {}))

    def record(
        self, connection: Connection, action: str, person: str | None, details: Details
    ) -> None:
        """Append one entry, within the transaction that does what it says.

        Raises GalleryError where the last entry is not the one that was sealed.
        """
        self._append(connection, self.head(connection), (action, person, details))

    def head(self, connection: Connection) -> ChainHead:
        """The last entry, by the seal. Raises GalleryError where it is another one, or gone."""
        last = head(connection)
        if not self._sealed(connection, last):
            raise GalleryError(
                f"{self._database.where}: the audit was altered: its last entry, {last.seq}, is "
                "not the one that was sealed, so nothing more is written",
                mend="keep the file to find out who did it, and restore a backup",
            )
        return last

    def _sealed(self, connection: Connection, last: ChainHead) -> bool:
        sealed = connection.scalar(SEALED)
        expected = f"{last.seq} {last.hash.hex()}".encode()
        return sealed is not None and self._vault.open(sealed, HEAD) == expected

    def _append(
        self,
        connection: Connection,
        last: ChainHead,
        done: tuple[str, str | None, Details],
    ) -> None:
        action, person, details = done
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

    def broken_at(self, connection: Connection, known: ChainHead | None = None) -> int | None:
        """The number of the first entry that is not as it was written; None where all are.

        With `known`, a head of earlier, the entry of its number has to be that very one.
        """
        before, seq = b"", 0
        for row in connection.execute(select(AUDIT).order_by(AUDIT.c.seq)):
            seq += 1
            if row.seq != seq or row.hash != _hash(before, _entry(row)):
                return seq
            before = row.hash
            if known is not None and seq == known.seq and before != known.hash:
                return seq
        whole = self._sealed(connection, ChainHead(seq, before))
        return None if whole and (known is None or known.seq <= seq) else seq + 1


def head(connection: Connection) -> ChainHead:
    """The last entry: it differs after every change, whichever process made it."""
    last = connection.execute(LAST).first()
    if last is None:
        return ChainHead()
    # An altered file may hold anything: what is no hash is none that was ever sealed.
    return ChainHead(last.seq, last.hash if isinstance(last.hash, bytes) else b"")


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
