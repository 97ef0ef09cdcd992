"""Attendance as JSON documents and in words."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from visavis.answers.counts import counted
from visavis.attendance.corrections import Correction, DayRuling, PeriodLock
from visavis.attendance.courses import Attendee, Meeting
from visavis.attendance.days import DayRecord, Inside
from visavis.attendance.directory import Directory
from visavis.attendance.exchange import Fault
from visavis.attendance.moments import utc_text
from visavis.attendance.punches import Fate, Recorded
from visavis.attendance.push import Pushed, refused_lines
from visavis.attendance.reports import hours_of, minutes_of

FATES = {
    Fate.PUNCH: "recorded",
    Fate.SEEN: "seen again by the same device",
    Fate.TOO_SOON: "too soon after another punch",
    Fate.REPEATED: "recorded before",
    Fate.REFUSED: "refused",
}
MOST_SAID = 20  # lines of one kind


def record_json(record: DayRecord, directory: Directory) -> dict[str, Any]:
    """A day's document."""
    return {
        "date": record.day.isoformat(),
        **who_json(record.person, directory),
        "zone": record.zone,
        "shift": record.shift,
        "status": record.status.value,
        "stays": [
            {"in": utc_text(stay.start), "out": utc_text(stay.end) if stay.end else None}
            for stay in record.stays
        ],
        "hours": hours_of(record.worked),
        "late_minutes": minutes_of(record.late),
        "early_minutes": minutes_of(record.early),
        "notes": list(record.notes),
        "reason": record.reason,
        "punches": list(record.punches),
    }


def days_json(records: Iterable[DayRecord], directory: Directory) -> dict[str, Any]:
    """The document of today, month, person, late and exceptions."""
    return {"days": [record_json(record, directory) for record in records]}


def inside_json(inside: Iterable[Inside], directory: Directory) -> dict[str, Any]:
    """Who is in the building."""
    return {
        "inside": [
            {
                **who_json(one.person, directory),
                "since": utc_text(one.since),
                "seen": utc_text(one.seen),
                "device": one.device,
            }
            for one in inside
        ]
    }


def classes_json(
    classes: Iterable[tuple[Meeting, Sequence[Attendee]]], directory: Directory
) -> dict[str, Any]:
    """Classes with their rosters."""
    return {
        "classes": [
            {
                "course": meeting.course,
                "start": utc_text(meeting.start),
                "end": utc_text(meeting.end),
                "roster": [
                    {
                        **who_json(one.person, directory),
                        "status": one.status.value,
                        "first": utc_text(one.first) if one.first else None,
                        "last": utc_text(one.last) if one.last else None,
                        "late_minutes": minutes_of(one.late),
                    }
                    for one in attendees
                ],
            }
            for meeting, attendees in classes
        ]
    }


def classes_words(
    classes: Sequence[tuple[Meeting, Sequence[Attendee]]], directory: Directory
) -> list[str]:
    """A line for each class, and one for each of its roster."""
    lines = []
    for meeting, attendees in classes:
        counts = Counter(one.status.value for one in attendees)
        lines.append(f"{meeting.course}: {', '.join(f'{n} {kind}' for kind, n in counts.items())}")
        lines += [f"  {one.status.value:8} {directory.name(one.person)}" for one in attendees]
    return lines or ["no class on this day"]


def recorded_json(recorded: Recorded) -> dict[str, Any]:
    """What became of one sighting."""
    return {
        "fate": recorded.fate.value,
        "punch": recorded.punch,
        "person": recorded.sighting.person,
        "at": utc_text(recorded.sighting.true_at),
        "notes": list(recorded.notes),
        "message": recorded.message,
    }


def recorded_words(recorded: Recorded, directory: Directory) -> str:
    """What became of one sighting, in a line."""
    who = directory.name(directory.find(recorded.sighting.person).id)
    number = f", punch {recorded.punch}" if recorded.punch else ""
    notes = f" ({', '.join(recorded.notes)})" if recorded.notes else ""
    at = utc_text(recorded.sighting.true_at)
    return f"{who} at {at}: {FATES[recorded.fate]}{number}{notes}"


def imported_punches_json(outcomes: Sequence[Recorded], faults: Sequence[Fault]) -> dict[str, Any]:
    """What became of a file's punches: counts, and each that is not plainly recorded."""
    counts = Counter(one.fate for one in outcomes)
    return {
        "counts": {fate.value: counts[fate] for fate in Fate},
        "said": [recorded_json(one) for one in outcomes if _is_said(one)],
        "faults": [{"line": fault.line, "reason": fault.reason} for fault in faults],
    }


def imported_punches_words(outcomes: Sequence[Recorded], faults: Sequence[Fault]) -> list[str]:
    """The same in words: the first of each kind."""
    counts = Counter(one.fate for one in outcomes)
    lines = [f"{counts[fate]} {words}" for fate, words in FATES.items() if counts[fate]]
    odd = [one for one in outcomes if _is_said(one)]
    lines += [
        f"  {one.sighting.person} at {utc_text(one.sighting.true_at)}: "
        f"{one.message or ', '.join(one.notes)}"
        for one in odd[:MOST_SAID]
    ]
    lines += [f"  line {fault.line}: {fault.reason}" for fault in faults[:MOST_SAID]]
    left = max(0, len(odd) - MOST_SAID) + max(0, len(faults) - MOST_SAID)
    return [*lines, *([f"  and {counted(left, 'more line')}"] if left else [])] or ["nothing"]


def free_days_json(counts: dict[str, int], unknown: Sequence[str]) -> dict[str, Any]:
    """How many holidays and leaves the rules have, and whom they name who is not here."""
    return {"free_days": counts, "unknown": list(unknown)}


def _is_said(recorded: Recorded) -> bool:
    return bool(recorded.notes) or recorded.fate is Fate.REFUSED


def correction_json(made: Correction, directory: Directory) -> dict[str, Any]:
    """A correction of a punch, before and after."""

    def claim(said: Any) -> dict[str, Any] | None:
        return said and {"at": utc_text(said.at), "direction": said.direction}

    return {
        "number": made.number,
        "punch": made.punch,
        **who_json(made.person, directory),
        "before": claim(made.before),
        "after": claim(made.after),
        "actor": made.actor,
        "reason": made.reason,
    }


def ruling_json(made: DayRuling, directory: Directory) -> dict[str, Any]:
    """What a day was said to be, before and after."""
    before, after = (
        {"status": one.status.value, "reason": one.reason} if one else None
        for one in (made.before, made.after)
    )
    return {
        "number": made.number,
        "date": made.day.isoformat(),
        **who_json(made.person, directory),
        "before": before,
        "after": after,
        "actor": made.actor,
    }


def lock_json(made: PeriodLock) -> dict[str, Any]:
    """A period that was locked or opened."""
    return {
        "number": made.number,
        "locked": made.locked,
        "since": made.since.isoformat(),
        "until": made.until.isoformat(),
        "actor": made.actor,
        "reason": made.reason,
    }


def pushed_json(pushed: Pushed) -> dict[str, Any]:
    """What became of what was waiting to be sent."""
    return {
        "delivered": pushed.delivered,
        "repeated": pushed.repeated,
        "refused": [{"number": number, "reason": why} for number, why in pushed.refused],
        "left": pushed.left,
        "reason": pushed.reason,
    }


def pushed_words(pushed: Pushed) -> list[str]:
    """The same in words."""
    lines = [f"{pushed.delivered} delivered, {pushed.repeated} were there already"]
    lines += refused_lines(pushed.refused)
    left = f"{pushed.left} are left for the next time: {pushed.reason}"
    return [*lines, *([left] if pushed.left else [])]


def who_json(person: str, directory: Directory) -> dict[str, str]:
    """Somebody by the gallery's id: what other systems know them by, and their name."""
    return {"person_id": directory.reference(person), "name": directory.name(person)}
