"""Detections to tracks: which of the faces seen now is which of those seen before.

Pure functions of boxes and times. Knows no picture, no embedding and no person: two faces that
cross may be told wrongly here, and `visavis.watch.following` looks again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Box = NDArray[np.float32]  # (4,) left, top, right, bottom
Costs = NDArray[np.float64]

# How far a face may be from where its track is carried to, in sides of a face, and by how much
# more for each second that it was not seen.
GATE, WIDENING, WIDEST = 0.9, 2.0, 2.5
CARRIED = 0.5  # seconds that a track moves on unseen: nobody keeps a direction for longer
STEADY = 0.5  # of a velocity that is kept at the next sighting; landmarks and boxes tremble
LEAST_STEP = 1e-3  # seconds between two sightings
NEAR = 1.2  # sides of a face: tracks whose middles are nearer may be told wrongly


@dataclass(frozen=True, eq=False, slots=True)
class Track:
    """One face on its way through the picture."""

    box: Box  # where it was seen last
    velocity: NDArray[np.float32]  # (2,) of its middle, pixels a second
    seen: float  # seconds: when it was seen last
    sightings: int

    @property
    def pace(self) -> float:
        """How fast it moves, in sides of a face a second."""
        return float(np.linalg.norm(self.velocity) / _sides(self.box[None])[0])

    def at(self, when: float) -> Box:
        """Its box, carried to another time."""
        ahead = np.clip(when - self.seen, 0, CARRIED)
        return np.asarray(self.box + np.tile(self.velocity * ahead, 2), np.float32)

    def moved(self, box: Box, when: float) -> "Track":
        """The track after the face was seen there."""
        step = max(when - self.seen, LEAST_STEP)
        speed = (_middles(box[None])[0] - _middles(self.box[None])[0]) / step
        kept = STEADY if self.sightings > 1 else 0.0
        velocity = (kept * self.velocity + (1 - kept) * speed).astype(np.float32)
        return replace(self, box=box, velocity=velocity, seen=when, sightings=self.sightings + 1)

    def scaled(self, x: float, y: float) -> "Track":
        """The same track in a picture `x` times as wide and `y` times as high."""
        factor = np.array([x, y], np.float32)
        return replace(self, box=self.box * np.tile(factor, 2), velocity=self.velocity * factor)


def begin_track(box: Box, when: float) -> Track:
    """A face that is seen for the first time."""
    return Track(box, np.zeros(2, np.float32), when, 1)


def assign(tracks: Sequence[Track], boxes: Sequence[Box], when: float) -> list[int | None]:
    """For each box the row of its track; None for a face that is new.

    The pairs whose distances are least in sum, of those near enough: the nearest first, then two
    pairs change partners wherever that is nearer.
    """
    chosen: list[int | None] = [None] * len(boxes)
    if not tracks or not boxes:
        return chosen
    costs = _costs(tracks, np.stack(boxes), when)
    free = set(range(len(tracks)))
    for place in np.argsort(costs, axis=None, kind="stable").tolist():
        track, box = divmod(place, len(boxes))
        if np.isfinite(costs[track, box]) and track in free and chosen[box] is None:
            chosen[box] = track
            free.remove(track)
    return _exchanged(chosen, costs)


def _exchanged(chosen: list[int | None], costs: Costs) -> list[int | None]:
    """The same pairs, two at a time with their partners changed where that is nearer in sum."""
    for first, second in combinations(range(len(chosen)), 2):
        a, b = chosen[first], chosen[second]
        if a is None or b is None:
            continue
        if costs[b, first] + costs[a, second] < costs[a, first] + costs[b, second]:
            chosen[first], chosen[second] = b, a
    return chosen


def _costs(tracks: Sequence[Track], boxes: NDArray[np.float32], when: float) -> Costs:
    """(tracks, boxes) how far apart they are in sides of a face; infinite where too far."""
    carried = np.stack([track.at(when) for track in tracks])
    sides, others = _sides(carried)[:, None], _sides(boxes)[None]
    apart = np.linalg.norm(_middles(carried)[:, None] - _middles(boxes)[None], axis=2)
    costs = apart / ((sides + others) / 2) + np.abs(np.log(sides / others))
    gap = np.array([when - track.seen for track in tracks])
    gates = np.minimum(GATE + WIDENING * np.maximum(gap, 0), WIDEST)
    return np.where(costs <= gates[:, None], costs, np.inf)


def crowded(boxes: Sequence[Box]) -> list[bool]:
    """Of each box, whether another one is so near that the two may be taken for each other."""
    if not boxes:
        return []
    every = np.stack(boxes)
    apart = np.linalg.norm(_middles(every)[:, None] - _middles(every)[None], axis=2)
    sides = _sides(every)
    near = apart < NEAR * (sides[:, None] + sides[None]) / 2
    np.fill_diagonal(near, False)
    return [bool(one) for one in near.any(axis=1)]


def _middles(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, np.float64)


def _sides(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
    return np.asarray(np.sqrt(size[:, 0] * size[:, 1]), np.float64)
