"""Who is erased is in no file, on a full disk too; a read-only gallery is read.

The search for what was erased is shown to fail where SQLite leaves it and nobody writes over it.
"""

import base64
import sqlite3
import subprocess
from contextlib import closing

import numpy as np
import pytest
from gallery_children import MODEL, photo, query
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, event, insert, select

from visavis.errors import GalleryError, PersonError
from visavis.gallery import Sample, erasure, open_gallery, tables
from visavis.gallery import sqlite as schema

JOURNALS = ["rollback", "wal"]  # the second is what SQLite 3.51.3 and newer use
WORDS = [b"Ann Unmistakable", b"external-4711", b"consent of 2 May", b"passport-of-ann"]


@pytest.fixture(params=JOURNALS)
def journal(request, monkeypatch):
    if request.param == "wal":
        monkeypatch.setattr(schema, "SAFE_WAL", (3, 7, 0))
    return request.param


@pytest.fixture
def disk(tmp_path):
    """A disk of 12 MB of its own."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "none", tmp_path],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no small disk: {mounted.stderr.strip()}; run as root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def forms(sample):
    """Every form in which somebody may look for a template or a crop."""
    row = sample.templates[MODEL]
    whole = [
        row.tobytes(),
        row.astype(np.float16).tobytes(),
        row.astype(np.float64).tobytes(),
        np.round(row * 127).astype(np.int8).tobytes(),
        sample.crop,
    ]
    hexes = [part.hex().encode() for part in whole]
    texts = [str(row.tolist()).encode(), *map(base64.b64encode, whole)]
    return [*whole, *hexes, *(text.upper() for text in hexes), *texts]


def in_folder(gallery, parts):
    """Those that some file of the gallery's folder holds."""
    held = [file.read_bytes() for file in sorted(gallery.database.path.parent.iterdir())]
    return [part for part in parts if any(part in data for data in held)]


def peopled(folder):
    """Thirty people, Ann among them: the gallery, Ann, her photo."""
    gallery, rng = open_gallery(folder), np.random.default_rng(3)
    sample = photo(rng, "passport-of-ann")
    for number in range(30):
        if number == 11:
            name, external_id, consent, _ = (word.decode() for word in WORDS)
            ann = gallery.add_person(name, external_id=external_id, consent=consent)
            gallery.add_sample(ann.id, sample)
        other = gallery.add_person(f"Person {number}")
        gallery.add_sample(other.id, photo(rng, str(number)))
    return gallery, ann, sample


def check_erased(gallery, ann, sample):
    sealed = query(
        gallery,
        "SELECT substr(data, 1, 16), substr(crop, 1, 16) FROM templates "
        f"JOIN samples ON sample_id = id WHERE person_id = '{ann.id}'",
    )[0]
    assert in_folder(gallery, [*WORDS]) == WORDS  # so that not finding them means something
    gallery.delete(ann.id)
    assert in_folder(gallery, [*WORDS, *forms(sample), *sealed]) == []
    assert gallery.audit_broken_at() is None
    assert len(gallery.people()) == len(gallery.templates(MODEL)[0].people) == 30


def leaky(gallery):
    """Sabotage: SQLite leaves what it deletes where it was."""
    gallery.database.engine.dispose()
    event.listen(
        gallery.database.engine,
        "connect",
        lambda connection, _: connection.execute("PRAGMA secure_delete=OFF"),
    )


def test_who_is_erased_is_in_no_file(tmp_path, journal):
    check_erased(*peopled(tmp_path / "gallery"))


def test_what_sqlite_leaves_in_unused_pages_is_written_over(tmp_path, journal):
    gallery, ann, sample = peopled(tmp_path / "gallery")
    leaky(gallery)
    check_erased(gallery, ann, sample)


def test_the_erasure_check_can_fail(tmp_path, journal, monkeypatch):
    gallery, ann, sample = peopled(tmp_path / "gallery")
    leaky(gallery)
    monkeypatch.setattr(erasure, "scrub", lambda *arguments: None)
    with pytest.raises(AssertionError):
        check_erased(gallery, ann, sample)
    gallery.close()
    monkeypatch.undo()
    # As after a crash: the next opening finishes it.
    gallery = open_gallery(gallery.database.path.parent)
    assert in_folder(gallery, WORDS) == []
    assert query(gallery, "SELECT name FROM settings WHERE name LIKE 'traces%'") == []


def notes(gallery):
    return len(query(gallery, "SELECT name FROM settings WHERE name LIKE 'traces%'"))


def erased_under_a_reader(folder, monkeypatch):
    """Erase Ann while another program reads: what of her is left, and the notes that say so."""
    monkeypatch.setattr(schema, "SAFE_WAL", (3, 7, 0))
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.1)
    gallery, ann, _ = peopled(folder)
    with closing(sqlite3.connect(gallery.database.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        gallery.delete(ann.id)
        return gallery, in_folder(gallery, WORDS), notes(gallery)


def test_a_log_that_is_still_read_is_not_taken_for_empty(tmp_path, monkeypatch, caplog):
    gallery, left, noted = erased_under_a_reader(tmp_path / "gallery", monkeypatch)
    assert (left, noted) == (WORDS, 1)
    assert "not yet gone from the log: another program reads it" in caplog.text
    gallery = open_gallery(gallery.database.path.parent)  # that program has ended by now
    assert (in_folder(gallery, WORDS), notes(gallery)) == ([], 0)


def test_the_check_of_the_log_can_fail(tmp_path, monkeypatch):
    def unasked(_, connection):
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    monkeypatch.setattr(schema.SqliteDatabase, "_empty_log", unasked)
    monkeypatch.setattr(schema, "_holding", lambda *_, **__: set())
    _, left, noted = erased_under_a_reader(tmp_path / "gallery", monkeypatch)
    assert (left, noted) == (WORDS, 0)


def after_two_erasers(folder, monkeypatch):
    """One eraser is killed before it searched the files, another ends well; then an opening."""
    gallery, ann, _ = peopled(folder)
    killed = open_gallery(folder)
    leaky(killed)
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "scrub", lambda *arguments: None)
        killed.delete(ann.id)
    killed.close()
    gallery.delete(gallery.add_person("Solo").id)
    assert in_folder(gallery, WORDS) == WORDS[3:]  # of whose photo nothing was written over
    gallery.close()
    return in_folder(open_gallery(folder), WORDS)


def test_no_eraser_clears_the_note_of_another(tmp_path, monkeypatch):
    assert after_two_erasers(tmp_path / "gallery", monkeypatch) == []


def test_the_check_of_two_erasers_can_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(erasure, "_new_note", lambda: "traces")
    assert after_two_erasers(tmp_path / "gallery", monkeypatch) == WORDS[3:]


def erased_together(folder):
    """Erase eight people at once: what was told of them, and what a search finds."""
    gallery, ann, _ = peopled(folder)
    leaky(gallery)
    gone = [ann, *(gallery.find(f"Person {number}") for number in range(23, 30))]
    ids = ", ".join(f"'{person.id}'" for person in gone)
    sealed = query(
        gallery,
        "SELECT substr(data, 1, 16), substr(crop, 1, 16) FROM templates "
        f"JOIN samples ON sample_id = samples.id WHERE person_id IN ({ids})",
    )
    words = [*WORDS, *(f"Person {number}".encode() for number in range(23, 30))]
    words += [head for row in sealed for head in row]
    assert in_folder(gallery, words) == words
    index, head = gallery.index(MODEL), gallery.audit_head()
    gallery.delete(*(person.id for person in gone), gone[3].id)  # whoever is named twice
    assert (len(index), len(gallery.index(MODEL))) == (23, 23)
    assert [entry.person for entry in gallery.changes(head.seq)] == sorted(one.id for one in gone)
    assert (gallery.audit_broken_at(head), gallery.audit_head().people) == (None, 23)
    assert gallery.damages() == []
    return in_folder(gallery, words)


@pytest.mark.parametrize("many", [4, 1000])
def test_people_are_erased_at_once_and_are_in_no_file(tmp_path, journal, monkeypatch, many):
    monkeypatch.setattr(schema, "MANY", many)
    assert erased_together(tmp_path / "gallery") == []


def test_the_check_of_people_erased_at_once_can_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "_holding", lambda *_: set())
    assert len(erased_together(tmp_path / "gallery")) > 10


def test_where_one_is_not_here_nobody_is_erased(gallery):
    ann = gallery.add_person("Ann")
    head = gallery.audit_head()
    with pytest.raises(PersonError, match="person nobody is not in the gallery"):
        gallery.delete(ann.id, "nobody")
    gallery.delete()
    assert (gallery.find("Ann"), gallery.audit_head()) == (ann, head)


def test_a_file_name_that_only_the_erased_share_is_in_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MOST_IDS", 1)  # and they are deleted one after the other
    gallery, ann, sample = peopled(tmp_path / "gallery")
    twin = gallery.add_person("Twin")
    gallery.add_sample(twin.id, sample)
    leaky(gallery)
    gallery.delete(ann.id, twin.id)
    assert in_folder(gallery, WORDS) == []


def erased_from(folder, name):
    """Erase Ann, of whom a file of the folder holds the name: what is left of her."""
    gallery, ann, _ = peopled(folder)
    (folder / name).write_bytes(bytes(100) + WORDS[0] + bytes(100))
    gallery.delete(ann.id)
    return in_folder(gallery, WORDS)


def test_the_ballast_is_searched_and_another_file_is_named(tmp_path, caplog):
    assert erased_from(tmp_path / "gallery", schema.BALLAST) == []
    assert (tmp_path / "gallery" / schema.BALLAST).stat().st_size == schema.BALLAST_BYTES
    assert erased_from(tmp_path / "other", "copy.db") == WORDS[:1]
    assert "copy.db: may hold what was erased; it is yours to delete" in caplog.text
    assert notes(open_gallery(tmp_path / "other")) == 0


def test_the_search_of_the_folder_can_fail(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(schema, "_holding", lambda *_, **__: set())
    assert erased_from(tmp_path / "other", "copy.db") == WORDS[:1]
    assert "copy.db" not in caplog.text
    monkeypatch.setattr(schema, "_make_ballast", lambda _: None)
    assert erased_from(tmp_path / "gallery", schema.BALLAST) == WORDS[:1]


@pytest.mark.parametrize("way", ["rename", "merge"])
def test_an_old_name_is_in_no_file(tmp_path, journal, way):
    gallery, ann, _ = peopled(tmp_path / "gallery")
    other = gallery.find("Person 3")
    if way == "rename":
        gallery.rename(ann.id, "Anna")
        assert in_folder(gallery, WORDS) == WORDS[1:]
    else:
        gallery.merge(other.id, ann.id)
        assert in_folder(gallery, WORDS) == WORDS[3:]  # the photo is the other's now
    assert gallery.audit_broken_at() is None


PUNCHES = Table(
    "punches",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("who", String, nullable=False, index=True),
    Column("note", String),
    Column("evidence", LargeBinary),
)
NOTE, EVIDENCE = "left through the Unmistakable Gate", b"evidence, sealed, of one punch"


def with_punches(gallery, *people):
    """A table of another room, with a row for each person; SQLite leaves what it deletes."""
    gallery.database.register("punches", "who", ["note", "evidence"])
    leaky(gallery)
    with gallery.database.writing() as connection:
        PUNCHES.create(connection)
        for number, person in enumerate(people):
            row = {"id": str(number), "who": person.id, "note": "in by the door", "evidence": None}
            connection.execute(insert(PUNCHES).values(row))
            row = {"id": f"{number} out", "who": person.id, "note": f"{NOTE} {number}"}
            connection.execute(insert(PUNCHES).values({**row, "evidence": EVIDENCE}))


def punches(gallery):
    with gallery.database.reading() as connection:
        return connection.execute(select(PUNCHES.c.who, PUNCHES.c.note)).all()


def test_a_deletion_reaches_the_tables_of_other_rooms(tmp_path, journal):
    gallery, ann, _ = peopled(tmp_path / "gallery")
    bob = gallery.find("Person 3")
    with_punches(gallery, ann, bob)
    words = [f"{NOTE} 0".encode(), f"{NOTE} 1".encode()]
    assert in_folder(gallery, words) == words
    gallery.close()
    # Another process, which never heard of that room.
    gallery = open_gallery(gallery.database.path.parent)
    gallery.delete(ann.id)
    assert punches(gallery) == [(bob.id, "in by the door"), (bob.id, f"{NOTE} 1")]
    assert in_folder(gallery, words) == words[1:]
    gallery.delete(bob.id)
    assert (punches(gallery), in_folder(gallery, [*words, EVIDENCE])) == ([], [])
    assert gallery.audit_broken_at() is None


def test_the_check_of_other_tables_can_fail(tmp_path, journal, monkeypatch):
    gallery, ann, _ = peopled(tmp_path / "gallery")
    with_punches(gallery, ann)
    monkeypatch.setattr(erasure, "scrub", lambda *arguments: None)
    gallery.delete(ann.id)
    assert (punches(gallery), in_folder(gallery, [EVIDENCE])) == ([], [EVIDENCE])


def test_a_merge_gives_the_rows_of_other_rooms_to_the_one_who_is_kept(gallery):
    ann, twin = gallery.add_person("Ann"), gallery.add_person("Ann B.")
    with_punches(gallery, ann, twin)
    gallery.merge(ann.id, twin.id)
    assert {who for who, _ in punches(gallery)} == {ann.id}
    assert len(punches(gallery)) == 4


def test_a_table_that_is_not_there_hinders_no_deletion(gallery):
    gallery.database.register("nowhere", "who", ["note"])
    gallery.database.register("nowhere", "who", ["note"])  # twice is once
    gallery.delete(gallery.add_person("Ann").id)
    assert gallery.people() == []


def test_a_damaged_note_of_a_table_stops_the_deletion(gallery):
    ann = gallery.add_person("Ann")
    gallery.database.register("punches", "who", ["note"])
    with gallery.database.writing() as connection:
        connection.exec_driver_sql("UPDATE settings SET value = 'no' WHERE name = 'held punches'")
    with pytest.raises(GalleryError, match="punches is damaged, so a deletion cannot reach it"):
        gallery.delete(ann.id)
    assert gallery.find("Ann").id == ann.id


def for_ever(do):
    for number in range(10_000):
        do(number)


def big(rng, number):
    return Sample("big", str(number), {}, {}, crop=rng.bytes(200_000))


def test_a_full_disk_refuses_photos_and_still_erases(disk, journal):
    gallery, rng = open_gallery(disk / "gallery"), np.random.default_rng(0)
    ann, bob = gallery.add_person("Ann Unmistakable"), gallery.add_person("Bob")
    gallery.add_sample(ann.id, photo(rng, "ann"))
    (disk / "filler").write_bytes(bytes(1_000_000))
    with pytest.raises(GalleryError, match="the disk is full"):
        for_ever(lambda at: gallery.add_sample(bob.id, big(rng, at)))
    with pytest.raises(OSError, match="space"), (disk / "rest").open("wb", buffering=0) as rest:
        for_ever(lambda _: rest.write(bytes(4096)))
    with pytest.raises(GalleryError, match="the disk is full"):
        gallery.add_person("Eve")
    assert [person.name for person in gallery.people()] == ["Ann Unmistakable", "Bob"]
    assert gallery.templates(MODEL)[0].people == (ann.id,)
    gallery.delete(ann.id)
    assert [person.name for person in gallery.people()] == ["Bob"]
    assert in_folder(gallery, WORDS[:1]) == []
    (disk / "filler").unlink()
    (disk / "rest").unlink()
    assert gallery.add_sample(gallery.add_person("Eve").id, photo(rng, "eve"))
    gallery.delete(gallery.find("Eve").id)
    assert (disk / "gallery" / schema.BALLAST).stat().st_size == schema.BALLAST_BYTES
    assert gallery.audit_broken_at() is None
    gallery.close()


def test_a_read_only_gallery_is_read(disk, journal):
    gallery, _, sample = peopled(disk / "gallery")
    gallery.close()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    gallery = open_gallery(disk / "gallery", create=False)
    assert len(gallery.people()) == 31
    assert sample.templates[MODEL].tobytes() in {
        row.tobytes() for row in gallery.templates(MODEL)[0].rows
    }
    for refused in (
        lambda: gallery.add_person("Eve"),
        lambda: gallery.delete(gallery.find("Person 3").id),
        lambda: gallery.rename(gallery.find("Person 3").id, "Eve"),
    ):
        with pytest.raises(GalleryError, match="read-only"):
            refused()
    gallery.close()
