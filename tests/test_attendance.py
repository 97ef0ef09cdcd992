"""What becomes of a sighting; corrections above it; locked periods; clocks that lie."""

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from made_attendance import MONDAY, moment, rules

from visavis.attendance.attendance import Attendance, keep_rules, kept_rules
from visavis.attendance.days import Status
from visavis.attendance.punches import Reporter, Sighting, fate_of
from visavis.attendance.rules import Direction
from visavis.attendance.transfer import export_period, read_punches
from visavis.attendance.view import days_of
from visavis.attendance.whole import ledger_damages
from visavis.errors import AttendanceError, PersonError, RulesError
from visavis.gallery import open_gallery

NOW = moment("20:00")
WHO = {"actor": "HR", "reason": "forgot"}


def sighting(clock, device="kiosk", way=None, **more):
    return Sighting("E-1", moment(clock), device, Direction(way) if way else None, **more)


@pytest.mark.parametrize(
    ("sightings", "fates"),
    [
        # One device: its cooldown of 60 s runs from when it saw somebody last.
        (["08:00:00 kiosk", "08:00:59 kiosk", "08:01:58 kiosk", "08:02:58 kiosk"],
         "punch seen seen punch"),
        # Said again, it is the same; and in any order.
        (["08:00:00 kiosk", "08:00:00 kiosk"], "punch repeated"),
        (["08:00:30 kiosk", "08:00:00 kiosk", "07:59:30 kiosk"], "punch seen punch"),
        # Two cameras see one person pass.
        (["08:00:00 a", "08:00:20 b", "08:01:59 b", "08:02:00 b"],
         "punch too_soon too_soon punch"),
        # Nobody turns round within the gap of 120 s.
        (["08:00:00 door", "08:01:00 exit", "08:02:00 exit"], "punch too_soon punch"),
        (["08:00:00 a in", "08:01:30 a out", "08:02:00 a out"], "punch too_soon punch"),
        # Who lingers may leave: the gap runs from the punch itself.
        (["08:00:00 door", "08:00:50 door", "08:01:40 door", "08:02:10 exit"],
         "punch seen seen punch"),
    ],
)  # fmt: skip
def test_what_becomes_of_sightings(attendance, sightings, fates):
    outcomes = attendance.record_all(
        [sighting(*text.split()[:2], *text.split()[2:]) for text in sightings], now=NOW
    )
    assert " ".join(one.fate for one in outcomes) == fates


def test_a_minute_at_thirty_frames_a_second_by_two_cameras_is_one_punch(attendance):
    near, known = [], rules()
    for frame in range(60 * 30):
        at = moment("08:00") + timedelta(seconds=frame / 30)
        for device in ("a", "b"):
            one = replace(sighting("08:00", device), at=at)
            fate, part = fate_of(one, near, known)
            if fate == "punch":
                assert near == []
                near = [attendance.punch(attendance.record(one, now=NOW).punch)]
            elif one.true_at > part.until:
                near = [replace(part, seen=one.true_at)]
    again = Attendance(attendance.gallery, rules())  # after a restart
    assert again.record(sighting("08:00:30", "a"), now=NOW).fate == "seen"
    assert near[0].until == moment("08:00:59")


def test_a_punch_keeps_what_was_said(attendance):
    said = sighting("08:00", "yorkdoor", "out", source=Reporter.TERMINAL, offset=7200.0)
    outcome = attendance.record(said, now=NOW)
    punch = attendance.punch(outcome.punch)
    assert (punch.at, punch.direction, punch.zone) == (
        moment("06:00"), Direction.OUT, "America/New_York",
    )  # fmt: skip
    assert (punch.offset, punch.received, punch.notes) == (7200.0, NOW, ("clock",))
    assert (punch.source, punch.person) == ("terminal", attendance.gallery.find("E-1").id)


def test_a_device_gives_its_direction_and_a_button_its_own(attendance):
    first = attendance.record(sighting("08:00", "exit"), now=NOW)
    second = attendance.record(sighting("09:00", "exit", "in"), now=NOW)
    ways = [attendance.punch(one.punch).direction for one in (first, second)]
    assert ways == ["out", "in"]


@pytest.mark.parametrize(
    ("clocks", "source", "notes"),
    [
        (["19:59"], "terminal", [()]),
        (["20:01"], "terminal", [()]),  # within the tolerance
        (["21:00"], "terminal", [("future",)]),  # an hour off
        (["12:00", "10:00"], "terminal", [(), ("backwards",)]),  # two hours back
        (["12:00", "11:59:30"], "camera", [(), ()]),
        (["12:00", "10:00"], "file", [(), ()]),  # a file has any order
    ],
)
def test_a_clock_that_lies_is_said_and_nothing_is_lost(attendance, clocks, source, notes):
    given = [sighting(clock, "gate", source=Reporter(source)) for clock in clocks]
    outcomes = [attendance.record(one, now=NOW) for one in given]
    assert [one.notes for one in outcomes] == notes
    kept = [attendance.punch(one.punch) for one in outcomes if one.fate == "punch"]
    assert [one.notes for one in kept] == [n for one, n in zip(outcomes, notes, strict=True)
                                           if one.fate == "punch"]  # fmt: skip


def test_this_machines_own_clock_put_back_two_hours_is_said(attendance):
    attendance.record(sighting("12:00"), now=NOW)
    outcome = attendance.record(sighting("18:00"), now=NOW - timedelta(hours=2))
    assert (outcome.fate, outcome.notes) == ("punch", ("server_clock",))


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"person": "E-9"}, PersonError, "nobody is called 'E-9'"),
        ({"at": datetime(2026, 3, 2, 8)}, AttendanceError, "expected a time with its zone"),
        ({"source": Reporter.HAND}, AttendanceError, "needs who does it and why"),
        ({"offset": float("nan")}, AttendanceError, "expected a clock's offset"),
    ],
)
def test_what_no_punch_can_be_is_refused_and_the_rest_goes_on(attendance, change, error, said):
    bad = replace(sighting("08:00"), **change)
    with pytest.raises(error, match=said):
        attendance.record(bad)
    outcomes = attendance.record_all([bad, sighting("08:00")], now=NOW)
    assert [one.fate for one in outcomes] == ["refused", "punch"]
    assert said in outcomes[0].message


def test_two_people_of_one_name_are_asked_about(attendance):
    attendance.gallery.add_person("Person 1")
    with pytest.raises(PersonError, match="2 people are called 'Person 1': say which"):
        attendance.record(replace(sighting("08:00"), person="Person 1"))


def test_a_hand_may_punch_within_the_gap(attendance):
    attendance.record(sighting("08:00"), now=NOW)
    by_hand = sighting("08:01", source=Reporter.HAND, **WHO)
    assert attendance.record(by_hand, now=NOW).fate == "punch"
    assert attendance.record(by_hand, now=NOW).fate == "repeated"


def test_a_correction_stands_above_and_changes_nothing_below(attendance):
    number = attendance.record(sighting("08:00"), now=NOW).punch
    before = attendance.punch(number)
    moved = attendance.move(number, at=moment("09:00"), direction=Direction.IN, **WHO)
    assert (moved.before.at, moved.after.at, moved.actor) == (before.at, moment("09:00"), "HR")
    voided = attendance.void(number, actor="Boss", reason="wrong person")
    assert (voided.before, voided.after) == (moved.after, None)
    back = attendance.move(number, at=moment("10:00"), **WHO)
    assert back.after.at == moment("10:00")
    assert attendance.punch(number) == before


@pytest.mark.parametrize("blank", [{"actor": " ", "reason": "x"}, {"actor": "x", "reason": ""}])
def test_a_correction_says_who_and_why(attendance, blank):
    number = attendance.record(sighting("08:00"), now=NOW).punch
    for call in (
        lambda: attendance.void(number, **blank),
        lambda: attendance.rule("E-1", MONDAY, Status.LEAVE, **blank),
        lambda: attendance.lock(MONDAY, MONDAY, **blank),
    ):
        with pytest.raises(AttendanceError, match="who does it and why"):
            call()


def test_there_is_no_punch_of_that_number(attendance):
    attendance.rule("E-1", MONDAY, Status.LEAVE, **WHO)
    for number in (1, 7):  # the first row is a ruling
        with pytest.raises(AttendanceError, match=f"there is no punch {number}"):
            attendance.void(number, **WHO)


def test_a_ruling_knows_what_was_ruled_before(attendance):
    first = attendance.rule("E-1", MONDAY, Status.LEAVE, actor="HR", reason="doctor")
    second = attendance.rule("E-1", MONDAY, None, **WHO)
    assert (first.before, first.after.reason, second.before, second.after) == (
        None, "doctor", first.after, None,
    )  # fmt: skip


def test_a_locked_period_is_not_corrected_and_what_comes_late_is_kept(attendance):
    number = attendance.record(sighting("08:00"), now=NOW).punch
    attendance.lock(MONDAY, MONDAY, actor="HR", reason="paid")
    tuesday = moment("2026-03-03 08:00")
    for call in (
        lambda: attendance.void(number, **WHO),
        lambda: attendance.move(number, at=tuesday, **WHO),
        lambda: attendance.rule("E-1", MONDAY, Status.LEAVE, **WHO),
        lambda: attendance.record(sighting("17:00", source=Reporter.HAND, **WHO)),
    ):
        with pytest.raises(AttendanceError, match="2026-03-02 is in a locked period: open"):
            call()
    late = attendance.record(sighting("17:00", source=Reporter.TERMINAL), now=NOW)
    assert (late.fate, late.notes) == ("punch", ("after_lock",))
    attendance.lock(MONDAY, MONDAY, actor="Boss", reason="mistake", locked=False)
    assert attendance.void(number, **WHO).after is None
    other = attendance.record(replace(sighting("08:00"), at=tuesday), now=tuesday).punch
    attendance.lock(MONDAY, MONDAY, actor="HR", reason="paid")
    with pytest.raises(AttendanceError, match="locked"):  # nor moved into it
        attendance.move(other, at=moment("10:00"), **WHO)


def hours(attendance):
    """What E-1 worked on Monday, and how many of its punches are exported."""
    period = (MONDAY, MONDAY)
    one = attendance.gallery.find("E-1").id
    (record,) = days_of(attendance, period, people=[one], now=moment("2026-04-01 00:00"))
    count = export_period(attendance, period, "json").count
    return record.worked / timedelta(hours=1), count


@pytest.mark.parametrize("collects", [True, False])
def test_days_leave_the_collector_as_it_was(attendance, collects, monkeypatch):
    if not collects:
        gc.disable()
    try:
        days_of(attendance, (MONDAY, MONDAY), now=NOW)
        monkeypatch.setattr("visavis.attendance.view.derived", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            days_of(attendance, (MONDAY, MONDAY), now=NOW)
        assert gc.isenabled() == collects
    finally:
        gc.enable()


def test_what_came_after_a_lock_counts_from_when_the_period_was_opened(attendance):
    monday = {"since": MONDAY, "until": MONDAY, "actor": "HR", "reason": "paid"}
    attendance.record(sighting("08:00"), now=NOW)
    attendance.record(sighting("12:00"), now=NOW)
    attendance.lock(**monday)
    assert hours(attendance) == (4.0, 2)
    attendance.record(sighting("13:00", source=Reporter.TERMINAL), now=NOW)
    attendance.record(sighting("17:00", source=Reporter.TERMINAL), now=NOW)
    assert hours(attendance) == (4.0, 2)
    attendance.lock(**monday, locked=False)
    assert hours(attendance) == (8.0, 4)
    attendance.lock(**monday)  # with what was there by then
    assert hours(attendance) == (8.0, 4)


@pytest.mark.slow
def test_a_night_is_locked_with_the_day_of_its_start(attendance):
    attendance.lock(MONDAY, MONDAY, actor="HR", reason="paid")
    night = replace(sighting("08:00"), person="E-3", source=Reporter.HAND, **WHO)
    for clock, locked in (("2026-03-03 05:00", True), ("2026-03-03 22:00", False)):
        one = replace(night, at=moment(clock))
        if locked:
            with pytest.raises(AttendanceError, match="2026-03-02 is in a locked period"):
                attendance.record(one, now=NOW)
        else:
            assert attendance.record(one, now=NOW).fate == "punch"


def test_a_period_begins_before_it_ends(attendance):
    with pytest.raises(AttendanceError, match="expected a period"):
        attendance.lock(MONDAY, MONDAY - timedelta(days=1), **WHO)


def test_rules_are_kept_with_the_gallery(attendance):
    gallery = attendance.gallery
    with pytest.raises(RulesError, match="no rules of attendance are kept here"):
        kept_rules(gallery)
    gallery.delete(gallery.find("E-3").id)
    assert keep_rules(gallery, rules()) == ["E-3"]
    assert kept_rules(gallery) == rules()
    assert gallery.damages() == []


def test_a_camera_that_runs_for_days_hears_of_new_rules_and_new_people(attendance):
    gallery = attendance.gallery
    keep_rules(gallery, rules())
    running = Attendance(gallery)
    assert running.record(sighting("08:00:00"), now=NOW).fate == "punch"
    gallery.add_person("Newcomer", external_id="E-5")
    newcomer = replace(sighting("09:00:00"), person="E-5")
    assert running.record(newcomer, now=NOW).fate == "punch"
    assert running.record(replace(newcomer, at=moment("09:02:00")), now=NOW).fate == "punch"
    keep_rules(gallery, replace(rules(), cooldown=3600))
    assert running.record(replace(newcomer, at=moment("09:04:00")), now=NOW).fate == "seen"


def test_whose_shift_is_on_is_looked_for_first(attendance):
    def expected(clock):
        people = attendance.gallery.people_of(attendance.expected(moment(clock)))
        return sorted(person.external_id for person in people.values())

    assert expected("2026-03-03 09:00") == ["E-1", "E-2", "E-3"]  # the night's window ends at ten
    assert expected("12:30") == ["E-1", "E-2", "E-4"]
    assert expected("2026-03-08 12:00") == []


def test_exported_punches_have_the_wall_of_their_device_or_their_person(attendance, tmp_path):
    york = {"zone": "America/New_York"}
    for who, at, device in (
        ("E-1", moment("08:00"), "door"),
        ("E-1", moment("12:00", **york), "yorkdoor"),
        ("E-4", moment("08:00", **york), "kiosk"),
    ):
        attendance.record(Sighting(who, at, device, source=Reporter.FILE), now=moment("23:00"))
    period = (MONDAY, MONDAY)
    data = export_period(attendance, period, "attlog").data
    assert [line.split(b"\t")[1:3] for line in data.splitlines()] == [
        [b"2026-03-02 08:00:00", b"door"],
        [b"2026-03-02 08:00:00", b"kiosk"],
        [b"2026-03-02 12:00:00", b"yorkdoor"],
    ]
    (tmp_path / "a.dat").write_bytes(data)
    parsed = read_punches(tmp_path / "a.dat", "attlog", "", rules=attendance.rules)
    assert [one.at for one in parsed.sightings if one.device == "yorkdoor"] == [
        moment("12:00", **york)
    ]


@pytest.mark.slow
def test_a_crowd_that_says_the_same_at_once_makes_one_punch(attendance):
    """Eight threads, each with an opening of its own, as of eight processes."""
    where = attendance.gallery.database.path.parent

    def say(_):
        gallery = open_gallery(where)
        try:
            made = Attendance(gallery, rules())
            return [made.record(sighting(f"{hour:02}:00")).fate for hour in range(8, 18)]
        finally:
            gallery.close()

    with ThreadPoolExecutor(8) as pool:
        fates = [fate for own in pool.map(say, range(8)) for fate in own]
    assert (fates.count("punch"), fates.count("repeated")) == (10, 70)
    assert ledger_damages(attendance.ledger) == []
