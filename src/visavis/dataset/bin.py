"""InsightFace's verification sets: one file, a pickle of 2P encoded pictures and P flags.

A pickle can run any code. This reader admits bytes, NumPy's uint8 and bool, and lists of them; what
stands in for NumPy's own functions builds nothing, and every other name is refused. Knows nothing
of faces: a function makes the crops.
"""

import pickle
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import read_crop
from visavis.batch import Progress
from visavis.dataset.pairs import Pairs
from visavis.dataset.pickles import (
    NDARRAY,
    ByteArray,
    PlainUnpickler,
    check_opcodes,
    dtype,
    frombuffer,
    reconstruct,
    scalar,
)
from visavis.dataset.tree import Tree
from visavis.errors import DatasetError, ImageError, VisavisError
from visavis.formats import kind_of
from visavis.image import open_photo

MOST_BYTES = 4 << 30
FOLDS = 10
PROTOCOL = 4  # of pickles: Python 3.4, the first whose bytes may be long
# What the unpickler raises for a damaged or hostile file: it is no verification set then.
FAULTS = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ImportError, OverflowError, MemoryError, RecursionError, struct.error,
)  # fmt: skip
NUMPY = {"_reconstruct": reconstruct, "scalar": scalar}
GLOBALS: dict[tuple[str, str], object] = {
    ("numpy", "dtype"): dtype,
    ("numpy", "ndarray"): NDARRAY,
    **{(f"numpy.{core}.multiarray", n): f for core in ("core", "_core") for n, f in NUMPY.items()},
    **{(f"numpy.{core}.numeric", "_frombuffer"): frombuffer for core in ("core", "_core")},
}
KEPT = ("JPEG", "PNG")  # what every reader of a .bin can decode

Crop = Callable[[bytes], bytes]  # an encoded picture to an encoded crop


class MemoryTree:
    """Pictures held in memory, as a tree."""

    def __init__(self, source: str, pictures: dict[str, bytes | bytearray]) -> None:
        self.source = source
        self._pictures = pictures

    def names(self) -> list[str]:
        """Every picture, sorted."""
        return sorted(self._pictures)

    def read(self, name: str) -> bytes:
        """One picture's bytes. Raises DatasetError where there is none of that name."""
        try:
            return bytes(self._pictures[name])
        except KeyError:
            raise DatasetError(f"{self.source}: no picture {name}") from None


@dataclass(frozen=True, eq=False, slots=True)
class BinContents:
    """What a .bin holds."""

    pairs: Pairs
    pictures: dict[str, int]  # how many of each format and size, as "JPEG 112x112"
    undecodable: dict[str, str]  # pictures that cannot be decoded, and why
    sha256: str  # of the file


def read_bin(path: Path, *, skip_bad: bool = False) -> tuple[MemoryTree, Pairs]:
    """A .bin's pictures, 00000.jpg and on, and its P pairs: pictures 2i and 2i + 1, in ten folds in
    a row, or in one where P is no multiple of ten. `lines` are the pairs' numbers, from 1.

    Raises DatasetError for a file over 4 GiB, for one that is damaged or holds anything but bytes
    and NumPy's uint8 and bool, and for a pair without a picture; `skip_bad` counts such pairs.
    """
    entries, flags = _parts(_load(path), path)
    count = len(flags)
    bad = [row for row, entry in enumerate(entries) if not _encoded(entry)]
    if bad and not skip_bad:
        raise DatasetError(
            f"{path}, pair {bad[0] // 2 + 1}: expected an encoded picture, as bytes or an array of "
            f"uint8, {_got(entries[bad[0]])}",
            mend="leave such pairs out",
            option="skip_bad",
        )
    width = max(5, len(str(len(entries) - 1)))
    names = tuple(f"{row:0{width}d}.jpg" for row in range(len(entries)))
    pictures = dict(zip(names, map(_encoded, entries), strict=True))
    good = np.ones(count, bool)
    good[[row // 2 for row in bad]] = False
    if not good.any():
        raise DatasetError(f"{path}: expected pairs, found none that can be used")
    pairs = Pairs(
        names,
        left=np.arange(0, 2 * count, 2),
        right=np.arange(1, 2 * count, 2),
        same=np.array(flags),
        fold=contiguous_folds(count),
        lines=np.arange(1, count + 1),
        source=str(path),
    )
    return MemoryTree(str(path), pictures), pairs.keep(good)


def inspect_bin(path: Path, *, progress: Progress = iter) -> BinContents:
    """Read a .bin and decode every picture of its pairs. Raises DatasetError as `read_bin` does."""
    tree, pairs = read_bin(path, skip_bad=True)
    pictures, undecodable = survey(tree, progress(pairs.names))
    return BinContents(pairs, pictures, undecodable, sha256(path.read_bytes()).hexdigest())


def pack_pairs(
    tree: Tree, pairs: Pairs, crop: Crop, *, skip_bad: bool = False, progress: Progress = iter
) -> tuple[bytes, Pairs]:
    """The .bin of a list's pairs, each picture cut by `crop`, and the pairs that are in it.

    Raises what `crop` raises, with the line in front; `skip_bad` leaves such pictures' pairs out.
    """
    rows = {pairs.names[row]: int(row) for row in np.union1d(pairs.left, pairs.right)}
    crops: dict[int, bytes] = {}
    for name in progress(rows):
        row = rows[name]
        try:
            crops[row] = crop(tree.read(name))
        except VisavisError as error:
            if not skip_bad:
                raise error.at(f"{pairs.where(row)} of {tree.source}") from error
    whole = pairs.keep(np.isin(pairs.left, [*crops]) & np.isin(pairs.right, [*crops]))
    if not len(whole.same):
        raise DatasetError(f"{pairs.source}: no pair has two pictures that can be used")
    order = np.stack([whole.left, whole.right], axis=1).ravel()
    return bin_bytes([crops[int(row)] for row in order], whole.same), whole


def bin_bytes(pictures: Sequence[bytes], same: Iterable[bool]) -> bytes:
    """The .bin of pairs (0, 1), (2, 3) ... of encoded pictures, as InsightFace's loader reads it.

    Raises DatasetError where there are not two pictures to each flag, or none.
    """
    flags = [bool(flag) for flag in same]
    if not flags or len(pictures) != 2 * len(flags):
        raise DatasetError(
            f"expected two pictures for each pair, got {len(pictures)} for {len(flags)} pairs"
        )
    return pickle.dumps((list(pictures), flags), protocol=PROTOCOL)


def contiguous_folds(count: int) -> NDArray[np.intp]:
    """(P,) folds of pairs whose list has none: ten in a row, or one where ten do not divide P."""
    return np.arange(count) * (1 if count % FOLDS else FOLDS) // max(1, count)


def as_it_is(data: bytes) -> bytes:
    """A crop's own bytes. Raises ImageError for anything but a whole JPEG or PNG of 112x112."""
    read_crop(data)
    if (kind := kind_of(data).name) not in KEPT:
        raise ImageError(f"expected a JPEG or PNG crop, got {kind}", mend="save it as PNG")
    return data


def describe(data: bytes) -> str:
    """A picture's format and size, "JPEG 112x112". Raises ImageError where it cannot be decoded."""
    photo = open_photo(data)
    photo.decode()
    return f"{kind_of(data).name} {photo.width}x{photo.height}"


def survey(tree: Tree, names: Iterable[str]) -> tuple[dict[str, int], dict[str, str]]:
    """How many pictures of each format and size; those that cannot be decoded, and why."""
    kinds: Counter[str] = Counter()
    bad: dict[str, str] = {}
    for name in names:
        try:
            kinds[describe(tree.read(name))] += 1
        except ImageError as error:
            bad[name] = str(error)
    return dict(kinds.most_common()), bad


def _load(path: Path) -> object:
    try:
        size = path.stat().st_size if path.is_file() else None
        if size is None or size > MOST_BYTES:
            got = "no such file" if size is None else f"{size:,} bytes"
            raise DatasetError(f"{path}: expected a .bin file of at most 4 GiB, got {got}")
        data = path.read_bytes()
        check_opcodes(data)
        loaded: object = PlainUnpickler(
            data, GLOBALS, codecs=("latin1", b"latin1"), purpose="list of pictures"
        ).load()
        return loaded
    except OSError as error:
        raise DatasetError(f"{path}: cannot read: {error.strerror or error}") from error
    except FAULTS as error:
        raise DatasetError(
            f"{path}: not a verification set of InsightFace, or damaged: "
            f"{str(error)[:200] or type(error).__name__}"
        ) from error


def _parts(loaded: object, path: Path) -> tuple[Sequence[object], list[bool]]:
    """The two lists, checked against each other."""
    if not isinstance(loaded, tuple | list) or len(loaded) != 2:
        raise DatasetError(f"{path}: expected a list of pictures and one of flags, {_got(loaded)}")
    pictures, flags = loaded
    if isinstance(flags, ByteArray) and flags.kind == "bool":
        flags = [byte != 0 for byte in flags.data]
    for what, part in (("pictures", pictures), ("flags that are True or False", flags)):
        if not isinstance(part, tuple | list):
            raise DatasetError(f"{path}: expected a list of {what}, {_got(part)}")
    if not flags or len(pictures) != 2 * len(flags):
        raise DatasetError(
            f"{path}: expected two pictures for each flag, got {len(pictures)} pictures and "
            f"{len(flags)} flags"
        )
    for row, flag in enumerate(flags, start=1):
        if not isinstance(flag, bool):
            raise DatasetError(f"{path}, pair {row}: expected True or False, {_got(flag)}")
    return pictures, list(flags)


def _encoded(picture: object) -> bytes | bytearray:
    """The bytes of an encoded picture; empty where it is something else."""
    if isinstance(picture, ByteArray):
        return picture.data if picture.kind == "uint8" else b""
    return picture if isinstance(picture, bytes) else b""


def _got(what: object) -> str:
    """What came, by its type alone: nested lists may take for ever to print."""
    if isinstance(what, ByteArray):
        return f"got an array of {len(what.data)} {what.kind}"
    size = f" of {len(what)}" if isinstance(what, tuple | list | bytes | str) else ""
    return f"got {type(what).__name__}{size}"
