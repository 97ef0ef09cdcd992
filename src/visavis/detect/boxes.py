"""Arrays of boxes: what decoders give, and what is done with it. Knows nothing of networks."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.types import Image

Floats = NDArray[np.float32]
STRIDE = 32  # network inputs are multiples of this, so that every feature map is whole


@dataclass(frozen=True, eq=False, slots=True)
class Candidates:
    """Faces before overlapping ones are merged, in pixels of the picture they were decoded for."""

    boxes: Floats  # (K, 4) left, top, right, bottom
    landmarks: Floats  # (K, 5, 2)
    scores: Floats  # (K,)

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


def joined(parts: list[Candidates]) -> Candidates:
    """All parts as one; the empty list is no face."""
    return Candidates(
        np.concatenate([np.empty((0, 4), np.float32), *(part.boxes for part in parts)]),
        np.concatenate([np.empty((0, 5, 2), np.float32), *(part.landmarks for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.scores for part in parts)]),
    )


def letterbox(image: Image, longest: int) -> tuple[Image, float]:
    """Shrink until the longer side is at most `longest`, then pad right and below to whole strides.

    Returns the padded picture and the scale: a pixel of the image is `scale` pixels of the result.
    A small image is never enlarged.
    """
    height, width = image.shape[:2]
    scale = min(1.0, longest / max(height, width))
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    if scale < 1:
        image = cv2.resize(image, inner, interpolation=cv2.INTER_LINEAR).astype(
            np.uint8, copy=False
        )
    canvas = np.zeros((_whole(inner[1]), _whole(inner[0]), 3), np.uint8)
    canvas[: inner[1], : inner[0]] = image
    return canvas, scale


def nms(boxes: Floats, scores: Floats, *, max_overlap: float) -> NDArray[np.intp]:
    """Rows to keep, best score first: of boxes whose intersection over union is above the limit,
    the best.

    boxes (K, 4) left, top, right, bottom; scores (K,).
    """
    order = (-scores).argsort(
        kind="stable"
    )  # stable, so equal scores give equal results everywhere
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[order, :2])
        other = np.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = np.prod(np.maximum(other - corner, 0), axis=1)
        order = order[shared <= max_overlap * (areas[best] + areas[order] - shared)]
    return np.array(kept, np.intp)


def tiles(height: int, width: int, *, side: int, overlap: int) -> list[tuple[int, int]]:
    """Left, top corners of `side`-pixel squares that cover a picture, each sharing `overlap` pixels
    at least.
    """

    def starts(length: int) -> list[int]:
        count = max(1, -(-(length - overlap) // (side - overlap)))
        return [round(start) for start in np.linspace(0, max(0, length - side), count)]

    return [(left, top) for top in starts(height) for left in starts(width)]


def _whole(pixels: int) -> int:
    return -(-pixels // STRIDE) * STRIDE
