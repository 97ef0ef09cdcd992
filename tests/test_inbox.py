"""The inbox of unknown people: clusters, naming, discarding, expiry; and what deletion reaches."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from gallery_children import query
from made_attendance import MONDAY, moment, rules

from visavis.attendance import inbox as inboxes
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.inbox import Inbox
from visavis.attendance.punches import Sighting
from visavis.attendance.rules import Direction, Retention
from visavis.attendance.unknown import Stranger
from visavis.attendance.view import days_of
from visavis.attendance.whole import ledger_damages
from visavis.errors import AttendanceError, PersonError
from visavis.gallery import Sample
from visavis.types import Part

NOW = moment("20:00")
WHO = {"actor": "HR", "reason": "I know her"}
PARTS = (Part("made@0", 4),)
# Two people, far apart; the second number of each is what differs between two faces of theirs.
RED, BLUE = (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)


def face(colour, angle=0.0):
    """A face (1, 4): `angle` from the person's own, in radians."""
    row = np.cos(angle) * np.array(colour) + np.sin(angle) * np.array((0, 1, 0, 0))
    return row.astype(np.float32)[None]


def stranger(clock, colour=RED, angle=0.0, device="kiosk", **more):
    given = {"worth": 0.5, "crop": f"crop of {clock}".encode(), "way": None, **more}
    way = given.pop("way")
    sighting = Sighting("", moment(clock), device, Direction(way) if way else None)
    return Stranger(sighting, face(colour, angle), PARTS, 0.8, **given)


@pytest.fixture
def inbox(attendance):
    """Of four people, whose faces nobody has."""
    return Inbox(attendance)


def keep(inbox, *strangers, now=NOW):
    return [inbox.keep(one, now=now) for one in strangers]


def in_files(inbox, part):
    folder = inbox.attendance.gallery.database.path.parent
    return any(part in file.read_bytes() for file in folder.iterdir() if file.is_file())


def test_sightings_that_are_alike_are_one_person(inbox):
    keep(
        inbox,
        stranger("08:00", worth=0.4),
        stranger("09:00", BLUE, device="gate"),
        stranger("12:00", angle=0.4, worth=0.9, device="gate"),
        stranger("17:00", angle=0.3, worth=1.0, crop=None),
    )
    red, blue = inbox.clusters()
    assert (red.number, red.numbers, red.devices) == (1, [1, 3, 4], ["gate", "kiosk"])
    assert (red.first, red.last) == (moment("08:00"), moment("17:00"))
    assert [one.number for one in red.best(2)] == [3, 1]  # a crop to look at comes first
    assert (inbox.crop(3), inbox.crop(4)) == (b"crop of 12:00", None)
    assert (blue.numbers, blue.closest) == ([2], None)
    assert inbox.cluster(4).numbers == red.numbers


def test_the_very_same_is_kept_once(inbox):
    assert keep(inbox, stranger("08:00"), stranger("08:00"), stranger("08:00", BLUE)) == [
        1,
        None,
        2,
    ]
    by_track = replace(stranger("09:00"), sighting=replace(stranger("09:00").sighting, key="a 7"))
    later = replace(by_track, sighting=replace(by_track.sighting, at=moment("09:01")))
    assert keep(inbox, by_track, later) == [3, None]


def test_nothing_is_kept_where_the_rules_keep_none(inbox):
    inbox.attendance.rules = replace(rules(), crops=False)
    keep(inbox, stranger("08:00"))
    assert inbox.crop(1) is None
    inbox.attendance.rules = replace(rules(), retention=Retention(unknowns=0))
    assert keep(inbox, stranger("09:00")) == [None]


def test_naming_back_fills_punches_that_say_who_said_so(inbox):
    attendance = inbox.attendance
    clocks = ["08:00:00", "08:00:30", "12:00:00", "17:00:00"]
    numbers = keep(inbox, *(stranger(clock, angle=n / 9) for n, clock in enumerate(clocks)))
    named = inbox.name(numbers, "E-1", **WHO)
    assert [one.fate for one in named.recorded] == ["punch", "seen", "punch", "punch"]
    punch = attendance.punch(named.recorded[0].punch)
    assert (punch.source, punch.actor, punch.reason, punch.notes) == (
        "inbox", "HR", "I know her", ("corrected",),
    )  # fmt: skip
    evidence, crop = attendance.evidence(punch.number)
    assert (evidence["model"], evidence["threshold"], crop) == ("made@0", 0.8, b"crop of 08:00:00")
    assert 0.9 < evidence["similarity"] < 1
    (day,) = days_of(attendance, (MONDAY, MONDAY), people=[named.person.id], now=NOW)
    assert (day.first_in, day.notes) == (moment("08:00"), ("corrected",))
    assert inbox.clusters() == []
    assert not in_files(inbox, b"crop of")
    assert ledger_damages(attendance.ledger) == []


@pytest.mark.slow
def test_somebody_new_is_enrolled_by_their_best_sightings(inbox):
    gallery = inbox.attendance.gallery
    numbers = keep(
        inbox, *(stranger(f"{8 + n:02}:00", angle=n / 20, worth=n / 10) for n in range(7))
    )
    named = inbox.enroll(numbers, "Zoë", external_id="E-9", consent="on paper", **WHO)
    assert (named.person.name, named.person.samples, len(named.recorded)) == ("Zoë", 5, 7)
    (near,) = gallery.index(PARTS).nearest(face(RED, 0.2), people=1)
    assert near[0][0] == named.person.id
    sources = sorted(sample.source for sample in gallery.samples(named.person.id))
    assert sources == [f"unknown {number}" for number in range(3, 8)]
    assert gallery.damages() == []


@pytest.mark.slow
def test_a_locked_period_gets_no_punch_that_counts(inbox):
    keep(inbox, stranger("08:00"), stranger("17:00", angle=0.1))
    inbox.attendance.lock(MONDAY, MONDAY, actor="HR", reason="paid")
    named = inbox.name([1, 2], "E-1", **WHO)
    assert [one.notes for one in named.recorded] == [("corrected", "after_lock")] * 2
    (day,) = days_of(inbox.attendance, (MONDAY, MONDAY), people=[named.person.id], now=NOW)
    assert day.stays == ()


@pytest.mark.parametrize(
    ("numbers", "who", "blank", "error", "said"),
    [
        ([9], "E-1", {}, AttendanceError, "there is no unknown sighting 9"),
        ([1, 9], "E-1", {}, AttendanceError, "there is no unknown sighting 9"),
        ([], "E-1", {}, AttendanceError, "got none"),
        ([1], "E-8", {}, PersonError, "nobody is called 'E-8'"),
        ([1], "E-1", {"reason": " "}, AttendanceError, "needs who does it and why"),
        ([1], "E-1", {"actor": ""}, AttendanceError, "needs who does it and why"),
    ],
)
def test_what_cannot_be_named_is_said_and_stays(inbox, numbers, who, blank, error, said):
    keep(inbox, stranger("08:00"))
    with pytest.raises(error, match=said):
        inbox.name(numbers, who, **{**WHO, **blank})
    assert inbox.cluster(1).numbers == [1]
    assert query(inbox.attendance.gallery, "SELECT count(*) FROM attendance_rows") == [(0,)]


def test_what_is_discarded_is_gone_and_the_ledger_says_by_whom(inbox):
    keep(inbox, stranger("08:00"), stranger("09:00"), stranger("10:00", BLUE))
    assert inbox.discard([1, 2], **WHO) == 2
    assert [one.number for one in inbox.clusters()] == [3]
    with inbox.attendance.gallery.database.reading() as connection:
        (row,) = inbox.attendance.ledger.rows(connection, ["inbox"])
    assert (row.body["done"], row.body["count"], row.body["actor"]) == ("discarded", 2, "HR")
    with pytest.raises(AttendanceError, match="there is no unknown sighting 1"):
        inbox.crop(1)
    assert keep(inbox, stranger("11:00")) == [4]  # no number comes twice


def test_sightings_and_crops_expire_by_rule(inbox):
    inbox.attendance.rules = replace(rules(), retention=Retention(crops=2, unknowns=5))
    keep(inbox, stranger("2026-03-02 08:00"), stranger("2026-03-04 08:00", BLUE))
    keep(inbox, stranger("2026-03-07 07:00", angle=1.5), now=moment("2026-03-07 08:00"))
    assert [inbox.crop(number) for number in (1, 2, 3)] == [None, None, b"crop of 2026-03-07 07:00"]
    keep(inbox, stranger("2026-03-08 07:00", angle=1.4), now=moment("2026-03-08 08:00"))
    assert sorted(n for one in inbox.clusters() for n in one.numbers) == [2, 3, 4]


def test_a_full_inbox_lets_go_of_the_oldest_and_says_so(inbox, monkeypatch, caplog):
    monkeypatch.setattr(inboxes, "MOST", 2)
    keep(inbox, stranger("09:00"), stranger("08:00"), stranger("10:00"))
    assert inbox.cluster(1).numbers == [1, 3]
    assert "the oldest sighting makes way" in caplog.text


def enroll_red(gallery):
    """Person 2 gets the red face."""
    person = gallery.find("E-2").id
    gallery.add_sample(person, Sample("a.jpg", "a", {}, {"made@0": face(RED)[0]}))
    return person


def heads(inbox):
    """How each stored face begins, and each crop."""
    rows = query(inbox.attendance.gallery, "SELECT sealed, crop FROM attendance_unknown")
    return [part[:16] for row in rows for part in row]


@pytest.mark.parametrize("enrolled", ["before", "after"])
def test_deleting_a_person_reaches_the_sightings_that_are_like_them(inbox, enrolled):
    gallery = inbox.attendance.gallery
    person = enroll_red(gallery) if enrolled == "before" else None
    keep(inbox, stranger("08:00", angle=0.5), stranger("09:00", BLUE))
    if person is None:
        person = enroll_red(gallery)
        keep(inbox, stranger("10:00", BLUE, angle=0.1))  # any camera hears of the enrolment
    assert inbox.cluster(1).closest == person
    gone = heads(inbox)[:2]
    gallery.delete(person)
    assert [one.number for one in inbox.clusters()] == [2]
    assert not any(in_files(inbox, head) for head in gone)


def test_the_sightings_stay_where_nobody_notes_whom_they_are_like(inbox, monkeypatch):
    monkeypatch.setattr(Inbox, "_closest", lambda *_: None)
    person = enroll_red(inbox.attendance.gallery)
    keep(inbox, stranger("08:00"))
    inbox.attendance.gallery.delete(person)
    assert inbox.cluster(1).numbers == [1]


@pytest.mark.slow
def test_deleting_somebody_who_was_named_takes_all_of_it_along(inbox):
    attendance = inbox.attendance
    named = inbox.name(keep(inbox, stranger("08:00"), stranger("17:00")), "E-1", **WHO)
    attendance.void(named.recorded[0].punch, actor="Boss", reason="no")
    counts = attendance.ledger.counts()
    attendance.gallery.delete(named.person.id)
    for table in ("rows", "evidence", "seen", "unknown", "keys"):
        assert query(attendance.gallery, f"SELECT * FROM attendance_{table}") == []
    assert attendance.ledger.counts() == counts
    assert sum(counts.values()) == 2
    assert ledger_damages(attendance.ledger) == []


ATTACKS = {
    "another's face": "UPDATE attendance_unknown SET sealed = (SELECT sealed FROM "
                      "attendance_unknown WHERE seq = 2) WHERE seq = 1",
    "another day": "UPDATE attendance_unknown SET at = at + 86400 WHERE seq = 1",
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_a_sighting_that_was_altered_is_left_out_and_said(inbox, name, caplog):
    keep(inbox, stranger("08:00"), stranger("09:00", BLUE))
    with closing(sqlite3.connect(inbox.attendance.gallery.database.path)) as connection:
        connection.execute(ATTACKS[name])
        connection.commit()
    assert [one.number for one in inbox.clusters()] == [2]
    assert "1 sightings of unknown people" in caplog.text
    with pytest.raises(AttendanceError, match="the unknown sighting 1 was altered"):
        inbox.name([1], "E-1", **WHO)


def test_no_face_place_or_crop_can_be_read_in_the_file(inbox):
    keep(inbox, stranger("08:00", device="north gate"))
    for part in (b"north gate", b"crop of", face(RED).tobytes()):
        assert not in_files(inbox, part)


def test_a_gallery_without_an_inbox_is_not_written_by_a_look(gallery):
    inbox = Inbox(Attendance(gallery, rules()))
    before = gallery.audit_head()
    inbox.relate()
    assert inbox.clusters() == []
    assert gallery.audit_head() == before
    with pytest.raises(AttendanceError, match="there is no unknown sighting 1"):
        inbox.cluster(1)


@pytest.fixture
def call(run, inbox, tmp_path):
    """The verb, on a gallery with three sightings of red and one of blue."""
    keep_rules(inbox.attendance.gallery, rules())
    at = NOW - timedelta(hours=1)
    assert at.hour == 18
    keep(inbox, stranger("08:00"), stranger("12:00"), stranger("17:00"), stranger("09:00", BLUE))
    inbox.attendance.gallery.close()

    def verb(*words):
        return run("attendance", "unknown", *words, "--gallery", tmp_path / "gallery")

    return verb


def document(answer):
    code, out, err = answer
    assert (code, err) == (0, "")
    return json.loads(out)


WHY = ("--actor", "HR", "--reason", "I know her")


@pytest.mark.slow
def test_the_inbox_by_the_command_line(call, tmp_path):
    red, blue = document(call("list", "--json"))["unknown"]
    assert (red["number"], red["count"], red["devices"], red["crop"], red["like"]) == (
        1, 3, ["kiosk"], True, None,
    )  # fmt: skip
    shown = document(call("show", "2", "--out", tmp_path / "crop.png", "--json"))
    assert [one["number"] for one in shown["sightings"]] == [1, 2, 3]
    assert (tmp_path / "crop.png").read_bytes() == b"crop of 08:00"
    assert (tmp_path / "crop.png").stat().st_mode & 0o77 == 0
    one = document(call("name", "3", "E-1", "--alone", *WHY, "--json"))
    assert (one["person_id"], [each["fate"] for each in one["recorded"]]) == ("E-1", ["punch"])
    new = call("name", "1", "Zoë", "--new", "--id", "E-9", *WHY)
    assert new == (0, "2 sightings of Zoë\n2 recorded\n", "")
    assert document(call("discard", str(blue["number"]), *WHY, "--json")) == {"discarded": 1}
    assert call("list") == (0, "nobody unknown was seen\n", "")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "77"], "there is no unknown sighting 77"),
        (["name", "1", "E-8", *WHY], "nobody is called 'E-8'"),
        (["name", "1", "E-1", "--actor", "HR"], "needs who does it and why: say the reason"),
        (["name", "1", "E-1", "--id", "E-9", *WHY], "--id and --consent are of somebody --new"),
        (["discard", "77", *WHY], "there is no unknown sighting 77"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(call, words, said):
    code, out, err = call(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
