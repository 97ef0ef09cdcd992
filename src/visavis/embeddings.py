"""Faces of many photos to a file of embeddings that other tools read: .npz, .npy or .parquet."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import SIZE
from visavis.errors import ImageError, OutputError
from visavis.files import write_whole
from visavis.image import read_image
from visavis.recognizer import find_faces
from visavis.types import Detector, Embedder, Embeddings

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """A face's embedding, and where it was found."""

    path: str
    box: NDArray[np.float32]  # (4,) in pixels of the photo
    score: float
    embedding: Embeddings  # (1, D)


def embed_photo(
    path: Path, detect: Detector | None, embed: Embedder, *, every: bool = False
) -> list[Row]:
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
        return [Row(str(path), np.array([0, 0, SIZE, SIZE], np.float32), 1.0, embed(crop[None]))]
    photo = find_faces(detect, path)
    photo.choose(1)  # raises where there is none
    wanted = range(len(photo.faces) if every else 1)
    embeddings = embed(np.concatenate([photo.crop(row) for row in wanted]))
    return [
        Row(str(path), photo.faces[row].box, photo.faces[row].score, embeddings[row : row + 1])
        for row in wanted
    ]


def write_table(path: Path, rows: Sequence[Row], embed: Embedder) -> None:
    """Write embeddings with path, box and score each; .npy holds the embeddings alone.

    The file is whole or not there at all. Raises OutputError where it cannot be written.
    """
    nothing = np.empty((0, embed.dim), np.float32)
    columns = {
        "paths": np.array([row.path for row in rows], np.str_),
        "boxes": np.array([row.box for row in rows], np.float32).reshape(-1, 4),
        "scores": np.array([row.score for row in rows], np.float32),
        "model": np.array(embed.model),
    }
    buffer = BytesIO()
    embeddings = np.concatenate([nothing, *(row.embedding for row in rows)])
    WRITERS[path.suffix](buffer, embeddings, columns)
    write_whole(path, buffer.getvalue())


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
    np.savez(file, embeddings=embeddings, **columns)  # type: ignore[arg-type]


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
