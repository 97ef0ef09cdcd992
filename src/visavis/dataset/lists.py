"""Lists that people make in spreadsheets and editors: their text, their separator, their columns.

Knows no pictures and no people.
"""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from visavis.errors import DatasetError

# What a file may begin with, and how it is written then.
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SEPARATORS = ("\t", ";", ",", "|")
SAID = "sep="  # a first line of Excel's, which names the separator

ListRows = list[tuple[int, list[str]]]  # each with the number of its (last) line


def read_text(path: Path) -> str:
    """A list's text. Raises DatasetError where it cannot be read."""
    try:
        return decoded(path.read_bytes(), str(path))
    except OSError as error:
        raise DatasetError(f"{path}: cannot read: {error.strerror or error}") from error


def decoded(data: bytes, where: str) -> str:
    """Text in UTF-8, or in UTF-16 that begins with its mark. Raises DatasetError for any other."""
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{where}, line {data[: error.start].count(10) + 1}: expected UTF-8, "
            f"got the byte {data[error.start]:#04x}, as Windows-1252 has it",
            mend="save it as UTF-8 (Excel: CSV UTF-8), or: iconv -f WINDOWS-1252 -t UTF-8",
        ) from error
    if "\0" in text:
        raise DatasetError(
            f"{where}: expected text, got zero bytes, as UTF-16 without its mark has them",
            mend="save it as UTF-8",
        )
    return text


def rows_of(text: str, where: str) -> ListRows:
    """The rows of a list whose cells a tab, semicolon, comma or bar separates, as the first row has
    it; without blank rows and without spaces around cells.

    Raises DatasetError for a quote that never ends.
    """
    lines = text.splitlines(keepends=True)
    first = next(filter(str.strip, lines), "")
    if first.lower().startswith(SAID) and len(first.strip()) == len(SAID) + 1:
        # The line stays as an empty one, so that lines keep their numbers.
        separator = first.strip()[-1]
        lines[lines.index(first)] = "\n"
    else:
        separator = max(reversed(SEPARATORS), key=first.count)
    reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=separator)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise DatasetError(f"{where}, line {reader.line_num}: expected a CSV: {error}") from error
    return [(line, cells) for line, cells in rows if any(cells)]


def read_table(
    path: Path, needs: Sequence[str], wants: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """The table of a file: `table_of`. Raises DatasetError, also where it cannot be read."""
    return table_of(read_text(path), str(path), needs, wants)


def table_of(
    text: str, path: str, needs: Sequence[str], wants: Sequence[str] = ()
) -> list[tuple[int, dict[str, str]]]:
    """A table's rows by the names of its columns, in lower case, each with its line.

    A row may be shorter than the header: what it lacks is empty. Raises DatasetError for a column
    of `needs` that is missing, one that is there twice, and a row that is longer.
    """
    rows = rows_of(text, path)
    header = [cell.lower() for cell in rows[0][1]] if rows else []
    if missing := [name for name in needs if name not in header]:
        also = f" and, if wanted, {', '.join(wants)}" if wants else ""
        raise DatasetError(
            f"{path}: no column {', '.join(missing)}; expected a CSV with columns "
            f"{', '.join(needs)}{also}; got {', '.join(header) or 'nothing'}"
        )
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise DatasetError(f"{path}: expected each column once, got {', '.join(twice)} twice")
    table = []
    for line, cells in rows[1:]:
        if len(cells) > len(header):
            raise DatasetError(
                f"{path}, line {line}: expected {len(header)} cells, as the header has, "
                f"got {len(cells)}"
            )
        table.append((line, dict.fromkeys(header, "") | dict(zip(header, cells, strict=False))))
    return table
