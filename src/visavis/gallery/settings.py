"""What a gallery holds of itself, bytes by name: its id, the check of its key, what it demands."""

import logging
import re
import uuid
from collections.abc import Iterator

from sqlalchemy import Connection, delete, literal, select

from visavis.errors import GalleryError, GalleryKeyError, OutputError
from visavis.gallery.audit import Audit
from visavis.gallery.database import Database
from visavis.gallery.keycheck import KEY_CHECK, SEALED, open_check, sealed_check
from visavis.gallery.keyfiles import exchanging, put_in_place, waiting_key
from visavis.gallery.tables import SETTINGS, metadata
from visavis.gallery.vault import Vault, load_key, make_key

log = logging.getLogger(__name__)

ID, CONSENT, KEPT = "gallery_id", "require_consent", "kept "
COPYING = "copy of"  # while a copy is made: the id of the gallery that it will be
IDS = re.compile(b"[0-9a-f]{32}")


def read_setting(connection: Connection, name: str) -> bytes | None:
    """A setting, or None where there is none of that name."""
    value: bytes | None = connection.scalar(select(SETTINGS.c.value).where(SETTINGS.c.name == name))
    return value


def write_setting(
    database: Database, connection: Connection, name: str, value: bytes | None
) -> None:
    """Set a setting, in place of what it was; None removes it."""
    if value is None:
        connection.execute(delete(SETTINGS).where(SETTINGS.c.name == name))
    else:
        database.put(connection, SETTINGS, {"name": name, "value": value})


def unlock(database: Database) -> tuple[str, Vault, bool]:
    """The gallery's id, its vault, and whether people's rows are sealed; a new one gets all.

    Raises GalleryKeyError for a missing or wrong key, GalleryError where the file has lost its id
    or its key check: another key would make templates unreadable, and seal a new audit.
    """
    with database.reading() as connection:
        known, sealed = read_setting(connection, ID), read_setting(connection, KEY_CHECK)
        new = known is None and is_new(connection)
        copying = read_setting(connection, COPYING) is not None
    if copying:
        raise GalleryError(
            f"{database.where}: a copy that was stopped, not yet a gallery",
            mend="copy it again: what is there already is gone on with",
        )
    if new:
        return _first_key(database)
    if not isinstance(known, bytes) or not IDS.fullmatch(known) or sealed is None:
        raise GalleryError(
            f"{database.where}: a damaged gallery: its id or its key check cannot be read",
            mend="restore a backup",
        )
    gallery = known.decode()
    vault, check = _fitting(database, gallery)
    return gallery, vault, check == SEALED


def _fitting(database: Database, gallery: str) -> tuple[Vault, bytes]:
    """The vault that opens the key check, and what that holds. Ends a rotation that was stopped."""
    with database.reading() as connection:
        for key, waits in _keys(gallery):
            vault = Vault(key)
            check = open_check(connection, vault, gallery)
            if check is not None:
                if waits:
                    _end_exchange(gallery)
                return vault, check
    raise GalleryKeyError(
        f"{database.where}: the key at hand is not the one of this gallery",
        mend="a key that was rotated opens backups of before, and nothing else",
    )


def _keys(gallery: str) -> Iterator[tuple[bytes, bool]]:
    """The keys to try, and whether each is one that waits for its place."""
    yield load_key(gallery), False
    waiting = waiting_key(gallery)
    if waiting is not None:
        yield waiting, True
    # Another process may have put it in place between the two looks.
    yield load_key(gallery), False


def _end_exchange(gallery: str) -> None:
    try:
        with exchanging(gallery):
            put_in_place(gallery, load_key(gallery))
    except (GalleryError, GalleryKeyError, OutputError) as error:
        log.warning("the new key is not in its place yet; the next opening tries again: %s", error)


def is_new(connection: Connection) -> bool:
    """Whether nothing was ever put in: there is no row in any table."""
    rows = (select(literal(1)).select_from(one).limit(1) for one in metadata.sorted_tables)
    return all(connection.scalar(row) is None for row in rows)


def _first_key(database: Database) -> tuple[str, Vault, bool]:
    with database.writing() as connection:
        if is_new(connection):
            gallery = uuid.uuid4().hex
            vault = Vault(make_key(gallery))
            write_setting(database, connection, ID, gallery.encode())
            write_setting(database, connection, KEY_CHECK, sealed_check(vault, gallery))
            Audit(database, vault, gallery).begin(connection)
            return gallery, vault, True
    return unlock(database)  # another process was first
