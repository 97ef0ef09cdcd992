"""LFW's pairs.txt, and lists made like it (XQLFW's): which two pictures show one person."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.tree import Tree, is_picture
from visavis.errors import DatasetError

FORMS = (
    "a list is as LFW's ('10 300', then lines 'Ann 1 2' and 'Ann 1 Bob 2'), or has two pictures "
    "and a label in each line ('Ann/1.jpg,Bob/2.jpg,0')"
)


@dataclass(frozen=True, eq=False, slots=True)
class Pairs:
    """Pairs of a tree's pictures, each with its fold and the line it was read from."""

    names: tuple[str, ...]  # each picture once
    left: NDArray[np.intp]  # (P,) rows of `names`
    right: NDArray[np.intp]  # (P,)
    same: NDArray[np.bool_]  # (P,) whether a pair is of one person
    fold: NDArray[np.intp]  # (P,) 0, 1, ...
    lines: NDArray[np.intp]  # (P,) in `source`, from 1
    source: str  # the list, for messages
    labels: NDArray[np.intp] | None = None  # (N,) whom each picture shows, if that is known
    skipped: int = 0  # pairs left out because they were bad

    def where(self, row: int) -> str:
        """A picture and the line that first names it, for messages."""
        uses = self.lines[(self.left == row) | (self.right == row)]
        line = f"{self.source}, line {uses.min()}: " if len(uses) else ""
        return f"{line}{self.names[row]}"

    def keep(self, kept: NDArray[np.bool_]) -> "Pairs":
        """Some of the pairs; the others count as skipped."""
        return replace(
            self,
            left=self.left[kept],
            right=self.right[kept],
            same=self.same[kept],
            fold=self.fold[kept],
            lines=self.lines[kept],
            skipped=self.skipped + int(np.sum(~kept)),
        )


@dataclass(frozen=True, slots=True)
class Listed:
    """The pair of one line, whom its pictures show, and the line's number."""

    left: str
    right: str
    people: tuple[str, str]
    fold: int
    line: int
    same: bool


def read_pairs(
    text: str, tree: Tree, source: str = "pairs.txt", *, skip_bad: bool = False
) -> Pairs:
    """Read pairs and find their pictures, <person>/<person>_0001.jpg at any depth of the tree.

    The first line is "folds<TAB>pairs of each kind in a fold" (or the number of same pairs alone,
    for one fold); "person i j" is a same pair, "person i person j" a different one.
    Raises DatasetError with the line of a picture that is missing or there twice, of a line that
    cannot be read, and of a pair that came before; `skip_bad` counts and leaves out such lines.
    """
    lines = text.splitlines()
    folds = _folds(lines[0] if lines else "", source)
    pictures = by_person(tree.names())
    numbered = [(number, line) for number, line in enumerate(lines[1:], start=2) if line.strip()]
    if len(numbered) < folds or len(numbered) % folds:
        raise DatasetError(
            f"{source}: expected {folds} folds of equal size, got {len(numbered)} pairs"
        )
    listed: list[Listed] = []
    for place, (number, line) in enumerate(numbered):
        try:
            (a, i), (b, j) = _pair(line, f"{source}, line {number}")
            left, right = (
                _find(pictures, person, index, f"{source}, line {number}", tree)
                for person, index in ((a, i), (b, j))
            )
        except DatasetError:
            if not skip_bad:
                raise
            continue
        fold = place * folds // len(numbered)
        listed.append(Listed(left, right, (a, b), fold, number, same=a == b))
    pairs = pairs_of(listed, source, skip_bad=skip_bad)
    return replace(pairs, skipped=len(numbered) - len(pairs.same))


def pairs_of(listed: Iterable[Listed], source: str, *, skip_bad: bool = False) -> Pairs:
    """Pairs from their lines. Raises DatasetError for a pair that came before, and for a picture
    with itself.
    """
    rows: dict[str, int] = {}
    people: dict[str, int] = {}
    labels: list[int] = []
    before: dict[tuple[int, int], int] = {}
    kept: list[tuple[int, int, bool, int, int]] = []
    for one in listed:
        for name, person in zip((one.left, one.right), one.people, strict=True):
            if name not in rows:
                rows[name] = len(rows)
                labels.append(people.setdefault(person, len(people)))
        left, right = rows[one.left], rows[one.right]
        pair = (min(left, right), max(left, right))
        if pair in before or pair[0] == pair[1]:
            if skip_bad:
                continue
            earlier = f"line {before[pair]}" if pair in before else "itself"
            raise DatasetError(
                f"{source}, line {one.line}: the pair {one.left} {one.right} is that of {earlier}"
            )
        before[pair] = one.line
        kept.append((left, right, one.same, one.fold, one.line))
    if not kept:
        raise DatasetError(f"{source}: expected pairs, found none that can be used")
    table = np.array(kept)  # (P, 5)
    return Pairs(
        names=tuple(rows),
        left=table[:, 0],
        right=table[:, 1],
        same=table[:, 2].astype(bool),
        fold=table[:, 3],
        lines=table[:, 4],
        source=source,
        labels=np.array(labels),
    )


def by_person(names: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    """(folder, file stem) to names, for every picture that lies in a folder."""
    pictures: dict[tuple[str, str], list[str]] = {}
    for path in map(PurePosixPath, filter(is_picture, names)):
        pictures.setdefault((path.parent.name, path.stem), []).append(str(path))
    return pictures


def _folds(header: str, source: str) -> int:
    numbers = header.split()
    if not 1 <= len(numbers) <= 2 or not all(number.isdecimal() for number in numbers):
        raise DatasetError(
            f"{source}, line 1: expected folds and pairs as in '10 300', got {header!r}", mend=FORMS
        )
    folds = int(numbers[0]) if len(numbers) == 2 else 1
    if folds < 1:
        raise DatasetError(f"{source}, line 1: expected at least 1 fold, got {header!r}")
    return folds


def _pair(line: str, where: str) -> tuple[tuple[str, str], tuple[str, str]]:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 3:
        parts = [parts[0], parts[1], parts[0], parts[2]]
    if len(parts) != 4 or not all(_is_number(parts[place].strip()) for place in (1, 3)):
        raise DatasetError(
            f"{where}: expected 'person i j' or 'person i person j', got {line!r}", mend=FORMS
        )
    return (parts[0], parts[1].strip()), (parts[2], parts[3].strip())


def _is_number(word: str) -> bool:
    return word.isdecimal() and len(word) < 10


def _find(
    pictures: dict[tuple[str, str], list[str]], person: str, index: str, where: str, tree: Tree
) -> str:
    stem = f"{person}_{int(index):04d}"
    names = pictures.get((person, stem), [])
    if len(names) == 1:
        return names[0]
    if not names:
        raise DatasetError(f"{where}: no picture {person}/{stem} in {tree.source}")
    raise DatasetError(
        f"{where}: {len(names)} pictures {person}/{stem} in {tree.source} ({', '.join(names)})",
        mend="keep one",
    )
