"""The search for the closest people, in memory. An index is plaintext: it is never saved.

Knows nothing of databases or of encryption.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import RLock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visavis.errors import MismatchError
from visavis.types import Embeddings

ROOM = 1024  # templates an index grows by, at least
OUT = np.float32(-2)  # less than any cosine: whoever has it is never the closest


class Index(Protocol):
    """Who is closest to a probe, of the people whose templates were added. Safe from several
    threads.
    """

    def __len__(self) -> int:
        """How many templates there are."""

    def nearest(self, probes: Embeddings, people: int = 2) -> list[list[tuple[str, float]]]:
        """For each probe (Q, D), so many people with their similarity, the closest first.

        A person is as close as the closest of their templates; of equally close people the first
        by id comes first. Raises MismatchError for probes of another length than the templates.
        """

    def add(self, person: str, sample: str, rows: Embeddings) -> None:
        """Add a photo's templates (N, D). Raises MismatchError for rows of another length."""

    def remove(self, person: str, sample: str | None = None) -> None:
        """Remove a photo's templates, or all of a person's; nothing where there are none."""

    def changing(self) -> AbstractContextManager[object]:
        """Searches in other threads see all that is added and removed in this block, or nothing."""


@dataclass(frozen=True, eq=False, slots=True)
class Templates:
    """Every template of one model, grouped by person: a copy that no longer changes."""

    people: tuple[str, ...]  # P ids, sorted
    starts: NDArray[np.intp]  # (P,) row at which each person's templates begin
    rows: Embeddings  # (N, D)


def group_templates(people: Sequence[str], rows: Embeddings) -> Templates:
    """Sort (N, D) rows by whom they belong to."""
    names, labels = np.unique(np.array(people, np.str_), return_inverse=True)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(names)))
    return Templates(tuple(str(name) for name in names), starts, rows[order])


class ExactIndex:
    """Compares with every template, in numpy.

    The closest template was chosen over the mean by measurement: docs/experiments.md,
    identification. Arrays are replaced when rows are removed, and only filled behind their end when
    rows are added: a search computes on the arrays that it began with, without holding the lock.
    """

    def __init__(
        self,
        people: Sequence[str] = (),
        samples: Sequence[str] = (),
        rows: Embeddings | None = None,
    ) -> None:
        """An index of (N, D) rows, each with its person and its sample; `rows` are not copied."""
        self._lock = RLock()
        self._rows = np.empty((0, 0), np.float32) if rows is None else rows
        self._ids: list[str] = []
        self._codes: dict[str, int] = {}
        self._owners = np.array([self._code(person) for person in people], np.int32)
        self._samples = list(samples)
        self._count = len(people)
        # The rows that stay; None while none has to go.
        self._kept: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """How many templates there are."""
        with self._lock:
            self._settle()
            return self._count

    def changing(self) -> AbstractContextManager[object]:
        """Searches in other threads see all that is added and removed in this block, or nothing."""
        return self._lock

    def nearest(self, probes: Embeddings, people: int = 2) -> list[list[tuple[str, float]]]:
        """For each probe (Q, D), so many people with their similarity, the closest first."""
        with self._lock:
            self._settle()
            rows, owners, ids = self._rows[: self._count], self._owners[: self._count], self._ids
        if not len(rows):
            return [[] for _ in probes]
        if probes.shape[1] != rows.shape[1]:
            raise mismatch_of("probes", probes.shape[1], rows.shape[1])
        similarities = probes @ rows.T  # (Q, N)
        return [closest_people(similar, owners, ids, people) for similar in similarities]

    def add(self, person: str, sample: str, rows: Embeddings) -> None:
        """Add a photo's templates (N, D). Raises MismatchError for rows of another length."""
        with self._lock:
            self._settle()
            if not self._count:
                self._rows = np.empty((0, rows.shape[1]), np.float32)
                self._owners = np.empty(0, np.int32)
            elif rows.shape[1] != self._rows.shape[1]:
                raise mismatch_of("new templates", rows.shape[1], self._rows.shape[1])
            end = self._count + len(rows)
            if end > len(self._rows):
                self._grow(end)
            self._rows[self._count : end] = rows
            self._owners[self._count : end] = self._code(person)
            self._samples += [sample] * len(rows)
            self._count = end

    def remove(self, person: str, sample: str | None = None) -> None:
        """Remove a photo's templates, or all of a person's; nothing where there are none."""
        with self._lock:
            if person not in self._codes:
                return
            # The rows go together, before the next search: each removal alone would copy them all.
            if self._kept is None:
                self._kept = np.ones(self._count, np.bool_)
            rows = np.flatnonzero(self._owners[: self._count] == self._codes[person])
            going = [row for row in rows if sample in (None, self._samples[row])]
            self._kept[going] = False

    def _code(self, person: str) -> int:
        """The number that stands for a person in the array of owners."""
        code = self._codes.get(person)
        if code is None:
            code = self._codes[person] = len(self._ids)
            self._ids.append(person)
        return code

    def _grow(self, least: int) -> None:
        """Take twice the room, so that adding stays cheap."""
        room = max(least, 2 * self._count, ROOM)
        rows = np.empty((room, self._rows.shape[1]), np.float32)
        owners = np.empty(room, np.int32)
        rows[: self._count] = self._rows[: self._count]
        owners[: self._count] = self._owners[: self._count]
        self._rows, self._owners = rows, owners

    def _settle(self) -> None:
        """Drop the rows that `remove` marked."""
        kept, self._kept = self._kept, None
        if kept is None or kept.all():
            return
        self._rows = self._rows[: self._count][kept]
        self._owners = self._owners[: self._count][kept]
        self._samples = [self._samples[row] for row in np.flatnonzero(kept)]
        self._count = len(self._owners)


def closest_people(
    similar: NDArray[np.float32], owners: NDArray[np.int32], ids: list[str], people: int
) -> list[tuple[str, float]]:
    """The closest people by their similarities (N,), which are overwritten."""
    closest: list[tuple[str, float]] = []
    while len(closest) < people:
        best = similar.max()
        if not best > OUT:  # nobody is left, or the probe holds a NaN
            break
        alike = np.unique(owners[similar == best])
        code = min(alike, key=lambda code: ids[code]) if len(alike) > 1 else alike[0]
        closest.append((ids[code], float(best)))
        similar[owners == code] = OUT
    return closest


def mismatch_of(what: str, got: int, expected: int) -> MismatchError:
    """The error for rows of another length than the templates have."""
    return MismatchError(
        f"{what} of {got} and templates of {expected} numbers come from different models"
    )
