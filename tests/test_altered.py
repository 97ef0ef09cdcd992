"""An altered audit and altered rows, accepted by whoever has the key: said, and readable still."""

import json

import numpy as np
import pytest
from gallery_children import query

from visavis.errors import GalleryError, GalleryKeyError
from visavis.gallery import Sample, altered, open_gallery
from visavis.gallery.altered import accept_altered, find_altered
from visavis.gallery.audit import Audit, ChainHead, head
from visavis.gallery.backups import backup
from visavis.gallery.vault import Vault

AXES = np.eye(4, dtype=np.float32)
MODEL = "made@0"


def change(gallery, *statements):
    with gallery.database.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture
def peopled(gallery):
    """Made, two people with a photo each, one more who was erased: seven entries."""
    for row, name in enumerate(("Ann", "Bob")):
        person = gallery.add_person(name)
        gallery.add_sample(person.id, Sample("a.jpg", f"{row}", {}, {MODEL: AXES[row]}))
    gallery.delete(gallery.add_person("Eve").id)
    return gallery


# What is done, the entry that is broken then, whether nothing more is written, the entry that
# accepts it: its number is above any that was sealed.
BROKEN = {
    "changed": ("UPDATE audit SET action = 'nothing' WHERE seq = 4", 4, False, 8),
    "dropped": ("DELETE FROM audit WHERE seq = 3", 3, False, 8),
    "no text": ("UPDATE audit SET details = x'ff' WHERE seq = 2", 2, False, 8),
    "cut": ("DELETE FROM audit WHERE seq > 4", 5, True, 8),
    "emptied": ("DELETE FROM audit", 1, True, 8),
    "added": ("INSERT INTO audit VALUES (99, '', 'x', NULL, '{}', x'00')", 8, True, 100),
    "unsealed": ("DELETE FROM settings WHERE name = 'audit_head'", 8, True, 8),
}


@pytest.mark.parametrize("how", BROKEN)
def test_an_altered_audit_is_accepted_and_goes_on(peopled, tmp_path, how):
    statement, broken, stops, number = BROKEN[how]
    change(peopled, statement)
    rows = query(peopled, "SELECT * FROM audit ORDER BY seq")
    assert peopled.damages() == [f"its audit is broken at entry {broken}"]
    if stops:
        with pytest.raises(GalleryError, match="or accept the audit as it is"):
            peopled.add_person("Carl")
    shown = find_altered(peopled)
    assert shown.words[0] == f"its audit is broken at entry {broken}"
    # Without the seal nobody can tell configurations from older ones.
    assert len(shown.words) == 1 + (how == "unsealed")
    assert accept_altered(peopled, shown) == number
    assert query(peopled, "SELECT * FROM audit ORDER BY seq")[:-1] == rows  # all that was there
    entry = peopled.changes(0)[-1]
    assert (entry.action, json.loads(entry.details)) == (
        "accept audit",
        {"broken_at": broken, "people": 0},
    )
    assert (peopled.audit_broken_at(), peopled.damages()) == (None, [])
    peopled.add_person("Carl")
    peopled.rename(peopled.find("Ann").id, "Anna")
    peopled.delete(peopled.find("Bob").id)
    assert (peopled.damages(), peopled.audit_head().people) == ([], 2)
    backup(peopled, tmp_path / "copy.db")


def test_what_was_accepted_is_not_altered_again(peopled):
    first = peopled.audit_head()
    change(peopled, "UPDATE audit SET action = 'nothing' WHERE seq = 4")
    accepted = accept_altered(peopled, find_altered(peopled))
    assert peopled.audit_broken_at(first) is None  # that entry is still there
    assert peopled.audit_broken_at(ChainHead(4, bytes(32))) == 4
    for statement in (
        "UPDATE audit SET action = 'enroll' WHERE seq = 4",
        "DELETE FROM audit WHERE seq = 1",
        "INSERT INTO audit VALUES (-5, '', 'x', NULL, '{}', x'00')",
        f"UPDATE audit SET details = '{{}}' WHERE seq = {accepted}",
    ):
        change(peopled, statement)
        assert peopled.audit_broken_at() == accepted
        again = accept_altered(peopled, find_altered(peopled))
        assert again > accepted
        accepted = again
    assert peopled.damages() == []


def accepted_without_the_key(gallery):
    """Whether whoever cannot seal can accept."""
    change(gallery, "DELETE FROM audit WHERE seq > 3")
    with gallery.database.writing() as connection:
        forged = Audit(gallery.database, Vault(bytes(32)), gallery.id)
        forged.accept(connection, {})
    return gallery.audit_broken_at() is None


def test_nobody_accepts_without_the_key(peopled):
    assert not accepted_without_the_key(peopled)
    with pytest.raises(GalleryError, match="the audit was altered"):
        peopled.audit_head()


def test_the_check_of_who_accepts_can_fail(peopled, monkeypatch):
    monkeypatch.setattr(Audit, "sealed", lambda _, connection: head(connection))
    assert accepted_without_the_key(peopled)


def test_altered_rows_are_shown_and_accepted_as_they_are(peopled):
    ann, bob = peopled.find("Ann"), peopled.find("Bob")
    change(
        peopled,
        f"UPDATE people SET name = 'Anna', consent = 'form' WHERE id = '{ann.id}'",
        "UPDATE people SET name = x'00' WHERE name = 'Bob'",
    )
    shown = find_altered(peopled)
    assert set(shown.words[:2]) == {f"the row of person {one.id} was altered" for one in (ann, bob)}
    assert shown.words[2:] == (
        f"it now says of person {ann.id}: name Anna, consent form, added_at {ann.added_at}",
    )
    accept_altered(peopled, shown)
    assert [(one.name, one.consent) for one in peopled.people()] == [("Anna", "form")]
    assert peopled.damages() == [f"the row of person {bob.id} was altered"]  # no text to accept
    assert [entry.action for entry in peopled.audit_of(ann.id)][-1] == "accept person"
    assert peopled.index(MODEL).nearest(AXES[:1], people=1) == [[(ann.id, 1.0)]]


def test_people_who_are_gone_for_good_are_accepted_too(peopled):
    change(peopled, "DELETE FROM people WHERE name = 'Bob'")
    assert len(find_altered(peopled).words) == 2
    accept_altered(peopled, find_altered(peopled))
    assert (find_altered(peopled).words, peopled.audit_head().people) == ((), 1)


def test_only_what_was_shown_is_accepted(peopled):
    change(peopled, "UPDATE people SET name = 'Anna' WHERE name = 'Ann'")
    shown = find_altered(peopled)
    change(peopled, "UPDATE people SET name = 'Boss' WHERE name = 'Anna'")
    with pytest.raises(GalleryError, match="something else was altered meanwhile: look again"):
        accept_altered(peopled, shown)
    assert [person.name for person in peopled.people()] == ["Bob"]


def test_where_all_is_whole_nothing_is_accepted(peopled):
    before = peopled.audit_head()
    assert accept_altered(peopled, find_altered(peopled)) is None
    assert peopled.audit_head() == before


def test_a_number_that_none_can_follow_is_an_error(peopled):
    change(peopled, f"INSERT INTO audit VALUES ({2**63 - 1}, '', 'x', NULL, '{{}}', x'00')")
    with pytest.raises(GalleryError, match="none can follow it: restore a backup"):
        accept_altered(peopled, find_altered(peopled))


def test_a_rotated_key_accepts_nothing(peopled, monkeypatch):
    monkeypatch.setattr(peopled, "vault", Vault(bytes(32)))
    with pytest.raises(GalleryKeyError, match="open the gallery anew"):
        altered.find_altered(peopled)


def test_the_verbs_check_and_accept(run, peopled):
    where = ("--gallery", peopled.database.path.parent)
    assert run("people", "check", *where)[:2] == (0, "whole\n")
    assert run("people", "audit", "accept", *where)[:2] == (0, "whole: nothing to accept\n")
    change(
        peopled,
        "UPDATE people SET name = 'Boss\x1b' WHERE name = 'Ann'",
        "UPDATE audit SET action = 'x' WHERE seq = 2",
    )
    peopled.close()
    code, out, _ = run("people", "check", *where)
    assert (code, out.splitlines()[0]) == (1, "its audit is broken at entry 2")
    document = json.loads(run("people", "check", *where, "--json")[1])
    assert (document["whole"], len(document["damages"])) == (False, 2)
    code, out, err = run("people", "audit", "accept", *where, "--json")
    assert (code, json.loads(out)["error"]["code"], "say --yes" in err) == (2, "usage", True)
    code, out, _ = run("people", "audit", "accept", *where, "--yes", "--json")
    document = json.loads(out)
    assert (code, document["entry"], len(document["accepted"])) == (0, 8, 3)
    assert run("people", "check", *where)[:2] == (0, "whole\n")
    gallery = open_gallery(peopled.database.path.parent, create=False)
    assert {person.name for person in gallery.people()} == {"Bob", "Boss\x1b"}
    gallery.close()
