"""What deleted rows leave in files: the unused parts of SQLite's pages, and the search for words.

The format is fixed for good: sqlite.org/fileformat.html, 1.3 to 1.6. Knows nothing of people.
"""

import struct
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"SQLite format 3\0"
FILE_HEADER = 100  # bytes, before the first page's own header
TREE_PAGES = {2: 12, 5: 12, 10: 8, 13: 8}  # by kind, bytes of their headers
AREAS = struct.Struct(">HHH")  # first free block, number of cells, where cells begin
PAIR = struct.Struct(">HH")  # of a free block: the next one, its own length
NOTHING = bytes(1 << 16)
BLOCK = 1 << 20  # bytes of a file read at a time: as many as stay in a core's cache
SEARCHED = 1 << 18  # bytes searched at a time: as many as stay in a core's cache
MARKS = 20  # bits of a word's place among the marks
ODD = 0x9E3779B97F4A7C15  # scatters: 2 ** 64 divided by the golden ratio


class Words:
    """Whether bytes hold one of so many words: thousands cost little more than one.

    Bytes are looked at in aligned groups of 8, 4 or 2, of which every place of a word that is long
    enough covers one; only where a group is a part of a word, that word is compared.
    """

    def __init__(self, words: Iterable[bytes]) -> None:
        self._words = words = set(words) - {b""}
        self._parts: dict[int, dict[int, list[tuple[bytes, int]]]] = {8: {}, 4: {}, 2: {}}
        self.longest = max(map(len, words), default=0)
        self._short = {word for word in words if len(word) < 3}
        for word in words - self._short:
            size = next(size for size in self._parts if len(word) >= 2 * size - 1)
            for start in range(size):
                part = int.from_bytes(word[start : start + size], "little")
                self._parts[size].setdefault(part, []).append((word, start))
        self._marks = {size: _marked(size, parts) for size, parts in self._parts.items() if parts}

    def __len__(self) -> int:
        """How many words there are."""
        return len(self._words)

    def within(self, text: bytes) -> bool:
        """Whether one of them is there."""
        if any(word in text for word in self._short):
            return True
        return any(self._seen(text, size, marks) for size, marks in self._marks.items())

    def _seen(self, text: bytes, size: int, marks: NDArray[np.bool_]) -> bool:
        groups = np.frombuffer(text + bytes(-len(text) % size), f"<u{size}")
        for first in range(0, len(groups), SEARCHED // size):
            some = groups[first : first + SEARCHED // size]
            for near in np.flatnonzero(marks[_place(some)]).tolist():
                at = (first + near) * size
                for word, start in self._parts[size].get(int(some[near]), ()):
                    if at >= start and text.startswith(word, at - start):
                        return True
        return False


def holds(path: Path, words: Words) -> bool:
    """Whether a file holds one of the words: SQLite's outside its rows, any other one anywhere.

    What a page's structure does not explain counts as unused, and so do chains of overflow pages.
    """
    with path.open("rb") as file:
        header = file.read(FILE_HEADER)
        parts = _unused_parts(file, header) if header.startswith(MAGIC) else _all(file, words)
        return any(map(words.within, parts))


def _all(file: BufferedReader, words: Words) -> Iterator[bytes]:
    """A file block by block, each with the end of the one before."""
    file.seek(0)
    before = b""
    while block := file.read(BLOCK):
        yield before + block
        before = block[-words.longest :]


def _unused_parts(file: BufferedReader, header: bytes) -> Iterator[bytes]:
    """What of a SQLite file is in no row, a block of pages at a time."""
    size = int.from_bytes(header[16:18], "big")
    size = 1 << 16 if size == 1 else size
    free = _free_pages(file, header, size)
    odd = np.array(sorted({1} | free))  # pages that are not read as most are
    file.seek(0)
    buffer = bytearray(BLOCK // size * size or size)
    first = 1
    while length := file.readinto(buffer):
        block = memoryview(buffer)[: length // size * size]
        starts, gaps, rest = _gaps(np.frombuffer(block, np.uint8).reshape(-1, size), odd, first)
        pairs = zip((starts + gaps[0]).tolist(), (starts + gaps[1]).tolist(), strict=True)
        parts = [block[top:rows] for top, rows in pairs if not NOTHING.startswith(block[top:rows])]
        for number in rest.tolist():
            page = block[number * size : (number + 1) * size]
            whole = first + number in free
            parts += [page] if whole else _unused(page, FILE_HEADER * (first + number == 1))
        yield b"\0".join([*parts, buffer[len(block) : length]])
        first += len(block) // size


def _gaps(
    pages: NDArray[np.uint8], odd: NDArray[np.intp], first: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Where pages start whose one unused part lies between their header and their rows, where that
    part begins and ends (2, N) in the page; and the numbers of all other pages.
    """
    count, size = pages.shape
    free, cells, rows = pages[:, 1:7].reshape(-1).view(">u2").reshape(-1, 3).T.astype(np.intp)
    headers = np.array([TREE_PAGES.get(kind, size) for kind in range(256)])[pages[:, 0]]
    tops = headers + 2 * cells
    plain = (free == 0) & (tops <= rows) & (rows <= size)
    plain[odd[slice(*np.searchsorted(odd, (first, first + count)))] - first] = False
    chosen = np.flatnonzero(plain)
    return chosen * size, np.stack([tops, rows])[:, chosen], np.flatnonzero(~plain)


def _unused(page: memoryview, start: int) -> list[memoryview]:
    """The parts of a page that are in no row, but for those that are zero."""
    length = TREE_PAGES.get(page[start])
    if length is None:  # of an overflow page the first byte is 0, below 64 gigabytes
        return [page]
    block, cells, rows = AREAS.unpack_from(page, start + 1)
    top, rows = start + length + 2 * cells, rows or 1 << 16
    if not top <= rows <= len(page):
        return [page]
    parts = [page[top:rows]]
    while block:
        after, count = PAIR.unpack_from(page, block) if block < len(page) - 3 else (block, 0)
        parts.append(page[block + 4 : block + count])
        if after and after <= block:
            return [page]
        block = after
    return [part for part in parts if not NOTHING.startswith(part)]


def _free_pages(file: BufferedReader, header: bytes, size: int) -> set[int]:
    """The numbers of pages that SQLite keeps for later; pages are counted from 1."""
    free: set[int] = set()
    trunk = int.from_bytes(header[32:36], "big")
    while trunk and trunk not in free:
        free.add(trunk)
        file.seek((trunk - 1) * size)
        page = file.read(size)
        trunk, count, *leaves = struct.unpack(f">{len(page) // 4}I", page) if page else (0, 0)
        free.update(leaves[:count])
    return free


def _marked(size: int, parts: Iterable[int]) -> NDArray[np.bool_]:
    marks = np.zeros(1 << MARKS, np.bool_)
    marks[_place(np.array(list(parts), f"<u{size}"))] = True
    return marks


def _place(groups: NDArray[Any]) -> NDArray[Any]:
    """A group's place among the marks; several may share one."""
    bits = 8 * groups.itemsize
    scattered = np.multiply(groups, groups.dtype.type(ODD % (1 << bits) | 1))
    place: NDArray[Any] = np.right_shift(scattered, groups.dtype.type(max(0, bits - MARKS)))
    return place
