"""Days worked out by hand, and against a calendar that counts every minute."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_attendance import MONDAY, RULES, marks, moment, plan

from visavis.attendance.days import (
    Mark,
    Ruling,
    Status,
    derive_days,
    inside_now,
)
from visavis.attendance.moments import midnight
from visavis.attendance.plans import Plans
from visavis.attendance.rules import read_rules

AFTER = moment("2026-03-09 00:00")  # every window of that week's Monday has closed
OPTIONS = {
    "first_last": b'direction = "first_last"',
    "alternating": b'direction = "alternating"',
    "between": b'hours = "first_last"',
    "break": b"break_minutes = 30",
    "break between": b'hours = "first_last"\nbreak_minutes = 30',
    "never": b'close = "never"',
}


def minutes(length):
    return int(length.total_seconds() // 60)


def day_of(person, made, *, now=AFTER, option=None, day=MONDAY, **more):
    extra = OPTIONS[option] if option else b""
    base = RULES.replace(b"half_below = 4", extra + b"\nhalf_below = 4")
    made_plan = plan(person, base=base, first=day)
    (record,) = derive_days(person, made, made_plan, (day, day), now, **more)
    return record


@pytest.mark.parametrize(
    ("option", "times", "status", "worked", "late", "early", "notes"),
    [
        (None, ["08:00", "17:00"], "present", 540, 0, 0, ""),
        (None, ["08:05", "16:55"], "present", 530, 0, 0, ""),  # within the grace
        (None, ["08:06", "16:54"], "present", 528, 6, 6, ""),
        (None, ["06:30", "20:30"], "present", 840, 0, 0, ""),  # the window's first and last hour
        (None, ["08:00 in", "12:00 break_out", "13:00 break_in", "17:00 out"], "present", 480, 0,
         0, ""),
        (None, ["08:00", "11:59"], "half", 239, 0, 301, ""),
        (None, ["08:00", "12:00"], "present", 240, 0, 300, ""),
        (None, ["08:00", "08:59"], "absent", 59, 0, 481, ""),  # absent wins
        (None, ["08:00 in"], "present", 540, 0, 0, "auto_closed"),
        (None, ["18:00 in"], "absent", 0, 600, 0, "auto_closed"),  # closed where it began
        ("never", ["08:00 in"], "open", 0, 0, 0, ""),
        ("never", ["08:00", "12:00", "13:00"], "open", 240, 0, 0, ""),
        (None, ["17:00 out"], "open", 0, 0, 0, "missing_in"),
        (None, ["08:00 in", "12:00 out", "17:00 out"], "present", 240, 0, 300, "missing_in"),
        (None, ["08:00 in", "08:10 in", "17:00 out"], "present", 540, 0, 0, "doubled_in"),
        # The wrong button: by turns, or by the first and the last.
        ("alternating", ["08:00 in", "17:00 in"], "present", 540, 0, 0, ""),
        ("first_last", ["08:00 in", "12:00 in", "17:00 in"], "present", 540, 0, 0, ""),
        ("first_last", ["08:00 out"], "present", 540, 0, 0, "auto_closed"),
        ("between", ["08:00", "12:00", "13:00", "17:00"], "present", 540, 0, 0, ""),
        ("break", ["08:00", "17:00"], "present", 510, 0, 0, ""),
        ("break", ["08:00", "12:00", "12:10", "17:00"], "present", 510, 0, 0, ""),  # 10 were taken
        ("break", ["08:00", "12:00", "13:00", "17:00"], "present", 480, 0, 0, ""),
        ("break", ["08:00", "13:59"], "present", 359, 0, 181, ""),  # too short a day for one
        ("break between", ["08:00", "12:00", "13:00", "17:00"], "present", 510, 0, 0, ""),
    ],
)  # fmt: skip
def test_a_day(option, times, status, worked, late, early, notes):
    record = day_of("E-1", marks(*times), option=option)
    assert (record.status, minutes(record.worked)) == (status, worked)
    assert (minutes(record.late), minutes(record.early)) == (late, early)
    assert " ".join(record.notes) == notes
    assert record.punches == tuple(range(1, len(times) + 1))


@pytest.mark.parametrize(
    ("now", "times", "status"),
    [
        ("06:00", [], "pending"),
        ("12:00", [], "pending"),
        ("21:00", [], "pending"),  # the window has closed, the hour after it has not
        ("21:59", [], "pending"),
        ("22:00", [], "absent"),
        ("12:00", ["08:00"], "open"),
        ("20:59", ["08:00"], "open"),
        ("21:00", ["08:00"], "present"),  # closed by rule
    ],
)
def test_nobody_is_absent_before_the_window_has_closed(now, times, status):
    assert day_of("E-1", marks(*times), now=moment(now)).status == status


@pytest.mark.parametrize(
    ("person", "day", "status", "reason"),
    [
        ("E-1", date(2026, 3, 7), "off", ""),  # a Saturday
        ("E-1", date(2026, 12, 25), "holiday", "Christmas"),
        ("E-2", date(2026, 3, 4), "leave", "vacation"),
        ("E-2", date(2026, 3, 6), "absent", ""),
        ("nobody", MONDAY, "off", ""),
    ],
)
def test_a_day_without_punches(person, day, status, reason):
    record = day_of(person, [], day=day, now=moment("2027-01-01 00:00"))
    assert (record.status, record.reason) == (status, reason)


def test_work_on_a_free_day_is_counted_and_never_closed_by_rule():
    saturday = date(2026, 3, 7)
    both = day_of("E-1", marks(f"{saturday} 10:00", f"{saturday} 12:00"), day=saturday)
    assert (both.status, minutes(both.worked), both.shift) == ("off", 120, "")
    one = day_of("E-1", marks(f"{saturday} 10:00"), day=saturday)
    assert (one.status, minutes(one.worked)) == ("open", 0)


def test_a_night_is_one_day_that_of_its_start():
    made = marks("2026-03-02 21:58", "2026-03-03 06:02", "2026-03-03 21:59", "2026-03-04 06:00")
    tuesday = MONDAY + timedelta(days=1)
    records = derive_days("E-3", made, plan("E-3", last=tuesday), (MONDAY, tuesday), AFTER)
    assert [(one.day, minutes(one.worked), one.punches) for one in records] == [
        (MONDAY, 484, (1, 2)),
        (tuesday, 481, (3, 4)),
    ]


@pytest.mark.parametrize(
    ("day", "worked"), [("2026-03-28", 420), ("2026-03-27", 480), ("2026-10-24", 540)]
)
def test_a_night_has_the_hours_that_passed(day, worked):
    """Over the skipped hour seven, over the doubled one nine."""
    first = date.fromisoformat(day)
    morning = first + timedelta(days=1)
    base = b'zone = "Europe/Berlin"\n[shifts.n]\nstart = 22:00:00\nend = 06:00:00\ndays = '
    base += b'["fri", "sat"]\n[[assignments]]\nshift = "n"\npeople = ["N"]\n'
    made = marks(f"{day} 22:00", f"{morning} 06:00")
    now = moment("2027-01-01 00:00")
    (record,) = derive_days("N", made, plan("N", base=base, first=first), (first, first), now)
    assert (minutes(record.worked), record.status) == (worked, "present")


def test_two_shifts_a_day_part_their_windows_in_the_middle():
    base = b'zone = "UTC"\n'
    for name, start, end in (("am", "08", "12"), ("pm", "13", "17")):
        base += f"[shifts.{name}]\nstart = {start}:00:00\nend = {end}:00:00\n".encode()
        base += f'[[assignments]]\nshift = "{name}"\npeople = ["P"]\n'.encode()
    made = marks("08:00", "12:29", "12:31", "17:00", zone="UTC")
    records = derive_days("P", made, plan("P", base=base), (MONDAY, MONDAY), AFTER)
    assert [(one.shift, one.punches) for one in records] == [("am", (1, 2)), ("pm", (3, 4))]


def test_what_somebody_said_a_day_was_stands_above_its_punches():
    ruling = Ruling(Status.LEAVE, "doctor")
    record = day_of("E-1", marks("09:00", "17:00"), rulings={MONDAY: ruling})
    assert (record.status, record.reason, record.notes) == ("leave", "doctor", ("corrected",))
    assert (minutes(record.worked), minutes(record.late), record.punches) == (480, 0, (1, 2))


@pytest.mark.parametrize(
    ("person", "times", "now", "since", "seen"),
    [
        ("E-1", ["08:00"], "12:00", "08:00", "08:00"),
        ("E-1", ["08:00", "12:00"], "12:30", None, None),
        ("E-1", ["08:00", "12:00", "13:00"], "14:00", "13:00", "13:00"),
        ("E-1", ["08:00", "12:00"], "11:00", "08:00", "08:00"),  # the out is not yet known
        ("E-1", ["08:00"], "22:00", None, None),  # the window has closed
        ("E-3", ["2026-03-02 22:00"], "2026-03-03 02:00", "2026-03-02 22:00", "2026-03-02 22:00"),
        ("nobody", ["08:00"], "23:00", "08:00", "08:00"),
        ("nobody", ["08:00"], "2026-03-03 00:30", None, None),
        ("E-1", [], "12:00", None, None),
    ],
)
def test_who_is_in_the_building(person, times, now, since, seen):
    inside = inside_now(person, marks(*times), plan(person), moment(now))
    got = (inside.since, inside.seen) if inside else (None, None)
    assert got == (since and moment(since), seen and moment(seen))


def test_a_sighting_without_a_punch_says_when_somebody_was_seen_last():
    made, now = marks("08:00"), moment("12:00")
    assert inside_now("E-1", made, plan("E-1"), now, moment("11:00")).seen == moment("11:00")


# Against every minute: what the wall shows is looked up, and never computed.

ZONES = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/Santiago": (date(2026, 9, 6), date(2026, 4, 5)),  # around midnight
    "Australia/Lord_Howe": (date(2026, 10, 4), date(2026, 4, 5)),  # by half an hour
}
AROUND = [(zone, day) for zone, days in ZONES.items() for day in days]
SHIFTS = [(8 * 60, 16 * 60 + 30), (22 * 60, 6 * 60), (23 * 60 + 30, 3 * 60 + 15), (30, 23 * 60)]


@cache
def walls(zone: str, middle: date) -> list[tuple[datetime, date, int]]:
    """Every minute of seven days: the moment, and the date and minute that the wall shows."""
    start = datetime.combine(middle - timedelta(days=3), time(), UTC) - timedelta(hours=14)
    shown = ZoneInfo(zone)
    calendar = []
    for number in range(8 * 24 * 60):
        at = start + timedelta(minutes=number)
        wall = at.astimezone(shown)
        calendar.append((at, wall.date(), wall.hour * 60 + wall.minute))
    return calendar


def shown_at(calendar, day, minute) -> datetime:
    """The first moment at which the wall shows it; where it never does, what follows the last one
    before by as many minutes.
    """
    before = None
    for at, date_, wall in calendar:
        if (date_, wall) == (day, minute):
            return at
        if date_ == day and wall < minute and (before is None or wall > before[1]):
            before = at, wall
        if date_ < day and minute < 60:
            before = at, -1  # a day that begins late
    return before[0] + timedelta(minutes=minute - before[1])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(AROUND),
    st.sampled_from(SHIFTS),
    st.lists(st.integers(0, 4 * 24 * 60), min_size=0, max_size=9, unique=True),
)
def test_days_are_what_a_calendar_of_minutes_says(around, shift, offsets):
    check_days(around, shift, offsets)


def test_the_calendar_check_can_fail(monkeypatch):
    """Where a day's hours are counted from midnight, eight o'clock is nine when an hour is lost."""
    eight = (AROUND[0], SHIFTS[0], [(24 + 7) * 60])
    check_days(*eight)
    monkeypatch.setattr(
        "visavis.attendance.plans.at_wall",
        lambda day, wall, zone: (
            midnight(day, zone) + timedelta(hours=wall.hour, minutes=wall.minute)
        ),
    )
    with pytest.raises(AssertionError):
        check_days(*eight)


def check_days(around, shift, offsets):
    zone, middle = around
    calendar = walls(zone, middle)
    first, last = middle - timedelta(days=1), middle + timedelta(days=1)
    begins = shown_at(calendar, first, 12 * 60) - timedelta(hours=12)
    made = [
        Mark(begins + timedelta(minutes=offset), None, number, "door")
        for number, offset in enumerate(sorted(offsets), 1)
    ]
    start, end = shift
    text = f'zone = "{zone}"\n[shifts.s]\nstart = "{start // 60:02}:{start % 60:02}"\n'
    text += f'end = "{end // 60:02}:{end % 60:02}"\nearly = 0\nafter = 15\ndirection = '
    text += '"alternating"\ndays = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]\n'
    text += 'close = "never"\n[[assignments]]\nshift = "s"\npeople = ["P"]\n'
    made_plan = Plans(read_rules(text.encode(), "rules"), first, last).of("P")
    now = calendar[-1][0]
    records = derive_days("P", made, made_plan, (first, last), now)

    expected = {}
    windows = []
    for number in range(-1, 4):
        day = first + timedelta(days=number)
        over = day if end > start else day + timedelta(days=1)
        opens = shown_at(calendar, day, start)
        windows.append((opens, shown_at(calendar, over, end) + timedelta(minutes=15), day))
    for mark in made:
        date_ = next(date_ for at, date_, _ in calendar if at == mark.at)
        own = [day for opens, closes, day in windows if opens <= mark.at < closes]
        assert len(own) <= 1
        expected.setdefault(("s", own[0]) if own else ("", date_), []).append(mark)
    got = {(one.shift, one.day): one for one in records if one.punches}
    inner = {key: of for key, of in expected.items() if first <= key[1] <= last}
    assert {key: one.punches for key, one in got.items()} == {
        key: tuple(mark.punch for mark in of) for key, of in inner.items()
    }
    for key, of in inner.items():
        ins, outs = of[::2], of[1::2]
        worked = sum(
            1
            for at, _, _ in calendar
            if any(i.at <= at < o.at for i, o in zip(ins, outs, strict=False))
        )
        assert minutes(got[key].worked) == worked
        assert (got[key].status == "open") == (len(ins) > len(outs))
