"""The gallery's tables, and the SQLite file they lie in: opened safely, refused if newer."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
)
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import QueuePool

from visavis.errors import GalleryError

VERSION = 1
APPLICATION = 0x76697361  # "visa", in the file's header: this is a gallery
FULL = "the disk is full; nothing was lost, and people delete still works"
BUSY_SECONDS = 30.0
SAFE_WAL = (3, 51, 3)  # before it, a write-ahead log could lose commits

metadata = MetaData()
settings = Table(
    "settings",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
people = Table(
    "people",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, index=True),
    Column("external_id", String, unique=True),
    Column("consent", String),
    Column("added_at", String, nullable=False),
    Column("seen_at", String),
)
samples = Table(
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
templates = Table(
    "templates",
    metadata,
    Column("sample_id", ForeignKey("samples.id", ondelete="CASCADE"), primary_key=True),
    Column("model", String, primary_key=True, index=True),
    Column("data", LargeBinary, nullable=False),  # sealed float32
)
configurations = Table(
    "configurations",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("document", String, nullable=False),  # JSON: model, calibration, rule
    Column("added_at", String, nullable=False),
)
audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("action", String, nullable=False),
    Column("person_id", String),  # a random id: nothing of the person's outlives erasure
    Column("details", String, nullable=False),  # JSON, nothing personal
    Column("hash", LargeBinary, nullable=False),
)


def journal_mode() -> str:
    """A write-ahead log where this SQLite keeps its promises, else the rollback journal."""
    return "WAL" if sqlite3.sqlite_version_info >= SAFE_WAL else "DELETE"


def open_engine(path: Path) -> Engine:
    """An engine on a gallery file, whose transactions are whole, durable and wait their turn."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            _address(path),
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        # A text that a flipped bit made unreadable spoils its row, not the reading of all others.
        connection.text_factory = lambda text: text.decode(errors="replace")
        for pragma in (
            "foreign_keys=ON",
            "secure_delete=ON",
            "synchronous=FULL",
            "temp_store=MEMORY",  # a VACUUM's copy of names in a temporary folder would outlive it
            f"journal_mode={journal_mode()}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        begins = connection.get_execution_options().get("begins", "BEGIN")
        if begins:
            connection.exec_driver_sql(begins)

    return engine


def _address(path: Path) -> str:
    """The file as a URI; one that nobody can be writing to is read without its write-ahead log."""
    log = path.with_name(path.name + "-wal")
    fixed = journal_mode() == "WAL" and not os.access(path.parent, os.W_OK) and not log.exists()
    return path.absolute().as_uri() + ("?immutable=1" if fixed else "")


def prepare(engine: Engine, path: Path) -> None:
    """Make the tables of a new file, and bring an older one up to date."""
    with reading(engine, path) as connection:
        if _version(connection, path) == VERSION:
            return  # a gallery that is only read may be read-only
    with writing(engine, path) as connection:
        for migrate in MIGRATIONS[_version(connection, path) :]:
            migrate(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")


def _version(connection: Connection, path: Path) -> int:
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    application = int(connection.exec_driver_sql("PRAGMA application_id").scalar_one())
    tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()
    if tables and application != APPLICATION:
        raise GalleryError(f"{path}: a database, but no gallery of visavis")
    if version > VERSION:
        raise GalleryError(
            f"{path}: version {version}, this visavis reads up to {VERSION}: "
            "install a newer visavis"
        )
    return version


@contextmanager
def writing(engine: Engine, path: Path) -> Iterator[Connection]:
    """One transaction that writes: all of it or nothing. One writer at a time, others wait."""
    with _named(path), engine.connect() as connection:
        options = connection.execution_options(begins="BEGIN IMMEDIATE")
        with options.begin():
            yield connection


@contextmanager
def reading(engine: Engine, path: Path) -> Iterator[Connection]:
    """One transaction that reads: everything as it was at one moment."""
    with _named(path), engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def outside(engine: Engine, path: Path) -> Iterator[Connection]:
    """No transaction: for what SQLite does to the file as a whole."""
    with _named(path), engine.connect() as connection:
        yield connection.execution_options(begins="")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise GalleryError(f"{path}: {_said(error)}") from error
    except DatabaseError as error:
        if isinstance(error.orig, sqlite3.IntegrityError):
            raise
        raise GalleryError(f"{path}: no gallery, or a damaged one: {error.orig}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of rows read, or of SQL itself
        raise GalleryError(f"{path}: no gallery, or a damaged one: {error}") from error


def _said(error: OperationalError) -> str:
    text = str(error.orig)
    mends = {
        "full": FULL,
        "readonly": "the file is read-only; make it writable to change the gallery",
        "locked": f"another process has been writing for {BUSY_SECONDS:.0f} s; try again",
        "unable to open": "cannot be opened; is the folder there, and may you write in it?",
    }
    return next((mend for sign, mend in mends.items() if sign in text), text)


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


MIGRATIONS = (_first,)  # number i takes version i to i + 1
