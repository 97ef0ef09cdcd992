"""Several models on the same pairs: is one better, and do they gain by answering together?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import Pairs
from visavis.errors import DatasetError
from visavis.metrics.acceptance import fold_thresholds, people_of
from visavis.metrics.bootstrap import DRAWS, INTERVAL, weighted_means
from visavis.metrics.likelihood import fit, log_loss
from visavis.metrics.verification import FAILED, Flags, Floats, Rows, right_answers

MOST_WEIGHT = 1e6  # beyond that the others have none
STEPS = 20  # of a weight from 0 to 1, with two members; fewer with more
Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better one model is than another, with its 95 % interval over people."""

    figure: str  # what is compared
    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Better or worse where the interval leaves out 0."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference shown"


@dataclass(frozen=True, eq=False, slots=True)
class Fused:
    """Members' answers weighed together, each fold by weights found on the others."""

    similarity: NDArray[np.float64]  # (P,) on the scale of a cosine
    weights: NDArray[np.float64]  # (folds, members), each row summing to 1


def gains(
    pairs: Pairs, better: Floats, than: Floats, *, far: float, draws: int = DRAWS, seed: int = 0
) -> tuple[Gain, Gain]:
    """What `better` (P,) gains over `than`: in accuracy, and in the share of same pairs accepted
    where each fold's threshold keeps a false accept rate of `far` on the others.

    The same people are drawn for both, so what makes both fail does not blur the difference.
    """
    people = people_of(pairs)
    answers = [right_answers(one, pairs.same, pairs.fold) for one in (better, than)]
    accepted = [
        one >= fold_thresholds(one, pairs.same, pairs.fold, far)[pairs.fold]
        for one in (better, than)
    ]
    every = np.ones(len(pairs.same), bool)
    return (
        _gain("accuracy", answers, every, people, draws=draws, seed=seed),
        _gain(f"TAR@FAR {far:g}", accepted, pairs.same, people, draws=draws, seed=seed),
    )


def fuse(
    members: Sequence[Floats], same: Flags, fold: Rows, *, weights: Sequence[float] | None = None
) -> Fused:
    """Weigh members' similarities, each (P,): a member's weight times its slope, so that what is
    added up are log-likelihood ratios; by `weights`, or for each fold by those with the least
    log loss on the others.

    A pair that a member failed on stays failed. Raises DatasetError for weights that do not fit.
    """
    if len(members) < 2:
        raise DatasetError(f"expected at least two models to weigh together, got {len(members)}")
    folds = int(fold.max()) + 1
    if folds < 2:
        raise DatasetError("expected at least two folds: weights are tested on the others")
    table = np.stack([np.asarray(member, np.float64) for member in members])  # (M, P)
    fixed = None if weights is None else check_weights(weights, len(members))
    grid = [fixed] if fixed is not None else list(_simplex(len(members)))
    failed = (table == FAILED).any(axis=0)
    fused, chosen = np.full(len(same), FAILED), []
    for one in range(folds):
        train, test = (fold != one) & ~failed, (fold == one) & ~failed
        slopes = np.array([_slope(member[train], same[train]) for member in table])
        best = min(grid, key=lambda weight: _loss(weight * slopes @ table[:, train], same[train]))
        scaled = best * slopes
        fused[test] = scaled @ table[:, test] / scaled.sum()
        chosen.append(best)
    return Fused(fused, np.array(chosen))


def _gain(
    figure: str,
    flags: Sequence[Flags],
    trials: Flags,
    people: NDArray[np.intp],
    *,
    draws: int,
    seed: int,
) -> Gain:
    difference = (flags[0].astype(np.float64) - flags[1])[trials]
    means = weighted_means(difference, people[trials], draws=draws, seed=seed)
    low, high = np.percentile(means, INTERVAL)
    return Gain(figure, float(difference.mean()), float(low), float(high))


def check_weights(weights: Sequence[float], members: int | None = None) -> NDArray[np.float64]:
    """Weights as shares of 1. Raises DatasetError for what are none, or not one for each member."""
    fixed = np.array(weights, np.float64)
    bounded = ((fixed >= 0) & (fixed <= MOST_WEIGHT)).all() and fixed.any()
    if not bounded or len(fixed) != (len(fixed) if members is None else members):
        raise DatasetError(
            f"expected {members or 'some'} weights of at least 0, not all 0, and at most "
            f"{MOST_WEIGHT:g}, got {list(weights)}",
            option="weights",
        )
    shares: NDArray[np.float64] = fixed / fixed.sum()
    return shares


def _simplex(members: int) -> Iterator[NDArray[np.float64]]:
    """Weights that sum to 1, in even steps."""
    steps = max(4, STEPS // (members - 1))

    def parts(left: int, places: int) -> Iterator[tuple[int, ...]]:
        if places == 1:
            yield (left,)
            return
        for first in range(left + 1):
            for rest in parts(left - first, places - 1):
                yield (first, *rest)

    for part in parts(steps, members):
        yield np.array(part) / steps


def _slope(similarity: Floats, same: Flags) -> float:
    values = np.asarray(similarity, np.float64)
    return max(fit(values, same.astype(np.float64), (~same).astype(np.float64))[0], 1e-6)


def _loss(score: NDArray[np.float64], same: Flags) -> float:
    """Log loss of a score after its own logistic fit."""
    mated, strangers = same.astype(np.float64), (~same).astype(np.float64)
    scale = float(np.abs(score).max()) or 1.0
    slope, offset = fit(score / scale, mated, strangers)
    return log_loss(slope * score / scale + offset, mated, strangers)
