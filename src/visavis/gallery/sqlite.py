"""A gallery in a SQLite file. All that is SQLite's is here, and nothing about people or keys.

The file is opened safely, and refused if it is newer than this visavis. secure_delete overwrites
what is deleted, but not the copies that SQLite leaves in a page's unused part when it moves rows
from page to page. So `scrub` searches the file for what was erased, and writes the file anew where
some of it is left. A file beside it, the ballast, is given up when the disk is full, so that a
deletion finds room to work.
"""

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event, insert
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from visavis.errors import GalleryError
from visavis.gallery.erasure import note_held
from visavis.gallery.tables import metadata

T = TypeVar("T")

FILE = "gallery.db"
VERSION = 1
APPLICATION = 0x76697361  # "visa", in the file's header: this is a gallery
FULL = "the disk is full; nothing was lost, and people delete still works"
BUSY_SECONDS = 30.0
SAFE_WAL = (3, 51, 3)  # before it, a write-ahead log could lose commits
BALLAST = "ballast"
BALLAST_BYTES = 4_000_000
BLOCK = 1 << 24  # bytes of the file searched at a time


class SqliteDatabase:
    """A gallery's SQLite file, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Touch nothing yet: `prepare` opens the file."""
        self.path = folder / FILE
        self.engine = _open_engine(self.path)

    def prepare(self, *, create: bool = True) -> None:
        """Open the file, with its tables up to date; with `create`, make one where there is none.

        Raises GalleryError for what is no gallery.
        """
        folder = self.path.parent
        # An empty file: somebody was stopped while making it.
        # Not Path.exists: it raises where the folder may not be looked into.
        if not os.path.exists(self.path) or not self.path.stat().st_size:
            if not create:
                raise GalleryError(f"{folder}: no gallery here", mend="visavis enroll makes one")
            _make_folder(folder)
        self._migrate()

    @property
    def where(self) -> str:
        """The file."""
        return str(self.path)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes: all of it or nothing. One writer at a time, others wait."""
        with _named(self.path), self.engine.connect() as connection:
            options = connection.execution_options(begins="BEGIN IMMEDIATE")
            with options.begin():
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that reads: everything as it was at one moment."""
        with _named(self.path), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def outside(self) -> Iterator[Connection]:
        """No transaction: for what SQLite does to the file as a whole."""
        with _named(self.path), self.engine.connect() as connection:
            yield connection.execution_options(begins="")

    def erasing(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction that writes; the ballast makes room on a full disk."""
        ballast = self.path.with_name(BALLAST)
        try:
            with self.writing() as connection:
                return work(connection)
        except GalleryError as error:
            if FULL not in error.what or not ballast.exists():
                raise
        ballast.unlink()
        with self.writing() as connection:
            return work(connection)

    def put(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
        """Write a row in place of the one with the same primary key, if there is one."""
        connection.execute(insert(table).prefix_with("OR REPLACE").values(dict(row)))

    def scrub(self, traces: Iterable[bytes] | None) -> None:
        """Write the file anew where it holds one of `traces`; None: in any case."""
        with self.outside() as connection:
            # A write-ahead log may still hold them.
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            if traces is None or _holds(self.path, set(traces)):
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        _make_ballast(self.path.with_name(BALLAST))

    def backup(self, target: Path) -> None:
        """Write a whole copy while others write. Raises GalleryError."""
        staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with (
                closing(sqlite3.connect(self.path)) as source,
                closing(sqlite3.connect(staging)) as copy,
            ):
                source.backup(copy)
            staging.chmod(0o600)  # names are readable in it
            staging.replace(target)
        except (OSError, sqlite3.Error) as error:
            staging.unlink(missing_ok=True)
            raise GalleryError(f"{target}: cannot write the backup: {error}") from error

    def restore(self, source: Path) -> None:
        """Put a whole gallery file in the place of this one. Raises OSError."""
        self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What is left of the old file's journals must never be applied to the new one.
        for rest in ("-journal", "-wal", "-shm"):
            self.path.with_name(FILE + rest).unlink(missing_ok=True)
        source.replace(self.path)

    def register(self, table: str, person_column: str, traces: Sequence[str]) -> None:
        """Let the deletion of a person reach a table of another room, from now on and for all."""
        note_held(self, table, person_column, traces)

    def close(self) -> None:
        """Let go of the file."""
        self.engine.dispose()

    def _migrate(self) -> None:
        """Make the tables of a new file, and bring an older one up to date."""
        with self.reading() as connection:
            if _version(connection, self.path) == VERSION:
                return  # a gallery that is only read may be read-only
        with self.writing() as connection:
            for migrate in MIGRATIONS[_version(connection, self.path) :]:
                migrate(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")
            connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION}")


def journal_mode() -> str:
    """A write-ahead log where this SQLite keeps its promises, else the rollback journal."""
    return "WAL" if sqlite3.sqlite_version_info >= SAFE_WAL else "DELETE"


def check_header(path: Path, where: str) -> None:
    """Raise GalleryError for a file that is no gallery: an empty one would open as a new gallery,
    and replace a full one.
    """
    with path.open("rb") as file:
        header = file.read(100)
    if header[68:72] != APPLICATION.to_bytes(4, "big"):  # sqlite.org/fileformat.html, 1.3
        raise GalleryError(f"{where}: no backup of a gallery")


def _open_engine(path: Path) -> Engine:
    """An engine whose transactions are whole, durable and wait their turn."""

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


def _version(connection: Connection, path: Path) -> int:
    version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    application = int(connection.exec_driver_sql("PRAGMA application_id").scalar_one())
    tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_schema").scalar_one()
    if tables and application != APPLICATION:
        raise GalleryError(f"{path}: a database, but no gallery of visavis")
    if version > VERSION:
        raise GalleryError(
            f"{path}: version {version}, this visavis reads up to {VERSION}",
            mend="install a newer visavis",
        )
    return version


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except OperationalError as error:
        raise GalleryError(f"{path}: {_words(error)}") from error
    except DatabaseError as error:
        raise GalleryError(f"{path}: no gallery, or a damaged one: {error.orig}") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of rows read, or of SQL itself
        raise GalleryError(f"{path}: no gallery, or a damaged one: {error}") from error


def _words(error: OperationalError) -> str:
    text = str(error.orig)
    known = {
        "full": FULL,
        "readonly": "the file is read-only; make it writable to change the gallery",
        "locked": f"another process has been writing for {BUSY_SECONDS:.0f} s; try again",
        "unable to open": "cannot be opened; is the folder there, and may you write in it?",
    }
    return next((words for sign, words in known.items() if sign in text), text)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        what = f"{folder}: cannot make a gallery here: {error.strerror}"
        mend = "name another folder, or set $VISAVIS_GALLERY"
        raise GalleryError(what, mend=mend, option="gallery") from error
    _make_ballast(folder / BALLAST)


def _make_ballast(path: Path) -> None:
    """Take room on the disk that a deletion can be given later."""
    if path.exists():
        return
    try:
        with path.open("wb") as file:
            file.write(bytes(BALLAST_BYTES))  # written, not sparse: it must hold real blocks
    except OSError:
        # There is no room for it now, or no leave to write; the next deletion tries again.
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _holds(path: Path, traces: set[bytes]) -> bool:
    """Whether a file holds one of the traces, also across the blocks that it is read in."""
    longest = max(map(len, traces), default=0)
    before = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            part = before + block
            if any(trace in part for trace in traces):
                return True
            before = part[-longest:]
    return False


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


MIGRATIONS = (_first,)  # number i takes version i to i + 1
