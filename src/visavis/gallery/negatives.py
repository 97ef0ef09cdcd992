"""Faces that are not somebody, kept so that nobody is named by mistake a second time.

A face that is at least as like such a negative of a person as it is like their photos is not
theirs: a search passes them over. A negative is a template of whoever it shows, kept sealed with
the person it is not, and goes with them.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    inspect,
    select,
    update,
)

from visavis.compare import join_parts
from visavis.errors import PersonError
from visavis.gallery.audit import now
from visavis.gallery.gallery import Gallery
from visavis.gallery.index import Index
from visavis.gallery.people import SealedPeople
from visavis.gallery.vault import Vault
from visavis.types import Embeddings, Part

log = logging.getLogger(__name__)

NAME = "negatives"
TABLES = MetaData()
NEGATIVES = Table(
    NAME,
    TABLES,
    Column("id", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("person_id", String, index=True, nullable=False),
    Column("added_at", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
MOST_NEGATIVES = 1000  # of a gallery: each search compares with all of them


@dataclass(frozen=True, slots=True)
class Negative:
    """A face that is not a person."""

    id: str
    person_id: str
    added_at: str


def add_negative(gallery: Gallery, person: str, templates: Mapping[str, Embeddings]) -> Negative:
    """Keep that a face, by its templates (1, D) of each model, is not a person.

    Raises PersonError where nobody has that id, and where the gallery has too many negatives.
    """
    negative = Negative(uuid.uuid4().hex, person, now())
    gallery.database.register(NAME, "person_id", ["sealed"])
    with gallery.database.writing() as connection:
        gallery.database.make(connection, TABLES)
        SealedPeople(gallery.vault, gallery.id).check(connection, person)
        many = select(func.count(NEGATIVES.c.id.distinct()))
        if connection.execute(many).scalar_one() >= MOST_NEGATIVES:
            what = f"expected at most {MOST_NEGATIVES} negatives, and there are as many"
            raise PersonError(what, mend="remove some")
        for model, rows in templates.items():
            data = np.asarray(rows, np.float32).tobytes()
            place = (gallery.id, NAME, negative.id, model)
            row = {"id": negative.id, "model": model, "person_id": person}
            sealed = {"added_at": negative.added_at, "sealed": gallery.vault.seal(data, *place)}
            gallery.database.put(connection, NEGATIVES, row | sealed)
        gallery.audit.record(connection, "add negative", person, {"negative": negative.id})
    return negative


def negatives_of(gallery: Gallery, person: str | None = None) -> list[Negative]:
    """The negatives of a person, or of everybody, the oldest first."""
    columns = (NEGATIVES.c.id, NEGATIVES.c.person_id, NEGATIVES.c.added_at)
    query = select(*columns).distinct().order_by(NEGATIVES.c.added_at, NEGATIVES.c.id)
    if person is not None:
        query = query.where(NEGATIVES.c.person_id == person)
    with gallery.database.reading() as connection:
        if not inspect(connection).has_table(NAME):
            return []
        return [Negative(*row) for row in connection.execute(query)]


def find_negative(gallery: Gallery, identity: str) -> Negative:
    """A negative by its id. Raises PersonError for one that is not there."""
    for negative in negatives_of(gallery):
        if negative.id == identity:
            return negative
    raise PersonError(f"there is no negative {identity}")


def remove_negative(gallery: Gallery, negative: Negative) -> None:
    """Forget that a face is not a person: they may be named by it again."""
    with gallery.database.writing() as connection:
        connection.execute(delete(NEGATIVES).where(NEGATIVES.c.id == negative.id))
        details = {"negative": negative.id}
        gallery.audit.record(connection, "remove negative", negative.person_id, details)


def allowed_nearest(
    gallery: Gallery, index: Index, parts: tuple[Part, ...], rows: Embeddings, people: int = 2
) -> list[list[tuple[str, float]]]:
    """As `Index.nearest`, without those of whom a face is at least as like a negative."""
    closest = index.nearest(rows, people)
    owners, negatives = _opened(gallery, parts)
    if not owners:
        return closest
    likest = [_by_person(owners, row) for row in rows @ negatives.T]
    if not _passed_over(closest, likest):
        return closest
    closest = index.nearest(rows, people + len(set(owners)))
    return [
        [(person, value) for person, value in row if value > most.get(person, -2.0)][:people]
        for row, most in zip(closest, likest, strict=True)
    ]


def reseal_negatives(connection: Connection, exchange: Callable[..., bytes]) -> None:
    """Seal them anew, within the transaction that rotates the key; `exchange` makes the seals."""
    if not inspect(connection).has_table(NAME):
        return
    for row in connection.execute(select(NEGATIVES)).all():
        this = (NEGATIVES.c.id == row.id) & (NEGATIVES.c.model == row.model)
        sealed = exchange(row.sealed, NAME, row.id, row.model)
        connection.execute(update(NEGATIVES).where(this).values(sealed=sealed))


def _by_person(owners: list[str], similar: Embeddings) -> dict[str, float]:
    """How like a face is to each person's likest negative."""
    most: dict[str, float] = {}
    for person, value in zip(owners, similar.tolist(), strict=True):
        most[person] = max(value, most.get(person, -2.0))
    return most


def _passed_over(closest: list[list[tuple[str, float]]], likest: list[dict[str, float]]) -> bool:
    return any(
        value <= most.get(person, -2.0)
        for row, most in zip(closest, likest, strict=True)
        for person, value in row
    )


def _opened(gallery: Gallery, parts: tuple[Part, ...]) -> tuple[list[str], Embeddings]:
    """Whose negatives there are of these models, and their rows (N, D)."""
    columns = (NEGATIVES.c.person_id, NEGATIVES.c.id, NEGATIVES.c.model, NEGATIVES.c.sealed)
    query = select(*columns).where(NEGATIVES.c.model.in_([part.model for part in parts]))
    with gallery.database.reading() as connection:
        if not inspect(connection).has_table(NAME):
            return [], np.empty((0, 0), np.float32)
        stored = connection.execute(query.order_by(NEGATIVES.c.id)).all()
    return _joined(gallery.vault, gallery.id, parts, tuple(map(tuple, stored)))


@lru_cache(maxsize=2)  # each search asks, and mostly nothing has changed
def _joined(
    vault: Vault, gallery: str, parts: tuple[Part, ...], stored: tuple[tuple[Any, ...], ...]
) -> tuple[list[str], Embeddings]:
    opened: dict[tuple[str, str], dict[str, Embeddings]] = defaultdict(dict)
    for person, negative, model, sealed in stored:
        data = vault.open(sealed, gallery, NAME, negative, model)
        if data is None:
            log.warning("a negative of person %s was altered, and is left out", person)
        else:
            opened[person, negative][model] = np.frombuffer(data, np.float32)[None]
    whole = [(key[0], own) for key, own in opened.items() if len(own) == len(parts)]
    rows = [join_parts(own, parts) for _, own in whole]
    empty = np.empty((0, sum(part.dim for part in parts)), np.float32)
    return [person for person, _ in whole], np.concatenate([empty, *rows])
