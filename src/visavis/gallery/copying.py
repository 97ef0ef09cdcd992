"""A gallery copied from one database to another, row by row, sealed as it is: one key opens both.

A copy that was stopped is no gallery yet, and is gone on with by the next call: rows that are there
already are compared, not written. Knows no SQL of any database's own, and no key.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    LargeBinary,
    MetaData,
    Select,
    Table,
    UniqueConstraint,
    delete,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from visavis.errors import GalleryError
from visavis.gallery.configurations import configuration_damages
from visavis.gallery.database import Database
from visavis.gallery.gallery import Gallery
from visavis.gallery.places import GalleryPlace, database_at
from visavis.gallery.settings import COPYING, ID, is_new, read_setting, write_setting
from visavis.gallery.tables import NUMBER, SETTINGS, TEXT

CHUNK = 500  # rows compared and written at a time, in one transaction
KINDS: dict[type, TypeEngine[Any]] = {str: TEXT, int: NUMBER, bytes: LargeBinary()}
Row = tuple[Any, ...]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CopiedRows:
    """How many rows there are by table, and how many of all were written by this call."""

    rows: dict[str, int]
    written: int


@dataclass(frozen=True, slots=True)
class GalleryCopy:
    """What a copy of a gallery came to."""

    people: int
    templates: int
    head: str  # the audit's, the same in both
    rows: dict[str, int]  # by table
    written: int  # rows, by this call


def copy_gallery(source: Gallery, place: GalleryPlace) -> GalleryCopy:
    """Copy a gallery to a place where none is, or where a copy of it was stopped.

    All rows are compared, and all that is sealed is opened, before it is one. Raises GalleryError
    for a gallery that is damaged, and where another one is there already.
    """
    _refuse_damaged(source)
    target = database_at(place)
    with closing(target):
        copied = copy_rows(source.database, target)
        copy = Gallery(target)
        _refuse_damaged(copy)
        count = copied.rows["templates"]
        return GalleryCopy(len(copy.people()), count, str(copy.audit_head()), **asdict(copied))


def _refuse_damaged(gallery: Gallery) -> None:
    damage = gallery.damage() or next(iter(configuration_damages(gallery)), None)
    if damage is not None:
        raise GalleryError(f"{gallery.where}: {damage}", mend="mend that first")


def copy_rows(source: Database, target: Database) -> CopiedRows:
    """Make `target` the gallery that `source` is at this moment; both are compared afterwards.

    Raises GalleryError where another gallery is there already, and where the two differ.
    """
    target.prepare(create=True)
    with source.reading() as connection:
        tables = _portable(connection)
        _begin(target, connection, tables)
        written, rows = 0, {}
        for table in _in_order(tables):
            written += sum(_differences(connection, target, table, write=True))
        for table in _in_order(tables):
            rows[table.name] = _count(connection, table)
            if left := sum(_differences(connection, target, table, write=False)):
                raise GalleryError(f"{target.where}: {left} rows of {table.name} are not as copied")
        with target.writing() as writing:
            write_setting(target, writing, COPYING, None)
    return CopiedRows(rows, written)


def _begin(target: Database, source: Connection, tables: MetaData) -> None:
    """Note in the target whose copy it will be. Raises GalleryError where it is anything else."""
    own = read_setting(source, ID)
    with target.writing() as connection:
        noted = read_setting(connection, COPYING)
        if noted != own and not is_new(connection):
            raise GalleryError(
                f"{target.where}: a gallery is here already", mend="choose another place"
            )
        target.make(connection, tables)
        write_setting(target, connection, COPYING, own)


def _portable(connection: Connection) -> MetaData:
    """The tables that a gallery holds, those of every room, as any database makes them."""
    there, tables = MetaData(), MetaData()
    there.reflect(connection)
    for table in there.sorted_tables:
        columns: list[Column[Any]] = [
            Column(one.name, KINDS[one.type.python_type], primary_key=one.primary_key,
                   nullable=one.nullable)
            for one in table.columns
        ]  # fmt: skip
        unique = [
            UniqueConstraint(*(column.name for column in one.columns))
            for one in table.constraints
            if isinstance(one, UniqueConstraint)
        ]
        made = Table(table.name, tables, *columns, *unique)
        for index in table.indexes:
            names = [made.c[column.name] for column in index.columns]
            Index(index.name, *names, unique=index.unique)
    return tables


def _in_order(tables: MetaData) -> list[Table]:
    """People before what belongs to them, and last what makes it a gallery."""
    first = ["people", "samples", "templates"]
    rest = sorted(set(tables.tables) - {*first, SETTINGS.name})
    return [tables.tables[name] for name in (*first, *rest, SETTINGS.name)]


def _differences(
    source: Connection, target: Database, table: Table, *, write: bool
) -> Iterator[int]:
    """How many rows differ, a chunk at a time; with `write`, they are made the same."""
    after: Key | None = None
    while True:
        rows = _rows(source, table, _slice(table, after, None).limit(CHUNK))
        last = next(reversed(rows)) if len(rows) == CHUNK else None
        with target.writing() if write else target.reading() as connection:
            there = _rows(connection, table, _slice(table, after, last))
            gone = [key for key in there if key not in rows]
            new = [row for key, row in rows.items() if key not in there]
            other = [row for key, row in rows.items() if key in there and there[key] != row]
            if write:
                _write(target, connection, table, (gone, new, other))
        yield len(gone) + len(new) + len(other)
        if last is None:
            return
        after = last


def _slice(table: Table, after: Key | None, last: Key | None) -> Select[Any]:
    """The rows behind one key and up to another, by their keys; of the settings without the note
    that this is a copy.
    """
    key = tuple_(*table.primary_key)
    query = select(*_columns(table)).order_by(*table.primary_key)
    if table.name == SETTINGS.name:
        query = query.where(table.c.name != COPYING)
    if after is not None:
        query = query.where(key > after)
    return query if last is None else query.where(key <= last)


def _columns(table: Table) -> list[Column[Any]]:
    """A table's columns, its key first."""
    return [*table.primary_key, *(one for one in table.columns if not one.primary_key)]


def _rows(connection: Connection, table: Table, query: Select[Any]) -> dict[Key, Row]:
    """Rows by their keys, in order; the driver's own: an altered file holds anything anywhere."""
    count = len(table.primary_key)
    return {row[:count]: tuple(row) for row in connection.execute(query).cursor.fetchall()}


def _write(
    target: Database,
    connection: Connection,
    table: Table,
    changes: tuple[Sequence[Key], Sequence[Row], Sequence[Row]],
) -> None:
    gone, new, other = changes
    names = [column.name for column in _columns(table)]
    if gone:
        connection.execute(delete(table).where(tuple_(*table.primary_key).in_(gone)))
    if new:
        connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in new])
    for row in other:
        target.put(connection, table, dict(zip(names, row, strict=True)))


def _count(connection: Connection, table: Table) -> int:
    count = select(func.count()).select_from(table)
    return connection.scalar(count) or 0
