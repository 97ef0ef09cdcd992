"""What is worth showing of a run: its rates, its worst pairs, its most confused people. Numbers
only; figures draw them.
"""

from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from visavis.decision import POLICIES, Calibration
from visavis.errors import CalibrationError
from visavis.evaluate.protocols import MEASURES, dot_products
from visavis.evaluate.run import Run
from visavis.metrics.verification import (
    WORST,
    Curve,
    Flags,
    Floats,
    Rows,
    loosest_threshold,
)
from visavis.quality import FLOOR
from visavis.types import Embeddings

GRID = np.linspace(-1, 1, 801)  # thresholds
SHARES = np.linspace(0, 0.5, 51)  # of pairs discarded
BLOCK = 512  # pictures of the all-pairs matrix at a time
PICTURES = 60  # of a person, in a scatter
SAME_WEIGHT = 0.8  # of the same pairs' mean, in the rule of `separation`
DOT = "dot product"  # the one of `distances` that is larger for what is closer


@dataclass(frozen=True, eq=False, slots=True)
class Rates:
    """(T,) what thresholds do; a pair at or above one is called same."""

    thresholds: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    false_match_rate: NDArray[np.float64]
    false_non_match_rate: NDArray[np.float64]

    @property
    def best(self) -> float:
        """The most accurate threshold, of equally good ones the middle."""
        rows = np.flatnonzero(self.accuracy == self.accuracy.max())
        return float(self.thresholds[rows[len(rows) // 2]])


@dataclass(frozen=True, slots=True)
class Confusion:
    """Two people, and the most alike pictures of theirs."""

    people: tuple[str, str]
    similarity: float
    pictures: tuple[int, int]  # rows of the run's pictures


@dataclass(frozen=True, slots=True)
class Separation:
    """A threshold between the means of two kinds, and how accurate it is."""

    threshold: float
    same: float
    different: float
    accuracy: float


def accuracy_curve(similarity: Floats, same: Flags, thresholds: Floats = GRID) -> Rates:
    """Accuracy, false match and false non-match rate at each of (T,) thresholds."""
    mated, different = np.sort(similarity[same]), np.sort(similarity[~same])
    missed = np.searchsorted(mated, thresholds, side="left")
    rejected = np.searchsorted(different, thresholds, side="left")
    right = len(mated) - missed + rejected
    return Rates(
        np.asarray(thresholds, np.float64),
        right / len(same),
        1 - rejected / len(different),
        missed / len(mated),
    )


def threshold_at(similarity: Floats, same: Flags, rate: float) -> float:
    """The loosest threshold with a false match rate of at most `rate`; where so few pairs cannot
    show that, the one with a single false match.
    """
    return loosest_threshold(similarity[~same], rate, least=1)


def discard_curve(
    similarity: Floats,
    same: Flags,
    quality: Floats,
    *,
    rate: float = 1e-3,
    shares: Floats = SHARES,
) -> Curve:
    """Shares of same pairs discarded, (P,) `quality` lowest first, and the false non-match rate of
    those left, at the threshold that shows a false match rate of `rate` with none discarded.

    NaN, no quality at all, is the lowest. Of equal qualities the first pair goes first.
    """
    threshold = threshold_at(similarity, same, rate)
    order = np.argsort(np.nan_to_num(quality[same], nan=-np.inf), kind="stable")
    missed = np.concatenate([[0], np.cumsum(similarity[same][order] < threshold)])
    gone = np.minimum((shares * len(order) + 1e-9).astype(np.intp), len(order) - 1)
    left = (missed[-1] - missed[gone]) / (len(order) - gone)
    return np.asarray(shares, np.float64), left


def pair_qualities(run: Run) -> dict[str, NDArray[np.float64]]:
    """Of each measure that differs between pictures, the worse one's of each pair; more is better.

    A turned face is worse the more it is turned, a dark or bright one the farther it is from the
    middle of what is accepted.
    """
    columns = dict(zip(MEASURES, run.measures.T.astype(np.float64), strict=True))
    columns["yaw"] = -np.abs(columns["yaw"])
    columns["brightness"] = -np.abs(columns["brightness"] - (FLOOR.dark + FLOOR.bright) / 2)
    finite = {name: column[np.isfinite(column)] for name, column in columns.items()}
    return {
        name: np.minimum(column[run.left], column[run.right])
        for name, column in columns.items()
        if len(finite[name]) and np.ptp(finite[name]) > 1e-3
    }


def both_kinds(run: Run) -> bool:
    """Whether faces were found in same and in different pairs."""
    same = run.same[run.seen]
    return bool(same.any() and not same.all())


def confused(run: Run, *, most: int = WORST) -> list[Confusion]:
    """The pairs of people with the highest similarity between any two of their pictures, of all
    pictures whose person is known, not only of the run's pairs.
    """
    rows, starts = _by_person(run)
    if not len(starts):
        return []
    people = np.split(rows, starts[1:])
    closest = _closest_people(run.embeddings[rows], starts, most)
    return [_confusion(run, people[a], people[b]) for _, a, b in closest]


def _by_person(run: Run) -> tuple[Rows, Rows]:
    """Rows of the labelled faces, ordered by person, and where each person begins."""
    rows = np.flatnonzero(run.acquired & (run.labels >= 0))
    rows = rows[np.argsort(run.labels[rows], kind="stable")]
    return rows, np.unique(run.labels[rows], return_index=True)[1]


def _closest_people(rows: Embeddings, starts: Rows, most: int) -> list[tuple[float, int, int]]:
    """Similarity and places of the most alike people, each of which begins at one of `starts`."""
    people = len(starts)
    closest: list[tuple[float, int, int]] = []
    blocks = np.flatnonzero(np.diff(starts // BLOCK, prepend=-1)).tolist()
    for first, last in pairwise([*blocks, people]):
        begin, end = starts[first], starts[last] if last < people else len(rows)
        alike = np.maximum.reduceat(rows[begin:end] @ rows.T, starts, axis=1)
        alike = np.maximum.reduceat(alike, starts[first:last] - begin, axis=0)
        alike[np.arange(first, last)[:, None] >= np.arange(people)] = -np.inf
        for place in _highest(alike.ravel(), most):
            a, b = divmod(int(place), people)
            closest.append((float(alike[a, b]), first + a, b))
    return sorted(closest, key=lambda one: (-one[0], one[1:]))[:most]


def _highest(values: Floats, most: int) -> Rows:
    """Places of the highest finite values, highest first."""
    if most < len(values):
        least = np.partition(values, -most)[-most]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    places = places[np.isfinite(values[places])]
    return places[np.argsort(-values[places], kind="stable")[:most]]


def _confusion(run: Run, a: Rows, b: Rows) -> Confusion:
    alike = run.embeddings[a] @ run.embeddings[b].T
    i, j = divmod(int(alike.argmax()), len(b))
    names = run.about.people
    return Confusion(
        (names[run.labels[a[0]]], names[run.labels[b[0]]]),
        float(alike[i, j]),
        (int(a[i]), int(b[j])),
    )


def most_pictured(run: Run, people: int, *, most: int = PICTURES) -> list[tuple[str, Rows]]:
    """The people with the most pictures, and rows of at most so many of each."""
    rows, starts = _by_person(run)
    own = [rows[start:end] for start, end in pairwise([*starts, len(rows)])]
    chosen = sorted(own, key=len, reverse=True)[:people]
    return [(run.about.people[run.labels[rows[0]]], rows[:most]) for rows in chosen]


def column_normalised(embeddings: Embeddings) -> Embeddings:
    """Each column, a feature, to unit length over the data set: the ArcFace project's
    normalisation. What goes in as unit rows does not come out as such.
    """
    lengths = np.linalg.norm(embeddings, axis=0)
    return np.asarray(embeddings / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def distances(embeddings: Embeddings, left: Rows, right: Rows) -> dict[str, NDArray[np.float64]]:
    """Dot product, cosine distance and Euclidean distance of (P,) pairs of rows."""
    dot = dot_products(embeddings, left, right)
    square = np.einsum("nd,nd->n", embeddings, embeddings, dtype=np.float64)
    lengths = np.sqrt(np.maximum(square, np.finfo(np.float32).tiny))
    return {
        DOT: dot,
        "cosine distance": 1 - dot / (lengths[left] * lengths[right]),
        "Euclidean distance": np.sqrt(np.maximum(square[left] + square[right] - 2 * dot, 0)),
    }


def separation(values: Floats, same: Flags, *, larger_is_closer: bool) -> Separation:
    """The ArcFace project's threshold: 0.8 of the mean of same pairs, 0.2 of that of different."""
    of_same, of_different = float(values[same].mean()), float(values[~same].mean())
    threshold = SAME_WEIGHT * of_same + (1 - SAME_WEIGHT) * of_different
    called = values >= threshold if larger_is_closer else values <= threshold
    return Separation(threshold, of_same, of_different, float(np.mean(called == same)))


def policy_thresholds(calibration: Calibration | None) -> dict[str, float]:
    """The thresholds of the policies that a calibration supports."""
    thresholds: dict[str, float] = {}
    for name, rate in POLICIES.items():
        with suppress(CalibrationError):
            thresholds |= {name: calibration.at(rate).threshold} if calibration else {}
    return thresholds


def same_data(a: Run, b: Run) -> bool:
    """Whether two runs answer for the same pairs of the same pictures."""
    columns = ("left", "right", "same")
    return a.about.names == b.about.names and all(
        np.array_equal(getattr(a, column), getattr(b, column)) for column in columns
    )
