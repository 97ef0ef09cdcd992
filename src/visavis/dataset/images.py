"""Labelled pictures in any of the forms that training reads, by their path.

Knows the forms. Decodes nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.arrow import is_arrow, read_arrow
from visavis.dataset.people import find_people
from visavis.dataset.recordio import read_recordio
from visavis.dataset.tree import Tree, open_tree
from visavis.errors import DatasetError

RECORDS = ".rec"


class Images(Protocol):
    """Encoded pictures, each with the class that it shows."""

    @property
    def source(self) -> str:
        """Its place, for messages."""

    @property
    def labels(self) -> NDArray[np.intp]:
        """(N,) a class for each picture."""

    def read(self, row: int, /) -> bytes:
        """A picture's bytes. Raises DatasetError where they cannot be read."""

    def where(self, row: int, /) -> str:
        """A picture's place, for messages."""


@dataclass(frozen=True, eq=False, slots=True)
class TreeImages:
    """The pictures of a folder or zip, a folder for each person."""

    source: str
    labels: NDArray[np.intp]
    pictures: tuple[str, ...]
    names: tuple[str, ...]  # of people, by label
    _tree: Tree

    def read(self, row: int) -> bytes:
        """A picture's bytes."""
        return self._tree.read(self.pictures[row])

    def where(self, row: int) -> str:
        """A picture's place, for messages."""
        return f"{self.source}: {self.pictures[row]}"


def open_images(path: Path) -> Images:
    """A folder or zip of people's folders, a .rec or the folder that holds one, or a Hugging Face
    data set on disk. Raises DatasetError for anything else.
    """
    if path.suffix.lower() == RECORDS:
        return read_recordio(path)
    if path.is_dir():
        if is_arrow(path):
            return read_arrow(path)
        records = sorted(path.glob(f"*{RECORDS}"))
        if len(records) > 1:
            names = ", ".join(one.name for one in records)
            raise DatasetError(f"{path}: {len(records)} files of records: {names}", mend="name one")
        if records:
            return read_recordio(records[0])
    tree = open_tree(path)
    people = find_people(tree)
    return TreeImages(tree.source, people.labels, people.pictures, people.names, tree)
