"""What a crop with a margin costs in resolution, and how large a face's box is in a crop.

    python benchmarks/margin.py loss [--every 5]   # LFW's pairs, or every fifth
    python benchmarks/margin.py boxes              # a photo of each person of lfw_people

A crop with a margin shows the face in fewer pixels. `loss` lays LFW's crops out as such a crop does
and enlarges them again: what the default pack's embedder then loses is lost by resolution alone.
Needs $VISAVIS_DATA (default ../shared).
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np

from visavis.alignment import ARCFACE_112, MIDDLE, SIZE, read_crop, similarity_transform
from visavis.dataset import open_pairs
from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.faces import find_faces
from visavis.metrics.verification import evaluate
from visavis.pack import load_pack
from visavis.types import Image

DATA = Path(os.environ.get("VISAVIS_DATA", "../shared")) / "data"
MARGINS = (0.0, 0.2, 0.5, 1.0)


def main() -> None:
    """One part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("loss", "boxes"))
    parser.add_argument("--every", type=int, default=1, help="of the pairs")
    arguments = parser.parse_args()
    if arguments.part == "loss":
        loss(arguments.every)
    else:
        boxes()


def loss(every: int) -> None:
    """Accuracy of ten folds by margin."""
    tree, pairs = open_pairs(DATA / "lfw_aligned_112.zip")
    left, right, same, fold = (
        column[::every] for column in (pairs.left, pairs.right, pairs.same, pairs.fold)
    )
    rows, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    crops = np.stack([read_crop(tree.read(pairs.names[row])) for row in rows])
    embed = load_embedder(load_pack(), flip=False)
    print(f"{len(same):,} pairs of {len(rows):,} pictures, {embed.model}")
    for margin in MARGINS:
        a, b = np.split(embed(np.stack([through(crop, margin) for crop in crops]))[places], 2)
        result = evaluate(np.einsum("nd,nd->n", a, b), same, folds=fold, failures=0)
        side = SIZE / (1 + 2 * margin)
        print(f"margin {margin}: a crop's width in {side:.0f} pixels: {result.accuracy:.2%}")


def through(crop: Image, margin: float) -> Image:
    """A crop as one with a margin holds it, enlarged again."""
    share = 1 / (1 + 2 * margin)
    onto = np.array([[share, 0, MIDDLE * (1 - share)], [0, share, MIDDLE * (1 - share)]])
    small = cv2.warpAffine(crop, onto, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    back = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, onto, (SIZE, SIZE), flags=back), np.uint8)


def boxes() -> None:
    """Width, height and middle of the largest face's box, in pixels of its crop: medians."""
    detect, measured = load_detector(load_pack()), []
    for person in sorted((DATA / "lfw_people").iterdir()):
        photo = min(person.glob("*.jpg"))
        for face in find_faces(detect, photo, max_faces=1).faces:
            onto = similarity_transform(face.landmarks, ARCFACE_112)
            corners = face.box.reshape(2, 2)
            sides = (corners[1] - corners[0]) * np.hypot(*onto[:, 0])
            measured.append([*sides, *(corners.mean(axis=0) @ onto[:, :2].T + onto[:, 2])])
    width, height, x, y = np.median(measured, axis=0)
    print(f"{len(measured)} faces: {width:.0f} x {height:.0f} pixels about ({x:.0f}, {y:.0f})")


if __name__ == "__main__":
    main()
