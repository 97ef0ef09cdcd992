"""Similarities as log-likelihood ratios: the fit that a calibration's slope comes from, what the
ratios cost, and how true the probabilities are that they state. Pure numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.metrics.verification import Flags, Floats, check_kinds

BINS = 10  # of the stated probability 0..1
STEPS = 50  # of Newton's method, at most
DONE = 1e-9  # a step this small changes nothing
RIDGE = 1e-6  # keeps the fit finite where the two kinds do not overlap


@dataclass(frozen=True, eq=False, slots=True)
class Reliability:
    """(B,) bins of the stated probability that hold any pair, lowest first."""

    stated: NDArray[np.float64]  # mean probability of "same" that was stated
    observed: NDArray[np.float64]  # share of same pairs, both kinds weighing the same in all
    pairs: NDArray[np.intp]


def cllr(similarity: Floats, same: Flags, slope: float, offset: float) -> float:
    """The cost of the log-likelihood ratios slope * similarity + offset, in bits.

    0 for ratios that are always right and sure, 1 for ratios that say nothing, more for ratios that
    mislead (Brümmer and du Preez 2006, equation 12). Raises DatasetError where a class is empty.
    """
    check_kinds(same)
    ratio = slope * np.asarray(similarity, np.float64) + offset
    return log_loss(ratio, same.astype(np.float64), (~same).astype(np.float64))


def reliability(
    similarity: Floats, same: Flags, slope: float, offset: float, *, bins: int = BINS
) -> Reliability:
    """The stated probability of "same", at equal priors, against the share of same pairs.

    Raises DatasetError where a class is empty.
    """
    check_kinds(same)
    ratio = slope * np.asarray(similarity, np.float64) + offset
    stated = np.exp(-np.logaddexp(0, -ratio))
    weights = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
    place = np.minimum((stated * bins).astype(np.intp), bins - 1)
    pairs = np.bincount(place, minlength=bins)
    kept = pairs > 0
    total, probability, mated = (
        np.bincount(place, values, bins)[kept]
        for values in (weights, weights * stated, weights * same)
    )
    return Reliability(probability / total, mated / total, pairs[kept])


def fit(values: Floats, same: Floats, different: Floats) -> tuple[float, float]:
    """Slope and offset of log(P(value | same) / P(value | different)), by Newton's method.

    `same` and `different` (N,) say how much of each kind lies at each of `values` (N,); each kind
    weighs the same, so the offset holds for even odds.
    """
    same, different = same / same.sum(), different / different.sum()
    design = np.stack([values, np.ones(len(values))], axis=1)
    theta = np.zeros(2)

    def loss(theta: Floats) -> float:
        return log_loss(design @ theta, same, different) + RIDGE * float(theta @ theta) / 2

    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ theta, -500, 500)))
        gradient = design.T @ (same * (1 - chance) - different * chance) - RIDGE * theta
        curvature = (same + different) * chance * (1 - chance)
        step = np.linalg.solve(
            (design * curvature[:, None]).T @ design + RIDGE * np.eye(2), gradient
        )
        while np.abs(step).max() > DONE and loss(theta + step) > loss(theta):
            step = step / 2  # a full step can go too far where the kinds overlap little
        if np.abs(step).max() <= DONE:
            break
        theta = theta + step
    return float(theta[0]), float(theta[1])


def log_loss(llr: Floats, same: Floats, different: Floats) -> float:
    """Bits lost a pair by log-likelihood ratios (N,) at even odds: Cllr (Brummer 2006).

    0 is certain and right, 1 what knowing nothing costs.
    """
    missed = same @ np.logaddexp(0, -llr) / same.sum()
    passed = different @ np.logaddexp(0, llr) / different.sum()
    return float((missed + passed) / 2 / np.log(2))
