"""Print the two tables of docs/robustness.md: what degraded probes cost the default pack.

    python benchmarks/degrade.py

Folds 1 and 2 of LFW's pairs.txt as aligned crops, and 600 pairs of the photos of lfw_people, in
which the face is found again after each degradation. Figures alone are printed, no picture.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from visavis.dataset import Pairs, People, find_people, open_tree, read_pairs
from visavis.dataset.pairs import Listed, pairs_of
from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.evaluate.degrade import DegradedResult, degradations, degraded
from visavis.evaluate.protocols import CropSource
from visavis.pack import load_pack
from visavis.pack.calibration import load_calibration

FOLDS = 2
EACH = 300  # same pairs, and different pairs, of the photos


def main() -> None:
    """Two tables."""
    arguments = parse_arguments()
    pack = load_pack()
    embed = load_embedder(pack)
    threshold = load_calibration(pack).policy("standard").match.threshold
    chosen = degradations(arguments.names)
    crops = open_tree(arguments.data / "lfw_aligned_112.zip")
    listed = read_pairs(crops.read("lfw_aligned_112/pairs.txt").decode(), crops)
    photos = open_tree(arguments.data / "lfw_people")
    for title, source, pairs in (
        ("Aligned crops", CropSource(crops), listed.keep(listed.fold < FOLDS)),
        ("Photos", CropSource(photos, load_detector(pack)), sample(find_people(photos))),
    ):
        started = time.perf_counter()
        rows = degraded(source, pairs, embed, chosen)
        print(f"\n{title}: {len(pairs.same):,} pairs, {rows[0].pictures:,} pictures degraded\n")
        print_table(rows, pairs, threshold)
        print(f"{title}: {time.perf_counter() - started:.0f} s", file=sys.stderr)


def parse_arguments() -> argparse.Namespace:
    """Where the data is, and what to do to it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--names", default="all", help='as "dark,blur:strong"')
    return parser.parse_args()


def sample(people: People) -> Pairs:
    """Same and different pairs drawn with a fixed seed, no pair twice."""
    draws = np.random.default_rng(0)
    of = [np.flatnonzero(people.labels == row) for row in range(len(people.names))]
    found: dict[tuple[int, int], Listed] = {}
    while len(found) < 2 * EACH:
        same = len(found) < EACH
        a = int(draws.integers(len(of)))
        b = a if same else int(draws.integers(len(of)))
        left, right = int(draws.choice(of[a])), int(draws.choice(of[b]))
        key = (min(left, right), max(left, right))
        if left == right or (a == b) != same or key in found:
            continue
        names, shown = (people.pictures[left], people.pictures[right]), (str(a), str(b))
        found[key] = Listed(*names, shown, 0, len(found) + 1, same)
    return pairs_of(found.values(), "sample")


def print_table(rows: list[DegradedResult], pairs: Pairs, threshold: float) -> None:
    """A row for each degradation."""
    print("| degradation | strength | TAR at FAR 1e-2 | EER | no face found ", end="")
    print(f"| missed at {threshold:.4f} | false matches there |\n|---|---|---|---|---|---|---|")
    for row in rows:
        result, matched = row.result, row.similarity >= threshold
        print(
            f"| {row.degradation.name} | {row.degradation.strength} "
            f"| {100 * result.tar['1e-2']:.1f} % | {100 * result.eer:.1f} % "
            f"| {result.failures_to_acquire} "
            f"| {100 * np.mean(~matched[pairs.same]):.1f} % | {np.sum(matched[~pairs.same])} |"
        )


if __name__ == "__main__":
    main()
