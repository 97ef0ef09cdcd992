"""A gallery in a PostgreSQL database that many servers share. All that is PostgreSQL's is here.

A gallery is a schema of its own, with the tables that a file has: nothing of another gallery can be
in its way. Row level security is on for each of them: who was given rights on a table, and is not
the gallery's owner, reads nothing. One writer at a time, by an advisory lock; what is acknowledged
is in the server's log on the disk.
"""

import logging
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any, TypeVar
from weakref import finalize

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    MetaData,
    Table,
    create_engine,
    event,
    inspect,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from visavis.errors import GalleryError
from visavis.extras import need
from visavis.gallery.copying import copy_rows
from visavis.gallery.database import BUSY_SECONDS, FULL
from visavis.gallery.erasure import note_held
from visavis.gallery.leftovers import Words
from visavis.gallery.places import DatabaseAddress
from visavis.gallery.sqlite import SqliteDatabase
from visavis.gallery.tables import AS_BYTES, metadata
from visavis.gallery.vacuum import beyond, may_search, table_holds, vacuum

log = logging.getLogger(__name__)
T = TypeVar("T")

VERSION = 1
OLDEST = 150_000  # the server's version, as PostgreSQL numbers it
MOST_NAME = 54  # letters of a gallery's name that leave room for _replaced
ROOM = 0x76697361  # "visa": the advisory locks of galleries
CHANNEL = "visavis"  # on which a gallery's name is told when it was changed
LISTENED = 0.05  # seconds at a time, so that a service ends soon
CONNECT = {
    "connect_timeout": "5",
    # A server whose machine is gone is noticed within seconds.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": "8000",
    "client_encoding": "utf8",
    "application_name": "visavis",
}
MARK = re.compile(r"visavis gallery (\d+)")  # what a gallery's schema is commented with
LOCK = text("SELECT pg_advisory_xact_lock(:room, :number), pg_notify(:channel, :gallery)")
SCHEMA = text(
    "SELECT obj_description(oid, 'pg_namespace') AS comment, pg_get_userbyid(nspowner) AS owner, "
    "pg_has_role(nspowner, 'usage') AS ours, "
    "EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_namespace.oid) AS used "
    "FROM pg_namespace WHERE nspname = :gallery"
)
OPEN_TABLES = text(
    "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(:gallery) "
    "AND relkind = 'r' AND NOT relrowsecurity ORDER BY relname"
)
# What is acknowledged is on the disk, whatever the server does by default.
DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)
WORDS = {  # by SQLSTATE: www.postgresql.org/docs/current/errcodes-appendix.html
    "25006": "this server, or this role, only reads; to change the gallery, connect to another",
    "53100": f"{FULL}: make room on the server",
    "55P03": f"another process has been writing for {BUSY_SECONDS:.0f} s; try again",
    "42501": "this role may not do that",
    "42P01": "no gallery, or a damaged one",
    "42703": "no gallery, or a damaged one",
}
AWAY = "the database does not answer"


class PostgresDatabase:
    """A gallery's schema in a PostgreSQL database."""

    def __init__(self, address: DatabaseAddress) -> None:
        """Connect to nothing yet: `prepare` does. Raises DeviceError without the extra."""
        need("psycopg", extras="postgres")
        self.address = address
        self.engine = _open_engine(address)
        finalize(self, self.engine.dispose)
        self._driver = self.engine.dialect.loaded_dbapi
        self._place = {"gallery": address.gallery}

    def prepare(self, *, create: bool = True) -> None:
        """Find the gallery, with its tables up to date; with `create`, make one where none is.

        Raises GalleryError for a database that has no gallery, and where it cannot be reached.
        """
        with self.reading() as connection:
            self._check_server(connection)
            version = self._version(connection)
        if version == VERSION:
            return  # a gallery that is only read may be read-only
        if not version and not create:
            raise GalleryError(f"{self.where}: no gallery here", mend="visavis enroll makes one")
        with self.writing() as connection:
            self._migrate(connection)

    def there(self) -> bool:
        """Whether a gallery is there."""
        with self.reading() as connection:
            return bool(self._version(connection))

    @property
    def where(self) -> str:
        """The address, without who connects."""
        return str(self.address)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes: all of it or nothing. One writer at a time, others wait."""
        with self._named(), self.engine.begin() as connection:
            number = zlib.crc32(self.address.gallery.encode()) - (1 << 31)
            told = {"room": ROOM, "number": number, "channel": CHANNEL}
            connection.execute(LOCK, {**told, **self._place})
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that reads: everything as it was at one moment."""
        with self._named(), self.engine.connect() as connection:
            # Not said to be read-only: the driver would then say of the next one that it writes.
            connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def outside(self) -> Iterator[Connection]:
        """No transaction: for what PostgreSQL does to tables as a whole."""
        with self._named(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def erasing(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction that writes."""
        with self.writing() as connection:
            return work(connection)

    def make(self, connection: Connection, tables: MetaData) -> None:
        """Make those tables of a room that are not there, each closed to all but the owner."""
        there = set(inspect(connection).get_table_names())
        tables.create_all(connection)
        for table in tables.sorted_tables:
            if table.name not in there:
                name = _quoted(table.name)
                connection.exec_driver_sql(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY")

    def put(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
        """Write a row in place of the one with the same primary key, if there is one."""
        keys = [column.name for column in table.primary_key]
        values = {name: value for name, value in row.items() if name not in keys}
        adding = insert(table).values(dict(row))
        connection.execute(adding.on_conflict_do_update(index_elements=keys, set_=values))

    def scrub(self, traces: Iterable[bytes] | None) -> None:
        """Take what was deleted out of the tables. Those whose files hold one of `traces` are
        written anew, where the files may be searched; with None, all are.

        Raises GalleryError where somebody still reads what was.
        """
        wanted = Words(traces or ())
        with self.outside() as connection:
            tables = [_quoted(name) for name in inspect(connection).get_table_names()]
            left = [table for table in tables if not vacuum(connection, table)]
            held = tables
            if traces is not None:
                held = self._holding(connection, tables, wanted)
            left += [table for table in held if not vacuum(connection, table, anew=True)]
        if left:
            raise GalleryError(f"{self.where}: not yet gone: another program reads {left[0]}")

    def beyond(self, connection: Connection) -> list[str]:
        """What no deletion reaches, in words."""
        return beyond(connection)

    def searched(self, connection: Connection) -> bool:
        """Whether the files are searched for what a deletion left."""
        return may_search(connection)

    def _holding(self, connection: Connection, tables: list[str], words: Words) -> list[str]:
        """The tables whose files hold one of the words; none where they may not be read."""
        if not words or not may_search(connection):
            return []
        connection.exec_driver_sql("CHECKPOINT")  # what is read is what lies on the disk
        return [table for table in tables if table_holds(connection, table, words)]

    def backup(self, target: Path) -> None:
        """Write a whole copy to a file, as of a gallery in a folder, while others write."""
        with closing(SqliteDatabase(target.parent)) as file:
            copy_rows(self, file)

    @contextmanager
    def replacing(self, source: Path) -> Iterator[None]:
        """Put a copy that `backup` wrote in the place of what is here, which comes back where the
        block fails.
        """
        kept = f"{self.address.gallery[:MOST_NAME]}_replaced"
        was = self.there()
        if was:
            self._do(f"ALTER SCHEMA {self._schema} RENAME TO {_quoted(kept)}")
        try:
            with closing(SqliteDatabase(source.parent)) as file:
                copy_rows(file, self)
            yield
        # Whatever ends the block, Ctrl-C too, must not cost the old gallery; it is raised again.
        except BaseException:
            self._do(f"DROP SCHEMA IF EXISTS {self._schema} CASCADE")
            if was:
                self._do(f"ALTER SCHEMA {_quoted(kept)} RENAME TO {self._schema}")
            raise
        if was:
            self._do(f"DROP SCHEMA {_quoted(kept)} CASCADE")

    def damage(self, connection: Connection) -> str | None:
        """Which tables others may read; None for none."""
        tables = connection.scalars(OPEN_TABLES, self._place).all()
        return f"row level security is off: {', '.join(tables)}" if tables else None

    def register(self, table: str, person_column: str, traces: Sequence[str]) -> None:
        """Let the deletion of a person reach a table of another room, from now on and for all."""
        note_held(self, table, person_column, traces)

    def wait(self, seconds: float, stopping: Event) -> None:
        """Return when a process says that it changed the gallery, after so long in any case."""
        with self.outside() as connection:
            connection.exec_driver_sql(f"LISTEN {CHANNEL}")
            driver: Any = connection.connection.driver_connection
            end, told = time.monotonic() + seconds, False
            while not told and not stopping.is_set() and time.monotonic() < end:
                # All of it is taken: the connection is locked until that has come to its end.
                news = [one.payload for one in driver.notifies(timeout=LISTENED, stop_after=1)]
                told = self.address.gallery in news
            connection.exec_driver_sql(f"UNLISTEN {CHANNEL}")

    def close(self) -> None:
        """Let go of the connections."""
        self.engine.dispose()

    def _do(self, statement: str) -> None:
        with self.writing() as connection:
            connection.exec_driver_sql(statement)

    @property
    def _schema(self) -> str:
        return _quoted(self.address.gallery)

    def _check_server(self, connection: Connection) -> None:
        settings = "SELECT current_setting('server_version_num')::int, current_setting('fsync'), "
        row = connection.exec_driver_sql(settings + "current_setting('server_encoding')").one()
        version, fsync, encoding = row
        if version < OLDEST:
            raise GalleryError(
                f"{self.where}: expected PostgreSQL {OLDEST // 10_000} or newer, got "
                f"{version // 10_000}"
            )
        if encoding != "UTF8":
            raise GalleryError(
                f"{self.where}: expected a database of encoding UTF8, got {encoding}",
                mend="make one: CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
            )
        if fsync != "on":
            log.warning("%s: fsync is off: a power cut can lose what was acknowledged", self.where)

    def _version(self, connection: Connection) -> int | None:
        """The version of the gallery's tables; 0 where its schema is empty, None for no schema."""
        row = connection.execute(SCHEMA, self._place).first()
        if row is None:
            return None
        mark = MARK.fullmatch(row.comment or "")
        if row.used and not mark:
            raise GalleryError(f"{self.where}: a schema, but no gallery of visavis")
        if not row.ours:
            raise GalleryError(
                f"{self.where}: this gallery is another role's, {row.owner}: nobody else reads it",
                mend=f"connect as that role, or as a member of it (GRANT {row.owner} TO ...)",
            )
        version = int(mark[1]) if mark else 0
        if version > VERSION:
            raise GalleryError(
                f"{self.where}: version {version}, this visavis reads up to {VERSION}",
                mend="install a newer visavis",
            )
        return version

    def _migrate(self, connection: Connection) -> None:
        """Make the tables of a new gallery, and bring an older one up to date."""
        version = self._version(connection)
        if version is None:
            connection.exec_driver_sql(f"CREATE SCHEMA {self._schema}")
        for migrate in MIGRATIONS[version or 0 :]:
            migrate(self, connection)
        mark = f"COMMENT ON SCHEMA {self._schema} IS 'visavis gallery {VERSION}'"
        connection.exec_driver_sql(mark)

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        # The driver's own, of rows that are read from it directly.
        except (SQLAlchemyError, self._driver.Error, UnicodeDecodeError) as error:
            raise GalleryError(f"{self.where}: {self._words(error)}") from error

    def _words(self, error: Exception) -> str:
        orig = error.orig if isinstance(error, DBAPIError) else error
        said = WORDS.get(getattr(orig, "sqlstate", None) or "")
        detail = " ".join(str(orig).split())
        secret = self.address.options.get("password")
        if secret:
            detail = detail.replace(secret, "***")
        return said or (detail if getattr(orig, "sqlstate", None) else f"{AWAY}: {detail}")


def _open_engine(address: DatabaseAddress) -> Engine:
    """An engine whose connections see the gallery's schema and nothing else."""
    options = dict(address.options)
    url = URL.create(
        "postgresql+psycopg",
        username=options.pop("user", None),
        password=options.pop("password", None),
        database=address.database or None,
        query=options,
    )
    missing = {name: value for name, value in CONNECT.items() if name not in options}
    engine = create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=missing)

    @event.listens_for(engine, "connect")
    def begin(connection: Any, _: object) -> None:
        for statement in (
            f"SET search_path = {_quoted(address.gallery)}, pg_temp",
            f"SET lock_timeout = '{1000 * BUSY_SECONDS:.0f}ms'",
            DURABLE,
        ):
            connection.execute(statement)
        connection.commit()

    @event.listens_for(engine, "before_cursor_execute")
    def ask(_: object, cursor: Any, *asked: Any) -> None:
        *_, context, _many = asked
        if context.execution_options.get(AS_BYTES):
            cursor.format = engine.dialect.loaded_dbapi.pq.Format.BINARY

    return engine


def _quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def _first(database: PostgresDatabase, connection: Connection) -> None:
    database.make(connection, metadata)
    # A template of 512 numbers stays in its row, where it is read in one go.
    connection.exec_driver_sql("ALTER TABLE templates SET (toast_tuple_target = 8160)")


MIGRATIONS = (_first,)  # number i takes version i to i + 1
