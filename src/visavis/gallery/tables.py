"""The gallery's tables, the same in every database. Knows nothing of files or of encryption."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from sqlalchemy import (
    BigInteger,
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

# By its bytes, as SQLite orders it, whatever the language of a site's database.
TEXT = String().with_variant(String(collation="C"), "postgresql")
NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's Integer has 8 bytes as well

AS_BYTES = "as_bytes"  # an option of a query: its rows come as they are, not as text

metadata = MetaData()
SETTINGS = Table(
    "settings",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
PEOPLE = Table(
    "people",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("name", TEXT, nullable=False, index=True),
    Column("external_id", TEXT, unique=True),
    Column("consent", TEXT),
    Column("added_at", TEXT, nullable=False),
    Column("seen_at", TEXT),
    Column("seal", LargeBinary),  # over all the others; none in a file of version 1
    Column("groups", TEXT),  # names, a line each; none in a file of version 2
)
SAMPLES = Table(
    "samples",
    metadata,
    Column("id", TEXT, primary_key=True),
    Column("person_id", TEXT, ForeignKey("people.id", ondelete="CASCADE"), nullable=False),
    Column("source", TEXT, nullable=False),
    Column("source_sha256", TEXT, nullable=False),
    Column("quality", TEXT, nullable=False),  # JSON
    Column("crop", LargeBinary),  # sealed PNG
    Column("added_at", TEXT, nullable=False),
    UniqueConstraint("person_id", "source_sha256"),
)
TEMPLATES = Table(
    "templates",
    metadata,
    Column("sample_id", TEXT, ForeignKey("samples.id", ondelete="CASCADE"), primary_key=True),
    Column("model", TEXT, primary_key=True, index=True),
    Column("data", LargeBinary, nullable=False),  # sealed float32
)
AUDIT = Table(
    "audit",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("at", TEXT, nullable=False),
    Column("action", TEXT, nullable=False),
    Column("person_id", TEXT),  # a random id: nothing of the person's outlives erasure
    Column("details", TEXT, nullable=False),  # JSON, nothing personal
    Column("hash", LargeBinary, nullable=False),
)


def batches_of_ids(ids: Iterable[T]) -> Iterator[list[T]]:
    """Each id, or what else is looked for, once, as many at a time as one statement may name."""
    rest = list(dict.fromkeys(ids))
    for start in range(0, len(rest), MOST_IDS):
        yield rest[start : start + MOST_IDS]
