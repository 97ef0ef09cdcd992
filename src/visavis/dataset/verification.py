"""A verification set by its path: InsightFace's .bin, CFP's folder, or pictures and a list."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from visavis.batch import Progress
from visavis.dataset.bin import Crop, contiguous_folds, pack_pairs, read_bin
from visavis.dataset.cfp import read_cfp
from visavis.dataset.pairs import Listed, Pairs, pairs_of, read_pairs
from visavis.dataset.tree import Tree, is_picture, open_tree
from visavis.errors import DatasetError
from visavis.files import write_whole

SAME = {"1": True, "0": False}


def open_pairs(
    images: Path, *, pairs: Path | None = None, protocol: str | None = None, skip_bad: bool = False
) -> tuple[Tree, Pairs]:
    """Pictures and the pairs to compare.

    `images` is a .bin, or a folder or zip of CFP with its `protocol`, or one with a list: `pairs`,
    or else the only pairs.txt or *_pairs.txt in it or beside it. A list is like LFW's, or has lines
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


def make_bin(
    out: Path,
    images: Path,
    crop: Crop,
    *,
    pairs: Path | None = None,
    protocol: str | None = None,
    skip_bad: bool = False,
    progress: Progress = iter,
) -> Pairs:
    """Write a .bin of the pairs that `open_pairs` finds, each picture cut by `crop`.

    Returns the pairs that are in it; `skip_bad` counts and leaves out bad ones. Raises DatasetError
    for what cannot be read, what `crop` raises, with the line in front, and OutputError where the
    file cannot be written.
    """
    tree, listed = open_pairs(images, pairs=pairs, protocol=protocol, skip_bad=skip_bad)
    data, packed = pack_pairs(tree, listed, crop, skip_bad=skip_bad, progress=progress)
    write_whole(out, data)
    return packed


def read_flagged(
    text: str, tree: Tree, source: str = "pairs.txt", *, skip_bad: bool = False
) -> Pairs:
    """Read lines "picture picture 0|1", 1 for one person, and find the pictures by the end of their
    path, with or without suffix. There are ten folds, in a row, or one where ten do not divide.

    Raises DatasetError with the line that is ragged, or whose picture is missing or ambiguous.
    """
    pictures = _by_ending(tree)
    lines = [
        (number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()
    ]
    folds = contiguous_folds(len(lines))
    listed: list[Listed] = []
    for (number, line), fold in zip(lines, folds, strict=True):
        where = f"{source}, line {number}"
        try:
            left, right, flag = _fields(line, where)
            names = [_picture(pictures, name, where, tree) for name in (left, right)]
        except DatasetError:
            if not skip_bad:
                raise
            continue
        listed.append(Listed(names[0], names[1], ("", ""), int(fold), number, same=SAME[flag]))
    pairs = pairs_of(listed, source, skip_bad=skip_bad)
    return replace(pairs, labels=None, skipped=len(lines) - len(pairs.same))


def _is_flagged(text: str) -> bool:
    """Whether the first line is a pair: LFW's is one number or two."""
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
    """Every ending of a path, with and without suffix, to the pictures whose paths end so."""
    pictures: dict[str, list[str]] = {}
    for name in filter(is_picture, tree.names()):
        parts = PurePosixPath(name).parts
        for start in range(len(parts)):
            ending = PurePosixPath(*parts[start:])
            for written in (str(ending), str(ending.with_suffix(""))):
                pictures.setdefault(written, []).append(name)
    return pictures


def _picture(pictures: dict[str, list[str]], name: str, where: str, tree: Tree) -> str:
    names = pictures.get(str(PurePosixPath(name)), [])
    if len(names) == 1 or name in names:
        return name if name in names else names[0]
    if not names:
        raise DatasetError(f"{where}: no picture {name} in {tree.source}")
    raise DatasetError(
        f"{where}: {len(names)} pictures {name} in {tree.source} ({', '.join(names[:3])})",
        mend="write more of the path",
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
        f"{', '.join(map(str, inside or beside)) or 'none'}",
        mend="name the list",
        option="pairs",
    )


def _is_list(name: str) -> bool:
    return name == "pairs.txt" or (name.endswith("_pairs.txt") and not name.startswith("."))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot read the pairs: {error}") from error
