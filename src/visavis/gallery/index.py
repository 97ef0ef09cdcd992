"""Templates in memory, and the search over them. An index is plaintext: it stays in memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.errors import MismatchError
from visavis.types import Embeddings

# A probe's embeddings (Q, D) to each person's similarity (Q, P): the seam for a faster index.
Index = Callable[[Embeddings], NDArray[np.float32]]


@dataclass(frozen=True, eq=False, slots=True)
class Templates:
    """Every template of one model, grouped by person."""

    people: tuple[str, ...]  # P ids, sorted
    starts: NDArray[np.intp]  # (P,) row at which each person's templates begin
    rows: Embeddings  # (N, D)


def group(people: list[str], rows: Embeddings) -> Templates:
    """Sort (N, D) rows by whom they belong to."""
    names, labels = np.unique(np.array(people, np.str_), return_inverse=True)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(names)))
    return Templates(tuple(str(name) for name in names), starts, rows[order])


def exact(templates: Templates) -> Index:
    """Compare with every template; a person is as close as the closest of theirs.

    The search raises MismatchError for probes of another length than the templates.
    The closest was chosen over the mean by measurement: docs/experiments.md, identification.
    """

    def search(probes: Embeddings) -> NDArray[np.float32]:
        if not len(templates.people):
            return np.empty((len(probes), 0), np.float32)
        if probes.shape[1] != templates.rows.shape[1]:
            raise MismatchError(
                f"probes of {probes.shape[1]} and templates of {templates.rows.shape[1]} numbers "
                "come from different models"
            )
        similarities = probes @ templates.rows.T  # (Q, N)
        return np.maximum.reduceat(similarities, templates.starts, axis=1)

    return search
