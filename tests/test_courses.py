"""Classes: present, late, left and back again, absent, excused."""

import pytest
from made_attendance import MONDAY, moment, rules

from visavis.attendance.courses import Seen, meetings_of, roll

ROSTER = ["E-1"]


def seen(*texts):
    """Sightings as "10:00-10:20"."""
    ranges = [text.split("-") for text in texts]
    return [Seen(moment(first), moment(last), "room 1") for first, last in ranges]


@pytest.mark.parametrize(
    ("sightings", "now", "status", "late"),
    [
        ([], "10:30", "pending", 0),
        ([], "11:04", "pending", 0),
        ([], "11:05", "absent", 0),
        (["09:50-10:59"], "11:30", "present", 0),
        (["10:05-10:59"], "11:30", "present", 5),
        (["10:06-10:59"], "11:30", "late", 6),
        (["10:00-10:10"], "10:20", "present", 0),
        (["10:00-10:10"], "10:21", "left", 0),
        (["10:00-10:10", "10:40-10:45"], "10:46", "present", 0),  # and came back
        (["10:06-10:10", "10:40-10:45"], "10:46", "late", 6),
        (["10:00-10:50"], "11:30", "present", 0),  # ten minutes before the end are allowed
        (["10:00-10:49"], "11:30", "left", 0),
        (["09:00-09:44"], "11:30", "absent", 0),  # of the class before
        (["11:00-11:20"], "11:30", "absent", 0),  # of the class after
        (["10:40-10:50"], "10:30", "pending", 0),  # not yet
        (["09:00-11:30"], "12:00", "present", 0),  # all morning
    ],
)
def test_what_a_class_was(sightings, now, status, late):
    (meeting,) = meetings_of(rules(), MONDAY)
    (one,) = roll(meeting, ROSTER, {"E-1": seen(*sightings)}, moment(now))
    assert (one.status, one.late.total_seconds() / 60) == (status, late)


def test_who_is_excused_is_so_even_where_seen():
    (meeting,) = meetings_of(rules(), MONDAY)
    sightings = {"E-2": seen("10:00-10:59")}
    attendees = roll(meeting, ["E-1", "E-2"], sightings, moment("12:00"), ["E-2"])
    assert [one.status for one in attendees] == ["absent", "excused"]


def test_only_the_devices_of_the_course_count():
    extra = b'\n[courses.art]\nstart = 10:00:00\nend = 11:00:00\ndays = ["mon"]\n'
    extra += b'people = ["E-1"]\ndevices = ["door"]\n'
    art, maths = meetings_of(rules(extra), MONDAY)
    sightings = {"E-1": seen("10:00-10:59")}
    told = [roll(one, ROSTER, sightings, moment("12:00"))[0].status for one in (art, maths)]
    assert (art.course, maths.course, told) == ("art", "maths", ["absent", "present"])


def test_a_course_meets_on_its_days():
    assert meetings_of(rules(), MONDAY.replace(day=3)) == []
