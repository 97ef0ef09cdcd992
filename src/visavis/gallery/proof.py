"""An erasure with its proof: what was there, what is left, and the entry of the audit."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from visavis.gallery.audit import ERASE
from visavis.gallery.erasure import TRACES
from visavis.gallery.gallery import Gallery
from visavis.gallery.people import check_there
from visavis.gallery.tables import PEOPLE, SAMPLES, SETTINGS, TEMPLATES


@dataclass(frozen=True, slots=True)
class ErasureProof:
    """What an erasure did. It names nobody: the person's id is random."""

    person: str
    photos: int  # erased
    templates: int  # erased, of all models
    left: int  # rows of the person, of their photos and templates that are still there
    files_clean: bool  # whether the files were searched, and hold no trace of an erasure
    beyond: tuple[str, ...]  # what the erasure does not reach, in words
    entry: int  # of the audit, that says so
    head: str  # the audit's head after it
    at: str  # UTC, ISO 8601


def erase_with_proof(gallery: Gallery, person: str) -> ErasureProof:
    """Erase a person, and look what is left. Raises PersonError."""
    with gallery.database.reading() as connection:
        check_there(connection, [person])
        photos = _photos(connection, person)
        templates = _templates(connection, photos)
    gallery.delete(person)
    with gallery.database.reading() as connection:
        people = select(func.count()).where(PEOPLE.c.id == person)
        left = connection.scalar(people) or 0
        left += len(_photos(connection, person)) + _templates(connection, photos)
        waiting = select(func.count()).where(SETTINGS.c.name.startswith(TRACES))
        clean = not connection.scalar(waiting) and gallery.database.searched(connection)
        beyond = tuple(gallery.database.beyond(connection))
    entry = next(one for one in reversed(gallery.audit_of(person)) if one.action == ERASE)
    return ErasureProof(
        person,
        len(photos),
        templates,
        left,
        clean,
        beyond,
        entry.seq,
        head=str(gallery.audit_head()),
        at=entry.at,
    )


def _photos(connection: Connection, person: str) -> list[str]:
    return list(connection.scalars(select(SAMPLES.c.id).where(SAMPLES.c.person_id == person)))


def _templates(connection: Connection, photos: list[str]) -> int:
    query = select(func.count()).where(TEMPLATES.c.sample_id.in_(photos))
    return connection.scalar(query) or 0
