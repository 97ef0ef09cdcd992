"""Pairs drawn from people: what must hold of every draw, and what cannot be drawn."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.dataset import People, sample_pairs
from visavis.errors import DatasetError


def people_of(sizes, one_person=()):
    """People with so many pictures each: 0_0.jpg, 0_1.jpg, 1_0.jpg ..."""
    pictures = [f"{person}_{n}.jpg" for person, size in enumerate(sizes) for n in range(size)]
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return People(tuple(pictures), labels, tuple(map(str, range(len(sizes)))), tuple(one_person))


def drawn(pairs):
    """Names left and right, same, fold."""
    return [
        (pairs.names[left], pairs.names[right], bool(same), int(fold))
        for left, right, same, fold in zip(
            pairs.left, pairs.right, pairs.same, pairs.fold, strict=True
        )
    ]


def label(name):
    return int(name.split("_")[0])


@st.composite
def draws(draw):
    folds, count = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    sizes = draw(st.lists(st.integers(1, 9), min_size=2 * folds, max_size=24))
    person = st.integers(0, len(sizes) - 1)
    one_person = draw(st.lists(st.tuples(person, person), max_size=3))
    return people_of(sizes, one_person), folds, count, draw(st.integers(0, 2**32))


@given(draws())
def test_what_holds_of_every_draw(drawing):
    people, folds, count, seed = drawing
    try:
        pairs = sample_pairs(people, folds=folds, pairs=count, seed=seed)
    except DatasetError:
        return  # too few: another test says when
    found = drawn(pairs)
    aliases = people.aliases()
    assert Counter((same, fold) for *_, same, fold in found) == {
        (same, fold): count for same in (True, False) for fold in range(folds)
    }
    assert len({frozenset(pair[:2]) for pair in found}) == len(found)  # no pair twice
    assert all(left != right for left, right, *_ in found)
    for left, right, same, _ in found:
        assert (label(left) == label(right)) == same
        assert same or aliases[label(left)] != aliases[label(right)]
    seen = {(aliases[label(name)], fold) for *names, _, fold in found for name in names}
    assert len(seen) == len({person for person, _ in seen})  # each person in one fold
    assert set(pairs.names) == {name for *names, _, _ in found for name in names}
    assert pairs.labels.tolist() == [aliases[label(name)] for name in pairs.names]
    assert pairs.lines.tolist() == [*range(1, len(found) + 1)]


@given(st.integers(0, 2**32))
def test_a_seed_draws_the_same_again(seed):
    people = people_of([3] * 20)
    assert drawn(sample_pairs(people, folds=4, pairs=9, seed=seed)) == drawn(
        sample_pairs(people, folds=4, pairs=9, seed=seed)
    )


def test_another_seed_draws_others():
    people = people_of([3] * 20)
    assert drawn(sample_pairs(people, folds=2, pairs=9)) != drawn(
        sample_pairs(people, folds=2, pairs=9, seed=1)
    )


@pytest.mark.parametrize(
    ("sizes", "one_person", "count"),
    [
        ([2, 2], [], 1),  # 2 same pairs, 4 different ones; both kinds of each
        ([2, 2], [], 2),
        ([3, 2], [], 4),  # 3 + 1 same, 6 different
        ([6, 1], [], 6),  # 15 same, 6 different: every one of them
        ([9, 1, 1, 1], [], 30),  # 36 same, 27 + 3 different: rare ones too
        ([3, 3, 1], [(0, 1)], 6),  # 3 + 3 same, and 6 different to the third alone
        ([1] * 40 + [40], [], 780),  # 780 same, 780 + 1600 different
    ],
)
def test_all_that_there_is_can_be_drawn(sizes, one_person, count):
    pairs = sample_pairs(people_of(sizes, one_person), folds=1, pairs=count)
    assert Counter(pairs.same.tolist()) == {True: count, False: count}


def test_a_person_of_many_pictures_is_in_no_more_pairs_than_others():
    pairs = sample_pairs(people_of([500, *[4] * 20]), folds=1, pairs=100)
    shown = Counter(label(left) for left, _, same, _ in drawn(pairs) if same)
    assert (sum(shown.values()), max(shown.values())) == (100, 5)
    different = Counter(
        label(name) for *names, same, _ in drawn(pairs) if not same for name in names
    )
    assert different[0] < 30  # of 200 places, 21 people: 10 are to be expected


def test_people_of_many_pictures_are_spread_over_the_folds():
    pairs = sample_pairs(people_of([5] * 10 + [1] * 90), folds=10, pairs=10)
    assert len(pairs.same) == 200


@pytest.mark.parametrize(
    ("sizes", "one_person", "folds", "count", "message"),
    [
        ([9] * 19, [], 10, 1, "at least 20 people for 10 folds, got 19: choose at most 9 folds"),
        ([9] * 20, [(0, 1)], 10, 1, "at least 20 people for 10 folds, got 19"),
        ([2, 2], [], 1, 3, "a fold of 2 and one of 4: choose at most 2 pairs"),
        ([6, 1], [], 1, 7, "a fold of 15 and one of 6: choose at most 6 pairs, or fewer folds"),
        ([3, 3, 1], [(0, 1)], 1, 7, "a fold of 6 and one of 6: choose at most 6 pairs"),
        ([1] * 20, [], 2, 5, "expected 5 same and 5 different pairs in each of 2 folds, got a fo"),
        ([9] * 20, [], 0, 5, "at least 1 fold and 1 pair, got 0 and 5"),
        ([9] * 20, [], 5, 0, "at least 1 fold and 1 pair, got 5 and 0"),
    ],
)
def test_too_few_people_or_pictures(sizes, one_person, folds, count, message):
    with pytest.raises(DatasetError, match=message):
        sample_pairs(people_of(sizes, one_person), folds=folds, pairs=count)
