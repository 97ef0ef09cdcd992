"""Pictures that lie turned and faces that are tilted: laid out so that one look shows which way is
up.

Knows pixels, candidates and a look at a picture; no network, no photo and no people.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.decode.boxes import Array, Candidates, joined
from visavis.types import Image

Glance = Callable[[Image], Candidates]  # a picture to candidates in its pixels

TURNS = (0, 90, 180, 270)  # degrees clockwise by which a picture may lie
# A face is looked at in a square of so many pixels, with surroundings of so many sides of its box:
# small ones in a ring of so many angles to see its tilt, a larger one to see its landmarks.
AROUND, RING, CELL, PATCH = 2.0, 16, 112, 288
# A detector scores a face the higher the more upright it is, and one that is upside down nearly as
# high. Of the angles that are near the best one (cosine), those whose scores are at most PEAK below
# it are averaged. 60 photos of lfw_people at 50, 90, 135 and 180 degrees: half are told to 3,
# 98 % to 12 degrees; the others are of one person whose own head is tilted by 39.
PEAK, NEAR = 0.04, 0.4


def best_score(candidates: Candidates) -> float:
    """The score of the most certain; 0 for none."""
    return float(candidates.scores.max(initial=0))


def best_of(candidates: Candidates) -> Candidates:
    """The most certain one alone; none of none."""
    return candidates[(-candidates.scores).argsort(kind="stable")[:1]]


def turned(image: Image, turn: int) -> Image:
    """A picture that lies `turn` degrees clockwise, upright."""
    return np.ascontiguousarray(np.rot90(image, turn // 90)) if turn else image


def turned_back(upright: Candidates, turn: int, height: int, width: int) -> Candidates:
    """Candidates of the upright picture, in the one of `height` and `width` that lies so."""
    if not turn:
        return upright
    corners = _points_back(upright.boxes.reshape(-1, 2, 2), turn, height, width)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    # Points name pixels, the first of which is 0; a box names the edges of pixels.
    points = _points_back(upright.landmarks, turn, height - 1, width - 1)
    return Candidates(boxes, points, upright.scores)


def seen_turned(look: Glance, image: Image, side: int) -> Candidates:
    """The candidates of a picture in all its turns, by one look, in pixels of the picture.

    The turns lie around each other in a square that has as many pixels as the picture has where
    its longer side is `side`: a face must be twice as large as one that is looked at alone.
    """
    height, width = image.shape[:2]
    scale = side * (min(height, width) / max(height, width)) ** 0.5 / (height + width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    parts = [turned(small, turn) for turn in TURNS]
    corners = ((0, 0), (size[0], 0), (size[1], size[0]), (0, size[1]))
    canvas = np.zeros((sum(size), sum(size), 3), np.uint8)
    for part, (left, top) in zip(parts, corners, strict=True):
        canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
    seen = look(canvas)
    here = [
        _within(seen, left, top, part.shape[1], part.shape[0])
        for part, (left, top) in zip(parts, corners, strict=True)
    ]
    back = [turned_back(one, turn, size[1], size[0]) for one, turn in zip(here, TURNS, strict=True)]
    return joined(back).placed(scale)


def tilt_of(look: Glance, image: Image, face: Candidates) -> float:
    """Degrees clockwise, -180 to 180, by which one face is tilted, from one look at it at RING
    angles; 0 where it is as certain upright.
    """
    angles = np.arange(RING) * 360 / RING
    line = round(RING**0.5)
    squares = [_square(image, face, angle, CELL)[0] for angle in angles]
    rows = [np.concatenate(squares[at : at + line], axis=1) for at in range(0, RING, line)]
    seen = look(np.concatenate(rows))
    cells = [
        _middle(seen, at % line * CELL, at // line * CELL, CELL) for at in range(RING)
    ]  # in order of the angles
    scores = np.array([best_score(cell) for cell in cells])
    if scores.min() > scores.max() - PEAK:  # every way up is as good
        return 0.0
    near = np.cos(np.radians(angles - angles[scores.argmax()])) > NEAR
    weights = np.where(near, np.maximum(0, scores - (scores.max() - PEAK)), 0)
    mean = (weights * np.exp(1j * np.radians(angles))).sum()
    return float(np.degrees(np.angle(mean)))


def seen_tilted(look: Glance, image: Image, face: Candidates, tilt: float) -> Candidates:
    """One face as it is found where it is turned upright by `tilt`, in pixels of the picture; none
    where it is not found so. Its box stays upright, and as large.
    """
    square, way = _square(image, face, tilt, PATCH)
    upright = best_of(_middle(look(square), 0, 0, PATCH))
    back = cv2.invertAffineTransform(way)
    middles = (upright.boxes[:, :2] + upright.boxes[:, 2:]) / 2 @ back[:, :2].T + back[:, 2]
    halves = (upright.boxes[:, 2:] - upright.boxes[:, :2]) / 2 * float(np.hypot(*back[:, 0]))
    boxes = np.concatenate([middles - halves, middles + halves], axis=1).astype(np.float32)
    points = (upright.landmarks @ back[:, :2].T + back[:, 2]).astype(np.float32)
    return Candidates(boxes, points, upright.scores)


def in_place(seen: Candidates, upright: Candidates) -> Candidates:
    """The candidates, with one that is upright in place of all others of that face. Tilted, a face
    may score as high, but its landmarks lie worse.
    """
    if not len(upright.scores) or best_score(upright) < best_score(seen) - PEAK:
        return seen
    middles = (seen.boxes[:, :2] + seen.boxes[:, 2:]) / 2
    (box,) = upright.boxes
    there = ((middles > box[:2]) & (middles < box[2:])).all(axis=1)
    return joined([upright, seen[np.flatnonzero(~there)]])


def _square(
    image: Image, face: Candidates, tilt: float, side: int
) -> tuple[Image, NDArray[np.float64]]:
    """A face's surroundings turned upright by `tilt`, and the (2, 3) way into them."""
    (box,) = face.boxes
    middle = (box[:2] + box[2:]) / 2
    scale = side / max(1.0, AROUND * float(np.max(box[2:] - box[:2])))
    way = np.asarray(cv2.getRotationMatrix2D(middle.tolist(), float(tilt), scale), np.float64)
    way[:, 2] += side / 2 - middle
    return cv2.warpAffine(image, way, (side, side)).astype(np.uint8, copy=False), way


def _middle(seen: Candidates, left: int, top: int, side: int) -> Candidates:
    """The candidates in the middle of a square, in its pixels."""
    quarter = side // 4
    middle = _within(seen, left + quarter, top + quarter, side - 2 * quarter, side - 2 * quarter)
    return middle.placed(1.0, quarter, quarter)


def _within(seen: Candidates, left: int, top: int, width: int, height: int) -> Candidates:
    """The candidates whose middles lie in a part of the picture, in pixels of the part."""
    there = seen.placed(1.0, -left, -top)
    middles = (there.boxes[:, :2] + there.boxes[:, 2:]) / 2
    return there[np.flatnonzero(((middles >= 0) & (middles < (width, height))).all(axis=1))]


def _points_back(points: Array, turn: int, height: int, width: int) -> Array:
    x, y = points[..., 0], points[..., 1]
    columns = {90: (width - y, x), 180: (width - x, height - y), 270: (y, height - x)}[turn]
    return np.stack(columns, axis=-1).astype(np.float32)
