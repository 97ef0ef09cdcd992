"""What a deletion must reach, and what it must not leave behind. Knows no database's files.

Each deletion sets a note of its own, a setting TRACES, until the files are searched: what a crash,
a full disk or a long reader hinders is done at the next opening, and no other deletion clears it.
The settings HELD name the tables of other rooms:
a process that never heard of such a room deletes from its table all the same.
"""

import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    LargeBinary,
    TableClause,
    column,
    delete,
    func,
    inspect,
    select,
    table,
    update,
)

from visavis.errors import GalleryError
from visavis.gallery.database import Database
from visavis.gallery.people import check_there
from visavis.gallery.tables import PEOPLE, SAMPLES, SETTINGS, TEMPLATES, batches_of_ids

log = logging.getLogger(__name__)

TRACES, HELD = "traces", "held "
HEAD_BYTES = 16  # of a sealed row: they tell it from any other


@dataclass(frozen=True, slots=True)
class Held:
    """A table of another room that holds rows of people."""

    rows: TableClause  # as far as a deletion has to know it
    person: ColumnClause[Any]  # whose it is
    traces: tuple[ColumnClause[Any], ...]  # what must be gone from the files


def note_held(
    database: Database, table_name: str, person_column: str, traces: Sequence[str]
) -> None:
    """Note that a table holds rows of people, in the gallery itself: for all who open it."""
    value = json.dumps([person_column, *traces]).encode()
    name = HELD + table_name
    with database.reading() as connection:
        known = connection.scalar(select(SETTINGS.c.value).where(SETTINGS.c.name == name))
    if known != value:
        with database.writing() as connection:
            database.put(connection, SETTINGS, {"name": name, "value": value})


@dataclass(frozen=True, slots=True)
class Erased:
    """What a deletion must leave in no file, and the name of its note."""

    note: str
    traces: frozenset[bytes]


def note_traces(database: Database, connection: Connection, person: str) -> Erased:
    """Note, within the transaction of a change, that what was is still to be searched for.

    Raises PersonError where nobody has that id.
    """
    check_there(connection, [person])
    return Erased(_noted(database, connection), frozenset(traces_of(connection, [person])))


def delete_people(database: Database, connection: Connection, people: Sequence[str]) -> Erased:
    """Delete people, and their rows in the tables of other rooms; as `note_traces`."""
    check_there(connection, people)
    traces: set[bytes] = set()
    for some in batches_of_ids(people):
        # A file's name that only those share who are deleted is a trace of the last of them.
        traces |= traces_of(connection, some)
        for held in _held(connection):
            connection.execute(delete(held.rows).where(held.person.in_(some)))
        connection.execute(delete(PEOPLE).where(PEOPLE.c.id.in_(some)))
    return Erased(_noted(database, connection), frozenset(traces))


def note_photo_traces(database: Database, connection: Connection, photos: Sequence[str]) -> Erased:
    """As `note_traces`, of MOST_IDS photos at most and not of all that is held of their people."""
    traces = frozenset(_photo_traces(connection, SAMPLES.c.id.in_(photos)))
    return Erased(_noted(database, connection), traces)


def note_parts(database: Database, connection: Connection, parts: Iterable[bytes]) -> Erased:
    """As `note_traces`, of sealed columns that another room deletes by itself."""
    return Erased(_noted(database, connection), frozenset(map(_trace, parts)))


def note_unused(database: Database, connection: Connection) -> None:
    """Note that the files are to be written anew, whatever their unused parts hold."""
    _noted(database, connection)


def traces_of(connection: Connection, people: Sequence[str]) -> set[bytes]:
    """What of people could be found in the files: in words, and the heads of sealed rows."""
    columns = select(PEOPLE.c.name, PEOPLE.c.external_id, PEOPLE.c.consent)
    words = connection.execute(columns.where(PEOPLE.c.id.in_(people))).all()
    parts: list[Any] = [part for row in words for part in row]
    parts += _own(connection, PEOPLE.c.groups, PEOPLE.c.id.in_(people))
    for held in _held(connection):
        for trace in held.traces:
            parts += _own(connection, trace, held.person.in_(people))
    photos = _photo_traces(connection, SAMPLES.c.person_id.in_(people))
    return photos | {_trace(part) for part in parts if part}


def move_held(connection: Connection, kept: str, merged: str) -> None:
    """Give a merged person's rows in the tables of other rooms to the person who is kept."""
    for held in _held(connection):
        rows = update(held.rows).where(held.person == merged)
        connection.execute(rows.values({held.person: kept}))


def scrub(database: Database, erased: Erased) -> None:
    """Leave no trace in the files; where that is not possible now, say so and leave the note."""
    _scrub(database, erased.traces, [erased.note])


def finish(database: Database) -> None:
    """Do what deletions of earlier left to be done: write the files anew, whatever they hold."""
    with database.reading() as connection:
        query = select(SETTINGS.c.name).where(SETTINGS.c.name.startswith(TRACES))
        notes = list(connection.scalars(query))
    if notes:
        _scrub(database, None, notes)


def _scrub(database: Database, traces: Iterable[bytes] | None, notes: Sequence[str]) -> None:
    try:
        database.scrub(traces)
        with database.writing() as connection:
            for some in batches_of_ids(notes):
                connection.execute(delete(SETTINGS).where(SETTINGS.c.name.in_(some)))
    except GalleryError as error:
        log.warning(
            "erased, but unused parts of the files may still show what was; they are written anew "
            "when the gallery is next opened: %s",
            error,
        )


def _noted(database: Database, connection: Connection) -> str:
    """The name of a new note that the files are still to be searched."""
    name = _new_note()
    database.put(connection, SETTINGS, {"name": name, "value": b"yes"})
    return name


def _new_note() -> str:
    return f"{TRACES} {uuid.uuid4().hex}"


def _photo_traces(connection: Connection, mine: ColumnElement[bool]) -> set[bytes]:
    """What of so many photos could be found: heads of crops and templates, and file names."""
    sealed = connection.execute(
        select(_head(SAMPLES.c.crop), _head(TEMPLATES.c.data))
        .outerjoin(TEMPLATES, TEMPLATES.c.sample_id == SAMPLES.c.id)
        .where(mine)
    ).all()
    parts: list[Any] = [part for row in sealed for part in row]
    parts += _own(connection, SAMPLES.c.source, mine)
    return {_trace(part) for part in parts if part}


def _held(connection: Connection) -> Iterator[Held]:
    """The tables of other rooms that are there. Raises GalleryError for a note that is damaged."""
    query = select(SETTINGS).where(SETTINGS.c.name.startswith(HELD))
    for row in connection.execute(query).all():
        name = row.name.removeprefix(HELD)
        try:
            columns: list[ColumnClause[Any]] = [column(str(one)) for one in json.loads(row.value)]
            person, *traces = columns
        except (ValueError, TypeError) as error:
            raise GalleryError(
                f"the note on the table {name} is damaged, so a deletion cannot reach it"
            ) from error
        if inspect(connection).has_table(name):
            yield Held(table(name, person, *traces), person, tuple(traces))


def _own(connection: Connection, text: ColumnElement[Any], mine: ColumnElement[bool]) -> set[Any]:
    """The texts of these rows that no other row has: a photo called 1.jpg is found for ever."""
    own = set(connection.scalars(select(text).where(mine)))
    texts = sorted(own - {None}, key=repr)
    for some in batches_of_ids(texts):
        own -= set(connection.scalars(select(text).where(text.in_(some), ~mine).distinct()))
    return own


def _head(sealed: ColumnElement[Any]) -> ColumnElement[Any]:
    """The beginning of a sealed column: whole crops of thousands of people fill the memory."""
    return func.substr(sealed, 1, HEAD_BYTES, type_=LargeBinary)


def _trace(part: str | bytes) -> bytes:
    return part.encode() if isinstance(part, str) else bytes(part)[:HEAD_BYTES]
