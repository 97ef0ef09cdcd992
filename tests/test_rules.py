"""The file of rules: read, checked, written again; each fault is named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_attendance import RULES, rules

from visavis.attendance.rules import WEEK, read_rules, rules_bytes
from visavis.errors import RulesError

DAY = b'\n[[assignments]]\nshift = "day"\npeople = ["E-9"]\n'


def test_rules_are_written_and_read_back_equal():
    made = rules()
    assert read_rules(rules_bytes(made), "again") == made


def test_a_group_and_a_person_are_one_roster():
    made = rules(b'\n[[assignments]]\nshift = "night"\npeople = ["E-9", "E-9"]\n')
    rosters = [made.members(one) for one in made.assignments]
    assert rosters == [["E-1", "E-2"], ["E-3"], ["E-4"], ["E-9"]]
    assert made.everybody() == ["E-1", "E-2", "E-3", "E-4", "E-9"]


def test_a_device_has_its_sites_clock():
    made = rules()
    assert [made.device_zone(name) for name in ("door", "yorkdoor", "unheard of")] == [
        "Europe/Berlin",
        "America/New_York",
        "Europe/Berlin",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((b'"Europe/Berlin"', b'"Europe/Berlim"'), "did you mean 'Europe/Berlin'"),
        ((b'"America/New_York"', b'"Mars/Base"'), "site york: no time zone is called 'Mars/Base'"),
        ((b'groups = ["office"]', b"groups = []"), "assignment 1: a roster of nobody"),
        ((b'"E-1", "E-2"]', b"]"), "assignment 1: a roster of nobody"),
        ((b'people = ["E-1", "E-2", "E-3"]', b""), "course maths: a roster of nobody"),
        ((b'["E-3"]', b'[" "]'), "somebody without a name"),
        ((b'groups = ["office"]', b'groups = ["ofice"]'), "no group is called 'ofice'.*office"),
        ((b'shift = "night"', b'shift = "nights"'), "no shift is called 'nights'.*night"),
        ((b'site = "york"', b'site = "rome"'), "no site is called 'rome': known: york"),
        ((b"end = 17:00:00", b"end = 08:00:00"), "shift day: starts and ends at 08:00"),
        ((b"end = 17:00:00", b'end = "17:00Z"'), "shift day: expected wall times"),
        ((b"end = 17:00:00", b'end = "25:00"'), "shifts.day.end"),
        ((b"grace = 5", b"grace = 721"), "expected grace of 0 to 720 minutes, got 721"),
        ((b"half_below = 4", b"half_below = 25"), "expected half_below of 0 to 24 hours"),
        ((b"half_below = 4", b"half_below = nan"), "expected rules|half_below"),
        ((b"grace = 5", b"gracious = 5"), "shifts.day.gracious: Unexpected"),
        ((b"cooldown = 60", b"cooldown = -1"), "expected a cooldown of 0 to 86400 seconds, got -1"),
        ((b"crops = true", b"[retention]\ncrops = 0"), "expected crops of 1 to 36525 days, got 0"),
        ((b"crops = true", b"[retention]\naudit = 9"), "audit would go before the punches"),
        ((b"crops = true", b"[retention]\npunches = 9\naudit = 8"), "audit would go before"),
        ((b"crops = true", b"[retention]\npunches = 9\naudit = 9\nunknowns = 0"), None),
        ((b"until = 2026-03-05", b"until = 2026-03-03"), "leave of E-2: begins on 2026-03-04"),
        ((b'days = ["mon"]', b"days = []"), "course maths: on no day of the week"),
        ((b'people = ["E-3"]', b'people = ["E-1", "E-3"]'), None),  # day and night: no overlap
    ],
)
def test_a_fault_is_named(change, said):
    text = RULES.replace(*change)
    assert text != RULES
    if said is None:
        assert read_rules(text, "rules")
        return
    with pytest.raises(RulesError, match=said) as raised:
        read_rules(text, "rules")
    assert str(raised.value).startswith("rules: ")


@pytest.mark.parametrize("text", [b"zone = ", b"{", b"\xff\xfe", b"[" * 5000, b"{}"])
def test_what_is_no_rules_is_said(text):
    with pytest.raises(RulesError, match="rules"):
        read_rules(text, "rules")


@pytest.mark.parametrize(
    ("times", "days", "period", "overlaps"),
    [
        (("16:00", "20:00"), "mon", "", True),
        (("17:00", "20:00"), "mon", "", False),  # begins where the other ends
        (("16:00", "20:00"), "sat", "", False),
        (("22:00", "09:00"), "sun", "", True),  # into Monday
        (("22:00", "08:00"), "sun", "", False),
        (("16:00", "20:00"), "mon", "until = 2026-01-01", True),
    ],
)
def test_overlapping_shifts_are_refused(times, days, period, overlaps):
    start, end = times
    more = f'{period}\n[shifts.more]\nstart = {start}:00\nend = {end}:00\ndays = ["{days}"]\n'
    extra = DAY + b'\n[[assignments]]\nshift = "more"\npeople = ["E-9"]\n' + more.encode()
    if not overlaps:
        assert rules(extra)
        return
    with pytest.raises(RulesError, match="E-9 would work two shifts at once: day of assignment 4"):
        rules(extra)


def test_shifts_that_follow_one_another_do_not_overlap():
    extra = DAY + b'until = 2026-01-31\n[[assignments]]\nshift = "day"\npeople = ["E-9"]\n'
    with pytest.raises(RulesError, match="two shifts at once"):
        rules(extra)
    assert rules(extra + b"since = 2026-02-01\n")


TIMES = st.integers(0, 24 * 60 - 1)


@settings(max_examples=60, deadline=None)
@given(st.tuples(TIMES, TIMES), st.tuples(TIMES, TIMES), st.sets(st.sampled_from(WEEK), min_size=1),
       st.sets(st.sampled_from(WEEK), min_size=1))  # fmt: skip
def test_an_overlap_is_one_minute_by_minute(one, other, days, more_days):
    """Against every minute of a week, marked by hand."""
    if one[0] == one[1] or other[0] == other[1]:
        return
    taken = []
    for (start, end), on in ((one, days), (other, more_days)):
        begins = [WEEK.index(day) * 1440 + start for day in on]
        taken.append({(b + m) % 10_080 for b in begins for m in range((end - start) % 1440)})
    text = 'zone = "UTC"\n'
    for name, (start, end), on in (("a", one, days), ("b", other, more_days)):
        text += f'[shifts.{name}]\nstart = "{start // 60:02}:{start % 60:02}"\n'
        text += f'end = "{end // 60:02}:{end % 60:02}"\ndays = {sorted(on)}\n'
    text += "".join(f'[[assignments]]\nshift = "{name}"\npeople = ["P"]\n' for name in "ab")
    if taken[0] & taken[1]:
        with pytest.raises(RulesError, match="two shifts at once"):
            read_rules(text.encode(), "rules")
    else:
        assert read_rules(text.encode(), "rules")
