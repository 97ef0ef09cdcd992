"""Where punches and corrections are kept: in the gallery's database, sealed, in a chain.

Each row is sealed with a key of its person's own, which is sealed with the room's key, which the
gallery keeps sealed with its own. Deleting a person deletes the one small key: whatever copy of a
row is left in a file cannot be opened. The chain has an entry for each row, over a hash of the
sealed row; its last one is sealed. Entries stay when a person is erased, with the day, the kind and
a random id: so a count of punches stays, and a row that somebody took away is told from an erased
one.
"""

import hashlib
import hmac
import json
import logging
import secrets
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, inspect, select

from visavis.attendance.tables import (
    CHAIN,
    EVIDENCES,
    HELD_TABLES,
    ROOM_KEYS,
    ROWS,
    SEENS,
    metadata,
)
from visavis.errors import AttendanceError
from visavis.gallery import Gallery
from visavis.gallery.audit import MERGE, ChainHead
from visavis.gallery.people import SealedPeople
from visavis.gallery.settings import KEPT, read_setting, write_setting
from visavis.gallery.tables import AUDIT, SETTINGS
from visavis.gallery.vault import KEY_BYTES, Vault

log = logging.getLogger(__name__)

ROOM_KEY, HEAD, OUTBOX = "attendance key", "attendance head", "attendance outbox"
ROOM, KEYS_OF, ROW, EVIDENCE, SEEN, CROP = "room", "key", "row", "evidence", "seen", "crop"
MEND = "see what attendance check says; restore a backup"

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
Body = Mapping[str, Any]
STORED = select(ROWS.c.seq, ROWS.c.at, ROWS.c.kind, ROWS.c.person_id, ROWS.c.key_id, ROWS.c.sealed)


@dataclass(frozen=True, slots=True)
class Entered:
    """A row of the ledger, opened."""

    number: int
    kind: str
    person: str | None
    at: datetime  # UTC
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to be written."""

    kind: str
    person: str | None
    at: datetime
    body: Body
    token: str = ""


class Ledger:
    """The rows of attendance in a gallery. Safe from several threads and processes."""

    def __init__(self, gallery: Gallery) -> None:
        """Nothing is written before the first row is."""
        self.gallery = gallery
        self._key: bytes | None = None
        self._opened: dict[str, Vault] = {}
        self._ready = False
        self._people = SealedPeople(gallery.vault, gallery.id)

    def prepare(self) -> None:
        """Make what the first row needs; where it is there, nothing changes."""
        if self._ready:
            return
        if self.key() is None:
            with self.gallery.database.writing() as connection:
                self._make(connection)
            self.key()
        self._make_tables()
        for table, traces in HELD_TABLES:
            self.gallery.database.register(table.name, "person_id", traces)
        self._ready = True

    def _make_tables(self) -> None:
        """Make the tables that a gallery of an older visavis lacks."""
        with self.gallery.database.reading() as connection:
            there = set(inspect(connection).get_table_names())
        if not there >= set(metadata.tables):
            with self.gallery.database.writing() as connection:
                metadata.create_all(connection)

    def append(self, connection: Connection, entry: NewRow) -> int:
        """Write one row, within the caller's transaction; its number.

        Raises PersonError where nobody has that id, AttendanceError where the chain was altered.
        """
        if entry.person is not None:
            self._people.check(connection, entry.person)
        last = self.head(connection)
        key_id, vault = self._key_for(connection, entry.person)
        seq, at = last.seq + 1, int(entry.at.timestamp())
        body = _encode({**entry.body, "person": entry.person}).encode()
        sealed = vault.seal(body, *self._place(ROW, seq, entry.kind, at))
        row = {
            "seq": seq,
            "at": at,
            "kind": entry.kind,
            "person_id": entry.person,
            "key_id": key_id,
            "token": self.token(entry.token) if entry.token else None,
            "sealed": sealed,
        }
        connection.execute(insert(ROWS).values(row))
        self._chain(connection, last, entry, sealed)
        return seq

    def _chain(self, connection: Connection, last: ChainHead, entry: NewRow, sealed: bytes) -> None:
        row: dict[str, Any] = {
            "seq": last.seq + 1,
            "day": today(),
            "kind": entry.kind,
            "person_id": entry.person,
            "content": hashlib.sha256(sealed).digest(),
        }
        row["hash"] = chained(last.hash, row)
        connection.execute(insert(CHAIN).values(row))
        self._seal_head(connection, ChainHead(row["seq"], row["hash"]))

    def number_of(self, connection: Connection, token: str) -> int | None:
        """The row that was written with a token; None where there is none."""
        query = select(ROWS.c.seq).where(ROWS.c.token == self.token(token))
        return connection.scalar(query)

    def keep_evidence(
        self, connection: Connection, seq: int, person: str, body: Body, crop: bytes | None
    ) -> None:
        """Keep what a punch is believed for."""
        key_id, vault = self._key_for(connection, person)
        row = {
            "seq": seq,
            "person_id": person,
            "key_id": key_id,
            "sealed": vault.seal(_encode(dict(body)).encode(), *self._place(EVIDENCE, seq)),
            "crop": None if crop is None else vault.seal(crop, *self._place(CROP, seq)),
        }
        connection.execute(insert(EVIDENCES).values(row))

    def evidence(self, connection: Connection, seq: int) -> tuple[dict[str, Any], bytes | None]:
        """What a punch is believed for, and its crop; empty where nothing was kept."""
        row = connection.execute(select(EVIDENCES).where(EVIDENCES.c.seq == seq)).first()
        if row is None:
            return {}, None
        vaults = self._vaults(connection, [row.key_id])
        opened = self._open(vaults, row.key_id, row.sealed, EVIDENCE, seq)
        crop = self._open(vaults, row.key_id, row.crop, CROP, seq) if row.crop else None
        if opened is None or (row.crop and crop is None):
            raise AttendanceError(f"the evidence of punch {seq} was altered", mend=MEND)
        return json.loads(opened), crop

    def seal(
        self, connection: Connection, person: str | None, data: bytes, *place: object
    ) -> tuple[str, bytes]:
        """What other modules keep beside the rows, sealed with a person's key or the room's; and
        the key's id.
        """
        key_id, vault = self._key_for(connection, person)
        return key_id, vault.seal(data, *self._place(*place))

    def opened(
        self, connection: Connection, key_id: str, sealed: Any, *place: object
    ) -> bytes | None:
        """What `seal` sealed; None where it was altered."""
        return self._open(self._vaults(connection, [key_id]), key_id, sealed, *place)

    def see(self, connection: Connection, seq: int, person: str, at: datetime) -> None:
        """Note when somebody was seen last after a punch."""
        key_id, vault = self._key_for(connection, person)
        sealed = vault.seal(b"%d" % int(at.timestamp()), *self._place(SEEN, seq))
        row = {"seq": seq, "person_id": person, "key_id": key_id, "sealed": sealed}
        self.gallery.database.put(connection, SEENS, row)

    def seen(self, connection: Connection, numbers: Sequence[int]) -> dict[int, datetime]:
        """When somebody was seen last after each of these punches."""
        seen = {}
        for part in _parts(numbers):
            rows = connection.execute(select(SEENS).where(SEENS.c.seq.in_(part))).all()
            vaults = self._vaults(connection, {row.key_id for row in rows})
            for row in rows:
                opened = self._open(vaults, row.key_id, row.sealed, SEEN, row.seq)
                if opened is None:
                    raise AttendanceError(
                        f"the last sighting of punch {row.seq} was altered", mend=MEND
                    )
                seen[row.seq] = datetime.fromtimestamp(int(opened), UTC)
        return seen

    def delivered(self, connection: Connection, target: str) -> int:
        """The last row that a target of the outbox has; 0 where it has none.

        Raises AttendanceError where the note was altered.
        """
        sealed = read_setting(connection, f"{OUTBOX} {target}")
        if sealed is None:
            return 0
        opened = self._room().open(sealed, *self._place(OUTBOX, target))
        if opened is None:
            raise AttendanceError(f"the outbox of {target} was altered", mend=MEND)
        return int(opened)

    def note_delivered(self, connection: Connection, target: str, number: int) -> None:
        """Note the last row that a target has; another process may be further already."""
        number = max(number, self.delivered(connection, target))
        sealed = self._room().seal(b"%d" % number, *self._place(OUTBOX, target))
        row = {"name": f"{OUTBOX} {target}", "value": sealed}
        self.gallery.database.put(connection, SETTINGS, row)

    def rows(
        self,
        connection: Connection,
        kinds: Sequence[str],
        *,
        between: tuple[datetime, datetime] | None = None,
        people: Sequence[str] | None = None,
        after: int = 0,
        up_to: int | None = None,
    ) -> list[Entered]:
        """The rows of some kinds, by time and number. What was altered is left out, and named."""
        if self.key() is None:
            return []
        query = STORED.where(ROWS.c.kind.in_(kinds), ROWS.c.seq > after)
        if up_to is not None:
            query = query.where(ROWS.c.seq <= up_to)
        if between is not None:
            first, last = (int(at.timestamp()) for at in between)
            query = query.where(ROWS.c.at >= first, ROWS.c.at < last)
        if people is None:
            return self.read(connection, query.order_by(ROWS.c.at, ROWS.c.seq))
        own = [query.where(ROWS.c.person_id.in_(part)) for part in _parts(people)]
        read = [row for part in own for row in self.read(connection, part)]
        return sorted(read, key=lambda row: (row.at, row.number))

    def read(self, connection: Connection, query: Select[Any]) -> list[Entered]:
        """The rows of a query of `columns`; what was altered is left out, and named."""
        # The driver's own rows: of a month of a large house that saves seconds.
        rows = connection.execute(query).cursor.fetchall()
        vaults = self._vaults(connection, {row[4] for row in rows})
        merged: dict[str | None, str | None] | None = None
        opened, altered = [], []
        for seq, at, kind, person, key_id, sealed in rows:
            data = self._open(vaults, key_id, sealed, ROW, seq, kind, at)
            body = json.loads(data) if data else None
            if body is not None and body["person"] != person and merged is None:
                merged = merged_people(connection)
            if body is None or kept_person(body["person"], merged or {}) != person:
                altered.append(seq)
            else:
                moment = datetime.fromtimestamp(at, UTC)
                opened.append(Entered(seq, kind, person, moment, body))
        if altered:
            log.warning(
                "altered, and left out: %d rows of attendance, the first is %s: %s",
                len(altered), altered[0], MEND,
            )  # fmt: skip
        return opened

    def head(self, connection: Connection) -> ChainHead:
        """The last entry, by the seal. Raises AttendanceError where it is another one, or gone."""
        query = select(CHAIN.c.seq, CHAIN.c.hash).order_by(CHAIN.c.seq.desc()).limit(1)
        row = connection.execute(query).first()
        last = ChainHead(row.seq, row.hash) if row is not None else ChainHead()
        if self.sealed_head(connection) != last:
            raise AttendanceError(
                f"{self.gallery.where}: the chain of attendance was altered: its last entry, "
                f"{last.seq}, is not the one that was sealed, so nothing more is written",
                mend="keep the file to find out who did it, and restore a backup",
            )
        return last

    def counts(self) -> dict[str, int]:
        """How many punches were written on each day: those of erased people, too."""
        if self.key() is None:
            return {}
        query = select(CHAIN.c.day, func.count()).where(CHAIN.c.kind == "punch")
        with self.gallery.database.reading() as connection:
            rows = connection.execute(query.group_by(CHAIN.c.day).order_by(CHAIN.c.day))
            return {row[0]: row[1] for row in rows}

    def _make(self, connection: Connection) -> None:
        if read_setting(connection, KEPT + ROOM_KEY) is not None:
            return  # another process was first
        if was_made(connection):
            raise AttendanceError(
                "attendance was altered: its key is not there any more", mend=MEND
            )
        gallery, key = self.gallery, secrets.token_bytes(KEY_BYTES)
        gallery.database.make(connection, metadata)
        sealed = gallery.vault.seal(key, gallery.id, KEPT, ROOM_KEY)
        write_setting(gallery.database, connection, KEPT + ROOM_KEY, sealed)
        gallery.audit.record(connection, "keep", None, {"document": ROOM_KEY})
        self._seal_head(connection, ChainHead(), Vault(key))

    def key(self) -> bytes | None:
        """The room's key; None where no row was ever written. Raises GalleryError: altered."""
        if self._key is None:
            self._key = self.gallery.kept(ROOM_KEY)
        return self._key

    def _room(self) -> Vault:
        key = self.key()
        if key is None:
            raise AttendanceError("there is no attendance in this gallery yet")
        return Vault(key)

    def _seal_head(
        self, connection: Connection, last: ChainHead, room: Vault | None = None
    ) -> None:
        sealed = (room or self._room()).seal(str(last).encode(), *self._place(HEAD))
        self.gallery.database.put(connection, SETTINGS, {"name": HEAD, "value": sealed})

    def sealed_head(self, connection: Connection) -> ChainHead | None:
        """The last entry that was sealed; None where the seal does not open."""
        sealed = read_setting(connection, HEAD)
        text = None if sealed is None else self._room().open(sealed, *self._place(HEAD))
        if text is None:
            return None
        number, _, digits = text.decode().partition("-")
        return ChainHead(int(number), bytes.fromhex(digits))

    def _key_for(self, connection: Connection, person: str | None) -> tuple[str, Vault]:
        """The key that a person's rows are sealed with, made where there is none yet."""
        if person is None:
            return "", self._room()
        query = select(ROOM_KEYS.c.id).where(ROOM_KEYS.c.person_id == person)
        key_id = connection.scalar(query.order_by(ROOM_KEYS.c.id).limit(1))
        if key_id is None:
            key_id = uuid.uuid4().hex
            key = secrets.token_bytes(KEY_BYTES)
            sealed = self._room().seal(key, *self._place(KEYS_OF, key_id))
            row = {"id": key_id, "person_id": person, "sealed": sealed}
            connection.execute(insert(ROOM_KEYS).values(row))
        vault = self._vaults(connection, [key_id]).get(key_id)
        if vault is None:
            raise AttendanceError(f"the key of person {person}'s attendance was altered", mend=MEND)
        return key_id, vault

    def _vaults(self, connection: Connection, ids: Iterable[str]) -> dict[str, Vault]:
        """The keys of these ids that open, each opened once."""
        room = self._room()
        wanted = set(ids)
        new = sorted(wanted - set(self._opened) - {""})
        for part in _parts(new):
            query = select(ROOM_KEYS.c.id, ROOM_KEYS.c.sealed).where(ROOM_KEYS.c.id.in_(part))
            for key_id, sealed in connection.execute(query).cursor.fetchall():
                key = room.open(sealed, *self._place(KEYS_OF, key_id))
                if key is not None:
                    self._opened[key_id] = Vault(key)
        return {**{key_id: self._opened[key_id] for key_id in wanted & set(self._opened)}, "": room}

    def _open(
        self, vaults: Mapping[str, Vault], key_id: str, sealed: Any, *place: object
    ) -> bytes | None:
        """What was sealed there; None where it does not open, or its key does not."""
        vault = vaults.get(key_id)
        return None if vault is None else vault.open(sealed, *self._place(*place))

    def token(self, text: str) -> bytes:
        """Of no use to whoever has no key: they cannot try names and times."""
        return hmac.digest(self.key() or b"", text.encode(), "sha256")

    def _place(self, *parts: object) -> tuple[str, ...]:
        return self.gallery.id, ROOM, *map(str, parts)


def today() -> str:
    """The day on which a row is written, UTC."""
    return datetime.now(UTC).date().isoformat()


def chained(before: bytes, row: Mapping[str, Any]) -> bytes:
    """The hash of an entry of the chain, after the one of a hash."""
    parts = [row[name] for name in ("seq", "day", "kind", "person_id", "content")]
    return hashlib.sha256(before + json.dumps(parts, default=repr).encode()).digest()


def _parts(values: Sequence[Any], size: int = 500) -> Iterator[Sequence[Any]]:
    """A database takes so many values in one question."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def merged_people(connection: Connection) -> dict[str | None, str | None]:
    """Who was merged into whom, by the gallery's audit."""
    query = select(AUDIT.c.person_id, AUDIT.c.details).where(AUDIT.c.action == MERGE)
    return {
        json.loads(row.details).get("merged"): row.person_id for row in connection.execute(query)
    }


def kept_person(person: str | None, merged: Mapping[str | None, str | None]) -> str | None:
    """Who somebody is after all merges."""
    while person in merged:
        person = merged[person]
    return person


def was_made(connection: Connection) -> bool:
    """Whether attendance was ever kept here, by the gallery's audit."""
    details = json.dumps({"document": ROOM_KEY})
    query = select(func.count()).where(AUDIT.c.action == "keep", AUDIT.c.details == details)
    return bool(connection.scalar(query))
