"""Log-likelihood ratios of distributions whose ratio is known."""

import numpy as np
import pytest

from visavis.metrics.logistic import fit, log_loss


def grid(mean):
    values = np.linspace(-3, 4, 20_001)
    return values, np.exp(-((values - mean) ** 2) / 2 / 0.25)  # a deviation of 1/2


@pytest.mark.parametrize("apart", [0.5, 1, 2])
def test_two_gaussians_have_a_straight_log_likelihood_ratio(apart):
    values, same = grid(apart)
    _, different = grid(0)
    slope, offset = fit(values, same, different)
    assert slope == pytest.approx(apart / 0.25, rel=1e-3)
    assert offset == pytest.approx(-(apart**2) / 2 / 0.25, rel=1e-3)


def test_how_much_there_is_of_a_kind_does_not_count():
    values, same = grid(1)
    _, different = grid(0)
    np.testing.assert_allclose(fit(values, 7 * same, different), fit(values, same, different))


def test_what_is_apart_stays_finite():
    slope, offset = fit(np.array([0.0, 1.0]), np.array([0.0, 1]), np.array([1.0, 0]))
    assert np.isfinite([slope, offset]).all()
    assert slope > 5


@pytest.mark.parametrize(
    ("llr", "bits"),
    [
        ([0, 0], 1),  # knowing nothing
        ([50, -50], 0),  # certain, and right
        ([np.log(3), -np.log(3)], np.log2(4 / 3)),
        ([-np.log(3), np.log(3)], 2),  # as certain, and wrong: log2(1 + 3)
        ([0, -np.log(3)], (1 + np.log2(4 / 3)) / 2),
    ],
)
def test_log_loss_by_hand(llr, bits):
    same, different = np.array([1.0, 0]), np.array([0.0, 1])
    assert log_loss(np.array(llr, float), same, different) == pytest.approx(bits, abs=1e-12)
