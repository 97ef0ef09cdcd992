"""Where punches and corrections are kept: in the gallery's database, sealed, in a chain.

Each row is sealed with a key of its person's own, which is sealed with the room's key, which the
gallery keeps sealed with its own. Deleting a person deletes the one small key: whatever copy of a
row is left in a file cannot be opened. The chain has an entry for each row, over a hash of the
sealed row; its last one is sealed. Entries stay when a person is erased, with the day, the kind and
a random id: so a count of punches stays, and a row that somebody took away is told from an erased
one.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Select, func, insert, inspect, select

from visavis.attendance.keys import MEND, RoomKey, RoomKeys, last_rotation, parts_of
from visavis.attendance.tables import (
    CHAIN,
    EVIDENCES,
    HELD_TABLES,
    ROWS,
    SEENS,
    metadata,
)
from visavis.errors import AttendanceError
from visavis.gallery import Gallery
from visavis.gallery.audit import MERGE, ChainHead
from visavis.gallery.people import SealedPeople
from visavis.gallery.settings import read_setting
from visavis.gallery.tables import AUDIT, SETTINGS
from visavis.gallery.vault import Vault

log = logging.getLogger(__name__)

HEAD, OUTBOX = "attendance head", "attendance outbox"
ROW, EVIDENCE, SEEN, CROP = "row", "evidence", "seen", "crop"
NOTES = select(SETTINGS.c.name).where(SETTINGS.c.name.startswith(OUTBOX))

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_decode = json.JSONDecoder().raw_decode  # `loads` looks for an encoding first
Body = Mapping[str, Any]
# A row's number, kind, person, moment in UTC, and body: of an `Entered`.
OpenedRow = tuple[int, str, str | None, datetime, dict[str, Any]]
_by_time = attrgetter("at", "number")  # of rows: their order
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
        self.keys = RoomKeys(gallery)
        self._ready = False
        self._people = SealedPeople(gallery.vault, gallery.id)

    def prepare(self) -> None:
        """Make what the first row needs; where it is there, nothing changes. Where the gallery's
        key was rotated, make new ones.
        """
        if self._ready:
            return
        self._make()
        self.renew()
        for table, traces in HELD_TABLES:
            self.gallery.database.register(table.name, "person_id", traces)
        self._ready = True

    def _make(self) -> None:
        """Make the key and the tables that are not there; an older visavis had fewer."""
        with self.gallery.database.reading() as connection:
            there = set(inspect(connection).get_table_names())
            if self.keys.room(connection) is not None and there >= set(metadata.tables):
                return
        with self.gallery.database.writing() as connection:
            self.gallery.database.make(connection, metadata)
            room = self.keys.make(connection)
            if room is not None:
                self._seal_head(connection, ChainHead(), room)

    def renew(self) -> bool:
        """Make the room's key anew, and new ones for what is written from now on; whether that was
        due: it is after each rotation of the gallery's key.

        Raises AttendanceError where the chain was altered.
        """
        with self.gallery.database.reading() as connection:
            room = self.keys.room(connection)
            if room is None or room.generation >= last_rotation(connection):
                return False
        with self.gallery.database.writing() as connection:
            last = self.head(connection)
            renewed = self.keys.renew(connection)
            if renewed is not None:
                old, new = renewed
                self._seal_head(connection, last, new)
                for name in connection.scalars(NOTES).all():
                    target = name.removeprefix(f"{OUTBOX} ")
                    self._note(connection, target, self._delivered(connection, target, old), new)
        return renewed is not None

    def append(self, connection: Connection, entry: NewRow) -> int:
        """Write one row, within the caller's transaction; its number.

        Raises PersonError where nobody has that id, AttendanceError where the chain was altered.
        """
        return self.append_all(connection, [entry])[0]

    def append_all(self, connection: Connection, entries: Sequence[NewRow]) -> list[int]:
        """As `append`, of several."""
        last = self.head(connection)
        people = dict.fromkeys(entry.person for entry in entries)
        for person in people:
            if person is not None:
                self._people.check(connection, person)
        room = self.keys.the_room(connection)
        keys = {person: self.keys.of(connection, person) for person in people}
        rows = [
            self._sealed_row(number, entry, room, keys[entry.person])
            for number, entry in enumerate(entries, last.seq + 1)
        ]
        if rows:
            connection.execute(insert(ROWS), rows)
            self._chain(connection, last, rows)
        return [row["seq"] for row in rows]

    def _sealed_row(
        self, number: int, entry: NewRow, room: RoomKey, key: tuple[str, Vault]
    ) -> dict[str, Any]:
        key_id, vault = key
        at = int(entry.at.timestamp())
        body = _encode({**entry.body, "person": entry.person}).encode()
        return {
            "seq": number,
            "at": at,
            "kind": entry.kind,
            "person_id": entry.person,
            "key_id": key_id,
            "token": room.token(entry.token) if entry.token else None,
            "sealed": vault.seal(body, *self.keys.place(ROW, number, entry.kind, at)),
        }

    def _chain(
        self, connection: Connection, last: ChainHead, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        day, before, chain = today(), last.hash, []
        for row in rows:
            link: dict[str, Any] = {name: row[name] for name in ("seq", "kind", "person_id")}
            link |= {"day": day, "content": hashlib.sha256(row["sealed"]).digest()}
            before = link["hash"] = chained(before, link)
            chain.append(link)
        connection.execute(insert(CHAIN), chain)
        self._seal_head(connection, ChainHead(rows[-1]["seq"], before))

    def number_of(self, connection: Connection, token: str) -> int | None:
        """The row that was written with a token; None where there is none."""
        tokens = self.keys.tokens(connection, token)
        return connection.scalar(select(ROWS.c.seq).where(ROWS.c.token.in_(tokens)))

    def keep_evidence(
        self, connection: Connection, seq: int, person: str, body: Body, crop: bytes | None
    ) -> None:
        """Keep what a punch is believed for."""
        key_id, vault = self.keys.of(connection, person)
        row = {
            "seq": seq,
            "person_id": person,
            "key_id": key_id,
            "sealed": vault.seal(_encode(dict(body)).encode(), *self.keys.place(EVIDENCE, seq)),
            "crop": None if crop is None else vault.seal(crop, *self.keys.place(CROP, seq)),
        }
        connection.execute(insert(EVIDENCES).values(row))

    def evidence(self, connection: Connection, seq: int) -> tuple[dict[str, Any], bytes | None]:
        """What a punch is believed for, and its crop; empty where nothing was kept."""
        row = connection.execute(select(EVIDENCES).where(EVIDENCES.c.seq == seq)).first()
        if row is None:
            return {}, None
        vaults = self.keys.vaults(connection, [row.key_id])
        opened = self._open(vaults, row.key_id, row.sealed, EVIDENCE, seq)
        crop = self._open(vaults, row.key_id, row.crop, CROP, seq) if row.crop else None
        if opened is None or (row.crop and crop is None):
            raise AttendanceError(f"the evidence of punch {seq} was altered", mend=MEND)
        return json.loads(opened), crop

    def altered_evidence(self, connection: Connection, numbers: Sequence[int]) -> list[int]:
        """Of these punches, those whose evidence or crop does not open."""
        rows = connection.execute(select(EVIDENCES).where(EVIDENCES.c.seq.in_(numbers))).all()
        vaults = self.keys.vaults(connection, {row.key_id for row in rows})
        return [
            row.seq
            for row in rows
            for kind, sealed in ((EVIDENCE, row.sealed), (CROP, row.crop))
            if sealed is not None and self._open(vaults, row.key_id, sealed, kind, row.seq) is None
        ]

    def seal(
        self, connection: Connection, person: str | None, data: bytes, *place: object
    ) -> tuple[str, bytes]:
        """What other modules keep beside the rows, sealed with a person's key or the room's; and
        the key's id.
        """
        key_id, vault = self.keys.of(connection, person)
        return key_id, vault.seal(data, *self.keys.place(*place))

    def opened(
        self, connection: Connection, key_id: str, sealed: Any, *place: object
    ) -> bytes | None:
        """What `seal` sealed; None where it was altered."""
        return self._open(self.keys.vaults(connection, [key_id]), key_id, sealed, *place)

    def see(self, connection: Connection, seq: int, person: str, at: datetime) -> None:
        """Note when somebody was seen last after a punch."""
        key_id, vault = self.keys.of(connection, person)
        sealed = vault.seal(b"%d" % int(at.timestamp()), *self.keys.place(SEEN, seq))
        row = {"seq": seq, "person_id": person, "key_id": key_id, "sealed": sealed}
        self.gallery.database.put(connection, SEENS, row)

    def seen(self, connection: Connection, numbers: Sequence[int]) -> dict[int, datetime]:
        """When somebody was seen last after each of these punches."""
        seen = {}
        for part in parts_of(numbers):
            rows = connection.execute(select(SEENS).where(SEENS.c.seq.in_(part))).all()
            vaults = self.keys.vaults(connection, {row.key_id for row in rows})
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
        return self._delivered(connection, target, self.keys.the_room(connection))

    def _delivered(self, connection: Connection, target: str, room: RoomKey) -> int:
        sealed = read_setting(connection, f"{OUTBOX} {target}")
        if sealed is None:
            return 0
        opened = room.vault.open(sealed, *self.keys.place(OUTBOX, target))
        if opened is None:
            raise AttendanceError(f"the outbox of {target} was altered", mend=MEND)
        return int(opened)

    def note_delivered(self, connection: Connection, target: str, number: int) -> None:
        """Note the last row that a target has; another process may be further already."""
        number = max(number, self.delivered(connection, target))
        self._note(connection, target, number, self.keys.the_room(connection))

    def _note(self, connection: Connection, target: str, number: int, room: RoomKey) -> None:
        sealed = room.vault.seal(b"%d" % number, *self.keys.place(OUTBOX, target))
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
        if self.keys.room(connection) is None:
            return []
        own = self._queries(kinds, between, people, after, up_to)
        read = [row for query in own for row in self.read(connection, query)]
        return sorted(read, key=_by_time)

    def punched(
        self,
        connection: Connection,
        kind: str,
        between: tuple[datetime, datetime],
        people: Sequence[str] | None = None,
    ) -> Iterator[OpenedRow]:
        """As `rows` of one kind, in no order, as plain tuples."""
        if self.keys.room(connection) is not None:
            for query in self._queries([kind], between, people):
                yield from self.opened_rows(connection, query)

    def _queries(
        self,
        kinds: Sequence[str],
        between: tuple[datetime, datetime] | None,
        people: Sequence[str] | None,
        after: int = 0,
        up_to: int | None = None,
    ) -> list[Select[Any]]:
        query = STORED.where(ROWS.c.kind.in_(kinds), ROWS.c.seq > after)
        if up_to is not None:
            query = query.where(ROWS.c.seq <= up_to)
        if between is not None:
            first, last = (int(at.timestamp()) for at in between)
            query = query.where(ROWS.c.at >= first, ROWS.c.at < last)
        if people is None:
            return [query]
        return [query.where(ROWS.c.person_id.in_(part)) for part in parts_of(people)]

    def read(self, connection: Connection, query: Select[Any]) -> list[Entered]:
        """The rows of a query of `columns`; what was altered is left out, and named."""
        return [Entered(*row) for row in self.opened_rows(connection, query)]

    def opened_rows(self, connection: Connection, query: Select[Any]) -> Iterator[OpenedRow]:
        """As `read`, one by one, as plain tuples: of a month of a large house there are a million,
        and what is not done for each saves seconds.
        """
        rows = connection.execute(query).cursor.fetchall()
        vaults = self.keys.vaults(connection, {row[4] for row in rows})
        merged: dict[str | None, str | None] | None = None
        altered, place, moment = [], self.keys.place, datetime.fromtimestamp
        for seq, at, kind, person, key_id, sealed in rows:
            vault = vaults.get(key_id)
            data = vault and vault.open(sealed, *place(ROW, seq, kind, at))
            body = _decode(data.decode())[0] if data else None
            if body is not None and body["person"] != person:
                merged = merged_people(connection) if merged is None else merged
                body = body if kept_person(body["person"], merged) == person else None
            if body is None:
                altered.append(seq)
            else:
                yield seq, kind, person, moment(at, UTC), body
        if altered:
            log.warning(
                "altered, and left out: %d rows of attendance, the first is %s: %s",
                len(altered), altered[0], MEND,
            )  # fmt: skip

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
        query = select(CHAIN.c.day, func.count()).where(CHAIN.c.kind == "punch")
        with self.gallery.database.reading() as connection:
            if self.keys.room(connection) is None:
                return {}
            rows = connection.execute(query.group_by(CHAIN.c.day).order_by(CHAIN.c.day))
            return {row[0]: row[1] for row in rows}

    def key(self) -> bytes | None:
        """The room's key; None where no row was ever written. Raises GalleryError: altered."""
        with self.gallery.database.reading() as connection:
            room = self.keys.room(connection)
        return None if room is None else room.key

    def _seal_head(
        self, connection: Connection, last: ChainHead, room: RoomKey | None = None
    ) -> None:
        room = room or self.keys.the_room(connection)
        sealed = room.vault.seal(str(last).encode(), *self.keys.place(HEAD))
        self.gallery.database.put(connection, SETTINGS, {"name": HEAD, "value": sealed})

    def sealed_head(self, connection: Connection) -> ChainHead | None:
        """The last entry that was sealed; None where the seal does not open."""
        sealed = read_setting(connection, HEAD)
        room = self.keys.the_room(connection)
        text = None if sealed is None else room.vault.open(sealed, *self.keys.place(HEAD))
        if text is None:
            return None
        number, _, digits = text.decode().partition("-")
        return ChainHead(int(number), bytes.fromhex(digits))

    def _open(
        self, vaults: Mapping[str, Vault], key_id: str, sealed: Any, *place: object
    ) -> bytes | None:
        """What was sealed there; None where it does not open, or its key does not."""
        vault = vaults.get(key_id)
        return None if vault is None else vault.open(sealed, *self.keys.place(*place))


def today() -> str:
    """The day on which a row is written, UTC."""
    return datetime.now(UTC).date().isoformat()


def chained(before: bytes, row: Mapping[str, Any]) -> bytes:
    """The hash of an entry of the chain, after the one of a hash."""
    parts = [row[name] for name in ("seq", "day", "kind", "person_id", "content")]
    return hashlib.sha256(before + json.dumps(parts, default=repr).encode()).digest()


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
