"""Rules, marks and times for the tests of attendance."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from visavis.attendance.days import Mark
from visavis.attendance.ledger import Ledger
from visavis.attendance.plans import Plans
from visavis.attendance.rules import Direction, read_rules
from visavis.gallery import Gallery, open_gallery
from visavis.gallery import sqlite as schema

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = date(2026, 3, 2)
RULES = b"""
zone = "Europe/Berlin"
cooldown = 60
gap = 120
crops = true

[sites.york]
zone = "America/New_York"

[devices.door]
direction = "in"

[devices.exit]
direction = "out"

[devices.yorkdoor]
site = "york"

[devices.CJ7A01]
push = true

[shifts.day]
start = 08:00:00
end = 17:00:00
grace = 5
leave_grace = 5
half_below = 4
absent_below = 1

[shifts.night]
start = 22:00:00
end = 06:00:00

[groups]
office = ["E-1", "E-2"]

[[assignments]]
shift = "day"
groups = ["office"]

[[assignments]]
shift = "night"
people = ["E-3"]

[[assignments]]
shift = "day"
people = ["E-4"]
site = "york"

[[holidays]]
day = 2026-12-25
name = "Christmas"

[[leave]]
person = "E-2"
since = 2026-03-04
until = 2026-03-05
kind = "vacation"

[courses.maths]
start = 10:00:00
end = 11:00:00
days = ["mon"]
people = ["E-1", "E-2", "E-3"]
"""


def rules(extra: bytes = b"", base: bytes = RULES):
    return read_rules(base + extra, "rules")


def moment(text: str, zone: str = "Europe/Berlin") -> datetime:
    """A wall time, as "2026-03-02 08:00"; alone, "08:00" is of that Monday."""
    text = text if "-" in text else f"{MONDAY} {text}"
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def marks(*texts: str, zone: str = "Europe/Berlin") -> list[Mark]:
    """Marks numbered from 1, as "08:00" or "08:00 in"."""
    made = []
    for number, text in enumerate(texts, 1):
        *words, last = text.split()
        direction = Direction(last) if last.isidentifier() else None
        clock = " ".join(words) if direction else text
        made.append(Mark(moment(clock, zone), direction, number, "door"))
    return made


def plan(person: str, extra: bytes = b"", base: bytes = RULES, first=MONDAY, last=None):
    return Plans(rules(extra, base), first, last or first).of(person)


def people_of_four(folder: Path) -> Path:
    """A gallery of four people with their own ids, and of their attendance, without a row: made
    once, and copied for each test.
    """
    gallery = open_gallery(folder)
    for number in range(1, 5):
        gallery.add_person(f"Person {number}", external_id=f"E-{number}")
    Ledger(gallery).prepare()
    gallery.close()
    (folder / schema.BALLAST).write_bytes(b"")
    return folder


def copy_of(made: Path, folder: Path) -> Gallery:
    """A copy of a gallery, opened."""
    return open_gallery(shutil.copytree(made, folder))
