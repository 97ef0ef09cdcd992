"""A photo of a face, held before a camera and turned as what it is; and a head made of it, turned.

The head is the photo on a bulge with a nose: enough for five points to move as those of a head.
"""

import cv2
import numpy as np

from visavis.types import Face, Image

DISTANCE = 6.0  # of the camera, in widths of the photo


TURN = np.linspace(-30, 30, 13)  # degrees


def turned(points: np.ndarray, yaw: float, pitch: float = 0.0) -> np.ndarray:
    """(5, 3) points turned, as a camera far away sees them: (5, 2), eyes 100 pixels apart."""
    a, b = np.radians([yaw, pitch])
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    seen = points @ (tilt @ turn).T
    far = 800.0
    return (seen[:, :2] * far / (far - seen[:, 2:]) * 100 / 35.2 + 300).astype(np.float32)


def turned_photo(image: Image, yaw: float, pitch: float = 0.0) -> Image:
    """The photo as a plane that is turned, seen by a camera."""
    return _seen(image, np.zeros(image.shape[:2]), yaw, pitch)


def turned_head(image: Image, face: Face, yaw: float) -> Image:
    """The photo as a head that is turned: its depth is that of a bulge, and of a nose on it."""
    height, width = image.shape[:2]
    eyes = float(np.hypot(*(face.landmarks[1] - face.landmarks[0])))
    down, across = np.mgrid[:height, :width].astype(np.float64)
    x, y = face.landmarks[2]
    from_nose = np.hypot(across - x, down - y) / eyes
    middle = (face.box[:2] + face.box[2:]) / 2
    size = (face.box[2:] - face.box[:2]) * 0.75
    bulge = 1 - ((across - middle[0]) / size[0]) ** 2 - ((down - middle[1]) / size[1]) ** 2
    depth = eyes * (
        0.8 * np.sqrt(np.clip(bulge, 0, None)) + 0.45 * np.exp(-((from_nose / 0.35) ** 2))
    )
    return _seen(image, depth, yaw, 0.0)


def _seen(image: Image, depth: np.ndarray, yaw: float, pitch: float) -> Image:
    """What a camera sees of a surface: each pixel looks where its own comes from.

    The surface is smooth, so three rounds of following the depth are enough.
    """
    height, width = image.shape[:2]
    down, across = np.mgrid[:height, :width].astype(np.float64)
    u, v = across - width / 2, down - height / 2
    far = DISTANCE * width
    a, b = np.radians([yaw, pitch])
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = tilt @ turn
    x, y = u.copy(), v.copy()
    for _ in range(12):
        here = cv2.remap(
            depth.astype(np.float32),
            (x + width / 2).astype(np.float32),
            (y + height / 2).astype(np.float32),
            cv2.INTER_LINEAR,
        )
        moved = [
            matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] * here for row in range(3)
        ]
        scale = far / (far - moved[2])
        x += (u - moved[0] * scale) * 0.7
        y += (v - moved[1] * scale) * 0.7
    onto = (x + width / 2).astype(np.float32), (y + height / 2).astype(np.float32)
    return cv2.remap(image, *onto, cv2.INTER_LINEAR, borderValue=(110, 110, 110))
