"""An altered audit and altered rows of people, taken as they are: by whoever has the key, and said.

Without it an audit that is altered stops every change for good. Nothing is removed: the entries of
before stay readable, and the new one covers them as they are. Knows no templates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from visavis.errors import GalleryError
from visavis.gallery.audit import ACCEPT_PERSON, Audit
from visavis.gallery.configurations import entry_of_kept
from visavis.gallery.gallery import Gallery
from visavis.gallery.keycheck import check_key
from visavis.gallery.people import COLUMNS, SealedPeople
from visavis.gallery.whole import altered_people, told_by


@dataclass(frozen=True, slots=True)
class Altered:
    """What of the audit and of people's rows is not as it was written."""

    words: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]  # of people, as they are now; one that is no text stays out
    broken_at: int | None  # of the audit


def find_altered(gallery: Gallery) -> Altered:
    """What would be accepted; without words, there is nothing."""
    with gallery.database.reading() as connection:
        return _altered(connection, gallery)


def accept_altered(gallery: Gallery, altered: Altered) -> int | None:
    """Accept what `find_altered` found; the entry that says so, None where nothing was found.

    Raises GalleryError where it is not the same any more, GalleryKeyError where the key was rotated
    meanwhile.
    """
    if not altered.words:
        return None
    with gallery.database.writing() as connection:
        if _altered(connection, gallery) != altered:
            raise GalleryError(
                f"{gallery.where}: something else was altered meanwhile", mend="look again"
            )
        audit, people = _audit(gallery), _people(gallery)
        details = {"broken_at": altered.broken_at, "people": len(altered.rows)}
        accepted = audit.accept(connection, details, entry_of_kept(connection, gallery))
        for person, *_ in altered.rows:
            people.seal(connection, person, audit.record(connection, ACCEPT_PERSON, person, {}))
    return accepted


def _altered(connection: Connection, gallery: Gallery) -> Altered:
    check_key(connection, gallery.vault, gallery.id)
    audit, people = _audit(gallery), _people(gallery)
    told = told_by(audit, connection)
    rows = people.altered(connection)
    words = [
        *altered_people(people.entries(connection), told),
        *(f"it now says of person {person}: {_said(row)}" for person, *row in rows),
    ]
    return Altered(tuple(words), rows, told.broken_at)


def _said(row: Sequence[str | None]) -> str:
    told = [f"{column} {text}" for column, text in zip(COLUMNS[1:], row, strict=True) if text]
    return ", ".join(told)


def _audit(gallery: Gallery) -> Audit:
    return Audit(gallery.database, gallery.vault, gallery.id)


def _people(gallery: Gallery) -> SealedPeople:
    return SealedPeople(gallery.vault, gallery.id)
