"""What a gallery holds of itself, bytes by name: its id, the check of its key, what it demands."""

import re
import uuid

from sqlalchemy import Connection, delete, literal, select

from visavis.errors import GalleryError, GalleryKeyError
from visavis.gallery.audit import Audit
from visavis.gallery.database import Database
from visavis.gallery.tables import SETTINGS, metadata
from visavis.gallery.vault import Vault, load_key, make_key

ID, KEY_CHECK, CONSENT, KEPT = "gallery_id", "key_check", "require_consent", "kept "
IDS = re.compile(b"[0-9a-f]{32}")
CHECK = b"visavis"  # what KEY_CHECK holds, sealed


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


def unlock(database: Database) -> tuple[str, Vault]:
    """The gallery's id and its vault; a new gallery gets both.

    Raises GalleryKeyError for a missing or wrong key, GalleryError where the file has lost its id
    or its key check: another key would make templates unreadable, and seal a new audit.
    """
    with database.reading() as connection:
        known, sealed = read_setting(connection, ID), read_setting(connection, KEY_CHECK)
        new = known is None and _is_new(connection)
    if new:
        return _first_key(database)
    if not isinstance(known, bytes) or not IDS.fullmatch(known) or sealed is None:
        raise GalleryError(
            f"{database.where}: a damaged gallery: its id or its key check cannot be read",
            mend="restore a backup",
        )
    gallery = known.decode()
    vault = Vault(load_key(gallery))
    if vault.open(sealed, gallery, KEY_CHECK) != CHECK:
        raise GalleryKeyError(f"{database.where}: the key at hand is not the one of this gallery")
    return gallery, vault


def _is_new(connection: Connection) -> bool:
    """Whether nothing was ever put in: there is no row in any table."""
    rows = (select(literal(1)).select_from(one).limit(1) for one in metadata.sorted_tables)
    return all(connection.scalar(row) is None for row in rows)


def _first_key(database: Database) -> tuple[str, Vault]:
    with database.writing() as connection:
        if _is_new(connection):
            gallery = uuid.uuid4().hex
            vault = Vault(make_key(gallery))
            write_setting(database, connection, ID, gallery.encode())
            check = vault.seal(CHECK, gallery, KEY_CHECK)
            write_setting(database, connection, KEY_CHECK, check)
            Audit(database, vault).begin(connection)
            return gallery, vault
    return unlock(database)  # another process was first
