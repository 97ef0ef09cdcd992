"""Print what a large gallery costs: opening and loading, one search, enrolling.

    python benchmarks/gallery.py [--templates 100000] [--people 20000]

The gallery is made of random unit embeddings, in a folder that is removed again: no photo, no
model. Searches and enrolments are medians; what detecting and embedding a face cost comes on top.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from visavis.gallery import Gallery, Sample, exact
from visavis.gallery import sqlite as schema

DIM = 512
MODEL = "made@0"
SEARCHES = 30
ENROLMENTS = 200


def main() -> None:
    """Print one line for each figure, with the goal it is held to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=20_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CONFIG_HOME"] = home
        folder = Path(home) / "gallery"
        fill(folder, given.templates, given.people)
        print(f"{given.templates:,} templates of {given.people:,} people, {DIM} numbers each")
        started = time.perf_counter()
        gallery = Gallery(folder, create=False)
        templates, bad = gallery.templates(MODEL)
        report("open and load", time.perf_counter() - started, "s", "3")
        assert (len(templates.rows), bad) == (given.templates, ())
        report("one search", 1000 * search(gallery), "ms", "15")
        report("one search, names included", 1000 * search(gallery, names=True), "ms", "15")
        report("enrolments a second", enrol(gallery), "", "25 or more")
        person = gallery.find("Person 7")
        started = time.perf_counter()
        gallery.delete(person.id)
        report("erase a person", time.perf_counter() - started, "s", "10")


def fill(folder: Path, templates: int, people: int) -> None:
    """Write the gallery in one transaction: what is measured is reading it."""
    gallery = Gallery(folder)
    rng = np.random.default_rng(0)
    at = "2026-01-01T00:00:00.000+00:00"
    names = [f"{number:032x}" for number in rng.permutation(people)]
    with schema.writing(gallery._engine, gallery.path) as connection:
        rows = [{"id": name, "name": f"Person {int(name, 16)}", "added_at": at} for name in names]
        connection.execute(insert(schema.people), rows)
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
                    "model": MODEL,
                    "data": gallery.vault.seal(row.tobytes(), gallery.id, owner, sample, MODEL),
                }
                for sample, owner, row in zip(made, owners, unit(rng, len(made)), strict=True)
            ]
            connection.execute(insert(schema.samples), samples)
            connection.execute(insert(schema.templates), sealed)
    gallery.close()


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    """Random directions."""
    rows = rng.standard_normal((count, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def search(gallery: Gallery, *, names: bool = False) -> float:
    """Seconds of a search, from the probe's embedding to everybody's similarity."""
    rng = np.random.default_rng(1)
    seconds = []
    for probe in unit(rng, SEARCHES):
        started = time.perf_counter()
        templates, _ = gallery.templates(MODEL)
        best = exact(templates)(probe[None])[0].argmax()
        if names:
            gallery.people_of([templates.people[best]])
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
