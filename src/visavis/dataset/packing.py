"""A list's pictures into a .bin, and what is in one."""

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np

from visavis.dataset.bin import bin_bytes
from visavis.dataset.crops import read_crop
from visavis.dataset.pairs import Pairs
from visavis.dataset.tree import Tree
from visavis.errors import DatasetError, ImageError, VisavisError
from visavis.image import open_photo

FORMATS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WebP", b"BM": "BMP"}
KEPT = ("JPEG", "PNG")  # what every reader of a .bin can decode

Crop = Callable[[bytes], bytes]  # an encoded picture to an encoded crop
Watch = Callable[[Iterable[str]], Iterable[str]]  # names through, progress shown


def pack_pairs(
    tree: Tree, pairs: Pairs, crop: Crop, *, skip_bad: bool = False, watch: Watch = iter
) -> tuple[bytes, Pairs]:
    """The .bin of a list's pairs, each picture through `crop`, and the pairs that are in it.

    Raises what `crop` raises, naming the line; `skip_bad` leaves such pictures' pairs out.
    """
    wanted = {pairs.names[row]: int(row) for row in np.union1d(pairs.left, pairs.right)}
    crops: dict[int, bytes] = {}
    for name in watch(wanted):
        row = wanted[name]
        try:
            crops[row] = crop(tree.read(name))
        except VisavisError as error:
            if not skip_bad:
                raise type(error)(f"{pairs.where(row)} of {tree.source}: {error}") from error
    whole = pairs.keep(np.isin(pairs.left, [*crops]) & np.isin(pairs.right, [*crops]))
    if not len(whole.same):
        raise DatasetError(f"{pairs.source}: no pair has two pictures that can be used")
    rows = np.stack([whole.left, whole.right], axis=1).ravel()
    return bin_bytes([crops[int(row)] for row in rows], whole.same), whole


def as_it_is(data: bytes) -> bytes:
    """A crop's own bytes. Raises ImageError where it is no whole JPEG or PNG of 112x112."""
    read_crop(data)
    if (kind := _format(data)) not in KEPT:
        raise ImageError(f"expected a JPEG or PNG crop, got {kind}: save it as PNG")
    return data


def describe(data: bytes) -> str:
    """A picture's format and size, "JPEG 112x112". Raises ImageError where it cannot be decoded."""
    photo = open_photo(data)
    photo.decode()
    return f"{_format(data)} {photo.width}x{photo.height}"


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


def _format(data: bytes) -> str:
    return next(kind for magic, kind in FORMATS.items() if data.startswith(magic))
