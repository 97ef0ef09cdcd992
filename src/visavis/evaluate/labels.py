"""A CSV file that labels people or pictures. Measures nothing: visavis.metrics.cohorts does."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from visavis.dataset.lists import read_text, rows_of
from visavis.errors import DatasetError
from visavis.metrics.cohorts import Cohorts

KEYS = ("person", "picture")


def read_cohorts(path: Path, pictures: Sequence[str]) -> Cohorts:
    """Read a CSV of labels: a header "person,<label>,..." or "picture,<label>,...", and a row for
    each person (a folder's name) or picture (its name in the tree, or its file stem).

    `pictures` are all names of the tree. An empty cell is no value, a person or picture without a
    row has none. Raises DatasetError with the line for a header without labels, a name that does
    not occur, occurs twice or is of several pictures, and a row that is longer or shorter.
    """
    rows = iter(rows_of(read_text(path), str(path)))
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
        labelled = named.get(row[0], [])
        if not labelled or (key == "picture" and len(labelled) > 1):
            raise DatasetError(
                f"{path}, line {line}: expected a {key} of the data set, "
                f"{row[0]!r} is {f'{len(labelled)} pictures' if labelled else 'none'}"
            )
        if labelled[0] in values:
            raise DatasetError(f"{path}, line {line}: the {key} {row[0]!r} stood before")
        values.update(dict.fromkeys(labelled, tuple(row[1:])))
    return Cohorts(tuple(labels), values)


def _named(pictures: Iterable[str], *, by_person: bool) -> dict[str, list[str]]:
    """The names that a row may use, each with its pictures."""
    named: dict[str, list[str]] = {}
    for picture in pictures:
        path = PurePosixPath(picture)
        for name in {path.parent.name} if by_person else {picture, path.stem}:
            if name:
                named.setdefault(name, []).append(picture)
    return named
