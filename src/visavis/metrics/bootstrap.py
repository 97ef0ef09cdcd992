"""Intervals over people: pairs that share a person are not independent, so people are drawn.

This is the only bootstrap in the project. Where errors are few it cannot see that the next person
may bring one, so an interval is never narrower than Wilson's for independent pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DatasetError
from visavis.metrics.verification import Flags, Floats

DRAWS = 1000
INTERVAL = (2.5, 97.5)  # percentiles of the draws: 95 %
Z = 1.959964  # the normal quantile of that


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials, and its 95 % interval."""

    value: float
    low: float
    high: float
    errors: int
    trials: int


def draw_people(people: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """(draws, people): how often each was drawn, with replacement, as many as there are."""
    chances = np.full(people, 1 / people)
    return np.random.default_rng(seed).multinomial(people, chances, draws).astype(np.float64)


def rate(
    wrong: Flags,
    people: NDArray[np.intp] | None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Rate:
    """The share of (T,) trials that went wrong; `people` (T, 2) are the two of each.

    In each draw a trial counts as often as its first person was drawn, times its second; a trial of
    one person as often as that person. Without `people` the trials are taken as independent. Raises
    DatasetError without any trial.
    """
    trials, errors = len(wrong), int(np.sum(wrong))
    if not trials:
        raise DatasetError("expected trials to count errors in, got none")
    low, high = wilson(errors, trials)
    if people is not None and 0 < errors:
        shares = weighted_means(wrong.astype(np.float64), people, draws=draws, seed=seed)
        ends = np.percentile(shares, INTERVAL)
        low, high = min(low, float(ends[0])), max(high, float(ends[1]))
    return Rate(errors / trials, low, high, errors, trials)


def weighted_means(
    values: Floats, people: NDArray[np.intp], *, draws: int = DRAWS, seed: int = 0
) -> Floats:
    """(draws,) means of (T,) values, each trial weighing as often as its people were drawn."""
    known, rows = np.unique(people, return_inverse=True)
    pairs = rows.reshape(people.shape)
    # Trials of the same two people weigh the same: sum them first.
    both, place = np.unique(np.sort(pairs, axis=1), axis=0, return_inverse=True)
    sums = np.bincount(place.ravel(), values, len(both))
    counts = np.bincount(place.ravel(), minlength=len(both)).astype(np.float64)
    means = []
    for weights in draw_people(len(known), draws=draws, seed=seed):
        weight = pair_weights(weights, both)
        total = counts @ weight
        if total > 0:
            means.append((sums @ weight) / total)
    return np.array(means)


def pair_weights(weights: Floats, people: NDArray[np.intp]) -> Floats:
    """(T,): how often each trial of (T, 2) people counts when people weigh (people,) `weights`."""
    first, second = people[:, 0], people[:, 1]
    return np.where(first == second, weights[first], weights[first] * weights[second])


def wilson(errors: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share of independent trials (Wilson 1927)."""
    share, factor = errors / trials, Z**2 / trials
    middle = (share + factor / 2) / (1 + factor)
    half = Z / (1 + factor) * np.sqrt(share * (1 - share) / trials + factor / trials / 4)
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
