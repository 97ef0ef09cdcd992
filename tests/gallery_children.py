"""Child processes of test_gallery_faults.py: they write to a gallery, and may be killed.

    python gallery_children.py enrol|crowd FOLDER SEED [wal] [autocommit|late|impatient]

Each acknowledged sample's id goes to standard output after `add_sample` has returned. The last
words are the sabotage switches: with one of them the gallery breaks the promise that is tested.
"""

import random
import sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np

from visavis.gallery import Gallery, Sample, open_gallery
from visavis.gallery import sqlite as schema

MODEL, DIM = "made@0", 64
PEOPLE, PHOTOS = 4, 6  # of the crowd


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def query(gallery: Gallery, statement: str) -> list:
    with gallery.database.reading() as connection:
        return connection.exec_driver_sql(statement).all()


def photo(rng: np.random.Generator, name: str) -> Sample:
    row = rng.normal(size=DIM).astype(np.float32)
    row /= np.linalg.norm(row)
    return Sample(f"{name}.jpg", name, {}, {MODEL: row}, crop=rng.bytes(2000))


def enrol(folder: Path, seed: int) -> None:
    """New people of two photos each, until killed."""
    gallery, rng = open_gallery(folder), np.random.default_rng(seed)
    say("ready")
    for number in count():
        person = gallery.add_person(f"{seed}-{number}")
        for which in range(2):
            say(gallery.add_sample(person.id, photo(rng, f"{seed}-{number}-{which}")))


def crowd(folder: Path, seed: int) -> None:
    """The same photos of the same people as everybody else, in an order of one's own."""
    say("ready")
    sys.stdin.readline()  # all start at once
    gallery, rng = open_gallery(folder), np.random.default_rng(0)
    photos = [
        (who, photo(rng, f"{who}-{which}")) for who in range(PEOPLE) for which in range(PHOTOS)
    ]
    random.Random(seed).shuffle(photos)
    for who, sample in photos:
        stored = gallery.add_sample(gallery.find_or_add(f"Person {who}").id, sample)
        if stored:
            say(stored)


@contextmanager
def autocommit(database):
    """Sabotage: each statement is a transaction of its own."""
    with database.outside() as connection:
        yield connection


class Late:
    """Sabotage: what is acknowledged is not committed yet."""

    def __init__(self, writing) -> None:
        self._writing = writing
        self._open = None

    @contextmanager
    def __call__(self, database):
        if self._open is None:
            self._transaction = self._writing(database)
            self._open = self._transaction.__enter__()
        yield self._open


def main() -> None:
    what, folder, seed, *switches = sys.argv[1:]
    if "wal" in switches:
        schema.SAFE_WAL = (3, 7, 0)
    if "impatient" in switches:
        schema.BUSY_SECONDS = 0
    if {"autocommit", "late"} & {*switches}:
        open_gallery(Path(folder)).close()
        late = Late(schema.SqliteDatabase.writing)

        def write_late(database):
            return late(database)

        schema.SqliteDatabase.writing = autocommit if "autocommit" in switches else write_late
    {"enrol": enrol, "crowd": crowd}[what](Path(folder), int(seed))


if __name__ == "__main__":
    main()
