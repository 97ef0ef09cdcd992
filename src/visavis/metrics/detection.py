"""Average precision of detected boxes by WIDER FACE's own protocol. Pure numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DatasetError
from visavis.metrics.verification import Curve, Flags

Boxes = NDArray[np.float64]

OVERLAP = 0.5  # of the union, from which a box is on a face
THRESHOLDS = 1000


@dataclass(frozen=True, eq=False, slots=True)
class Detections:
    """What a detector found in one picture."""

    boxes: Boxes  # (P, 4) left, top, right, bottom, pixels
    scores: NDArray[np.float64]  # (P,)


def precision_recall(
    detections: Sequence[Detections], boxes: Sequence[Boxes], counted: Sequence[Flags]
) -> Curve:
    """Precision and recall at 1,000 thresholds, from the strictest, of scores scaled to 0..1.

    Scores are scaled over all pictures. A box belongs to the face that it overlaps most, if the two
    share at least half of their union. The best box on a counted face is a hit, each further one an
    error; a box on an ignored face is neither; in a picture without any face nothing is judged.
    Precision without any box is 0. Yang et al., WIDER FACE, 2016: the official tools. Raises
    DatasetError for scores that are not finite, and where no face is counted.
    """
    faces = sum(int(np.sum(flags)) for flags in counted)
    if not faces:
        raise DatasetError("expected faces to be found, got none that is counted")
    scores = _scaled(detections)
    judged = [
        _judge(one, truth, flags)
        for one, truth, flags in zip(detections, boxes, counted, strict=True)
    ]
    hits, errors = (np.concatenate(column) for column in zip(*judged, strict=True))
    thresholds = 1 - (np.arange(THRESHOLDS) + 1) / THRESHOLDS
    right, wrong = (
        np.sum(kind) - np.searchsorted(np.sort(scores[kind]), thresholds) for kind in (hits, errors)
    )
    return right / np.maximum(right + wrong, 1), right / faces


def average_precision(precision: Boxes, recall: Boxes) -> float:
    """The area below (T,) precision over (T,) recall, from the strictest threshold: at each recall
    the best precision of that or any greater. Everingham et al., PASCAL VOC 2010, all points.
    """
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * best))


def overlaps(boxes: Boxes, others: Boxes) -> Boxes:
    """(P, K) shares of the union, of (P, 4) and (K, 4) boxes whose last pixel is inside: a side is
    right - left + 1, as the official tools have it.
    """
    least = np.minimum(boxes[:, None, 2:], others[:, 2:])
    most = np.maximum(boxes[:, None, :2], others[:, :2])
    common = np.prod(np.clip(least - most + 1, 0, None), axis=2)
    areas = [np.prod(each[:, 2:] - each[:, :2] + 1, axis=1) for each in (boxes, others)]
    return np.asarray(common / (areas[0][:, None] + areas[1] - common))


def _scaled(detections: Sequence[Detections]) -> Boxes:
    scores = np.concatenate([one.scores for one in detections])
    if not np.isfinite(scores).all():
        raise DatasetError(f"expected finite scores, got {scores[~np.isfinite(scores)][0]}")
    if not len(scores) or scores.max() == scores.min():
        return np.ones(len(scores))
    return np.asarray((scores - scores.min()) / (scores.max() - scores.min()))


def _judge(detected: Detections, truth: Boxes, counted: Flags) -> tuple[Flags, Flags]:
    """Of each box whether it is a hit, and whether an error."""
    hits, errors = np.zeros((2, len(detected.boxes)), bool)
    if not len(detected.boxes) or not len(truth):
        return hits, errors
    order = np.argsort(-detected.scores, kind="stable")
    shares = overlaps(detected.boxes[order], truth)
    face, on = shares.argmax(axis=1), shares.max(axis=1) >= OVERLAP
    right = on & counted[face]
    _, first = np.unique(face[right], return_index=True)
    hits[order[np.flatnonzero(right)[first]]] = True
    errors[order] = ~(on & ~counted[face])
    return hits, errors & ~hits
