"""Yes, no, or not shown: by hand, at given thresholds and at those the other folds choose."""

import numpy as np
import pytest

from visavis.dataset import Pairs
from visavis.errors import CalibrationError, DatasetError
from visavis.metrics.acceptance import (
    Required,
    accept,
    accept_curve,
    fold_thresholds,
    judge,
    parse_required,
    people_of,
)
from visavis.metrics.bootstrap import Rate
from visavis.metrics.calibrate import ErrorCurve


def pairs_of(same, folds=2, labels=None):
    count = len(same)
    rows = np.arange(count)
    return Pairs(
        names=tuple(map(str, range(2 * count))),
        left=rows,
        right=rows + count,
        same=np.array(same),
        fold=rows * folds // count,
        lines=rows + 2,
        source="made",
        labels=labels,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fmr=1e-3,fnmr=1e-2", Required(1e-3, 1e-2)),
        ("fnmr=0.01, fmr=0.001", Required(1e-3, 1e-2)),
    ],
)
def test_what_is_required_is_read(text, expected):
    assert parse_required(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "fmr=1e-3", "fmr=1e-3,fnmr=x", "fmr=0,fnmr=0.1", "fmr=1e-3,fnmr=2", "fmr:1,fnmr:1",
     "fmr=1e-3,fnmr=1e-2,eer=1", "fmr=nan,fnmr=1e-2"],
)  # fmt: skip
def test_what_cannot_be_required_is_an_error(text):
    with pytest.raises(CalibrationError, match="expected fmr"):
        parse_required(text)


@pytest.mark.parametrize(
    ("false_matches", "false_non_matches", "answer"),
    [
        ((0, 1e-3), (0, 1e-2), "yes"),  # an end on the limit keeps it
        ((0, 1.1e-3), (0, 1e-2), "not shown"),
        ((0, 1e-3), (0, 2e-2), "not shown"),
        ((1e-3, 2e-3), (0, 1e-2), "not shown"),
        ((1.1e-3, 2e-3), (0, 1e-2), "no"),
        ((0, 1e-3), (1.1e-2, 1), "no"),
        ((0, 1), (1.1e-2, 1), "no"),  # one that is too high is enough
    ],
)
def test_answers_by_interval(false_matches, false_non_matches, answer):
    rates = [Rate(low, low, high, 0, 1) for low, high in (false_matches, false_non_matches)]
    assert judge(*rates, Required(1e-3, 1e-2)) == answer


def test_thresholds_are_chosen_on_the_other_folds():
    similarity = np.array([0.9, 0.1, 0.2, 0.3, 0.8, 0.4, 0.5, 0.6])
    same = np.array([True, False, False, False] * 2)
    fold = np.repeat([0, 1], 4)
    none, one = (fold_thresholds(similarity, same, fold, rate) for rate in (0.1, 1 / 3))
    assert none == pytest.approx([0.6, 0.3])  # just above the highest of the other fold
    assert one == pytest.approx([0.5, 0.2])  # one of three may pass
    assert (none > [0.6, 0.3]).all()


def test_one_fold_leaves_nothing_to_choose_on():
    with pytest.raises(DatasetError, match="at least two folds"):
        fold_thresholds(np.array([0.5, 0.4]), np.array([True, False]), np.zeros(2, int), 0.1)


def test_folds_without_different_pairs_leave_nothing_to_choose_on():
    same, fold = np.array([True, False, True, True]), np.array([0, 0, 1, 1])
    with pytest.raises(DatasetError, match="expected different pairs"):
        fold_thresholds(np.array([0.5, 0.4, 0.6, 0.7]), same, fold, 0.1)


def separated(count, missed=0, passed=0):
    """Pairs that are all answered right at 0.5, but so many."""
    same = np.tile([True, False], count)
    similarity = np.where(same, 0.9, 0.1)
    similarity[np.flatnonzero(same)[:missed]] = 0.2
    similarity[np.flatnonzero(~same)[:passed]] = 0.8
    return pairs_of(same), similarity


@pytest.mark.parametrize(
    ("count", "missed", "passed", "answer"),
    [
        (4000, 0, 0, "yes"),  # 3.84 in 4,000 at most
        (3000, 0, 0, "not shown"),  # 3.84 in 3,000 is more than one in 1,000
        (4000, 30, 0, "not shown"),
        (4000, 80, 0, "no"),
        (4000, 0, 20, "no"),
    ],
)
def test_a_list_is_judged_at_a_calibrated_threshold(count, missed, passed, answer):
    found = accept(*separated(count, missed, passed), Required(1e-3, 1e-2), threshold=0.5)
    assert (found.answer, found.threshold) == (answer, 0.5)
    assert found.false_match_rate.errors == passed
    assert found.false_non_match_rate.errors == missed


def test_a_list_is_judged_fold_by_fold_without_one():
    pairs, similarity = separated(4000, passed=20)  # all in the first fold
    found = accept(pairs, similarity, Required(1e-3, 1e-2))
    assert found.threshold is None
    # The first fold is judged at the second's threshold, just above 0.1: its 20 pass. The second at
    # just above 0.8, where two of 2,000 may pass, and none of its own does.
    assert found.false_match_rate.errors == 20
    assert found.false_non_match_rate.errors == 0


def test_people_of_pairs_or_a_person_for_each():
    assert people_of(pairs_of([True, False])).tolist() == [[0, 0], [1, 1]]
    labels = np.array([5, 6, 5, 7])
    assert people_of(pairs_of([True, False], labels=labels)).tolist() == [[5, 5], [6, 7]]


def curve(upper, missed_high):
    """Thresholds 0.1, 0.2, ...; the upper ends of the false match rates, and of the misses."""
    count = len(upper)
    zeros, upper, high = np.zeros(count), np.array(upper), np.array(missed_high)
    return ErrorCurve(
        thresholds=0.1 * (1 + np.arange(count)),
        false_match_rate=upper / 2,
        false_match_interval=np.stack([upper / 4, upper]),
        false_non_match_rate=high / 2,
        false_non_match_interval=np.stack([high / 4, high]),
        extrapolated=zeros.astype(bool),
        same_pairs=1000,
        different_pairs=100_000,
        slope=1.0,
        offset=0.0,
    )


@pytest.mark.parametrize(
    ("upper", "missed", "threshold", "answer"),
    [
        ([1e-2, 1e-3, 1e-4], [1e-3, 1e-2, 0.1], 0.2, "yes"),
        ([1e-2, 1e-3, 1e-4], [1e-3, 2e-2, 0.1], 0.2, "not shown"),
        ([1e-2, 1e-3, 1e-4], [1e-3, 5e-2, 0.1], 0.2, "no"),
        ([1e-1, 1e-2], [1e-3, 1e-3], 0.2, "no"),  # even the strictest passes too many
        ([1e-1, 2e-3], [1e-3, 1e-3], 0.2, "not shown"),
    ],
)
def test_all_pairs_are_judged_at_the_loosest_threshold_that_keeps_the_rate(
    upper, missed, threshold, answer
):
    found = accept_curve(curve(upper, missed), Required(1e-3, 1e-2))
    assert (found.answer, found.threshold) == (answer, pytest.approx(threshold))


def test_all_pairs_are_judged_at_a_calibrated_threshold():
    found = accept_curve(curve([1e-2, 1e-3], [1e-3, 1e-2]), Required(1e-3, 1e-2), threshold=0.1)
    assert found.answer == "no"
    with pytest.raises(CalibrationError, match="beyond what the data measures"):
        accept_curve(curve([1e-2, 1e-3], [1e-3, 1e-2]), Required(1e-3, 1e-2), threshold=0.25)
