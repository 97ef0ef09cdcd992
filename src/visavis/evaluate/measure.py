"""One embedder on one data set: embed, compare, time it, and keep what a report shows."""

import csv
import io
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import SIZE
from visavis.batch import Progress
from visavis.dataset import Pairs
from visavis.decision import Calibration
from visavis.evaluate.protocols import (
    CropSource,
    embed_pairs,
    similarities,
    verification,
)
from visavis.evaluate.run import About, Run
from visavis.metrics.verification import FAILED, worst_pairs
from visavis.types import Crops, Embedder, Embeddings

SHOWN = 12  # worst false matches, and as many worst false non-matches, that a report shows


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: any embedder, and what a report says of it."""

    name: str
    embed: Embedder
    settings: Mapping[str, str] = field(default_factory=dict)  # label to value
    calibration: Calibration | None = None
    bytes: int | None = None  # of the model's file


@dataclass(slots=True)
class _Timed:
    """An embedder that counts its crops and seconds. The first call warms up and is not counted."""

    embed: Embedder
    model: str
    dim: int
    crops: int = 0
    seconds: float = 0.0
    warm: bool = False

    def __call__(self, crops: Crops, /) -> Embeddings:
        started = time.perf_counter()
        embeddings = self.embed(crops)
        if self.warm:
            self.seconds += time.perf_counter() - started
            self.crops += len(crops)
        self.warm = True
        return embeddings


def measure(
    subject: Subject,
    source: CropSource,
    pairs: Pairs,
    *,
    skip_bad: bool = False,
    progress: Progress = iter,
) -> Run:
    """Run an embedder over a list of pairs.

    Raises ImageError, DatasetError and EmbeddingError naming the line of what is bad; with
    `skip_bad` such pairs are left out and counted.
    """
    timed = _Timed(subject.embed, subject.embed.model, subject.embed.dim)
    kept, embedded = embed_pairs(source, pairs, timed, skip_bad=skip_bad, progress=progress)
    similarity = similarities(kept, embedded)
    shown, (people, labels) = _shown(kept, similarity), _people(kept)
    about = About(
        name=subject.name,
        settings={"model": subject.embed.model, **subject.settings},
        result=verification(kept, embedded, similarity),
        names=list(kept.names),
        people=people,
        bytes=subject.bytes,
        milliseconds=1000 * timed.seconds / timed.crops if timed.crops else None,
        calibration=subject.calibration,
    )
    return Run(
        about=about,
        embeddings=embedded.embeddings,
        acquired=embedded.acquired,
        labels=labels,
        measures=embedded.measures,
        left=kept.left,
        right=kept.right,
        same=kept.same,
        fold=kept.fold,
        similarity=similarity,
        shown=shown,
        crops=np.concatenate(
            [np.empty((0, SIZE, SIZE, 3), np.uint8)]
            + [source.crop(kept.names[row])[0] for row in shown]
        ),
    )


def scores_csv(run: Run) -> bytes:
    """A line for each pair: reference, probe, mated (1 or 0), similarity; empty where a picture has
    no face.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("reference", "probe", "mated", "similarity"))
    names = run.about.names
    for left, right, same, value in zip(run.left, run.right, run.same, run.similarity, strict=True):
        shown = "" if value == FAILED else f"{value:.6f}"
        writer.writerow((names[left], names[right], int(same), shown))
    return text.getvalue().encode()


def _shown(pairs: Pairs, similarity: NDArray[np.float64]) -> NDArray[np.intp]:
    """The pictures of the worst errors on either side, each once."""
    chosen = np.concatenate(worst_pairs(similarity, pairs.same, most=SHOWN))
    return np.unique(np.concatenate([pairs.left[chosen], pairs.right[chosen]]))


def _people(pairs: Pairs) -> tuple[list[str], NDArray[np.intp]]:
    """Names of people, each the folder of the first picture; and (N,) whose each picture is."""
    if pairs.labels is None:
        return [], np.full(len(pairs.names), -1)
    _, first, labels = np.unique(pairs.labels, return_index=True, return_inverse=True)
    folders = [PurePosixPath(pairs.names[row]).parent.name for row in first]
    names = [folder or pairs.names[row] for folder, row in zip(folders, first, strict=True)]
    return names, labels
