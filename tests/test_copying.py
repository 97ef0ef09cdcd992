"""A gallery copied from a file to PostgreSQL and back: whole, resumable, and opened by its key."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from gallery_children import MODEL, change, photo, place_of, query
from made_attendance import MONDAY, moment, rules

from visavis.attendance.attendance import Attendance
from visavis.attendance.punches import Sighting
from visavis.attendance.view import days_of
from visavis.attendance.whole import ledger_damages
from visavis.errors import GalleryError
from visavis.gallery import backups, copying, open_gallery
from visavis.gallery.backups import backup, restore
from visavis.gallery.copying import copy_gallery
from visavis.gallery.groups import add_to_group

RNG = np.random.default_rng(6)


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.slow)])
def target(request, cache, tmp_path):
    """Where a copy goes."""
    if request.param == "SQLite":
        return tmp_path / "target"
    return request.getfixturevalue("postgres_server").new_address()


@pytest.fixture
def filled(cache, tmp_path):
    gallery = open_gallery(tmp_path / "source")
    for number in range(12):
        person = gallery.add_person(f"Person {number}", external_id=f"E-{number}", consent="yes")
        gallery.add_sample(person.id, photo(RNG, f"{number}"))
    gallery.keep("calibration x", b"document")
    add_to_group(gallery, "night", [person.id])
    yield gallery
    gallery.close()


def held(gallery) -> list:
    return [
        (person, [(one.id, one.crop, one.templates[MODEL].tolist()) for one in samples])
        for person in gallery.people()
        for samples in [sorted(gallery.samples(person.id), key=lambda one: one.id)]
    ]


def test_a_copy_holds_what_the_gallery_holds_there_and_back(filled, target, tmp_path):
    copied = copy_gallery(filled, target)
    assert (copied.people, copied.templates) == (12, 12)
    assert copied.rows == {
        "people": 12,
        "samples": 12,
        "templates": 12,
        "audit": 27,
        "settings": 4,
    }
    assert copied.written == 67
    there = open_gallery(target, create=False)
    assert held(there) == held(filled)
    assert there.id == filled.id
    assert str(there.audit_head()) == str(filled.audit_head()) == copied.head
    assert there.kept("calibration x") == b"document"
    there.add_person("Later")  # the chain goes on
    copy_gallery(there, tmp_path / "back")
    back = open_gallery(tmp_path / "back", create=False)
    assert held(back) == held(there)
    assert back.damages() == []
    back.close()
    there.close()


def test_another_gallery_is_never_written_over(filled, target):
    other = open_gallery(target)
    other.add_person("Bob")
    with pytest.raises(GalleryError, match="a gallery is here already"):
        copy_gallery(filled, target)
    assert [person.name for person in other.people()] == ["Bob"]
    other.close()


# Copy, killed before a transaction of a number. A process of its own: a fork of this one would
# have the locks of whatever threads other tests have left in it.
KILLED = """
import os, signal, sys
from visavis.gallery import copying, open_gallery
source, target, after = sys.argv[1:]
write, count = copying._write, iter(range(int(after)))
def killed(*arguments):
    if next(count, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    write(*arguments)
copying._write, copying.CHUNK = killed, 5
copying.copy_gallery(open_gallery(source), target)
"""


def stopped(filled, target, after: int) -> None:
    words = [str(place_of(filled)), str(target), str(after)]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def check_resumed(filled, target, monkeypatch) -> None:
    """Stopped in each table, changed meanwhile, gone on with: the copy is what the gallery is."""
    monkeypatch.setattr(copying, "CHUNK", 5)
    for after in (1, 4, 6, 9, 12):
        stopped(filled, target, after)
        with pytest.raises(GalleryError, match="a copy that was stopped, not yet a gallery"):
            open_gallery(target)
    filled.delete(filled.find("Person 3").id)
    filled.rename(filled.find("Person 4").id, "Renamed")
    filled.merge(filled.find("Person 5").id, filled.find("Person 6").id)
    copied = copy_gallery(filled, target)
    assert copied.written < sum(copied.rows.values())  # it was gone on with
    there = open_gallery(target, create=False)
    assert held(there) == held(filled)
    assert there.damages() == []
    there.close()


@pytest.mark.slow
def test_a_copy_that_was_killed_is_gone_on_with(filled, target, monkeypatch):
    check_resumed(filled, target, monkeypatch)


@pytest.mark.slow
def test_the_check_of_what_is_gone_on_with_can_fail(filled, target, monkeypatch):
    """Whoever was erased meanwhile would stay in the copy, were only new rows looked for."""
    write = copying._write

    def only_new(target, connection, table, changes) -> None:
        write(target, connection, table, ((), changes[1], ()))

    monkeypatch.setattr(copying, "_write", only_new)
    with pytest.raises(GalleryError, match="are not as copied"):
        check_resumed(filled, target, monkeypatch)


def test_a_damaged_gallery_is_not_copied(filled, target):
    change(filled, "UPDATE people SET name = 'Eve' WHERE external_id = 'E-1'")
    with pytest.raises(GalleryError, match="was altered"):
        copy_gallery(filled, target)


def test_a_row_that_changes_on_its_way_is_noticed(filled, target, monkeypatch):
    """A target that does not keep what it is given."""
    rows = copying._rows

    def flipped(connection, table, query):
        there = rows(connection, table, query)
        if table.name == "templates" and connection.engine is not filled.database.engine:
            return {key: (*row[:-1], row[-1][::-1]) for key, row in there.items()}
        return there

    monkeypatch.setattr(copying, "_rows", flipped)
    with pytest.raises(GalleryError, match="12 rows of templates are not as copied"):
        copy_gallery(filled, target)


def punch(attendance, clock: str) -> str:
    return attendance.record(Sighting("E-1", moment(clock), "kiosk")).fate


def test_attendance_goes_on_in_a_copy_and_notices_what_is_altered(attendance, target):
    assert [punch(attendance, clock) for clock in ("08:00", "12:00")] == ["punch", "punch"]
    copy_gallery(attendance.gallery, target)
    there = open_gallery(target, create=False)
    again = Attendance(there, rules())
    # The very sighting of before is known: the table's own rule was copied, too.
    assert [punch(again, clock) for clock in ("12:00", "17:00")] == ["repeated", "punch"]
    days = days_of(again, (MONDAY, MONDAY), now=moment("20:00"))
    assert [punch(attendance, clock) for clock in ("17:00",)] == ["punch"]
    assert days == days_of(attendance, (MONDAY, MONDAY), now=moment("20:00"))
    assert ledger_damages(again.ledger) == []
    change(there, "UPDATE attendance_rows SET at = at + 60 WHERE seq = 2")
    assert len(ledger_damages(again.ledger)) == 1
    there.delete(there.find("E-1").id)
    assert query(there, "SELECT count(*) FROM attendance_rows") == [(0,)]
    assert again.ledger.counts()
    there.close()


def test_the_verb_copies_and_says_what(filled, target, run):
    source = place_of(filled)
    code, out, _ = run("gallery", "copy", source, target, "--json")
    told = json.loads(out)
    assert (code, told["people"], told["templates"], told["written"]) == (0, 12, 12, 67)
    assert told["rows"][0] == {"table": "people", "rows": 12}
    code, _, err = run("gallery", "copy", source, target)
    assert (code, "a gallery is here already" in err) == (2, True)
    code, out, _ = run("people", "list", "--gallery", target)
    assert (code, "Person 7" in out) == (0, True)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_backup_of_either_is_restored_to_either(filled, target, tmp_path, replaced):
    copy_gallery(filled, target)
    there = open_gallery(target)
    backup(there, tmp_path / "backup.db")
    people = held(there)
    if replaced:
        there.delete(there.find("Person 1").id)
        with pytest.raises(GalleryError, match="a gallery is here already"):
            restore(tmp_path / "backup.db", target)
    there.close()
    place = target if replaced else tmp_path / "restored"
    restored = restore(tmp_path / "backup.db", place, replace=replaced)
    assert held(restored) == people
    assert restored.damages() == []
    restored.close()


def test_a_restoring_that_fails_brings_back_what_was_there(filled, target, tmp_path, monkeypatch):
    copy_gallery(filled, target)
    there = open_gallery(target)
    backup(there, tmp_path / "backup.db")
    there.add_person("Later")
    people = held(there)
    there.close()
    monkeypatch.setattr(backups, "Gallery", lambda _: pytest.fail("it cannot be opened"))
    monkeypatch.setattr(backups, "_check_whole", lambda *_: None)
    with pytest.raises(pytest.fail.Exception, match="it cannot be opened"):
        restore(tmp_path / "backup.db", target, replace=True)
    again = open_gallery(target, create=False)
    assert held(again) == people
    again.close()
