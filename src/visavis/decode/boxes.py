"""Candidates for faces as arrays, and what is done to them and to pictures. Knows no network."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.types import Image

Array = NDArray[np.float32]
STRIDE = 32  # network inputs are multiples of this, so that every feature map is whole


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """Faces before overlapping ones are merged, in pixels of the picture they were decoded for."""

    boxes: Array  # (K, 4) left, top, right, bottom
    landmarks: Array  # (K, 5, 2)
    scores: Array  # (K,)

    def placed(self, scale: float, left: float = 0.0, top: float = 0.0) -> "Candidates":
        """The same faces in the picture that was cut at (left, top), then scaled by `scale`."""
        shift = np.array([left, top], np.float32)
        return Candidates(
            self.boxes / np.float32(scale) + np.tile(shift, 2),
            self.landmarks / np.float32(scale) + shift,
            self.scores,
        )

    def __getitem__(self, rows: NDArray[np.intp]) -> "Candidates":
        return Candidates(self.boxes[rows], self.landmarks[rows], self.scores[rows])


@dataclass(frozen=True, slots=True)
class Frame:
    """The canvas on which a network's pictures are laid."""

    size: tuple[int, int] | None = None  # height and width of a network that takes no other
    multiple: int = STRIDE  # of other networks: sides are multiples of this
    padding: int = 0  # 0..255, every channel of what is around the picture

    def around(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the frame around a picture that fits into it."""
        if self.size is not None:
            return self.size
        return _whole(height, self.multiple), _whole(width, self.multiple)


FRAME = Frame()


def joined(parts: list[Candidates]) -> Candidates:
    """All parts as one. An empty list becomes no candidates."""
    return Candidates(
        np.concatenate([np.empty((0, 4), np.float32), *(part.boxes for part in parts)]),
        np.concatenate([np.empty((0, 5, 2), np.float32), *(part.landmarks for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.scores for part in parts)]),
    )


def letterbox(
    image: Image, longest: int, frame: Frame = FRAME, *, enlarge: float = 1.0
) -> tuple[Image, float]:
    """Shrink an image until its longer side is at most `longest` and it fits into the frame; then
    pad it right and below. A smaller image is enlarged, at most by `enlarge`.

    Returns the padded picture and the scale: a pixel of the image is `scale` pixels of the result.
    """
    height, width = image.shape[:2]
    scale = min(enlarge, longest / max(height, width))
    if frame.size is not None:
        scale = min(scale, frame.size[0] / height, frame.size[1] / width)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    if scale != 1:
        image = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR).astype(
            np.uint8, copy=False
        )
    canvas = np.full((*frame.around(inner[1], inner[0]), 3), frame.padding, np.uint8)
    canvas[: inner[1], : inner[0]] = image
    return canvas, scale


def sigmoid(values: Array) -> Array:
    """1 / (1 + exp(-value)), without overflow."""
    return np.asarray((1 + np.tanh(values / 2)) / 2, np.float32)


def nms(boxes: Array, scores: Array, *, max_overlap: float) -> NDArray[np.intp]:
    """Rows to keep, best score first. Of boxes whose intersection over union is above the limit
    the best is kept; of equally good ones the first.

    boxes (K, 4) left, top, right, bottom; scores (K,).
    """
    ranks = np.empty(len(scores))  # in place of scores, because OpenCV leaves out scores of 0
    ranks[(-scores).argsort(kind="stable")] = np.arange(len(scores), 0, -1)
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1, dtype=np.float64)
    kept = cv2.dnn.NMSBoxes(sides.tolist(), ranks.tolist(), 0, max_overlap)
    return np.array(kept, np.intp).reshape(-1)


def tiles(height: int, width: int, *, side: int, overlap: int) -> list[tuple[int, int]]:
    """Left, top corners of `side`-pixel squares that cover a picture; neighbours share at least
    `overlap` pixels.
    """

    def starts(length: int) -> list[int]:
        count = max(1, -(-(length - overlap) // (side - overlap)))
        return [round(start) for start in np.linspace(0, max(0, length - side), count)]

    return [(left, top) for top in starts(height) for left in starts(width)]


def _whole(pixels: int, multiple: int) -> int:
    return -(-pixels // multiple) * multiple
