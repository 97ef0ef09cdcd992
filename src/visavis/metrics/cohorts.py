"""Error rates by group of people: who bears the errors. Groups are declared by labels, and never
guessed from a picture. Pure numbers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import Pairs
from visavis.metrics.acceptance import people_of
from visavis.metrics.bootstrap import Rate, rate
from visavis.metrics.verification import Flags

ENOUGH = 30  # errors: with fewer a rate is not compared with another (the rule of 30)


@dataclass(frozen=True, slots=True)
class Cohorts:
    """Labels of pictures, such as age: for each label a value, or "" for none."""

    labels: tuple[str, ...]
    values: dict[str, tuple[str, ...]]  # by picture's name; one for each label


@dataclass(frozen=True, slots=True)
class Cell:
    """One rate of one group."""

    rate: Rate | None  # None: the group has no such pair
    sufficient: bool  # whether there are errors enough to compare it with others


@dataclass(frozen=True, slots=True)
class GroupRates:
    """One group's rates at one threshold, over pairs whose two pictures are both of it."""

    value: str
    pictures: int  # in its pairs
    people: int | None  # None: the list does not say whom a picture shows
    false_match: Cell  # of different pairs
    false_non_match: Cell  # of same pairs


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the groups of a label lie apart: over sufficient cells alone, two at least."""

    worst: str
    best: str
    worst_to_best: float  # ratio of their rates
    worst_to_mean: float  # the worst's to the geometric mean of all


@dataclass(frozen=True, slots=True)
class LabelRates:
    """A label's groups, by value."""

    label: str
    groups: tuple[GroupRates, ...]
    unlabelled: int  # pictures of the list without a value: their pairs are in no group
    across: int  # pairs of two pictures with different values: they are in no group
    false_match: Spread | None  # None: fewer than two sufficient cells
    false_non_match: Spread | None


def group_rates(
    pairs: Pairs, similarity: NDArray[np.float64], threshold: float, cohorts: Cohorts
) -> list[LabelRates]:
    """False match and false non-match rates of each group at a threshold, with 95 % intervals by
    drawing people; without `pairs.labels`, of pairs taken as independent.

    A false match is a different pair at or above the threshold, both of the group: strangers who
    resemble each other are mostly of one group, and pairs across groups would hide them.
    """
    return [
        _label_rates(label, _values(pairs, cohorts, column), pairs, similarity >= threshold)
        for column, label in enumerate(cohorts.labels)
    ]


def _label_rates(label: str, values: NDArray[np.str_], pairs: Pairs, matched: Flags) -> LabelRates:
    used = np.union1d(pairs.left, pairs.right)
    known, codes = np.unique(["", *values], return_inverse=True)  # "" is the first: 0
    codes = codes[1:]
    left, right = codes[pairs.left], codes[pairs.right]
    groups = tuple(
        _group_rates(str(known[code]), (left == code) & (right == code), pairs, matched)
        for code in np.unique(codes[used])
        if code
    )
    return LabelRates(
        label,
        groups,
        unlabelled=int(np.sum(codes[used] == 0)),
        across=int(np.sum((left != right) & (left > 0) & (right > 0))),
        false_match=_spread({group.value: group.false_match for group in groups}),
        false_non_match=_spread({group.value: group.false_non_match for group in groups}),
    )


def _group_rates(value: str, inside: Flags, pairs: Pairs, matched: Flags) -> GroupRates:
    pictures = np.union1d(pairs.left[inside], pairs.right[inside])
    return GroupRates(
        value,
        pictures=len(pictures),
        people=None if pairs.labels is None else len(np.unique(pairs.labels[pictures])),
        false_match=_cell(matched, inside & ~pairs.same, pairs),
        false_non_match=_cell(~matched, inside & pairs.same, pairs),
    )


def _cell(wrong: Flags, chosen: Flags, pairs: Pairs) -> Cell:
    if not chosen.any():
        return Cell(None, False)
    people = None if pairs.labels is None else people_of(pairs)[chosen]
    measured = rate(wrong[chosen], people)
    return Cell(measured, measured.errors >= ENOUGH)


def _spread(cells: dict[str, Cell]) -> Spread | None:
    rates = {
        value: cell.rate.value
        for value, cell in cells.items()
        if cell.rate is not None and cell.sufficient
    }
    if len(rates) < 2:
        return None
    worst, best = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
    mean = float(np.exp(np.mean(np.log([*rates.values()]))))
    return Spread(worst, best, rates[worst] / rates[best], rates[worst] / mean)


def _values(pairs: Pairs, cohorts: Cohorts, column: int) -> NDArray[np.str_]:
    """(N,) each picture's value of one label."""
    none = ("",) * len(cohorts.labels)
    return np.array([cohorts.values.get(name, none)[column] for name in pairs.names], np.str_)
