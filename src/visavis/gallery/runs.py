"""One run of enrolment: its photos and newcomers, read from the audit, so that it can be undone."""

import json
from dataclasses import dataclass

from visavis.errors import GalleryError, PersonError, did_you_mean
from visavis.gallery.audit import ADD, ENROLL
from visavis.gallery.gallery import Gallery
from visavis.gallery.people import Person
from visavis.gallery.samples import StoredSample, owners


@dataclass(frozen=True, slots=True)
class EnrolmentRun:
    """What one run of enrolment stored, as far as it is still there."""

    at: str  # of its first photo; UTC, ISO 8601
    photos: dict[str, str]  # each photo's id, and its person's
    newcomers: frozenset[str]  # the ids of people who were added by it


def last_run(gallery: Gallery) -> EnrolmentRun:
    """The last run of enrolment of which a photo is still there.

    Raises GalleryError where there is none.
    """
    begun: dict[str, str] = {}
    photos: dict[str, list[str]] = {}
    newcomers: dict[str, set[str]] = {}
    for entry in gallery.changes(0):
        details = json.loads(entry.details) if entry.action in (ADD, ENROLL) else {}
        run = details.get("run")
        if run and entry.action == ADD:
            newcomers.setdefault(run, set()).add(entry.person or "")
        elif run:
            begun.setdefault(run, entry.at)
            photos.setdefault(run, []).append(details["sample"])
    with gallery.database.reading() as connection:
        for run in reversed(photos):
            held = owners(connection, photos[run])
            if held:
                return EnrolmentRun(begun[run], held, frozenset(newcomers.get(run, ())))
    raise GalleryError(f"{gallery.where}: no enrolment is left to be undone")


def undo_run(gallery: Gallery, run: EnrolmentRun) -> list[str]:
    """Erase a run's photos, and its newcomers who have no other photo: the names of these."""
    gallery.remove_photos(run.photos)
    erased = [person for person in gallery.people_of(run.newcomers).values() if not person.samples]
    gallery.delete(*(person.id for person in erased))
    return [person.name for person in erased]


def photo_called(gallery: Gallery, person: Person, name: str) -> StoredSample:
    """A person's photo by its file name or its id. Raises PersonError for none and for several."""
    samples = gallery.samples(person.id)
    meant = [sample for sample in samples if name in (sample.id, sample.source)]
    if len(meant) == 1:
        return meant[0]
    if meant:
        ids = ", ".join(sample.id for sample in meant)
        raise PersonError(
            f"{len(meant)} photos of {person.name} are called {name!r}", mend=f"say which: {ids}"
        )
    names = [sample.source for sample in samples]
    mend = did_you_mean(name, names) or f"they have {', '.join(names) or 'none'}"
    raise PersonError(f"{person.name} has no photo {name!r}", mend=mend)
