"""Rates by group: the file of labels, and rates worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest

from visavis.dataset.pairs import Listed, Pairs, pairs_of
from visavis.errors import DatasetError
from visavis.evaluate.labels import read_cohorts
from visavis.metrics.bootstrap import rate, wilson
from visavis.metrics.cohorts import Cohorts, group_rates
from visavis.metrics.verification import FAILED

PICTURES = ("t/Ann/Ann_1.jpg", "t/Ann/Ann_2.jpg", "t/Bob/Bob_1.jpg", "t/Bob/x.jpg", "u/Cy/x.jpg")


def written(tmp_path, text: str | bytes):
    path = tmp_path / "labels.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_people_are_labelled_by_folder(tmp_path):
    path = written(tmp_path, "person,skin,age\nAnn,2,30-39\nCy,5,\n")
    cohorts = read_cohorts(path, PICTURES)
    assert cohorts.labels == ("skin", "age")
    assert cohorts.values == {
        "t/Ann/Ann_1.jpg": ("2", "30-39"),
        "t/Ann/Ann_2.jpg": ("2", "30-39"),
        "u/Cy/x.jpg": ("5", ""),
    }


def test_pictures_are_labelled_by_name_or_stem(tmp_path):
    path = written(tmp_path, "\ufeffpicture, age \r\n\r\n Ann_2 , 31 \r\nt/Bob/x.jpg,40\r\n")
    cohorts = read_cohorts(path, PICTURES)
    assert cohorts.labels == ("age",)
    assert cohorts.values == {"t/Ann/Ann_2.jpg": ("31",), "t/Bob/x.jpg": ("40",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: expected a header"),
        ("\n\nname,age\nAnn,3\n", r"line 3: expected a header .* got 'name,age'"),
        ("person\nAnn\n", r"line 1: expected a header"),
        ("person,age,age\n", r"line 1: expected a header .* each label once"),
        ("person,age,\nAnn,3,\n", r"line 1: expected a header"),
        ("Ann,3\n", r"line 1: expected a header"),
        ("person,age\nAnn,3\nDan,4\n", r"line 3: expected a person of .* 'Dan' is none"),
        ("person,age\n\nAnn,3\n,4\n", r"line 4: expected a person of .* '' is none"),
        ("picture,age\nAnn,3\n", r"line 2: expected a picture of .* 'Ann' is none"),
        ("picture,age\nx,3\n", r"line 2: expected a picture of .* 'x' is 2 pictures"),
        ("person,age\nAnn,3\nBob\n", r"line 3: expected 2 cells as the header has, got 1"),
        ("person,age\nAnn,3,4\n", r"line 2: expected 2 cells as the header has, got 3"),
        ("person,age\nAnn,3\nBob,4\nAnn,3\n", r"line 4: the person 'Ann' stood before"),
        ("picture,age\nAnn_1,3\nt/Ann/Ann_1.jpg,3\n", r"line 3: the picture .* stood before"),
        (b"person,age\nAnn,\xff\n", r"line 2: expected UTF-8"),
    ],
)
def test_a_wrong_file_is_named_with_the_line(tmp_path, text, message):
    with pytest.raises(DatasetError, match=r"labels\.csv.*" + message):
        read_cohorts(written(tmp_path, text), PICTURES)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv: cannot read"):
        read_cohorts(tmp_path / "none.csv", PICTURES)


def listed(left: str, right: str, line: int) -> Listed:
    people = (left[0], right[0])
    return Listed(left, right, people, 0, line, same=people[0] == people[1])


# a and b are old, c and d are young, of e nothing is said.
COMPARED = (
    ("a1", "a2", 0.9),
    ("a1", "a3", 0.2),  # missed
    ("b1", "b2", FAILED),  # missed
    ("a1", "b1", 0.5),  # false: at the threshold is a match
    ("a2", "b2", 0.1),
    ("c1", "c2", 0.8),
    ("c1", "d1", 0.49),
    ("a1", "c1", 0.9),  # across: of no group
    ("e1", "e2", 0.9),
    ("a1", "e1", 0.9),
)
PAIRS = pairs_of([listed(a, b, line) for line, (a, b, _) in enumerate(COMPARED)], "made")
SIMILARITY = np.array([similarity for _, _, similarity in COMPARED])
AGES = {"a": "old", "b": "old", "c": "young", "d": "young"}
GROUPS = Cohorts(("age",), {name: (AGES[name[0]],) for name in PAIRS.names if name[0] in AGES})


def test_rates_are_those_of_pairs_within_the_group():
    (age,) = group_rates(PAIRS, SIMILARITY, 0.5, GROUPS)
    old, young = age.groups
    assert (age.label, old.value, young.value) == ("age", "old", "young")
    assert (old.pictures, old.people, young.pictures, young.people) == (5, 2, 3, 2)
    assert (old.false_match.rate.errors, old.false_match.rate.trials) == (1, 2)
    assert (old.false_non_match.rate.errors, old.false_non_match.rate.trials) == (2, 3)
    assert (young.false_match.rate.value, young.false_non_match.rate.value) == (0, 0)
    assert (age.unlabelled, age.across) == (2, 1)


def test_intervals_draw_people():
    (age,) = group_rates(PAIRS, SIMILARITY, 0.5, GROUPS)
    people = np.array([[0, 0], [0, 0], [1, 1]])
    assert age.groups[0].false_non_match.rate == rate(np.array([False, True, True]), people)


def test_without_people_pairs_are_taken_as_independent():
    (age,) = group_rates(replace(PAIRS, labels=None), SIMILARITY, 0.5, GROUPS)
    old = age.groups[0]
    assert old.people is None
    found = old.false_non_match.rate
    assert (found.low, found.high) == wilson(2, 3)


def test_each_label_has_its_own_groups():
    values = {"a1": ("x", "1"), "a2": ("x", ""), "c1": ("x", "1")}
    first, second = group_rates(PAIRS, SIMILARITY, 0.5, Cohorts(("k", "n"), values))
    assert [(label.label, label.unlabelled, label.across) for label in (first, second)] == [
        ("k", 7, 0),
        ("n", 8, 0),
    ]
    assert first.groups[0].false_non_match.rate.trials == 1  # a1 a2
    assert second.groups[0].false_match.rate.trials == 1  # a1 c1


def test_a_group_without_pairs_has_no_rate():
    (label,) = group_rates(PAIRS, SIMILARITY, 0.5, Cohorts(("k",), {"d1": ("x",)}))
    (group,) = label.groups
    assert (group.pictures, group.people) == (0, 0)
    assert (group.false_match.rate, group.false_non_match.rate) == (None, None)
    assert not group.false_match.sufficient


def test_without_labels_there_are_no_groups():
    (label,) = group_rates(PAIRS, SIMILARITY, 0.5, Cohorts(("k",), {}))
    assert (label.groups, label.unlabelled) == ((), 10)
    assert (label.false_match, label.false_non_match) == (None, None)


def counted(errors: dict[str, tuple[int, int]]) -> tuple[Pairs, np.ndarray, Cohorts]:
    """Different pairs of strangers, so many of so many wrong in each group."""
    wrong = [
        (value, row < some) for value, (some, trials) in errors.items() for row in range(trials)
    ]
    count = len(wrong)
    names = tuple(f"{row}{side}" for side in "ab" for row in range(count))
    rows = np.arange(count)
    pairs = Pairs(
        names, rows, rows + count, np.zeros(count, bool), 0 * rows, rows, "made",
        np.arange(2 * count),
    )  # fmt: skip
    values = {f"{row}{side}": (value,) for side in "ab" for row, (value, _) in enumerate(wrong)}
    return pairs, np.array([float(is_wrong) for _, is_wrong in wrong]), Cohorts(("k",), values)


@pytest.mark.parametrize(
    ("errors", "sufficient", "spread"),
    [
        # 0.1 and 0.4: four times; their geometric mean is 0.2
        ({"a": (30, 300), "b": (120, 300)}, [True, True], ("b", "a", 4, 2)),
        # b is worse, and too few errors to say so
        ({"a": (40, 400), "b": (9, 9), "c": (60, 300)}, [True, False, True], ("c", "a", 2, 2**0.5)),
        ({"a": (30, 300), "b": (29, 300)}, [True, False], None),
        ({"a": (0, 300), "b": (30, 300)}, [False, True], None),
        # 0.1, 0.2 and 0.4: the geometric mean is 0.2
        ({"a": (40, 100), "b": (30, 300), "c": (60, 300)}, [True] * 3, ("a", "b", 4, 2)),
        ({"a": (50, 100), "b": (50, 100)}, [True] * 2, ("a", "a", 1, 1)),
    ],
)  # fmt: skip
def test_groups_are_compared_where_errors_are_enough(errors, sufficient, spread):
    (label,) = group_rates(*put(counted(errors)))
    assert [group.false_match.sufficient for group in label.groups] == sufficient
    assert all(group.false_match.rate.high > 0 for group in label.groups)
    assert label.false_non_match is None
    found = label.false_match
    if spread is None:
        assert found is None
    else:
        assert (found.worst, found.best) == spread[:2]
        assert (found.worst_to_best, found.worst_to_mean) == pytest.approx(spread[2:])


def put(case):
    pairs, similarity, groups = case
    return pairs, similarity, 0.5, groups
