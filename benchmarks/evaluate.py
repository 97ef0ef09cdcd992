"""Time and memory of the figures of large data sets, made of random embeddings.

    python benchmarks/evaluate.py

All pairs of 7,701 pictures of 4,281 people (those of lfw_people without its label errors); the
1:1 protocol of IJB-C's size, its list of pairs read from a file; a search of 100,000 people for
20,000 probes. Each runs in a process of its own, so that its peak memory is its own; peaks count
what is made to be measured, too. The processor's two cores, no model.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.ijb import read_ijb
from visavis.evaluate.all_pairs import all_similarities
from visavis.evaluate.protocols import Embedded
from visavis.evaluate.templates import pair_similarities, pool
from visavis.metrics.identification import evaluate_search, search_gallery
from visavis.metrics.verification import evaluate
from visavis.types import Embeddings

DIM = 512
POINTS = "38.3 51.7 73.5 51.5 56.0 71.7 41.5 92.4 70.7 92.2"
PICTURES, TEMPLATES, LEFT, PAIRS, SAME = 469_375, 23_124, 3_531, 15_658_489, 19_557  # of IJB-C


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=PARTS, help="in this process; all without")
    part = parser.parse_args().part
    if part:
        PARTS[part]()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"  peak {peak:,.0f} MB")
        return
    for name in PARTS:
        print(f"{name}:", flush=True)
        subprocess.run([sys.executable, __file__, name], check=True)


def all_pairs() -> None:
    labels = people_of(7_701, 4_281)
    embeddings = embeddings_of(labels)
    clock = Clock()
    similarity, same = all_similarities(embeddings, labels)
    clock.lap(f"similarities of {len(same):,} pairs")
    result = evaluate(similarity, same, folds=None)
    clock.lap(f"figures: EER {result.eer:.4f}")
    clock.end()


def ijbc() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_lists(folder)
        people = people_of(PICTURES, TEMPLATES)
        embedded = Embedded(embeddings_of(people), np.ones(PICTURES, bool))
        clock = Clock()
        ijb = read_ijb(folder)
    clock.lap(f"lists of {len(ijb.names):,} pictures and {len(ijb.pairs.same):,} pairs")
    templates = pool(ijb, embedded)
    clock.lap(f"{len(ijb.templates):,} templates")
    similarity = pair_similarities(ijb.pairs, templates)
    clock.lap("similarities")
    result = evaluate(similarity, ijb.pairs.same, folds=None)
    clock.lap(f"figures: {len(result.tar)} rates")
    clock.end()


def search() -> None:
    rng = np.random.default_rng(0)
    gallery = embeddings_of(np.arange(100_000))
    people = rng.integers(0, 200_000, 20_000)  # half are strangers
    probes = unit(rng.normal(size=(20_000, DIM)).astype(np.float32))
    clock = Clock()
    found = search_gallery(gallery, np.arange(100_000), probes, people)
    clock.lap("20,000 probes in 100,000 people")
    evaluate_search(found)
    clock.lap("figures, with intervals")
    clock.end()


PARTS = {"all-pairs": all_pairs, "ijbc": ijbc, "search": search}


class Clock:
    """Prints what each step took, and all."""

    def __init__(self) -> None:
        self.start = self.last = time.perf_counter()

    def lap(self, what: str) -> None:
        now = time.perf_counter()
        print(f"  {now - self.last:6.2f} s  {what}", flush=True)
        self.last = now

    def end(self) -> None:
        print(f"  {self.last - self.start:6.2f} s  together")


def people_of(pictures: int, people: int) -> NDArray[np.intp]:
    """Labels, each at least once, in order."""
    more = np.random.default_rng(1).integers(0, people, pictures - people)
    return np.sort(np.concatenate([np.arange(people), more]))


def embeddings_of(labels: NDArray[np.intp]) -> Embeddings:
    """Unit embeddings, those of a person about 0.5 alike. In blocks, to need no more memory."""
    rng = np.random.default_rng(2)
    centers = unit(rng.normal(size=(labels.max() + 1, DIM)).astype(np.float32))
    rows = np.empty((len(labels), DIM), np.float32)
    for start in range(0, len(labels), 8192):
        block = centers[labels[start : start + 8192]]
        noise = rng.standard_normal(block.shape, np.float32) / np.float32(DIM**0.5)
        rows[start : start + 8192] = unit(block + noise)
    return rows


def unit(rows: NDArray[np.float32]) -> Embeddings:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write_lists(folder: Path) -> None:
    """Lists of IJB-C's size, and as many empty pictures."""
    rng = np.random.default_rng(3)
    meta, pictures = folder / "meta", folder / "loose_crop"
    meta.mkdir()
    pictures.mkdir()
    templates, media = people_of(PICTURES, TEMPLATES) + 1, rng.integers(0, 150_000, PICTURES)
    with (
        (meta / "ijbc_face_tid_mid.txt").open("w") as members,
        (meta / "ijbc_name_5pts_score.txt").open("w") as points,
    ):
        for row in range(PICTURES):
            members.write(f"{row + 1}.jpg {templates[row]} {media[row]}\n")
            points.write(f"{row + 1}.jpg {POINTS} 0.999\n")
            (pictures / f"{row + 1}.jpg").touch()
    with (meta / "ijbc_template_pair_label.txt").open("w") as pairs:
        for start in range(0, PAIRS, 1_000_000):
            count = min(1_000_000, PAIRS - start)
            left = rng.integers(1, LEFT + 1, count).tolist()
            right = rng.integers(LEFT + 1, TEMPLATES + 1, count).tolist()
            same = (np.arange(start, start + count) < SAME).astype(int).tolist()
            pairs.writelines(f"{a} {b} {c}\n" for a, b, c in zip(left, right, same, strict=True))


if __name__ == "__main__":
    main()
