"""Pairs drawn from people's folders, as LFW's were: a verification protocol for any data set.

Knows only whom each picture shows, and reads no picture.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.pairs import Pairs
from visavis.dataset.people import People
from visavis.errors import DatasetError

TRIES = 50  # draws for each pair; after that the remaining pairs are listed

_Rows = NDArray[np.intp]
_Person = list[_Rows]  # rows of pictures, an array for each label; most people have one label
_Drawn = Iterator[tuple[int, int]]


def sample_pairs(people: People, *, folds: int = 10, pairs: int = 300, seed: int = 0) -> Pairs:
    """Draw `pairs` same and as many different pairs for each fold, each person in one fold only.

    Same pairs are spread evenly over people, different ones over pairs of people; no pair comes
    twice, and the same seed draws the same pairs. Two labels of one person (`people.one_person`)
    make pairs of neither kind. Raises DatasetError where there are too few people or pictures.
    """
    if folds < 1 or pairs < 1:
        raise DatasetError(f"expected at least 1 fold and 1 pair, got {folds} and {pairs}")
    random = np.random.default_rng(seed)
    person_of = people.aliases()
    dealt = _deal(_persons(people, person_of), folds, random)
    _check(dealt, pairs)
    drawn = [
        (left, right, same, fold)
        for fold, members in enumerate(dealt)
        for same, draw in ((True, _same), (False, _different))
        for left, right in draw(members, pairs, random)
    ]
    left, right, same, fold = (np.array(column) for column in zip(*drawn, strict=True))
    used = np.union1d(left, right)
    return Pairs(
        tuple(people.pictures[row] for row in used),
        left=np.searchsorted(used, left),
        right=np.searchsorted(used, right),
        same=same,
        fold=fold,
        lines=np.arange(1, len(same) + 1),
        source=f"pairs drawn with seed {seed}",
        labels=person_of[people.labels[used]],
    )


def _persons(people: People, person_of: _Rows) -> list[_Person]:
    order = np.argsort(people.labels, kind="stable")
    labels, starts = np.unique(people.labels[order], return_index=True)
    persons: dict[int, _Person] = {}
    for label, rows in zip(labels, np.split(order, starts[1:]), strict=True):
        persons.setdefault(int(person_of[label]), []).append(rows)
    return list(persons.values())


def _deal(persons: list[_Person], folds: int, random: np.random.Generator) -> list[list[_Person]]:
    """Deal people to folds, those with most pictures first, so that each fold gets its share."""
    if len(persons) < 2 * folds:
        raise DatasetError(
            f"expected at least {2 * folds} people for {folds} folds, got {len(persons)}",
            mend=f"choose at most {len(persons) // 2} folds",
        )
    shuffled = [persons[place] for place in random.permutation(len(persons))]
    shuffled.sort(key=_size, reverse=True)
    return [shuffled[fold::folds] for fold in range(folds)]


def _check(dealt: list[list[_Person]], pairs: int) -> None:
    same = min(int(_same_counts(members).sum()) for members in dealt)
    sizes = [np.array([_size(person) for person in members]) for members in dealt]
    different = min(int(size.sum() ** 2 - (size**2).sum()) // 2 for size in sizes)
    if min(same, different) < pairs:
        raise DatasetError(
            f"expected {pairs} same and {pairs} different pairs in each of {len(dealt)} folds, got "
            f"a fold of {same} and one of {different}",
            mend=f"choose at most {min(same, different)} pairs, or fewer folds",
        )


def _same(members: list[_Person], pairs: int, random: np.random.Generator) -> _Drawn:
    labels = [rows for person in members for rows in person]
    counts = _same_counts(members)
    for rows, count, share in zip(labels, counts, _shares(counts, pairs, random), strict=True):
        for place in random.choice(count, share, replace=False) if share else ():
            high = (1 + isqrt(8 * int(place) + 1)) // 2  # place = high (high - 1) / 2 + low
            yield int(rows[int(place) - high * (high - 1) // 2]), int(rows[high])


def _different(members: list[_Person], pairs: int, random: np.random.Generator) -> _Drawn:
    pictures = [np.concatenate(person) for person in members]
    drawn: dict[tuple[int, int], tuple[int, int]] = {}
    for _ in range(TRIES * pairs):
        a, b = int(random.integers(len(pictures))), int(random.integers(len(pictures) - 1))
        ours, theirs = pictures[a], pictures[b + (b >= a)]
        left, right = int(random.choice(ours)), int(random.choice(theirs))
        drawn.setdefault((min(left, right), max(left, right)), (left, right))
        if len(drawn) == pairs:
            break
    yield from drawn.values()
    if missing := pairs - len(drawn):
        rest = [pair for pair in _all_different(pictures) if pair not in drawn]
        yield from (rest[place] for place in random.choice(len(rest), missing, replace=False))


def _all_different(pictures: Sequence[_Rows]) -> _Drawn:
    for ours, theirs in combinations(pictures, 2):
        for left, right in product(ours.tolist(), theirs.tolist()):
            yield min(left, right), max(left, right)


def _shares(most: _Rows, total: int, random: np.random.Generator) -> _Rows:
    """`total` dealt out evenly, to each no more than its `most`."""
    shares = np.zeros_like(most)
    while left := total - int(shares.sum()):
        below = np.flatnonzero(shares < most)
        if len(below) > left:
            shares[random.choice(below, left, replace=False)] += 1
        else:
            shares[below] = np.minimum(most[below], shares[below] + left // len(below))
    return shares


def _same_counts(members: list[_Person]) -> _Rows:
    """Pairs of pictures of one label, for each label."""
    sizes = [len(rows) for person in members for rows in person]
    return np.array([size * (size - 1) // 2 for size in sizes], np.intp)


def _size(person: _Person) -> int:
    return sum(len(rows) for rows in person)
