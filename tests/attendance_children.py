"""Child processes of test_ledger.py: they record punches, and may be killed.

    python attendance_children.py FOLDER SEED [cut] [autocommit|hasty|forgetful]

Each acknowledged punch's number and moment go to standard output after `record` has returned. Every
sighting is said twice, as by a terminal that had no answer. With `cut` the child kills itself
within its third punch. The last words are the sabotage switches: with one of them the promise that
is tested is broken.
"""

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from gallery_children import autocommit, say

from visavis.attendance.attendance import Attendance
from visavis.attendance.keys import RoomKeys
from visavis.attendance.ledger import Ledger
from visavis.attendance.punches import Reporter, Sighting
from visavis.attendance.rules import Rules
from visavis.gallery import open_gallery
from visavis.gallery import sqlite as schema

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
RULES = Rules("UTC", cooldown=0, gap=0)  # only the very same is a repeat


def record(folder: Path, seed: int, *, hasty: bool) -> None:
    """Punches of one person, a minute apart, each said twice; from where the last child was."""
    gallery = open_gallery(folder)
    ann = gallery.find_or_add("Ann")
    attendance = Attendance(gallery, RULES)
    say("ready")
    for number in count(seed * 1000):
        at = BEGIN + timedelta(minutes=number)
        if hasty:  # what is acknowledged is not written yet
            say(f"{number - seed * 1000 + 1} {int(at.timestamp())}")
        for _ in range(2):
            sighting = Sighting(ann.id, at, "door", source=Reporter.TERMINAL)
            say(f"{attendance.record(sighting).punch} {int(at.timestamp())}")


def main() -> None:
    folder, seed, *switches = sys.argv[1:]
    schema.BALLAST_BYTES = 0  # it would take most of the time
    open_gallery(Path(folder)).find_or_add("Ann")
    if "autocommit" in switches:
        schema.SqliteDatabase.writing = autocommit
    if "forgetful" in switches:  # nobody remembers what was said before
        Ledger.number_of = lambda *_: None
        RoomKeys.tokens = lambda *_: [os.urandom(16)]
    if "cut" in switches:
        chain, calls = Ledger._chain, count(1)

        def cut(*arguments):
            if next(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            chain(*arguments)

        Ledger._chain = cut
    record(Path(folder), int(seed), hasty="hasty" in switches)


if __name__ == "__main__":
    main()
