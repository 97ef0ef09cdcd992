"""What a second look at each face is worth, and what it costs: same pairs missed before and after.

    python benchmarks/steady.py

The photos of lfw_people as they are, all pairs; then the first of each person degraded, against
everybody's photos as they are. Thresholds are those of 1 and of 10 false matches in 10,000
different pairs of the photos as they are, for each way by itself. "Photos alone": photos are cut
after a second look, probes after the first, as where people are enrolled with one and searched
without; "probes alone" the other way round, as with kept crops of before. Differences are paired,
their 95 % intervals over people. Figures are printed, no picture.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import People, Tree, find_people, open_tree
from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.evaluate.degrade import CLEAN, Degradation, degradations
from visavis.faces import find_faces
from visavis.image import read_image
from visavis.metrics.bootstrap import INTERVAL, weighted_means
from visavis.pack import load_pack
from visavis.types import Detector, Embedder, Embeddings

RATES = (1e-3, 1e-4)
NAMES = "tilt,mask:medium,occlusion:medium,blur:strong,dark:strong"
ROUNDS = 30
Both = tuple[Embeddings, Embeddings]  # of the first look, and of the second


def main() -> None:
    """A table for the photos, one for each degradation, and the cost."""
    arguments = parse_arguments()
    pack = load_pack()
    detect, embed = load_detector(pack), load_embedder(pack)
    tree = open_tree(arguments.data / "lfw_people")
    everyone = find_people(tree)
    people = everyone.keep(np.array([*ranks(everyone)]) < arguments.photos)
    first = np.flatnonzero(np.array([*ranks(people)]) < arguments.probes)
    print_cost(detect, embed, tree.read(people.pictures[0]))
    every = np.arange(len(people.pictures))
    photos, rows = embedded(tree, people, every, CLEAN, detect, embed)
    same = people.labels[rows][:, None] == people.labels[rows]
    thresholds = [[limit(way, same, rate) for rate in RATES] for way in photos]
    print(f"{len(people.names)} people, {len(rows):,} photos; thresholds {thresholds}\n")
    print("| probes | pairs | mean similarity | rate | missed before | after (difference) ", end="")
    print("| photos alone | probes alone |\n|---|---|---|---|---|---|---|---|")
    print_rows(CLEAN, (photos, rows), (photos, rows), people, thresholds)
    for one in degradations(arguments.names):
        probes = embedded(tree, people, first, one, detect, embed)
        print_rows(one, probes, (photos, rows), people, thresholds)


def parse_arguments() -> argparse.Namespace:
    """Where the data is, and how much of it is used."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--photos", type=int, default=10, help="of each person")
    parser.add_argument("--probes", type=int, default=1, help="of each person, degraded")
    parser.add_argument("--names", default=NAMES, help='as "dark,blur:strong"')
    return parser.parse_args()


def ranks(people: People) -> Iterator[int]:
    """Of each picture, how many of its person's come before."""
    seen = np.zeros(len(people.names), int)
    for label in people.labels:
        yield int(seen[label])
        seen[label] += 1


def embedded(
    tree: Tree,
    people: People,
    pictures: NDArray[np.intp],
    degradation: Degradation,
    detect: Detector,
    embed: Embedder,
) -> tuple[Both, NDArray[np.intp]]:
    """Embeddings of both ways, and the pictures in which a face is found."""
    crops, kept = [], []
    for picture in pictures.tolist():
        image = read_image(tree.read(people.pictures[picture]))
        if degradation is not CLEAN:
            clean = find_faces(detect, image, max_faces=1).faces
            image = degradation.change(image, clean[0].landmarks if clean else None)
        photo = find_faces(detect, image, max_faces=1)
        if photo.faces:
            crops.append((photo.crops([0]), photo.crops([0], detect)))
            kept.append(picture)
    first, second = (embed(np.concatenate([pair[way] for pair in crops])) for way in (0, 1))
    return (first, second), np.array(kept)


def limit(rows: Embeddings, same: NDArray[np.bool_], rate: float) -> float:
    """The similarity that a share of different pairs reaches."""
    different = np.sort((rows @ rows.T)[np.triu(~same, 1)])[::-1]
    return round(float(different[int(rate * len(different))]), 4)


def print_rows(
    degradation: Degradation,
    probes: tuple[Both, NDArray[np.intp]],
    photos: tuple[Both, NDArray[np.intp]],
    people: People,
    thresholds: list[list[float]],
) -> None:
    """Same pairs of probes with photos, a photo never with itself."""
    (probe_ways, probe_rows), (photo_ways, photo_rows) = probes, photos
    left, right = probe_rows[:, None], photo_rows[None]
    pairs = (people.labels[left] == people.labels[right]) & (left != right)
    if degradation is CLEAN:
        pairs &= left < right
    person = np.broadcast_to(people.labels[left], pairs.shape)[pairs]
    whose = np.column_stack([person, person])
    ways = [(0, 0), (1, 1), (1, 0), (0, 1)]  # the look of the photos, and of the probes
    similar = [(probe_ways[b] @ photo_ways[a].T)[pairs] for a, b in ways]
    means = " / ".join(f"{values.mean():.3f}" for values in similar)
    for column, rate in enumerate(RATES):
        missed = [
            (values < thresholds[a][column]).astype(float)
            for values, (a, _) in zip(similar, ways, strict=True)
        ]
        against = " | ".join(shown(one, missed[0], whose) for one in missed[1:])
        print(
            f"| {degradation.label} | {len(person):,} | {means} | {rate:.0e} "
            f"| {100 * missed[0].mean():.2f} % | {against} |",
            flush=True,
        )


def shown(missed: NDArray[np.float64], before: NDArray[np.float64], whose: NDArray[np.intp]) -> str:
    """A share in percent, and its difference to before with its interval over people."""
    low, high = 100 * np.percentile(weighted_means(missed - before, whose), INTERVAL)
    difference = 100 * (missed - before).mean()
    return f"{100 * missed.mean():.2f} % ({difference:+.2f}, {low:+.2f} .. {high:+.2f})"


def print_cost(detect: Detector, embed: Embedder, data: bytes) -> None:
    """Medians for one photo with one face, from its file."""
    photo = find_faces(detect, data)
    crops = photo.crops([0])
    parts = {
        "find the faces": lambda: find_faces(detect, data),
        "cut the crop": lambda: photo.crops([0]),
        "cut it after a second look": lambda: photo.crops([0], detect),
        "embed it": lambda: embed(crops),
    }
    for name, work in parts.items():
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        print(f"{name}: {1000 * np.median(times):.1f} ms")


if __name__ == "__main__":
    main()
