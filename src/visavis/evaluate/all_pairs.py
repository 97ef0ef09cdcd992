"""Packs on every pair of a folder of people: more impostors than any list names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.batch import Progress
from visavis.dataset import People, Tree, apply_exclusions, find_people, open_tree
from visavis.errors import DatasetError
from visavis.evaluate.pairs import calibrated_threshold
from visavis.evaluate.protocols import CropSource, embed_people
from visavis.evaluate.run import Subject
from visavis.evaluate.subjects import Packs, load_subjects
from visavis.metrics.acceptance import Acceptance, Required, accept_curve
from visavis.metrics.calibrate import error_curve
from visavis.metrics.verification import Flags, Result, evaluate
from visavis.types import Embeddings

BLOCK = 512  # rows of the all-pairs matrix at a time


@dataclass(frozen=True, slots=True)
class PeopleData:
    """A folder of pictures for each person."""

    images: Path  # a folder or a zip
    exclude: Path | None = None  # a CSV of known label errors
    skip_bad: bool = False  # leave out bad pictures, and count them


@dataclass(frozen=True, slots=True)
class PeopleResult:
    """One pack on all pairs of a folder of people."""

    name: str
    model: str
    people: int  # of whom a face was found
    pictures: int  # in which a face was found
    result: Result
    acceptance: Acceptance | None  # None: nothing was required

    @property
    def accepted(self) -> bool:
        """Whether the pack is shown to meet what is required, if anything is."""
        return self.acceptance is None or self.acceptance.answer == "yes"


def evaluate_people(
    data: PeopleData,
    packs: Packs,
    *,
    required: Required | None = None,
    progress: Progress = iter,
) -> list[PeopleResult]:
    """Measure packs on every pair of a folder of people; a result for each pack.

    Raises DatasetError, ImageError and EmbeddingError for bad data, CalibrationError where the
    pack's calibration or the data cannot show what is required.
    """
    subjects = load_subjects(packs)
    tree = open_tree(data.images)
    people = find_people(tree)
    if data.exclude is not None:
        people = apply_exclusions(people, data.exclude)
    return [
        _measure_everyone(subject, tree, people, required, data.skip_bad, progress)
        for subject in subjects
    ]


def _measure_everyone(
    subject: Subject,
    tree: Tree,
    people: People,
    required: Required | None,
    skip_bad: bool,
    progress: Progress,
) -> PeopleResult:
    source = CropSource(tree, subject.detect)
    kept, embedded = embed_people(
        source, people, subject.embed, skip_bad=skip_bad, progress=progress
    )
    embeddings = embedded.embeddings[embedded.acquired]
    result = evaluate_everyone(
        embeddings, kept, failures=embedded.failures, skipped=len(embedded.bad)
    )
    acceptance = None
    if required is not None:
        threshold = calibrated_threshold(subject.calibration, required)
        acceptance = accept_curve(error_curve(embeddings, kept), required, threshold=threshold)
    counts = (len(kept.names), len(kept.pictures))
    return PeopleResult(subject.name, subject.embed.model, *counts, result, acceptance)


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
