"""Every pair of a data set once: more impostors than any list names."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import People
from visavis.errors import DatasetError
from visavis.metrics.verification import Flags, Result, evaluate
from visavis.types import Embeddings

BLOCK = 512  # rows of the all-pairs matrix at a time


def evaluate_everyone(
    embeddings: Embeddings, people: People, *, failures: int = 0, skipped: int = 0
) -> Result:
    """Figures of all pairs of (N, D) embeddings of N pictures. Two names of one person make neither
    a same nor a different pair.
    """
    similarity, same = all_similarities(embeddings, people.labels)
    if people.one_person:
        clear = same | ~_same(people.aliases()[people.labels])
        similarity, same = similarity[clear], same[clear]
    return evaluate(similarity, same, folds=None, failures=failures, skipped=skipped)


def all_similarities(
    embeddings: Embeddings, labels: NDArray[np.intp]
) -> tuple[NDArray[np.float32], Flags]:
    """Cosines of all N (N - 1) / 2 pairs of (N, D) embeddings, and whether each is of one person.

    In the order (0, 1), (0, 2), ... (1, 2), ...: 5 bytes a pair. Leave rows without a face out.
    Raises DatasetError for other lengths, and for fewer than two embeddings.
    """
    count = len(labels)
    if embeddings.ndim != 2 or len(embeddings) != count or count < 2:
        raise DatasetError(
            f"expected 2 embeddings or more and a label of each, got {embeddings.shape}, "
            f"{labels.shape}"
        )
    similarity = np.empty(count * (count - 1) // 2, np.float32)
    for row, later in enumerate(_later(count)):
        place = row % BLOCK
        if place == 0:
            block = embeddings[row : row + BLOCK] @ embeddings[row:].T
        similarity[later] = block[place, place + 1 :]
    return similarity, _same(labels)


def _same(labels: NDArray[np.intp]) -> Flags:
    """Whether each of all pairs is of one label."""
    same = np.empty(len(labels) * (len(labels) - 1) // 2, bool)
    for row, later in enumerate(_later(len(labels))):
        np.equal(labels[row + 1 :], labels[row], out=same[later])
    return same


def _later(count: int) -> Iterator[slice]:
    """Of each row, where its pairs with later rows stand among all pairs."""
    end = 0
    for later in range(count - 1, -1, -1):
        yield slice(end, end + later)
        end += later
