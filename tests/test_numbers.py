"""What is worth showing of a run, by hand."""

from dataclasses import replace

import numpy as np
import pytest
from made_runs import CALIBRATION, NAMES, bare_run, made_run

from visavis.decision import OperatingPoint
from visavis.evaluate import protocols
from visavis.metrics.verification import FAILED, worst_pairs
from visavis.report import numbers

NAN = np.nan


def pairs_of(same, different):
    """Similarities and flags of same pairs, then of different ones."""
    flags = np.repeat([True, False], [len(same), len(different)])
    return np.array([*same, *different], np.float64), flags


def test_rates_at_each_threshold():
    thresholds = np.array([0, 0.5, 0.75, 0.85, 0.95])
    found = numbers.accuracy_curve(*pairs_of([0.9, 0.7], [0.8, 0.2]), thresholds)
    assert found.false_match_rate.tolist() == [1, 0.5, 0.5, 0, 0]
    assert found.false_non_match_rate.tolist() == [0, 0, 0.5, 0.5, 1]
    assert found.accuracy.tolist() == [0.5, 0.75, 0.5, 0.75, 0.5]


def test_a_pair_at_the_threshold_is_called_same():
    found = numbers.accuracy_curve(*pairs_of([0.5], [0.5]), np.array([0.5]))
    assert (found.false_match_rate[0], found.false_non_match_rate[0]) == (1, 0)


def test_a_pair_without_a_face_is_called_different():
    found = numbers.accuracy_curve(*pairs_of([FAILED], [FAILED]))
    assert (found.false_match_rate == 0).all()
    assert (found.false_non_match_rate == 1).all()


def test_the_best_threshold_is_the_middle_of_equally_good_ones():
    assert numbers.accuracy_curve(*pairs_of([0.8], [0.2])).best == pytest.approx(0.5, abs=0.003)


@pytest.mark.parametrize(
    ("rate", "above", "not_above"),
    [
        (0.5, 0.2, 0.3),  # two of four may pass
        (0.25, 0.3, 0.4),
        (0.49, 0.3, 0.4),  # 1.96 of four is one
        (1e-3, 0.3, 0.4),  # four pairs cannot show that: one passes
    ],
)
def test_the_loosest_threshold_for_a_rate(rate, above, not_above):
    found = numbers.threshold_at(*pairs_of([0.9], [0.1, 0.2, 0.3, 0.4]), rate)
    assert above < found <= not_above


def test_every_pair_may_pass():
    assert numbers.threshold_at(*pairs_of([0.9], [0.1, 0.2]), 1) == 0.1
    assert numbers.threshold_at(*pairs_of([0.9], [0.1]), 1e-3) == 0.1


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        ([4, 1, 3, 2], [1 / 2, 1 / 3, 0]),  # the two that are missed go first
        ([1, 4, 2, 3], [1 / 2, 2 / 3, 1]),  # they go last
        ([4, NAN, 3, NAN], [1 / 2, 1 / 3, 0]),  # no quality is the lowest
        ([1, 1, 1, 1], [1 / 2, 2 / 3, 1 / 2]),  # of equal ones the first
    ],
)
def test_discard(quality, expected):
    similarity, same = pairs_of([0.9, 0.1, 0.9, 0.1], [0.5, 0.4])
    shares = np.array([0, 0.25, 0.5])
    found = numbers.discard_curve(similarity, same, np.array([*quality, 9, 9]), shares=shares)
    assert found[0].tolist() == shares.tolist()
    assert found[1] == pytest.approx(expected)


def test_the_last_pair_is_never_discarded():
    similarity, same = pairs_of([0.9, 0.1], [0.5])
    found = numbers.discard_curve(similarity, same, np.arange(3.0), shares=np.array([1.0]))
    assert found[1].tolist() == [1]


def test_a_pair_is_as_good_as_its_worse_face():
    run = made_run(people=("Anna", "Bert"), pictures=2)
    measures = np.float32(
        [  # sharpness, brightness, size, score, yaw
            [10, 132.5, 112, NAN, -40],
            [30, 32.5, 112, NAN, 5],
            [20, 232.5, 112, NAN, 10],
            [40, 152.5, 112, NAN, 0],
        ]
    )
    found = numbers.pair_qualities(replace(run, measures=measures))
    assert set(found) == {"sharpness", "brightness", "yaw"}  # the others say nothing
    # the pairs are 01 02 03 12 13 23
    assert found["sharpness"].tolist() == [10, 10, 10, 20, 30, 20]
    assert found["brightness"].tolist() == [-100, -100, -20, -100, -100, -100]
    assert found["yaw"].tolist() == [-40, -40, -40, -10, -5, -10]


def test_worst_pairs():
    similarity, same = pairs_of([0.9, 0.2, FAILED, 0.3], [0.1, 0.8, 0.8, FAILED, 0.5])
    different, mated = worst_pairs(similarity, same, most=3)
    assert different.tolist() == [5, 6, 8]
    assert mated.tolist() == [1, 3, 0]  # there is nothing to see where no face was found


def test_worst_pairs_of_none():
    different, mated = worst_pairs(*pairs_of([FAILED], []))
    assert (len(different), len(mated)) == (0, 0)


def by_hand(run) -> list[tuple[float, str, str]]:
    """The most confused people, pair of pictures by pair of pictures."""
    names, best = run.about.people, {}
    known = np.flatnonzero(run.acquired & (run.labels >= 0))
    for i in known:
        for j in known:
            a, b = run.labels[i], run.labels[j]
            if a < b:
                value = float(run.embeddings[i] @ run.embeddings[j])
                best[a, b] = max(best.get((a, b), -2), value)
    return sorted(((value, names[a], names[b]) for (a, b), value in best.items()), reverse=True)


@pytest.mark.parametrize("block", [1, 7, 10, 512])
@pytest.mark.parametrize("most", [1, 4, 99])
def test_confused_people(monkeypatch, block, most):
    monkeypatch.setattr(numbers, "BLOCK", block)
    run = made_run(failed=(3, 8, 9, 10, 11), spread=0.5)  # nothing is left of Carl
    labels = np.random.default_rng(0).permutation(run.labels)
    labels[labels == NAMES.index("Dora")] = -1
    for one in (run, replace(run, labels=labels)):
        found = numbers.confused(one, most=most)
        expected = by_hand(one)[:most]
        assert [entry.people for entry in found] == [(a, b) for _, a, b in expected]
        assert [entry.similarity for entry in found] == pytest.approx([e[0] for e in expected])
        for entry in found:
            i, j = entry.pictures
            assert one.embeddings[i] @ one.embeddings[j] == pytest.approx(entry.similarity)
            assert (
                one.about.people[one.labels[i]],
                one.about.people[one.labels[j]],
            ) == entry.people


def test_nobody_is_confused_where_nobody_else_is_named():
    run = made_run()
    assert numbers.confused(bare_run()) == []
    assert numbers.confused(replace(run, labels=np.where(run.labels == 0, 0, -1))) == []


def test_the_people_with_most_pictures():
    run = made_run(people=("Anna", "Bert", "Carl"), pictures=3, failed=(0, 1))
    labels = run.labels.copy()
    labels[8] = 1  # Anna has one picture left, Bert four, Carl two
    found = numbers.most_pictured(replace(run, labels=labels), 2, most=3)
    assert [(name, rows.tolist()) for name, rows in found] == [
        ("Bert", [3, 4, 5]),
        ("Carl", [6, 7]),
    ]
    assert numbers.most_pictured(bare_run(), 2) == []


def test_columns_are_normalised_and_rows_are_not():
    found = numbers.column_normalised(np.float32([[3, 0], [4, 0]]))
    assert found == pytest.approx(np.array([[0.6, 0], [0.8, 0]]))


@pytest.mark.parametrize("step", [1, 2, 100])
def test_distances(monkeypatch, step):
    monkeypatch.setattr(protocols, "STEP", step)
    rows = np.float32([[1, 0], [0, 2], [3, 4]])
    found = numbers.distances(rows, np.array([0, 0, 2]), np.array([1, 2, 2]))
    assert found["dot product"] == pytest.approx([0, 3, 25])
    assert found["cosine distance"] == pytest.approx([1, 0.4, 0])
    assert found["Euclidean distance"] == pytest.approx([5**0.5, 20**0.5, 0])


def test_the_threshold_lies_between_the_means():
    values, same = np.array([0.1, 0.3, 1.0, 1.2]), np.array([True, True, False, False])
    found = numbers.separation(values, same, larger_is_closer=False)
    assert (found.same, found.different) == pytest.approx((0.2, 1.1))
    assert found.threshold == pytest.approx(0.8 * 0.2 + 0.2 * 1.1)
    assert found.accuracy == 1
    assert numbers.separation(values, same, larger_is_closer=True).accuracy == 0


def test_the_thresholds_of_the_policies_that_are_supported():
    assert numbers.policy_thresholds(CALIBRATION) == {"convenience": 0.4, "standard": 0.5}
    assert numbers.policy_thresholds(None) == {}
    loose = replace(CALIBRATION, points=(OperatingPoint(0.1, 0.1, 0.2, 0),))
    assert numbers.policy_thresholds(loose) == {}


def test_the_same_data():
    run = made_run()
    assert numbers.same_data(run, made_run("another", seed=1))
    assert not numbers.same_data(run, made_run(pictures=3))
    assert not numbers.same_data(run, made_run(people=("Xaver", *NAMES[1:])))
    assert not numbers.same_data(run, replace(run, same=~run.same))
