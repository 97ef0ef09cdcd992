"""Moments and walls: hours that come twice, hours that do not come, days of 23 and 25 hours."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from visavis.attendance.moments import (
    at_wall,
    day_of,
    days_between,
    midnight,
    month_of,
    read_day,
    read_moment,
    utc_text,
    wall_text,
    zone_named,
)
from visavis.errors import AttendanceError, RulesError

BERLIN = zone_named("Europe/Berlin")
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "day", "wall", "expected"),
    [
        ("Europe/Berlin", date(2026, 3, 2), time(8), "2026-03-02T07:00:00Z"),
        ("Europe/Berlin", SPRING, time(2, 30), "2026-03-29T01:30:00Z"),  # shown as 03:30
        ("Europe/Berlin", AUTUMN, time(2, 30), "2026-10-25T00:30:00Z"),  # the first of two
        ("Asia/Kathmandu", date(2026, 3, 2), time(8), "2026-03-02T02:15:00Z"),
        # The clock goes from 24:00 to 01:00: the day begins at one.
        ("America/Santiago", date(2026, 9, 6), time(0), "2026-09-06T04:00:00Z"),
        ("Australia/Lord_Howe", date(2026, 4, 5), time(2), "2026-04-04T15:30:00Z"),
    ],
)
def test_a_wall_time_is_a_moment(zone, day, wall, expected):
    assert utc_text(at_wall(day, wall, zone_named(zone))) == expected


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25), (date(2026, 3, 2), 24)])
def test_a_day_has_its_hours(day, hours):
    length = midnight(day + timedelta(days=1), BERLIN) - midnight(day, BERLIN)
    assert length == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02 08:00", "2026-03-02T07:00:00Z"),
        ("2026-03-02T08:00:09.9+05:45", "2026-03-02T02:15:09Z"),
        ("2026-03-02T08:00:00Z", "2026-03-02T08:00:00Z"),
        ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
    ],
)
def test_a_time_is_read(text, expected):
    assert utc_text(read_moment(text, BERLIN)) == expected


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (
            lambda text: read_moment(text, BERLIN),
            "yesterday",
            "expected a time as 2026-03-02 08:00",
        ),
        (lambda text: read_moment(text, BERLIN), "2026-03-29 02:30", "there is no such time"),
        (lambda text: read_moment(text, BERLIN), "0001-01-01T00:00+14:00", "expected a time"),
        (lambda text: read_moment(text, BERLIN), "2026-03-02", "expected a time"),  # which hour?
        (lambda text: read_moment(text, BERLIN), "9999-12-31 23:59", "expected a time"),
        (read_day, "1969-12-31", "expected a date"),
        (month_of, "9999-12", "expected a month"),
        (read_day, "2026-02-30", "expected a date as 2026-03-02"),
        (month_of, "2026-13", "expected a month as 2026-03"),
    ],
)
def test_what_is_no_time_is_said(read, text, said):
    with pytest.raises(AttendanceError, match=said):
        read(text)


@pytest.mark.parametrize("name", ["Europe/Berlim", "", "../../etc/passwd", "Europe", "Mars/Base"])
def test_a_zone_that_does_not_exist_is_said(name):
    with pytest.raises(RulesError, match="no time zone is called"):
        zone_named(name)


def test_a_misspelt_zone_is_suggested():
    with pytest.raises(RulesError, match="did you mean 'Europe/Berlin'"):
        zone_named("Europe/Berlim")


def test_what_the_wall_shows():
    at = utc("2026-03-01 23:30")
    assert (day_of(at, BERLIN), wall_text(at, BERLIN), wall_text(None, BERLIN)) == (
        date(2026, 3, 2),
        "00:30",
        "",
    )


def test_a_month_has_its_days():
    first, last = month_of("2028-02")
    assert len(days_between(first, last)) == 29
