"""What five points say of a head that turns, without any network and any data.

The nose stands out of the plane of the eyes and the mouth. When a head turns, it moves against
them; on a photo that is turned, bent or moved it does not: one plane explains all five points.
A video on a screen that is held still shows a real turn, and passes: no cue of five points helps.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from visavis.liveness.outcome import Liveness

FivePoints = NDArray[np.float32]  # (5, 2) as a face's landmarks
FACE = np.array([0, 1, 3, 4])  # eyes and mouth corners
NOSE = 2
# A nose stands out by 0.45 of the distance between the eyes, and moves by that times the sine of
# the turn: 0.15 at 20 degrees. Landmarks tremble by 0.02.
DEEP = 0.14  # movement of the nose against the plane, in distances of the eyes: a head
FLAT = 0.06  # up to here it is none
# Change of the face's shape (eyes' distance against that to the mouth) that shows that something
# turned: a plane at 25 degrees.
TURNED = 0.10
LEAST_SEEN = 6  # looks at a track before it is judged


def judge_turn(seen: Sequence[FivePoints]) -> Liveness:
    """Whether the five points of a track are a head's that turned, a plane's that did, or neither.

    `live` where the nose moves against the plane of eyes and mouth;
    `spoof` where the plane turned and the nose stayed in it; `unsure` while nothing turns.
    """
    rows = [points for points in seen if _is_usable(points)]
    if len(rows) < LEAST_SEEN:
        return "unsure"
    moved = nose_movement(rows)
    span = float(np.percentile(moved, 90) - np.percentile(moved, 10))
    if span >= DEEP:
        return "live"
    shape = np.array([_shape(points) for points in rows])
    turned = float(np.percentile(shape, 90) / np.percentile(shape, 10)) - 1
    return "spoof" if turned >= TURNED and span <= FLAT else "unsure"


def nose_movement(seen: Sequence[FivePoints]) -> NDArray[np.float64]:
    """(N,) how far each nose is to the right of where one plane would have it, in distances of the
    eyes.

    The plane is that of the view in the middle of the turn: what takes its eyes and mouth corners
    to another view's takes its nose to where it would be, were it a photo.
    """
    middle = _middle(seen)
    moved = np.zeros(len(seen))
    for row, points in enumerate(seen):
        onto = cv2.getPerspectiveTransform(
            middle[FACE].astype(np.float32), points[FACE].astype(np.float32)
        )
        expected = cv2.perspectiveTransform(middle[None, [NOSE]].astype(np.float64), onto)[0, 0]
        across = points[1] - points[0]
        moved[row] = float((points[NOSE] - expected) @ across) / float(across @ across)
    return moved


def _middle(seen: Sequence[FivePoints]) -> FivePoints:
    """The view whose nose is in the middle of all, where the eyes have 0 and 1."""
    places = []
    for points in seen:
        across = points[1] - points[0]
        places.append(float((points[NOSE] - points[0]) @ across / (across @ across)))
    return seen[int(np.argsort(places)[len(places) // 2])]


def _shape(points: FivePoints) -> float:
    """The eyes' distance against that from their middle to the mouth's: less, the more a face is
    turned away.
    """
    eyes, mouth = points[[0, 1]].mean(axis=0), points[[3, 4]].mean(axis=0)
    return float(np.hypot(*(points[1] - points[0])) / max(np.hypot(*(mouth - eyes)), 1e-6))


def _is_usable(points: FivePoints) -> bool:
    """Whether the points are those of a face that is not seen from the side."""
    if not np.isfinite(points).all():
        return False
    eyes, mouth = points[1] - points[0], points[4] - points[3]
    down = points[[3, 4]].mean(axis=0) - points[[0, 1]].mean(axis=0)
    least = 0.25 * float(np.hypot(*down))
    return bool(min(np.hypot(*eyes), np.hypot(*mouth)) > max(least, 1.0))
