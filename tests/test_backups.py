"""A backup comes back whole or not at all, and replaces nothing unless it does."""

import os
import random
import shutil
import sqlite3
from contextlib import suppress

import numpy as np
import pytest
from conftest import share
from gallery_children import MODEL, photo, query
from made import ANNA, angle

from visavis.configuration import Configuration
from visavis.errors import GalleryError, GalleryKeyError
from visavis.gallery import Gallery, Sample, backups, open_gallery, whole
from visavis.gallery.audit import Audit
from visavis.gallery.backups import SEAL_BYTES, backup, restore
from visavis.gallery.configurations import activate, active_configuration, add_configuration
from visavis.gallery.sqlite import SqliteDatabase
from visavis.gallery.vault import key_path

PAGE = 4096


@pytest.fixture
def copied(gallery, tmp_path):
    """A gallery of twelve people, its contents and the bytes of its backup."""
    rng = np.random.default_rng(5)
    for number in range(12):
        person = gallery.add_person(
            f"Person {number}", external_id=f"E{number}", consent="yes " * 500
        )
        gallery.add_sample(person.id, photo(rng, str(number)))
    gallery.delete(gallery.find("E3").id)
    gallery.merge(gallery.find("E1").id, gallery.find("E2").id)
    backup(gallery, tmp_path / "copy.db")
    return gallery, contents(gallery), (tmp_path / "copy.db").read_bytes()


def filled(gallery: Gallery) -> Gallery:
    person = gallery.add_person("Anna")
    gallery.add_sample(person.id, Sample("a.png", "0", {}, {MODEL: angle(ANNA)}))
    return gallery


def test_a_backup_comes_back_whole(gallery, tmp_path):
    backup(filled(gallery), tmp_path / "copy.db")
    gallery.delete(gallery.find("Anna").id)
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy.db"]
    restored = restore(tmp_path / "copy.db", tmp_path / "elsewhere")
    assert [person.name for person in restored.people()] == ["Anna"]
    np.testing.assert_array_equal(restored.templates(MODEL)[0].rows[0], angle(ANNA))
    assert restored.audit_broken_at() is None
    restored.close()


def test_a_backup_is_on_the_disk_whole_before_it_gets_its_name(gallery, tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file)) or fsync(file))
    backup(filled(gallery), tmp_path / "copy.db")
    copy = (tmp_path / "copy.db").stat()
    assert (copy.st_ino, copy.st_size) in [(one.st_ino, one.st_size) for one in synced]


def test_a_gallery_is_replaced_only_when_asked(gallery, tmp_path):
    backup(filled(gallery), tmp_path / "copy.db")
    gallery.add_person("Bert")
    gallery.close()
    with pytest.raises(GalleryError, match="already: say that it is to be replaced") as error:
        restore(tmp_path / "copy.db", gallery.database.path.parent)
    assert error.value.option == "replace"
    restored = restore(tmp_path / "copy.db", gallery.database.path.parent, replace=True)
    assert [person.name for person in restored.people()] == ["Anna"]
    restored.close()


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_a_damaged_backup_replaces_nothing(gallery, tmp_path, content):
    backup(filled(gallery), tmp_path / "copy.db")
    data = (tmp_path / "copy.db").read_bytes()
    (tmp_path / "bad.db").write_bytes(data[: len(data) // 2] if content is None else content)
    with pytest.raises((GalleryError, GalleryKeyError)):
        restore(tmp_path / "bad.db", gallery.database.path.parent, replace=True)
    assert [person.name for person in gallery.people()] == ["Anna"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_backup_is_of_no_use_without_its_key(gallery, tmp_path):
    backup(filled(gallery), tmp_path / "copy.db")
    key_path(gallery.id).unlink()
    with pytest.raises(GalleryKeyError, match="key is missing"):
        restore(tmp_path / "copy.db", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_backup_that_cannot_be_written_is_said(gallery, tmp_path):
    with pytest.raises(GalleryError, match="cannot write the backup"):
        backup(gallery, tmp_path / "no such folder" / "copy.db")


def contents(gallery):
    """Every row of the people, their photos and their templates."""
    tables = ("people", "samples", "templates", "audit")
    return [sorted(query(gallery, f"SELECT * FROM {table}"), key=repr) for table in tables]


def zeroed(data, dice):
    start = PAGE * dice.randrange(len(data) // PAGE)
    return data[:start] + bytes(PAGE) + data[start + PAGE :]


def flipped(data, dice):
    damaged = bytearray(data)
    for _ in range(dice.randint(1, 3)):
        bit = dice.randrange(8 * len(data))
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def cut(data, dice):
    return data[: dice.randrange(len(data))]


def swapped(data, dice):
    one, other = sorted(dice.sample(range(len(data) // PAGE), 2))
    a, b = (data[PAGE * at : PAGE * (at + 1)] for at in (one, other))
    between = data[PAGE * (one + 1) : PAGE * other]
    return data[: PAGE * one] + b + between + a + data[PAGE * (other + 1) :]


def grown(data, dice):
    return data + dice.randbytes(dice.randint(1, PAGE))


DAMAGES = (zeroed, flipped, cut, swapped, grown)


def accepted(copied, tmp_path, count):
    """How many of so many damaged backups were taken for whole."""
    _, held, data = copied
    taken = 0
    for seed in range(count):
        dice = random.Random(seed)
        damaged = DAMAGES[seed % len(DAMAGES)](data, dice)
        if damaged == data:  # a page of zeros, zeroed
            continue
        (tmp_path / "bad.db").write_bytes(damaged)
        with suppress(GalleryError, GalleryKeyError):
            restored = restore(tmp_path / "bad.db", tmp_path / "elsewhere", replace=True)
            taken += contents(restored) != held or restored.damage() is not None
            restored.close()
    return taken


def test_no_damaged_backup_is_taken_for_whole(copied, tmp_path):
    assert accepted(copied, tmp_path, share(1000)) == 0
    assert not (tmp_path / "elsewhere").exists()  # not one of them, not even a harmless one
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_check_of_backups_can_fail(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(backups, "_check_seal", lambda *_: None)
    monkeypatch.setattr(whole, "altered_people", lambda *_: iter(()))  # each row has its own seal
    assert accepted(copied, tmp_path, 50) > 0


def with_rows(data, tmp_path, statement):
    """A backup in which whoever has no key changed rows."""
    (tmp_path / "changed.db").write_bytes(data[:-SEAL_BYTES])
    with sqlite3.connect(tmp_path / "changed.db") as file:
        file.execute("PRAGMA foreign_keys=ON")
        file.execute(statement)
    file.close()
    (tmp_path / "changed.db").write_bytes(
        (tmp_path / "changed.db").read_bytes() + data[-SEAL_BYTES:]
    )
    return tmp_path / "changed.db"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE templates SET data = zeroblob(length(data))", "template of photo .* was altered"),
        (
            "UPDATE samples SET crop = zeroblob(9) WHERE source_sha256 = '5'",
            "the crop of photo .* altered",
        ),
        ("UPDATE samples SET quality = '{' WHERE source_sha256 = '5'", "photo .* is damaged"),
        ("DELETE FROM templates WHERE rowid = 1", None),  # the seal alone knows of it
        ("DELETE FROM people WHERE name = 'Person 5'", "by its seal it holds 10 people; 9"),
        ("DELETE FROM samples WHERE source_sha256 = '5'", "1 photos .* are not there"),
        ("DELETE FROM audit WHERE seq = 7", "audit is broken at entry 7"),
        ("UPDATE people SET name = 'Boss' WHERE name = 'Person 5'", "the row of person .* altered"),
    ],
)
def test_what_is_in_a_backup_is_looked_at(copied, tmp_path, monkeypatch, statement, said):
    gallery, held, data = copied
    changed = with_rows(data, tmp_path, statement)
    with pytest.raises(GalleryError, match="this backup is damaged"):
        restore(changed, gallery.database.path.parent, replace=True)
    monkeypatch.setattr(backups, "_check_seal", lambda *_: None)
    if said is None:
        restore(changed, tmp_path / "elsewhere").close()
        return
    with pytest.raises(GalleryError, match=said):
        restore(changed, gallery.database.path.parent, replace=True)
    assert contents(gallery) == held


def test_the_replaced_gallery_comes_back_where_the_new_one_does_not_open(
    copied, tmp_path, monkeypatch
):
    gallery, _, _ = copied
    gallery.add_person("Since then")
    held, folder = contents(gallery), gallery.database.path.parent
    gallery.close()
    prepare = SqliteDatabase.prepare

    def fail(database, *, create=True):
        if database.path.parent in (folder, tmp_path / "new"):
            raise GalleryError("the disk is gone")
        prepare(database, create=create)

    monkeypatch.setattr(SqliteDatabase, "prepare", fail)
    with pytest.raises(GalleryError, match="the disk is gone"):
        restore(tmp_path / "copy.db", folder, replace=True)
    with pytest.raises(GalleryError, match="the disk is gone"):
        restore(tmp_path / "copy.db", tmp_path / "new")
    monkeypatch.undo()
    assert not (tmp_path / "new" / "gallery.db").exists()
    assert contents(open_gallery(folder, create=False)) == held


def test_a_gallery_that_is_damaged_is_not_backed_up(gallery, tmp_path):
    filled(gallery)
    with gallery.database.writing() as connection:
        connection.exec_driver_sql("UPDATE templates SET data = x'00'")
    with pytest.raises(GalleryError, match=r"not whole: a template .*: erase or enrol anew"):
        backup(gallery, tmp_path / "copy.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gallery"]


def test_a_merge_that_does_not_say_whom_is_no_damage(copied):
    gallery, _, _ = copied
    gallery.record("merge", {})  # as an older visavis wrote it
    assert gallery.damage() is None
    with gallery.database.writing() as connection:
        connection.exec_driver_sql("UPDATE templates SET data = x'00'")
    assert "was altered" in gallery.damage()


def test_whom_an_older_visavis_merged_is_not_missed(gallery, monkeypatch):
    """It did not say who was merged: their entry says that they were added, and they are gone."""
    ann, twin = gallery.add_person("Ann"), gallery.add_person("Ann B.")
    record = Audit.record
    with monkeypatch.context() as patch:
        patch.setattr(Audit, "record", lambda *parts: record(*parts[:4], {}))
        gallery.merge(ann.id, twin.id)
    assert gallery.changes(0)[-1].details == "{}"
    assert gallery.damage() is None


def test_a_gallery_whose_configurations_were_altered_is_not_backed_up(
    gallery, tmp_path, monkeypatch
):
    add_configuration(gallery, Configuration.of_pack())
    with sqlite3.connect(gallery.database.path) as file:
        file.execute("DELETE FROM settings WHERE name = 'kept configurations'")
    file.close()
    with pytest.raises(GalleryError, match="its configurations were taken away"):
        backup(gallery, tmp_path / "copy.db")
    # One that an older visavis made comes back no more than that.
    monkeypatch.setattr(backups, "configuration_damages", lambda gallery: [])
    backup(gallery, tmp_path / "copy.db")
    restore(tmp_path / "copy.db", tmp_path / "elsewhere").close()  # sabotage: it is not looked at
    monkeypatch.undo()
    with pytest.raises(GalleryError, match="its configurations were taken away"):
        restore(tmp_path / "copy.db", tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_configurations_come_back(gallery, tmp_path):
    activate(gallery, add_configuration(gallery, Configuration.of_pack()).version)
    backup(gallery, tmp_path / "copy.db")
    restored = restore(tmp_path / "copy.db", tmp_path / "elsewhere")
    assert active_configuration(restored) == active_configuration(gallery)
    restored.close()


def test_a_backup_overwrites_nothing_unless_asked(gallery, tmp_path):
    (tmp_path / "copy.db").write_bytes(b"the only backup")
    with pytest.raises(GalleryError, match="is there already") as error:
        backup(filled(gallery), tmp_path / "copy.db")
    assert error.value.option == "replace"
    assert (tmp_path / "copy.db").read_bytes() == b"the only backup"
    backup(gallery, tmp_path / "copy.db", replace=True)
    restore(tmp_path / "copy.db", tmp_path / "elsewhere").close()


def test_a_live_gallery_is_no_place_for_a_backup(gallery):
    with pytest.raises(GalleryError, match="this is the gallery itself"):
        backup(filled(gallery), gallery.database.path, replace=True)
    assert len(gallery.people()) == 1


def test_a_file_that_was_only_copied_is_told_from_a_backup(gallery, tmp_path):
    filled(gallery).close()
    shutil.copy(gallery.database.path, tmp_path / "copy.db")
    with pytest.raises(GalleryError, match=r"no backup of a gallery.*as gallery\.db"):
        restore(tmp_path / "copy.db", tmp_path / "elsewhere")
