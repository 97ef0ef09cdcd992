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


@pytest.mark.parametrize(
    ("similarity", "total", "threshold", "rate"),
    [
        # Excesses of 3, 2, 1: mean 2, moment 7/9, so shape 5/2 and scale 7; half are above 0.
        ([3, 2, 1, 0], 6, 0, 0.5),
        ([3, 2, 1, 0], 6, 1.4, 0.5 * 0.5**0.4),
        ([3, 2, 1, 0], 6, 2.7, 0.5 * (1 / 28) ** 0.4),
        ([3, 2, 1, 0], 6, 2.9, 0),  # the tail ends at 2.8
        ([5, 4, 3, 2], 6, 3.4, 0.5 * 0.5**0.4),  # the same tail, 2 higher
        # Excesses of 1, 0: mean 1/2, moment 1/8, so shape 0 and scale 1/2.
        ([1, 0, 0], 4, 0, 0.5),
        ([1, 0, 0], 4, 0.5, 0.5 * np.exp(-1)),
        ([2, 1, 1], 4, 2, 0.5 * np.exp(-2)),
    ],
)
def test_a_tail_by_hand(similarity, total, threshold, rate):
    values = np.array(similarity, np.float64)
    got = tail.extrapolate(values, np.ones(len(values)), total, np.array([threshold]))
    assert got == pytest.approx([rate], abs=1e-12)


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, MOST + 2])
def test_the_highest_pairs_and_the_next_one(count):
    similarity = np.random.default_rng(1).permutation(count).astype(np.float64)
    rows = highest(similarity)
    assert similarity[rows].tolist() == list(range(count - 1, max(-1, count - MOST - 2), -1))


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
