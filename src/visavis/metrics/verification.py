"""Similarities of same and different pairs to accuracy, TAR at FAR, EER and AUC. Pure numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DatasetError

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]

RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
SLACK = 1 + 1e-12  # times a rate: 0.29 of 100 is 29, though 0.29 * 100 is 28.999...
# Squared distances of unit embeddings, 0 to 3.99: the grid of InsightFace's protocol.
DISTANCES = np.arange(0, 4, 0.01)
# The similarity of a pair with a picture in which no face was found: below every other.
FAILED = -2.0
WORST = 12  # pairs of each kind that are worth a look


@dataclass(frozen=True, slots=True)
class Result:
    """A verification protocol's figures."""

    pairs: int
    accuracy: float | None  # mean of the folds; None where the protocol has none
    accuracy_std: float | None  # population standard deviation of the folds
    tar: dict[str, float]  # true accept rate by false accept rate, for each the pairs can show
    tar_nearest: dict[str, float]  # the same where the false accept rate may exceed what was asked
    eer: float
    auc: float
    failures_to_acquire: int = 0  # pictures; their pairs count as answered "different"
    skipped: int = 0  # pairs left out because they were bad


def evaluate(
    similarity: Floats,
    same: Flags,
    *,
    folds: int | Rows | None = 10,
    failures: int = 0,
    skipped: int = 0,
) -> Result:
    """All figures of P pairs: similarity (P,), same (P,).

    `folds` is the number of contiguous folds of equal size, or the (P,) fold of each pair; None for
    a protocol without folds. Raises DatasetError where pairs are all same or all different, a
    similarity is NaN, or a fold has no pairs.
    """
    _check(similarity, same)
    accuracies = None if folds is None else fold_accuracies(similarity, same, folds=folds)
    false, true = roc(similarity, same)
    shown = {rate_name(rate): rate for rate in RATES if allowed(rate, int(np.sum(~same))) >= 1}
    return Result(
        pairs=len(same),
        accuracy=None if accuracies is None else float(accuracies.mean()),
        accuracy_std=None if accuracies is None else float(accuracies.std()),
        tar={name: _tar(false, true, rate) for name, rate in shown.items()},
        tar_nearest={name: _tar_nearest(false, true, rate) for name, rate in shown.items()},
        eer=_crossing(false, true),
        auc=float(np.trapezoid(true, false)),
        failures_to_acquire=failures,
        skipped=skipped,
    )


def check_kinds(same: Flags) -> None:
    """Raise DatasetError where pairs are all same, or all different."""
    if same.all() or not same.any():
        raise DatasetError("expected same and different pairs, got only one kind")


def rate_name(rate: float) -> str:
    """0.001 as "1e-3"."""
    return f"{rate:.0e}".replace("e-0", "e-")


def fold_accuracies(similarity: Floats, same: Flags, *, folds: int | Rows) -> NDArray[np.float64]:
    """Accuracy of each fold at the threshold that is best on the others: InsightFace's protocol.

    Squared distance 2 - 2 cosine on a grid of 0.01, a pair is "same" strictly below it, of equally
    good thresholds the first; of the others each fold counts the same.
    """
    fold = _fold(folds, len(same))
    return np.bincount(fold, right_answers(similarity, same, fold)) / np.bincount(fold)


def right_answers(similarity: Floats, same: Flags, fold: Rows) -> Flags:
    """(P,) whether each pair is answered right at its fold's threshold: what `fold_accuracies` are
    the means of.
    """
    count, most = int(fold.max()) + 1, len(DISTANCES)
    distances = 2 - 2 * np.asarray(similarity, np.float64)
    below = np.searchsorted(DISTANCES, distances, side="right")  # the first threshold above it
    place = fold * (most + 1) + below
    accepted, passed = (
        np.bincount(place[kind], minlength=count * (most + 1))
        .reshape(count, most + 1)[:, :-1]
        .cumsum(axis=1)
        for kind in (same, ~same)
    )
    # Less the different pairs, which are as many at every threshold: (folds, thresholds).
    by_fold = (accepted - passed) / np.bincount(fold, minlength=count)[:, None]
    others = by_fold.sum(axis=0) - by_fold if count > 1 else by_fold
    best = others.round(12).argmax(axis=1)[fold]
    return np.asarray((below <= best) == same)


def allowed(rate: float, trials: int) -> int:
    """How many of so many trials may go wrong at a rate of at most `rate`."""
    return int(rate * trials * SLACK)


def loosest_threshold(different: Floats, rate: float, *, least: int = 0) -> float:
    """The loosest threshold that at most a share `rate` of (D,) different pairs reach; `least`
    pairs may reach it in any case.

    It lies just above the first pair that is too many, so equal pairs pass or fail together. Raises
    DatasetError without any pair.
    """
    if not len(different):
        raise DatasetError("expected different pairs to choose a threshold on, got none")
    passed = max(least, allowed(rate, len(different)))
    if passed >= len(different):
        return float(different.min())
    place = len(different) - 1 - passed
    return float(np.nextafter(np.partition(different, place)[place], np.inf))


def tar_at_far(similarity: Floats, same: Flags, far: float) -> float:
    """True accept rate at the loosest threshold whose false accept rate is not above `far`."""
    return _tar(*roc(similarity, same), far)


def equal_error_rate(similarity: Floats, same: Flags) -> float:
    """Where the rates of false accepts and false rejects cross, on the line between the two nearest
    thresholds.
    """
    return _crossing(*roc(similarity, same))


def area_under_roc(similarity: Floats, same: Flags) -> float:
    """The chance that a same pair is more alike than a different one, ties counting half."""
    false_accepts, true_accepts = roc(similarity, same)
    return float(np.trapezoid(true_accepts, false_accepts))


def roc(similarity: Floats, same: Flags) -> Curve:
    """False and true accept rates, from the strictest threshold (none accepted) to the loosest
    (all): the corners of the curve. Between two same pairs only false accepts can grow.
    """
    different, mated = np.sort(similarity[~same]), np.sort(similarity[same])
    points = np.unique(mated)[::-1]
    ends = []
    for values in (different, mated):
        above = len(values) - np.searchsorted(values, points, side="right")
        reached = len(values) - np.searchsorted(values, points, side="left")
        corners = np.stack([above, reached], axis=1).ravel() / len(values)
        ends.append(np.concatenate([[0.0], corners, [1.0]]))
    return ends[0], ends[1]


def _tar(false: NDArray[np.float64], true: NDArray[np.float64], far: float) -> float:
    return float(true[false <= far * SLACK].max())


def _tar_nearest(false: NDArray[np.float64], true: NDArray[np.float64], far: float) -> float:
    """At the corner whose false accept rate is nearest, of two the looser: InsightFace's rule."""
    gap = np.abs(false - far)
    return float(true[len(gap) - 1 - int(np.argmin(gap[::-1]))])


def _crossing(false: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    gap = false - (1 - true)
    after = int(np.argmax(gap >= 0))  # both only grow along the curve, so there is one crossing
    if after == 0:
        return float(false[0])
    before = after - 1
    step = gap[before] / (gap[before] - gap[after])
    return float(false[before] + step * (false[after] - false[before]))


def _fold(folds: int | Rows, pairs: int) -> Rows:
    if isinstance(folds, np.ndarray):
        if not np.bincount(folds).all():
            raise DatasetError(f"fold {int(np.argmin(np.bincount(folds)))} has no pairs")
        return folds
    if folds < 1 or pairs % folds:
        raise DatasetError(f"expected {folds} folds of equal size, got {pairs} pairs")
    return np.arange(pairs) * folds // pairs


def _check(similarity: Floats, same: Flags) -> None:
    if similarity.shape != same.shape or similarity.ndim != 1:
        raise DatasetError(
            f"expected (P,) similarities and flags, got {similarity.shape}, {same.shape}"
        )
    check_kinds(same)
    if not np.isfinite(similarity).all():
        raise DatasetError(f"pair {int(np.argmin(np.isfinite(similarity)))} has no similarity: NaN")


def worst_pairs(similarity: Floats, same: Flags, *, most: int = WORST) -> tuple[Rows, Rows]:
    """Rows of the most alike different pairs and of the least alike same pairs, worst first.

    Pairs with a picture that has no face are not among them: there is nothing to see.
    """
    seen = similarity > FAILED
    different, mated = np.flatnonzero(~same & seen), np.flatnonzero(same & seen)
    return (
        different[np.argsort(-similarity[different], kind="stable")[:most]],
        mated[np.argsort(similarity[mated], kind="stable")[:most]],
    )
