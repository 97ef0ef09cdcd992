"""Log-likelihood ratios of distributions whose ratio is known; their cost, by hand and by closed
form; and how they are borne out.
"""

import numpy as np
import pytest

from visavis.errors import DatasetError
from visavis.metrics.likelihood import cllr, fit, log_loss, reliability

FOUR = np.array([True, True, False, False])


def gaussians(pairs: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Similarities normal with deviation 1 about `apart` / 2 where same and minus that where not:
    their log-likelihood ratio is `apart` times the similarity.
    """
    same = np.arange(pairs) < pairs // 2
    return np.random.default_rng(seed).normal(np.where(same, apart / 2, -apart / 2), 1), same


@pytest.mark.parametrize(
    ("similarity", "slope", "offset", "expected"),
    [
        ([0.9, 0.1, 0.8, 0.2], 0, 0, 1),  # it says nothing: one bit
        ([1, 1, 0, 0], 2 * np.log(3), -np.log(3), np.log2(4 / 3)),  # 3 to 1, always right
        ([0, 0, 1, 1], 2 * np.log(3), -np.log(3), np.log2(4)),  # 3 to 1, always wrong
        ([1, 0, 0, 0], 2 * np.log(3), -np.log(3), (3 * np.log2(4 / 3) + 2) / 4),
        ([1, 1, -1, -1], 5000, 0, 0),  # sure and right, without overflow
        ([-1, 1, -1, -1], 5000, 0, 1250 / np.log(2)),  # sure and once wrong
    ],
)
def test_cllr_by_hand(similarity, slope, offset, expected):
    assert cllr(np.array(similarity), FOUR, slope, offset) == pytest.approx(expected)


@pytest.mark.parametrize("apart", [0.5, 2, 4])
def test_cllr_of_two_gaussians_is_its_integral(apart):
    x = np.linspace(-12, 12, 20_001)
    density = np.exp(-((x - apart / 2) ** 2) / 2) / np.sqrt(2 * np.pi)
    expected = np.trapezoid(density * np.log2(1 + np.exp(-apart * x)), x)  # both kinds cost alike
    assert cllr(*gaussians(400_000, apart), apart, 0) == pytest.approx(expected, abs=0.004)


def test_cllr_is_least_for_the_true_ratio():
    similarity, same = gaussians(100_000, 2)
    costs = {slope: cllr(similarity, same, slope, 0) for slope in (1, 2, 3)}
    assert min(costs, key=costs.__getitem__) == 2
    assert cllr(similarity, same, 2, 0) < cllr(similarity, same, 2, 0.5)


def test_both_kinds_weigh_the_same_however_many_there_are():
    same = np.array([True] + [False] * 9)
    similarity = np.where(same, 0.0, 1.0)
    even = cllr(np.array([0.0, 1.0]), same[:2], 3, -1)
    assert cllr(similarity, same, 3, -1) == pytest.approx(even)


@pytest.mark.parametrize("shift", [0, 1, -0.5])
def test_reliability_by_hand(shift):
    same = np.array([True, True, True, True, False, False])
    similarity = np.array([1, 1, 1, -1, -1, 1]) - shift
    found = reliability(similarity, same, np.log(3), shift * np.log(3))  # stated: 3/4 or 1/4
    assert found.stated == pytest.approx([0.25, 0.75])
    # a same pair weighs 1/8, a different one 1/4: 1/8 of 3/8 where 1/4 was said, else 3/8 of 5/8
    assert found.observed == pytest.approx([1 / 3, 3 / 5])
    assert found.pairs.tolist() == [2, 4]


def test_certainty_has_a_bin():
    found = reliability(np.array([1.0, 1, -1, -1]), FOUR, 5000, 0)
    assert found.stated.tolist() == found.observed.tolist() == [0, 1]


def test_the_true_ratio_is_borne_out():
    found = reliability(*gaussians(400_000, 2), 2, 0)
    assert len(found.stated) == 10
    assert found.observed == pytest.approx(found.stated, abs=0.01)


@pytest.mark.parametrize("kind", [True, False])
@pytest.mark.parametrize("measure", [cllr, reliability])
def test_one_kind_alone_is_refused(measure, kind):
    with pytest.raises(DatasetError, match="only one kind"):
        measure(np.zeros(3), np.full(3, kind), 1, 0)


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
