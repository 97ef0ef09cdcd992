"""The gallery's tables, the same in every database. Knows nothing of files or of encryption."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

T = TypeVar("T")

MOST_IDS = 4096  # that one statement names: SQLite takes 32,766 values by default

metadata = MetaData()
SETTINGS = Table(
    "settings",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
PEOPLE = Table(
    "people",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, index=True),
    Column("external_id", String, unique=True),
    Column("consent", String),
    Column("added_at", String, nullable=False),
    Column("seen_at", String),
    Column("seal", LargeBinary),  # over all the others; none in a file of version 1
    Column("groups", String),  # names, a line each; none in a file of version 2
)
SAMPLES = Table(
    "samples",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("source", String, nullable=False),
    Column("source_sha256", String, nullable=False),
    Column("quality", String, nullable=False),  # JSON
    Column("crop", LargeBinary),  # sealed PNG
    Column("added_at", String, nullable=False),
    UniqueConstraint("person_id", "source_sha256"),
)
TEMPLATES = Table(
    "templates",
    metadata,
    Column("sample_id", ForeignKey("samples.id", ondelete="CASCADE"), primary_key=True),
    Column("model", String, primary_key=True, index=True),
    Column("data", LargeBinary, nullable=False),  # sealed float32
)
AUDIT = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("action", String, nullable=False),
    Column("person_id", String),  # a random id: nothing of the person's outlives erasure
    Column("details", String, nullable=False),  # JSON, nothing personal
    Column("hash", LargeBinary, nullable=False),
)


def batches_of_ids(ids: Iterable[T]) -> Iterator[list[T]]:
    """Each id, or what else is looked for, once, as many at a time as one statement may name."""
    rest = list(dict.fromkeys(ids))
    for start in range(0, len(rest), MOST_IDS):
        yield rest[start : start + MOST_IDS]
