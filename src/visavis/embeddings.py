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
from visavis.faces import find_faces
from visavis.files import write_whole
from visavis.image import read_image
from visavis.types import Detector, Embedder, Embeddings

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class EmbeddedFace:
    """A face's embedding, and where the face is: a row of the table."""

    path: str
    box: NDArray[np.float32]  # (4,) in pixels of the photo
    score: float
    embedding: Embeddings  # (1, D)


def embed_photo(
    path: Path, detect: Detector | None, embed: Embedder, *, every: bool = False
) -> list[EmbeddedFace]:
    """The largest face of a photo, or `every` one; without `detect` the photo is a crop already.

    Raises NoFaceError, ImageError naming the photo.
    """
    if detect is None:
        return [_embed_crop(path, embed)]
    photo = find_faces(detect, path, max_faces=None if every else 1)
    photo.choose(1)  # raises where there is no face
    embeddings = embed(photo.crops(range(len(photo.faces)), detect))
    return [
        EmbeddedFace(str(path), face.box, face.score, embeddings[row : row + 1])
        for row, face in enumerate(photo.faces)
    ]


def _embed_crop(path: Path, embed: Embedder) -> EmbeddedFace:
    crop = read_image(path)
    if crop.shape != (SIZE, SIZE, 3):
        raise ImageError(
            f"{path}: expected a {SIZE}x{SIZE} crop, got {crop.shape[1]}x{crop.shape[0]}",
            mend="turn this off for a photo: its faces are found and aligned first",
            option="aligned",
        )
    whole = np.array([0, 0, SIZE, SIZE], np.float32)
    return EmbeddedFace(str(path), whole, 1.0, embed(crop[None]))


def write_table(path: Path, rows: Sequence[EmbeddedFace], embed: Embedder) -> None:
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
    """Raise OutputError where no table could be written, before any work is done."""
    if path.suffix not in WRITERS:
        raise OutputError(f"{path}: expected a name in {', '.join(WRITERS)}")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise OutputError(
            f"{path}: Parquet needs a package that is missing", mend="pip install '.[parquet]'"
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
