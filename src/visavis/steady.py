"""A second look at one face, turned upright: landmarks that are calmer, and follow its tilt.

A detector's landmarks tremble by pixels, and follow only a part of a tilt. Looked at again upright,
and mirrored, they do better (docs/detectors.md). Knows a detector as a callable; no photo.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.alignment import ARCFACE_112, SIZE, similarity_transform
from visavis.types import Detector, Face, Image

TILE = 192  # pixels: a side of what is looked at; the mirrored one lies beside it
SPAN = 280 / SIZE  # sides of a crop that a tile shows
# The face that is found again has its middle (the mean of its landmarks) in that of the tile, at
# most so far off, as a share of the tile: half the distance between the eyes is 0.06.
NEAR = 0.1
# Degrees. A face that has turned by so much since the last look is looked at again: each look sees
# about half of the tilt that is left, so the next one is turned on by as much again.
TURNED = 3.0
LOOKS = 4
MIRRORED = [1, 0, 2, 4, 3]  # eyes and mouth corners change places in a mirror
TEMPLATE = (ARCFACE_112 - SIZE / 2) * TILE / (SPAN * SIZE) + TILE / 2  # in a tile

Points = NDArray[np.float64]  # (5, 2) x, y
Matrix = NDArray[np.float64]  # (2, 3), as cv2.warpAffine takes it


def steady(detect: Detector, image: Image, face: Face) -> Face:
    """The same face, its landmarks averaged over two more looks: upright, and mirrored.

    `face` is in pixels of `image`. Where it is not found again in both, its landmarks stay as they
    are. Raises LandmarkError where they fix no crop.
    """
    landmarks = frame = face.landmarks.astype(np.float64)
    for _ in range(LOOKS):
        again = _look(detect, image, frame)
        if again is None:
            break
        landmarks, turn = again, _turn(frame, again)
        if abs(turn) < TURNED:
            break
        frame = _turned(landmarks, turn)
    return replace(face, landmarks=landmarks.astype(np.float32))


def _look(detect: Detector, image: Image, frame: Points) -> Points | None:
    """The landmarks that are found with these laid upright, in pixels of the image; or None."""
    onto = similarity_transform(frame, TEMPLATE)
    tile = _tile(image, onto)
    # Both in one picture: one call of the detector.
    faces = detect(np.concatenate([tile, tile[:, ::-1]], axis=1))
    plain, mirrored = _nearest(faces, 0), _nearest(faces, TILE)
    if plain is None or mirrored is None:
        return None
    mirrored[:, 0] = TILE - 1 - mirrored[:, 0]
    return _moved_back((plain + mirrored[MIRRORED]) / 2, onto)


def _nearest(faces: list[Face], left: int) -> Points | None:
    """Landmarks in the tile that begins at `left`, of the face nearest its middle, if near."""
    inside = [face.landmarks.astype(np.float64) - [left, 0] for face in faces if face.has_landmarks]
    off = [float(np.hypot(*(points.mean(axis=0) - TILE / 2))) for points in inside]
    return inside[int(np.argmin(off))] if off and min(off) <= NEAR * TILE else None


def _turn(before: Points, after: Points) -> float:
    """Degrees by which the second five points are turned against the first, clockwise."""
    (a, b), _ = similarity_transform(before, after)[:, :2].T
    return float(np.degrees(np.arctan2(b, a)))


def _turned(points: Points, degrees: float) -> Points:
    """Turned clockwise about their middle."""
    middle = points.mean(axis=0)
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.asarray((points - middle) @ rotation + middle)


def _tile(image: Image, onto: Matrix) -> Image:
    """The (TILE, TILE, 3) picture that `onto` makes of an image. A large face is shrunk smoothly
    first: of every fifth pixel alone, edges are jagged and landmarks tremble.
    """
    times = int(1 / np.hypot(*onto[:, 0]))  # pixels of the image in one of the tile
    if times < 2:
        return _warped(image, onto)
    part, (left, top) = _around(image, onto)
    height, width = (max(1, side // times) for side in part.shape[:2])
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    y, x = part.shape[0] / height, part.shape[1] / width
    # Pixels are counted from their middles: the small picture's first lies among those it covers.
    placed = np.array([[x, 0, left + (x - 1) / 2], [0, y, top + (y - 1) / 2], [0, 0, 1]])
    return _warped(np.asarray(small, np.uint8), onto @ placed)


def _around(image: Image, onto: Matrix) -> tuple[Image, tuple[int, int]]:
    """The part of an image that a tile shows, and its left upper corner."""
    corners = _moved_back(np.array([(0, 0), (TILE, 0), (0, TILE), (TILE, TILE)], float), onto)
    height, width = image.shape[:2]
    left, top = np.clip(corners.min(axis=0).astype(int), 0, (width - 1, height - 1)).tolist()
    right, bottom = corners.max(axis=0).astype(int) + 2
    return image[top : max(bottom, top + 1), left : max(right, left + 1)], (left, top)


def _moved_back(points: Points, onto: Matrix) -> Points:
    """Points of a tile, in the image."""
    back = cv2.invertAffineTransform(onto)
    return np.asarray(points @ back[:, :2].T + back[:, 2], np.float64)


def _warped(image: Image, onto: Matrix) -> Image:
    return np.asarray(cv2.warpAffine(image, onto, (TILE, TILE), flags=cv2.INTER_LINEAR), np.uint8)
