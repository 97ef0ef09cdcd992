"""A verification set by its path: InsightFace's .bin, CFP's folder, or pictures and a list."""

from pathlib import Path, PurePosixPath

from visavis.batch import Progress
from visavis.dataset.bin import Crop, pack_pairs, read_bin
from visavis.dataset.cfp import read_cfp
from visavis.dataset.flagged import is_flagged, read_flagged
from visavis.dataset.lists import decoded, read_text
from visavis.dataset.pairs import Pairs, read_pairs
from visavis.dataset.tree import Tree, open_tree
from visavis.errors import DatasetError
from visavis.files import write_whole


def open_pairs(
    images: Path, *, pairs: Path | None = None, protocol: str | None = None, skip_bad: bool = False
) -> tuple[Tree, Pairs]:
    """Pictures and the pairs to compare.

    `images` is a .bin, or a folder or zip of CFP with its `protocol`, or one with a list: `pairs`,
    or else the only pairs.txt or *_pairs.txt in it or beside it. A list is like LFW's, or has lines
    of two pictures and a label. Raises DatasetError for what cannot be read; `skip_bad` counts bad
    lines.
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
    read = read_flagged if is_flagged(text) else read_pairs
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


def _list(images: Path, pairs: Path | None, tree: Tree) -> tuple[str, str]:
    """A list's text and its name."""
    if pairs is not None:
        return read_text(pairs), str(pairs)
    inside = [name for name in tree.names() if _is_list(PurePosixPath(name).name)]
    if len(inside) == 1:
        return decoded(tree.read(inside[0]), inside[0]), inside[0]
    beside = (
        [] if inside else sorted(p for p in images.absolute().parent.iterdir() if _is_list(p.name))
    )
    if len(beside) == 1:
        return read_text(beside[0]), str(beside[0])
    raise DatasetError(
        f"{tree.source}: expected one pairs.txt or *_pairs.txt in it or beside it, found "
        f"{', '.join(map(str, inside or beside)) or 'none'}",
        mend="name the list",
        option="pairs",
    )


def _is_list(name: str) -> bool:
    return name == "pairs.txt" or (name.endswith("_pairs.txt") and not name.startswith("."))
