"""Moments in UTC and what clocks on the wall say of them. Knows zones, and nothing of people.

All that is counted is counted in UTC: on the day when an hour comes twice, two moments have one
wall time, and a duration computed from wall times would be an hour off.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from visavis.errors import AttendanceError, RulesError, did_you_mean

_Day = TypeVar("_Day", bound=date)
FIRST_YEAR, LAST_YEAR = 1970, 2999  # of what can be asked and said
DAY = timedelta(days=1)
MIDNIGHT = time()


@cache
def zone_named(name: str) -> ZoneInfo:
    """A zone by its name, as "Europe/Berlin". Raises RulesError for one that is not there."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = available_timezones()
        mend = did_you_mean(name, known) if known else "pip install '.[attendance]' brings tzdata"
        raise RulesError(
            f"no time zone is called {name!r}", mend=mend or "names are as Europe/Berlin"
        ) from error


def at_wall(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """The moment in UTC at which the clock of a zone shows a wall time.

    Where the hour comes twice, the first; where it is skipped, as if the clock had not been moved.
    """
    return datetime.combine(day, wall, zone).astimezone(UTC)


def day_of(at: datetime, zone: ZoneInfo) -> date:
    """The date that a calendar on the wall shows."""
    return at.astimezone(zone).date()


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment in UTC at which a date begins."""
    return at_wall(day, MIDNIGHT, zone)


def midnight_before(now: datetime, days: int) -> datetime:
    """The midnight in UTC that is so many days before the day of a moment."""
    return datetime.combine(now.astimezone(UTC).date() - days * DAY, MIDNIGHT, UTC)


def wall_text(at: datetime | None, zone: ZoneInfo) -> str:
    """The wall time, to the minute; empty for none."""
    return "" if at is None else at.astimezone(zone).strftime("%H:%M")


def utc_text(at: datetime) -> str:
    """A moment as RFC 3339 has it, in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_moment(text: str, zone: ZoneInfo, *, skipped: bool = False) -> datetime:
    """A moment, to the second, from ISO 8601; without an offset it is a wall time of the zone.

    Raises AttendanceError for what is no time, and, but for `skipped`, for a wall time that the
    clock skips.
    """
    try:
        if ":" not in text:
            raise ValueError("a date without a time")
        read = datetime.fromisoformat(text.strip())
        _check_year(read)
        at = (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise AttendanceError(
            f"expected a time as 2026-03-02 08:00, got {text.strip()!r:.60}"
        ) from error
    if read.tzinfo is None and not skipped and at.astimezone(zone).replace(tzinfo=None) != read:
        raise AttendanceError(
            f"{text.strip()}: there is no such time in {zone.key}: the clock is put forward",
            mend="write it with its offset, as 2026-03-29T02:30+01:00",
        )
    return at.replace(microsecond=0)


def read_day(text: str) -> date:
    """A date from ISO 8601. Raises AttendanceError."""
    try:
        return _check_year(date.fromisoformat(text.strip()))
    except ValueError as error:
        raise AttendanceError(f"expected a date as 2026-03-02, got {text.strip()!r:.60}") from error


def days_between(first: date, last: date) -> list[date]:
    """Every date from `first` to `last`, both included."""
    return [first + number * DAY for number in range((last - first).days + 1)]


def month_of(text: str) -> tuple[date, date]:
    """The first and the last date of a month as 2026-03. Raises AttendanceError."""
    try:
        first = _check_year(date.fromisoformat(f"{text.strip()}-01"))
    except ValueError as error:
        raise AttendanceError(f"expected a month as 2026-03, got {text.strip()!r:.60}") from error
    following = (first + 31 * DAY).replace(day=1)
    return first, following - DAY


def _check_year(day: _Day) -> _Day:
    """Raise ValueError for a year in which nobody punched."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"expected a year from {FIRST_YEAR} to {LAST_YEAR}")
    return day
