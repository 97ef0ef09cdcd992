"""The tables of attendance, in the gallery's database. Knows nothing of what is sealed in them."""

from sqlalchemy import Column, Index, LargeBinary, MetaData, String, Table

from visavis.gallery.tables import NUMBER

metadata = MetaData()
ROOM_KEYS = Table(
    "attendance_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", String, nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)
ROWS = Table(
    "attendance_rows",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("at", NUMBER, nullable=False),  # seconds since 1970, UTC
    Column("kind", String, nullable=False),
    Column("person_id", String),
    Column("key_id", String, nullable=False),
    Column("token", LargeBinary, unique=True),  # the same where the same is said again
    Column("sealed", LargeBinary, nullable=False),
    Index("attendance_of", "person_id", "at"),
    Index("attendance_at", "at"),
)
EVIDENCES = Table(
    "attendance_evidence",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("person_id", String, index=True),
    Column("key_id", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("crop", LargeBinary),
)
SEENS = Table(
    "attendance_seen",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("person_id", String, index=True),
    Column("key_id", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
CHAIN = Table(
    "attendance_chain",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("day", String, nullable=False),  # on which it was written, UTC
    Column("kind", String, nullable=False),
    Column("person_id", String),
    Column("content", LargeBinary, nullable=False),  # a hash of the sealed row
    Column("hash", LargeBinary, nullable=False),
)
UNKNOWNS = Table(
    "attendance_unknown",
    metadata,
    Column("seq", NUMBER, primary_key=True),
    Column("at", NUMBER, nullable=False, index=True),  # seconds since 1970, UTC
    Column("person_id", String, index=True),  # whom they are like: deleted with that person
    Column("key_id", String, nullable=False),
    Column("token", LargeBinary, nullable=False, unique=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("crop", LargeBinary),
    sqlite_autoincrement=True,  # no number comes twice: a page may still show the one before
)
HELD_TABLES = ((ROOM_KEYS, ("sealed",)), (ROWS, ()), (EVIDENCES, ()), (SEENS, ()),
               (UNKNOWNS, ("sealed", "crop")))  # fmt: skip
