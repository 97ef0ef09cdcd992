"""What was done, in a chain: each hash covers the entry before, the last is sealed by the key.

Changing, moving or dropping an entry breaks the chain; cutting its end, or making it anew, breaks
the seal, which is looked at before every entry: nobody's honest write covers it up. Whoever has an
old file whole can put that back; the head, kept elsewhere, tells. The chain is also the ordered log
by which an index follows what any process added and erased.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Self

from sqlalchemy import Connection, bindparam, func, insert, select

from visavis.errors import GalleryError
from visavis.gallery.database import Database
from visavis.gallery.keycheck import check_key
from visavis.gallery.tables import AUDIT, PEOPLE, SETTINGS
from visavis.gallery.vault import Vault

HEAD = "audit_head"  # the setting that holds the sealed last entry
ENROLL, RE_EMBED, ERASE, MERGE = "enroll", "re-embed", "erase", "merge"
REMOVE = "remove photo"
ADD, RENAME, CONSENT, ACCEPT_PERSON = "add person", "rename", "consent", "accept person"
GROUP = "group"  # a person's groups are others now
SEAL, ACCEPT, ROTATE = "seal people", "accept audit", "rotate key"
NEW, ACTIVATE, ROLL_BACK = "new configuration", "activate configuration", "roll back configuration"
CONFIGURING = (NEW, ACTIVATE, ROLL_BACK)
JOINED = {ADD: 1, ERASE: -1, MERGE: -1}  # how many people more an action leaves
MOST_ENTRIES = 1 << 60  # a number above is none that was ever counted to
# Made once: they are asked before each search, and with each write.
ALL = select(AUDIT).order_by(AUDIT.c.seq)
SINCE = select(AUDIT).where(AUDIT.c.seq >= bindparam("seq")).order_by(AUDIT.c.seq)
LAST = select(AUDIT.c.seq, AUDIT.c.hash).order_by(AUDIT.c.seq.desc()).limit(1)
SEALED = select(SETTINGS.c.value).where(SETTINGS.c.name == HEAD)
Details = Mapping[str, str | int | float | None]
Done = tuple[str, str | None, Details]  # an action, the person it was done to, what is told of it


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
    people: int = field(default=0, compare=False)  # how many there were, where the seal says it
    configured: int = field(default=0, compare=False)  # the last entry of a configuration, as well

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

    def __init__(self, database: Database, vault: Vault, gallery: str) -> None:
        self._database, self._vault, self._gallery = database, vault, gallery

    def begin(self, connection: Connection) -> None:
        """Make the first entry, of a gallery that has none and no seal yet."""
        self._append(connection, ChainHead(), [("make gallery", None, {})])

    def record(
        self, connection: Connection, action: str, person: str | None, details: Details
    ) -> int:
        """Append one entry, within the transaction that does what it says; its number.

        Raises GalleryError where the last entry is not the one that was sealed, GalleryKeyError
        where the key was rotated.
        """
        return self.record_all(connection, [(action, person, details)])

    def record_all(self, connection: Connection, done: Sequence[Done]) -> int:
        """As `record`, for several; the number of the last."""
        return self._append(connection, self.head(connection), done)

    def head(self, connection: Connection) -> ChainHead:
        """The last entry, by the seal. Raises GalleryError where it is another one, or gone."""
        last, sealed = head(connection), self.sealed(connection)
        if sealed is None or sealed != last:
            check_key(connection, self._vault, self._gallery)
            raise GalleryError(
                f"{self._database.where}: the audit was altered: its last entry, {last.seq}, is "
                "not the one that was sealed, so nothing more is written",
                mend="keep the file to find out who did it, and restore a backup; or accept the "
                "audit as it is (visavis people audit accept)",
            )
        return sealed

    def sealed(self, connection: Connection) -> ChainHead | None:
        """The head that was sealed; None where there is none of this gallery and key."""
        value = connection.scalar(SEALED)
        text = None if value is None else self._vault.open(value, *self._place())
        if text is None:
            return None
        seq, digits, people, *configured = text.decode().split()  # none where it is of before
        return ChainHead(int(seq), bytes.fromhex(digits), int(people), *map(int, configured))

    def go_on(self, connection: Connection, last: ChainHead, action: str, details: Details) -> int:
        """Append an entry after `last`, whoever sealed that; for another key or a first seal."""
        return self._append(connection, last, [(action, None, details)])

    def accept(self, connection: Connection, details: Details, configured: int = 0) -> int:
        """Take the entries as they are: this one covers them all, and the chain begins with it.
        `configured` is the entry that the configurations name.

        Its number is above any that was sealed, so that no head of before is taken for it.
        """
        sealed = self.sealed(connection) or ChainHead()
        seq = max(head(connection).seq, sealed.seq)
        if not 0 <= seq < MOST_ENTRIES:
            raise GalleryError(
                f"{self._database.where}: its audit has an entry {seq}, and none can follow it",
                mend="restore a backup",
            )
        people = connection.scalar(select(func.count()).select_from(PEOPLE)) or 0
        last = ChainHead(seq, _past(connection, seq + 1), people, configured)
        return self.go_on(connection, last, ACCEPT, details)

    def _place(self) -> tuple[str, ...]:
        """Where the head is sealed: galleries may share a key."""
        return self._gallery, HEAD

    def _append(self, connection: Connection, last: ChainHead, done: Sequence[Done]) -> int:
        rows = []
        for action, person, details in done:
            text = json.dumps(dict(details), sort_keys=True)
            entry = Entry(last.seq + 1, now(), action, person, text)
            people = last.people + (JOINED.get(action, 0) if person is not None else 0)
            configured = entry.seq if action in CONFIGURING else last.configured
            last = ChainHead(entry.seq, _hash(last.hash, entry), people, configured)
            row = {**asdict(entry), "person_id": person, "hash": last.hash}
            rows.append({name: row[name] for name in AUDIT.columns.keys()})
        connection.execute(insert(AUDIT), rows)
        text = f"{last.seq} {last.hash.hex()} {last.people} {last.configured}"
        sealed = self._vault.seal(text.encode(), *self._place())
        self._database.put(connection, SETTINGS, {"name": HEAD, "value": sealed})
        return last.seq

    def broken_at(self, connection: Connection, known: ChainHead | None = None) -> int | None:
        """The number of the first entry that is not as it was written; None where all are.

        What was accepted is one with the entry that accepted it. With `known`, a head of earlier,
        the entry of its number has to be that very one.
        """
        start = accepted_at(connection)
        before, seq = (_past(connection, start), start - 1) if start else (b"", 0)
        query = SINCE if start else ALL
        for row in connection.execute(query, {"seq": start} if start else {}):
            seq += 1
            if row.seq != seq or row.hash != _hash(before, _entry(row)):
                return seq
            before = row.hash
        if self.sealed(connection) != ChainHead(seq, before):
            return seq + 1
        return None if known is None or _holds(connection, known) else min(known.seq, seq + 1)


def head(connection: Connection) -> ChainHead:
    """The last entry: it differs after every change, whichever process made it."""
    last = connection.execute(LAST).first()
    if last is None:
        return ChainHead()
    # An altered file may hold anything: what is no hash is none that was ever sealed.
    return ChainHead(last.seq, last.hash if isinstance(last.hash, bytes) else b"")


def accepted_at(connection: Connection) -> int:
    """The number of the last entry that accepted all before it; 0 where nothing ever was."""
    query = select(func.max(AUDIT.c.seq)).where(AUDIT.c.action == ACCEPT)
    return connection.scalar(query) or 0


def entries_since(connection: Connection, seq: int) -> list[Entry]:
    """The entries after number `seq`, in order."""
    return [_entry(row) for row in connection.execute(SINCE, {"seq": seq + 1})]


def entries_of(connection: Connection, person: str) -> list[Entry]:
    """The entries on one person, in order."""
    query = select(AUDIT).where(AUDIT.c.person_id == person).order_by(AUDIT.c.seq)
    return [_entry(row) for row in connection.execute(query)]


def history(connection: Connection, known: ChainHead) -> tuple[ChainHead, list[Entry] | None]:
    """The head as it is now, and the entries since `known`.

    None where the chain does not lead on from `known`: a gallery restored from a backup may not.
    """
    rows = connection.execute(SINCE, {"seq": known.seq}).all()
    if not rows or (rows[0].seq, rows[0].hash) != (known.seq, known.hash):
        return head(connection), None
    for before, row in pairwise(rows):
        if row.hash != _hash(before.hash, _entry(row)):
            return head(connection), None  # altered, or taken up anew
    return ChainHead(rows[-1].seq, rows[-1].hash), [_entry(row) for row in rows[1:]]


def _entry(row: Any) -> Entry:
    return Entry(row.seq, row.at, row.action, row.person_id, row.details)


def _holds(connection: Connection, known: ChainHead) -> bool:
    """Whether the entry of a head of earlier is there."""
    stored = connection.scalar(select(AUDIT.c.hash).where(AUDIT.c.seq == known.seq))
    return bool(stored == known.hash)


def _past(connection: Connection, seq: int) -> bytes:
    """A hash over the entries before number `seq` as they are, their own hashes included."""
    digest = hashlib.sha256()
    for row in connection.execute(ALL.where(AUDIT.c.seq < seq)):
        digest.update(json.dumps([*row], default=repr).encode() + b"\n")
    return digest.digest()


def _hash(before: bytes, entry: Entry) -> bytes:
    parts = [entry.seq, entry.at, entry.action, entry.person, entry.details]
    document = json.dumps(parts, default=repr)  # an altered file may hold bytes in any of them
    return hashlib.sha256(before + document.encode()).digest()
