"""CFP in its own folder: celebrities in frontal and profile view, Sengupta et al. 2016.

Protocol/Pair_list_F.txt and _P.txt number the pictures; Protocol/Split/{FF,FP}/{01..10}/ holds
same.txt and diff.txt, lines of two numbers. In FP the second number is one of the profile list.
"""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from visavis.dataset.pairs import Pairs
from visavis.dataset.tree import Tree
from visavis.errors import DatasetError

LISTS = {"FF": ("F", "F"), "FP": ("F", "P")}  # which list each number of a pair belongs to
FOLDS = tuple(f"{fold:02d}" for fold in range(1, 11))
NUMBER = re.compile(r"[0-9]{1,9}")
KINDS = {"same.txt": True, "diff.txt": False}


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a split, and its place."""

    text: str
    where: str
    fold: int
    same: bool


def read_cfp(tree: Tree, protocol: str, *, skip_bad: bool = False) -> Pairs:
    """CFP's pairs: "FF" frontal to frontal, "FP" frontal to profile; labels are subjects.

    `lines` are the pairs' numbers over all splits, from 1: errors raised here name file and line.
    FF lists some pairs both ways round; these are two pairs, as in the published figures.
    Raises DatasetError for a line that cannot be read, a picture that is missing, and a pair that
    came before; `skip_bad` counts and leaves out such lines.
    """
    if protocol not in LISTS:
        raise DatasetError(f"expected a protocol of CFP, {' or '.join(LISTS)}, got {protocol!r}")
    root = _root(tree)
    lists = {kind: _Numbered(tree, f"{root}Pair_list_{kind}.txt") for kind in set(LISTS[protocol])}
    before: dict[tuple[str, str], str] = {}
    kept: list[tuple[int, _Line]] = []
    count = 0
    for count, line in enumerate(_split(tree, f"{root}Split/{protocol}/"), start=1):
        try:
            pair = _pair(line, [lists[kind] for kind in LISTS[protocol]])
            if pair in before or pair[0] == pair[1]:
                earlier = before.get(pair, "a picture with itself")
                raise DatasetError(f"{line.where}: the pair {line.text} is that of {earlier}")
        except DatasetError:
            if not skip_bad:
                raise
            continue
        before[pair] = line.where
        kept.append((count, line))
    if not kept:
        raise DatasetError(f"{root}Split/{protocol}: expected pairs, found none that can be used")
    return _pairs(list(before), kept, f"{root}Split/{protocol}", count - len(kept))


def _pairs(
    pairs: list[tuple[str, str]], kept: list[tuple[int, _Line]], source: str, skipped: int
) -> Pairs:
    rows: dict[str, int] = {}
    places = np.array([[rows.setdefault(name, len(rows)) for name in pair] for pair in pairs])
    subjects = [PurePosixPath(name).parts[-3:][0] for name in rows]  # <subject>/frontal/01.jpg
    return Pairs(
        tuple(rows),
        left=places[:, 0],
        right=places[:, 1],
        same=np.array([line.same for _, line in kept]),
        fold=np.array([line.fold for _, line in kept]),
        lines=np.array([number for number, _ in kept]),
        source=source,
        labels=np.unique(subjects, return_inverse=True)[1],
        skipped=skipped,
    )


class _Numbered:
    """A list of pictures by number. A missing picture is an error only when a pair needs it."""

    def __init__(self, tree: Tree, name: str) -> None:
        self.name = name
        self._tree = tree
        self._present = frozenset(tree.names())
        self._lines: dict[int, tuple[int, str]] = {}
        for line, text in _lines(tree, name):
            number, *path = text.split(maxsplit=1)
            if not NUMBER.fullmatch(number) or not path or int(number) in self._lines:
                raise DatasetError(
                    f"{name}, line {line}: expected a new number and a path, got {text!r}"
                )
            self._lines[int(number)] = line, path[0]

    def picture(self, number: int, where: str) -> str:
        """The name in the tree of the picture with this number."""
        if number not in self._lines:
            raise DatasetError(
                f"{where}: no picture {number} in {self.name}, which has {len(self._lines)}"
            )
        line, path = self._lines[number]
        name = posixpath.normpath(posixpath.join(posixpath.dirname(self.name), path))
        if name not in self._present:
            raise DatasetError(
                f"{where}: no picture {name} in {self._tree.source} ({self.name}, line {line})"
            )
        return name


def _root(tree: Tree) -> str:
    """The folder of the lists, with a slash at its end."""
    end = "Protocol/Pair_list_F.txt"
    lists = [name for name in tree.names() if f"/{name}".endswith(f"/{end}")]
    if len(lists) != 1:
        raise DatasetError(f"{tree.source}: expected CFP's {end} once, found {len(lists)}")
    return lists[0].removesuffix("Pair_list_F.txt")


def _split(tree: Tree, folder: str) -> Iterator[_Line]:
    for fold, part in enumerate(FOLDS):
        for file, same in KINDS.items():
            name = f"{folder}{part}/{file}"
            for number, text in _lines(tree, name):
                yield _Line(text, f"{name}, line {number}", fold, same)


def _pair(line: _Line, lists: list[_Numbered]) -> tuple[str, str]:
    numbers = [number.strip() for number in line.text.split(",")]
    if len(numbers) != 2 or not all(map(NUMBER.fullmatch, numbers)):
        raise DatasetError(f"{line.where}: expected two numbers as in '7,448', got {line.text!r}")
    left, right = (
        listed.picture(int(number), line.where)
        for listed, number in zip(lists, numbers, strict=True)
    )
    return left, right


def _lines(tree: Tree, name: str) -> list[tuple[int, str]]:
    """A file's lines that are not empty, numbered from 1."""
    lines = tree.read(name).decode("utf-8", "replace").splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
