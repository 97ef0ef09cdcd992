"""Made photos for tests of enrolment and search: who they show is their brightness."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from visavis.alignment import ARCFACE_112
from visavis.types import Face, Part

ANNA, BERT, CARL = 60, 110, 160  # brightness; Anna and Bert at a right angle, Anna and Carl opposed
ONE, NONE, TWO, SMALL, TURNED, CUT, APART = range(200, 207)  # a photo's width says what it shows


def face(left: float, top: float, side: float) -> Face:
    points = ARCFACE_112 * side / 112 + (left, top)
    box = np.array([left, top, left + side, top + side], np.float32)
    return Face(box, points.astype(np.float32), 0.9)


def turned() -> Face:
    one = face(50, 50, 100)
    points = one.landmarks.copy()
    points[2, 0] += 45  # the nose, far to one side
    return Face(one.box, points, 0.9)


SHOWN: dict[int, list[Face]] = {
    ONE: [face(50, 50, 100)],
    NONE: [],
    TWO: [face(0, 50, 100), face(100, 50, 98)],
    SMALL: [face(50, 50, 30)],
    TURNED: [turned()],
    CUT: [face(-40, 50, 100)],
    APART: [face(0, 0, 100), face(110, 110, 70)],
}


def detect(image: np.ndarray, /) -> list[Face]:
    """The faces of a made photo; looked at again, none is found."""
    return SHOWN.get(image.shape[1], [])


class AngleEmbedder:
    """The mean brightness of a crop as an angle, 50 levels a right angle: two numbers."""

    model = "fake@0"
    dim = 2
    margin = 0.0

    @property
    def parts(self):
        return (Part(self.model, self.dim),)

    def __call__(self, crops: np.ndarray, /) -> np.ndarray:
        angles = crops.mean(axis=(1, 2, 3)) * np.pi / 100
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def angle(levels: float) -> np.ndarray:
    """The embedding of a brightness."""
    return np.array([np.cos(levels * np.pi / 100), np.sin(levels * np.pi / 100)], np.float32)


def picture(levels: Sequence[float] | float, *, shows: int = ONE, seed: int = 0, noise: int = 20):
    """An array of 200 rows: brightness with noise, from left to right where there are several."""
    parts = np.array_split(np.arange(shows), np.size(levels))
    image = np.empty((200, shows, 3))
    for part, level in zip(parts, np.atleast_1d(levels), strict=True):
        image[:, part] = level
    grain = np.random.default_rng(seed).integers(-noise, noise + 1, (200, shows, 1))
    return (image + grain).clip(0, 255).astype(np.uint8)


def photo(path: Path, levels: Sequence[float] | float, **shown: int) -> Path:
    """A made photo as a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(levels, **shown)).save(path)
    return path
