"""What a gallery holds of itself, bytes by name: its id, the check of its key, what it demands."""

import uuid

from sqlalchemy import Connection, delete, select

from visavis.errors import GalleryKeyError
from visavis.gallery.audit import Audit
from visavis.gallery.database import Database
from visavis.gallery.tables import SETTINGS
from visavis.gallery.vault import Vault, load_key, make_key

ID, KEY_CHECK, CONSENT, KEPT = "gallery_id", "key_check", "require_consent", "kept "
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

    Raises GalleryKeyError for a missing or wrong key.
    """
    with database.reading() as connection:
        known, sealed = read_setting(connection, ID), read_setting(connection, KEY_CHECK)
    if known is None:
        return _first_key(database)
    gallery = known.decode()
    vault = Vault(load_key(gallery))
    if vault.open(sealed or b"", gallery, KEY_CHECK) != CHECK:
        raise GalleryKeyError(f"{database.where}: the key at hand is not the one of this gallery")
    return gallery, vault


def _first_key(database: Database) -> tuple[str, Vault]:
    with database.writing() as connection:
        if read_setting(connection, ID) is None:
            gallery = uuid.uuid4().hex
            vault = Vault(make_key(gallery))
            write_setting(database, connection, ID, gallery.encode())
            check = vault.seal(CHECK, gallery, KEY_CHECK)
            write_setting(database, connection, KEY_CHECK, check)
            Audit(database, vault).begin(connection)
            return gallery, vault
    return unlock(database)  # another process was first
