"""Error rates of all pairs: counted by hand, by brute force, and against rates that are known."""

import numpy as np
import pytest

from visavis.dataset import People
from visavis.embedder import unit
from visavis.errors import CalibrationError
from visavis.metrics.calibrate import LEAST_ERRORS, calibrate, error_curve
from visavis.metrics.tail import MOST, extrapolate


def people_of(counts, one_person=()):
    labels = np.repeat(np.arange(len(counts)), counts)
    names = tuple(f"person {row}" for row in range(len(counts)))
    return People(tuple(map(str, range(len(labels)))), labels, names, one_person)


def embedded(people, *, dim=8, noise=0.5, seed=0):
    """A random direction for each person, and random steps from it for each picture."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(len(people.names), dim))[people.labels]
    return unit((centers + noise * rng.normal(size=centers.shape)).astype(np.float32))


def listed(embeddings, people):
    """Similarities of same and of different pairs, pair by pair."""
    twins = {frozenset(people.names[row] for row in rows) for rows in people.one_person}
    same, different = [], []
    matrix = (embeddings @ embeddings.T).astype(np.float64)
    for i in range(len(matrix)):
        for j in range(i):
            a, b = people.names[people.labels[i]], people.names[people.labels[j]]
            if a == b:
                same.append(matrix[i, j])
            elif frozenset((a, b)) not in twins:
                different.append(matrix[i, j])
    return np.array(same), np.array(different)


@pytest.mark.parametrize(
    ("counts", "one_person"),
    [
        ([3] * 12, ()),
        ([3] * 12, ((0, 5),)),
        ([1, 2, 7, 4, 1, 1, 9, 3, 2], ((2, 6), (0, 1))),
    ],
)
def test_rates_are_those_of_counting_every_pair(counts, one_person):
    people = people_of(counts, one_person)
    embeddings = embedded(people)
    curve = error_curve(embeddings, people, draws=5)
    same, different = listed(embeddings, people)
    assert (curve.same_pairs, curve.different_pairs) == (len(same), len(different))
    matches = [np.mean(different >= threshold) for threshold in curve.thresholds]
    misses = [np.mean(same < threshold) for threshold in curve.thresholds]
    np.testing.assert_allclose(curve.false_match_rate, matches, rtol=1e-12)
    np.testing.assert_allclose(curve.false_non_match_rate, misses, rtol=1e-12)


def test_beyond_the_last_ten_errors_a_tail_goes_on_down_to_a_rate_of_1e_9():
    people = people_of([2] * 80)
    embeddings = embedded(people)
    measured, curve = (error_curve(embeddings, people, draws=5, beyond=b) for b in (False, True))
    count = len(measured.thresholds)
    np.testing.assert_allclose(np.diff(curve.thresholds), 0.0025)
    np.testing.assert_array_equal(curve.thresholds[:count], measured.thresholds)
    np.testing.assert_allclose(curve.false_match_rate[:count], measured.false_match_rate)
    assert curve.extrapolated.tolist() == [False] * count + [True] * (len(curve.thresholds) - count)
    _, different = listed(embeddings, people)
    top = np.sort(different)[::-1][: MOST + 1]
    tail = extrapolate(top, np.ones(len(top)), len(different), curve.thresholds[count:])
    np.testing.assert_allclose(curve.false_match_rate[count:], tail)
    low, high = curve.false_match_interval[:, count:]
    assert (high >= 1e-9).all()  # as long as the upper end of the interval can be told from none
    assert (low < 1e-9).any()
    assert len(curve.thresholds) > count + 10


def test_thresholds_reach_from_a_rate_of_a_tenth_to_the_last_ten_errors():
    people = people_of([3] * 30)
    embeddings = embedded(people)
    curve = error_curve(embeddings, people, draws=5)
    np.testing.assert_allclose(np.diff(curve.thresholds), 0.0025)
    different = np.sort(listed(embeddings, people)[1])
    assert curve.thresholds[0] - 0.0025 < np.quantile(different, 0.9) <= curve.thresholds[0] + 0.01
    reached = [np.sum(different >= curve.thresholds[-1] + step) for step in (0, 0.0025)]
    assert reached[0] >= LEAST_ERRORS > reached[1]


@pytest.mark.parametrize(
    ("one_person", "different"),
    [
        ((), 36 * 35 // 2 - 12 * 3),  # 630 pairs of 36 pictures, 3 pairs in each of 12 folders
        (((0, 1),), 594 - 9),
        (((0, 1), (2, 1)), 594 - 27),  # 0 and 2 are one person too
        (((0, 1), (2, 3), (3, 0)), 594 - 54),  # four names: six times nine pairs
    ],
)
def test_different_pairs_are_counted_without_two_names_of_one_person(one_person, different):
    people = people_of([3] * 12, one_person)
    curve = error_curve(embedded(people), people, draws=5)
    assert (curve.same_pairs, curve.different_pairs) == (36, different)


def test_two_names_of_one_person_do_not_make_false_matches():
    embeddings = embedded(people_of([4] * 20), noise=0.1)
    embeddings[4:8] = embeddings[:4]  # person 1 is person 0: 16 pairs as alike as any
    highest = [
        error_curve(embeddings, people_of([4] * 20, twins), draws=5).thresholds[-1]
        for twins in ((), ((0, 1),))
    ]
    assert highest[1] < highest[0] - 0.05


def test_a_similarity_of_exactly_a_threshold_reaches_it():
    # Two pictures each of 60 people at right angles; but 1 to 12 lie half way towards 0, which
    # makes 12 * 4 pairs of cosine 1/2, and so does the second picture of the last.
    rows = np.eye(61, dtype=np.float32)[np.repeat(np.arange(60), 2)]
    rows[2:26] *= np.float32(np.sqrt(0.75))
    rows[2:26, 0] = 0.5
    rows[119] = rows[118] / 2 + np.eye(61, dtype=np.float32)[60] * np.float32(np.sqrt(0.75))
    curve = error_curve(rows, people_of([2] * 60), draws=5)
    assert curve.thresholds[-1] == 0.5
    assert curve.false_match_rate[-1] == pytest.approx(48 / (59 * 60 / 2 * 4))
    assert curve.false_non_match_rate[-1] == 0


def test_an_interval_is_that_of_people_drawn_with_replacement():
    people = people_of([1, 2, 3, 4, 5, 2, 3, 4])
    embeddings = embedded(people)
    curve = error_curve(embeddings, people, draws=20, seed=3)
    matches, misses = [], []
    for times in np.random.default_rng(3).multinomial(8, [1 / 8] * 8, 20):
        drawn = [row for row, label in enumerate(people.labels) for _ in range(times[label])]
        matrix = np.float64((embeddings @ embeddings.T)[np.ix_(drawn, drawn)])
        apart = people.labels[drawn][:, None] != people.labels[drawn]
        matches.append([np.mean(matrix[apart] >= at) for at in curve.thresholds])
        groups = [np.flatnonzero(people.labels == label) for label in range(8)]
        own = [
            float(embeddings[i] @ embeddings[j])
            for group, count in zip(groups, times, strict=True)
            for i in group
            for j in group[group > i]
            for _ in range(count)
        ]
        misses.append([np.mean(np.array(own) < at) for at in curve.thresholds])
    for got, rates in (
        (curve.false_match_interval, matches),
        (curve.false_non_match_interval, misses),
    ):
        np.testing.assert_allclose(got, np.percentile(rates, [2.5, 97.5], axis=0), atol=1e-12)


def on_a_sphere(rng, people):
    """Two pictures each: strangers' cosines are uniform on -1..1, one person's on 0.8..1."""
    first, other = (unit(rng.normal(size=(people, 3)).astype(np.float32)) for _ in range(2))
    aside = unit(np.cross(first, other))
    cosine = rng.uniform(0.8, 1, (people, 1))
    second = cosine * first + np.sqrt(1 - cosine**2) * aside
    return np.stack([first, second], axis=1).reshape(-1, 3).astype(np.float32)


def test_intervals_over_people_cover_the_true_rates():
    rng, people, runs = np.random.default_rng(11), people_of([2] * 60), 60
    covered = np.zeros(2)
    for _ in range(runs):
        curve = error_curve(on_a_sphere(rng, 60), people, draws=200)
        at = np.argmin(np.abs(curve.thresholds - 0.9))
        intervals = curve.false_match_interval[:, at], curve.false_non_match_interval[:, at]
        for kind, (truth, (low, high)) in enumerate(zip((0.05, 0.5), intervals, strict=True)):
            covered[kind] += low <= truth <= high
    assert (covered / runs >= 0.88).all()
    assert (covered / runs <= 1).all()


def test_intervals_over_people_are_wider_than_over_pairs():
    people = people_of([10] * 30)
    curve = error_curve(embedded(people, noise=0.1), people, draws=200)
    low, high = curve.false_match_interval[:, 0]
    over_pairs = 2 * 1.96 * np.sqrt(0.1 * 0.9 / curve.different_pairs)
    assert high - low > 4 * over_pairs


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([], "at least two people"),
        ([9], "at least two people"),
        ([1] * 40, "too little data: 0 same and 780 different pairs"),
        ([2, 2], "too little data: 2 same and 4 different pairs"),
        ([2] * 7, "too little data: 7 same and 84 different pairs"),  # no ten of them are a tenth
    ],
)
def test_too_little_data_is_an_error(counts, message):
    people = people_of(counts)
    with pytest.raises(CalibrationError, match=message):
        error_curve(embedded(people), people)


def test_other_embeddings_than_pictures_are_an_error():
    people = people_of([3] * 12)
    with pytest.raises(CalibrationError, match="expected 36 embeddings, got 35"):
        error_curve(embedded(people)[1:], people)


def test_slope_and_offset_are_those_of_two_gaussians():
    # Pictures r apart in 64 dimensions: strangers' cosines spread by 1/8 round 0, one person's by
    # about (1 - m^2)/8 round m: between normals of one spread s the ratio's log is m/s^2 (x - m/2).
    people = people_of([3] * 400)
    curve = error_curve(embedded(people, dim=64, noise=1.5), people, draws=5)
    mean, spread = 1 / (1 + 1.5**2), 1 / 8
    assert curve.slope == pytest.approx(mean / spread**2, rel=0.15)
    assert -curve.offset / curve.slope == pytest.approx(mean / 2, rel=0.1)


def test_the_same_seed_gives_the_same_and_another_other_intervals():
    people = people_of([3] * 20)
    a, b, c = (error_curve(embedded(people), people, draws=20, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a.false_match_interval, b.false_match_interval)
    np.testing.assert_array_equal(a.false_match_rate, c.false_match_rate)
    assert (a.false_match_interval != c.false_match_interval).any()


def test_a_calibration_states_the_curve():
    people = people_of([3] * 20)
    curve = error_curve(embedded(people), people, draws=20)
    made = calibrate(curve, model="fake@0", dataset="made", data_sha256="ab", people=20)
    assert (made.model, made.dataset, made.data_sha256) == ("fake@0", "made", "ab")
    assert (made.people, made.same_pairs, made.different_pairs) == (20, 60, 1710)
    columns = np.array(
        [
            (p.threshold, p.false_match_rate, p.false_match_rate_upper, p.false_non_match_rate)
            for p in made.points
        ]
    )
    upper = curve.false_match_interval[1]
    for column, expected in enumerate(
        (curve.thresholds, curve.false_match_rate, upper, curve.false_non_match_rate)
    ):
        np.testing.assert_allclose(columns[:, column], expected, rtol=1e-5)
    assert (made.slope, made.offset) == pytest.approx((curve.slope, curve.offset), abs=1e-4)
    assert not any(point.extrapolated for point in made.points)
