"""Whether a key is the gallery's, and whether the rows of its people are sealed. Knows no files."""

from sqlalchemy import Connection, select

from visavis.errors import GalleryKeyError
from visavis.gallery.tables import SETTINGS
from visavis.gallery.vault import Vault

KEY_CHECK = "key_check"  # the setting that only the gallery's key opens
# What it holds. Galleries of before hold the first: nobody without the key can bring that back.
UNSEALED, SEALED = b"visavis", b"visavis, people sealed"


def sealed_check(vault: Vault, gallery: str) -> bytes:
    """The key check of a gallery whose people's rows are sealed."""
    return vault.seal(SEALED, gallery, KEY_CHECK)


def open_check(connection: Connection, vault: Vault, gallery: str) -> bytes | None:
    """What the key check holds; None where the key is another one's."""
    query = select(SETTINGS.c.value).where(SETTINGS.c.name == KEY_CHECK)
    sealed = connection.scalar(query)
    opened = None if sealed is None else vault.open(sealed, gallery, KEY_CHECK)
    return opened if opened in (UNSEALED, SEALED) else None


def check_key(connection: Connection, vault: Vault, gallery: str) -> None:
    """Raise GalleryKeyError where the key was rotated since: what it does not open is not altered,
    and what it would seal nobody could open.
    """
    if open_check(connection, vault, gallery) is None:
        raise GalleryKeyError(
            "the key in use is no longer the one of this gallery: it was rotated",
            mend="open the gallery anew",
        )
