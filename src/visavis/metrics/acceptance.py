"""Does a model meet the error rates that are asked of it: yes, no, or not shown by this data."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import Pairs
from visavis.errors import CalibrationError, DatasetError
from visavis.metrics.bootstrap import Rate, rate
from visavis.metrics.calibrate import ErrorCurve
from visavis.metrics.verification import Flags, Floats, Rows, loosest_threshold

Shown = Literal["yes", "no", "not shown"]


@dataclass(frozen=True, slots=True)
class Required:
    """The error rates that must not be exceeded."""

    false_match_rate: float
    false_non_match_rate: float


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The answer, the rates it rests on with their 95 % intervals, and their threshold."""

    answer: Shown
    false_match_rate: Rate
    false_non_match_rate: Rate
    threshold: float | None  # None: each fold has the one that the other folds chose
    chosen: str  # how the threshold was chosen, in words


def parse_required(text: str) -> Required:
    """Read "fmr=1e-3,fnmr=1e-2". Raises CalibrationError for anything else."""
    try:
        named = {
            name.strip(): float(value)
            for name, value in (part.split("=") for part in text.split(","))
        }
        required = Required(named.pop("fmr"), named.pop("fnmr"))
    except (ValueError, KeyError):
        raise CalibrationError(
            f"expected fmr=RATE,fnmr=RATE as in fmr=1e-3,fnmr=1e-2, got {text!r}"
        ) from None
    if named or not (0 < required.false_match_rate < 1 and 0 < required.false_non_match_rate < 1):
        raise CalibrationError(f"expected fmr and fnmr between 0 and 1 and no other, got {text!r}")
    return required


def accept(
    pairs: Pairs, similarity: Floats, required: Required, *, threshold: float | None = None
) -> Acceptance:
    """Judge a list of pairs at `threshold`, or each fold at the threshold that the others choose:
    the loosest whose false match rate is not above the one required.

    Intervals are over people, or over pairs where the list does not say whom they show.
    """
    if threshold is None:
        limits = fold_thresholds(similarity, pairs.same, pairs.fold, required.false_match_rate)
        at, chosen = limits[pairs.fold], "each fold at the threshold the others chose"
    else:
        at, chosen = np.full(len(similarity), threshold), "the pack's calibration"
    matched, people = similarity >= at, people_of(pairs)
    false_matches = rate(matched[~pairs.same], people[~pairs.same])
    false_non_matches = rate(~matched[pairs.same], people[pairs.same])
    answer = judge(false_matches, false_non_matches, required)
    return Acceptance(answer, false_matches, false_non_matches, threshold, chosen)


def accept_curve(
    curve: ErrorCurve, required: Required, *, threshold: float | None = None
) -> Acceptance:
    """Judge all pairs of a data set at `threshold`, or at the loosest threshold whose false match
    rate is kept at the upper end of its interval; where there is none, at the strictest measured.
    """
    chosen = "the pack's calibration"
    if threshold is None:
        within = curve.false_match_interval[1] <= required.false_match_rate
        place = int(np.argmax(within)) if within.any() else len(within) - 1
        chosen = "the loosest that keeps the false match rate on this data"
    else:
        place = int(np.searchsorted(curve.thresholds, threshold - 1e-9))
        if place == len(curve.thresholds):
            raise CalibrationError(
                f"the threshold {threshold:g} is beyond what the data measures "
                f"({curve.thresholds[-1]:g})",
                mend="use a looser rate, or more people",
            )
    false_matches, false_non_matches = (
        Rate(value[place], ends[0, place], ends[1, place], round(value[place] * trials), trials)
        for value, ends, trials in (
            (curve.false_match_rate, curve.false_match_interval, curve.different_pairs),
            (curve.false_non_match_rate, curve.false_non_match_interval, curve.same_pairs),
        )
    )
    answer = judge(false_matches, false_non_matches, required)
    return Acceptance(
        answer, false_matches, false_non_matches, float(curve.thresholds[place]), chosen
    )


def judge(false_matches: Rate, false_non_matches: Rate, required: Required) -> Shown:
    """Yes where neither interval reaches above what is required, no where one begins above it, else
    not shown.
    """
    asked = (
        (false_matches, required.false_match_rate),
        (false_non_matches, required.false_non_match_rate),
    )
    if any(measured.low > limit for measured, limit in asked):
        return "no"
    return "yes" if all(measured.high <= limit for measured, limit in asked) else "not shown"


def fold_thresholds(
    similarity: Floats, same: Flags, fold: Rows, false_match_rate: float
) -> NDArray[np.float64]:
    """For each fold the loosest threshold whose false match rate on the others is not above the one
    asked. Raises DatasetError where the others have no different pair to choose on.
    """
    folds = int(fold.max()) + 1
    if folds < 2:
        raise DatasetError("expected at least two folds, to choose the threshold on the others")
    return np.array(
        [
            loosest_threshold(similarity[(fold != one) & ~same], false_match_rate)
            for one in range(folds)
        ]
    )


def people_of(pairs: Pairs) -> NDArray[np.intp]:
    """(P, 2): the two people of each pair; where the list does not say, a person for each pair."""
    if pairs.labels is None:
        return np.repeat(np.arange(len(pairs.same)), 2).reshape(-1, 2)
    return np.stack([pairs.labels[pairs.left], pairs.labels[pairs.right]], axis=1)
