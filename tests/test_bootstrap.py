"""Intervals over people: by hand, and how often they hold what is true."""

import numpy as np
import pytest

from visavis.errors import DatasetError
from visavis.metrics.bootstrap import draw_people, pair_weights, rate, weighted_means, wilson


@pytest.mark.parametrize(
    ("errors", "trials", "low", "high"),
    [
        (0, 3000, 0, 1.2788e-3),  # z^2 / (n + z^2)
        (10, 6000, 9.054e-4, 3.0660e-3),  # 99.69 to 99.91 % right
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1),
    ],
)
def test_wilson_by_hand(errors, trials, low, high):
    assert wilson(errors, trials) == pytest.approx((low, high), rel=1e-3, abs=1e-12)


def test_people_are_drawn_as_many_as_there_are():
    drawn = draw_people(7, draws=50)
    assert drawn.shape == (50, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean() == 1
    np.testing.assert_array_equal(drawn, draw_people(7, draws=50))
    assert (drawn != draw_people(7, draws=50, seed=1)).any()


def test_a_pair_counts_as_often_as_its_people_together_and_one_person_once():
    people = np.array([[0, 1], [1, 2], [2, 2], [0, 0]])
    assert pair_weights(np.array([2.0, 0, 3]), people).tolist() == [0, 0, 3, 2]


def test_means_are_those_of_the_pairs_written_out():
    people = np.array([[4, 9], [9, 4], [9, 9], [4, 7]])
    values = np.array([1.0, 0, 0, 1])
    means = weighted_means(values, people, draws=40, seed=3)
    expected = []
    for four, seven, nine in draw_people(3, draws=40, seed=3):
        weights = [four * nine, nine * four, nine, four * seven]
        if sum(weights):
            expected.append(np.average(values, weights=weights))
    np.testing.assert_allclose(means, expected)


def test_a_rate_and_what_it_is_made_of():
    wrong = np.arange(100) < 10
    found = rate(wrong, np.repeat(np.arange(100), 2).reshape(-1, 2))
    assert (found.value, found.errors, found.trials) == (0.1, 10, 100)
    assert found.low == pytest.approx(0.05, abs=0.01)
    assert found.high == pytest.approx(0.17, abs=0.01)


def test_one_error_of_a_person_who_may_be_drawn_twice():
    """Of two one errs in their only trial: in a quarter of the draws they are all there are."""
    people = np.repeat([0] + [1] * 9, 2).reshape(-1, 2)
    found = rate(np.arange(10) == 0, people)
    assert (found.low, found.high) == (0, 1)
    assert rate(np.arange(10) == 0, None).high == pytest.approx(0.4042, abs=1e-4)


@pytest.mark.parametrize("people", [None, np.repeat(np.arange(50), 2).reshape(-1, 2)])
def test_no_error_is_no_proof_that_there_is_none(people):
    found = rate(np.zeros(50, bool), people)
    assert (found.value, found.low) == (0, 0)
    assert found.high == wilson(0, 50)[1]


def test_one_person_in_every_error_widens_the_interval():
    wrong = np.arange(400) < 40
    alone = np.repeat(np.arange(400), 2).reshape(-1, 2)
    together = alone.copy()
    together[:40, 0] = together[0, 0]
    assert rate(wrong, together).high > 1.5 * rate(wrong, alone).high


def test_no_trials_are_no_rate():
    with pytest.raises(DatasetError, match="got none"):
        rate(np.zeros(0, bool), None)


def coverage(people, per_person, share, sets):
    """How often intervals hold the true rate, where people explain a share of the variance."""
    rng = np.random.default_rng(5)
    true, held = 0.05, 0
    limit = 1.6448536  # of a standard normal: one in 20 is above
    labels = np.repeat(np.arange(people), per_person)
    for _ in range(sets):
        own, each = rng.normal(size=people), rng.normal(size=len(labels))
        hardness = np.sqrt(share) * own[labels] + np.sqrt(1 - share) * each
        found = rate(hardness > limit, np.repeat(labels, 2).reshape(-1, 2), draws=300)
        held += found.low <= true <= found.high
    return held / sets


def test_intervals_hold_the_true_rate_where_people_explain_a_third_of_the_variance():
    assert coverage(people=120, per_person=10, share=0.3, sets=150) >= 0.9
