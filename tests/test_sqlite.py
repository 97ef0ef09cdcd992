"""What SQLite is told, and what it holds to: durable, one writer at a time, nothing left over."""

import os
import sqlite3
import stat
import threading
from contextlib import closing

import pytest

from visavis.errors import GalleryError
from visavis.gallery import open_gallery
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
        ("PRAGMA user_version = 2", "version 2, this visavis reads up to 1: install a newer"),
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
    monkeypatch.setattr(schema, "BLOCK", 64)
    tmp_path.joinpath("file").write_bytes(bytes(at) + TRACE + bytes(200))
    tmp_path.joinpath("other").write_bytes(bytes(at) + TRACE[:-1] + bytes(200))
    assert schema._holding(tmp_path, {TRACE, b"short"}) == {"file"}


def test_all_that_can_be_found_of_a_person_is_searched_for(gallery):
    ann = gallery.add_person("Ann", external_id="A-1", consent="signed")
    with gallery.database.writing() as connection:
        connection.exec_driver_sql(
            "INSERT INTO samples VALUES ('s', ?, 'ann.jpg', 'hash', '{}', ?, 'now')",
            (ann.id, b"sealed crop, 16 and more"),
        )
        connection.exec_driver_sql(
            "INSERT INTO templates VALUES ('s', 'made@0', ?)", (b"sealed template, 16 and more",)
        )
    with gallery.database.reading() as connection:
        traces = traces_of(connection, ann.id)
    assert traces == {
        b"Ann",
        b"A-1",
        b"signed",
        b"ann.jpg",
        b"sealed crop, 16 ",
        b"sealed template,",
    }


def test_a_whole_transaction_is_written_or_nothing(database):
    first = "INSERT INTO people VALUES ('1', 'Ann', NULL, NULL, '', NULL)"

    def stop_half_way():
        with database.writing() as connection:
            connection.exec_driver_sql(first)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stop_half_way()
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM people").scalar() == 0


def test_a_person_takes_their_photos_and_templates_along(gallery):
    ann = gallery.add_person("Ann")
    with gallery.database.writing() as connection:
        for statement in (
            f"INSERT INTO samples VALUES ('s', '{ann.id}', 'a', 'h', '{{}}', NULL, '')",
            "INSERT INTO templates VALUES ('s', 'made@0', x'00')",
        ):
            connection.exec_driver_sql(statement)
    gallery.delete(ann.id)
    with gallery.database.reading() as connection:
        for table in ("people", "samples", "templates"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0
    assert open_gallery(gallery.database.path.parent).people() == []
