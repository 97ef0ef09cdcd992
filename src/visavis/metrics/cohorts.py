"""Error rates by group of people: who bears the errors. Groups are read from a file, and never
guessed from a picture.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import Pairs
from visavis.errors import DatasetError
from visavis.metrics.acceptance import people_of
from visavis.metrics.bootstrap import Rate, rate

ENOUGH = 30  # errors: with fewer a rate is not compared with another (the rule of 30)
KEYS = ("person", "picture")


@dataclass(frozen=True, slots=True)
class Groups:
    """What a file says of pictures: for each label, such as age, a value or "" for none."""

    labels: tuple[str, ...]  # the file's columns
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
    pictures: int  # that its pairs are of
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
    unlabelled: int  # pictures of the list that have no value: their pairs are in no group
    across: int  # pairs of two pictures with different values: likewise
    false_match: Spread | None  # None: fewer than two sufficient cells
    false_non_match: Spread | None


def read_groups(path: Path, pictures: Sequence[str]) -> Groups:
    """Read a CSV of labels: a header "person,<label>,..." or "picture,<label>,...", and a row for
    each person (a folder's name) or picture (its name in the tree, or its file stem).

    `pictures` are all names of the tree. An empty cell is no value, a person or picture without a
    row has none. Raises DatasetError with the line for a header without labels, a name that does
    not occur, stood before or is of several pictures, and a row that is longer or shorter.
    """
    rows = _rows(path)
    number, header = next(rows, (1, []))
    key, labels = (header[0], header[1:]) if header else ("", [])
    if key not in KEYS or not all(labels) or not 0 < len(labels) == len(set(labels)):
        raise DatasetError(
            f"{path}, line {number}: expected a header 'person,<label>,...' or "
            f"'picture,<label>,...', each label once, got {','.join(header)!r}"
        )
    named = _named(pictures, by_person=key == "person")
    values: dict[str, tuple[str, ...]] = {}
    for line, row in rows:
        if len(row) != len(header):
            raise DatasetError(
                f"{path}, line {line}: expected {len(header)} cells as the header has, "
                f"got {len(row)}"
            )
        found = named.get(row[0], [])
        if not found or (key == "picture" and len(found) > 1):
            raise DatasetError(
                f"{path}, line {line}: expected a {key} of the data set, "
                f"{row[0]!r} is {f'{len(found)} pictures' if found else 'none'}"
            )
        if found[0] in values:
            raise DatasetError(f"{path}, line {line}: the {key} {row[0]!r} stood before")
        values.update(dict.fromkeys(found, tuple(row[1:])))
    return Groups(tuple(labels), values)


def group_rates(
    pairs: Pairs, similarity: NDArray[np.float64], threshold: float, groups: Groups
) -> list[LabelRates]:
    """False match and false non-match rates of each group at a threshold, with 95 % intervals by
    drawing people; without `pairs.labels`, of pairs taken as independent.

    A false match is a different pair at or above the threshold, both of the group: strangers who
    resemble each other are mostly of one group, and pairs across groups would hide them.
    """
    return [
        _label_rates(label, _values(pairs, groups, column), pairs, similarity >= threshold)
        for column, label in enumerate(groups.labels)
    ]


def _label_rates(
    label: str, values: NDArray[np.str_], pairs: Pairs, matched: NDArray[np.bool_]
) -> LabelRates:
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


def _group_rates(
    value: str, inside: NDArray[np.bool_], pairs: Pairs, matched: NDArray[np.bool_]
) -> GroupRates:
    pictures = np.union1d(pairs.left[inside], pairs.right[inside])
    return GroupRates(
        value,
        pictures=len(pictures),
        people=None if pairs.labels is None else len(np.unique(pairs.labels[pictures])),
        false_match=_cell(matched, inside & ~pairs.same, pairs),
        false_non_match=_cell(~matched, inside & pairs.same, pairs),
    )


def _cell(wrong: NDArray[np.bool_], chosen: NDArray[np.bool_], pairs: Pairs) -> Cell:
    if not chosen.any():
        return Cell(None, False)
    people = None if pairs.labels is None else people_of(pairs)[chosen]
    found = rate(wrong[chosen], people)
    return Cell(found, found.errors >= ENOUGH)


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


def _values(pairs: Pairs, groups: Groups, column: int) -> NDArray[np.str_]:
    """(N,) each picture's value of one label."""
    none = ("",) * len(groups.labels)
    return np.array([groups.values.get(name, none)[column] for name in pairs.names], np.str_)


def _named(pictures: Iterable[str], *, by_person: bool) -> dict[str, list[str]]:
    """What a row may say to the pictures it is about."""
    found: dict[str, list[str]] = {}
    for picture in pictures:
        path = PurePosixPath(picture)
        for name in {path.parent.name} if by_person else {picture, path.stem}:
            if name:
                found.setdefault(name, []).append(picture)
    return found


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, and their lines."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for row in reader:
                if any(cells := [cell.strip() for cell in row]):
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: expected a CSV file: {error}") from error
