"""A verification set by its path: InsightFace's .bin, CFP's folder, or pictures and a list."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from visavis.dataset.bin import contiguous_folds, read_bin
from visavis.dataset.cfp import read_cfp
from visavis.dataset.pairs import Listed, Pairs, pairs_of, read_pairs
from visavis.dataset.tree import Tree, is_picture, open_tree
from visavis.errors import DatasetError

SAME = {"1": True, "0": False}


def open_pairs(
    images: Path, *, pairs: Path | None = None, protocol: str | None = None, skip_bad: bool = False
) -> tuple[Tree, Pairs]:
    """Pictures and the pairs to compare.

    `images` is a .bin; or a folder or zip of CFP, with its `protocol`; or one with a list, `pairs`
    or else the only pairs.txt or *_pairs.txt in it, or beside it. A list is LFW's or of lines
    "picture picture 0|1". Raises DatasetError for what cannot be read; `skip_bad` counts bad lines.
    """
    if pairs is not None and protocol is not None:
        raise DatasetError(f"expected a list or a protocol, got {pairs} and {protocol}")
    if images.suffix.lower() == ".bin" and not images.is_dir():
        if pairs is not None or protocol is not None:
            raise DatasetError(f"{images}: holds its own pairs; got also {pairs or protocol}")
        return read_bin(images, skip_bad=skip_bad)
    tree = open_tree(images)
    if protocol is not None:
        return tree, read_cfp(tree, protocol, skip_bad=skip_bad)
    text, source = _list(images, pairs, tree)
    read = read_flagged if _is_flagged(text) else read_pairs
    return tree, read(text, tree, source, skip_bad=skip_bad)


def read_flagged(
    text: str, tree: Tree, source: str = "pairs.txt", *, skip_bad: bool = False
) -> Pairs:
    """Read lines "picture picture 0|1", 1 for one person, and find the pictures by the end of their
    path, with or without suffix. Folds are ten in a row, or one where they do not divide.

    Raises DatasetError with the line that is ragged, or whose picture is missing or one of several.
    """
    pictures = _by_ending(tree)
    lines = [
        (number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()
    ]
    folds = contiguous_folds(len(lines))
    found: list[Listed] = []
    for (number, line), fold in zip(lines, folds, strict=True):
        where = f"{source}, line {number}"
        try:
            left, right, flag = _fields(line, where)
            names = [_picture(pictures, name, where, tree) for name in (left, right)]
        except DatasetError:
            if not skip_bad:
                raise
            continue
        found.append(Listed(names[0], names[1], ("", ""), int(fold), number, same=SAME[flag]))
    pairs = pairs_of(found, source, skip_bad=skip_bad)
    return replace(pairs, labels=None, skipped=len(lines) - len(pairs.same))


def _is_flagged(text: str) -> bool:
    """LFW's first line is one number or two."""
    first = next(filter(str.strip, text.splitlines()), "")
    return len(_split(first)) == 3 and _split(first)[2] in SAME


def _split(line: str) -> list[str]:
    return [part.strip() for part in (line.split("\t") if "\t" in line else line.split())]


def _fields(line: str, where: str) -> list[str]:
    parts = _split(line)
    if len(parts) != 3 or parts[2] not in SAME:
        raise DatasetError(f"{where}: expected two pictures and 0 or 1, got {line!r}")
    return parts


def _by_ending(tree: Tree) -> dict[str, list[str]]:
    """Every ending of a picture's path, with and without suffix, to those that end so."""
    found: dict[str, list[str]] = {}
    for name in filter(is_picture, tree.names()):
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            ending = PurePosixPath(*parts[start:])
            for written in (str(ending), str(ending.with_suffix(""))):
                found.setdefault(written, []).append(name)
    return found


def _picture(pictures: dict[str, list[str]], name: str, where: str, tree: Tree) -> str:
    found = pictures.get(str(PurePosixPath(name)), [])
    if len(found) == 1 or name in found:
        return name if name in found else found[0]
    if not found:
        raise DatasetError(f"{where}: no picture {name} in {tree.source}")
    raise DatasetError(
        f"{where}: {len(found)} pictures {name} in {tree.source}: {', '.join(found[:3])}; "
        "write more of the path"
    )


def _list(images: Path, pairs: Path | None, tree: Tree) -> tuple[str, str]:
    """A list's text and its name."""
    if pairs is not None:
        return _text(pairs), str(pairs)
    inside = [name for name in tree.names() if _is_list(PurePosixPath(name).name)]
    if len(inside) == 1:
        return tree.read(inside[0]).decode("utf-8", "replace"), inside[0]
    beside = (
        [] if inside else sorted(p for p in images.absolute().parent.iterdir() if _is_list(p.name))
    )
    if len(beside) == 1:
        return _text(beside[0]), str(beside[0])
    raise DatasetError(
        f"{tree.source}: expected one pairs.txt or *_pairs.txt in it or beside it, found "
        f"{', '.join(map(str, inside or beside)) or 'none'}: use --pairs"
    )


def _is_list(name: str) -> bool:
    return name == "pairs.txt" or (name.endswith("_pairs.txt") and not name.startswith("."))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot read the pairs: {error}") from error
