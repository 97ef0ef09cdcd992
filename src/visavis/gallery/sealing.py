"""The rows of people in a gallery of version 1, which had no seals: sealed once, as they are."""

import logging
from contextlib import suppress

from sqlalchemy import Connection, func, select

from visavis.errors import GalleryError, PersonError
from visavis.gallery.audit import HEAD, SEAL, SEALED, Audit, ChainHead, head
from visavis.gallery.database import Database
from visavis.gallery.keycheck import KEY_CHECK, UNSEALED, open_check, sealed_check
from visavis.gallery.people import SealedPeople
from visavis.gallery.settings import write_setting
from visavis.gallery.tables import PEOPLE
from visavis.gallery.vault import Vault

log = logging.getLogger(__name__)


def seal_people(database: Database, vault: Vault, gallery: str) -> None:
    """Seal everybody's row in a gallery whose key check says that none is; say so in the audit.

    The version in the file's header is not asked: whoever has no key can set that back. Raises
    GalleryError where the audit was altered: an old key check would let any row be sealed.
    """
    with database.writing() as connection:
        if open_check(connection, vault, gallery) != UNSEALED:
            return  # another process was first
        last = _last(connection, database, vault)
        people = SealedPeople(vault, gallery)
        for person in connection.scalars(select(PEOPLE.c.id)).all():
            # A row that holds what is no text stays without a seal, and nobody's.
            with suppress(PersonError):
                people.seal(connection, person, last.seq + 1)
        write_setting(database, connection, KEY_CHECK, sealed_check(vault, gallery))
        Audit(database, vault, gallery).go_on(connection, last, SEAL, {"people": last.people})
    log.warning(
        "%s: the rows of %d people are sealed from now on, as they are; where this is said again "
        "and you restored no old backup, somebody put an old copy in the gallery's place",
        database.where,
        last.people,
    )


def _last(connection: Connection, database: Database, vault: Vault) -> ChainHead:
    """The last entry, where the seal of version 1 fits it: it did not name the gallery."""
    last, sealed = head(connection), connection.scalar(SEALED)
    opened = None if sealed is None else vault.open(sealed, HEAD)
    if opened != f"{last.seq} {last.hash.hex()}".encode():
        raise GalleryError(
            f"{database.where}: the audit of this older gallery was altered, so its people are "
            "not sealed as they are",
            mend="restore a backup",
        )
    people = connection.scalar(select(func.count()).select_from(PEOPLE)) or 0
    return ChainHead(last.seq, last.hash, people)
