"""Models beside each other: gains that are there and gains that are not, weights tested apart."""

import numpy as np
import pytest
from test_acceptance import pairs_of

from visavis.errors import DatasetError
from visavis.metrics.fusion import _simplex, check_weights, fuse, gains
from visavis.metrics.verification import FAILED


def made(count, noise, seed):
    """Similarities of alternating same and different pairs: 0.6 and 0, and noise."""
    same = np.tile([True, False], count // 2)
    return np.where(same, 0.6, 0.0) + np.random.default_rng(seed).normal(0, noise, count), same


def test_a_model_gains_nothing_over_itself():
    similarity, same = made(600, 0.25, 0)
    pairs = pairs_of(same, folds=10)
    for gain in gains(pairs, similarity, similarity, far=0.1):
        assert (gain.value, gain.low, gain.high) == (0, 0, 0)
        assert gain.verdict == "no difference shown"


def test_a_gain_that_is_there_is_seen_and_from_the_other_side_a_loss():
    (clear, same), (blurred, _) = made(2000, 0.15, 1), made(2000, 0.4, 2)
    pairs = pairs_of(same, folds=10)
    for gain, loss in zip(
        gains(pairs, clear, blurred, far=0.05), gains(pairs, blurred, clear, far=0.05), strict=True
    ):
        assert gain.low > 0.1
        assert (gain.verdict, loss.verdict) == ("better", "worse")
        assert (gain.value, gain.low, gain.high) == pytest.approx(
            (-loss.value, -loss.high, -loss.low)
        )


def test_two_models_as_good_as_each_other_are_seldom_told_apart():
    told = 0
    for seed in range(20):
        (a, same), (b, _) = made(600, 0.3, 2 * seed), made(600, 0.3, 2 * seed + 1)
        accuracy, _ = gains(pairs_of(same, folds=10), a, b, far=0.05, draws=200)
        told += accuracy.verdict != "no difference shown"
    assert told <= 3


@pytest.mark.slow
def test_together_two_noisy_models_are_better_than_either():
    (a, same), (b, _) = made(4000, 0.3, 3), made(4000, 0.3, 4)
    pairs = pairs_of(same, folds=10)
    fused = fuse([a, b], same, pairs.fold)
    np.testing.assert_allclose(fused.weights.sum(axis=1), 1)
    assert (np.abs(fused.weights - 0.5) <= 0.15).all()
    accuracy, accepted = gains(pairs, fused.similarity, a, far=0.01)
    assert (accuracy.verdict, accepted.verdict) == ("better", "better")


def test_a_model_that_knows_nothing_gets_no_weight():
    (a, same), rng = made(2000, 0.3, 5), np.random.default_rng(6)
    fused = fuse([rng.normal(0, 0.3, 2000), a], same, np.arange(2000) // 200)
    assert (fused.weights[:, 1] >= 0.9).all()


def test_weights_are_shares_of_one():
    assert check_weights([1, 3]).tolist() == [0.25, 0.75]
    assert check_weights([0, 1e6], members=2).tolist() == [0, 1]


@pytest.mark.parametrize(("members", "count"), [(2, 21), (3, 66), (6, 126)])
def test_all_weights_in_even_steps_are_tried(members, count):
    """Steps of 1/20, 1/10 and 1/4: 21 places on a line, 66 in a triangle, (4 + 5 over 5) of six."""
    weights = [tuple(weight) for weight in _simplex(members)]
    assert len(weights) == len(set(weights)) == count
    assert {len(weight) for weight in weights} == {members}
    assert min(map(min, weights)) == 0
    np.testing.assert_allclose(np.sum(weights, axis=1), 1)
    assert set(map(tuple, np.eye(members))) <= set(weights)


def test_two_folds_are_enough():
    (a, same), (b, _) = made(400, 0.2, 12), made(400, 0.2, 13)
    assert fuse([a, b], same, np.arange(400) // 200).weights.shape == (2, 2)


def test_given_weights_add_up_log_likelihood_ratios():
    similarity, same = made(1000, 0.2, 7)
    halved = similarity / 2  # the same evidence on another scale: its slope is twice as high
    fused = fuse([similarity, halved], same, np.arange(1000) // 100, weights=[1, 1])
    # (a s + 2a s/2) / 3a
    np.testing.assert_allclose(fused.similarity, similarity * 2 / 3, rtol=1e-3)


def test_the_weights_of_a_fold_do_not_know_it():
    (a, same), (b, _) = made(400, 0.3, 8), made(400, 0.3, 9)
    fold = np.arange(400) // 100
    before = fuse([a, b], same, fold)
    spoiled = a.copy()
    spoiled[:100] = 0.5 - spoiled[:100]
    after = fuse([spoiled, b], same, fold)
    np.testing.assert_array_equal(before.weights[0], after.weights[0])
    assert (before.weights[1:] != after.weights[1:]).any()


def test_a_pair_that_a_member_failed_on_stays_failed():
    (a, same), (b, _) = made(400, 0.2, 10), made(400, 0.2, 11)
    b[7] = FAILED
    fused = fuse([a, b], same, np.arange(400) // 40)
    assert fused.similarity[7] == FAILED
    assert (np.delete(fused.similarity, 7) > FAILED).all()


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [-1, 2], [0, 0], [np.nan, 1]])
def test_weights_that_do_not_fit_are_an_error(weights):
    (a, same), (b, _) = made(100, 0.2, 10), made(100, 0.2, 11)
    with pytest.raises(DatasetError, match="expected 2 weights"):
        fuse([a, b], same, np.arange(100) // 10, weights=weights)


@pytest.mark.parametrize(("members", "folds"), [(1, 10), (2, 1)])
def test_what_cannot_be_fused_is_an_error(members, folds):
    a, same = made(100, 0.2, 10)
    with pytest.raises(DatasetError, match="at least two"):
        fuse([a] * members, same, np.arange(100) * folds // 100)
