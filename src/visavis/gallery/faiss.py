"""The search among hundreds of thousands and more: short codes to look through, then the rows.

FAISS holds what is looked through: a product quantiser of 4 bits for every 4 numbers. The rows of
the shortlist are compared in 8 bits a number, which moves the similarity of rows of 128 numbers and
more by about 0.001. Plaintext as every index: it is never saved.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from threading import RLock

import faiss
import numpy as np
from numpy.typing import NDArray

from visavis.gallery.index import closest_people, mismatch_of
from visavis.types import Embeddings

# How many templates a part of the index compares with a probe. Of 1,000,000 random templates of 512
# numbers, the mate at a cosine of 0.3 was among the 256 in 500 of 500.
SHORTLIST = 256
NUMBERS_A_CODE = 4  # numbers that one code of 4 bits stands for
TRAINED_ON = 4096  # templates; more make the codes no better
LEAST_TRAINED_ON = 39 * 2**4  # FAISS warns of fewer
MOST = 127  # of a number in 8 bits
ROOM = 4096  # templates a part grows by, at least
BLOCK = 65_536  # templates moved at a time when others are removed
ROUNDED = 256  # templates brought to 8 bits at a time: as many as stay in a core's cache


class FaissIndex:
    """Looks through short codes of every template, and compares with those that may be closest.

    It is in as many parts as there are processor cores, which are searched side by side.
    """

    def __init__(self, sample_of_rows: Embeddings, room: int = 0) -> None:
        """An index without templates; its codes are made for rows such as these (N, D).

        `room` is how many templates are to come, where that is known: it saves memory.
        """
        self._lock = RLock()
        self._blocks = 0
        self._ids: list[str] = []
        self._codes: dict[str, int] = {}
        self._leaving: set[int] = set()  # people whose rows are still to be removed
        workers = faiss.omp_get_max_threads()
        # Each part is one core's: FAISS would start threads of its own in each.
        self._pool = ThreadPoolExecutor(workers, "faiss", faiss.omp_set_num_threads, (1,))
        trained = self._pool.submit(_trained, sample_of_rows).result()
        each = -(-room // workers) + ROOM if room else 0
        self._parts = [_Part(faiss.clone_index(trained), self._ids, each) for _ in range(workers)]

    def __len__(self) -> int:
        """How many templates there are."""
        with self._lock:
            self._settle()
            return sum(part.count - part.going for part in self._parts)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Searches in other threads see all that is added and removed in this block, or nothing.

        What was removed is in no array any more when the block ends.
        """
        with self._lock:
            self._blocks += 1
            try:
                yield
            finally:
                self._blocks -= 1
                if not self._blocks:
                    self._settle()
                    list(self._pool.map(_Part.compact, self._parts))

    def nearest(self, probes: Embeddings, people: int = 2) -> list[list[tuple[str, float]]]:
        """For each probe (Q, D), so many people with their similarity, the closest first."""
        with self._lock:
            if not len(self):  # which settles what was removed
                return [[] for _ in probes]
            dim = self._parts[0].rows.shape[1]
            if probes.shape[1] != dim:
                raise mismatch_of("probes", probes.shape[1], dim)
            rows = np.ascontiguousarray(probes, np.float32)
            near = self._pool.map(lambda part: part.nearest(rows, people), self._parts)
            return [_merged(parts, people) for parts in zip(*near, strict=True)]

    def add(self, person: str, sample: str, rows: Embeddings) -> None:
        """Add a photo's templates (N, D). Raises MismatchError for rows of another length."""
        self.extend([person] * len(rows), [sample] * len(rows), rows)

    def extend(self, people: Sequence[str], samples: Sequence[str], rows: Embeddings) -> None:
        """Add templates (N, D), each with its person and its photo. Raises MismatchError."""
        dim = self._parts[0].rows.shape[1]
        if rows.shape[1] != dim:
            raise mismatch_of("new templates", rows.shape[1], dim)
        photos = np.fromiter(map(hash, samples), np.int64, len(samples))
        with self._lock:
            self._settle()
            owners = np.array([self._code(person) for person in people], np.int32)
            ends = np.linspace(0, len(rows), len(self._parts) + 1).astype(int).tolist()
            shares = [slice(*pair) for pair in pairwise(ends)]
            smallest = sorted(self._parts, key=lambda part: part.count)
            list(
                self._pool.map(
                    lambda part, own: part.extend(owners[own], photos[own], rows[own]),
                    smallest,
                    shares,
                )
            )

    def remove(self, person: str, sample: str | None = None) -> None:
        """Remove a photo's templates, or all of a person's; nothing where there are none."""
        code = self._codes.get(person)
        if code is not None:
            with self.changing():
                if sample is None:
                    self._leaving.add(code)
                else:
                    for part in self._parts:
                        part.remove([code], hash(sample))

    def _settle(self) -> None:
        """Remove the rows of all who leave, in one pass."""
        leaving = sorted(self._leaving)
        self._leaving.clear()
        for part in self._parts if leaving else ():
            part.remove(leaving)

    def _code(self, person: str) -> int:
        """The number that stands for a person in the arrays of owners."""
        code = self._codes.get(person)
        if code is None:
            code = self._codes[person] = len(self._ids)
            self._ids.append(person)
        return code


class _Part:
    """Some of the templates: codes, rows in 8 bits, and whose they are; one thread at a time."""

    def __init__(self, codes: faiss.Index, ids: list[str], room: int) -> None:
        self.codes = codes
        self.ids = ids  # of people; owners are places in it
        self.count = 0
        self.going = 0  # rows that are removed, and not yet gone
        self.rows = np.empty((room, codes.d), np.int8)
        self.scales = np.empty(room, np.float32)  # 0 for a row that is removed
        self.owners = np.empty(room, np.int32)
        self.photos = np.empty(room, np.int64)

    def nearest(self, probes: Embeddings, people: int) -> list[list[tuple[str, float]]]:
        """For each probe the closest people of this part."""
        shortlist = min(SHORTLIST + self.going, self.count)
        if not shortlist:
            return [[] for _ in probes]
        _, candidates = self.codes.search(probes, shortlist)
        return [
            self._nearest(probe, rows[rows >= 0], people)
            for probe, rows in zip(probes, candidates, strict=True)
        ]

    def extend(
        self, owners: NDArray[np.int32], photos: NDArray[np.int64], rows: Embeddings
    ) -> None:
        """Add templates behind the others."""
        if not len(rows):  # FAISS divides by their number
            return
        end = self.count + len(rows)
        if end > len(self.rows):
            self._resize(end + end // 8 + ROOM)
        for start in range(0, len(rows), ROUNDED):
            some = rows[start : start + ROUNDED]
            scales = np.abs(some).max(axis=1, initial=0) / np.float32(MOST)
            here = slice(self.count + start, self.count + start + len(some))
            self.rows[here] = np.rint(some / scales[:, None])
            self.scales[here] = scales
        self.owners[self.count : end] = owners
        self.photos[self.count : end] = photos
        self.codes.add(rows)
        self.count = end

    def remove(self, owners: list[int], photo: int | None = None) -> None:
        """Take people's rows, or those of one photo, out of what is searched."""
        mine = np.isin(self.owners[: self.count], owners)
        if photo is not None:
            mine &= self.photos[: self.count] == photo
        mine &= self.scales[: self.count] > 0
        self.scales[: self.count][mine] = 0
        self.rows[: self.count][mine] = 0
        self.going += int(mine.sum())

    def compact(self) -> None:
        """Drop what is removed from every array; the others keep their order."""
        if not self.going:
            return
        kept = self.scales[: self.count] > 0
        self.codes.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(~kept)))
        for array in (self.rows, self.scales, self.owners, self.photos):
            _move_up(array[: self.count], kept)
        self.count, self.going = int(kept.sum()), 0

    def _nearest(
        self, probe: NDArray[np.float32], rows: NDArray[np.int64], people: int
    ) -> list[tuple[str, float]]:
        """The closest people of these rows; of all rows, where these belong to too few people."""
        rows = rows[self.scales[rows] > 0]
        closest = self._compare(probe, rows, people)
        if len(closest) < people and len(rows) < self.count - self.going:
            return self._compare(probe, np.flatnonzero(self.scales[: self.count] > 0), people)
        return closest

    def _compare(
        self, probe: NDArray[np.float32], rows: NDArray[np.int64], people: int
    ) -> list[tuple[str, float]]:
        similar = np.empty(len(rows), np.float32)
        for start in range(0, len(rows), BLOCK):
            block = slice(start, start + BLOCK)
            similar[block] = self.rows[rows[block]].astype(np.float32) @ probe
        similar *= self.scales[rows]
        return closest_people(similar, self.owners[rows], self.ids, people) if len(rows) else []

    def _resize(self, room: int) -> None:
        """Take room for so many rows, in place: nobody else holds these arrays."""
        for array in (self.rows, self.scales, self.owners, self.photos):
            array.resize((room, *array.shape[1:]), refcheck=False)


def _merged(parts: Sequence[list[tuple[str, float]]], people: int) -> list[tuple[str, float]]:
    """The closest people of all parts: a person may have templates in several."""
    similarities: dict[str, float] = {}
    for person, similarity in (one for part in parts for one in part):
        similarities[person] = max(similarity, similarities.get(person, similarity))
    return sorted(similarities.items(), key=lambda one: (-one[1], one[0]))[:people]


def _trained(rows: Embeddings) -> faiss.Index:
    """Codes made for such rows, of which there are none yet."""
    dim = rows.shape[1]
    codes = faiss.IndexPQFastScan(dim, dim // NUMBERS_A_CODE, 4, faiss.METRIC_INNER_PRODUCT)
    step = -(-len(rows) // TRAINED_ON)
    enough = max(LEAST_TRAINED_ON, -(-len(rows) // step))
    codes.train(np.resize(rows[::step], (enough, dim)))  # repeated, where there are too few
    return codes


def _move_up(array: NDArray[np.generic], kept: NDArray[np.bool_]) -> None:
    """Move the kept rows to the front, block by block; what is behind them is zero then."""
    end = 0
    for start in range(0, len(array), BLOCK):
        block = array[start : start + BLOCK][kept[start : start + BLOCK]]
        array[end : end + len(block)] = block
        end += len(block)
    array[end:] = 0
