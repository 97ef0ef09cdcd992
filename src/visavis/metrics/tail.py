"""Beyond what was measured: a generalised Pareto tail through the highest different pairs.

Its rates are guesses with an interval: whoever uses them marks them as extrapolated.
"""

import numpy as np
from numpy.typing import NDArray

from visavis.metrics.verification import Floats

MOST = 1000  # of the highest different pairs, what the tail is fitted to


def highest(similarity: Floats) -> NDArray[np.intp]:
    """Rows of the pairs that a tail is fitted to, and of the next one: highest first."""
    most = min(MOST + 1, len(similarity))
    rows = np.argpartition(-similarity, most - 1)[:most]
    return rows[np.argsort(-similarity[rows], kind="stable")]


def extrapolate(
    similarity: Floats, weights: Floats, total: float, thresholds: Floats
) -> NDArray[np.float64]:
    """False match rates at (T,) thresholds, from the `highest` (E,) different pairs, falling.

    `weights` says how often each pair counts, `total` what all different pairs weigh together. By
    probability-weighted moments (Hosking and Wallis 1987, equations 4 and 5): robust where few
    pairs are high, and without a search.
    """
    above, weight, floor = similarity[:-1] - similarity[-1], weights[:-1], similarity[-1]
    mass = weight.sum()
    if mass <= 0:
        return np.zeros(len(thresholds))
    higher = (np.cumsum(weight) - weight / 2) / mass  # the share of excesses above each
    mean, moment = weight @ above / mass, weight @ (above * higher) / mass
    shape = mean / (mean - 2 * moment) - 2
    scale = 2 * mean * moment / (mean - 2 * moment)
    if abs(shape) < 1e-9:
        share = np.exp(-(thresholds - floor) / scale)
    else:
        share = np.maximum(1 - shape * (thresholds - floor) / scale, 0.0) ** (1 / shape)
    return np.asarray(mass / total * share)
