"""People and their templates on disk: what was acknowledged is there, what was erased is not."""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from visavis.errors import GalleryError, PersonError
from visavis.gallery import audit, settings
from visavis.gallery import sqlite as schema
from visavis.gallery.erasure import BALLAST, TRACES, make_ballast, scrub, traces_of
from visavis.gallery.index import Templates
from visavis.gallery.people import (
    MOST_CONSENT,
    MOST_NAME,
    Person,
    Sample,
    check_text,
    clean_name,
    normal_name,
)
from visavis.gallery.templates import Quarantined, check_template, load_templates

FILE = "gallery.db"


class Gallery:
    """The known people, in a folder of their own. Safe from several threads and processes."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Open a gallery; with `create`, make one where there is none.

        Raises GalleryError for what is no gallery, GalleryKeyError for a missing or wrong key.
        """
        self.path = folder / FILE
        if not self.path.exists() or not self.path.stat().st_size:  # empty: a making was stopped
            if not create:
                raise GalleryError(f"{folder}: no gallery here; visavis enroll makes one")
            _make_folder(folder)
        self._engine = schema.open_engine(self.path)
        schema.prepare(self._engine, self.path)
        self.id, self.vault = settings.unlock(self._engine, self.path)
        self._loaded: dict[str, tuple[int, Templates, tuple[Quarantined, ...]]] = {}
        if self._setting(TRACES) is not None:
            scrub(self._engine, self.path)

    def people(self, name: str | None = None) -> list[Person]:
        """Everybody, or those of one name, by name."""
        query = select(schema.people).order_by(schema.people.c.name, schema.people.c.id)
        if name is not None:
            query = query.where(schema.people.c.name == clean_name(name))
        with schema.reading(self._engine, self.path) as connection:
            counts: dict[str, int] = {}
            for person, count in connection.exec_driver_sql(
                "SELECT person_id, count(*) FROM samples GROUP BY person_id"
            ):
                counts[person] = count
            return [
                Person(**row._mapping, samples=counts.get(row.id, 0))
                for row in connection.execute(query)
            ]

    def people_of(self, ids: Iterable[str]) -> dict[str, Person]:
        """Those of so many ids who are here, by id: what a search needs of a large gallery."""
        with schema.reading(self._engine, self.path) as connection:
            found = [
                connection.execute(select(schema.people).where(schema.people.c.id == id_)).first()
                for id_ in sorted(set(ids))
            ]
            return {row.id: _person(connection, row) for row in found if row is not None}

    def find(self, who: str) -> Person:
        """A person by id, external id or name. Raises PersonError for none and for several."""
        everybody = self.people()
        for found in (
            [person for person in everybody if who in (person.id, person.external_id)],
            [person for person in everybody if person.name == normal_name(who)],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                ids = ", ".join(person.external_id or person.id for person in found)
                raise PersonError(f"{len(found)} people are called {who!r}; say which: {ids}")
        raise PersonError(f"nobody is called {who!r}, and nobody has that id")

    def add_person(
        self, name: str, *, external_id: str | None = None, consent: str | None = None
    ) -> Person:
        """Add a person without photos. Raises PersonError for a name or id that cannot be."""
        with schema.writing(self._engine, self.path) as connection:
            return self._add_person(connection, clean_name(name), external_id, consent)

    def find_or_add(
        self, name: str, *, external_id: str | None = None, consent: str | None = None
    ) -> Person:
        """The person of this name and external id, added if there is none.

        Raises PersonError where several people have the name and no external id says which.
        """
        name = clean_name(name)
        query = select(schema.people).where(schema.people.c.name == name)
        if external_id is not None:
            query = query.where(schema.people.c.external_id == external_id)
        with schema.writing(self._engine, self.path) as connection:  # two at once add one person
            same = connection.execute(query).all()
            if len(same) > 1:
                raise PersonError(f"{len(same)} people are called {name!r}; say which: --id")
            if same:
                return _person(connection, same[0])
            return self._add_person(connection, name, external_id, consent)

    def note_consent(self, person: str, consent: str) -> None:
        """Note what a person agreed to. Raises PersonError where they are not in the gallery."""
        check_text(consent, MOST_CONSENT)
        with schema.writing(self._engine, self.path) as connection:
            query = update(schema.people).where(schema.people.c.id == person)
            if not connection.execute(query.values(consent=consent)).rowcount:
                raise PersonError(f"person {person} is not in the gallery")
            audit.record(connection, self.vault, "consent", person, {})

    def sources(self) -> set[tuple[str, str]]:
        """(person id, SHA-256 of the photo) of every sample."""
        query = select(schema.samples.c.person_id, schema.samples.c.source_sha256)
        with schema.reading(self._engine, self.path) as connection:
            return {(person, digest) for person, digest in connection.execute(query)}

    def add_sample(self, person: str, sample: Sample) -> str | None:
        """Store a photo's templates; its id, or None where this person has the very photo already.

        When this returns, the sample is on disk. Raises EmbeddingError, PersonError, GalleryError.
        """
        sample_id = uuid.uuid4().hex
        try:
            with schema.writing(self._engine, self.path) as connection:
                self._insert(connection, person, sample_id, sample)
        except IntegrityError as error:
            if "FOREIGN KEY" in str(error.orig):
                raise PersonError(f"person {person} is not in the gallery any more") from error
            return None
        return sample_id

    def rename(self, person: str, name: str) -> None:
        """Give a person another name. Raises PersonError."""
        with schema.writing(self._engine, self.path) as connection:
            traces = self._last_words(connection, person)
            query = update(schema.people).where(schema.people.c.id == person)
            connection.execute(query.values(name=clean_name(name)))
            audit.record(connection, self.vault, "rename", person, {})
        scrub(self._engine, self.path, traces)

    def merge(self, kept: str, merged: str) -> None:
        """Give all samples of `merged` to `kept`; the merged person is gone. Raises PersonError."""
        if kept == merged:
            raise PersonError(f"expected two people to merge, got {kept} twice")
        with schema.writing(self._engine, self.path) as connection:
            self._last_words(connection, kept)
            traces = self._last_words(connection, merged)
            for sample_id, crop, templates in self._sealed(connection, merged):
                values: dict[str, Any] = {"person_id": kept, "crop": None}
                if crop is not None:
                    values["crop"] = self._moved(crop, "crop", sample_id, merged, kept)
                query = update(schema.samples).where(schema.samples.c.id == sample_id)
                if not connection.execute(query.prefix_with("OR IGNORE").values(values)).rowcount:
                    continue  # kept has the very photo already
                for model, data in templates:
                    moved = self._moved(data, model, sample_id, merged, kept)
                    connection.execute(
                        update(schema.templates)
                        .where(schema.templates.c.sample_id == sample_id)
                        .where(schema.templates.c.model == model)
                        .values(data=moved)
                    )
            connection.execute(delete(schema.people).where(schema.people.c.id == merged))
            audit.record(connection, self.vault, "merge", kept, {"merged": merged})
        scrub(self._engine, self.path, traces)

    def delete(self, person: str) -> None:
        """Erase a person: name, samples, crops, templates. Works on a full disk too."""
        ballast = self.path.with_name(BALLAST)
        try:
            traces = self._delete(person)
        except GalleryError as error:
            if schema.FULL not in str(error) or not ballast.exists():
                raise
            ballast.unlink()
            traces = self._delete(person)
        self._loaded.clear()
        scrub(self._engine, self.path, traces)
        make_ballast(ballast)

    def templates(self, model: str) -> tuple[Templates, tuple[Quarantined, ...]]:
        """All templates of a model, and those that are damaged and left out.

        Kept in memory, and read again when any process has changed the gallery.
        """
        with schema.reading(self._engine, self.path) as connection:
            version = _data_version(connection)
            known = self._loaded.get(model)
            if known is None or known[0] != version:
                known = (version, *load_templates(connection, self.vault, self.id, model))
                self._loaded[model] = known
        return known[1], known[2]

    def samples(self, person: str) -> list[dict[str, Any]]:
        """All that is held of a person's photos: source, quality, crop, templates by model."""
        with schema.reading(self._engine, self.path) as connection:
            rows = connection.execute(
                select(schema.samples).where(schema.samples.c.person_id == person)
            ).all()
            sealed = {sample: data for sample, _, data in self._sealed(connection, person)}
        return [self._opened(dict(row._mapping), sealed[row.id]) for row in rows]

    def seen(self, person: str) -> None:
        """Note that a person was recognised now: what keeps them from being pruned."""
        with schema.writing(self._engine, self.path) as connection:
            query = update(schema.people).where(schema.people.c.id == person)
            connection.execute(query.values(seen_at=audit.now()))

    def configure(self, document: audit.Details) -> int:
        """Note how people are recognised from now on; the version: a new one where it changed."""
        text = json.dumps(dict(document), sort_keys=True)
        table = schema.configurations
        with schema.writing(self._engine, self.path) as connection:
            last = connection.execute(select(table).order_by(table.c.version.desc())).first()
            if last is not None and last.document == text:
                return int(last.version)
            version = int(last.version) + 1 if last is not None else 1
            row = {"version": version, "document": text, "added_at": audit.now()}
            connection.execute(insert(table).values(row))
            audit.record(connection, self.vault, "configure", None, {"version": version})
        return version

    def keep(self, name: str, document: bytes | None) -> None:
        """Keep a document with the gallery, sealed, in place of an earlier one; None removes it."""
        table = schema.settings
        with schema.writing(self._engine, self.path) as connection:
            if document is None:
                connection.execute(table.delete().where(table.c.name == settings.KEPT + name))
            else:
                settings.put(
                    connection,
                    settings.KEPT + name,
                    self.vault.seal(document, self.id, settings.KEPT, name),
                )
            audit.record(connection, self.vault, "keep", None, {"document": name})

    def kept(self, name: str) -> bytes | None:
        """A document that `keep` keeps. Raises GalleryError where it was altered."""
        sealed = self._setting(settings.KEPT + name)
        if sealed is None:
            return None
        document = self.vault.open(sealed, self.id, settings.KEPT, name)
        if document is None:
            raise GalleryError(f"{self.path}: {name} was altered: keep it anew, or remove it")
        return document

    def record(self, action: str, details: audit.Details) -> None:
        """Append an action to the audit."""
        with schema.writing(self._engine, self.path) as connection:
            audit.record(connection, self.vault, action, None, details)

    def audit_broken_at(self) -> int | None:
        """The first audit entry that was altered, or None."""
        with schema.reading(self._engine, self.path) as connection:
            return audit.broken_at(connection, self.vault)

    def audit_of(self, person: str) -> list[dict[str, Any]]:
        """The audit's entries on one person."""
        query = select(schema.audit).where(schema.audit.c.person_id == person)
        with schema.reading(self._engine, self.path) as connection:
            return [
                {"seq": row.seq, "at": row.at, "action": row.action, "details": row.details}
                for row in connection.execute(query.order_by(schema.audit.c.seq))
            ]

    def add_template(
        self, person: str, sample: str, model: str, embedding: NDArray[np.float32]
    ) -> None:
        """Store a stored photo's template of another model. Raises EmbeddingError, PersonError."""
        data = self.vault.seal(embedding.tobytes(), self.id, person, sample, model)
        row = {"sample_id": sample, "model": model, "data": data}
        owner = select(schema.samples.c.person_id).where(schema.samples.c.id == sample)
        with schema.writing(self._engine, self.path) as connection:
            check_template(connection, model, embedding)
            if connection.execute(owner).scalar() != person:
                raise PersonError(f"person {person} has no photo {sample}")
            connection.execute(insert(schema.templates).prefix_with("OR REPLACE").values(row))
            audit.record(connection, self.vault, "re-embed", person, {"sample": sample})

    @property
    def requires_consent(self) -> bool:
        """Whether nobody is added without a consent note."""
        return self._setting(settings.CONSENT) == b"yes"

    @requires_consent.setter
    def requires_consent(self, value: bool) -> None:
        with schema.writing(self._engine, self.path) as connection:
            settings.put(connection, settings.CONSENT, b"yes" if value else b"no")
            audit.record(connection, self.vault, "require consent", None, {"value": value})

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def _add_person(
        self, connection: Connection, name: str, external_id: str | None, consent: str | None
    ) -> Person:
        if settings.get(connection, settings.CONSENT) == b"yes" and not consent:
            raise PersonError(f"{name}: this gallery demands a consent note: --consent '...'")
        for text, most in ((external_id, MOST_NAME), (consent, MOST_CONSENT)):
            if text is not None:
                check_text(text, most)
        person = Person(uuid.uuid4().hex, name, external_id, consent, audit.now(), None, 0)
        row = {name: value for name, value in asdict(person).items() if name != "samples"}
        try:
            connection.execute(insert(schema.people).values(row))
        except IntegrityError as error:
            raise PersonError(f"somebody has the external id {external_id!r} already") from error
        audit.record(connection, self.vault, "add person", person.id, {})
        return person

    def _setting(self, name: str) -> bytes | None:
        with schema.reading(self._engine, self.path) as connection:
            return settings.get(connection, name)

    def _insert(self, connection: Connection, person: str, sample_id: str, sample: Sample) -> None:
        crop = sample.crop and self.vault.seal(sample.crop, self.id, person, sample_id, "crop")
        values = {
            "id": sample_id,
            "person_id": person,
            # A file's name may hold bytes that are no text.
            "source": sample.source.encode(errors="backslashreplace").decode(),
            "source_sha256": sample.source_sha256,
            "quality": json.dumps(sample.quality),
            "crop": crop,
            "added_at": audit.now(),
        }
        connection.execute(insert(schema.samples).values(values))
        for model, embedding in sample.templates.items():
            check_template(connection, model, embedding)
            data = self.vault.seal(embedding.tobytes(), self.id, person, sample_id, model)
            row = {"sample_id": sample_id, "model": model, "data": data}
            connection.execute(insert(schema.templates).values(row))
        audit.record(connection, self.vault, "enroll", person, {"sample": sample_id})

    def _delete(self, person: str) -> set[bytes]:
        with schema.writing(self._engine, self.path) as connection:
            traces = self._last_words(connection, person)
            connection.execute(delete(schema.people).where(schema.people.c.id == person))
            audit.record(connection, self.vault, "erase", person, {})
        return traces

    def _last_words(self, connection: Connection, person: str) -> set[bytes]:
        """What will have to be gone from the file. Raises PersonError where nobody has that id."""
        query = select(schema.people.c.id).where(schema.people.c.id == person)
        if connection.execute(query).first() is None:
            raise PersonError(f"person {person} is not in the gallery")
        settings.put(connection, TRACES, b"yes")
        return traces_of(connection, person)

    def _sealed(
        self, connection: Connection, person: str
    ) -> list[tuple[str, bytes | None, list[tuple[str, bytes]]]]:
        samples = connection.execute(
            select(schema.samples.c.id, schema.samples.c.crop).where(
                schema.samples.c.person_id == person
            )
        ).all()
        table = schema.templates.c
        return [
            (
                sample,
                crop,
                [
                    (model, data)
                    for model, data in connection.execute(
                        select(table.model, table.data).where(table.sample_id == sample)
                    )
                ],
            )
            for sample, crop in samples
        ]

    def _moved(self, sealed: bytes, kind: str, sample: str, old: str, new: str) -> bytes:
        data = self.vault.open(sealed, self.id, old, sample, kind)
        # A damaged row stays damaged, and stays quarantined.
        return sealed if data is None else self.vault.seal(data, self.id, new, sample, kind)

    def _opened(self, row: dict[str, Any], sealed: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
        place = (self.id, row["person_id"], row["id"])
        crop = row["crop"] and self.vault.open(row["crop"], *place, "crop")
        opened = {model: self.vault.open(data, *place, model) for model, data in sealed}
        try:
            quality = json.loads(row["quality"])
        except ValueError as error:
            raise GalleryError(f"{self.path}: photo {row['id']} is damaged") from error
        vectors = {m: np.frombuffer(data, np.float32) for m, data in opened.items() if data}
        return {**row, "quality": quality, "crop": crop, "templates": vectors}


def _person(connection: Connection, row: Row[Any]) -> Person:
    query = select(func.count()).where(schema.samples.c.person_id == row.id)
    return Person(**row._mapping, samples=connection.execute(query).scalar_one())


def _data_version(connection: Connection) -> int:
    """A number that changes with every commit, whichever process made it."""
    last = connection.exec_driver_sql("SELECT max(seq) FROM audit").scalar()
    return int(last or 0)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise GalleryError(f"{folder}: cannot make a gallery here: {error.strerror}") from error
    make_ballast(folder / BALLAST)
