"""What one model did on one data set, in one file: what `evaluate --out` writes and `report`
reads.
"""

import io
import json
import zipfile
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import SIZE
from visavis.dataset import Pairs
from visavis.decision import Calibration
from visavis.document import parse
from visavis.errors import DatasetError
from visavis.evaluate.protocols import MEASURES
from visavis.files import write_whole
from visavis.metrics.verification import FAILED, Result
from visavis.types import Crops, Embeddings

FORMAT = 1
DOCUMENT = "run.json"


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
    labels: NDArray[np.intp]  # (N,) rows of `about.people`; -1 where it is not said
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


def save_run(path: Path, run: Run) -> None:
    """Write a run, whole or not at all."""
    arrays: dict[str, Any] = {field.name: getattr(run, field.name) for field in fields(run)}
    about = json.dumps(asdict(arrays.pop("about")), ensure_ascii=False).encode()
    arrays[DOCUMENT] = np.frombuffer(about, np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_whole(path, buffer.getvalue())


def load_run(path: Path) -> Run:
    """A run as `save_run` writes it. Raises DatasetError where it is no such file."""
    try:
        found = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        arrays = dict(found) if isinstance(found, np.lib.npyio.NpzFile) else {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path}: expected a result of visavis evaluate --out: {error}"
        ) from error
    wanted = {field.name for field in fields(Run)} - {"about"} | {DOCUMENT}
    if set(arrays) != wanted:
        raise DatasetError(f"{path}: expected {sorted(wanted)}, got {sorted(arrays)}")
    about = parse(About, arrays.pop(DOCUMENT).tobytes(), str(path), DatasetError)
    run = Run(about=about, **arrays)
    _check(run, str(path))
    return run


def _check(run: Run, source: str) -> None:
    """Raise DatasetError for arrays of another type or shape, or rows that are not there."""
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
