"""Writers of punches that are killed, for test_ledger.py.

    python attendance_children.py FOLDER KILLS [cut] [autocommit|hasty|forgetful]

All is imported once; each writer is a fork. Two at a time write into one gallery, and their process
group is killed at any moment; then the gallery has to hold what they acknowledged, once, and to be
whole. Every sighting is said twice, as by a terminal that had no answer. What is not as it has to
be goes to standard error, and the exit code is 1; else the counts go to standard output.

With `cut` there is one writer, which kills itself within its third punch. The last words are the
sabotage switches: with one of them the promise that is tested is broken.
"""

import os
import random
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from select import select

from gallery_children import autocommit, say

from visavis.attendance.attendance import Attendance
from visavis.attendance.keys import RoomKey
from visavis.attendance.ledger import Ledger
from visavis.attendance.punches import Reporter, Sighting
from visavis.attendance.rules import Rules
from visavis.attendance.whole import ledger_damages
from visavis.errors import VisavisError
from visavis.gallery import open_gallery
from visavis.gallery import sqlite as schema

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
RULES = Rules("UTC", cooldown=0, gap=0)  # only the very same is a repeat
EVERY = 24  # kills until a new gallery: what is checked grows with each
MOST_SAID, LONGEST = 16, 0.03  # words of both writers, then seconds, until they are killed

Acknowledged = set[tuple[int, int]]  # a punch's number, and its second


def write(folder: Path, number: int, pipe: int, *, hasty: bool) -> None:
    """Punches of one person, a minute apart, each said twice, until killed."""

    def acknowledge(text: str) -> None:
        os.write(pipe, f"{text}\n".encode())

    gallery = open_gallery(folder)
    attendance, ann = Attendance(gallery, RULES), gallery.find("Ann").id
    acknowledge("ready")
    for minute in count(number * 1000):
        at = BEGIN + timedelta(minutes=minute)
        second = int(at.timestamp())
        if hasty:  # what is acknowledged is not written yet
            acknowledge(f"{minute - number * 1000 + 1} {second}")
        for _ in range(2):
            sighting = Sighting(ann, at, "door", source=Reporter.TERMINAL)
            acknowledge(f"{attendance.record(sighting).punch} {second}")


def begin(folder: Path, number: int, *, hasty: bool) -> tuple[int, int]:
    """A writer in a process group of its own: its id, and where it says what is on disk."""
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reads)
            write(folder, number, writes, hasty=hasty)
        except VisavisError as error:
            sys.stderr.write(f"{error!r}\n")
        finally:
            os._exit(3)  # whatever came of it, it was not killed
    os.close(writes)
    return child, reads


def killed(folder: Path, first: int, switches: set[str]) -> Acknowledged:
    """What writers acknowledged until they were killed together."""
    cut = "cut" in switches
    writers = [
        begin(folder, number, hasty="hasty" in switches)
        for number in range(first, first + (1 if cut else 2))
    ]
    for child, _ in writers:
        os.setpgid(child, writers[0][0])
    for _, reads in writers:
        assert os.read(reads, 6) == b"ready\n"
    rng, heard = random.Random(first), {reads: b"" for _, reads in writers}
    most = 0 if cut else rng.randint(0, MOST_SAID)
    while sum(words.count(b"\n") for words in heard.values()) < most:
        for reads in select([*heard], [], [])[0]:  # one may wait for the other
            heard[reads] += os.read(reads, 4096) or b"a writer has ended\n"
    if not cut:
        time.sleep(rng.uniform(0, LONGEST))
        os.killpg(writers[0][0], signal.SIGKILL)
    acknowledged: Acknowledged = set()
    for child, reads in writers:
        with os.fdopen(reads, "rb") as pipe:
            whole = heard[reads] + pipe.read()
        lines = whole.decode().split("\n")[:-1]  # the last may be half a line
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "a writer failed by itself"
        acknowledged |= {(int(number), int(second)) for number, second in map(str.split, lines)}
    return acknowledged


def check_kept(folder: Path, acknowledged: Acknowledged) -> None:
    """Whether a gallery holds what was acknowledged, once, and is whole."""
    gallery = open_gallery(folder)
    ledger = Ledger(gallery)
    with gallery.database.reading() as connection:
        rows = ledger.rows(connection, ["punch"])
    kept = [(row.number, int(row.at.timestamp())) for row in rows]
    assert acknowledged <= set(kept), "an acknowledged punch is lost"
    assert len({second for _, second in kept}) == len(kept), "a punch is there twice"
    assert ledger_damages(ledger) == [], "the ledger is damaged"
    gallery.close()  # no connection may be open in a fork


def sabotage(switches: set[str]) -> None:
    """Break what is promised."""
    if "autocommit" in switches:
        schema.SqliteDatabase.writing = autocommit
    if "forgetful" in switches:  # nobody remembers what was said before
        Ledger.number_of = lambda *_: None
        RoomKey.token = lambda *_: os.urandom(16)
    if "cut" in switches:
        chain, calls = Ledger._chain, count(1)

        def cut(*arguments):
            if next(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            chain(*arguments)

        Ledger._chain = cut


def main() -> None:
    folder, kills, *words = sys.argv[1:]
    schema.BALLAST_BYTES = 0  # it would take most of the time
    switches = set(words)
    done, acknowledged = 0, dict[Path, Acknowledged]()
    while done < int(kills):
        place = Path(folder) / str(done // EVERY)
        if place not in acknowledged:
            gallery = open_gallery(place)
            gallery.add_person("Ann")
            Ledger(gallery).prepare()
            gallery.close()
            if not done:
                sabotage(switches)
        own = acknowledged.setdefault(place, set())
        own |= killed(place, done, switches)
        check_kept(place, own)
        done += 1 if "cut" in switches else 2
    say(f"{done} {sum(map(len, acknowledged.values()))}")


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, VisavisError) as error:
        sys.exit(f"{error!r}")
