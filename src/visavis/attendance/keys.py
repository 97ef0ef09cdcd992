"""The keys of attendance: the room's, sealed with the gallery's, and each person's, sealed with it.

A rotation of the gallery's key makes the room's key anew, and from then on new ones for everybody:
whoever had the old key and an old copy of the file has the old ones, and opens nothing that is
written later, makes no row that counts, and cannot try whether somebody was somewhere. What was
written before stays under its own keys: they have that already.
"""

import hmac
import json
import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from visavis.attendance.tables import ROOM_KEYS
from visavis.errors import AttendanceError, GalleryError
from visavis.gallery import Gallery
from visavis.gallery.audit import ROTATE
from visavis.gallery.keycheck import check_key
from visavis.gallery.settings import KEPT, read_setting, write_setting
from visavis.gallery.tables import AUDIT
from visavis.gallery.vault import KEY_BYTES, Vault

ROOM_KEY, ROOM, KEYS_OF = "attendance key", "room", "key"
MEND = "see what attendance check says; restore a backup"


@dataclass(frozen=True, slots=True)
class RoomKey:
    """The room's key, and after which rotation of the gallery's it was made: an audit's entry."""

    key: bytes
    generation: int

    @property
    def name(self) -> str:
        """What rows of nobody are sealed with."""
        return f"{ROOM} {self.generation}" if self.generation else ""

    @property
    def vault(self) -> Vault:
        """What it seals with."""
        return Vault(self.key)

    def token(self, text: str) -> bytes:
        """What a text is told by: whoever has no key cannot try names and times."""
        return token_of(self.key, text)


class RoomKeys:
    """The keys of a gallery's attendance. Safe from several threads and processes."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._sealed: bytes | None = None  # the room's key as it was read last
        self._room: RoomKey | None = None
        self._opened: dict[str, bytes] = {}

    def room(self, connection: Connection) -> RoomKey | None:
        """The room's key; None where no row was ever written.

        Raises GalleryError where it was altered, GalleryKeyError where the gallery's was rotated.
        """
        sealed = read_setting(connection, KEPT + ROOM_KEY)
        if sealed is not None and sealed != self._sealed:
            gallery = self._gallery
            opened = gallery.vault.open(sealed, gallery.id, KEPT, ROOM_KEY)
            if opened is None:
                check_key(connection, gallery.vault, gallery.id)
                raise GalleryError(f"{gallery.where}: {ROOM_KEY} was altered", mend=MEND)
            self._room = RoomKey(opened[:KEY_BYTES], int(opened[KEY_BYTES:] or b"0"))
            self._sealed = sealed
        return None if sealed is None else self._room

    def the_room(self, connection: Connection) -> RoomKey:
        """As `room`. Raises AttendanceError where there is none."""
        room = self.room(connection)
        if room is None:
            raise AttendanceError("there is no attendance in this gallery yet")
        return room

    def make(self, connection: Connection) -> RoomKey | None:
        """Make the room's key; None where another process was first.

        Raises AttendanceError where there was one before.
        """
        if read_setting(connection, KEPT + ROOM_KEY) is not None:
            return None
        if was_made(connection):
            raise AttendanceError(
                "attendance was altered: its key is not there any more", mend=MEND
            )
        return self._write(connection, last_rotation(connection))

    def renew(self, connection: Connection) -> tuple[RoomKey, RoomKey] | None:
        """Make the room's key anew, the old one and the new; None where the gallery's was not
        rotated since. What else is sealed with the old one is the caller's.
        """
        old, rotation = self.the_room(connection), last_rotation(connection)
        if rotation <= old.generation:
            return None
        new = self._write(connection, rotation)
        for row in connection.execute(select(ROOM_KEYS)).all():
            key = old.vault.open(row.sealed, *self.place(KEYS_OF, row.id))
            if key is not None:  # what was altered stays as it is
                sealed = new.vault.seal(key, *self.place(KEYS_OF, row.id))
                this = update(ROOM_KEYS).where(ROOM_KEYS.c.id == row.id)
                connection.execute(this.values(sealed=sealed))
        self._insert(connection, new, old.name or ROOM, "", old.key)
        return old, new

    def of(self, connection: Connection, person: str | None) -> tuple[str, Vault]:
        """The key, by its id, that a person's rows are sealed with, or nobody's; made where there
        is none yet.
        """
        room = self.the_room(connection)
        if person is None:
            return room.name, room.vault
        prefix = f"{room.generation} " if room.generation else ""
        own = select(ROOM_KEYS.c.id).where(
            ROOM_KEYS.c.person_id == person, ROOM_KEYS.c.id.startswith(prefix)
        )
        key_id = connection.scalar(own.order_by(ROOM_KEYS.c.id).limit(1))
        if key_id is None:
            key_id = f"{prefix}{uuid.uuid4().hex}"
            self._insert(connection, room, key_id, person, secrets.token_bytes(KEY_BYTES))
        vault = self.vaults(connection, [key_id]).get(key_id)
        if vault is None:
            raise AttendanceError(f"the key of person {person}'s attendance was altered", mend=MEND)
        return key_id, vault

    def vaults(self, connection: Connection, ids: Iterable[str]) -> dict[str, Vault]:
        """The keys of these ids that open."""
        keys = self._keys(connection, ids)
        return {key_id: Vault(key) for key_id, key in keys.items()}

    def tokens(self, connection: Connection, text: str) -> list[bytes]:
        """What a text is told by: with the room's key, then with each that it had before."""
        room = self.the_room(connection)
        older = select(ROOM_KEYS.c.id).where(ROOM_KEYS.c.person_id == "")
        ids = list(connection.scalars(older)) if room.generation else []
        older_keys = self._keys(connection, ids).values()
        return [room.token(text), *(token_of(key, text) for key in older_keys)]

    def place(self, *parts: object) -> tuple[str, ...]:
        """Where something is sealed: it opens in no other place."""
        return self._gallery.id, ROOM, *map(str, parts)

    def _keys(self, connection: Connection, ids: Iterable[str]) -> dict[str, bytes]:
        room, wanted = self.the_room(connection), set(ids)
        keys = {room.name: room.key} if room.name in wanted else {}
        # The first room's key had no name.
        names = {key_id: key_id or ROOM for key_id in wanted - {room.name}}
        for part in parts_of(sorted(set(names.values()) - set(self._opened))):
            query = select(ROOM_KEYS.c.id, ROOM_KEYS.c.sealed).where(ROOM_KEYS.c.id.in_(part))
            for key_id, sealed in connection.execute(query).cursor.fetchall():
                key = room.vault.open(sealed, *self.place(KEYS_OF, key_id))
                if key is not None:
                    self._opened[key_id] = key
        opened = {key_id: self._opened.get(name) for key_id, name in names.items()}
        return keys | {key_id: key for key_id, key in opened.items() if key is not None}

    def _insert(
        self, connection: Connection, room: RoomKey, key_id: str, person: str, key: bytes
    ) -> None:
        sealed = room.vault.seal(key, *self.place(KEYS_OF, key_id))
        row = {"id": key_id, "person_id": person, "sealed": sealed}
        connection.execute(insert(ROOM_KEYS).values(row))

    def _write(self, connection: Connection, generation: int) -> RoomKey:
        """Make and keep a key of the room, as the gallery keeps documents."""
        gallery, made = self._gallery, RoomKey(secrets.token_bytes(KEY_BYTES), generation)
        document = made.key + (b"%d" % generation if generation else b"")
        sealed = gallery.vault.seal(document, gallery.id, KEPT, ROOM_KEY)
        write_setting(gallery.database, connection, KEPT + ROOM_KEY, sealed)
        gallery.audit.record(connection, "keep", None, {"document": ROOM_KEY})
        return made


def token_of(key: bytes, text: str) -> bytes:
    """What a text is told by, with a key."""
    return hmac.digest(key, text.encode(), "sha256")


def parts_of(values: Sequence[Any], size: int = 500) -> Iterator[Sequence[Any]]:
    """A database takes so many values in one question."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def last_rotation(connection: Connection) -> int:
    """The entry of the gallery's audit that rotated its key last; 0 for none."""
    query = select(func.max(AUDIT.c.seq)).where(AUDIT.c.action == ROTATE)
    return connection.scalar(query) or 0


def was_made(connection: Connection) -> bool:
    """Whether attendance was ever kept here, by the gallery's audit."""
    details = json.dumps({"document": ROOM_KEY})
    query = select(func.count()).where(AUDIT.c.action == "keep", AUDIT.c.details == details)
    return bool(connection.scalar(query))
