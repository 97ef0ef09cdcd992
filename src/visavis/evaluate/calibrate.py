"""Thresholds and their error rates, from all pairs of a data set, with intervals over people.

Pairs that share a person are not independent, so intervals come from drawing people, not pairs.
This is the only bootstrap in the project.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import People
from visavis.decide import Calibration, OperatingPoint
from visavis.errors import CalibrationError
from visavis.types import Embeddings

Floats = NDArray[np.float64]

STEP = 0.0025  # of similarity, between two points
LOOSEST = 0.1  # the false match rate at which the points begin
LEAST_ERRORS = 10  # false matches below which a rate is not called measured
DRAWS = 1000
INTERVAL = (2.5, 97.5)  # percentiles of the draws: 95 %
BINS = 4000  # of similarity -1..1, for the logistic fit
BLOCK = 512  # rows of the all-pairs matrix at a time


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """Error rates over a grid of thresholds; (T,) arrays, and (2, T) ends of 95 % intervals."""

    thresholds: Floats
    false_match_rate: Floats
    false_match_interval: Floats
    false_non_match_rate: Floats
    false_non_match_interval: Floats
    same_pairs: int
    different_pairs: int
    slope: float
    offset: float


@dataclass(frozen=True, eq=False, slots=True)
class _Tail:
    """The pairs that matter: every same pair, and different ones above the loosest threshold."""

    same_people: NDArray[np.intp]  # (S,)
    same: Floats  # (S,) similarities
    people: NDArray[np.intp]  # (D, 2)
    different: Floats  # (D,)
    histogram: Floats  # (BINS,) counts of all different pairs over -1..1


def calibrate(
    curve: Curve, *, model: str, dataset: str, data_sha256: str, people: int
) -> Calibration:
    """The curve as a calibration of `model`: what thresholds and error rates a pack states."""
    columns = (
        curve.thresholds,
        curve.false_match_rate,
        curve.false_match_interval[1],
        curve.false_non_match_rate,
    )
    rounded = [[float(f"{value:.6g}") for value in column] for column in columns]
    return Calibration(
        model=model,
        dataset=dataset,
        data_sha256=data_sha256,
        people=people,
        same_pairs=curve.same_pairs,
        different_pairs=curve.different_pairs,
        points=tuple(OperatingPoint(*row) for row in zip(*rounded, strict=True)),
        slope=round(curve.slope, 4),
        offset=round(curve.offset, 4),
    )


def error_curve(
    embeddings: Embeddings, people: People, *, draws: int = DRAWS, seed: int = 0
) -> Curve:
    """Error rates of all pairs, for thresholds from a false match rate of 0.1 to the last with 10
    errors.

    Of people drawn with replacement, a pair counts as often as its two people were drawn; pairs of
    one person drawn twice are left out.
    """
    tail = _tail(embeddings, people)
    photos = np.bincount(people.labels, minlength=len(people.names)).astype(np.float64)
    thresholds = _grid(tail)
    different_bins = np.searchsorted(thresholds, tail.different, side="right")
    same_bins = np.searchsorted(thresholds, tail.same, side="right")  # thresholds at or below each

    def rates(weights: Floats) -> Floats:
        """(2, T): false matches and false non-matches, each person weighing as often as drawn."""
        pairs = weights[tail.people[:, 0]] * weights[tail.people[:, 1]]
        reached = np.bincount(different_bins, pairs, len(thresholds) + 1)
        missed = np.bincount(same_bins, weights[tail.same_people], len(thresholds) + 1)
        return np.stack(
            [
                reached[::-1].cumsum()[::-1][1:] / _different_pairs(weights, photos, people),
                missed.cumsum()[:-1] / max(missed.sum(), 1),
            ]
        )

    everyone = np.ones(len(photos))
    drawn = np.random.default_rng(seed).multinomial(len(photos), everyone / len(photos), draws)
    spread = np.percentile(
        [rates(weights.astype(np.float64)) for weights in drawn], INTERVAL, axis=0
    )
    measured = rates(everyone)
    slope, offset = _logistic(tail)
    return Curve(
        thresholds=thresholds,
        false_match_rate=measured[0],
        false_match_interval=spread[:, 0],
        false_non_match_rate=measured[1],
        false_non_match_interval=spread[:, 1],
        same_pairs=len(tail.same),
        different_pairs=round(_different_pairs(everyone, photos, people)),
        slope=slope,
        offset=offset,
    )


def _tail(embeddings: Embeddings, people: People) -> _Tail:
    labels = people.labels
    if len(embeddings) != len(labels):
        raise CalibrationError(f"expected {len(labels)} embeddings, got {len(embeddings)}")
    alias = _aliases(people)
    floor = _floor(embeddings, labels)
    histogram = np.zeros(BINS)
    same: list[tuple[NDArray[np.intp], Floats]] = []
    different: list[tuple[NDArray[np.intp], Floats]] = []
    for start in range(0, len(labels), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(labels)))
        block = (embeddings[rows] @ embeddings.T).astype(np.float64)
        later = rows[:, None] < np.arange(len(labels))  # each pair once
        mated = alias[labels[rows]][:, None] == alias[labels]
        own = labels[rows][:, None] == labels
        i, j = np.nonzero(later & own)
        same.append((labels[rows[i]], block[i, j]))
        strangers = later & ~mated
        histogram += np.histogram(block[strangers], BINS, (-1.001, 1.001))[0]
        i, j = np.nonzero(strangers & (block >= floor))
        different.append((np.stack([labels[rows[i]], labels[j]], axis=1), block[i, j]))
    return _Tail(
        np.concatenate([people for people, _ in same]),
        np.concatenate([values for _, values in same]),
        np.concatenate([people for people, _ in different]),
        np.concatenate([values for _, values in different]),
        histogram,
    )


def _aliases(people: People) -> NDArray[np.intp]:
    """For each label a label that stands for everybody it is one person with."""
    alias = np.arange(len(people.names))
    for a, b in people.one_person:
        alias[alias == alias[b]] = alias[a]
    return alias


def _floor(embeddings: Embeddings, labels: NDArray[np.intp]) -> float:
    """A similarity a little below the loosest threshold, from a sample of the different pairs."""
    if len(np.unique(labels)) < 2:
        raise CalibrationError("expected pictures of at least two people")
    rng = np.random.default_rng(0)
    i, j = rng.integers(0, len(labels), (2, 200_000))
    i, j = i[labels[i] != labels[j]], j[labels[i] != labels[j]]
    return float(
        np.quantile(np.einsum("nd,nd->n", embeddings[i], embeddings[j]), 1 - 1.5 * LOOSEST)
    )


def _grid(tail: _Tail) -> Floats:
    different = np.sort(tail.different)[::-1]
    begin = int(LOOSEST * tail.histogram.sum())
    if len(different) > LEAST_ERRORS and len(tail.same):
        loosest = different[min(begin, len(different) - 1)]
        strictest = different[LEAST_ERRORS - 1]
        grid = np.arange(np.ceil(loosest / STEP), np.floor(strictest / STEP) + 1) * STEP
        if len(grid):
            return grid
    raise CalibrationError(
        f"too little data: {len(tail.same)} same and {int(tail.histogram.sum())} different pairs; "
        f"needed are a same pair and {LEAST_ERRORS} false matches at a rate below {LOOSEST}"
    )


def _different_pairs(weights: Floats, photos: Floats, people: People) -> float:
    drawn = weights * photos
    pairs = (drawn.sum() ** 2 - (drawn**2).sum()) / 2
    alias = _aliases(people)
    for label in {int(alias[a]) for a, _ in people.one_person}:
        group = drawn[alias == label]
        pairs -= (group.sum() ** 2 - (group**2).sum()) / 2
    return float(pairs)


def _logistic(tail: _Tail) -> tuple[float, float]:
    """Slope and offset of the log-likelihood ratio, by Newton's method, both kinds weighing the
    same.
    """
    centers = (np.arange(BINS) + 0.5) / BINS * 2.002 - 1.001
    same = np.histogram(tail.same, BINS, (-1.001, 1.001))[0] / len(tail.same)
    different = tail.histogram / tail.histogram.sum()
    design = np.stack([centers, np.ones(BINS)], axis=1)
    theta = np.array([10.0, -3.0])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(design @ theta, -500, 500)))
        gradient = design.T @ (same * (1 - chance) - different * chance) - 1e-6 * theta
        curvature = (same + different) * chance * (1 - chance)
        theta = theta + np.linalg.solve(
            (design * curvature[:, None]).T @ design + 1e-6 * np.eye(2), gradient
        )
    return float(theta[0]), float(theta[1])
