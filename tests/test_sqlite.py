"""What SQLite is told, and what it holds to: durable, one writer at a time, nothing left over."""

import os
import sqlite3
import stat
import threading
from contextlib import closing, suppress

import numpy as np
import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from visavis.errors import GalleryError, PersonError
from visavis.gallery import Sample, leftovers
from visavis.gallery import sqlite as schema
from visavis.gallery.erasure import traces_of
from visavis.gallery.sqlite import SqliteDatabase


@pytest.fixture
def database(tmp_path):
    database = SqliteDatabase(tmp_path / "gallery")
    database.prepare()
    yield database
    database.close()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("synchronous", 2),  # FULL: a commit is on the disk when it returns
        ("foreign_keys", 1),
        ("secure_delete", 1),
        ("temp_store", 2),  # in memory
        ("busy_timeout", 30_000),  # milliseconds
    ],
)
def test_every_connection_is_told_to_be_safe(database, pragma, value):
    for transaction in (database.reading, database.writing, database.outside):
        with transaction() as connection:
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


def beside(database):
    """A connection of another program, which does not wait."""
    return closing(sqlite3.connect(database.path, timeout=0, isolation_level=None))


def test_who_is_about_to_write_keeps_other_writers_out_from_the_start(database):
    with beside(database) as other:
        with database.writing(), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        with database.reading() as connection:
            connection.exec_driver_sql("SELECT * FROM people").all()
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")


def test_a_writer_waits_for_the_one_before(database):
    writing = sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)
    writing.execute("BEGIN IMMEDIATE")
    ended = threading.Timer(0.05, lambda: writing.execute("ROLLBACK"))
    ended.start()
    with database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM people")
    ended.join()
    writing.close()


def test_whoever_writes_for_too_long_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.01)
    database = SqliteDatabase(tmp_path / "gallery")
    database.prepare()
    with beside(database) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match="another process has been writing for 0 s"):
            with database.writing():
                pass
        other.execute("ROLLBACK")
    database.close()


def test_folder_and_files_are_their_owners_alone_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        database = SqliteDatabase(tmp_path / "new" / "gallery")
        database.prepare()
    finally:
        os.umask(before)
    database.close()
    folder = database.path.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"gallery.db": 0o600, "ballast": 0o600}
    assert (folder / "ballast").stat().st_size == 4_000_000


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (f"PRAGMA user_version = {schema.VERSION + 1}", "reads up to .*: install a newer visavis"),
        ("PRAGMA application_id = 7", "a database, but no gallery of visavis"),
    ],
)
def test_a_newer_file_and_another_programs_are_refused(database, statement, said):
    database.close()
    with beside(database) as other:
        other.execute(statement)
    for create in (True, False):
        with pytest.raises(GalleryError, match=said):
            SqliteDatabase(database.path.parent).prepare(create=create)


TRACE = b"0123456789abcdef"


@pytest.mark.parametrize("at", range(40, 72))
def test_a_trace_is_seen_wherever_it_lies(tmp_path, monkeypatch, at):
    """In blocks of 64 bytes: before the border of two, across it at every place, and behind it."""
    monkeypatch.setattr(leftovers, "BLOCK", 64)
    tmp_path.joinpath("file").write_bytes(bytes(at) + TRACE + bytes(200))
    tmp_path.joinpath("other").write_bytes(bytes(at) + TRACE[:-1] + bytes(200))
    assert schema._holding(tmp_path, leftovers.Words({TRACE, b"short"})) == {"file"}


class Choosing:
    """A connection whose journal another process is choosing at its first so many tries."""

    def __init__(self, busy, message="database is locked"):
        self.busy, self.message, self.tries = busy, message, 0

    def execute(self, statement):
        assert statement == f"PRAGMA journal_mode={schema.journal_mode()}"
        self.tries += 1
        if self.tries <= self.busy:
            raise sqlite3.OperationalError(self.message)


def test_who_chooses_the_journal_is_waited_for_and_not_for_ever(monkeypatch):
    waiting, refused, late = Choosing(2), Choosing(1, "disk I/O error"), Choosing(1)
    schema._set_journal(waiting)
    with pytest.raises(sqlite3.OperationalError, match="I/O"):
        schema._set_journal(refused)
    monkeypatch.setattr(schema, "BUSY_SECONDS", -1.0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        schema._set_journal(late)
    assert [one.tries for one in (waiting, refused, late)] == [3, 1, 1]


@pytest.mark.parametrize(("count", "pages"), [(1, False), (255, False), (256, True)])
def test_for_many_traces_the_pages_of_names_are_written_anew(database, count, pages):
    """Where nothing is left, the whole file never is: of 4,096 traces that took 168 seconds."""
    statements = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(connection, cursor, statement, *_):
        statements.append(statement)

    database.scrub({b"in no file %d" % number for number in range(count)})
    assert ("REINDEX people" in statements, "VACUUM" in statements) == (pages, False)


def photo_of(gallery, name):
    """Somebody with an id, a consent and one photo."""
    person = gallery.add_person(name, external_id=f"{name}-1", consent=f"{name} signed")
    row = np.eye(1, 8, dtype=np.float32)[0]
    gallery.add_sample(person.id, Sample(f"{name}.jpg", name, {}, {"made@0": row}, b"a crop"))
    return person


def values(gallery, statement):
    with gallery.database.reading() as connection:
        return [value for (value,) in connection.exec_driver_sql(statement)]


def test_all_that_can_be_found_of_a_person_is_searched_for(gallery):
    ann, bob = photo_of(gallery, "Ann"), photo_of(gallery, "Bob")
    row = np.eye(1, 8, dtype=np.float32)[0]
    for person in (ann, bob):
        gallery.add_sample(person.id, Sample("1.jpg", "both", {}, {"made@0": row}, b"a crop"))
    with gallery.database.reading() as connection:
        traces = traces_of(connection, [ann.id])
    sealed = values(gallery, f"SELECT crop FROM samples WHERE person_id = '{ann.id}'")
    sealed += values(gallery, "SELECT data FROM templates ORDER BY rowid LIMIT 1")
    assert traces >= {b"Ann", b"Ann-1", b"Ann signed", b"Ann.jpg", *(one[:16] for one in sealed)}
    assert not any(b"Bob" in trace for trace in traces)
    assert b"1.jpg" not in traces  # Bob's too: it stays


def counts(gallery):
    tables = ("people", "samples", "templates")
    return [values(gallery, f"SELECT count(*) FROM {table}")[0] for table in tables]


@pytest.mark.parametrize("way", ["delete", "rename", "merge"])
def test_what_was_is_searched_for_in_the_files_before_an_action_ends(gallery, way, monkeypatch):
    ann, bob = photo_of(gallery, "Ann"), photo_of(gallery, "Bob")
    scrubbed, scrub = [], SqliteDatabase.scrub
    monkeypatch.setattr(
        SqliteDatabase, "scrub", lambda self, traces: scrubbed.append(traces) or scrub(self, traces)
    )
    words = {"delete": (), "rename": ("Anna",), "merge": ()}[way]
    people = (bob.id, ann.id) if way == "merge" else (ann.id,)
    getattr(gallery, way)(*people, *words)
    assert [b"Ann" in traces for traces in scrubbed] == [True]
    assert counts(gallery) == {"delete": [1, 1, 1], "rename": [2, 2, 2], "merge": [1, 2, 2]}[way]
    assert values(gallery, "SELECT name FROM settings WHERE name LIKE 'traces%'") == []


def test_a_whole_transaction_is_written_or_nothing(gallery):
    photo_of(gallery, "Ann")

    def stop_half_way():
        with gallery.database.writing() as connection:
            connection.exec_driver_sql("DELETE FROM people")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop_half_way()
    assert counts(gallery) == [1, 1, 1]


def test_a_reader_sees_one_moment_whoever_writes_meanwhile(gallery):
    photo_of(gallery, "Ann")
    count = "SELECT count(*) FROM samples"
    with gallery.database.reading() as connection, beside(gallery.database) as other:
        assert connection.exec_driver_sql(count).scalar() == 1
        with suppress(sqlite3.OperationalError):  # locked, where it is not put aside in a log
            other.execute("DELETE FROM samples")
        assert connection.exec_driver_sql(count).scalar() == 1


REQUIRED = """
settings value; people name added_at; samples person_id source source_sha256 quality added_at;
templates data; audit at action details hash
"""


def test_the_file_itself_refuses_what_is_twice_or_missing(gallery):
    ann = photo_of(gallery, "Ann")
    statements = ["UPDATE samples SET person_id = 'nobody'"]
    for table, *columns in map(str.split, REQUIRED.split(";")):
        statements += [f"INSERT INTO {table} SELECT * FROM {table}"]
        statements += [f"UPDATE {table} SET {column} = NULL" for column in columns]
    for statement in statements:
        with pytest.raises(IntegrityError), gallery.database.writing() as connection:
            connection.exec_driver_sql(statement)
    with pytest.raises(PersonError, match="has the external id 'Ann-1' already"):
        gallery.add_person("Bob", external_id="Ann-1")
    row = np.eye(1, 8, dtype=np.float32)[0]
    assert gallery.add_sample(ann.id, Sample("again.jpg", "Ann", {}, {"made@0": row})) is None
    assert counts(gallery) == [1, 1, 1]
    gallery.delete(ann.id)
    assert counts(gallery) == [0, 0, 0]
