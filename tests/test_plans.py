"""What is due of whom: windows, their middle, leave, holidays, a site's own clock."""

from datetime import date, timedelta

import pytest
from made_attendance import MONDAY, moment, plan

from visavis.attendance.days import derive_days
from visavis.attendance.moments import utc_text


@pytest.mark.parametrize(
    ("person", "start", "end", "opens", "closes"),
    [
        ("E-1", "2026-03-02T07:00:00Z", "2026-03-02T16:00:00Z", "2026-03-02T05:00:00Z",
         "2026-03-02T20:00:00Z"),
        ("E-3", "2026-03-02T21:00:00Z", "2026-03-03T05:00:00Z", "2026-03-02T19:00:00Z",
         "2026-03-03T09:00:00Z"),
        ("E-4", "2026-03-02T13:00:00Z", "2026-03-02T22:00:00Z", "2026-03-02T11:00:00Z",
         "2026-03-03T02:00:00Z"),
    ],
)  # fmt: skip
def test_a_span_is_of_the_sites_clock(person, start, end, opens, closes):
    (span,) = [one for one in plan(person).spans if one.day == MONDAY]
    moments = (span.start, span.end, span.opens, span.closes)
    assert tuple(map(utc_text, moments)) == (start, end, opens, closes)


@pytest.mark.parametrize(
    ("person", "at", "day"),
    [
        ("E-3", "2026-03-03 05:59", MONDAY),
        ("E-3", "2026-03-03 09:59", MONDAY),
        ("E-3", "2026-03-03 10:00", MONDAY + timedelta(days=1)),
        ("E-1", "2026-03-03 05:59", MONDAY + timedelta(days=1)),
        ("E-1", "2026-03-02 23:59", MONDAY),
    ],
)
def test_a_punch_has_a_day(person, at, day):
    assert plan(person, last=MONDAY + timedelta(days=1)).day_at(moment(at)) == day


def test_nothing_is_due_on_leave_and_on_holidays():
    week = plan("E-2", last=date(2026, 3, 6))
    assert [one.day.day for one in week.spans if one.day >= MONDAY] == [2, 3, 6]
    assert week.leave_on(date(2026, 3, 4)).kind == "vacation"
    christmas = plan("E-1", first=date(2026, 12, 24), last=date(2026, 12, 26))
    assert [one.day.day for one in christmas.spans] == [23, 24]


def test_windows_that_meet_part_in_the_middle():
    extra = b"[shifts.late]\nstart = 18:00:00\nend = 20:00:00\n"
    extra += b'[[assignments]]\nshift = "late"\npeople = ["E-1"]\n'
    day, late = [one for one in plan("E-1", extra).spans if one.day == MONDAY]
    assert day.closes == late.opens == moment("17:30")


# Mondays to Wednesdays at home, then in York; a holiday there, and one everywhere.
TWO_SITES = b"""
zone = "Europe/Berlin"
[sites.york]
zone = "America/New_York"
[shifts.home]
start = 08:00:00
end = 17:00:00
days = ["mon", "tue", "wed"]
[shifts.away]
start = 08:00:00
end = 17:00:00
days = ["thu", "fri"]
[[assignments]]
shift = "home"
people = ["E-1"]
[[assignments]]
shift = "away"
people = ["E-1"]
site = "york"
until = 2026-03-06
[[holidays]]
day = 2026-03-03
name = "of York"
sites = ["york"]
[[holidays]]
day = 2026-03-05
name = "of York"
sites = ["york"]
[[holidays]]
day = 2026-03-04
name = "of all"
"""


def test_somebody_with_two_sites_has_each_sites_clock_and_holidays():
    two = plan("E-1", base=TWO_SITES, last=date(2026, 3, 14))
    spans = [(one.day.day, utc_text(one.start)[11:16]) for one in two.spans if one.day >= MONDAY]
    assert spans == [
        (2, "07:00"), (3, "07:00"), (6, "13:00"), (9, "07:00"), (10, "07:00"), (11, "07:00"),
    ]  # fmt: skip
    days = derive_days("E-1", [], two, (MONDAY, date(2026, 3, 9)), moment("2026-04-01 00:00"))
    assert [(one.day.day, one.status.value, one.zone.partition("/")[2]) for one in days] == [
        (2, "absent", "Berlin"), (3, "absent", "Berlin"), (4, "holiday", "New_York"),
        (5, "holiday", "New_York"), (6, "absent", "New_York"), (7, "off", "Berlin"),
        (8, "off", "Berlin"), (9, "absent", "Berlin"),
    ]  # fmt: skip


def test_an_unplanned_punch_has_the_date_of_the_site_of_that_day():
    two = plan("E-1", base=TWO_SITES, last=date(2026, 3, 14))
    late = moment("2026-03-05 23:00", "America/New_York")  # there it is Thursday still
    assert (two.day_at(late), two.day_at(moment("2026-03-14 23:00"))) == (
        date(2026, 3, 5), date(2026, 3, 14),
    )  # fmt: skip
