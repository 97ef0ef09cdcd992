"""Similarities to log-likelihood ratios: the logistic fit that a calibration's slope comes from."""

import numpy as np

from visavis.metrics.bootstrap import Floats

STEPS = 50
DONE = 1e-9  # a step this small changes nothing
RIDGE = 1e-6  # keeps the fit finite where the two kinds do not overlap


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
