"""LFW's pairs.txt, and every list made like it (XQLFW's): which two pictures are of one person."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.tree import Tree, is_picture
from visavis.errors import DatasetError


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """Pairs of pictures of a tree, in contiguous folds of equal size."""

    names: tuple[str, ...]  # each picture once
    left: NDArray[np.intp]  # (P,) rows of `names`
    right: NDArray[np.intp]  # (P,)
    same: NDArray[np.bool_]  # (P,) whether a pair is of one person
    folds: int


def read_pairs(text: str, tree: Tree, source: str = "pairs.txt") -> Pairs:
    """Read pairs and find their pictures: <person>/<person>_0001.jpg, at any depth of the tree.

    The first line is "folds<TAB>pairs of each kind in a fold" (or the number of same pairs alone,
    for one fold); "person i j" is a same pair, "person i person j" a different one.
    Raises DatasetError with the line of a picture that is missing or of a line that cannot be read.
    """
    lines = text.splitlines()
    folds = _folds(lines[0] if lines else "", source)
    pictures = by_person(tree.names())
    rows: dict[str, int] = {}
    found: list[tuple[int, int, bool]] = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            (a, i), (b, j) = _pair(line, f"{source}, line {number}")
            left, right = (
                _find(pictures, person, index, f"{source}, line {number}", tree)
                for person, index in ((a, i), (b, j))
            )
            found.append(
                (rows.setdefault(left, len(rows)), rows.setdefault(right, len(rows)), a == b)
            )
    if len(found) < folds or len(found) % folds:
        raise DatasetError(
            f"{source}: expected {folds} folds of equal size, got {len(found)} pairs"
        )
    left_rows, right_rows, same = zip(*found, strict=True)
    return Pairs(
        tuple(rows), np.array(left_rows), np.array(right_rows), np.array(same, bool), folds
    )


def by_person(names: Iterable[str]) -> dict[tuple[str, str], str]:
    """(folder, file stem) to name, for every picture that lies in a folder."""
    paths = [PurePosixPath(name) for name in names if is_picture(name)]
    return {(path.parent.name, path.stem): str(path) for path in paths}


def _folds(header: str, source: str) -> int:
    numbers = header.split()
    if not 1 <= len(numbers) <= 2 or not all(number.isdecimal() for number in numbers):
        raise DatasetError(
            f"{source}, line 1: expected folds and pairs as in '10 300', got {header!r}"
        )
    folds = int(numbers[0]) if len(numbers) == 2 else 1
    if folds < 1:
        raise DatasetError(f"{source}, line 1: expected at least 1 fold, got {header!r}")
    return folds


def _pair(line: str, where: str) -> tuple[tuple[str, str], tuple[str, str]]:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 3:
        parts = [parts[0], parts[1], parts[0], parts[2]]
    if len(parts) != 4 or not (parts[1].strip().isdecimal() and parts[3].strip().isdecimal()):
        raise DatasetError(f"{where}: expected 'person i j' or 'person i person j', got {line!r}")
    return (parts[0], parts[1].strip()), (parts[2], parts[3].strip())


def _find(
    pictures: dict[tuple[str, str], str], person: str, index: str, where: str, tree: Tree
) -> str:
    stem = f"{person}_{int(index):04d}"
    try:
        return pictures[person, stem]
    except KeyError:
        raise DatasetError(f"{where}: no picture {person}/{stem} in {tree.source}") from None
