"""A period out of the ledger in somebody's format, and a file of punches or of free days into it.

Knows which formats hold punches, which hold stays, and which hold tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from visavis.attendance.attendance import Attendance
from visavis.attendance.exchange import (
    EXCHANGES,
    Parsed,
    Zones,
    read_attlog,
    read_csv,
    read_frappe,
)
from visavis.attendance.intervals import PAYROLLS, intervals_of
from visavis.attendance.moments import days_between, read_day, zone_named
from visavis.attendance.plans import Plan
from visavis.attendance.punches import Punch, Recorded, Reporter, Sighting
from visavis.attendance.reports import (
    Sheet,
    correction_sheet,
    day_sheet,
    matrix_sheet,
    punch_sheet,
)
from visavis.attendance.rules import Holiday, Leave, Rules, check_rules
from visavis.attendance.sheets import csv_bytes, xlsx_bytes
from visavis.attendance.view import HeldPeriod, derived, held_in
from visavis.dataset.lists import read_table
from visavis.errors import AttendanceError, RulesError

FORMATS = ("attlog", "frappe", "hikvision", "odoo", "zoho", "hibob", "csv", "json", "xlsx", "days")


@dataclass(frozen=True, slots=True)
class Exported:
    """A period in a format, and how many punches, stays or days it holds."""

    data: bytes
    count: int


def export_period(
    attendance: Attendance, period: tuple[date, date], form: str, *, mark: bool = False
) -> Exported:
    """A period in a format of FORMATS; with `mark`, CSV as Excel wants it.

    Raises AttendanceError for an unknown format, and for stays that the format cannot hold.
    """
    zone = zone_named(attendance.rules.zone)
    held = held_in(attendance, period)
    if form in PAYROLLS:
        records = derived(attendance, held, period)
        intervals = intervals_of(records, attendance.directory)
        return Exported(PAYROLLS[form].write(intervals, zone), len(intervals))
    if form in EXCHANGES:
        sightings = counting_sightings(attendance, held, period)
        data = EXCHANGES[form].write(sightings, zone)
        marked = b"\xef\xbb\xbf" + data if mark and form == "csv" else data
        return Exported(marked, len(sightings))
    records = derived(attendance, held, period)
    days = day_sheet("days", records, attendance.directory)
    if form == "days":
        return Exported(csv_bytes(days, mark=mark), len(days.rows))
    if form == "xlsx":
        return Exported(xlsx_bytes(_book(attendance, held, period, days)), len(days.rows))
    known = ", ".join(FORMATS)
    raise AttendanceError(f"unknown format {form!r}", mend=f"known: {known}", option="form")


def _book(
    attendance: Attendance, held: HeldPeriod, period: tuple[date, date], days: Sheet
) -> list[Sheet]:
    """A matrix for each month, then the days, punches and corrections."""
    months: dict[str, list[date]] = {}
    for day in days_between(*period):
        months.setdefault(f"{day:%Y-%m}", []).append(day)
    records = derived(attendance, held, period)
    matrices = [
        matrix_sheet(
            month,
            [record for record in records if own[0] <= record.day <= own[-1]],
            attendance.directory,
            (own[0], own[-1]),
        )
        for month, own in months.items()
    ]
    zones = {punch.zone: zone_named(punch.zone) for punch in held.punches}
    punches = [punch for punch in held.punches if _in(punch, period, zones[punch.zone].key)]
    directory = attendance.directory
    corrections = correction_sheet(held.corrections, directory)
    return [*matrices, days, punch_sheet(punches, directory, zones), corrections]


def _in(punch: Punch, period: tuple[date, date], zone: str) -> bool:
    return period[0] <= punch.at.astimezone(zone_named(zone)).date() <= period[1]


def counting_sightings(
    attendance: Attendance, held: HeldPeriod, period: tuple[date, date]
) -> list[Sighting]:
    """The punches of a period as they count, by time, people by what other systems call them; each
    with the zone of its device's site, or where it has none, of the person's.
    """
    rules = attendance.rules
    plans, nobody = attendance.plans(*period), Plan(zone_named(rules.zone))
    made = []
    for person, marks in held.marks().items():
        plan, reference = plans.get(person, nobody), attendance.directory.reference(person)
        for mark in held.counting(marks, plan):
            terminal, day = rules.devices.get(mark.device), plan.date_at(mark.at)
            has_site = terminal is not None and terminal.site
            zone = rules.device_zone(mark.device) if has_site else plan.zone_on(day).key
            if period[0] <= mark.at.astimezone(zone_named(zone)).date() <= period[1]:
                said = Sighting(reference, mark.at, mark.device, mark.direction, Reporter.FILE)
                made.append(replace(said, zone=zone))
    return sorted(made, key=lambda one: (one.at, one.person))


def read_punches(
    path: Path,
    form: str,
    zone_name: str,
    columns: Mapping[str, str] | None = None,
    *,
    rules: Rules | None = None,
) -> Parsed:
    """A file of punches. A time without an offset is of the zone; with `rules`, and where no zone
    is named, of the one of each line's device, as far as the format has devices.

    Raises AttendanceError for an unknown format or a file that is not there, DatasetError for one
    that is of another encoding or kind.
    """
    zone = zone_named(zone_name or (rules.zone if rules else ""))
    zones = device_zones(rules) if rules and not zone_name else zone
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AttendanceError(f"{path}: cannot read: {error.strerror or error}") from error
    if form == "csv":
        return read_csv(data, zone, columns)
    if form == "attlog":
        return read_attlog(data, zones)
    if form == "frappe":
        return read_frappe(data, zones)
    if form not in EXCHANGES:
        known = ", ".join(EXCHANGES)
        raise AttendanceError(f"punches cannot be read from {form!r}", mend=f"known: {known}")
    return EXCHANGES[form].read(data, zone)


def device_zones(rules: Rules) -> Zones:
    """The zone of each device, by the rules."""
    return lambda device: zone_named(rules.device_zone(device))


def import_punches(attendance: Attendance, parsed: Parsed, *, device: str = "") -> list[Recorded]:
    """Keep what a file says; `device` in place of the file's own."""
    sightings = [
        replace(one, device=device or one.device, source=Reporter.FILE) for one in parsed.sightings
    ]
    return attendance.record_all(sightings)


def with_free_days(rules: Rules, path: Path, kind: str) -> Rules:
    """The rules with a table's holidays (date, name, sites) or leave (person, since, until, kind).

    A day or a leave that is there already stays once. Raises RulesError, DatasetError.
    """
    if kind == "holidays":
        rows = read_table(path, ["date", "name"], ["sites"])
        days = [
            Holiday(_day(path, line, row["date"]), row["name"], tuple(row.get("sites", "").split()))
            for line, row in rows
        ]
        known: Sequence[Holiday] = rules.holidays
        made = replace(rules, holidays=tuple(dict.fromkeys((*known, *days))))
    else:
        rows = read_table(path, ["person", "since", "until"], ["kind"])
        leave = [
            Leave(
                row["person"],
                _day(path, line, row["since"]),
                _day(path, line, row["until"]),
                row.get("kind") or "leave",
            )
            for line, row in rows
        ]
        made = replace(rules, leave=tuple(dict.fromkeys((*rules.leave, *leave))))
    check_rules(made)
    return made


def _day(path: Path, line: int, text: str) -> date:
    try:
        return read_day(text)
    except AttendanceError as error:
        raise RulesError(f"{path}, line {line}: {error.what}") from error
