"""Lists of pairs that name two pictures and say whether they show one person, as most tools write
them: with commas, tabs or spaces, with a header or without, and a label in many words.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath

from visavis.dataset.bin import contiguous_folds
from visavis.dataset.lists import ListRows, rows_of
from visavis.dataset.pairs import FORMS, Listed, Pairs, pairs_of
from visavis.dataset.tree import Tree, is_picture
from visavis.errors import DatasetError

SAME = {
    **dict.fromkeys(("1", "1.0", "yes", "y", "true", "t", "same", "match", "genuine"), True),
    **dict.fromkeys(("0", "0.0", "-1", "no", "n", "false", "f", "different", "diff"), False),
    **dict.fromkeys(("no match", "mismatch", "impostor", "imposter"), False),
}
# What a header calls its label; where it says none of these, the label is the last column.
LABELS = ("label", "decision", "same", "issame", "is_same", "match", "target", "class", "verified")
PLACES = (0, 1, 2)  # of the left picture, the right one and the label


def read_flagged(
    text: str, tree: Tree, source: str = "pairs.txt", *, skip_bad: bool = False
) -> Pairs:
    """Read lines "picture picture label" and find the pictures by the end of their path, with or
    without suffix. There are ten folds, in a row, or one where ten do not divide.

    A first line that names no picture is a header. Raises DatasetError with the line that is
    ragged, or whose picture is missing or ambiguous.
    """
    pictures = _by_ending(tree)
    rows = _rows(text, source)
    places = PLACES
    if rows and _is_header(rows[0][1], pictures):
        places = _places(rows.pop(0)[1], source)
    folds = contiguous_folds(len(rows))
    listed: list[Listed] = []
    for (number, cells), fold in zip(rows, folds, strict=True):
        where = f"{source}, line {number}"
        try:
            left, right, same = _fields(cells, places, where)
            names = [_picture(pictures, name, where, tree) for name in (left, right)]
        except DatasetError:
            if not skip_bad:
                raise
            continue
        listed.append(Listed(names[0], names[1], ("", ""), int(fold), number, same=same))
    pairs = pairs_of(listed, source, skip_bad=skip_bad)
    return replace(pairs, labels=None, skipped=len(rows) - len(pairs.same))


def is_flagged(text: str) -> bool:
    """Whether a list has a pair, or the names of columns, in its first line: LFW's has a number or
    two.
    """
    first = [cells for _, cells in _rows(text, "")[:1]]
    return any(
        len(cells) >= len(PLACES)
        and (cells[-1].lower() in SAME or not all(cell.isdecimal() for cell in cells))
        for cells in first
    )


def _rows(text: str, source: str) -> ListRows:
    """ListRows of cells between tabs, commas or semicolons, or else between spaces."""
    rows = rows_of(text, source)
    if rows and len(rows[0][1]) < len(PLACES):
        lines = enumerate(text.splitlines(), start=1)
        return [(number, line.split()) for number, line in lines if line.strip()]
    return rows


def _is_header(cells: Sequence[str], pictures: dict[str, list[str]]) -> bool:
    named = any(_plain(cell) in pictures or is_picture(cell) for cell in cells)
    labelled = {cells[0].lower(), cells[-1].lower()} & (set(SAME) - set(LABELS))
    return len(cells) >= len(PLACES) and not named and not labelled


def _places(header: Sequence[str], source: str) -> tuple[int, int, int]:
    """Where the pictures and the label of each line are. A column without a name is passed over."""
    named = [place for place, cell in enumerate(header) if cell]
    if len(named) != len(PLACES):
        raise DatasetError(
            f"{source}: expected columns for two pictures and a label, got {', '.join(header)}",
            mend=FORMS,
        )
    label = next((place for place in named if header[place].lower() in LABELS), named[-1])
    left, right = (place for place in named if place != label)
    return left, right, label


def _fields(
    cells: Sequence[str], places: tuple[int, int, int], where: str
) -> tuple[str, str, bool]:
    if max(places) >= len(cells) or (places == PLACES and len(cells) != len(PLACES)):
        label = ""
    else:
        label = cells[places[2]].lower()
    if label not in SAME:
        raise DatasetError(
            f"{where}: expected two pictures and 1 or 0, or yes or no, got {' '.join(cells)!r}",
            mend=FORMS,
        )
    return cells[places[0]], cells[places[1]], SAME[label]


def _by_ending(tree: Tree) -> dict[str, list[str]]:
    """Every ending of a path, with and without suffix, to the pictures whose paths end so."""
    pictures: dict[str, list[str]] = {}
    for name in filter(is_picture, tree.names()):
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            ending = PurePosixPath(*parts[start:])
            for written in (str(ending), str(ending.with_suffix(""))):
                pictures.setdefault(written, []).append(name)
    return pictures


def _plain(name: str) -> str:
    """A path as a tree has it, whichever way its slashes lean."""
    return PureWindowsPath(name).as_posix()


def _picture(pictures: dict[str, list[str]], name: str, where: str, tree: Tree) -> str:
    plain = str(PurePosixPath(name))
    plain = plain if plain in pictures else _plain(name)
    names = pictures.get(plain, [])
    if len(names) == 1 or plain in names:
        return plain if plain in names else names[0]
    if not names:
        raise DatasetError(f"{where}: no picture {name} in {tree.source}")
    raise DatasetError(
        f"{where}: {len(names)} pictures {name} in {tree.source} ({', '.join(names[:3])})",
        mend="write more of the path",
    )
