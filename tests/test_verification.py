"""Accuracy, TAR at FAR, EER and AUC: by hand, by closed form, and on LFW."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest

from visavis.dataset import open_tree, read_pairs
from visavis.embedder import load_embedder, unit
from visavis.errors import DatasetError, DeviceError
from visavis.evaluate.protocols import CropSource, Embedded, embed_tree, verification
from visavis.metrics.verification import (
    FAILED,
    area_under_roc,
    equal_error_rate,
    evaluate,
    fold_accuracies,
    loosest_threshold,
    right_answers,
    roc,
    tar_at_far,
    worst_pairs,
)
from visavis.runtime import Device


def pairs_of(same, different):
    """Similarities and flags of same pairs, then of different ones."""
    flags = np.repeat([True, False], [len(same), len(different)])
    return np.array([*same, *different], np.float64), flags


SAME = [0.95, 0.85, 0.75, 0.65]
DIFFERENT = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0]


@pytest.mark.parametrize(
    ("same", "different", "far", "expected"),
    [
        (SAME, DIFFERENT, 0.05, 0.25),  # none of ten may pass: above 0.9
        (SAME, DIFFERENT, 0.1, 0.5),  # one may: above 0.8
        (SAME, DIFFERENT, 0.19, 0.5),  # 1.9 of ten is one
        (SAME, DIFFERENT, 0.2, 0.75),
        (SAME, DIFFERENT, 0.3, 1),  # 0.1 + 0.2 of ten is three
        (SAME, DIFFERENT, 0.1 + 0.2, 1),
        (SAME, DIFFERENT, 1, 1),
        ([0.9, 0.6], [0.9, 0.9, 0.5], 1 / 3, 0),  # of two equals none may pass alone
        ([0.9, 0.6], [0.9, 0.9, 0.5], 2 / 3, 1),
        ([0.5], [0.5], 0.1, 0),
        ([0.705], np.arange(100) / 100, 0.29, 1),  # 0.29 * 100 is 28.999...: 29 may pass
    ],
)
def test_tar_at_far_by_hand(same, different, far, expected):
    assert tar_at_far(*pairs_of(same, different), far) == expected


@pytest.mark.parametrize(
    ("different", "rate", "least", "passed"),
    [
        (DIFFERENT, 0.05, 0, 0),
        (DIFFERENT, 0.05, 2, 2),  # whatever the rate
        (DIFFERENT, 0.3, 2, 3),
        (DIFFERENT, 1, 0, 10),
        ([0.9, 0.9, 0.5], 1 / 3, 0, 0),  # of two equals none may pass alone
        ([0.9, 0.9, 0.5], 1 / 3, 1, 0),
        ([0.9, 0.9, 0.5], 2 / 3, 0, 2),
        (np.arange(100) / 100, 0.29, 0, 29),  # 0.29 * 100 is 28.999...
        ([0.5], 1e-3, 1, 1),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_loosest_threshold_by_hand(different, rate, least, passed, kind):
    values = np.random.default_rng(0).permutation(np.array(different, kind))
    threshold = loosest_threshold(values, rate, least=least)
    assert np.sum(values >= threshold) == passed
    rejected = values[values < threshold]
    assert not len(rejected) or threshold == np.nextafter(rejected.max(), kind(2))


def test_without_different_pairs_there_is_no_threshold():
    with pytest.raises(DatasetError, match="expected different pairs"):
        loosest_threshold(np.empty(0), 0.1)


@pytest.mark.parametrize(
    ("same", "different", "expected"),
    [
        ([0.9, 0.8], [0.2, 0.1], 0),
        ([0.2, 0.1], [0.9, 0.8], 1),
        ([0.5], [0.5], 0.5),  # between nobody and everybody
        ([0.9, 0.8, 0.7, 0.3], [0.6, 0.4, 0.2, 0.1], 0.25),  # one of four either way
        ([0.9, 0.5], [0.7, 0.3, 0.1], 1 / 3),
        ([0.9, 0.5], [0.5, 0.1], 0.25),  # half way from (0, 1/2) to (1/2, 0)
    ],
)
def test_equal_error_rate_by_hand(same, different, expected):
    assert equal_error_rate(*pairs_of(same, different)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("same", "different", "expected"),
    [
        ([0.9, 0.8], [0.2, 0.1], 1),
        ([0.2, 0.1], [0.9, 0.8], 0),
        ([0.5], [0.5], 0.5),
        ([0.9, 0.5], [0.7, 0.3, 0.1], 5 / 6),  # five of six are in order
        ([0.9, 0.5], [0.5, 0.1], 3.5 / 4),  # a tie counts half
    ],
)
def test_area_under_roc_by_hand(same, different, expected):
    assert area_under_roc(*pairs_of(same, different)) == pytest.approx(expected, abs=1e-12)


def test_equals_come_together_on_the_curve():
    false, true = roc(*pairs_of([0.9, 0.5], [0.5, 0.1]))
    assert false.tolist() == [0, 0, 0, 0, 0.5, 1]
    assert true.tolist() == [0, 0, 0.5, 0.5, 1, 1]


@pytest.mark.parametrize("separation", [0.5, 1, 2, 3])
def test_two_gaussians_have_their_closed_forms(separation):
    normal, count = NormalDist(), 20_000
    different = np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])
    similarity, same = pairs_of(different + separation, different)
    area = normal.cdf(separation / 2**0.5)
    assert area_under_roc(similarity, same) == pytest.approx(area, abs=1e-4)
    crossing = normal.cdf(-separation / 2)
    assert equal_error_rate(similarity, same) == pytest.approx(crossing, abs=1e-3)
    for far in (0.1, 0.01, 0.001):
        accepted = normal.cdf(separation - normal.inv_cdf(1 - far))
        assert tar_at_far(similarity, same, far) == pytest.approx(accepted, abs=4e-3)


FOLD = [True, False]  # a same pair and a different one


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        pytest.param([0.9, 0.1, 0.9, 0.2], [1, 1], id="apart"),
        pytest.param([0.9, 0.1, 0.8, 0.2], [1, 0.5], id="of equally good thresholds the first"),
        pytest.param([0.9, 0.5, 0.4, 0.1], [0.5, 0.5], id="the other fold's threshold misleads"),
        # the second fold's first best threshold is 1.00: a distance of 1.00 is not below it
        pytest.param([0.5, -0.5, 0.5025, 0.25], [0.5, 1], id="strictly below"),
        pytest.param([FAILED, 0.1, 0.8, 0.2], [0.5, 0.5], id="failed, and the same person"),
        pytest.param([0.9, FAILED, 0.9, 0.2], [1, 1], id="failed, and different people"),
    ],
)
def test_fold_accuracies_by_hand(similarity, expected):
    got = fold_accuracies(np.array(similarity), np.array(FOLD * 2), folds=2)
    assert got.tolist() == expected


def protocol(similarity, same, folds):
    """InsightFace's protocol, line by line."""
    distances = 2 - 2 * similarity
    parts = np.array_split(np.arange(len(same)), folds)
    for part in parts:
        others = np.setdiff1d(np.arange(len(same)), part)
        best, most = None, -1
        for threshold in np.arange(0, 4, 0.01):
            right = np.sum((distances[others] < threshold) == same[others])
            if right > most:
                best, most = threshold, right
        yield np.mean((distances[part] < best) == same[part])


@pytest.mark.parametrize(("folds", "decimals"), [(10, 8), (10, 1), (4, 2), (2, 3)])
def test_fold_accuracies_are_those_of_the_protocol(folds, decimals):
    rng = np.random.default_rng(folds)
    same = rng.random(200) < 0.5
    similarity = np.clip(rng.normal(0.4 * same, 0.25), -1, 1).round(decimals)  # ties
    expected = list(protocol(similarity, same, folds))
    np.testing.assert_allclose(fold_accuracies(similarity, same, folds=folds), expected)


def test_of_unequal_folds_each_counts_the_same():
    rng, thresholds = np.random.default_rng(3), np.arange(0, 4, 0.01)
    same, fold = rng.random(400) < 0.5, np.repeat([0, 1, 2], [30, 120, 250])
    distances = 2 - 2 * np.clip(rng.normal(0.4 * same, 0.25), -1, 1)
    answers = (distances < thresholds[:, None]) == same  # (thresholds, pairs)
    rates = [answers[:, fold == one].mean(axis=1) for one in range(3)]
    right = right_answers(1 - distances / 2, same, fold)
    for one in range(3):
        best = np.argmax(sum(np.delete(rates, one, axis=0)).round(12))
        assert right[fold == one].tolist() == answers[best, fold == one].tolist()


def test_a_single_fold_is_judged_at_its_own_best_threshold():
    similarity, same = pairs_of([0.9, 0.3], [0.5, 0.1])
    assert fold_accuracies(similarity, same, folds=1).tolist() == [0.75]


def test_all_figures_of_a_small_example():
    result = evaluate(np.array([0.9, 0.5, 0.4, 0.1, 0.9, 0.1]), np.array(FOLD * 3), folds=3)
    assert (result.pairs, result.failures_to_acquire) == (6, 0)
    assert result.accuracy == pytest.approx(2 / 3)  # the folds' thresholds: 1.2, 0.2, 0.2
    assert result.accuracy_std == pytest.approx(np.std([0.5, 0.5, 1]))
    assert result.eer == pytest.approx(1 / 3)
    assert result.auc == pytest.approx(8 / 9)
    assert result.tar == {}  # three different pairs show no rate of one in ten


def test_the_nearest_rate_may_be_too_loose_and_takes_all_it_can():
    """One of twenty is above the first same pair, three are above the second: 5 % and 15 %."""
    different = [0.9, 0.7, 0.6, *[0.1] * 17]
    result = evaluate(*pairs_of([0.8, 0.5], different), folds=None)
    assert result.tar == {"1e-1": 0.5}  # at 5 %
    assert result.tar_nearest == {"1e-1": 1}  # at 15 %, where both pass
    assert (result.accuracy, result.accuracy_std) == (None, None)


def test_each_rate_lets_as_many_pass_as_it_says():
    """Of 2,000 different pairs 2, 20 and 200 may pass; a same pair is just above each first one
    that may not, another just below it.
    """
    different = 1 - np.arange(2000) / 2000
    first = different[[2, 20, 200]]
    similarity = pairs_of([*(first + 1e-5), *(first - 1e-5)], different)
    tar = evaluate(*similarity, folds=None).tar
    assert tar == pytest.approx({"1e-1": 5 / 6, "1e-2": 3 / 6, "1e-3": 1 / 6})


def test_the_nearest_rate_may_be_the_one_that_was_asked_for():
    """Two of twenty are above the second same pair, and two more are as alike as it is."""
    different = [0.9, 0.8, 0.7, 0.7, *[0.1] * 16]
    result = evaluate(*pairs_of([0.85, 0.7], different), folds=None)
    assert (result.tar, result.tar_nearest) == ({"1e-1": 0.5}, {"1e-1": 0.5})


def test_only_rates_that_the_pairs_can_show_are_stated():
    similarity, same = pairs_of([0.9] * 1000, np.linspace(0, 0.8, 1000))
    assert evaluate(similarity, same).tar == {"1e-1": 1, "1e-2": 1, "1e-3": 1}


@pytest.mark.parametrize(
    ("similarity", "same", "folds", "message"),
    [
        ([0.1, 0.2], [True, True], 1, "only one kind"),
        ([0.1, 0.2], [False, False], 1, "only one kind"),
        ([0.1, np.nan], FOLD, 1, "pair 1 has no similarity"),
        ([np.inf, 0.1], FOLD, 1, "pair 0 has no similarity"),
        ([0.1, 0.2], FOLD * 2, 1, r"got \(2,\), \(4,\)"),
        ([[0.1, 0.2]], [FOLD], 1, r"got \(1, 2\), \(1, 2\)"),
        ([0.1] * 4, FOLD * 2, 3, "expected 3 folds of equal size, got 4 pairs"),
        ([0.1] * 4, FOLD * 2, 0, "expected 0 folds"),
        ([0.1] * 4, FOLD * 2, np.array([0, 0, 2, 2]), "fold 1 has no pairs"),
    ],
)
def test_what_cannot_be_evaluated_is_an_error(similarity, same, folds, message):
    with pytest.raises(DatasetError, match=message):
        evaluate(np.array(similarity), np.array(same), folds=folds)


def test_the_worst_pairs_by_hand():
    """The most alike strangers, the least alike same pairs; a picture without a face is neither."""
    similarity, same = pairs_of([0.9, 0.1, 0.4, FAILED], [0.2, 0.8, FAILED, 0.2])
    strangers, mated = worst_pairs(similarity, same)
    assert (strangers.tolist(), mated.tolist()) == ([5, 4, 7], [1, 2, 0])
    strangers, mated = worst_pairs(similarity, same, most=1)
    assert (strangers.tolist(), mated.tolist()) == ([5], [1])


@dataclass(frozen=True)
class BothWays:
    """An embedder that keeps a crop's and its mirror's embeddings apart: one run, two figures."""

    embed: object
    model: str = "both"
    dim: int = 256
    margin: float = 0.0

    def __call__(self, crops):
        straight, mirrored = self.embed.network(crops), self.embed.network(crops[:, :, ::-1])
        return unit(np.concatenate([straight[0], mirrored[0]], axis=1))  # one scale for both


@pytest.fixture(scope="module")
def lfw(data):
    tree = open_tree(data / "data" / "lfw_aligned_112.zip")
    return tree, read_pairs(tree.read("lfw_aligned_112/pairs.txt").decode(), tree)


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lfw_in_float32_with_and_without_the_mirrored_crop(pack, lfw):
    tree, pairs = lfw
    device = Device("cpu", precision="float32")
    both = embed_tree(
        CropSource(tree), pairs.names, BothWays(load_embedder(pack, device=device, flip=False))
    ).embeddings
    once, flipped = unit(both[:, :128]), unit(both[:, :128] + both[:, 128:])
    everybody = np.ones(len(once), bool)
    for embeddings, accuracy, tar in ((once, 0.9942, 0.9913), (flipped, 0.9960, 0.9930)):
        result = verification(pairs, Embedded(embeddings, everybody))
        assert result.accuracy == pytest.approx(accuracy, abs=5e-4)
        assert result.tar["1e-3"] == pytest.approx(tar, abs=5e-4)


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_lfw_in_bfloat16(pack, lfw):
    tree, pairs = lfw
    try:
        embed = load_embedder(pack, device=Device("cpu", precision="bfloat16"), flip=False)
    except DeviceError as error:
        pytest.skip(str(error))
    result = verification(pairs, embed_tree(CropSource(tree), pairs.names, embed))
    assert result.accuracy >= 0.9930
    assert result.pairs == 6000
