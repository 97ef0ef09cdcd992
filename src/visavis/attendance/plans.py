"""From rules to what is due: each person's shifts on each day, as moments in UTC.

A shift's day is the date on which it starts. Its window takes in the punches before and after it;
where two windows of one person meet, each reaches to the middle between the shifts. Knows no
punches.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from visavis.attendance.moments import DAY, at_wall, zone_named
from visavis.attendance.rules import WEEK, Assignment, Leave, Rules, Shift


@dataclass(frozen=True, slots=True)
class Span:
    """A shift on one day: when it starts and ends, and which punches are its own."""

    day: date
    name: str
    shift: Shift
    start: datetime  # UTC, as all that follow
    end: datetime
    opens: datetime
    closes: datetime
    zone: ZoneInfo  # of its site


@dataclass(frozen=True, slots=True)
class Plan:
    """What is due of somebody in a period."""

    zone: ZoneInfo  # of a day on which nobody is assigned to a site
    spans: tuple[Span, ...] = ()  # in order; their windows do not meet
    holidays: Mapping[date, str] | None = None
    leave: Sequence[Leave] = ()
    sites: Sequence[tuple[date, date, ZoneInfo]] = ()  # from a day to a day, at a site

    def zone_on(self, day: date) -> ZoneInfo:
        """The zone of somebody's site on a day; of several, the one that the rules name last."""
        zones = [zone for since, until, zone in self.sites if since <= day <= until]
        return zones[-1] if zones else self.zone

    def span_at(self, at: datetime) -> Span | None:
        """The span in whose window a moment is."""
        place = bisect_right(self.spans, at, key=_opens) - 1
        return self.spans[place] if place >= 0 and at < self.spans[place].closes else None

    def day_at(self, at: datetime) -> date:
        """The day to which a punch belongs: its shift's, or the date on the wall."""
        span = self.span_at(at)
        return span.day if span else self.date_at(at)

    def date_at(self, at: datetime) -> date:
        """The date on the wall of somebody's site."""
        return at.astimezone(self.zone_on(at.astimezone(self.zone).date())).date()

    def leave_on(self, day: date) -> Leave | None:
        """What somebody is excused by on a day."""
        return next((one for one in self.leave if one.since <= day <= one.until), None)


class Plans:
    """Everybody's plans for a period; those who work the same share their spans."""

    def __init__(self, rules: Rules, first: date, last: date) -> None:
        self.rules, self.first, self.last = rules, first, last
        self._assigned: dict[str, list[int]] = {}
        for number, one in enumerate(rules.assignments):
            for person in rules.members(one):
                self._assigned.setdefault(person, []).append(number)
        self._leave: dict[str, list[Leave]] = {}
        for leave in rules.leave:
            self._leave.setdefault(leave.person, []).append(leave)
        self._shared: dict[tuple[int, ...], Plan] = {}
        self._holidays = {
            (one.day, site): one.name for one in rules.holidays for site in one.sites or ("",)
        }

    def of(self, person: str) -> Plan:
        """A person's plan, by the name that the rules use."""
        pattern = tuple(self._assigned.get(person, ()))
        if pattern not in self._shared:
            self._shared[pattern] = self._plan([self.rules.assignments[n] for n in pattern])
        shared, leave = self._shared[pattern], self._leave.get(person)
        if not leave:
            return shared
        spans = tuple(
            span
            for span in shared.spans
            if not any(one.since <= span.day <= one.until for one in leave)
        )
        return Plan(shared.zone, spans, shared.holidays, leave, shared.sites)

    def _plan(self, assignments: Sequence[Assignment]) -> Plan:
        # A day more on each side: a shift over midnight, and windows that meet.
        day, last = self.first - DAY, self.last + DAY
        spans: list[Span] = []
        while day <= last:
            spans += [
                _span(day, one.shift, self.rules.shifts[one.shift], self._zone(one.site))
                for one in assignments
                if one.since <= day <= one.until
                and WEEK[day.weekday()] in self.rules.shifts[one.shift].days
                and self._holiday(day, one.site) is None
            ]
            day += DAY
        sites = [(one.since, one.until, self._zone(one.site)) for one in assignments]
        zone = sites[-1][-1] if sites else self._zone("")
        return Plan(zone, tuple(_apart(spans)), self._free(assignments), sites=sites)

    def _free(self, assignments: Sequence[Assignment]) -> dict[date, str]:
        """The holidays of all sites that somebody is assigned to on those days."""
        return {
            one.day: one.name
            for one in self.rules.holidays
            if not one.sites
            or any(
                each.site in one.sites
                for each in assignments
                if each.since <= one.day <= each.until
            )
        }

    def _holiday(self, day: date, site: str) -> str | None:
        """The holiday of a site on a day."""
        return self._holidays.get((day, "")) or self._holidays.get((day, site))

    def _zone(self, site: str) -> ZoneInfo:
        return zone_named(self.rules.zone_of(site))


def _span(day: date, name: str, shift: Shift, zone: ZoneInfo) -> Span:
    start = at_wall(day, shift.start, zone)
    end = at_wall(day if shift.end > shift.start else day + DAY, shift.end, zone)
    opens, closes = start - timedelta(minutes=shift.early), end + timedelta(minutes=shift.after)
    return Span(day, name, shift, start, end, opens, closes, zone)


def _apart(spans: list[Span]) -> list[Span]:
    """The spans in order, windows that meet parted in the middle between the shifts."""
    spans.sort(key=lambda span: span.start)
    for place in range(1, len(spans)):
        before, after = spans[place - 1], spans[place]
        if before.closes > after.opens:
            middle = before.end + (after.start - before.end) / 2
            middle = min(max(middle, after.opens), before.closes)
            spans[place - 1] = _window(before, before.opens, middle)
            spans[place] = _window(after, middle, after.closes)
    return spans


def _window(span: Span, opens: datetime, closes: datetime) -> Span:
    return replace(span, opens=opens, closes=closes)


def _opens(span: Span) -> datetime:
    return span.opens
