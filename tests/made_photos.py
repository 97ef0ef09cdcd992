"""Photos and faces made for tests: no detector, no file."""

from io import BytesIO

import numpy as np
from PIL import Image as Pillow

from visavis.alignment import ARCFACE_112
from visavis.types import Face, Image


def face_of(left: float, top: float, width: float, height: float, score: float = 0.9) -> Face:
    """A face whose landmarks lie in its box as the template lies in a crop."""
    box = np.array([left, top, left + width, top + height], np.float32)
    points = np.float32([left, top]) + np.float32(ARCFACE_112 / 112 * [width, height])
    return Face(box, points.astype(np.float32), score)


def encoded(image: Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture's file."""
    buffer = BytesIO()
    Pillow.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()
