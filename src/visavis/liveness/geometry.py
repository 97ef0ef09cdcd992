"""What five points say of a head that turns, without any network and any data.

The nose stands out of the plane of the eyes and the mouth. When a head turns, it moves against
them; on a photo that is turned, bent or moved it does not: one plane explains all five points.
A video on a screen that is held still shows a real turn, and passes: no cue of five points helps.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.liveness.outcome import Liveness
from visavis.quality import FROM_HEAD

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
# How far a view may be squashed: a plane at 45 degrees is, to 0.71, and there detectors see noses
# where none are. Of photos of real faces 98 of 100 are above, however they look.
UNSQUASHED = 0.72


def judge_turn(seen: Sequence[FivePoints]) -> Liveness:
    """Whether the five points of a track are a head's that turned, a plane's that did, or neither.

    `live` where the nose moves against the plane of eyes and mouth;
    `spoof` where the plane turned and the nose stayed in it; `unsure` while nothing turns.
    """
    if len(seen) < LEAST_SEEN:
        return "unsure"
    every = np.stack(seen).astype(np.float64)
    views = every[_usable(every)]
    if len(views) < LEAST_SEEN:
        return "unsure"
    span = _span(nose_movement(views))
    if span >= DEEP:
        return "live"
    most, least = np.percentile(_shapes(views), (90, 10))
    return "spoof" if most / least - 1 >= TURNED and span <= FLAT else "unsure"


def _span(values: NDArray[np.float64]) -> float:
    most, least = np.percentile(values, (90, 10))
    return float(most - least)


def nose_movement(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how far each nose of views (N, 5, 2) is to the right of where one plane would have it,
    in distances of the eyes.

    The plane is that of the view in the middle of the turn: what takes its eyes and mouth corners
    to another view's takes its nose to where it would be, were it a photo.
    """
    across = seen[:, 1] - seen[:, 0]
    places = _along(seen[:, NOSE] - seen[:, 0], across)
    middle = seen[int(np.argsort(places)[len(places) // 2])]
    return _along(seen[:, NOSE] - _carried(middle, seen), across)


def _along(ways: NDArray[np.float64], across: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how far each way goes along the line between the eyes, in its lengths."""
    return np.asarray(np.sum(ways * across, axis=1) / np.sum(across**2, axis=1), np.float64)


def _carried(middle: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) where the nose of `middle` is in each view, were all points of one plane: by the eight
    numbers of the homography of the other four, all views at once.
    """
    scale = np.hypot(*(middle[1] - middle[0]))
    (x, y), nose = ((middle - middle[0]) / scale)[FACE].T, (middle[NOSE] - middle[0]) / scale
    views = (seen - seen[:, :1]) / scale
    u, v = views[:, FACE, 0], views[:, FACE, 1]
    rows = np.zeros((len(seen), 2, len(FACE), 8))
    rows[:, 0, :, :3] = rows[:, 1, :, 3:6] = np.stack([x, y, np.ones_like(x)], axis=1)
    rows[:, 0, :, 6:] = -np.stack([u * x, u * y], axis=2)
    rows[:, 1, :, 6:] = -np.stack([v * x, v * y], axis=2)
    wanted = np.stack([u, v], axis=1).reshape(len(seen), 8, 1)
    numbers = (np.linalg.pinv(rows.reshape(len(seen), 8, 8)) @ wanted)[..., 0]
    onto = np.concatenate([numbers, np.ones((len(seen), 1))], axis=1).reshape(-1, 3, 3)
    place = onto @ np.array([*nose, 1.0])
    return np.asarray(place[:, :2] / place[:, 2:] * scale + seen[:, 0], np.float64)


def _shapes(views: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) the eyes' distance against that from their middle to the mouth's: less, the more a face
    is turned away.
    """
    eyes, _, down = _lengths(views)
    return np.asarray(eyes / np.maximum(down, 1e-6), np.float64)


def _usable(views: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether the points are those of a face that is neither seen from the side nor squashed
    as that of a picture which is tilted far.
    """
    finite = np.asarray(np.isfinite(views).all(axis=(1, 2)), np.bool_)
    known = np.where(finite[:, None, None], views, 0.0)
    eyes, mouth, down = _lengths(known)
    wide = np.minimum(eyes, mouth) > np.maximum(0.25 * down, 1.0)
    return np.asarray(finite & wide & (squash(known) >= UNSQUASHED), np.bool_)


def squash(views: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) how much smaller views (N, 5, 2) are one way than the other, beside an average head in
    the same pose: about 1 of a head, the cosine of its tilt of a picture of one.
    """
    centred = views - views.mean(axis=1, keepdims=True)
    scales = np.linalg.svd(FROM_HEAD @ centred, compute_uv=False)
    return np.asarray(scales[:, 1] / np.maximum(scales[:, 0], 1e-9), np.float64)


def _lengths(views: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, N) pixels between the eyes, between the mouth's corners, and from those to these."""
    down = views[:, 3:].mean(axis=1) - views[:, :2].mean(axis=1)
    ways = np.stack([views[:, 1] - views[:, 0], views[:, 4] - views[:, 3], down])
    return np.asarray(np.linalg.norm(ways, axis=2), np.float64)
