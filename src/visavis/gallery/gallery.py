"""People and their templates, kept: what was acknowledged is there, what was erased is not.

One class over any Database and a Vault. Knows no SQL dialect, no photos and no models.
"""

import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import RLock

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, select
from sqlalchemy.exc import IntegrityError

from visavis.errors import GalleryError, PersonError
from visavis.gallery import audit, erasure, settings
from visavis.gallery.audit import Audit, ChainHead, Details, Entry
from visavis.gallery.database import Database
from visavis.gallery.erasure import Erased
from visavis.gallery.following import Followed, follow, forget, keep_newest
from visavis.gallery.index import ExactIndex, Index, Templates, group_templates
from visavis.gallery.keycheck import check_key
from visavis.gallery.people import (
    MOST_CONSENT,
    Among,
    Person,
    SealedPeople,
    check_text,
    clean_name,
    new_person,
)
from visavis.gallery.places import GalleryPlace, database_at
from visavis.gallery.samples import (
    Sample,
    StoredSample,
    has_photo,
    insert_sample,
    move_samples,
    owners,
    stored_samples,
)
from visavis.gallery.sealing import seal_people
from visavis.gallery.settings import read_setting, write_setting
from visavis.gallery.tables import PEOPLE, SAMPLES, TEMPLATES, batches_of_ids
from visavis.gallery.templates import (
    Parts,
    Quarantined,
    all_templates,
    check_template,
    templates_of_people,
)
from visavis.gallery.vault import SampleVault
from visavis.gallery.whole import damages, odd_at_first_sight

log = logging.getLogger(__name__)

NO_DETAILS: Details = {}


class Gallery:
    """The known people. Safe from several threads and processes.

    Every method raises GalleryError where the database is damaged, full, locked or read-only and
    that stands in its way.
    """

    def __init__(self, where: Database | GalleryPlace) -> None:
        """A gallery in a database, or at a place: made where there is none, as by `open_gallery`.

        Raises GalleryKeyError for a missing or wrong key; where there is none yet, makes one.
        """
        if isinstance(where, Path | str):
            where = database_at(where)
            where.prepare(create=True)
        self.database = database = where
        self.id, self.vault, sealed = settings.unlock(database)
        if not sealed:
            seal_people(database, self.vault, self.id)
        self._samples = SampleVault(self.vault, self.id)
        self._people = SealedPeople(self.vault, self.id)
        self.audit = Audit(database, self.vault, self.id)
        self._followed: dict[tuple[Parts, Among], Followed] = {}
        self._lock = RLock()
        erasure.finish(database)
        with database.reading() as connection:
            odd = odd_at_first_sight(connection, self.audit)
        if odd is not None:
            log.warning("%s: %s: see what people check says", self.where, odd)

    @property
    def where(self) -> str:
        """Where the gallery is, for messages."""
        return self.database.where

    def people(self, name: str | None = None) -> list[Person]:
        """Everybody, or those of one name, by name."""
        with self.database.reading() as connection:
            return self._people.all(connection, name)

    def people_of(self, ids: Iterable[str]) -> dict[str, Person]:
        """Those of so many ids who are here, by id: what a search needs of a large gallery."""
        with self.database.reading() as connection:
            return self._people.by_id(connection, ids)

    def find(self, who: str) -> Person:
        """A person by id, external id or name. Raises PersonError for none and for several."""
        with self.database.reading() as connection:
            return self._people.find(connection, who)

    def known_as(self, name: str, external_id: str | None = None) -> Person | None:
        """The one person of this name and external id; None where there is nobody.

        Raises PersonError where several people have the name and no external id says which.
        """
        with self.database.reading() as connection:
            return self._people.known_as(connection, name, external_id)

    def add_person(
        self, name: str, *, external_id: str | None = None, consent: str | None = None
    ) -> Person:
        """Add a person without photos. Raises PersonError for a name or id that cannot be."""
        with self.database.writing() as connection:
            return self._add_person(connection, name, external_id, consent)

    def find_or_add(
        self,
        name: str,
        *,
        external_id: str | None = None,
        consent: str | None = None,
        run: str | None = None,
    ) -> Person:
        """The person of this name and external id, added if there is none; `run` as in add_sample.

        Raises PersonError where several people have the name and no external id says which.
        """
        with self.database.writing() as connection:  # two at once add one person
            person = self._people.known_as(connection, name, external_id)
            return person or self._add_person(connection, name, external_id, consent, run)

    def note_consent(self, person: str, consent: str) -> None:
        """Note what a person agreed to. Raises PersonError where they are not in the gallery."""
        check_text(consent, MOST_CONSENT)
        with self.database.writing() as connection:
            entry = self.audit.record(connection, audit.CONSENT, person, {})
            self._people.change(connection, person, entry, consent=consent)

    def note_seen(self, people: Iterable[str]) -> bool:
        """Note that people were recognised now, which keeps them from being pruned; in one write.

        A gallery that cannot be written, as a read-only one, is only warned of: the answer False.
        """
        ids = sorted(set(people))
        try:
            if ids:
                with self.database.writing() as connection:
                    self._people.see(connection, ids)
        except GalleryError as error:
            log.warning("cannot note who was seen: %s", error)
            return False
        return True

    def has_photo(self, person: str, source_sha256: str) -> bool:
        """Whether a person has the very photo already, by the hash of its bytes."""
        with self.database.reading() as connection:
            return has_photo(connection, person, source_sha256)

    def add_sample(
        self, person: str, sample: Sample, *, run: str | None = None, configuration: int = 0
    ) -> str | None:
        """Store a photo's templates; its id, or None where this person has the very photo already.

        `run` is a random id of what enrols several photos, so that they can be undone together.
        The audit notes it, and which version of the `configuration` made the templates, if any.
        When this returns, the sample is on disk. Raises EmbeddingError, PersonError, GalleryError.
        """
        sample_id = uuid.uuid4().hex
        try:
            with self.database.writing() as connection:
                notes: dict[str, str | int] = {"run": run} if run else {}
                notes |= {"configuration": configuration} if configuration else {}
                self._add_sample(connection, person, sample_id, sample, notes)
        except IntegrityError:
            return None
        return sample_id

    def add_all(self, samples: Iterable[tuple[str, Sample]]) -> list[Person]:
        """Store photos by people's names, all of them or none; their people, as `find_or_add`.

        A photo that its person has already is left out. Raises as `add_sample`.
        """
        people = []
        with self.database.writing() as connection:
            for name, sample in samples:
                person = self._people.known_as(connection, name, None)
                person = person or self._add_person(connection, name, None, None)
                if not has_photo(connection, person.id, sample.source_sha256):
                    self._add_sample(connection, person.id, uuid.uuid4().hex, sample)
                people.append(person)
        return people

    def add_template(
        self, person: str, sample: str, model: str, embedding: NDArray[np.float32]
    ) -> None:
        """Store a stored photo's template of another model. Raises EmbeddingError, PersonError."""
        data = self._samples.seal(embedding.tobytes(), person, sample, model)
        owner = select(SAMPLES.c.person_id).where(SAMPLES.c.id == sample)
        with self.database.writing() as connection:
            check_template(connection, model, embedding)
            if connection.scalar(owner) != person:
                raise PersonError(f"person {person} has no photo {sample}")
            row = {"sample_id": sample, "model": model, "data": data}
            self.database.put(connection, TEMPLATES, row)
            self.audit.record(connection, audit.RE_EMBED, person, {"sample": sample})

    def samples(self, person: str) -> list[StoredSample]:
        """All that is held of a person's photos: source, quality, crop, templates by model."""
        with self.database.reading() as connection:
            check_key(connection, self.vault, self.id)
            return stored_samples(connection, self._samples, person, self.where)

    def rename(self, person: str, name: str) -> None:
        """Give a person another name. Raises PersonError."""
        with self.database.writing() as connection:
            erased = erasure.note_traces(self.database, connection, person)
            entry = self.audit.record(connection, audit.RENAME, person, {})
            self._people.change(connection, person, entry, name=clean_name(name))
        erasure.scrub(self.database, erased)

    def merge(self, kept: str, merged: str) -> None:
        """Give photos and groups of `merged` to `kept`; `merged` is gone. Raises PersonError."""
        if kept == merged:
            raise PersonError(f"expected two people to merge, got {kept} twice")
        with self.database.writing() as connection:
            self._people.check(connection, kept)
            erased = erasure.note_traces(self.database, connection, merged)
            groups = {*self._people.groups(connection, kept)}
            groups.update(self._people.groups(connection, merged))
            move_samples(connection, self._samples, kept, merged)
            erasure.move_held(connection, kept, merged)
            connection.execute(delete(PEOPLE).where(PEOPLE.c.id == merged))
            self.audit.record(connection, audit.MERGE, kept, {"merged": merged})
            self._people.regroup(connection, self.audit, kept, groups)
        erasure.scrub(self.database, erased)

    def delete(self, *people: str) -> None:
        """Erase people: names, samples, crops, templates, and what other rooms registered.

        All or, where one is not here, nobody: that raises PersonError. Works on a full disk too.
        """
        ids = sorted(set(people))

        def erase(connection: Connection) -> Erased:
            erased = erasure.delete_people(self.database, connection, ids)
            self.audit.record_all(connection, [(audit.ERASE, one, {}) for one in ids])
            return erased

        if ids:
            erased = self.database.erasing(erase)
            with self._lock:
                for followed in self._followed.values():
                    forget(followed, ids)
            erasure.scrub(self.database, erased)

    def remove_photos(self, photos: Iterable[str]) -> None:
        """Erase photos by their ids: crops, templates, file names. Those not here are passed over.

        Works on a full disk too, MOST_IDS photos at a time. Their people stay, even without one.
        """
        for some in batches_of_ids(photos):
            erased = self.database.erasing(partial(self._remove_photos, photos=some))
            erasure.scrub(self.database, erased)

    def index(self, parts: Parts, among: Among = None) -> Index:
        """All templates, or those `among` a group's people or so many ids; caught up with what any
        process has changed.

        `parts` are an embedder's: of several, a photo's templates are joined, and a photo that
        lacks one is left out. Kept in memory. Ask for it anew before each search. Raises
        PersonError for a group of nobody.
        """
        return self._follow(parts, among).index

    def catch_up(self) -> None:
        """Bring the indexes in memory up to date, as a search does: who was erased is forgotten."""
        for parts, among in [*self._followed]:
            try:
                self._follow(parts, among)
            except PersonError:  # nobody is in the group any more
                self._followed.pop((parts, among), None)

    def index_of(self, person: str, parts: Parts) -> Index:
        """The templates of one person, searchable, as they are now. Nobody else's are read."""
        with self.database.reading() as connection:
            check_key(connection, self.vault, self.id)
            opened = templates_of_people(connection, self._samples, parts, [person])
        return ExactIndex(opened.people, opened.samples, opened.rows)

    def quarantined(self, parts: Parts, among: Among = None) -> tuple[Quarantined, ...]:
        """The templates that are damaged: they are in no index."""
        return tuple(self._follow(parts, among).quarantined.values())

    def templates(self, parts: Parts) -> tuple[Templates, tuple[Quarantined, ...]]:
        """All templates as `index` has them, and those that are damaged and left out."""
        with self.database.reading() as connection:
            opened = all_templates(connection, self._samples, parts)
        return group_templates(opened.people, opened.rows), tuple(opened.quarantined)

    def changes(self, since: int) -> list[Entry]:
        """What any process did after entry `since` of the audit, in order."""
        with self.database.reading() as connection:
            return audit.entries_since(connection, since)

    def keep(self, name: str, document: bytes | None) -> None:
        """Keep a document with the gallery, sealed, in place of an earlier one; None removes it."""
        sealed = None
        if document is not None:
            sealed = self.vault.seal(document, self.id, settings.KEPT, name)
        with self.database.writing() as connection:
            write_setting(self.database, connection, settings.KEPT + name, sealed)
            self.audit.record(connection, "keep", None, {"document": name})

    def kept(self, name: str) -> bytes | None:
        """A document that `keep` keeps. Raises GalleryError where it was altered."""
        with self.database.reading() as connection:
            sealed = read_setting(connection, settings.KEPT + name)
            if sealed is None:
                return None
            document = self.vault.open(sealed, self.id, settings.KEPT, name)
            if document is None:
                check_key(connection, self.vault, self.id)
                raise GalleryError(
                    f"{self.where}: {name} was altered", mend="keep it anew, or remove it"
                )
        return document

    def record(self, action: str, details: Details) -> None:
        """Append an action to the audit."""
        with self.database.writing() as connection:
            self.audit.record(connection, action, None, details)

    def audit_head(self) -> ChainHead:
        """The audit's last entry: kept elsewhere, it tells an older file from this one.

        Raises GalleryError where the audit's end was altered.
        """
        with self.database.reading() as connection:
            return self.audit.head(connection)

    def audit_broken_at(self, known: ChainHead | None = None) -> int | None:
        """The first audit entry that was altered, or None.

        With `known`, an `audit_head` of earlier, an entry that is not there is one, too.
        """
        with self.database.reading() as connection:
            return self.audit.broken_at(connection, known)

    def damage(self) -> str | None:
        """What is damaged, in words: the first that is found; None where the gallery is whole.

        Reads and opens everything there is.
        """
        with self.database.reading() as connection:
            return next(self._damages(connection), None)

    def damages(self) -> list[str]:
        """All that is damaged, in words; as `damage`."""
        with self.database.reading() as connection:
            return list(self._damages(connection))

    def audit_of(self, person: str) -> list[Entry]:
        """The audit's entries on one person."""
        with self.database.reading() as connection:
            return audit.entries_of(connection, person)

    @property
    def requires_consent(self) -> bool:
        """Whether nobody is added without a consent note."""
        with self.database.reading() as connection:
            return read_setting(connection, settings.CONSENT) == b"yes"

    @requires_consent.setter
    def requires_consent(self, value: bool) -> None:
        with self.database.writing() as connection:
            text = b"yes" if value else b"no"
            write_setting(self.database, connection, settings.CONSENT, text)
            self.audit.record(connection, "require consent", None, {"value": value})

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def _follow(self, parts: Parts, among: Among) -> Followed:
        with self._lock, self.database.reading() as connection:
            known = self._followed.get((parts, among))
            members = partial(self._people.chosen, connection, among)
            followed = follow(connection, self._samples, parts, known, members)
            if followed is not known:
                check_key(connection, self.vault, self.id)
            keep_newest(self._followed, (parts, among), followed)
            return followed

    def _damages(self, connection: Connection) -> Iterator[str]:
        check_key(connection, self.vault, self.id)
        structure = self.database.damage(connection)
        # Where that is damaged, nothing more is read: it could fail.
        rest = damages(connection, self.audit, self._people, self._samples)
        yield from rest if structure is None else [structure]

    def _add_person(
        self,
        connection: Connection,
        name: str,
        external_id: str | None,
        consent: str | None,
        run: str | None = None,
    ) -> Person:
        if not consent and read_setting(connection, settings.CONSENT) == b"yes":
            raise PersonError(
                f"{name}: this gallery demands a consent note",
                mend="note what they agreed to",
                option="consent",
            )
        person = new_person(name, external_id, consent)
        entry = self.audit.record(connection, audit.ADD, person.id, {"run": run} if run else {})
        self._people.add(connection, person, entry)
        return person

    def _add_sample(
        self,
        connection: Connection,
        person: str,
        sample_id: str,
        sample: Sample,
        notes: Details = NO_DETAILS,
    ) -> None:
        self._people.check(connection, person)
        insert_sample(connection, self._samples, (person, sample_id), sample)
        self.audit.record(connection, audit.ENROLL, person, {"sample": sample_id, **notes})

    def _remove_photos(self, connection: Connection, photos: Sequence[str]) -> Erased:
        erased = erasure.note_photo_traces(self.database, connection, photos)
        for photo, person in owners(connection, photos).items():
            connection.execute(delete(SAMPLES).where(SAMPLES.c.id == photo))
            self.audit.record(connection, audit.REMOVE, person, {"sample": photo})
        return erased
