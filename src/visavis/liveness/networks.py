"""MiniFASNet: two small networks that look at a face and its surroundings, close and from afar.

Silent-Face-Anti-Spoofing, minivision, 2020, Apache-2.0. They were trained on camera pictures of the
shape 3:4, faces within 30 degrees; of press photos they call one in twelve spoofed: never run them
on photos that are enrolled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.errors import ModelError
from visavis.runtime import Device, Model, Preprocess, load_model
from visavis.types import Face, Image

SIDE = 80  # pixels: what the networks take
LIVE = 1  # of the three classes; the others are print and replay
# BGR, 0..255 as they are
PIXELS = Preprocess("bgr")
# File, and how many times as large as the face's box is what it sees.
PAIR = (("2.7_80x80_MiniFASNetV2.onnx", 2.7), ("4_0_0_80x80_MiniFASNetV1SE.onnx", 4.0))


@dataclass(frozen=True, eq=False, slots=True)
class LivenessPair:
    """The loaded networks. Their mean is the score: 0..1, the higher the more alive."""

    models: tuple[tuple[Model, float], ...]

    def __call__(self, image: Image, faces: Sequence[Face], /) -> NDArray[np.float32]:
        """(N,) scores of faces of a whole frame: the surroundings say as much as the face.

        Raises ModelError for a network that answers with NaN.
        """
        scores = np.zeros(len(faces), np.float32)
        for row, face in enumerate(faces):
            scores[row] = np.mean([self._score(image, face, *one) for one in self.models])
        return scores

    def _score(self, image: Image, face: Face, model: Model, scale: float) -> float:
        (logits,) = model(surroundings(image, face, scale)[None])
        if logits.shape != (1, 3) or not np.isfinite(logits).all():
            raise ModelError(f"expected three numbers of a liveness network, got {logits.tolist()}")
        odds = np.exp(logits[0].astype(np.float64) - logits.max())
        return float(odds[LIVE] / odds.sum())


def load_liveness(folder: Path, device: str | Device = "auto") -> LivenessPair:
    """The two networks of a folder. Raises ModelError where one is missing or cannot be loaded."""
    models = []
    for name, scale in PAIR:
        path = folder / name
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"{path}: the liveness network cannot be read: {error.strerror or error}",
                mend="both files of the pair must be in one folder: docs/liveness.md",
                option="liveness_models",
            ) from error
        models.append((load_model(data, PIXELS, device), scale))
    return LivenessPair(tuple(models))


def surroundings(image: Image, face: Face, scale: float) -> Image:
    """(80, 80, 3): a face with what is around it, as the networks were trained to see it.

    The box `scale` times as large, less where the picture is smaller, shifted so that it lies
    within.
    """
    left, top, right, bottom = scaled_box(face, image.shape[1], image.shape[0], scale)
    part = image[top : bottom + 1, left : right + 1]
    return np.asarray(cv2.resize(part, (SIDE, SIDE)), np.uint8)


def scaled_box(face: Face, width: int, height: int, scale: float) -> tuple[int, int, int, int]:
    """Left, top, right and bottom pixel, all within. Raises ModelError for a box without any."""
    corner, size = face.box[:2].astype(np.float64), np.diff(face.box.reshape(2, 2), axis=0)[0]
    room = np.array([width - 1, height - 1], np.float64)
    if not np.isfinite(face.box).all() or min(size) <= 0 or min(room) < 1:
        raise ModelError(f"expected a box in a picture, got {face.box.tolist()}")
    larger = size * min(scale, *(room / size))
    first = corner + size / 2 - larger / 2
    # Shifted, not cut: the networks expect the face in the middle, and its size.
    first = np.clip(first, 0, np.maximum(room - larger, 0))
    last = np.minimum(first + larger, room)
    left, top, right, bottom = (int(value) for value in (*first, *last))
    return left, top, right, bottom
