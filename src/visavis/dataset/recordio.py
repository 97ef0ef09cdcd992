"""MXNet's RecordIO, train.rec and train.idx, as face data sets are published: read without MXNet.

A record is a magic number, a word of 3 bits of kind and 29 of length, the bytes, and zeros up to a
multiple of 4. Bytes that hold the magic number are cut there into several records. The bytes of an
image begin with a header: how many labels follow, one label, two numbers. In a face data set
record 0 is no image: its labels say where the images end. Knows no pictures.
"""

import mmap
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DatasetError

MAGIC = 0xCED7230A
WORDS = struct.Struct("<II")  # magic, kind and length
HEADER = struct.Struct("<IfQQ")  # labels that follow, a label, two identifiers
WHOLE, FIRST, MIDDLE, LAST = range(4)
MOST_LABELS = 1 << 16
MOST_INDEX = 1 << 32  # bytes of a .idx: two hundred million records


@dataclass(frozen=True, eq=False, slots=True)
class RecordIO:
    """The images of a .rec, each with its label."""

    source: str
    offsets: NDArray[np.int64]  # (N,)
    labels: NDArray[np.intp]  # (N,)
    _bytes: mmap.mmap

    def read(self, row: int) -> bytes:
        """An image's bytes, as they were packed."""
        place = int(self.offsets[row])
        return _unpacked(_record(self._bytes, place, self.source)[0], place, self.source)[1]

    def where(self, row: int) -> str:
        """An image's place, for messages."""
        return f"{self.source}, record at byte {self.offsets[row]}"


def read_recordio(path: Path) -> RecordIO:
    """Open a .rec; the .idx beside it saves reading through the file, and is not needed.

    Raises DatasetError with the byte of a record that is damaged, and for labels that are no
    classes.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot read: {error}") from error
    index = path.with_suffix(".idx")
    source = str(path)
    places = _indexed(index, len(data)) if index.is_file() else _scanned(data, source)
    if not len(places):
        raise DatasetError(f"{source}: expected records, found none")
    kept = places[_images(data, places, source)]
    labels = np.array([_label(data, int(place), source) for place in kept], np.intp)
    return RecordIO(source, kept, labels, data)


def _images(data: mmap.mmap, places: NDArray[np.int64], source: str) -> slice:
    """Which records are images: all, or those that record 0 says."""
    place = int(places[0])
    labels, _ = _unpacked(_record(data, place, source)[0], place, source)
    if len(labels) < 2:
        return slice(0, None)
    end = labels[0]
    if not 2 <= end <= len(places) or end != int(end):
        raise DatasetError(
            f"{source}: record 0 says that images end at {end:g}, of {len(places)} records"
        )
    return slice(1, int(end))


def _label(data: mmap.mmap, place: int, source: str) -> int:
    labels, _ = _unpacked(_record(data, place, source)[0], place, source)
    label = labels[0] if labels else float("nan")
    if not 0 <= label < 2**31 or label != int(label):
        raise DatasetError(f"{source}, record at byte {place}: expected a class, got {label}")
    return int(label)


def _record(data: mmap.mmap, place: int, source: str) -> tuple[bytes, int]:
    """The bytes of the record at `place`, put together again, and where the next one begins."""
    parts: list[bytes] = []
    while True:
        kind, part, after = _part(data, place, source)
        expected = (MIDDLE, LAST) if parts else (WHOLE, FIRST)
        if kind not in expected:
            raise DatasetError(
                f"{source}, record at byte {place}: expected a part {expected}, got {kind}"
            )
        parts.append(part)
        place = after
        if kind in (WHOLE, LAST):
            return MAGIC.to_bytes(4, "little").join(parts), place


def _part(data: mmap.mmap, place: int, source: str) -> tuple[int, bytes, int]:
    if not 0 <= place <= len(data) - WORDS.size:
        raise DatasetError(f"{source}: the record at byte {place} is cut off")
    magic, word = WORDS.unpack_from(data, place)
    if magic != MAGIC:
        raise DatasetError(f"{source}: no record begins at byte {place}")
    start, length = place + WORDS.size, word & 0x1FFFFFFF
    if start + length > len(data):
        raise DatasetError(f"{source}: the record at byte {place} is cut off")
    return word >> 29, data[start : start + length], start + (length + 3) // 4 * 4


def _unpacked(record: bytes, place: int, source: str) -> tuple[tuple[float, ...], bytes]:
    """A record's labels, and the image behind them."""
    if len(record) < HEADER.size:
        raise DatasetError(f"{source}, record at byte {place}: too short for an image's header")
    count, label, _, _ = HEADER.unpack_from(record)
    end = HEADER.size + 4 * count
    if count > MOST_LABELS or end > len(record):
        raise DatasetError(f"{source}, record at byte {place}: says that it has {count} labels")
    labels = struct.unpack_from(f"<{count}f", record, HEADER.size) if count else (label,)
    return labels, record[end:]


def _indexed(path: Path, size: int) -> NDArray[np.int64]:
    """The offsets of a .idx, by their keys."""
    if path.stat().st_size > MOST_INDEX:
        raise DatasetError(f"{path}: larger than {MOST_INDEX >> 30} GiB")
    rows: list[tuple[int, int]] = []
    with path.open(encoding="ascii", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if len(words) != 2 or not all(word.isdecimal() and len(word) < 19 for word in words):
                raise DatasetError(
                    f"{path}, line {number}: expected a record and its offset, got {line[:80]!r}"
                )
            rows.append((int(words[0]), int(words[1])))
            if rows[-1][1] >= size:
                raise DatasetError(f"{path}, line {number}: offset {words[1]} of {size} bytes")
    return np.array([offset for _, offset in sorted(rows)], np.int64)


def _scanned(data: mmap.mmap, source: str) -> NDArray[np.int64]:
    places, place = array("q"), 0
    while place < len(data):
        places.append(place)
        _, place = _record(data, place, source)
    return np.array(places, np.int64)
