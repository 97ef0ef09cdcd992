"""Similarities of same and different pairs to accuracy, TAR at FAR, EER and AUC. Pure numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DatasetError

Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]

RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
# Squared distances of unit embeddings, 0 to 3.99: the grid of InsightFace's protocol.
DISTANCES = np.arange(0, 4, 0.01)
FAILED = (
    -2.0
)  # the similarity of a pair with a picture in which no face was found: below every other


@dataclass(frozen=True, slots=True)
class Result:
    """A verification protocol's figures."""

    pairs: int
    accuracy: float  # mean of the folds
    accuracy_std: float  # population standard deviation of the folds
    tar: dict[str, float]  # true accept rate by false accept rate, for each the pairs can show
    eer: float
    auc: float
    failures_to_acquire: int = 0  # pictures; their pairs count as answered "different"


def evaluate(similarity: Floats, same: Flags, *, folds: int = 10, failures: int = 0) -> Result:
    """All figures of P pairs: similarity (P,), same (P,), in `folds` contiguous folds.

    Raises DatasetError where a class is empty, a similarity is NaN, or the folds do not come out
    even.
    """
    _check(similarity, same, folds)
    accuracies = fold_accuracies(similarity, same, folds=folds)
    shown = [rate for rate in RATES if rate * np.sum(~same) >= 1]
    return Result(
        pairs=len(same),
        accuracy=float(accuracies.mean()),
        accuracy_std=float(accuracies.std()),
        tar={
            f"{rate:.0e}".replace("e-0", "e-"): tar_at_far(similarity, same, rate) for rate in shown
        },
        eer=equal_error_rate(similarity, same),
        auc=area_under_roc(similarity, same),
        failures_to_acquire=failures,
    )


def fold_accuracies(similarity: Floats, same: Flags, *, folds: int) -> NDArray[np.float64]:
    """Accuracy of each fold at the threshold that is best on the others: InsightFace's protocol.

    Squared distance 2 - 2 cosine on a grid of 0.01, a pair is "same" strictly below it, of equally
    good thresholds the first.
    """
    distances = 2 - 2 * np.asarray(similarity, np.float64)
    right = (distances[:, None] < DISTANCES) == same[:, None]  # (P, thresholds)
    by_fold = right.reshape(folds, -1, len(DISTANCES)).mean(axis=1)  # (folds, thresholds)
    if folds == 1:
        return np.asarray(by_fold.max(axis=1))
    others = (by_fold.sum(axis=0) - by_fold) / (folds - 1)
    return np.asarray(by_fold[np.arange(folds), others.round(12).argmax(axis=1)])


def tar_at_far(similarity: Floats, same: Flags, far: float) -> float:
    """True accept rate at the loosest threshold whose false accept rate is not above `far`."""
    different = np.sort(similarity[~same])[::-1]
    allowed = int(np.floor(far * len(different) * (1 + 1e-12)))
    if allowed >= len(different):
        return 1.0
    return float(np.mean(similarity[same] > different[allowed]))


def equal_error_rate(similarity: Floats, same: Flags) -> float:
    """Where the rates of false accepts and false rejects cross, on the line between the two nearest
    thresholds.
    """
    accepts, rejects = roc(similarity, same)
    gap = accepts - (1 - rejects)
    after = int(np.argmax(gap >= 0))  # accepts only grow along the curve, so there is one crossing
    if after == 0:
        return float(accepts[0])
    before = after - 1
    step = gap[before] / (gap[before] - gap[after])
    return float(accepts[before] + step * (accepts[after] - accepts[before]))


def area_under_roc(similarity: Floats, same: Flags) -> float:
    """The chance that a same pair is more alike than a different one, ties counting half."""
    false_accepts, true_accepts = roc(similarity, same)
    return float(np.trapezoid(true_accepts, false_accepts))


def roc(similarity: Floats, same: Flags) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true accept rates, from the strictest threshold (none accepted) to the loosest
    (all).
    """
    order = np.argsort(-similarity, kind="stable")
    ends = np.append(
        np.flatnonzero(np.diff(similarity[order])), len(order) - 1
    )  # equals come together
    true = np.cumsum(same[order])[ends] / np.sum(same)
    false = np.cumsum(~same[order])[ends] / np.sum(~same)
    return np.insert(false, 0, 0.0), np.insert(true, 0, 0.0)


def _check(similarity: Floats, same: Flags, folds: int) -> None:
    if similarity.shape != same.shape or similarity.ndim != 1:
        raise DatasetError(
            f"expected (P,) similarities and flags, got {similarity.shape}, {same.shape}"
        )
    if same.all() or not same.any():
        raise DatasetError("expected same and different pairs, got only one kind")
    if not np.isfinite(similarity).all():
        raise DatasetError(f"pair {int(np.argmin(np.isfinite(similarity)))} has no similarity: NaN")
    if folds < 1 or len(same) % folds:
        raise DatasetError(f"expected {folds} folds of equal size, got {len(same)} pairs")
