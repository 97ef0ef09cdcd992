"""How long days take: a day of 5,000 people and 40,000 punches, and a month's matrix of 5,000.

    python benchmarks/attendance.py [--people 5000] [--stored]

Made data: everybody works a day shift and punches eight times a day, at seconds of no round number.
The first figures are of the pure functions alone. With --stored the month is written into a gallery
on disk first, and the last figures are of reading, opening and deriving a day of it, and all of it.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from visavis.attendance.attendance import Attendance
from visavis.attendance.days import Mark, derive_days
from visavis.attendance.directory import Directory
from visavis.attendance.plans import Plans
from visavis.attendance.punches import Reporter, Sighting
from visavis.attendance.reports import matrix_sheet
from visavis.attendance.rules import Assignment, Rules, Shift
from visavis.attendance.store import punch_entry
from visavis.attendance.view import days_of
from visavis.gallery import Person, Sample, open_gallery

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 31)
DAY = date(2026, 3, 2)
# Hours at which somebody goes in and out, eight times.
CLOCK = (8.0, 10.0, 10.2, 12.0, 12.7, 15.0, 15.2, 17.0)
NOW = datetime(2026, 4, 2, tzinfo=UTC)
TOGETHER = 220_000  # punches written in one transaction


def made_rules(people: list[str]) -> Rules:
    """A day shift for everybody."""
    shift = Shift(datetime(2026, 1, 1, 8).time(), datetime(2026, 1, 1, 17).time(), grace=5)
    return Rules("Europe/Berlin", shifts={"day": shift},
                 assignments=(Assignment("day", tuple(people)),), cooldown=0, gap=0)  # fmt: skip


def moments(day: date, rng: random.Random) -> list[datetime]:
    """Somebody's eight punches of a day."""
    start = datetime(day.year, day.month, day.day, 0, tzinfo=UTC) - timedelta(hours=1)
    return [start + timedelta(hours=hour, seconds=rng.randrange(300)) for hour in CLOCK]


def made_marks(people: list[str], days: list[date]) -> dict[str, list[Mark]]:
    """Everybody's punches of some days."""
    rng = random.Random(0)
    return {
        person: [Mark(at, None, 1, "door") for day in days for at in moments(day, rng)]
        for person in people
    }


def timed(label: str, limit: float, work: Callable[[], Any]) -> Any:
    """Run, and say how long it took."""
    start, began = time.perf_counter(), time.process_time()
    answer = work()
    took, used = time.perf_counter() - start, time.process_time() - began
    print(f"{label:60} {took:6.2f} s  (processor {used:.2f} s, goal under {limit:g} s)")
    return answer


def derive(rules: Rules, marks: dict[str, list[Mark]], period: tuple[date, date]) -> list[Any]:
    """Everybody's days."""
    plans = Plans(rules, *period)
    return [
        record
        for person, own in marks.items()
        for record in derive_days(person, own, plans.of(person), period, NOW)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--stored", action="store_true")
    asked = parser.parse_args()
    people = [f"E-{number}" for number in range(asked.people)]
    rules = made_rules(people)
    workdays = [FIRST + timedelta(days=n) for n in range(31)
                if (FIRST + timedelta(days=n)).weekday() < 5]  # fmt: skip
    one_day, month = made_marks(people, [DAY]), made_marks(people, workdays)
    count, more = (sum(map(len, marks.values())) for marks in (one_day, month))
    timed(f"a day: {len(people)} people, {count} punches, derived", 2,
          lambda: derive(rules, one_day, (DAY, DAY)))  # fmt: skip
    directory = Directory(Person(one, one, one, None, "", None, 0) for one in people)
    timed(f"a month's matrix: {len(people)} people, {more} punches", 10,
          lambda: matrix_sheet("month", derive(rules, month, (FIRST, LAST)), directory,
                               (FIRST, LAST)))  # fmt: skip
    if asked.stored:
        stored(people, rules, month)


def stored(people: list[str], rules: Rules, marks: dict[str, list[Mark]]) -> None:
    """The same from a gallery on disk."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CONFIG_HOME"] = folder
        gallery = open_gallery(Path(folder) / "gallery")
        made = gallery.add_all((name, Sample(name, name, {}, {})) for name in people)
        ids = {person.name: person.id for person in made}
        attendance = Attendance(gallery, rules)
        fill(attendance, {ids[name]: own for name, own in marks.items()})
        timed("a day from the gallery on disk", 2, lambda: days_of(attendance, (DAY, DAY), now=NOW))
        period = (FIRST, LAST)
        timed("a month's matrix from the gallery on disk", 10,
              lambda: matrix_sheet("month", days_of(attendance, period, now=NOW),
                                   attendance.directory, period))  # fmt: skip
        gallery.close()


def fill(attendance: Attendance, marks: dict[str, list[Mark]]) -> None:
    """Write punches in the order of time, many in a transaction, without looking for repeats."""
    ledger = attendance.ledger
    ledger.prepare()
    punched = sorted((mark.at, person) for person, own in marks.items() for mark in own)
    for start in range(0, len(punched), TOGETHER):
        entries = [
            punch_entry(Sighting(person, at, "door", source=Reporter.FILE), person,
                        "Europe/Berlin", NOW, [])
            for at, person in punched[start : start + TOGETHER]
        ]  # fmt: skip
        with attendance.gallery.database.writing() as connection:
            ledger.append_all(connection, entries)


if __name__ == "__main__":
    main()
