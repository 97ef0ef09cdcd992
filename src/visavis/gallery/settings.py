"""What a gallery holds of itself, bytes by name: its id, the check of its key, what it demands."""

import uuid
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select

from visavis.errors import GalleryKeyError
from visavis.gallery import audit
from visavis.gallery import sqlite as schema
from visavis.gallery.vault import Vault, load_key, make_key

ID, KEY_CHECK, CONSENT, KEPT = "gallery_id", "key_check", "require_consent", "kept "
CHECK = b"visavis"  # what KEY_CHECK holds, sealed


def get(connection: Connection, name: str) -> bytes | None:
    """A setting, or None where there is none of that name."""
    query = select(schema.settings.c.value).where(schema.settings.c.name == name)
    value: bytes | None = connection.execute(query).scalar()
    return value


def put(connection: Connection, name: str, value: bytes) -> None:
    """Set a setting, in place of what it was."""
    connection.execute(
        insert(schema.settings).prefix_with("OR REPLACE").values(name=name, value=value)
    )


def unlock(engine: Engine, path: Path) -> tuple[str, Vault]:
    """The gallery's id and its vault; a new gallery gets both.

    Raises GalleryKeyError for a missing or wrong key.
    """
    with schema.reading(engine, path) as connection:
        known, sealed = get(connection, ID), get(connection, KEY_CHECK)
    if known is None:
        return _first_key(engine, path)
    gallery = known.decode()
    vault = Vault(load_key(gallery))
    if vault.open(sealed or b"", gallery, KEY_CHECK) != CHECK:
        raise GalleryKeyError(f"{path}: the key at hand is not the one of this gallery")
    return gallery, vault


def _first_key(engine: Engine, path: Path) -> tuple[str, Vault]:
    with schema.writing(engine, path) as connection:
        if get(connection, ID) is None:
            gallery = uuid.uuid4().hex
            vault = Vault(make_key(gallery))
            put(connection, ID, gallery.encode())
            put(connection, KEY_CHECK, vault.seal(CHECK, gallery, KEY_CHECK))
            audit.record(connection, vault, "make gallery", None, {})
            return gallery, vault
    return unlock(engine, path)  # another process was first
