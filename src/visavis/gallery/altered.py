"""An altered audit, rows of people and configurations, taken as they are: by whoever has the key,
and said.

Without it an audit that is altered stops every change for good. The entries of before stay
readable, and the new one covers them as they are; configurations that cannot be read are removed.
Knows no templates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from visavis.errors import GalleryError
from visavis.gallery.audit import ACCEPT_PERSON
from visavis.gallery.configurations import accept_configurations, altered_configurations
from visavis.gallery.gallery import Gallery
from visavis.gallery.keycheck import check_key
from visavis.gallery.people import COLUMNS, SealedPeople
from visavis.gallery.whole import altered_people, told_by


@dataclass(frozen=True, slots=True)
class Altered:
    """What of the audit, of people's rows and of configurations is not as it was written."""

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
        audit, people = gallery.audit, _people(gallery)
        details = {"broken_at": altered.broken_at, "people": len(altered.rows)}
        configured = accept_configurations(connection, gallery)
        accepted = audit.accept(connection, details, configured)
        for person, *_ in altered.rows:
            people.seal(connection, person, audit.record(connection, ACCEPT_PERSON, person, {}))
    return accepted


def _altered(connection: Connection, gallery: Gallery) -> Altered:
    check_key(connection, gallery.vault, gallery.id)
    audit, people = gallery.audit, _people(gallery)
    told = told_by(audit, connection)
    rows = people.altered(connection)
    words = [
        *altered_people(people.entries(connection), told),
        *(f"it now says of person {person}: {_said(row)}" for person, *row in rows),
        *altered_configurations(connection, gallery),
    ]
    return Altered(tuple(words), rows, told.broken_at)


def _said(row: Sequence[str | None]) -> str:
    told = [f"{column} {text}" for column, text in zip(COLUMNS[1:], row, strict=True) if text]
    return ", ".join(told)


def _people(gallery: Gallery) -> SealedPeople:
    return SealedPeople(gallery.vault, gallery.id)
