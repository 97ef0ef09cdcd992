"""A gallery keeps its configurations: numbered, one active, and whoever edits them is noticed."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from visavis.configuration import Configuration, ConfiguredPack
from visavis.document import to_bytes
from visavis.errors import ConfigurationError, GalleryError, PackError
from visavis.gallery import open_gallery
from visavis.gallery.altered import accept_altered, find_altered
from visavis.gallery.audit import ACTIVATE, CONFIGURING, NEW, ROLL_BACK, Audit, ChainHead
from visavis.gallery.configurations import (
    NAME,
    History,
    activate,
    active_configuration,
    add_configuration,
    configuration_damages,
    read_history,
    roll_back,
)
from visavis.gallery.rotation import rotate_key
from visavis.gallery.settings import KEPT

DEFAULT = Configuration.of_pack("default")
UPDATE = "UPDATE settings SET value = ? WHERE name = ?"
STRICT = replace(DEFAULT, policy="strict", description="stricter", author="Ann")


@pytest.fixture
def two(gallery):
    """A gallery with two configurations; both were active, and the second is."""
    for one in (DEFAULT, STRICT):
        activate(gallery, add_configuration(gallery, one).version)
    return gallery


def edit(gallery, statement, *values):
    """As whoever has the file and no key does."""
    with closing(sqlite3.connect(gallery.database.path)) as file:
        file.execute(statement, values)
        file.commit()


def kept(gallery):
    """The sealed row, to be put back."""
    with closing(sqlite3.connect(gallery.database.path)) as file:
        query = "SELECT value FROM settings WHERE name = ?"
        return file.execute(query, (KEPT + NAME,)).fetchone()[0]


def test_a_new_gallery_has_none(gallery):
    assert read_history(gallery) == History()
    assert active_configuration(gallery) is None


def test_versions_are_numbered_and_one_is_active(gallery):
    first, second = (add_configuration(gallery, one) for one in (DEFAULT, STRICT))
    assert (first.version, second.version, second.author) == (1, 2, "Ann")
    assert active_configuration(gallery) is None
    assert activate(gallery, 1) == first
    assert activate(gallery, 2) == active_configuration(gallery) == second
    assert activate(gallery, 2) == second  # and no second entry
    assert roll_back(gallery) == active_configuration(gallery) == first
    assert [one.version for one in read_history(gallery).versions] == [1, 2]
    done = [(one.action, one.details) for one in gallery.changes(0) if one.action in CONFIGURING]
    assert done == [
        (NEW, '{"version": 1}'),
        (NEW, '{"version": 2}'),
        (ACTIVATE, '{"version": 1}'),
        (ACTIVATE, '{"version": 2}'),
        (ROLL_BACK, '{"version": 1}'),
    ]
    assert (gallery.damage(), configuration_damages(gallery)) == (None, [])


def test_what_cannot_be_asked_is_refused(two):
    for number in (0, 3, -1):
        with pytest.raises(ConfigurationError, match=f"no configuration {number}; there are: 1 to"):
            activate(two, number)
    roll_back(two)
    with pytest.raises(ConfigurationError, match="no configuration was active before this one"):
        roll_back(two)
    with pytest.raises(PackError, match="no pack 'nosuch'"):
        add_configuration(two, Configuration.of_pack("default+nosuch"))
    assert len(read_history(two).versions) == 2


def test_a_pack_that_has_gone_is_not_activated(two, monkeypatch):
    def gone(_):
        raise PackError("no pack")

    monkeypatch.setattr("visavis.configuration.load_pack", gone)
    with pytest.raises(PackError):
        activate(two, 1)
    assert active_configuration(two).version == 2
    assert roll_back(two).version == 1  # what was active may be active again


def test_a_packs_folder_is_meant_from_anywhere(gallery, pack, tmp_path, monkeypatch):
    """Whoever asks from another folder, where another pack has that name, asks the one meant."""
    (tmp_path / "mine").symlink_to(pack.folder)
    monkeypatch.chdir(tmp_path)
    member = ConfiguredPack("mine", 1.0)
    kept = add_configuration(gallery, Configuration((member,), detector="mine"))
    assert [kept.members[0].pack, kept.detector] == [str(tmp_path / "mine")] * 2
    named = add_configuration(gallery, DEFAULT)
    assert [named.members[0].pack, named.detector] == ["default", ""]


def test_two_processes_give_no_number_twice(gallery):
    other = open_gallery(gallery.database.path.parent)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda one: add_configuration(one, DEFAULT), [gallery, other] * 2))
    assert sorted(one.version for one in made) == [1, 2, 3, 4]
    other.close()


def test_a_new_key_keeps_them(two):
    before = read_history(two)
    rotate_key(two)
    again = open_gallery(two.database.path.parent)
    assert read_history(again) == before
    again.close()


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("attack", "what"),
    [
        (
            lambda old, now: ("UPDATE settings SET value = ? WHERE name = ?", flipped(now)),
            "altered",
        ),
        (lambda old, now: ("UPDATE settings SET value = ? WHERE name = ?", b""), "altered"),
        (lambda old, now: ("DELETE FROM settings WHERE ? != '' AND name = ?", "x"), "taken away"),
        (lambda old, now: ("UPDATE settings SET value = ? WHERE name = ?", old), "older ones"),
    ],
    ids=["edited", "emptied", "deleted", "put back"],
)
def test_whoever_edits_them_is_noticed(gallery, attack, what):
    activate(gallery, add_configuration(gallery, STRICT).version)
    old = kept(gallery)
    activate(gallery, add_configuration(gallery, DEFAULT).version)
    statement, value = attack(old, kept(gallery))
    edit(gallery, statement, value, KEPT + NAME)
    assert what in configuration_damages(gallery)[0]
    for ask in (read_history, active_configuration, roll_back, lambda one: activate(one, 1)):
        with pytest.raises(GalleryError, match=what):
            ask(gallery)


@pytest.fixture
def put_back(gallery):
    """A gallery in which an older document, by which nobody was so strict, is put back."""
    activate(gallery, add_configuration(gallery, DEFAULT).version)
    old = kept(gallery)
    activate(gallery, add_configuration(gallery, STRICT).version)
    edit(gallery, UPDATE, old, KEPT + NAME)
    return gallery


FORGED = "INSERT INTO audit (seq, at, action, details, hash) VALUES (?, '', ?, '{}', x'00')"


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (FORGED, (1000, "accept audit")),
        ("UPDATE audit SET action = ? WHERE seq = 4", ("accept audit",)),
        ("UPDATE audit SET action = ? WHERE seq > 3", ("keep",)),
        ("DELETE FROM audit WHERE seq > ?", (3,)),
    ],
    ids=["an acceptance added", "an acceptance made", "renamed", "cut off"],
)
def test_no_entry_of_the_audit_makes_an_older_one_believed(put_back, statement, values):
    edit(put_back, statement, *values)
    with pytest.raises(GalleryError, match="older ones, put back"):
        active_configuration(put_back)


def test_without_the_audits_seal_nothing_is_believed(two):
    edit(two, "DELETE FROM settings WHERE name = ?", "audit_head")
    for sealed in (kept(two), None):
        if sealed is None:
            edit(two, "DELETE FROM settings WHERE name = ?", KEPT + NAME)
        with pytest.raises(GalleryError, match="seal is gone"):
            active_configuration(two)


def test_without_the_seals_number_an_older_one_would_be_believed(put_back, monkeypatch):
    """Sabotage: the seal names the entry that the older document does."""
    monkeypatch.setattr(Audit, "sealed", lambda *_: ChainHead(configured=3))
    assert active_configuration(put_back).policy == "standard"


def test_another_gallerys_are_none(two, tmp_path):
    other = open_gallery(tmp_path / "other")
    add_configuration(other, DEFAULT)
    edit(other, UPDATE, kept(two), KEPT + NAME)
    with pytest.raises(GalleryError, match="were altered"):
        read_history(other)
    other.close()


def test_what_was_accepted_is_taken_as_it_is(two):
    """Whoever has the key accepts an audit whose entries of configurations were cut away."""
    edit(two, "DELETE FROM audit WHERE seq > ?", 1)
    accept_altered(two, find_altered(two))
    assert active_configuration(two).version == 2
    assert activate(two, 1).version == 1


@pytest.mark.parametrize(
    ("statement", "policy"),
    [
        ("UPDATE settings SET value = x'00' WHERE name = ?", None),  # what cannot be read is gone
        ("DELETE FROM settings WHERE name = ?", None),
        (None, "standard"),
    ],
    ids=["edited", "deleted", "put back"],
)
def test_whoever_has_the_key_takes_them_as_they_are(put_back, statement, policy):
    if statement:
        edit(put_back, statement, KEPT + NAME)
    before = put_back.audit_head().seq
    assert "its configurations" in find_altered(put_back).words[0]
    assert accept_altered(put_back, find_altered(put_back)) == before + 1
    active = active_configuration(put_back)
    assert (active and active.policy) == policy
    assert (find_altered(put_back).words, configuration_damages(put_back)) == ((), [])
    assert add_configuration(put_back, STRICT).version == (2 if active else 1)


@pytest.mark.parametrize(
    ("versions", "activated", "what"),
    [
        ((2, 1), (), "expected versions from 1, each one more than the last, got [2, 1]"),
        ((1, 1), (), "got [1, 1]"),
        ((1, 3), (), "got [1, 3]"),
        ((0,), (), "got [0]"),
        ((1, 2), (3,), "expected active versions among [1, 2], got [3]"),
    ],
)
def test_a_history_out_of_order_is_refused(gallery, versions, activated, what):
    """Forced by hand, by whoever has the key too."""
    made = object.__new__(History)
    rows = tuple(replace(DEFAULT, version=number) for number in versions)
    for name, value in (("versions", rows), ("activated", activated), ("entry", 0)):
        object.__setattr__(made, name, value)
    gallery.keep(NAME, to_bytes(made))
    assert configuration_damages(gallery)
    with pytest.raises(ConfigurationError) as refused:
        read_history(gallery)
    assert what in str(refused.value)
