"""Every pair of a data set once: more impostors than any list names."""

import numpy as np
from numpy.typing import NDArray

from visavis.dataset import People
from visavis.errors import DatasetError
from visavis.evaluate.verification import Result, evaluate
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
        _, mated = all_similarities(embeddings, people.aliases()[people.labels])
        clear = same | ~mated
        similarity, same = similarity[clear], same[clear]
    return evaluate(similarity, same, folds=None, failures=failures, skipped=skipped)


def all_similarities(
    embeddings: Embeddings, labels: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
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
    same = np.empty(len(similarity), bool)
    end = 0
    for start in range(0, count, BLOCK):
        block = embeddings[start : start + BLOCK] @ embeddings[start:].T
        for place, row in enumerate(block):
            later = slice(end, end + len(row) - place - 1)
            similarity[later] = row[place + 1 :]
            np.equal(labels[start + place + 1 :], labels[start + place], out=same[later])
            end = later.stop
    return similarity, same
