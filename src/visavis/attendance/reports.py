"""Days as tables that people read: today, a month's matrix, a timesheet, who is late, what is odd.

A table is plain data: `sheets` writes it, and the command line prints it. Names of columns stay as
they are. Knows no files.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from visavis.attendance.corrections import Correction
from visavis.attendance.days import NOTHING, DayRecord, Inside, Status
from visavis.attendance.directory import Directory
from visavis.attendance.moments import days_between, utc_text, wall_text, zone_named
from visavis.attendance.punches import Punch

SheetCell = str | int | float
LETTERS = {
    Status.PRESENT: "P",
    Status.HALF: "HD",
    Status.ABSENT: "A",
    Status.OPEN: "?",
    Status.PENDING: ".",
    Status.HOLIDAY: "H",
    Status.LEAVE: "L",
    Status.OFF: "",
}
COUNTED = (Status.PRESENT, Status.HALF, Status.ABSENT, Status.LEAVE, Status.OPEN)
DAY_COLUMNS = (
    "date", "person_id", "name", "shift", "status", "in", "out", "hours", "late_minutes",
    "early_minutes", "notes", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with its totals."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[SheetCell]]
    totals: Sequence[SheetCell] = ()  # as long as a row; empty: none


def hours_of(length: timedelta) -> float:
    """Hours, to the hundredth."""
    return round(length / timedelta(hours=1), 2)


def minutes_of(length: timedelta) -> int:
    """Whole minutes."""
    return int(length // timedelta(minutes=1))


def day_sheet(title: str, records: Iterable[DayRecord], directory: Directory) -> Sheet:
    """A row for each record, by the wall of its site, with the hours in all."""
    kept = list(records)
    rows = [_day_row(record, directory) for record in kept]
    worked = sum((record.worked for record in kept), NOTHING)
    late = sum(minutes_of(record.late) for record in kept)
    early = sum(minutes_of(record.early) for record in kept)
    totals = ("total", "", "", "", "", "", "", hours_of(worked), late, early, "", "")
    return Sheet(title, DAY_COLUMNS, rows, totals)


def _day_row(record: DayRecord, directory: Directory) -> Sequence[SheetCell]:
    zone = zone_named(record.zone)
    return (
        record.day.isoformat(),
        directory.reference(record.person),
        directory.name(record.person),
        record.shift,
        record.status.value,
        wall_text(record.first_in, zone),
        wall_text(record.last_out, zone),
        hours_of(record.worked),
        minutes_of(record.late),
        minutes_of(record.early),
        " ".join(record.notes),
        record.reason,
    )


def matrix_sheet(
    title: str, records: Iterable[DayRecord], directory: Directory, period: tuple[date, date]
) -> Sheet:
    """A row for each person and a column for each day: P, HD, A, L, H, ? for open, . for pending;
    behind a letter, * says late. Then the days of each kind, and the hours.
    """
    days = days_between(*period)
    place = {day: number for number, day in enumerate(days)}
    cells: dict[str, list[str]] = {}
    counts: dict[str, Counter[str]] = {}
    worked: dict[str, timedelta] = {}
    for record in records:
        person = record.person
        if person not in cells:
            cells[person], counts[person] = [""] * len(days), Counter()
            worked[person] = NOTHING
        letter = LETTERS[record.status] + ("*" if record.late else "")
        cells[person][place[record.day]] += letter
        counts[person][record.status.value] += 1
        counts[person]["late"] += bool(record.late)
        worked[person] += record.worked
    kinds = (*(kind.value for kind in COUNTED), "late")
    rows: list[tuple[SheetCell, ...]] = [
        (
            directory.reference(person),
            directory.name(person),
            *cells[person],
            *(counts[person][kind] for kind in kinds),
            hours_of(worked[person]),
        )
        for person in sorted(cells, key=lambda one: (directory.name(one), one))
    ]
    columns = ("person_id", "name", *map(str, days), *kinds, "hours")
    sums = [sum(own[kind] for own in counts.values()) for kind in kinds]
    whole = hours_of(sum(worked.values(), NOTHING))
    totals: tuple[SheetCell, ...] = ("total", "", *[""] * len(days), *sums, whole)
    return Sheet(title, columns, rows, totals)


def late_records(records: Iterable[DayRecord]) -> list[DayRecord]:
    """Those who came late, the latest first."""
    return sorted((one for one in records if one.late), key=lambda one: -one.late)


def odd_records(records: Iterable[DayRecord]) -> list[DayRecord]:
    """Days with something to look at: open, closed by rule, corrected, with a clock that lies."""
    return [one for one in records if one.notes or one.status is Status.OPEN]


def inside_sheet(inside: Iterable[Inside], directory: Directory, zone: ZoneInfo) -> Sheet:
    """Who is in the building."""
    columns = ("person_id", "name", "since", "seen", "device")
    rows = [
        (
            directory.reference(one.person),
            directory.name(one.person),
            wall_text(one.since, zone),
            wall_text(one.seen, zone),
            one.device,
        )
        for one in inside
    ]
    return Sheet("inside", columns, rows)


def punch_sheet(
    punches: Iterable[Punch], directory: Directory, zones: dict[str, ZoneInfo]
) -> Sheet:
    """Punches as they came, in UTC and by the wall of their device."""
    columns = ("number", "time", "local_time", "zone", "person_id", "name", "device", "direction",
               "source", "notes")  # fmt: skip
    rows = [
        (
            punch.number,
            utc_text(punch.at),
            punch.at.astimezone(zones[punch.zone]).strftime("%Y-%m-%d %H:%M:%S"),
            punch.zone,
            directory.reference(punch.person),
            directory.name(punch.person),
            punch.device,
            punch.direction or "",
            punch.source,
            " ".join(punch.notes),
        )
        for punch in punches
    ]
    return Sheet("punches", columns, rows)


def correction_sheet(corrections: Iterable[Correction], directory: Directory) -> Sheet:
    """Who said what of which punch, before and after."""
    columns = ("number", "made", "punch", "person_id", "before", "after", "actor", "reason")
    rows = [
        (
            one.number,
            utc_text(one.made),
            one.punch,
            directory.reference(one.person),
            f"{utc_text(one.before.at)} {one.before.direction or ''}".strip(),
            f"{utc_text(one.after.at)} {one.after.direction or ''}".strip() if one.after else "",
            one.actor,
            one.reason,
        )
        for one in corrections
    ]
    return Sheet("corrections", columns, rows)


def sheet_lines(sheet: Sheet) -> list[str]:
    """A table for a terminal: its columns, its rows, its totals, one below the other."""
    rows = [sheet.columns, *sheet.rows, *([sheet.totals] if sheet.totals and sheet.rows else [])]
    texts = [[str(cell) for cell in row] for row in rows]
    shown = [n for n in range(len(sheet.columns)) if any(row[n] for row in texts[1:])]
    widths = [max(len(row[n]) for row in texts) for n in shown]
    lines = [
        "  ".join(row[n].ljust(width) for n, width in zip(shown, widths, strict=True)).rstrip()
        for row in texts
    ]
    return lines if sheet.rows else [f"{sheet.title}: nothing"]
