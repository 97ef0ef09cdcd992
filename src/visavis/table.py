"""Faces of many photos to a file of embeddings that other tools read: .npz, .npy or .parquet."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from visavis.align import SIZE
from visavis.embed import BATCH
from visavis.errors import ImageError, OutputError
from visavis.files import write_whole
from visavis.image import read_image
from visavis.recognizer import find_faces
from visavis.types import Crops, Detector, Embedder, Embeddings

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One face to embed, and where it was found."""

    path: str
    box: NDArray[np.float32]  # (4,) in pixels of the photo
    score: float
    crop: Crops  # (1, 112, 112, 3)


def photo_rows(path: Path, detect: Detector | None, *, every: bool = False) -> list[Row]:
    """The largest face of a photo, or `every` one; without `detect` the photo is a crop already.

    Raises NoFaceError, ImageError naming the photo.
    """
    if detect is None:
        crop = read_image(path)
        if crop.shape != (SIZE, SIZE, 3):
            raise ImageError(
                f"{path}: expected a {SIZE}x{SIZE} crop, got {crop.shape[1]}x{crop.shape[0]}; "
                "without --aligned it is found and aligned"
            )
        return [Row(str(path), np.array([0, 0, SIZE, SIZE], np.float32), 1.0, crop[None])]
    photo = find_faces(detect, path)
    photo.choose(1)  # raises where there is none
    wanted = range(len(photo.faces) if every else 1)
    return [
        Row(str(path), photo.faces[row].box, photo.faces[row].score, photo.crop(row))
        for row in wanted
    ]


class EmbeddingTable:
    """Rows in, embedded a batch at a time; a file out."""

    def __init__(self, embed: Embedder) -> None:
        self.embed = embed
        self._rows: list[tuple[str, NDArray[np.float32], float]] = []
        self._waiting: list[Crops] = []
        self._embeddings: list[Embeddings] = [np.empty((0, embed.dim), np.float32)]

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows; embed when a batch is full."""
        for row in rows:
            self._rows.append((row.path, row.box, row.score))
            self._waiting.append(row.crop)
        if len(self._waiting) >= BATCH:
            self._flush()

    def write(self, path: Path) -> int:
        """Write all rows: the number of them. Raises OutputError where that is not possible."""
        self._flush()
        embeddings = np.concatenate(self._embeddings)
        paths, boxes, scores = zip(*self._rows, strict=True) if self._rows else ((), (), ())
        columns = {
            "paths": np.array(paths, np.str_),
            "boxes": np.array(boxes, np.float32).reshape(-1, 4),
            "scores": np.array(scores, np.float32),
            "model": np.array(self.embed.model),
        }
        buffer = BytesIO()
        WRITERS[path.suffix](buffer, embeddings, columns)
        write_whole(path, buffer.getvalue())
        return len(embeddings)

    def _flush(self) -> None:
        if self._waiting:
            self._embeddings.append(self.embed(np.concatenate(self._waiting)))
            self._waiting.clear()


def check_writable(path: Path) -> None:
    """Raise OutputError, before any work is done, where no table could be written."""
    if path.suffix not in WRITERS:
        raise OutputError(f"{path}: expected a name in {', '.join(WRITERS)}")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise OutputError(
            f"{path}: Parquet needs a package that is missing: pip install '.[parquet]'"
        )
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path}: no such folder: {path.absolute().parent}")


def _write_npy(file: IO[bytes], embeddings: Embeddings, columns: Columns) -> None:
    np.save(file, embeddings, allow_pickle=False)


def _write_npz(file: IO[bytes], embeddings: Embeddings, columns: Columns) -> None:
    np.savez(file, allow_pickle=False, embeddings=embeddings, **columns)


def _write_parquet(file: IO[bytes], embeddings: Embeddings, columns: Columns) -> None:
    import pyarrow
    import pyarrow.parquet

    lists = {
        name: pyarrow.FixedSizeListArray.from_arrays(rows.ravel(), rows.shape[1])
        for name, rows in (("embedding", embeddings), ("box", columns["boxes"]))
    }
    table = pyarrow.table(
        {"path": columns["paths"].tolist(), "score": columns["scores"], **lists},
        metadata={"model": str(columns["model"])},
    )
    pyarrow.parquet.write_table(table, file)


WRITERS = {".npz": _write_npz, ".npy": _write_npy, ".parquet": _write_parquet}
