"""Rows of attendance as pages show them: in the language of the page, by the wall of the site."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from visavis.attendance.corrections import Claim, Correction
from visavis.attendance.courses import Attendee
from visavis.attendance.days import DayRecord
from visavis.attendance.directory import Directory
from visavis.attendance.moments import wall_text, zone_named
from visavis.attendance.punches import Punch
from visavis.attendance.reports import hours_of, minutes_of
from visavis.serve.site.plots import PlotBar, stay_bars
from visavis.serve.site.wording import written

DASH = "\u2013"


@dataclass(frozen=True, slots=True)
class DayRow:
    """What one row of a page says of a day."""

    person: str
    name: str
    day: str
    shift: str
    kind: str  # the status by its name
    status: str
    came: str
    went: str
    hours: str
    late: str
    early: str
    notes: str
    bars: Sequence[PlotBar]
    spread: str  # the bars, in words
    punches: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class RowMaker:
    """What all rows of a page share."""

    directory: Directory
    texts: Mapping[str, Any]
    now: datetime

    def day(self, record: DayRecord) -> DayRow:
        """A row."""
        texts, zone = self.texts["attendance"], zone_named(record.zone)
        notes = [texts["notes"].get(note, note) for note in record.notes]
        name = self.directory.name(record.person)
        times = ", ".join(
            f"{wall_text(stay.start, zone)}{DASH}{wall_text(stay.end, zone)}"
            for stay in record.stays
        )
        return DayRow(
            record.person,
            name,
            record.day.isoformat(),
            record.shift,
            record.status.value,
            texts["statuses"][record.status.value],
            wall_text(record.first_in, zone),
            wall_text(record.last_out, zone),
            written(self.texts, hours_of(record.worked), 2) if record.stays else "",
            _minutes(minutes_of(record.late)),
            _minutes(minutes_of(record.early)),
            ", ".join([*notes, *([record.reason] if record.reason else [])]),
            stay_bars(record, self.now),
            texts["spread"].format(name=name, times=times) if times else "",
            record.punches,
        )

    def days(self, records: Iterable[DayRecord]) -> list[DayRow]:
        """Rows."""
        return [self.day(record) for record in records]

    def claim(self, claim: Claim | None, zone: ZoneInfo) -> str:
        """What a punch says."""
        texts = self.texts["attendance"]
        if claim is None:
            return str(texts["isvoid"])
        way = texts["directions"][claim.direction] if claim.direction else ""
        return f"{stamp(claim.at, zone)} {way}".strip()

    def punch(self, punch: Punch, told: Claim | None) -> dict[str, Any]:
        """A punch as it came, and what it says now where that is something else."""
        zone, said = zone_named(punch.zone), self.texts["attendance"]["notes"]
        came = Claim(punch.at, punch.direction)
        return {
            "number": punch.number,
            "came": self.claim(came, zone),
            "counts": self.claim(told, zone) if told != came else "",
            "device": punch.device,
            "notes": ", ".join([said.get(note, note) for note in punch.notes]),
            "reason": punch.reason,
            "actor": punch.actor,
        }

    def attendee(self, one: Attendee, zone: ZoneInfo) -> dict[str, Any]:
        """Somebody of a class's roster."""
        return {
            "person": one.person,
            "name": self.directory.name(one.person),
            "kind": one.status.value,
            "status": self.texts["attendance"]["statuses"][one.status.value],
            "first": wall_text(one.first, zone),
            "last": wall_text(one.last, zone),
            "late": _minutes(minutes_of(one.late)),
        }

    def correction(self, one: Correction, zone: ZoneInfo) -> dict[str, Any]:
        """Who said what of which punch."""
        return {
            "number": one.number,
            "punch": one.punch,
            "person": one.person,
            "name": self.directory.name(one.person),
            "made": stamp(one.made, zone),
            "before": self.claim(one.before, zone),
            "after": self.claim(one.after, zone),
            "actor": one.actor,
            "reason": one.reason,
        }


def stamp(at: datetime, zone: ZoneInfo) -> str:
    """A date and a time of the wall."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _minutes(number: int) -> str:
    return str(number) if number else ""
