"""Groups of people: among whom is searched, sealed with each person's row."""

import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from gallery_children import MODEL

from visavis.enrollment import from_roster
from visavis.errors import PersonError
from visavis.gallery import Sample, following, open_gallery
from visavis.gallery.backups import backup, restore
from visavis.gallery.groups import add_to_group, remove_from_group
from visavis.gallery.rotation import rotate_key
from visavis.gallery.transfer import export_person
from visavis.gallery.vault import PersonVault
from visavis.recognizer import Recognizer

AXES = np.eye(8, dtype=np.float32)
NAMES = ("Ann", "Bob", "Carl", "Dora")


def sample(row, model=MODEL):
    return Sample(f"{row}.jpg", str(row), {}, {model: AXES[row]})


@pytest.fixture
def four(gallery):
    """Four people with a photo each; Ann and Bob work at night, Bob and Carl by day."""
    ids = {}
    for row, name in enumerate(NAMES):
        ids[name] = gallery.add_person(name).id
        gallery.add_sample(ids[name], sample(row))
    add_to_group(gallery, "night shift", [ids["Ann"], ids["Bob"]])
    add_to_group(gallery, "day", [ids["Carl"], ids["Bob"]])
    return gallery, ids


def among(gallery, group):
    """The names of who a search among a group may find, by their photos' rows."""
    index = gallery.index(MODEL, group)
    closest = index.nearest(AXES[:1], people=9)[0]
    assert len(closest) == len(index)
    return sorted(person.name for person in gallery.people_of(one for one, _ in closest).values())


def test_a_search_among_a_group_finds_its_people_alone(four):
    gallery, _ = four
    assert among(gallery, "night shift") == ["Ann", "Bob"]
    assert among(gallery, " day ") == ["Bob", "Carl"]
    assert among(gallery, None) == [*NAMES]
    assert [person.groups for person in gallery.people()] == [
        ("night shift",),
        ("day", "night shift"),
        ("day",),
        (),
    ]
    assert gallery.damages() == []


@pytest.mark.parametrize("large", [False, True])
def test_every_change_of_another_process_is_caught_up(four, monkeypatch, large):
    if large:
        pytest.importorskip("faiss", reason="faiss-cpu is not installed")
        monkeypatch.setattr(following, "LARGE", 1)
    gallery, ids = four
    other = open_gallery(gallery.database.path.parent)
    index = gallery.index(MODEL, "day")
    steps = [
        (lambda: other.add_sample(ids["Bob"], sample(4)), 3),
        (lambda: other.add_sample(ids["Ann"], sample(5)), 3),  # who is in another one
        (lambda: other.note_consent(ids["Ann"], "form"), 3),
        (lambda: add_to_group(other, "day", [ids["Ann"]]), 5),
        (lambda: remove_from_group(other, "day", [ids["Bob"]]), 3),
        (lambda: other.merge(ids["Dora"], ids["Ann"]), 4),  # all photos of both
        (lambda: other.delete(ids["Carl"]), 3),
    ]
    for number, (step, count) in enumerate(steps):
        step()
        assert len(gallery.index(MODEL, "day")) == count, number
        assert (gallery.index(MODEL, "day") is index) == (number < 3)
    assert gallery.find("Dora").groups == ("day", "night shift")
    assert gallery.damages() == []
    other.close()


def test_who_is_in_it_already_is_not_added_again(four):
    gallery, ids = four
    head = gallery.audit_head()
    assert add_to_group(gallery, "day", [ids["Bob"], ids["Carl"]]) == []
    assert remove_from_group(gallery, "day", [ids["Ann"]]) == []
    assert gallery.audit_head() == head
    assert add_to_group(gallery, "Café", [ids["Ann"]]) == [ids["Ann"]]
    assert among(gallery, "Cafe\u0301") == ["Ann"]  # the same name, in NFD
    entry = gallery.changes(head.seq)[0]
    assert (entry.action, entry.person, entry.details) == ("group", ids["Ann"], "{}")


@pytest.mark.parametrize("name", ["", " ", "a,b", "a;b", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_is_refused(four, name):
    gallery, ids = four
    with pytest.raises(PersonError, match="expected"):
        add_to_group(gallery, name, [ids["Ann"]])


def test_a_group_of_nobody_is_an_error_that_says_which_there_are(four):
    gallery, ids = four
    with pytest.raises(PersonError, match=r"nobody is in a group 'nightshift'.*night shift"):
        gallery.index(MODEL, "nightshift")
    with pytest.raises(PersonError, match=r"nobody is in a group 'xyz'.*day, night shift"):
        remove_from_group(gallery, "xyz", [ids["Ann"]])
    with pytest.raises(PersonError, match="person nobody is not in the gallery"):
        add_to_group(gallery, "day", [ids["Ann"], "nobody"])
    assert among(gallery, "day") == ["Bob", "Carl"]  # all of them or nobody


def test_groups_are_carried(four, tmp_path):
    gallery, ids = four
    export_person(gallery, gallery.find("Bob"), tmp_path / "bob")
    document = json.loads((tmp_path / "bob" / "person.json").read_text())
    assert document["groups"] == ["day", "night shift"]
    backup(gallery, tmp_path / "copy.db")
    restored = restore(tmp_path / "copy.db", tmp_path / "restored")
    assert among(restored, "day") == ["Bob", "Carl"]
    restored.close()
    rotate_key(gallery)
    fresh = open_gallery(gallery.database.path.parent)
    assert fresh.damages() == []
    assert among(fresh, "day") == ["Bob", "Carl"]
    fresh.close()
    assert ids


def test_the_threshold_is_that_of_the_groups_comparisons(four, fake_embedder, calibration):
    gallery, ids = four
    rows = np.eye(6, dtype=np.float32)
    recognizer = Recognizer(lambda image: [], fake_embedder, calibration)
    gallery.add_template(ids["Ann"], photo_of(gallery, "Ann"), "fake@0", rows[0])
    with pytest.raises(PersonError, match="nobody in the group 'day' has a template of fake@0"):
        recognizer.nearest(rows[:1], gallery, false_positive_rate=1e-2, among="day")
    for row, name in enumerate(NAMES[1:], 1):
        gallery.add_template(ids[name], photo_of(gallery, name), "fake@0", rows[row])
    probe = (0.45 * rows[2] + np.sqrt(1 - 0.45**2) * rows[5])[None].astype(np.float32)
    answers = {
        group: recognizer.nearest(probe, gallery, false_positive_rate=2.5e-3, among=group)[0]
        for group in (None, "day")
    }
    # The part of each of 4 is below 1e-3, so the threshold is 0.5; of each of 2 above it: 0.4.
    told = {group: (one.decision.comparisons, one.matched) for group, one in answers.items()}
    assert told == {None: (4, False), "day": (2, True)}
    assert answers["day"].person.name == "Carl"


def photo_of(gallery, name):
    return gallery.samples(gallery.find(name).id)[0].id


def test_a_roster_names_groups(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    roster = tmp_path / "roster.csv"
    roster.write_text("name,photo,groups\nAnn,a.jpg,night; day\nBob,a.jpg,\n")
    assert [one.groups for one in from_roster(roster)] == [("night", "day"), ()]
    roster.write_text(f"name,photo,groups\nAnn,a.jpg,{'x' * 201}\n")
    with pytest.raises(PersonError, match=r"roster.csv, line 2: .*201 characters"):
        from_roster(roster)


EDITS = [
    "UPDATE people SET groups = NULL WHERE name = 'Bob'",  # out of what he is banned by
    "UPDATE people SET groups = 'day' WHERE name = 'Dora'",
    "UPDATE people SET groups = groups || char(10) || 'x' WHERE name = 'Ann'",
    "UPDATE people SET groups = '' WHERE name = 'Carl'",
    "UPDATE people SET groups = x'00' WHERE name = 'Carl'",
]


def edited(gallery, folder, statement):
    """A copy of a gallery, in which somebody without the key changed a group."""
    gallery.close()
    shutil.copytree(gallery.database.path.parent, folder)
    with closing(sqlite3.connect(folder / "gallery.db")) as file:
        file.execute(statement)
        file.commit()
    return open_gallery(folder, create=False)


@pytest.mark.parametrize("statement", EDITS)
def test_a_group_that_was_changed_without_the_key_is_noticed(four, tmp_path, caplog, statement):
    copy = edited(four[0], tmp_path / "copy", statement)
    copy.index(MODEL, "day")
    name = statement.split("'")[-2]
    assert f"altered, and left out: the row of a person, {four[1][name]}" in caplog.text
    assert [person.name for person in copy.people()] == [one for one in NAMES if one != name]
    assert copy.damages() == [f"the row of person {four[1][name]} was altered"]
    copy.close()


@pytest.mark.parametrize("statement", EDITS[:3])
def test_the_check_of_groups_can_fail(four, tmp_path, monkeypatch, statement):
    monkeypatch.setattr(PersonVault, "entry", lambda *_: 1)
    copy = edited(four[0], tmp_path / "copy", statement)
    assert len(copy.people()) == 4
    assert among(copy, "day") != ["Bob", "Carl"] or "'x'" in statement
    copy.close()


def test_an_older_group_put_back_is_told_by_the_audit(four, tmp_path):
    gallery, ids = four
    with gallery.database.reading() as connection:
        old = connection.exec_driver_sql("SELECT groups, seal FROM people WHERE name = 'Bob'").one()
    remove_from_group(gallery, "day", [ids["Bob"]])
    with gallery.database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE people SET groups = ?, seal = ? WHERE name = 'Bob'", tuple(old)
        )
    assert gallery.damages() == [f"the row of person {ids['Bob']} is an older one, put back"]


def test_a_file_of_version_2_gets_the_column_and_keeps_its_seals(four, tmp_path, caplog):
    gallery, ids = four
    for name in NAMES[:3]:
        for group in gallery.find(name).groups:
            remove_from_group(gallery, group, [ids[name]])
    gallery.close()
    folder = gallery.database.path.parent
    with closing(sqlite3.connect(folder / "gallery.db")) as file:
        file.execute("ALTER TABLE people DROP COLUMN groups")
        file.execute("PRAGMA user_version = 2")
    fresh = open_gallery(folder)
    assert ([person.name for person in fresh.people()], fresh.damages()) == ([*NAMES], [])
    assert add_to_group(fresh, "day", [ids["Ann"]]) == [ids["Ann"]]
    assert among(fresh, "day") == ["Ann"]
    fresh.close()


def test_the_verbs_add_show_and_remove(four, run):
    gallery, _ = four
    at = ["--gallery", gallery.database.path.parent]
    code, out, _ = run("people", "group", "add", "night shift", "Carl", "Ann", *at, "--json")
    document = json.loads(out)
    assert (code, [one["name"] for one in document["added"]]) == (0, ["Carl"])
    assert document["added"][0]["groups"] == ["day", "night shift"]
    assert "groups  day, night shift" in run("people", "show", "Carl", *at)[1]
    assert "Carl · 1 photo · day, night shift · " in run("people", "list", *at)[1]
    assert run("people", "group", "remove", "day", "Carl", *at)[1] == "1 person taken out of day\n"
    code, out, _ = run("people", "group", "remove", "day", "Carl", "Bob", *at, "--json")
    assert [one["name"] for one in json.loads(out)["removed"]] == ["Bob"]
    code, _, err = run("people", "group", "remove", "day", "Bob", *at)
    assert (code, "nobody is in a group 'day'" in err) == (2, True)
