"""A person's photos as a gallery holds them: where each came from, its crop, its templates."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, delete, insert, select, update

from visavis.errors import GalleryError
from visavis.gallery.audit import now
from visavis.gallery.tables import SAMPLES, TEMPLATES, batches_of_ids
from visavis.gallery.templates import check_template
from visavis.gallery.vault import SampleVault

CROP = "crop"


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One photo of a person, as it is about to be stored."""

    source: str  # file name, for people to read
    source_sha256: str
    quality: dict[str, Any]
    templates: dict[str, NDArray[np.float32]]  # model to (D,) embedding
    crop: bytes | None = None  # PNG


@dataclass(frozen=True, eq=False, slots=True)
class StoredSample:
    """One photo of a person, as it is stored. What was damaged is left out."""

    id: str
    person_id: str
    source: str
    source_sha256: str
    quality: dict[str, Any]
    crop: bytes | None  # PNG
    added_at: str
    templates: dict[str, NDArray[np.float32]]  # model to (D,) embedding


def has_photo(connection: Connection, person: str, source_sha256: str) -> bool:
    """Whether a person has the very photo already, by the hash of its bytes."""
    query = select(SAMPLES.c.id).where(
        SAMPLES.c.person_id == person, SAMPLES.c.source_sha256 == source_sha256
    )
    return connection.execute(query).first() is not None


def owners(connection: Connection, photos: Iterable[str]) -> dict[str, str]:
    """Whose photos these are: those that are here, by their id."""
    whose: dict[str, str] = {}
    for ids in batches_of_ids(photos):
        query = select(SAMPLES.c.id, SAMPLES.c.person_id).where(SAMPLES.c.id.in_(ids))
        whose.update({photo: person for photo, person in connection.execute(query)})
    return whose


def insert_sample(
    connection: Connection, vault: SampleVault, owner: tuple[str, str], sample: Sample
) -> None:
    """Store a photo and its templates; `owner` is the person's id and the photo's.

    Raises EmbeddingError for what is no template, IntegrityError where the person has the very
    photo already or is gone.
    """
    person, sample_id = owner
    values = {
        "id": sample_id,
        "person_id": person,
        # A file's name may hold bytes that are no text.
        "source": sample.source.encode(errors="backslashreplace").decode(),
        "source_sha256": sample.source_sha256,
        "quality": json.dumps(sample.quality),
        "crop": sample.crop and vault.seal(sample.crop, person, sample_id, CROP),
        "added_at": now(),
    }
    connection.execute(insert(SAMPLES).values(values))
    for model, embedding in sample.templates.items():
        check_template(connection, model, embedding)
        data = vault.seal(embedding.tobytes(), person, sample_id, model)
        row = {"sample_id": sample_id, "model": model, "data": data}
        connection.execute(insert(TEMPLATES).values(row))


def stored_samples(
    connection: Connection, vault: SampleVault, person: str, where: str
) -> list[StoredSample]:
    """All that is held of a person's photos, in the order they came. Raises GalleryError."""
    query = select(SAMPLES).where(SAMPLES.c.person_id == person).order_by(SAMPLES.c.added_at)
    return [
        _opened(row, _sealed_templates(connection, row.id), vault, where)
        for row in connection.execute(query).all()
    ]


def move_samples(connection: Connection, vault: SampleVault, kept: str, merged: str) -> None:
    """Give the photos of `merged` to `kept`; those that `kept` has already are deleted."""
    own = set(
        connection.scalars(select(SAMPLES.c.source_sha256).where(SAMPLES.c.person_id == kept))
    )
    for row in connection.execute(select(SAMPLES).where(SAMPLES.c.person_id == merged)).all():
        if row.source_sha256 in own:
            connection.execute(delete(SAMPLES).where(SAMPLES.c.id == row.id))
            continue
        move_sample(connection, vault, row.id, merged, kept)


def move_sample(
    connection: Connection, vault: SampleVault, sample: str, owner: str, to: str
) -> None:
    """Give a photo of `owner`, its crop and its templates to another person."""

    def moved(sealed: bytes, kind: str) -> bytes:
        data = vault.open(sealed, owner, sample, kind)
        # What is damaged stays damaged, and stays quarantined.
        return sealed if data is None else vault.seal(data, to, sample, kind)

    this = SAMPLES.c.id == sample
    crop = connection.scalar(select(SAMPLES.c.crop).where(this))
    sealed = None if crop is None else moved(crop, CROP)
    connection.execute(update(SAMPLES).where(this).values(person_id=to, crop=sealed))
    for model, data in _sealed_templates(connection, sample):
        template = (TEMPLATES.c.sample_id == sample) & (TEMPLATES.c.model == model)
        connection.execute(update(TEMPLATES).where(template).values(data=moved(data, model)))


def _sealed_templates(connection: Connection, sample: str) -> list[tuple[str, bytes]]:
    query = select(TEMPLATES.c.model, TEMPLATES.c.data).where(TEMPLATES.c.sample_id == sample)
    return [(model, data) for model, data in connection.execute(query)]


def _opened(
    row: Row[Any], sealed: list[tuple[str, bytes]], vault: SampleVault, where: str
) -> StoredSample:
    values = dict(row._mapping)
    try:
        values["quality"] = json.loads(row.quality)
    except ValueError as error:
        raise GalleryError(f"{where}: photo {row.id} is damaged") from error
    values["crop"] = row.crop and vault.open(row.crop, row.person_id, row.id, CROP)
    opened = {model: vault.open(data, row.person_id, row.id, model) for model, data in sealed}
    vectors = {model: np.frombuffer(data, np.float32) for model, data in opened.items() if data}
    return StoredSample(**values, templates=vectors)
