"""How true a calibration's log-likelihood ratios are: their cost, and what was seen where they
said so. Pure numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.metrics.logistic import log_loss
from visavis.metrics.verification import Flags, Floats, check_kinds

BINS = 10  # of the stated probability 0..1


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
