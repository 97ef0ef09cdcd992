"""The list of photos that are to be embedded: Parquet with a column `path`, or a path a line.

A path is of a file, from the manifest's own folder on, or an address in an object store. It knows
no photo's bytes.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visavis.dataset.lists import read_text
from visavis.errors import DatasetError
from visavis.extras import need

COLUMN = "path"


@dataclass(frozen=True, slots=True)
class PhotoList:
    """A list of photos, read in parts: a hundred million paths need no memory."""

    file: Path
    photos: int
    sha256: str
    _lines: tuple[str, ...] | None = field(default=None, repr=False)  # None: Parquet

    def part(self, start: int, stop: int) -> list[str]:
        """The paths from one to before another. Raises DatasetError for an empty one."""
        paths = _column(self.file, start, stop) if self._lines is None else self._lines[start:stop]
        if not all(paths):
            row = start + next(row for row, path in enumerate(paths) if not path)
            raise DatasetError(f"{self.file}: row {row}: expected a path, got nothing")
        return list(paths)


def read_photo_list(file: Path) -> PhotoList:
    """The manifest in a file. Raises DatasetError for what is none, and for one of no photo."""
    if file.suffix.lower() == ".parquet":
        photos, lines = _rows(file), None
    else:
        lines = tuple(line for line in read_text(file).splitlines() if line.strip())
        photos = len(lines)
    if not photos:
        raise DatasetError(f"{file}: expected paths of photos, found none")
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    return PhotoList(file, photos, sha256, lines)


def _rows(file: Path) -> int:
    """How many there are, where the column is what it should be."""
    import pyarrow

    with _opened(file) as parquet:
        names = parquet.schema_arrow.names
        if COLUMN not in names:
            raise DatasetError(f"{file}: expected a column {COLUMN!r}, got {', '.join(names)}")
        kind = parquet.schema_arrow.field(COLUMN).type
        if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
            raise DatasetError(f"{file}: expected text in the column {COLUMN!r}, got {kind}")
        return int(parquet.metadata.num_rows)


def _column(file: Path, start: int, stop: int) -> list[str]:
    """Some rows' paths; no other group of rows is read."""
    paths: list[str] = []
    with _opened(file) as parquet:
        first = 0
        for group in range(parquet.num_row_groups):
            last = first + parquet.metadata.row_group(group).num_rows
            if first < stop and last > start:
                column = parquet.read_row_group(group, columns=[COLUMN])[COLUMN]
                here = slice(max(start - first, 0), stop - first)
                paths += column[here].to_pylist()
            first = last
    return paths


def _opened(file: Path) -> Any:
    need("pyarrow", extras="parquet")
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise DatasetError(f"{file}: expected a Parquet file: {error}") from error
