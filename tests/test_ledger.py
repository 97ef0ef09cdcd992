"""The ledger: sealed, chained, erased with its people, whole after a kill.

Each promise has its attacker, who succeeds where the defence is taken away.
"""

import hmac
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import attendance_children
import pytest
from conftest import share
from gallery_children import query
from made_attendance import MONDAY, copy_of, moment, rules

from visavis.attendance import ledger as ledgers
from visavis.attendance.attendance import Attendance
from visavis.attendance.keys import RoomKeys
from visavis.attendance.ledger import Ledger
from visavis.attendance.punches import Evidence, Sighting, directed
from visavis.attendance.tables import HELD_TABLES
from visavis.attendance.whole import ledger_damages
from visavis.errors import AttendanceError, GalleryKeyError
from visavis.gallery import open_gallery
from visavis.gallery import sqlite as schema
from visavis.gallery.backups import backup, restore
from visavis.gallery.rotation import rotate_key

PLAIN = Evidence("SFace@1", 0.71, 0.42, configuration=3, liveness=0.9, crop=b"crop of ann")


@pytest.fixture(scope="module")
def made(cache, tmp_path_factory):
    """A gallery of three people, four punches of Ann's, one of Bob's: copied for each test."""
    folder = tmp_path_factory.mktemp("attendance") / "gallery"
    gallery = open_gallery(folder)
    (folder / schema.BALLAST).write_bytes(b"")
    for name, own in (("Ann", "E-1"), ("Bob", "E-2"), ("Cy", "E-3")):
        gallery.add_person(name, external_id=own)
    attendance = Attendance(gallery, rules())
    for who, clock in (("E-1", "08:00"), ("E-1", "12:00"), ("E-2", "12:01"), ("E-1", "13:00")):
        attendance.record(Sighting(who, moment(clock), "kiosk", evidence=PLAIN))
    attendance.record(Sighting("E-1", moment("13:00:30"), "kiosk"))  # seen, and no punch
    gallery.close()
    return folder


@pytest.fixture
def attendance(made, tmp_path):
    """The copy, opened."""
    gallery = copy_of(made, tmp_path / "gallery")
    yield Attendance(gallery, rules())
    gallery.close()


def path_of(attendance):
    return attendance.gallery.database.path


def alter(attendance, *statements):
    attendance.gallery.close()
    with closing(sqlite3.connect(path_of(attendance))) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def damages(attendance):
    gallery = open_gallery(path_of(attendance).parent)
    try:
        return ledger_damages(Ledger(gallery))
    finally:
        gallery.close()


SWAP = (
    "UPDATE attendance_rows SET sealed = (SELECT sealed FROM attendance_rows WHERE seq = {}) "
    "WHERE seq = {}"
)
OTHER = "(SELECT id FROM people WHERE name = 'Bob')"
ATTACKS = {
    "an hour earlier": (
        ["UPDATE attendance_rows SET at = at - 3600 WHERE seq = 2"], "row 2 cannot",
    ),
    "somebody else's": (
        [f"UPDATE attendance_rows SET person_id = {OTHER} WHERE seq = 1"], "row 1 cannot",
    ),
    "another's content": ([SWAP.format(2, 1)], "row 1 was altered"),
    "taken away": (["DELETE FROM attendance_rows WHERE seq = 2"], "row 2 is not there"),
    "with its entry": (
        ["DELETE FROM attendance_rows WHERE seq = 2", "DELETE FROM attendance_chain WHERE seq = 2"],
        "its chain is broken at entry 2",
    ),
    "the last, with its entry": (
        ["DELETE FROM attendance_rows WHERE seq = 4", "DELETE FROM attendance_chain WHERE seq = 4"],
        "its chain was altered at its end, after entry 3",
    ),
    "a copy": (
        ["INSERT INTO attendance_rows SELECT 9, at, kind, person_id, key_id, NULL, sealed "
         "FROM attendance_rows WHERE seq = 1"], "row 9 is in no entry of the chain",
    ),
    "another day": (["UPDATE attendance_chain SET day = '2020-01-01'"], "broken at entry 1"),
    "no key": (["DELETE FROM attendance_keys"], "row 1 cannot be opened"),
    "everything": (
        ["DELETE FROM attendance_rows", "DELETE FROM attendance_chain", "DELETE FROM settings "
         "WHERE name IN ('kept attendance key', 'attendance head')"], "its key is not there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_on_the_file_is_noticed(attendance, name):
    statements, said = ATTACKS[name]
    assert damages(attendance) == []
    alter(attendance, *statements)
    assert any(said in words for words in damages(attendance))


def test_the_attack_succeeds_where_rows_are_sealed_for_no_place(gallery, monkeypatch):
    monkeypatch.setattr(RoomKeys, "place", lambda self, *parts: ("anywhere",))
    gallery.add_person("Ann")
    attendance = Attendance(gallery, rules())
    for clock in ("08:00", "12:00"):
        attendance.record(Sighting("Ann", moment(clock)))
    alter(attendance, *ATTACKS["an hour earlier"][0])
    assert damages(attendance) == []


def test_the_attack_succeeds_where_no_chain_is_kept(attendance, monkeypatch):
    alter(attendance, *ATTACKS["taken away"][0])
    assert damages(attendance) == ["row 2 is not there"]
    monkeypatch.setattr("visavis.attendance.whole.kept_person", lambda *_: "erased")
    monkeypatch.setattr("visavis.attendance.whole._erased", lambda _: {"erased"})
    assert damages(attendance) == []


@pytest.mark.parametrize("name", ["the last, with its entry", "everything"])
def test_nothing_is_written_over_an_altered_end(attendance, name):
    alter(attendance, *ATTACKS[name][0])
    gallery = open_gallery(path_of(attendance).parent)
    with pytest.raises(AttendanceError, match="altered"):
        Attendance(gallery, rules()).record(Sighting("E-1", moment("18:00")))
    gallery.close()


def test_evidence_of_another_punch_is_noticed(attendance):
    assert attendance.evidence(1) == (
        {"model": "SFace@1", "similarity": 0.71, "threshold": 0.42, "configuration": 3,
         "liveness": 0.9, "crop": None}, b"crop of ann",
    )  # fmt: skip
    assert attendance.evidence(99) == ({}, None)
    for column in ("sealed", "crop"):
        alter(
            attendance,
            f"UPDATE attendance_evidence SET {column} = (SELECT {column} FROM "
            "attendance_evidence WHERE seq = 2) WHERE seq = 1",
        )
        gallery = open_gallery(path_of(attendance).parent)
        with pytest.raises(AttendanceError, match="the evidence of punch 1 was altered"):
            Attendance(gallery, rules()).evidence(1)
        gallery.close()


def in_files(attendance, part):
    folder = path_of(attendance).parent
    return any(part in file.read_bytes() for file in folder.iterdir() if file.is_file())


def test_no_time_device_or_name_can_be_read_in_the_file(attendance):
    assert not in_files(attendance, b"kiosk")
    assert not in_files(attendance, b"crop of ann")
    assert not in_files(attendance, b"SFace@1")


def opens(attendance, sealed, place):
    """Whether somebody who has every key of the gallery opens an old copy of a row."""
    gallery, ledger = attendance.gallery, Ledger(attendance.gallery)
    with gallery.database.reading() as connection:
        ids = [one for (one,) in query(gallery, "SELECT id FROM attendance_keys")]
        vaults = ledger.keys.vaults(connection, ids)
    return any(vault.open(sealed, *ledger.keys.place(*place)) for vault in vaults.values())


def erase_ann(attendance):
    """Erase her; what a copy of her first row still gives."""
    gallery = attendance.gallery
    (row,) = query(gallery, "SELECT seq, kind, at, sealed FROM attendance_rows WHERE seq = 1")
    place = (ledgers.ROW, *row[:3])
    assert opens(attendance, row.sealed, place)
    gallery.delete(gallery.find("Ann").id)
    return opens(attendance, row.sealed, place)


def test_who_is_erased_takes_rows_evidence_and_key_along_and_counts_stay(attendance):
    gallery = attendance.gallery
    before = attendance.ledger.counts()
    sealed = query(gallery, "SELECT sealed FROM attendance_keys WHERE person_id = "
                   "(SELECT id FROM people WHERE name = 'Ann')")[0][0]  # fmt: skip
    assert not erase_ann(attendance)
    assert not in_files(attendance, sealed[:16])
    for table in ("attendance_rows", "attendance_evidence"):
        assert [row.seq for row in query(gallery, f"SELECT seq FROM {table}")] == [3]
    assert query(gallery, "SELECT seq FROM attendance_seen") == []
    assert sum(before.values()) == 4
    assert attendance.ledger.counts() == before
    assert ledger_damages(attendance.ledger) == []
    assert gallery.damages() == []


def test_an_old_copy_of_a_row_opens_where_the_key_is_left(gallery, monkeypatch):
    kept = tuple(one for one in HELD_TABLES if one[0].name != "attendance_keys")
    monkeypatch.setattr(ledgers, "HELD_TABLES", kept)
    gallery.add_person("Ann")
    attendance = Attendance(gallery, rules())
    attendance.record(Sighting("Ann", moment("08:00")))
    assert erase_ann(attendance)


def test_a_merged_person_brings_their_punches_along(attendance):
    gallery = attendance.gallery
    ann, bob = gallery.find("Ann").id, gallery.find("Bob").id
    gallery.merge(bob, ann)
    with gallery.database.reading() as connection:
        rows = attendance.ledger.rows(connection, ["punch"], people=[bob])
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert ledger_damages(attendance.ledger) == []
    attendance.record(Sighting("Bob", moment("18:00")))
    gallery.delete(bob)
    assert query(gallery, "SELECT seq FROM attendance_rows") == []
    assert ledger_damages(attendance.ledger) == []


def test_a_new_key_of_the_gallery_opens_what_was_written_before(gallery):
    gallery.add_person("Ann")
    Attendance(gallery, rules()).record(Sighting("Ann", moment("08:00")))
    folder = gallery.database.path.parent
    rotate_key(gallery)
    gallery.close()
    gallery = open_gallery(folder)
    again = Attendance(gallery, rules())
    assert again.record(Sighting("Ann", moment("18:00"))).punch == 2
    assert ledger_damages(again.ledger) == []
    gallery.close()


class Thief:
    """Somebody who had the gallery's key and a copy of the file, before the key was rotated."""

    def __init__(self, gallery):
        keys, ids = RoomKeys(gallery), [one for (one,) in query(gallery, KEY_IDS)]
        with gallery.database.reading() as connection:
            self.room = keys.room(connection)
            self.vaults = [*keys.vaults(connection, ids).values(), self.room.vault]
        self.place = keys.place

    def opens(self, gallery):
        """The numbers of the rows that open by now."""
        rows = query(gallery, "SELECT seq, kind, at, sealed FROM attendance_rows")
        return [
            row.seq
            for row in rows
            if any(vault.open(row.sealed, *self.place("row", *row[:3])) for vault in self.vaults)
        ]

    def guesses(self, gallery, text):
        """Whether somebody was somewhere, as can be tried for every second of a day."""
        token = hmac.digest(self.room.key, text.encode(), "sha256")
        return [(token,)] if token in [one for (one,) in query(gallery, TOKENS)] else []

    def cut(self, gallery):
        """Take the last row away, with its entry, and seal the one before as the last."""
        (last,) = query(gallery, "SELECT seq, hash FROM attendance_chain ORDER BY seq DESC "
                        "LIMIT 1 OFFSET 1")  # fmt: skip
        head = self.room.vault.seal(f"{last.seq}-{last.hash.hex()}".encode(), *self.place(HEAD))
        with closing(sqlite3.connect(gallery.database.path)) as connection:
            for table in ("rows", "chain"):
                connection.execute(f"DELETE FROM attendance_{table} WHERE seq > ?", (last.seq,))
            connection.execute("UPDATE settings SET value = ? WHERE name = ?", (head, HEAD))
            connection.commit()
        return ledger_damages(Ledger(gallery))


KEY_IDS, TOKENS = "SELECT id FROM attendance_keys", "SELECT token FROM attendance_rows"
HEAD = "attendance head"


def rotated(gallery):
    """A thief, and the gallery with a new key, in which Ann punched once more."""
    Attendance(gallery, rules()).record(Sighting("Ann", moment("08:00"), "door"))
    thief, folder = Thief(gallery), gallery.database.path.parent
    assert thief.opens(gallery) == [1]
    rotate_key(gallery)
    gallery.close()
    gallery = open_gallery(folder)
    later = Sighting("Ann", moment("18:00"), "door")
    assert Attendance(gallery, rules()).record(later).punch == 2
    text = directed(later, rules()).token(gallery.find("Ann").id)
    return thief, gallery, text


def test_who_had_the_old_key_and_a_copy_opens_guesses_and_forges_nothing_later(gallery):
    gallery.add_person("Ann")
    thief, gallery, text = rotated(gallery)
    assert thief.opens(gallery) == [1]  # they had that
    assert thief.guesses(gallery, text) == []
    assert thief.cut(gallery) == ["its chain was altered at its end, after entry 1"]
    gallery.close()


def test_who_had_the_old_key_opens_guesses_and_forges_where_the_rooms_key_stays(
    gallery, monkeypatch
):
    monkeypatch.setattr(Ledger, "renew", lambda _: False)
    gallery.add_person("Ann")
    thief, gallery, text = rotated(gallery)
    assert thief.opens(gallery) == [1, 2]
    assert thief.guesses(gallery, text)
    assert thief.cut(gallery) == []
    gallery.close()


def test_what_was_written_before_two_rotations_is_as_it_was(gallery):
    gallery.add_person("Ann")
    folder, said = gallery.database.path.parent, Sighting("Ann", moment("08:00"), "door")
    for number in (1, 2, 3):
        attendance = Attendance(gallery, rules())
        again = [attendance.record(said).fate for _ in range(2)]
        assert again == (["punch", "repeated"] if number == 1 else ["repeated"] * 2)
        attendance.lock(MONDAY, MONDAY, actor="HR", reason="paid", locked=False)
        with gallery.database.writing() as connection:
            assert attendance.ledger.delivered(connection, "webhook x") == 10 * number - 10
            attendance.ledger.note_delivered(connection, "webhook x", 10 * number)
        assert attendance.record(replace(said, at=moment(f"1{number}:00"))).fate == "punch"
        assert ledger_damages(attendance.ledger) == []
        rotate_key(gallery)
        gallery.close()
        gallery = open_gallery(folder)
    with gallery.database.reading() as connection:
        rows = Ledger(gallery).rows(connection, ["punch", "lock"])
    assert [row.kind for row in rows] == ["lock"] * 3 + ["punch"] * 4
    assert len(query(gallery, KEY_IDS)) == 5  # Ann's three, and two of the room's
    gallery.delete(gallery.find("Ann").id)
    assert sorted(query(gallery, KEY_IDS)) == [("room",), (f"room {generation(gallery)}",)]
    assert ledger_damages(Ledger(gallery)) == []
    gallery.close()


def generation(gallery):
    """Of the room's key before the last one."""
    return query(gallery, "SELECT seq FROM audit WHERE action = 'rotate key' ORDER BY seq")[0][0]


def test_who_is_left_with_the_old_key_is_told(gallery):
    gallery.add_person("Ann")
    old = Attendance(gallery, rules())
    old.record(Sighting("Ann", moment("08:00"), "door"))
    rotate_key(gallery)
    again = open_gallery(gallery.database.path.parent)
    assert Ledger(again).renew()
    with pytest.raises(GalleryKeyError, match="it was rotated: open the gallery anew"):
        old.record(Sighting("Ann", moment("18:00"), "door"))
    again.close()


def test_a_backup_brings_punches_back(attendance, tmp_path):
    gallery = attendance.gallery
    backup(gallery, tmp_path / "backup")
    attendance.record(Sighting("E-1", moment("18:00")))
    gallery.close()
    restore(tmp_path / "backup", path_of(attendance).parent, replace=True)
    assert damages(attendance) == []
    assert query(open_gallery(path_of(attendance).parent), "SELECT count(*) FROM attendance_rows"
                 ) == [(4,)]  # fmt: skip


def test_a_gallery_without_attendance_is_not_written_by_a_look(gallery):
    before = gallery.audit_head()
    assert (ledger_damages(Ledger(gallery)), Ledger(gallery).counts()) == ([], {})
    assert gallery.audit_head() == before


@pytest.mark.slow
def test_two_processes_that_begin_at_once_make_one_key(gallery):
    first, second = Ledger(gallery), Ledger(gallery)
    assert first.key() is second.key() is None
    first.prepare()
    second.prepare()
    assert first.key() == second.key() is not None


def killed_writers(folder, kills, *switches):
    """Writers that were killed so often: as attendance_children.py says."""
    command = [sys.executable, attendance_children.__file__, str(folder), str(kills), *switches]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_kill_loses_no_acknowledged_punch_and_adds_none_twice(tmp_path):
    kills = share(1000)
    done = killed_writers(tmp_path, kills)
    assert done.returncode == 0, done.stderr
    killed, acknowledged = map(int, done.stdout.split())
    assert killed >= kills
    assert acknowledged > kills


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switches", "said"),
    [
        (("cut",), ""),  # killed within a punch: with the sabotage, and first without
        (("cut", "autocommit"), "altered|damaged"),
        (("cut", "hasty"), "an acknowledged punch is lost"),
        (("forgetful",), "a punch is there twice"),
    ],
)
def test_the_kill_check_can_fail(tmp_path, switches, said):
    done = killed_writers(tmp_path, 6, *switches)
    assert (done.returncode, bool(said)) in ((0, False), (1, True)), done.stderr
    assert re.search(said, done.stderr)
