"""Stays as payrolls take them: Odoo, Zoho People, HiBob. Written, and read back.

The names of their fields are theirs. Knows no punches: a stay is from an in to its out.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from visavis.attendance.days import DayRecord
from visavis.attendance.directory import Directory
from visavis.attendance.exchange import WALL, Zones, wall_of, wall_there
from visavis.attendance.moments import DAY, day_of, midnight, read_moment, zone_named
from visavis.errors import AttendanceError, DatasetError

MINUTE = timedelta(minutes=1)
MINUTES = "%Y-%m-%d %H:%M"
HIBOB_ENTRIES = 100  # of one request
NUMBER = re.compile("[1-9][0-9]{0,8}")  # an id of Odoo's


@dataclass(frozen=True, slots=True)
class Interval:
    """Somebody's stay, by what other systems call them; None: they are there still."""

    person: str
    start: datetime  # UTC
    end: datetime | None = None
    zone: str = field(default="", compare=False)  # of the clock on the wall there


@dataclass(frozen=True, slots=True)
class Payroll:
    """A format of intervals: how they are written in it, each by the wall of its own zone, and
    where it has none, of the one given; and read from it.
    """

    write: Callable[[Sequence[Interval], ZoneInfo], bytes]
    read: Callable[[bytes, Zones], list[Interval]]


def intervals_of(records: Iterable[DayRecord], directory: Directory) -> list[Interval]:
    """The stays of days, by person and time."""
    stays = [
        Interval(directory.reference(record.person), stay.start, stay.end, record.zone)
        for record in records
        for stay in record.stays
    ]
    return sorted(stays, key=lambda one: (one.person, one.start))


def write_odoo(intervals: Iterable[Interval], zone: ZoneInfo) -> bytes:
    """Rows of hr.attendance, in UTC: an own id that is a number is taken for that of an employee
    in Odoo, and another is for Odoo's import to look up. Raises AttendanceError where Odoo would
    refuse them: stays of one person that overlap, or a second one that is open.
    """
    own = sorted(intervals, key=lambda one: (one.person, one.start))
    for before, after in pairwise(own):
        if before.person == after.person and (before.end is None or before.end > after.start):
            raise AttendanceError(
                f"{before.person}: the stay from {before.start:{WALL}} UTC reaches into the next, "
                f"from {after.start:{WALL}}, which Odoo refuses",
                mend="correct the day first",
            )
    return _text(
        [
            {
                "employee_id": int(one.person) if NUMBER.fullmatch(one.person) else one.person,
                "check_in": one.start.astimezone(UTC).strftime(WALL),
                "check_out": one.end.astimezone(UTC).strftime(WALL) if one.end else False,
                "in_mode": "kiosk",
                "out_mode": "kiosk",
            }
            for one in own
        ]
    )


def read_odoo(data: bytes, zones: Zones) -> list[Interval]:
    """What `write_odoo` wrote."""
    return [
        Interval(str(row["employee_id"]), _utc(row["check_in"]),
                 _utc(row["check_out"]) if row["check_out"] else None)
        for row in _rows(data)
    ]  # fmt: skip


def write_zoho(intervals: Iterable[Interval], zone: ZoneInfo) -> bytes:
    """A body of attendance/bulkImport: ins and outs as rows of their own, by the wall."""
    rows = []
    for one in intervals:
        for name, at in (("checkIn", one.start), ("checkOut", one.end)):
            if at is not None:
                local = at.astimezone(wall_of(one.zone, zone)).strftime(WALL)
                rows.append({"empId": one.person, name: local, "location": "", "building": ""})
    return _text({"dateFormat": "yyyy-MM-dd HH:mm:ss", "data": rows})


def read_zoho(data: bytes, zones: Zones) -> list[Interval]:
    """What `write_zoho` wrote: an out ends the in before it."""
    intervals: list[Interval] = []
    for row in _rows(data, "data"):
        person = str(row["empId"])
        zone = wall_there(zones, person)
        if "checkIn" in row:
            intervals.append(Interval(person, read_moment(row["checkIn"], zone)))
        elif intervals and intervals[-1].person == person and intervals[-1].end is None:
            start = intervals[-1].start
            intervals[-1] = Interval(person, start, read_moment(row["checkOut"], zone))
        else:
            raise AttendanceError(f"{person}: a checkOut without a checkIn before it")
    return intervals


def write_hibob(intervals: Iterable[Interval], zone: ZoneInfo) -> bytes:
    """Bodies of attendance/import, of at most 100 entries each: minutes by the wall, and no entry
    over midnight, where HiBob wants 23:59 and 00:00.
    """
    entries = []
    for one in intervals:
        wall = wall_of(one.zone, zone)
        for part in split_at_midnight(one, wall):
            entry = {"id": part.person, "clockIn": part.start.astimezone(wall).strftime(MINUTES)}
            if part.end:
                entry["clockOut"] = part.end.astimezone(wall).strftime(MINUTES)
            entries.append(entry)
    return _text(
        [
            {"idType": "idInCompany", "dateTimeFormat": "yyyy-MM-dd HH:mm", "requests": part}
            for part in in_batches(entries, HIBOB_ENTRIES)
        ]
    )


def split_at_midnight(interval: Interval, zone: ZoneInfo) -> Iterator[Interval]:
    """A stay by dates: each part but the last ends a minute before midnight."""
    start = interval.start
    while interval.end is not None:
        turn = midnight(day_of(start, zone) + DAY, zone)
        if interval.end <= turn:
            break
        yield Interval(interval.person, start, turn - MINUTE)
        start = turn
    yield Interval(interval.person, start, interval.end)


def read_hibob(data: bytes, zones: Zones) -> list[Interval]:
    """What `write_hibob` wrote, parts at midnight joined."""
    intervals: list[Interval] = []
    for request in _rows(data):
        for entry in request["requests"]:
            person = str(entry["id"])
            zone = wall_there(zones, person)
            start = read_moment(entry["clockIn"], zone)
            out = entry.get("clockOut")
            end = read_moment(out, zone) if out else None
            last = intervals[-1] if intervals else None
            if (
                last
                and last.person == person
                and last.end == start - MINUTE
                and (start == midnight(day_of(start, zone), zone))
            ):
                intervals[-1] = Interval(person, last.start, end)
            else:
                intervals.append(Interval(person, start, end))
    return intervals


def in_batches(items: Sequence[Any], most: int) -> Iterator[Sequence[Any]]:
    """The items, at most so many at a time."""
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _utc(text: str) -> datetime:
    return read_moment(text, zone_named("UTC"))


def _text(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _rows(data: bytes, name: str = "") -> list[Any]:
    try:
        document = json.loads(data)
        rows = document[name] if name else document
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"expected a JSON document of attendance: {error}") from error
    if not isinstance(rows, list):
        raise DatasetError("expected a list of attendance")
    return rows


def _whole(
    read: Callable[[bytes, Zones], list[Interval]],
) -> Callable[[bytes, Zones], list[Interval]]:
    """The reader, with a DatasetError for rows that are not as its writer writes them."""

    def checked(data: bytes, zones: Zones) -> list[Interval]:
        try:
            return read(data, zones)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DatasetError(f"expected rows of attendance: {error!r:.80}") from error

    return checked


PAYROLLS: Mapping[str, Payroll] = {
    "odoo": Payroll(write_odoo, _whole(read_odoo)),
    "zoho": Payroll(write_zoho, _whole(read_zoho)),
    "hibob": Payroll(write_hibob, _whole(read_hibob)),
}
