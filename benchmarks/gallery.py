"""Print what a large gallery costs: opening and loading, one search, enrolling, being followed.

    python benchmarks/gallery.py [--templates 100000] [--people 20000]
    python benchmarks/gallery.py --gallery postgresql:///name?host=/run/postgresql&gallery=measured
    python benchmarks/gallery.py --added 10000

The gallery is made of random unit embeddings, in a folder that is removed again, or at an address
where none is yet: no photo, no model. Searches and enrolments are medians; what detecting and
embedding a face cost comes on top.
With --added, another process adds so many templates one by one to an empty gallery, and after each
this one searches: when it is caught up, and once more unchanged.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from visavis.gallery import Gallery, Sample, open_gallery
from visavis.gallery.audit import Audit
from visavis.gallery.people import COLUMNS
from visavis.gallery.tables import PEOPLE, SAMPLES, TEMPLATES
from visavis.gallery.vault import PersonVault

DIM = 512
MODEL = "made@0"
ROW = (*COLUMNS, "seal")
SEARCHES = 30
ENROLMENTS = 200


def main() -> None:
    """Print one line for each figure, with the goal it is held to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--added", type=int, default=0, help="by another process, each searched")
    parser.add_argument("--gallery", help="an address of PostgreSQL's, where no gallery is yet")
    parser.add_argument("--adding", help=argparse.SUPPRESS)  # what that process does
    arguments = parser.parse_args()
    if arguments.adding:
        add_on_request(arguments.adding)
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CONFIG_HOME"] = home
        folder = arguments.gallery or Path(home) / "gallery"
        if arguments.added:
            follow(folder, arguments.added)
            return
        fill(folder, arguments.templates, arguments.people)
        print(
            f"{arguments.templates:,} templates of {arguments.people:,} people, {DIM} numbers each"
        )
        started = time.perf_counter()
        gallery = open_gallery(folder, create=False)
        index = gallery.index(MODEL)
        report("open and load", time.perf_counter() - started, "s", "3")
        assert (len(index), gallery.quarantined(MODEL)) == (arguments.templates, ())
        started = time.perf_counter()
        assert len(gallery.people()) == arguments.people
        report("list everybody", time.perf_counter() - started, "s", "3")
        report("one search", 1000 * search(gallery), "ms", "15")
        report("one search, names included", 1000 * search(gallery, names=True), "ms", "15")
        report("enrolments a second", enrol(gallery), "", "25 or more")
        person = gallery.find("Person 7")
        started = time.perf_counter()
        gallery.delete(person.id)
        report("erase a person", time.perf_counter() - started, "s", "10")


def follow(folder: Path | str, count: int) -> None:
    """Another process adds a template, this one searches, `count` times."""
    gallery = open_gallery(folder)
    gallery.index(MODEL)
    command = [sys.executable, __file__, "--adding", str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    caught_up, unchanged = [], []
    probe = unit(np.random.default_rng(1), 1)
    started = time.perf_counter()
    with subprocess.Popen(command, text=True, **pipes) as other:
        for number in range(1, count + 1):
            other.stdin.write("one\n")
            other.stdin.flush()
            assert other.stdout.readline() == "added\n"
            caught_up.append(timed_search(gallery, probe))
            assert len(gallery.index(MODEL)) == number
            unchanged.append(timed_search(gallery, probe))
        other.stdin.close()
    spent = time.perf_counter() - started
    print(f"{count:,} templates added one by one by another process, each searched: {spent:.0f} s")
    reference = statistics.median(unchanged[-max(1, count // 10) :])
    print(f"one search, unchanged, of about {count:,} templates: {1000 * reference:.3f} ms")
    for label, part in (
        ("all", slice(None)),
        ("the last tenth", slice(-max(1, count // 10), None)),
    ):
        one, two = (1000 * statistics.median(row[part]) for row in (caught_up, unchanged))
        print(f"median, {label:<15} caught up {one:7.3f} ms, unchanged {two:7.3f} ms")
    total, share = sum(caught_up), np.mean(np.array(caught_up) < 2 * reference)
    print(f"{count:,} searches, caught up: {total:.1f} s, {100 * share:.2f} % under twice that one")
    report("mean, times the unchanged one", total / count / reference, "", "below 2")


def timed_search(gallery: Gallery, probe: np.ndarray) -> float:
    """Seconds of one search."""
    started = time.perf_counter()
    gallery.index(MODEL).nearest(probe)
    return time.perf_counter() - started


def add_on_request(folder: Path | str) -> None:
    """Add a template for each line of standard input."""
    gallery, rng = open_gallery(folder), np.random.default_rng(2)
    people = [gallery.add_person(f"Person {number}").id for number in range(100)]
    for number, _ in enumerate(sys.stdin):
        sample = Sample("made.jpg", str(number), {}, {MODEL: unit(rng, 1)[0]})
        gallery.add_sample(people[number % len(people)], sample)
        print("added", flush=True)


def fill(
    folder: Path | str, templates: int, people: int, *, dim: int = DIM, model: str = MODEL
) -> None:
    """Write the gallery in one transaction: what is measured is reading it."""
    gallery = open_gallery(folder)
    rng = np.random.default_rng(0)
    at = "2026-01-01T00:00:00.000+00:00"
    names = [f"{number:032x}" for number in rng.permutation(people)]
    with gallery.database.writing() as connection:
        audit = Audit(gallery.database, gallery.vault, gallery.id)
        before = audit.head(connection)
        entry = audit.go_on(connection, replace(before, people=people), "made", {})
        seal = PersonVault(gallery.vault, gallery.id).seal
        rows = [[name, f"Person {int(name, 16)}", None, None, at, None, None] for name in names]
        sealed_rows = [dict(zip(ROW, [*row, seal(row, entry)], strict=True)) for row in rows]
        connection.execute(insert(PEOPLE), sealed_rows)
        for start in range(0, templates, 5000):
            numbers = range(start, min(start + 5000, templates))
            made = [f"{number:032x}" for number in rng.integers(0, 2**62, len(numbers))]
            owners = [names[number % people] for number in numbers]
            samples = [
                {
                    "id": sample,
                    "person_id": owner,
                    "source": "made.jpg",
                    "source_sha256": f"{number:064x}",
                    "quality": "{}",
                    "crop": None,
                    "added_at": at,
                }
                for number, sample, owner in zip(numbers, made, owners, strict=True)
            ]
            sealed = [
                {
                    "sample_id": sample,
                    "model": model,
                    "data": gallery.vault.seal(row.tobytes(), gallery.id, owner, sample, model),
                }
                for sample, owner, row in zip(made, owners, unit(rng, len(made), dim), strict=True)
            ]
            connection.execute(insert(SAMPLES), samples)
            connection.execute(insert(TEMPLATES), sealed)
    gallery.close()


def unit(rng: np.random.Generator, count: int, dim: int = DIM) -> np.ndarray:
    """Random directions."""
    rows = rng.standard_normal((count, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def search(gallery: Gallery, *, names: bool = False) -> float:
    """Seconds of a search, from the probe's embedding to everybody's similarity."""
    rng = np.random.default_rng(1)
    seconds = []
    for probe in unit(rng, SEARCHES):
        started = time.perf_counter()
        (closest,) = gallery.index(MODEL).nearest(probe[None])
        if names:
            gallery.people_of(person for person, _ in closest)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def enrol(gallery: Gallery) -> float:
    """Samples a second, each on disk before the next."""
    person = gallery.add_person("New")
    rows = unit(np.random.default_rng(2), ENROLMENTS)
    started = time.perf_counter()
    for number, row in enumerate(rows):
        gallery.add_sample(person.id, Sample("new.jpg", f"new {number}", {}, {MODEL: row}))
    return ENROLMENTS / (time.perf_counter() - started)


def report(name: str, value: float, unit: str, goal: str) -> None:
    """One line."""
    print(f"{name:<30}{value:8.3f} {unit:<3} (goal {goal})")


if __name__ == "__main__":
    main()
