"""Classes and their rosters: who is there, late, gone, or does not come. Pure, derived anew.

Who was not seen for a while has left, and is there again with the next sighting. Knows no punches'
directions: a class is entered by being seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from visavis.attendance.moments import DAY, at_wall, zone_named
from visavis.attendance.rules import WEEK, Course, Rules


class Attended(StrEnum):
    """What a class was for somebody of its roster."""

    PRESENT = "present"
    LATE = "late"
    LEFT = "left"
    ABSENT = "absent"
    EXCUSED = "excused"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Meeting:
    """A course on one day."""

    course: str
    day: date
    start: datetime  # UTC
    end: datetime
    opens: datetime
    rule: Course


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody seen by a device from a moment to a moment."""

    first: datetime
    last: datetime
    device: str = ""


@dataclass(frozen=True, slots=True)
class Attendee:
    """Somebody of a roster, and what the class was for them."""

    person: str
    status: Attended
    first: datetime | None = None
    last: datetime | None = None
    late: timedelta = timedelta()


def meetings_of(rules: Rules, day: date) -> list[Meeting]:
    """The classes that begin on a day, in order."""
    meetings = []
    for name, rule in rules.courses.items():
        if rule.since <= day <= rule.until and WEEK[day.weekday()] in rule.days:
            zone = zone_named(rules.zone_of(rule.site))
            start = at_wall(day, rule.start, zone)
            end = at_wall(day if rule.end > rule.start else day + DAY, rule.end, zone)
            opens = start - timedelta(minutes=rule.early)
            meetings.append(Meeting(name, day, start, end, opens, rule))
    return sorted(meetings, key=lambda meeting: (meeting.start, meeting.course))


def open_at(rules: Rules, at: datetime) -> list[Course]:
    """The classes whose sightings count at a moment."""
    # What is today in UTC may be the day before or after in a zone.
    days = (at.date() - DAY, at.date(), at.date() + DAY)
    meetings = (one for day in days for one in meetings_of(rules, day))
    return [one.rule for one in meetings if one.opens <= at < one.end]


def roll(
    meeting: Meeting,
    roster: Iterable[str],
    seen: Mapping[str, Sequence[Seen]],
    now: datetime,
    excused: Iterable[str] = (),
) -> list[Attendee]:
    """The roster, each with what the class was for them as far as `now` knows."""
    without = frozenset(excused)
    return [
        Attendee(person, Attended.EXCUSED)
        if person in without
        else _attendee(person, meeting, seen.get(person, ()), now)
        for person in roster
    ]


def _attendee(person: str, meeting: Meeting, seen: Iterable[Seen], now: datetime) -> Attendee:
    rule = meeting.rule
    own = [
        one
        for one in seen
        if one.first < meeting.end
        and one.last >= meeting.opens
        and one.first <= now
        and (not rule.devices or one.device in rule.devices)
    ]
    if not own:
        over = now >= meeting.end + timedelta(minutes=rule.absent_after)
        return Attendee(person, Attended.ABSENT if over else Attended.PENDING)
    first, last = min(one.first for one in own), min(max(one.last for one in own), now)
    late = max(first - meeting.start, timedelta())
    patience = timedelta(minutes=rule.left_after)
    if min(now, meeting.end) - last > patience:
        status = Attended.LEFT
    else:
        status = Attended.LATE if late > timedelta(minutes=rule.grace) else Attended.PRESENT
    return Attendee(person, status, first, last, late)
