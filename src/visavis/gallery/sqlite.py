"""A gallery in a SQLite file. All that is SQLite's is here, and nothing about people or keys.

The file is opened safely, and refused if it is newer than this visavis. secure_delete overwrites
what is deleted, but not the copies that SQLite leaves in a page's unused part when it moves rows
from page to page. So `scrub` searches the file for what was erased, and writes the file anew where
some of it is left. A file beside it, the ballast, is given up when the disk is full, so that a
deletion finds room to work.
"""

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from weakref import finalize

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event, insert
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from visavis.errors import GalleryError
from visavis.files import make_private
from visavis.gallery.database import BUSY_SECONDS, FULL
from visavis.gallery.erasure import note_held
from visavis.gallery.leftovers import Words, holds
from visavis.gallery.tables import metadata

log = logging.getLogger(__name__)
T = TypeVar("T")

FILE = "gallery.db"
JOURNALS = (f"{FILE}-journal", f"{FILE}-wal", f"{FILE}-shm")
VERSION = 3
APPLICATION = 0x76697361  # "visa", in the file's header: this is a gallery
SAFE_WAL = (3, 51, 3)  # before it, a write-ahead log could lose commits
BALLAST = "ballast"
BALLAST_BYTES = 4_000_000
MANY = 256  # words searched for, of which the pages of people's names always hold some


class SqliteDatabase:
    """A gallery's SQLite file, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Touch nothing yet: `prepare` opens the file."""
        self.path = folder / FILE
        self.engine = _open_engine(self.path)
        finalize(self, self.engine.dispose)  # whoever lets go of a gallery need not close it

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
            with _cannot_make(folder):
                self.path.touch(mode=0o600)  # SQLite gives its journals the same mode
        self._migrate()

    def there(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

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

    def make(self, connection: Connection, tables: MetaData) -> None:
        """Make those tables of a room that are not there."""
        tables.create_all(connection)

    def put(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
        """Write a row in place of the one with the same primary key, if there is one."""
        connection.execute(insert(table).prefix_with("OR REPLACE").values(dict(row)))

    def scrub(self, traces: Iterable[bytes] | None) -> None:
        """Write the file anew where the folder holds one of `traces`; None: in any case.

        Raises GalleryError where another program still reads what was.
        """
        wanted, folder = Words(traces or ()), self.path.parent
        with self.outside() as connection:
            if len(wanted) >= MANY:
                # Sooner done than the whole file written anew; what was is overwritten.
                connection.exec_driver_sql("REINDEX people")
            self._empty_log(connection)
            left = _holding(folder, wanted)
            if traces is None or left:
                connection.exec_driver_sql("VACUUM")
                self._empty_log(connection)
                left = _holding(folder, wanted)  # in the file they may be somebody else's, too
        if BALLAST in left:
            (folder / BALLAST).unlink()
        _make_ballast(folder / BALLAST)
        for name in sorted(left - {FILE, *JOURNALS, BALLAST}):
            log.warning("%s: may hold what was erased; it is yours to delete", folder / name)

    def searched(self, connection: Connection) -> bool:
        """They are, in every deletion."""
        return True

    def beyond(self, connection: Connection) -> list[str]:
        """What no deletion reaches, in words."""
        return ["backups"]

    def backup(self, target: Path) -> None:
        """Write a whole copy while others write. Raises GalleryError."""
        try:
            target.touch(mode=0o600, exist_ok=False)  # names are readable in it
            with (
                closing(sqlite3.connect(self.path)) as source,
                closing(sqlite3.connect(target)) as copy,
            ):
                source.backup(copy)
        except (OSError, sqlite3.Error) as error:
            target.unlink(missing_ok=True)
            raise GalleryError(f"{target}: cannot write the backup: {error}") from error

    @contextmanager
    def replacing(self, source: Path) -> Iterator[None]:
        """Put a whole gallery file in the place of this one, which comes back where the block
        fails. Raises OSError.
        """
        if self.path.exists():
            with suppress(GalleryError), self.outside() as connection:  # it may be damaged
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        self.close()
        _make_folder(self.path.parent)
        kept = source.with_name("replaced")
        kept.mkdir(mode=0o700)
        _keep(self.path, kept)
        try:
            source.replace(self.path)
            yield
        # Whatever ends the block, Ctrl-C too, must not cost the old gallery; it is raised again.
        except BaseException:
            self.close()
            _bring_back(kept, self.path)
            raise

    def damage(self, connection: Connection) -> str | None:
        """What SQLite's own checks find; None for nothing."""
        verdict = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
        if verdict != "ok":
            return f"SQLite says: {verdict}"
        if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
            return "a row belongs to another one that is gone"
        return None

    def register(self, table: str, person_column: str, traces: Sequence[str]) -> None:
        """Let the deletion of a person reach a table of another room, from now on and for all."""
        note_held(self, table, person_column, traces)

    def wait(self, seconds: float, stopping: Event) -> None:
        """Wait so long: a file tells nobody that it was changed."""
        stopping.wait(seconds)

    def close(self) -> None:
        """Let go of the file."""
        self.engine.dispose()

    def _empty_log(self, connection: Connection) -> None:
        """Bring the write-ahead log into the file. Waits for readers; raises GalleryError where one
        does not end: the log then still holds what was deleted.
        """
        busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if busy:
            raise GalleryError(f"{self.path}: not yet gone from the log: another program reads it")

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
        with ExitStack() as closing_it:
            closing_it.callback(connection.close)
            # A text that a flipped bit made unreadable spoils its row, not the reading of others.
            connection.text_factory = lambda text: text.decode(errors="replace")
            for pragma in (
                "foreign_keys=ON",
                "secure_delete=ON",
                "synchronous=FULL",
                "temp_store=MEMORY",  # a VACUUM's copy of names would outlive it in a folder
            ):
                connection.execute(f"PRAGMA {pragma}")
            _set_journal(connection)
            closing_it.pop_all()  # it is well: whoever asked closes it
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        begins = connection.get_execution_options().get("begins", "BEGIN")
        if begins:
            connection.exec_driver_sql(begins)

    return engine


def _set_journal(connection: sqlite3.Connection) -> None:
    """Choose the journal; SQLite itself does not wait where another process is just choosing it."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode={journal_mode()}")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)


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
        "full": f"{FULL}, and people delete still works",
        "readonly": "the file is read-only; make it writable to change the gallery",
        "locked": f"another process has been writing for {BUSY_SECONDS:.0f} s; try again",
        "unable to open": "cannot be opened; is the folder there, and may you write in it?",
    }
    return next((words for sign, words in known.items() if sign in text), text)


def _make_folder(folder: Path) -> None:
    with _cannot_make(folder):
        make_private(folder)
    _make_ballast(folder / BALLAST)


@contextmanager
def _cannot_make(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{folder}: cannot make a gallery here: {error.strerror}"
        mend = "name another folder, or set $VISAVIS_GALLERY"
        raise GalleryError(what, mend=mend, option="gallery") from error


def _keep(path: Path, kept: Path) -> None:
    """Put a gallery's file into `kept` as well, and its journals: they must never be applied to
    another file. A file of its name is there at any moment.
    """
    if path.exists():
        try:
            (kept / FILE).hardlink_to(path)
        except OSError:  # a file system without links
            shutil.copy2(path, kept / FILE)
    for name in JOURNALS:
        if path.with_name(name).exists():
            path.with_name(name).replace(kept / name)


def _bring_back(kept: Path, path: Path) -> None:
    """Put what `_keep` kept in the place of what is there now."""
    for name in (*JOURNALS, FILE):
        path.with_name(name).unlink(missing_ok=True)
        if (kept / name).exists():
            (kept / name).replace(path.with_name(name))


def _make_ballast(path: Path) -> None:
    """Take room on the disk that a deletion can be given later; a file of anything else goes."""
    zeros = bytes(BALLAST_BYTES)  # written, not sparse: it must hold real blocks
    try:
        if path.exists() and path.read_bytes() == zeros:
            return
        path.touch(mode=0o600)
        with path.open("wb") as file:
            file.write(zeros)
    except OSError:
        # There is no room for it now, or no leave to write; the next deletion tries again.
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _holding(folder: Path, traces: Words) -> set[str]:
    """The files of a folder that hold one of the traces, journals and what else lies there too."""
    holding = set()
    for path in folder.iterdir() if traces else ():
        # A journal may go while it is looked at.
        with suppress(FileNotFoundError):
            if path.is_file() and holds(path, traces):
                holding.add(path.name)
    return holding


def _first(connection: Connection) -> None:
    metadata.create_all(connection)


def _room_for_seals(connection: Connection) -> None:
    _room_for(connection, "seal", "BLOB")


def _room_for_groups(connection: Connection) -> None:
    _room_for(connection, "groups", "VARCHAR")


def _room_for(connection: Connection, name: str, kind: str) -> None:
    # Whoever sets the version back gets no other file: the column is there.
    columns = connection.exec_driver_sql("PRAGMA table_info(people)").all()
    if name not in {column.name for column in columns}:
        connection.exec_driver_sql(f"ALTER TABLE people ADD COLUMN {name} {kind}")


MIGRATIONS = (_first, _room_for_seals, _room_for_groups)  # number i takes version i to i + 1
