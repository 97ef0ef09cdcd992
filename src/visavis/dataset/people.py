"""Identity folders: every folder of pictures is one person. Reads names, and no picture."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.lists import read_table
from visavis.dataset.tree import Tree, is_picture
from visavis.errors import DatasetError


@dataclass(frozen=True, eq=False, slots=True)
class People:
    """Pictures and whom they show, and which names are one person's."""

    pictures: tuple[str, ...]  # names in the tree
    labels: NDArray[np.intp]  # (N,) rows of `names`
    names: tuple[str, ...]  # folder names, sorted
    one_person: tuple[tuple[int, int], ...] = ()  # two labels of one person

    def keep(self, kept: NDArray[np.bool_]) -> "People":
        """Some of the (N,) pictures; people who have none left are left out."""
        old, labels = np.unique(self.labels[kept], return_inverse=True)
        place = {int(label): row for row, label in enumerate(old)}
        return People(
            tuple(picture for picture, keep in zip(self.pictures, kept, strict=True) if keep),
            labels,
            tuple(self.names[label] for label in old),
            tuple((place[a], place[b]) for a, b in self.one_person if a in place and b in place),
        )

    def aliases(self) -> NDArray[np.intp]:
        """For each label, one label that all labels of the same person share."""
        alias = np.arange(len(self.names))
        for a, b in self.one_person:
            alias[alias == alias[b]] = alias[a]
        return alias


def find_people(tree: Tree) -> People:
    """A person for every folder that holds pictures. Raises DatasetError for fewer than two."""
    pictures = [name for name in tree.names() if is_picture(name)]
    folders = [PurePosixPath(name).parent.name for name in pictures]
    names = sorted(set(folders) - {""})
    if len(names) < 2:
        raise DatasetError(
            f"{tree.source}: expected a folder of pictures for each person, found {len(names)}"
        )
    rows = {name: row for row, name in enumerate(names)}
    kept = [(p, rows[f]) for p, f in zip(pictures, folders, strict=True) if f]
    return People(
        tuple(picture for picture, _ in kept), np.array([row for _, row in kept]), tuple(names)
    )


def without(people: People, excluded: Collection[str]) -> People:
    """People without some pictures, named by file stem, or without some people, by name."""
    keep = [
        PurePosixPath(picture).stem not in excluded and people.names[label] not in excluded
        for picture, label in zip(people.pictures, people.labels, strict=True)
    ]
    return people.keep(np.array(keep, bool))


def apply_exclusions(people: People, path: Path) -> People:
    """Apply a CSV of known label errors: a, b, reason.

    A row with `b` means that folders a and b show one person; a row without, that picture a (a
    file stem) does not show the person its folder names. Raises DatasetError with the line of a
    name that does not occur.
    """
    rows = {name: row for row, name in enumerate(people.names)}
    stems = {PurePosixPath(picture).stem for picture in people.pictures}
    wrong: list[str] = []
    one_person: list[tuple[int, int]] = []
    for number, a, b, reason in _exclusions(path):
        known = a in rows and b in rows if b else a in stems
        if not known or not reason:
            raise DatasetError(
                f"{path}, line {number}: expected known names and a reason, got {a},{b}"
            )
        if b:
            one_person.append((rows[a], rows[b]))
        else:
            wrong.append(a)
    merged = People(people.pictures, people.labels, people.names, tuple(one_person))
    return without(merged, wrong)


def _exclusions(path: Path) -> list[tuple[int, str, str, str]]:
    table = read_table(path, ("a", "b", "reason"))
    return [(line, row["a"], row["b"], row["reason"]) for line, row in table]
