"""Punches one by one, and what people object to, as JSON documents."""

from typing import Any

from visavis.attendance.corrections import Claim
from visavis.attendance.directory import Directory
from visavis.attendance.moments import utc_text
from visavis.attendance.objections import Objection
from visavis.attendance.punches import Punch


def punch_json(punch: Punch, told: Claim | None, directory: Directory) -> dict[str, Any]:
    """A punch as it came, and what it says now; null: it does not count."""
    return {
        "number": punch.number,
        "person_id": directory.reference(punch.person),
        "name": directory.name(punch.person),
        "at": utc_text(punch.at),
        "direction": punch.direction,
        "counts": told and {"at": utc_text(told.at), "direction": told.direction},
        "device": punch.device,
        "zone": punch.zone,
        "source": punch.source,
        "received": utc_text(punch.received),
        "notes": list(punch.notes),
        "actor": punch.actor,
        "reason": punch.reason,
    }


def objection_json(objection: Objection, directory: Directory) -> dict[str, Any]:
    """An objection, and its answer where it has one."""
    return {
        "number": objection.number,
        "person_id": directory.reference(objection.person),
        "name": directory.name(objection.person),
        "date": objection.day.isoformat(),
        "words": objection.words,
        "made": utc_text(objection.made),
        "open": objection.is_open,
        "answer": objection.answer,
        "actor": objection.actor,
    }
