"""The default detector made lighter: in int8, and with smaller first looks. What is lost by it?

    python benchmarks/lighter.py [--people 158] [--photos 3]

Faces of lfw_people's photos and of build/photos, beside those of the detector as it is: how many
are lost and added, and how far boxes and landmarks move. Same pairs missed at a false match rate of
1e-3, each way cut and looked at again by its own detector, at its own threshold. Ranges are of
each person's last photo, made as pack/int8.json's are. Needs $VISAVIS_DATA (default ../shared).
"""

import argparse
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from alternating import race
from int8 import MOST_VALUES, best_range, is_dense
from numpy.typing import NDArray
from onnx import helper
from steady import limit

from visavis import detect as looks
from visavis.decode.boxes import letterbox
from visavis.detect import ScanDetector, load_detector
from visavis.embedder import load_embedder
from visavis.faces import find_faces
from visavis.image import read_image
from visavis.metrics.bootstrap import INTERVAL, weighted_means
from visavis.pack import load_pack
from visavis.pack.dequantise import parsed
from visavis.pack.int8 import quantise
from visavis.runtime import Device, load_model
from visavis.types import Embedder, Embeddings, Face, Image

DATA = Path(os.environ.get("VISAVIS_DATA", "../shared")) / "data"
EXACT, INT8 = Device("cpu", precision="float32"), Device("cpu", precision="int8")
RATE = 1e-3
OVERLAP = 0.5  # of two boxes' union: they are of one face
ROUNDS = 15
# The longer side of the first look at a large photo, and of the one at a small photo.
SIZES = {"looks of 448 and 256 pixels": (448, 256), "looks of 320 and 192": (320, 192)}


@dataclass(frozen=True)
class Way:
    """A detector, what it finds and what that is worth."""

    detect: Callable[[Image], list[Face]]
    faces: list[list[Face]] = field(default_factory=list)
    rows: dict[int, Embeddings] = field(default_factory=dict)  # by photo, of the face that is meant


def main() -> None:
    """A line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=3, help="of each person")
    parser.add_argument("--people", type=int, default=158)
    options = parser.parse_args()
    count = options.photos
    folders = sorted((DATA / "lfw_people").iterdir())[: options.people]
    people = [sorted(folder.glob("*.jpg")) for folder in folders]
    paths = [path for person in people for path in person[:count]]
    labels = np.array([row for row, person in enumerate(people) for _ in person[:count]])
    images = [read_image(path) for path in paths]
    images += [read_image(path) for path in sorted(Path("build/photos").glob("*.jp*g"))]
    embed = load_embedder(load_pack())
    others = [read_image(person[-1]) for person in people]
    ways = {name: Way(detect) for name, detect in detectors(others).items()}
    for name, way in ways.items():
        for number, image in enumerate(images):
            look(way, embed, number, image)
        print_faces(name, way, ways["float32"])
        print_missed(way, ways["float32"], labels)
    for name, image in (("250 pixels", images[0]), ("large", max(images, key=np.size))):
        times = race(*(partial(way.detect, image) for way in ways.values()), rounds=ROUNDS)
        for way_name, taken in zip(ways, times, strict=True):
            ratios = [a / b for a, b in zip(times[0], taken, strict=True)]
            print(f"{name}, {way_name}: {min(taken):.1f} ms, x{statistics.median(ratios):.2f}")


def detectors(images: list[Image]) -> dict[str, Callable[[Image], list[Face]]]:
    """The detector as it is, in int8, and in float32 with smaller looks."""
    exact = load_detector(load_pack(), device=EXACT)
    ways: dict[str, Callable[[Image], list[Face]]] = {"float32": exact}
    ways["int8"] = replace(exact, model=load_int8(images))
    return ways | {name: partial(looked, exact, sizes) for name, sizes in SIZES.items()}


def looked(detect: ScanDetector, sizes: tuple[int, int], image: Image) -> list[Face]:
    """The faces of smaller looks."""
    with sized(*sizes):
        return detect(image)


@contextmanager
def sized(first: int, small: int) -> Iterator[None]:
    """The detector's looks in other sizes."""
    kept = looks.SCALES, looks.SMALL
    looks.SCALES, looks.SMALL = (first, kept[0][1]), small
    try:
        yield
    finally:
        looks.SCALES, looks.SMALL = kept


def load_int8(images: list[Image]) -> Callable:
    """The network in int8: all but the first convolution and the depthwise ones."""
    pack = load_pack()
    spec = pack.manifest.detector
    data = pack.read(spec.file, spec.sha256)
    model = parsed(data)
    dense = dict.fromkeys(node.input[0] for node in model.graph.node if is_dense(node))
    names = [name for name in dense if name != model.graph.input[0].name]
    model.graph.output.extend(helper.make_tensor_value_info(name, 1, None) for name in names)
    network = load_model(model.SerializeToString(), spec.preprocess, EXACT)
    seen: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    rng = np.random.default_rng(0)
    for image in images:
        canvas, _ = letterbox(image, looks.SMALL, looks.FRAME, enlarge=looks.ENLARGE)
        for name, values in zip(names, network(canvas[None])[-len(names) :], strict=True):
            flat = values.ravel()
            some = rng.choice(flat, min(len(flat), MOST_VALUES // 10))
            seen[name].append(np.concatenate([[flat.min(), flat.max()], some]))
    ranges = {name: best_range(np.concatenate(values)) for name, values in seen.items()}
    return load_model(quantise(parsed(data), ranges).SerializeToString(), spec.preprocess, INT8)


def look(way: Way, embed: Embedder, number: int, image: Image) -> None:
    """Note a photo's faces, and the embedding of the one that is meant."""
    photo = find_faces(way.detect, image)
    way.faces.append(list(photo.faces))
    if photo.faces:
        way.rows[number] = embed(photo.crops(photo.certain[:1], way.detect))[0]


def print_faces(name: str, way: Way, exact: Way) -> None:
    """How many faces are lost and added, and how far the others move."""
    lost = added = 0
    edges, points = [], []
    for faces, known in zip(way.faces, exact.faces, strict=True):
        pairs = [(a, b) for a in known for b in faces if overlap(a.box, b.box) > OVERLAP]
        lost += len(known) - len({id(a) for a, _ in pairs})
        added += len(faces) - len({id(b) for _, b in pairs})
        for a, b in pairs:
            eyes = float(np.hypot(*(a.landmarks[1] - a.landmarks[0])))
            edges.append(float(np.abs(a.box - b.box).max()) / eyes)
            points.append(float(np.hypot(*(a.landmarks - b.landmarks).T).max()) / eyes)
    total = sum(map(len, exact.faces))
    print(
        f"{name}: of {total} faces {lost} lost, {added} added; in distances between the eyes boxes "
        f"move by {np.median(edges):.3f} ({np.quantile(edges, 0.95):.3f} at 95 %), landmarks by "
        f"{np.median(points):.3f} ({np.quantile(points, 0.95):.3f})",
        flush=True,
    )


def overlap(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Of two boxes, as a share of their union."""
    sides = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None)
    areas = [float(np.prod(box[2:] - box[:2])) for box in (a, b)]
    return float(np.prod(sides)) / (sum(areas) - float(np.prod(sides)))


def print_missed(way: Way, exact: Way, labels: NDArray[np.intp]) -> None:
    """Same pairs missed, and how that differs from the detector as it is, over people."""
    rows = [row for row in range(len(labels)) if row in way.rows and row in exact.rows]
    whose = labels[rows]
    same = whose[:, None] == whose
    missed = []
    for one in (way, exact):
        embeddings = np.stack([one.rows[row] for row in rows])
        similar = embeddings @ embeddings.T
        missed.append((similar < limit(embeddings, same, RATE))[np.triu(same, 1)].astype(float))
    person = np.broadcast_to(whose, same.shape)[np.triu(same, 1)]
    more = weighted_means(missed[0] - missed[1], np.column_stack([person, person]))
    low, high = 100 * np.percentile(more, INTERVAL)
    print(
        f"  {100 * missed[0].mean():.2f} % of {len(person)} same pairs missed, "
        f"{100 * (missed[0] - missed[1]).mean():+.2f} points ({low:+.2f} .. {high:+.2f})",
        flush=True,
    )


if __name__ == "__main__":
    main()
