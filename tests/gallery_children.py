"""Child processes of test_gallery_faults.py: they write to a gallery, and may be killed.

    python gallery_children.py enrol|crowd FOLDER SEED [wal] [autocommit|late|impatient]
    python gallery_children.py rotate|reembed FOLDER POINTS [autocommit|hasty]
    python gallery_children.py told FOLDER LARGE

`told` does what standard input says, as test_two_processes.py does itself.

Each acknowledged sample's id goes to standard output after `add_sample` has returned. The last
words are the sabotage switches: with one of them the gallery breaks the promise that is tested.
"""

import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from visavis.embedder import Ensemble, Member
from visavis.enrollment import embed_kept_crops
from visavis.errors import VisavisError
from visavis.gallery import Gallery, Sample, following, open_gallery, rotation
from visavis.gallery import sqlite as schema
from visavis.gallery.keyfiles import put_in_place
from visavis.gallery.people import SealedPeople
from visavis.gallery.places import database_at
from visavis.gallery.rotation import rotate_key
from visavis.gallery.vault import key_path, load_key
from visavis.types import Part

MODEL, DIM = "made@0", 64
PEOPLE, PHOTOS = 4, 6  # of the crowd


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def place_of(gallery: Gallery) -> Path | str:
    """Where a gallery is, so that it can be opened again."""
    if isinstance(gallery.database, schema.SqliteDatabase):
        return gallery.database.path.parent
    address = gallery.database.address
    options = urlencode({**address.options, "gallery": address.gallery})
    return f"postgresql:///{address.database}?{options}"


def query(gallery: Gallery, statement: str) -> list:
    with gallery.database.reading() as connection:
        driver = statement if connection.dialect.name == "sqlite" else statement.replace("%", "%%")
        return connection.exec_driver_sql(driver).all()


def change(gallery: Gallery, statement: str, *values: object) -> None:
    """Change rows as whoever has the database and no key does."""
    with gallery.database.writing() as connection:
        driver = statement.replace("?", "%s") if connection.dialect.name != "sqlite" else statement
        connection.exec_driver_sql(driver, values)


def change_rows(gallery: Gallery, statement: str, *values: str) -> None:
    """Change rows of people as whoever has the key does: with their seals."""
    people = SealedPeople(gallery.vault, gallery.id)
    with gallery.database.writing() as connection:
        entries = people.entries(connection)
        driver = statement.replace("?", "%s") if connection.dialect.name != "sqlite" else statement
        connection.exec_driver_sql(driver, values)
        for person, entry in entries:
            people.seal(connection, person, entry)


def photo(rng: np.random.Generator, name: str) -> Sample:
    row = rng.normal(size=DIM).astype(np.float32)
    row /= np.linalg.norm(row)
    return Sample(f"{name}.jpg", name, {}, {MODEL: row}, crop=rng.bytes(2000))


def enrol(folder: str, seed: int) -> None:
    """New people of two photos each, until killed."""
    gallery, rng = open_gallery(folder), np.random.default_rng(seed)
    say("ready")
    for number in count():
        person = gallery.add_person(f"{seed}-{number}")
        for which in range(2):
            say(gallery.add_sample(person.id, photo(rng, f"{seed}-{number}-{which}")))


def crowd(folder: str, seed: int) -> None:
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


def killed_at(number: int | None, folder: Path, work: Callable[[Gallery], object]) -> int:
    """Do work on a copy of a gallery in a child that is killed at the event of a number; how many
    events it came to.
    """
    shutil.rmtree(folder / "copy", ignore_errors=True)
    ballast = shutil.ignore_patterns(schema.BALLAST)
    shutil.copytree(folder / "whole", folder / "copy", ignore=ballast)
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        os.close(reads)
        counted = count(1)

        def event(*_: object) -> None:
            if next(counted) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        opened = open_gallery(folder / "copy")
        sys.setprofile(event)
        work(opened)
        sys.setprofile(None)
        os.write(writes, str(next(counted)).encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    assert number is None or os.WTERMSIG(status) == signal.SIGKILL
    return int(text or 0)


class Shades:
    """An embedder of one colour: two numbers, of a crop's halves."""

    def __init__(self, model: str, channel: int) -> None:
        self.model, self.channel, self.dim = model, channel, 2
        self.parts, self.margin = (Part(model, 2),), 0.0

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        halves = np.stack([crops[:, :56, :, self.channel], crops[:, 56:, :, self.channel]], 1)
        rows = (halves.mean(axis=(2, 3)) + 1).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


TWO = Ensemble((Member(Shades("red@1", 0), 0.5, 10.0), Member(Shades("blue@2", 2), 0.5, 10.0)))


def reembed(folder: Path, points: int) -> None:
    """Re-embed copies of a gallery, killed at so many points and gone on with: print what differs
    from a run that nobody stopped.
    """
    schema.BALLAST_BYTES = 0

    def templates() -> list:
        gallery = open_gallery(folder / "copy")
        assert gallery.damages() == [], "damaged"
        held = [
            (sample.id, sorted((model, row.tobytes()) for model, row in sample.templates.items()))
            for person in gallery.people()
            for sample in gallery.samples(person.id)
        ]
        gallery.close()
        return held

    def work(gallery: Gallery) -> object:
        return embed_kept_crops(gallery, TWO)

    killed_at(None, folder, work)
    work(open_gallery(folder / "copy"))  # what is made once, and kept in memory, is made now
    events, killed = killed_at(None, folder, work), 0
    whole, stopped = templates(), set()
    for point in range(points):
        number = 1 + point * events // (points + 1)
        killed_at(number, folder, work)
        killed += 1
        try:
            stopped.add(sum(len(models) for _, models in templates()))
            work(open_gallery(folder / "copy"))
            assert templates() == whole, "other templates"
        except (AssertionError, VisavisError) as error:
            say(f"{number} of {events}: {error!r}")
    assert points < 10 or len(stopped) > 3, stopped  # it was killed with some of them made
    say(f"{killed} killed")


def rotate(folder: Path, points: int) -> None:
    """Rotate the key of copies of a gallery, killed at so many points: print what was lost."""
    schema.BALLAST_BYTES = 0  # it would take most of the time
    gallery = open_gallery(folder / "whole")
    whole, keys = contents(gallery), key_path(gallery.id).parent
    gallery.close()
    saved = shutil.copytree(keys, folder / "keys")

    def once(number: int | None) -> int:
        shutil.rmtree(keys, ignore_errors=True)
        shutil.copytree(saved, keys)
        return killed_at(number, folder, rotate_key)

    once(None)
    check_rotated(folder / "copy", whole)  # what is made once, and kept in memory, is made now
    events, killed = once(None), 0
    for point in range(points):
        number = 1 + point * events // (points + 1)
        once(number)
        killed += 1
        try:
            check_rotated(folder / "copy", whole)
        except (AssertionError, VisavisError) as error:
            say(f"{number} of {events}: {error!r}")
    say(f"{killed} killed")


def check_rotated(folder: Path, whole: list) -> None:
    """Whether a gallery opens, holds what it held, and its key can be rotated after all."""
    for again in (False, True):
        gallery = open_gallery(folder)
        assert gallery.damages() == [], "damaged"
        assert contents(gallery) == whole, "lost"
        if not again:
            rotate_key(gallery)
        gallery.close()


def pool() -> np.ndarray:
    """Templates to choose from."""
    rows = np.random.default_rng(7).standard_normal((400, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def do(gallery: Gallery, rows: np.ndarray, words: list[str]) -> str:
    """Add a template to a person, delete or merge people, or say who is closest to one, among how
    many.
    """
    verb, *rest = words
    if verb == "add":
        person, row, name = rest
        person = person if person != "new" else gallery.add_person(f"Person {name}").id
        sample = Sample("made.jpg", name, {}, {MODEL: rows[int(row)]})
        gallery.add_sample(person, sample)
        return person
    if verb == "delete":
        gallery.delete(*rest)
        return "deleted"
    if verb == "merge":
        gallery.merge(*rest)
        return "merged"
    index = gallery.index(MODEL)
    ((closest, *_),) = index.nearest(rows[int(rest[0])][None], people=1) if len(index) else [[""]]
    return f"{closest and closest[0]} {len(index)}"


def told(folder: str, large: int) -> None:
    following.LARGE = large
    gallery, rows = open_gallery(folder), pool()
    for line in sys.stdin:
        say(do(gallery, rows, line.split()))


def contents(gallery: Gallery) -> list:
    return [
        (person, sample.id, sample.crop, sample.templates[MODEL].tobytes())
        for person in gallery.people()
        for sample in gallery.samples(person.id)
    ]


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
        if what not in ("rotate", "reembed"):
            open_gallery(folder).close()
        kind = type(database_at(folder))
        late = Late(kind.writing)

        def write_late(database):
            return late(database)

        kind.writing = autocommit if "autocommit" in switches else write_late
    if "hasty" in switches:  # the new key takes the old one's place before it has sealed anything
        make = rotation.new_key

        def hasty(gallery: str) -> bytes:
            key = make(gallery)
            put_in_place(gallery, load_key(gallery))
            return key

        rotation.new_key = hasty
    does = {"enrol": enrol, "crowd": crowd, "rotate": rotate, "reembed": reembed, "told": told}
    does[what](Path(folder) if what in ("rotate", "reembed") else folder, int(seed))


if __name__ == "__main__":
    main()
