"""Thresholds and their error rates, from all pairs of a data set, with intervals over people.

Pairs that share a person are not independent, so intervals come from drawing people, not pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import People
from visavis.decision import Calibration, OperatingPoint
from visavis.errors import CalibrationError
from visavis.metrics.bootstrap import DRAWS, INTERVAL, draw_people
from visavis.metrics.likelihood import fit
from visavis.metrics.tail import extrapolate, highest
from visavis.metrics.verification import Floats
from visavis.types import Embeddings

STEP = 0.0025  # of similarity, between two points
LOOSEST = 0.1  # the false match rate at which the points begin
LEAST_ERRORS = 10  # false matches below which a rate is not called measured
LEAST_SHOWN = 1e-9  # where extrapolated points end
BINS = 4000  # of similarity -1..1, for the logistic fit
BLOCK = 512  # rows of the all-pairs matrix at a time


@dataclass(frozen=True, eq=False, slots=True)
class ErrorCurve:
    """Error rates over a grid of thresholds; (T,) arrays, and (2, T) ends of 95 % intervals."""

    thresholds: Floats
    false_match_rate: Floats
    false_match_interval: Floats
    false_non_match_rate: Floats
    false_non_match_interval: Floats
    extrapolated: NDArray[np.bool_]  # (T,) beyond what the data measures
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
    curve: ErrorCurve, *, model: str, dataset: str, data_sha256: str, people: int
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
        points=tuple(
            OperatingPoint(threshold, rate, upper, missed, bool(beyond))
            for threshold, rate, upper, missed, beyond in zip(
                *rounded, curve.extrapolated, strict=True
            )
        ),
        slope=round(curve.slope, 4),
        offset=round(curve.offset, 4),
    )


def error_curve(
    embeddings: Embeddings,
    people: People,
    *,
    beyond: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> ErrorCurve:
    """Error rates of all pairs, for thresholds from a false match rate of 0.1 to the last with 10
    errors; `beyond` it, extrapolated ones down to a rate of 1e-9.

    Of people drawn with replacement, a pair counts as often as its two people were drawn; pairs of
    one person drawn twice are left out.
    """
    tail = _tail(embeddings, people)
    photos = np.bincount(people.labels, minlength=len(people.names)).astype(np.float64)
    measured = _grid(tail)
    further = np.arange(measured[-1] + STEP, 1.0, STEP) if beyond else measured[:0]
    thresholds = np.concatenate([measured, further])
    different_bins = np.searchsorted(thresholds, tail.different, side="right")
    same_bins = np.searchsorted(thresholds, tail.same, side="right")  # thresholds at or below each
    top = highest(tail.different) if beyond else np.empty(0, np.intp)

    def rates(weights: Floats) -> Floats:
        """(2, T): false matches and false non-matches, each person weighing as often as drawn."""
        pairs = weights[tail.people[:, 0]] * weights[tail.people[:, 1]]
        total = _different_pairs(weights, photos, people)
        reached = np.bincount(different_bins, pairs, len(thresholds) + 1)
        matched = reached[::-1].cumsum()[::-1][1:] / total
        if beyond:
            matched[len(measured) :] = extrapolate(tail.different[top], pairs[top], total, further)
        missed = np.bincount(same_bins, weights[tail.same_people], len(thresholds) + 1)
        return np.stack([matched, missed.cumsum()[:-1] / max(missed.sum(), 1)])

    drawn = draw_people(len(photos), draws=draws, seed=seed)
    spread = np.percentile([rates(weights) for weights in drawn], INTERVAL, axis=0)
    centers = (np.arange(BINS) + 0.5) / BINS * 2.002 - 1.001
    same = np.histogram(tail.same, BINS, (-1.001, 1.001))[0].astype(np.float64)
    slope, offset = fit(centers, same, tail.histogram)
    value = rates(np.ones(len(photos)))
    kept = (np.arange(len(thresholds)) < len(measured)) | (spread[1, 0] >= LEAST_SHOWN)
    return ErrorCurve(
        thresholds=thresholds[kept],
        false_match_rate=value[0, kept],
        false_match_interval=spread[:, 0, kept],
        false_non_match_rate=value[1, kept],
        false_non_match_interval=spread[:, 1, kept],
        extrapolated=thresholds[kept] > measured[-1],
        same_pairs=len(tail.same),
        different_pairs=round(_different_pairs(np.ones(len(photos)), photos, people)),
        slope=slope,
        offset=offset,
    )


def _tail(embeddings: Embeddings, people: People) -> _Tail:
    labels = people.labels
    if len(embeddings) != len(labels):
        raise CalibrationError(f"expected {len(labels)} embeddings, got {len(embeddings)}")
    alias = people.aliases()
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
    alias = people.aliases()
    for label in {int(alias[a]) for a, _ in people.one_person}:
        group = drawn[alias == label]
        pairs -= (group.sum() ** 2 - (group**2).sum()) / 2
    return float(pairs)
