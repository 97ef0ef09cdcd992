"""Retention by class: said first, gone at once, and no cover for whoever takes rows away."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest
from gallery_children import query
from made_attendance import copy_of, moment, rules
from test_inbox import stranger

from visavis.attendance import ledger, retention, whole
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.days import Status
from visavis.attendance.inbox import Inbox
from visavis.attendance.ledger import Ledger
from visavis.attendance.punches import Evidence, Sighting
from visavis.attendance.retention import due, remove_due
from visavis.attendance.rules import Retention
from visavis.attendance.store import ranges_of, removals_in
from visavis.attendance.view import days_of
from visavis.attendance.whole import ledger_damages
from visavis.errors import AttendanceError
from visavis.gallery import open_gallery

WHO = {"actor": "timer", "reason": "the law"}
HAND = {"actor": "HR", "reason": "forgot"}
SEEN = Evidence("SFace@1", 0.7, 0.4, crop=b"crop of somebody")
# Days after which each class goes.
KEPT = Retention(punches=60, evidence=20, crops=10, unknowns=5, audit=90)


def write(attendance, text):
    """A day's two punches with evidence, a correction of the first, somebody unknown."""
    now = moment(f"{text} 20:00")
    first, _ = (
        attendance.record(
            Sighting("E-1", moment(f"{text} {clock}"), "kiosk", evidence=SEEN), now=now
        )
        for clock in ("08:00", "17:00")
    )
    attendance.move(first.punch, at=moment(f"{text} 08:30"), **HAND)
    Inbox(attendance).keep(stranger(f"{text} 09:00"), now=now)


@pytest.fixture(scope="module")
def made(four_people, tmp_path_factory):
    """Rows of four days, each written on its day: punches are 1, 2, 4, 5, 7, 8, 10, 11."""
    folder = tmp_path_factory.mktemp("retention") / "gallery"
    gallery = copy_of(four_people, folder)
    with pytest.MonkeyPatch.context() as patch:
        for text in ("2026-01-05", "2026-02-02", "2026-03-02", "2026-03-16"):
            patch.setattr(ledger, "today", lambda text=text: text)
            write(Attendance(gallery, replace(rules(), retention=KEPT)), text)
    gallery.close()
    return folder


@pytest.fixture
def written(made, tmp_path):
    """A copy of it."""
    gallery = copy_of(made, tmp_path / "gallery")
    yield Attendance(gallery, replace(rules(), retention=KEPT))
    gallery.close()


def at(text):
    return moment(f"{text} 12:00")


def counts(due):
    return {one.name: one.count for one in due}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # Kept from that day less the days: 60, 20, 10, 5 and 90 of them.
        ("2026-03-07", {"punches": 2, "evidence": 4, "crops": 4, "unknowns": 0, "audit": 0}),
        ("2026-03-13", {"punches": 2, "evidence": 4, "crops": 6, "unknowns": 0, "audit": 0}),
        ("2026-03-22", {"punches": 2, "evidence": 4, "crops": 6, "unknowns": 1, "audit": 0}),
        ("2026-04-06", {"punches": 4, "evidence": 8, "crops": 8, "unknowns": 1, "audit": 1}),
        ("2027-01-01", {"punches": 8, "evidence": 8, "crops": 8, "unknowns": 1, "audit": 4}),
    ],
)
def test_what_is_due_is_said_by_class_and_goes_at_once(written, now, expected):
    said = due(written, at(now))
    assert counts(said) == expected
    assert said[0].oldest == date(2026, 1, 5)
    assert due(written, at(now)) == said  # nothing went yet
    assert remove_due(written, now=at(now), **WHO) == said
    assert not any(one.count for one in due(written, at(now)))
    assert ledger_damages(written.ledger) == []
    left = query(written.gallery, "SELECT count(*) FROM attendance_rows WHERE kind = 'punch'")
    assert left == [(8 - expected["punches"],)]
    with written.gallery.database.reading() as connection:
        removals = {one.name: one.count for one in removals_in(written.ledger, connection).all}
    assert removals == {name: count for name, count in expected.items() if count}


def test_counts_stay_and_files_hold_nothing_of_it(written):
    before = written.ledger.counts()
    sealed = [row[0][:16] for row in query(written.gallery, "SELECT sealed FROM attendance_rows")]
    remove_due(written, now=at("2027-01-01"), **WHO)
    assert written.ledger.counts() == before
    folder = written.gallery.database.path.parent
    files = [file.read_bytes() for file in folder.iterdir() if file.is_file()]
    assert not any(head in data for head in sealed for data in files)


def test_what_was_written_a_moment_ago_is_not_called_old(attendance):
    """A file of last year, imported today: it stays until the rule's days are over."""
    attendance.rules = replace(rules(), retention=KEPT)
    attendance.record(Sighting("E-1", moment("2020-03-02 08:00"), "kiosk"))
    assert counts(due(attendance))["punches"] == 0


def test_the_old_goes_where_nobody_asks_when_it_was_written(attendance, monkeypatch):
    attendance.rules = replace(rules(), retention=KEPT)
    attendance.record(Sighting("E-1", moment("2020-03-02 08:00"), "kiosk"))
    monkeypatch.setattr(retention, "_rows", lambda *_: [(1, 0)])
    remove_due(attendance, **WHO)
    # And the check says so: its entry is of today.
    assert ledger_damages(attendance.ledger) == ["row 1 is not there"]


def test_nobody_was_absent_on_a_day_whose_punches_are_gone(written):
    one, months = written.gallery.find("E-1").id, (date(2026, 1, 1), date(2026, 3, 31))
    remove_due(written, now=at("2026-04-06"), **WHO)
    days = days_of(written, months, people=[one], now=at("2026-04-06"))
    assert (days[0].day, days[0].status) == (date(2026, 2, 6), Status.ABSENT)
    # What was said of a punch does not bring it back.
    assert sum(len(day.punches) for day in days) == 4


def test_no_row_is_written_where_nothing_is_due(attendance):
    assert remove_due(attendance, **WHO)
    assert query(attendance.gallery, "SELECT * FROM attendance_rows") == []
    with pytest.raises(AttendanceError, match="who does it and why"):
        remove_due(attendance, actor="", reason="x")


def alter(attendance, *statements):
    with closing(sqlite3.connect(attendance.gallery.database.path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    return ledger_damages(Ledger(attendance.gallery))


ROW = "SELECT {} FROM attendance_rows WHERE kind = 'retention'"
LIKE_IT = (
    "INSERT INTO attendance_rows SELECT 14, at, kind, person_id, key_id, NULL, sealed FROM "
    "attendance_rows WHERE kind = 'retention'"
)
# What somebody with the file, and without the key, does to have a punch gone "by retention".
# Before that, the punches 1 and 2 are gone by it, and row 13 says so.
ATTACKS = {
    "one more": (["DELETE FROM attendance_rows WHERE seq = 4"], "row 4 is not there"),
    "a correction": (["DELETE FROM attendance_rows WHERE seq = 3"], "row 3 is not there"),
    "the row that says so": (
        ["DELETE FROM attendance_rows WHERE seq = 13"], "row 1 is not there",
    ),
    "an earlier one's number": (
        ["DELETE FROM attendance_rows WHERE seq = 4", "UPDATE attendance_chain SET seq = 1 + seq "
         "WHERE seq = 13", LIKE_IT], "chain is broken at entry 13",
    ),
    "a second row that says so": (
        ["DELETE FROM attendance_rows WHERE seq = 4", LIKE_IT], "row 14 is in no entry",
    ),
    "evidence": (
        ["DELETE FROM attendance_evidence WHERE seq = 11"], "the evidence of punch 11 is not",
    ),
    "a crop": (
        ["UPDATE attendance_evidence SET crop = NULL WHERE seq = 11"], "the crop of punch 11 is",
    ),
    "another's evidence": (
        ["UPDATE attendance_evidence SET sealed = (SELECT sealed FROM attendance_evidence WHERE "
         "seq = 10) WHERE seq = 11"], "the evidence of punch 11 was altered",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_whoever_calls_it_retention_is_noticed(written, name):
    statements, said = ATTACKS[name]
    remove_due(written, now=at("2026-03-22"), **WHO)
    assert query(written.gallery, ROW.format("seq")) == [(13,)]
    assert ledger_damages(written.ledger) == []
    assert any(said in words for words in alter(written, *statements))


def test_it_succeeds_where_nobody_asks_which_rows_went(written, monkeypatch):
    monkeypatch.setattr(whole, "removed", lambda entry, removals: bool(removals.all))
    remove_due(written, now=at("2026-03-22"), **WHO)
    assert alter(written, *ATTACKS["one more"][0]) == []


def test_a_person_who_is_deleted_after_retention_leaves_nothing(written):
    counts = written.ledger.counts()
    remove_due(written, now=at("2026-03-22"), **WHO)
    written.gallery.delete(written.gallery.find("E-1").id)
    for table in ("evidence", "seen", "keys"):
        assert query(written.gallery, f"SELECT * FROM attendance_{table}") == []
    assert query(written.gallery, "SELECT kind FROM attendance_rows") == [("retention",)]
    assert written.ledger.counts() == counts
    assert ledger_damages(written.ledger) == []


@pytest.mark.parametrize(
    ("numbers", "ranges"),
    [([], []), ([4], [(4, 4)]), ([1, 2, 3, 7, 8, 10], [(1, 3), (7, 8), (10, 10)])],
)
def test_numbers_are_kept_as_ranges(numbers, ranges):
    assert ranges_of(numbers) == ranges


@pytest.mark.slow
def test_retention_by_the_command_line(written, run, tmp_path):
    keep_rules(written.gallery, written.rules)
    written.gallery.close()
    words = ("attendance", "retention", "--gallery", tmp_path / "gallery")
    code, out, _ = run(*words, "--dry-run", "--json")
    document = json.loads(out)
    assert (code, document["removed"]) == (0, False)
    punches = document["classes"][0]
    assert (punches["name"], punches["days"], punches["oldest"]) == ("punches", 60, "2026-01-05")
    code, out, err = run(*words, "--json")
    assert (code, "say --yes" in err) == (2, True)
    code, out, _ = run(*words, "--yes", "--actor", "timer")
    assert (code, out.splitlines()[0][:9]) == (0, "punches: ")
    code, out, _ = run("attendance", "check", "--gallery", tmp_path / "gallery", "--json")
    assert (code, json.loads(out)["whole"]) == (0, True)
    assert json.loads(out)["removed"]["punches"] > 0
    gallery = open_gallery(tmp_path / "gallery")
    with gallery.database.reading() as connection:
        (row,) = Attendance(gallery).ledger.rows(connection, ["retention"])
    assert (row.body["actor"], row.body["reason"]) == ("timer", "retention")
    gallery.close()
