"""Who should be where, and when: sites, devices, shifts, holidays, leave, courses, as plain data.

One TOML or JSON file, checked when it is read. Knows no punches, no days and no gallery: people
are named here as the file names them.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, time
from enum import StrEnum
from itertools import combinations
from typing import Literal

from visavis.attendance.moments import zone_named
from visavis.document import parse
from visavis.errors import RulesError, did_you_mean

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WORKDAYS = WEEK[:5]
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
EVER, NEVER = date.min, date.max  # of a plan without a first or a last day
MOST_MINUTES = 12 * 60  # of any allowance: a window must not reach into the next day's shift
MOST_DAYS = 36_525  # that anything is kept


class Direction(StrEnum):
    """What a punch says: which way, and why."""

    IN = "in"
    OUT = "out"
    BREAK_OUT = "break_out"
    BREAK_IN = "break_in"
    OVERTIME_IN = "overtime_in"
    OVERTIME_OUT = "overtime_out"

    @property
    def enters(self) -> bool:
        """Whether somebody comes in."""
        return self in ENTERING


ENTERING = frozenset((Direction.IN, Direction.BREAK_IN, Direction.OVERTIME_IN))


@dataclass(frozen=True, slots=True)
class Site:
    """A place with a clock of its own."""

    zone: str  # as "Europe/Berlin"


@dataclass(frozen=True, slots=True)
class Terminal:
    """A camera, a kiosk or a clock on the wall that is known by its name or serial number."""

    site: str = ""  # one of `sites`; empty: the zone of the rules
    direction: Direction | None = None  # of whoever passes it, where it has one
    push: bool = False  # whether it may push its punches by itself
    others: bool = True  # whether who is not expected is looked for, too
    challenge: bool = False  # whether a kiosk asks for movements of the head before a punch


@dataclass(frozen=True, slots=True)
class Shift:
    """Working hours; an end that is not after the start is on the next day."""

    start: time
    end: time
    days: tuple[Weekday, ...] = WORKDAYS  # on which it starts
    early: int = 120  # minutes before the start from which a punch belongs to it
    after: int = 240  # minutes after the end until which a punch belongs to it
    grace: int = 0  # minutes after the start that are not late
    leave_grace: int = 0  # minutes before the end that are not early
    # By what a punch or its device says, else by turns; by turns alone; or first in, last out.
    direction: Literal["declared", "alternating", "first_last"] = "declared"
    hours: Literal["pairs", "first_last"] = "pairs"
    half_below: float = 0.0  # hours: a day of fewer is half a day
    absent_below: float = 0.0  # hours: a day of fewer is none; this one wins
    break_minutes: int = 0  # unpaid, taken off as far as no break was punched
    break_after: float = 6.0  # hours from which it is taken off
    close: Literal["shift_end", "never"] = "shift_end"  # what becomes of a missing out
    close_after: int = 0  # minutes after the window that it stays open
    absent_after: int = 60  # minutes after the window until nobody is called absent

    @property
    def starts(self) -> int:
        """Its start, in minutes after midnight."""
        return self.start.hour * 60 + self.start.minute

    @property
    def minutes(self) -> int:
        """How long it is by the clock on the wall."""
        return (self.end.hour * 60 + self.end.minute - self.starts) % DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Assignment:
    """People who work a shift, from a day to a day."""

    shift: str
    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    since: date = EVER
    until: date = NEVER
    site: str = ""


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day on which no shift starts."""

    day: date
    name: str
    sites: tuple[str, ...] = ()  # empty: everywhere


@dataclass(frozen=True, slots=True)
class Leave:
    """Days that somebody is excused from."""

    person: str
    since: date
    until: date
    kind: str = "leave"


@dataclass(frozen=True, slots=True)
class Course:
    """A class that meets every week, with its roster."""

    start: time
    end: time
    days: tuple[Weekday, ...]
    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    since: date = EVER
    until: date = NEVER
    site: str = ""
    devices: tuple[str, ...] = ()  # whose sightings count; empty: all
    subject: str = ""
    teacher: str = ""
    early: int = 15  # minutes before the start from which a sighting counts
    grace: int = 5  # minutes after the start that are not late
    left_after: int = 10  # minutes unseen after which somebody has left
    absent_after: int = 5  # minutes after the end until nobody is called absent


@dataclass(frozen=True, slots=True)
class Retention:
    """Days for which each class is kept; None: for good."""

    punches: int | None = None
    evidence: int | None = None  # of punches; it goes with its punch at the latest
    crops: int | None = 30  # pictures of faces: of evidence, and of unknown people
    unknowns: int = 30  # sightings of people whom nobody knows; 0: none are kept
    audit: int | None = None  # corrections, rulings, locks: not before the punches they are about


@dataclass(frozen=True, slots=True)
class Rules:
    """All of it."""

    zone: str  # of everything that has no site
    sites: Mapping[str, Site] = field(default_factory=dict)
    devices: Mapping[str, Terminal] = field(default_factory=dict)
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    assignments: tuple[Assignment, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    leave: tuple[Leave, ...] = ()
    courses: Mapping[str, Course] = field(default_factory=dict)
    cooldown: int = 60  # seconds in which a device sees a person once
    gap: int = 120  # seconds in which nobody turns round, nor passes two devices
    clock_tolerance: int = 60  # seconds that a device's clock may be off unsaid
    crops: bool = False  # whether pictures of faces are kept: as evidence, and of unknown people
    retention: Retention = Retention()

    def zone_of(self, site: str) -> str:
        """The zone of a site's clocks."""
        return self.sites[site].zone if site else self.zone

    def device_zone(self, device: str) -> str:
        """The zone of a device's clock; of one that is not known, that of the rules."""
        terminal = self.devices.get(device)
        return self.zone_of(terminal.site) if terminal else self.zone

    def members(self, rule: Assignment | Course) -> list[str]:
        """The people of an assignment or a course, each once, in order."""
        grouped = (person for group in rule.groups for person in self.groups[group])
        return list(dict.fromkeys((*rule.people, *grouped)))

    def everybody(self) -> list[str]:
        """Everybody whom the rules name, each once, in order."""
        rules: list[Assignment | Course] = [*self.assignments, *self.courses.values()]
        rosters = (self.members(rule) for rule in rules)
        named = (person for roster in rosters for person in roster)
        return list(dict.fromkeys((*named, *(leave.person for leave in self.leave))))


def read_rules(data: bytes, where: str) -> Rules:
    """Rules from a TOML or JSON document. Raises RulesError, which names the field or the rule."""
    try:
        text = data.decode("utf-8-sig")
        is_json = text.lstrip().startswith("{")
        document = json.loads(text) if is_json else tomllib.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RulesError(f"{where}: expected rules in TOML or JSON, in UTF-8: {error}") from error
    # Of TOML's own dates and times.
    rules = parse(Rules, json.dumps(document, default=str).encode(), where, RulesError)
    try:
        check_rules(rules)
    except RulesError as error:
        raise error.at(where) from error
    return rules


def rules_bytes(rules: Rules) -> bytes:
    """Rules as a JSON document, which `read_rules` reads."""
    text = json.dumps(asdict(rules), indent=1, ensure_ascii=False, default=str)
    return (text + "\n").encode()


def check_rules(rules: Rules) -> None:
    """Raise RulesError where rules contradict each other, or name what is not there."""
    _check_zones(rules)
    _check_retention(rules.retention)
    for name, shift in rules.shifts.items():
        _check_times(f"shift {name}", shift)
    for name, course in rules.courses.items():
        _check_times(f"course {name}", course)
        _check_known(f"course {name}", "device", course.devices, rules.devices)
        _check_roster(f"course {name}", rules, course)
    for number, one in enumerate(rules.assignments, 1):
        where = f"assignment {number}"
        _check_known(where, "shift", [one.shift], rules.shifts)
        _check_roster(where, rules, one)
    for leave in rules.leave:
        _check_period(f"leave of {leave.person}", leave.since, leave.until)
    for holiday in rules.holidays:
        _check_known(f"holiday {holiday.name}", "site", holiday.sites, rules.sites)
    _check_overlaps(rules)


def _check_zones(rules: Rules) -> None:
    zone_named(rules.zone)
    for name, site in rules.sites.items():
        try:
            zone_named(site.zone)
        except RulesError as error:
            raise error.at(f"site {name}") from error
    for name, terminal in rules.devices.items():
        _check_known(
            f"device {name}", "site", [terminal.site] if terminal.site else [], rules.sites
        )
    for name in ("cooldown", "gap", "clock_tolerance"):
        if not 0 <= getattr(rules, name) <= DAY_MINUTES * 60:
            raise RulesError(f"expected a {name} of 0 to 86400 seconds, got {getattr(rules, name)}")


def _check_retention(retention: Retention) -> None:
    for name, days in asdict(retention).items():
        least = 0 if name == "unknowns" else 1
        if days is not None and not least <= days <= MOST_DAYS:
            raise RulesError(
                f"retention: expected {name} of {least} to {MOST_DAYS} days, got {days}"
            )
    if retention.audit is not None and (
        retention.punches is None or retention.audit < retention.punches
    ):
        raise RulesError(
            "retention: audit would go before the punches that it is about, and what was corrected "
            "would count as it was before",
            mend="keep audit for as long as punches, or longer",
        )


def _check_times(where: str, rule: Shift | Course) -> None:
    if rule.start.tzinfo or rule.end.tzinfo or rule.start.second or rule.end.second:
        raise RulesError(f"{where}: expected wall times as 08:30, in minutes and without a zone")
    if rule.start == rule.end:
        raise RulesError(f"{where}: starts and ends at {rule.start:%H:%M}, so it has no length")
    if not rule.days:
        raise RulesError(f"{where}: on no day of the week")
    allowances = [name for name in ("early", "after", "grace", "leave_grace", "close_after",
                                    "absent_after", "break_minutes", "left_after")
                  if not 0 <= getattr(rule, name, 0) <= MOST_MINUTES]  # fmt: skip
    hours = [
        name
        for name in ("half_below", "absent_below", "break_after")
        if not 0 <= getattr(rule, name, 0) <= 24
    ]
    if allowances or hours:
        unit = f"0 to {MOST_MINUTES} minutes" if allowances else "0 to 24 hours"
        name = (allowances or hours)[0]
        raise RulesError(f"{where}: expected {name} of {unit}, got {getattr(rule, name)}")


def _check_roster(where: str, rules: Rules, rule: Assignment | Course) -> None:
    _check_known(where, "group", rule.groups, rules.groups)
    _check_known(where, "site", [rule.site or None], rules.sites)
    _check_period(where, rule.since, rule.until)
    members = rules.members(rule)
    if not members:
        raise RulesError(f"{where}: a roster of nobody", mend="name people or groups, or remove it")
    if not all(member.strip() for member in members):
        raise RulesError(f"{where}: names somebody without a name")


def _check_period(where: str, since: date, until: date) -> None:
    if since > until:
        raise RulesError(f"{where}: begins on {since}, after it ends on {until}")


def _check_known(
    where: str, kind: str, names: Iterable[str | None], known: Mapping[str, object]
) -> None:
    for name in names:
        if name is not None and name not in known:
            mend = did_you_mean(name, known) or f"known: {', '.join(known) or 'none'}"
            raise RulesError(f"{where}: no {kind} is called {name!r}", mend=mend)


def _check_overlaps(rules: Rules) -> None:
    """Raise RulesError where somebody would work two shifts at once."""
    assigned: dict[str, list[tuple[int, Assignment]]] = {}
    for number, one in enumerate(rules.assignments, 1):
        for person in rules.members(one):
            assigned.setdefault(person, []).append((number, one))
    checked: set[tuple[int, int]] = set()
    for person, own in assigned.items():
        for (first, one), (second, other) in combinations(own, 2):
            if (first, second) not in checked and _overlap(rules, one, other):
                raise RulesError(
                    f"{person} would work two shifts at once: {one.shift} of assignment {first} "
                    f"and {other.shift} of assignment {second}",
                    mend="let one end (until) before the other begins (since)",
                )
            checked.add((first, second))


def _overlap(rules: Rules, one: Assignment, other: Assignment) -> bool:
    if max(one.since, other.since) > min(one.until, other.until):
        return False
    others = list(_minutes(rules.shifts[other.shift]))
    return any(
        (start - begin) % WEEK_MINUTES < length or (begin - start) % WEEK_MINUTES < minutes
        for start, minutes in _minutes(rules.shifts[one.shift])
        for begin, length in others
    )


def _minutes(shift: Shift) -> Iterator[tuple[int, int]]:
    """Each time in a week that a shift starts, in minutes, and how long it is."""
    for day in shift.days:
        yield WEEK.index(day) * DAY_MINUTES + shift.starts, shift.minutes
