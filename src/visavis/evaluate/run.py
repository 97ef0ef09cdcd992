"""One model on one data set, measured, and kept in one file that `visavis report` reads."""

import csv
import io
import json
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import SIZE
from visavis.batch import Progress
from visavis.dataset import Pairs
from visavis.dataset.embedded import EmbeddedTree
from visavis.decision import Calibration
from visavis.document import parse
from visavis.errors import DatasetError
from visavis.evaluate.protocols import (
    MEASURES,
    CropSource,
    embed_pairs,
    similarities,
    verification,
)
from visavis.files import write_whole
from visavis.metrics.verification import FAILED, Result, worst_pairs
from visavis.types import Crops, Detector, Embedder, Embeddings, Part

DOCUMENT = "run.json"
SHOWN = 12  # worst false matches, and as many worst false non-matches, that a report shows


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: any embedder, and what a report says of it."""

    name: str
    embed: Embedder
    settings: Mapping[str, str] = field(default_factory=dict)  # label to value
    calibration: Calibration | None = None
    bytes: int | None = None  # of the model's file
    detect: Detector | None = None  # finds the faces; None: the pictures are crops


@dataclass(frozen=True, slots=True)
class About:
    """The part of a run that is words and numbers."""

    name: str  # what a report calls it
    settings: dict[str, str]  # pack, model, data set, precision ...: label to value
    result: Result
    names: list[str]  # (N,) pictures
    people: list[str]  # names of people
    bytes: int | None = None  # of the model's file
    milliseconds: float | None = None  # to embed a face
    calibration: Calibration | None = None  # the pack's
    history: dict[str, list[float]] = field(default_factory=dict)  # of a training run, by step


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """One model on one data set: all that a report is drawn from."""

    about: About
    embeddings: Embeddings  # (N, D), zeros where no face was found
    acquired: NDArray[np.bool_]  # (N,)
    labels: NDArray[np.intp]  # (N,) rows of `about.people`; -1 where unknown
    measures: NDArray[np.float32]  # (N, 5), columns as MEASURES, NaN where no face was found
    left: NDArray[np.intp]  # (P,) rows of `about.names`
    right: NDArray[np.intp]  # (P,)
    same: NDArray[np.bool_]  # (P,)
    fold: NDArray[np.intp]  # (P,)
    similarity: NDArray[np.float64]  # (P,), FAILED where a picture has no face
    shown: NDArray[np.intp]  # (K,) pictures of the worst errors
    crops: Crops  # (K, 112, 112, 3) and their crops

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(P,) whether both pictures of a pair have a face."""
        return np.asarray(self.similarity > FAILED)

    @property
    def pairs(self) -> Pairs:
        """Its pairs as a list; their lines are their numbers."""
        return Pairs(
            names=tuple(self.about.names),
            left=self.left,
            right=self.right,
            same=self.same,
            fold=self.fold,
            lines=np.arange(1, len(self.same) + 1),
            source=self.about.name,
            labels=None if (self.labels < 0).any() else self.labels,
        )


@dataclass(slots=True)
class _Timed:
    """An embedder that counts its crops and seconds. The first call warms up and is not counted."""

    embed: Embedder
    model: str
    dim: int
    crops: int = 0
    seconds: float = 0.0
    warm: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        """The embedder's own."""
        return self.embed.parts

    @property
    def margin(self) -> float:
        """The embedder's own."""
        return self.embed.margin

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
    pictured = not isinstance(source.tree, EmbeddedTree)
    shown = _shown(kept, similarity) if pictured else np.empty(0, np.intp)
    people, labels = _people(kept)
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
        crops=_crops(source, [kept.names[row] for row in shown]),
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


def save_run(path: Path, run: Run) -> None:
    """Write a run, whole or not at all."""
    arrays: dict[str, Any] = {field.name: getattr(run, field.name) for field in fields(run)}
    about = json.dumps(asdict(arrays.pop("about")), ensure_ascii=False).encode()
    arrays[DOCUMENT] = np.frombuffer(about, np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(path, buffer.getvalue())


def load_run(path: Path) -> Run:
    """Read a run that `save_run` wrote. Raises DatasetError for any other file."""
    try:
        loaded = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        arrays = dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: expected a result that visavis evaluate wrote: {error}"
        ) from error
    wanted = {field.name for field in fields(Run)} - {"about"} | {DOCUMENT}
    if set(arrays) != wanted:
        raise DatasetError(f"{path}: expected {sorted(wanted)}, got {sorted(arrays)}")
    about = parse(About, arrays.pop(DOCUMENT).tobytes(), str(path), DatasetError)
    run = Run(about=about, **arrays)
    _check(run, str(path))
    return run


def _crops(source: CropSource, names: Sequence[str]) -> Crops:
    return np.concatenate(
        [np.empty((0, SIZE, SIZE, 3), np.uint8), *(source.crop(name)[0] for name in names)]
    )


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


def _check(run: Run, source: str) -> None:
    """Raise DatasetError for arrays of another type or shape, or row numbers out of range."""
    pictures, pairs, people = len(run.about.names), len(run.same), len(run.about.people)
    rows = {"left": pictures, "right": pictures, "shown": pictures, "fold": pairs, "labels": people}
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        "embeddings": ("f", (pictures, run.embeddings.size // max(1, pictures))),
        "acquired": ("b", (pictures,)),
        "labels": ("i", (pictures,)),
        "measures": ("f", (pictures, len(MEASURES))),
        **dict.fromkeys(("left", "right", "fold"), ("i", (pairs,))),
        "same": ("b", (pairs,)),
        "similarity": ("f", (pairs,)),
        "shown": ("i", run.shown.shape[:1]),
        "crops": ("u", (*run.shown.shape[:1], SIZE, SIZE, 3)),
    }
    for name, (kind, shape) in wanted.items():
        array = getattr(run, name)
        if array.shape != shape or array.dtype.kind != kind:
            raise DatasetError(
                f"{source}: {name}: expected {shape} of kind {kind!r}, got {array.shape} "
                f"{array.dtype}"
            )
    for name, most in rows.items():
        array, least = getattr(run, name), -1 if name == "labels" else 0
        if len(array) and not (array.min() >= least and array.max() < most):
            raise DatasetError(f"{source}: {name}: expected rows below {most}")
