"""Extrapolated false match rates against distributions whose tail is known."""

from statistics import NormalDist

import numpy as np
import pytest

from visavis.metrics import tail
from visavis.metrics.tail import MOST, highest


def extrapolate(similarity, weights, total, thresholds):
    rows = highest(similarity)
    return tail.extrapolate(similarity[rows], weights[rows], total, thresholds)


COUNT = 200_000
PLACES = (np.arange(COUNT) + 0.5) / COUNT


@pytest.mark.parametrize(
    ("inverse", "tolerance"),
    [
        pytest.param(lambda chance: -np.log(chance), 1.15, id="exponential"),
        pytest.param(lambda chance: 1 - chance**0.5, 1.4, id="bounded"),
        pytest.param(lambda chance: chance**-0.1, 1.15, id="heavy"),
        pytest.param(
            lambda chance: np.array(
                [NormalDist().inv_cdf(1 - one) for one in np.atleast_1d(chance)]
            ),
            2.5,
            id="normal",
        ),
    ],
)
@pytest.mark.parametrize("rate", [1e-4, 1e-5, 1e-6])
def test_a_tail_that_is_known(inverse, tolerance, rate):
    similarity = np.asarray(inverse(PLACES))
    threshold = np.atleast_1d(inverse(rate))
    found = extrapolate(similarity, np.ones(COUNT), COUNT, threshold)
    assert 1 / tolerance <= found[0] / rate <= tolerance


def test_a_pair_that_counts_twice_is_two_pairs():
    rng = np.random.default_rng(2)
    similarity = rng.exponential(size=MOST // 2 + 1)
    thresholds = np.array([3.0, 5, 8])
    twice = extrapolate(similarity, np.full(len(similarity), 2.0), 1e5, thresholds)
    # The lowest is the floor, so that the doubled list has it once.
    doubled = np.append(np.repeat(np.sort(similarity)[1:], 2), similarity.min())
    np.testing.assert_allclose(twice, extrapolate(doubled, np.ones(MOST + 1), 1e5, thresholds))


def test_above_the_end_of_a_bounded_tail_nothing_matches():
    similarity = 1 - PLACES**0.5
    assert extrapolate(similarity, np.ones(COUNT), COUNT, np.array([1.2])) == 0


def test_of_people_who_were_not_drawn_there_is_no_tail():
    similarity = np.linspace(0, 1, MOST + 5)
    assert extrapolate(similarity, np.zeros(MOST + 5), 1, np.array([0.9])) == 0
