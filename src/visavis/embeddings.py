"""Faces of many photos to a file of embeddings that other tools read: .npz, .npy or .parquet."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from io import BytesIO, StringIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import SIZE
from visavis.batch import in_order
from visavis.embedder import refuse_cut
from visavis.errors import ImageError, OutputError, VisavisError
from visavis.faces import MAX_SIDE, find_faces
from visavis.files import write_whole
from visavis.image import read_image
from visavis.types import Detector, Embedder, Embeddings

Columns = dict[str, NDArray[Any]]
Work = Callable[[Path], "list[EmbeddedFace]"]


@dataclass(frozen=True, eq=False, slots=True)
class EmbeddedFace:
    """A face's embedding, and where the face is: a row of the table."""

    path: str
    box: NDArray[np.float32]  # (4,) in pixels of the photo
    score: float
    embedding: Embeddings  # (1, D)


def embed_photo(
    path: Path,
    detect: Detector | None,
    embed: Embedder,
    *,
    every: bool = False,
    max_side: int | None = MAX_SIDE,
) -> list[EmbeddedFace]:
    """The largest face of a photo, or `every` one; without `detect` the photo is a crop already.

    `max_side` as for `find_faces`. Raises NoFaceError, ImageError naming the photo; MismatchError
    for a crop where the embedder takes it with a margin.
    """
    if detect is None:
        return [_embed_crop(path, embed)]
    photo = find_faces(detect, path, max_faces=None if every else 1, max_side=max_side)
    photo.choose(1)  # raises where there is no face
    embeddings = embed(photo.crops(range(len(photo.faces)), detect, margin=embed.margin))
    return [
        EmbeddedFace(str(path), face.box, face.score, embeddings[row : row + 1])
        for row, face in enumerate(photo.faces)
    ]


def embed_all(
    paths: Sequence[Path],
    detect: Detector | None,
    embed: Embedder,
    *,
    every: bool = False,
    max_side: int | None = MAX_SIDE,
    workers: int = 1,
    through: Callable[[Work], Work] = lambda work: work,
) -> Iterator[tuple[Path, list[EmbeddedFace] | VisavisError]]:
    """`embed_photo` of many photos, in order; a photo's error stands in the place of its faces.

    `through` is `Unfinished.through`, where a call may be interrupted and goes on. Raises
    MismatchError as `embed_photo` does, before any photo.
    """
    if detect is None:
        _refuse_cut(embed)
    work = partial(embed_photo, detect=detect, embed=embed, every=every, max_side=max_side)
    return in_order(through(work), paths, workers=workers)


def _refuse_cut(embed: Embedder) -> None:
    refuse_cut(embed, mend="turn this off, and give the photos", option="aligned")


def _embed_crop(path: Path, embed: Embedder) -> EmbeddedFace:
    _refuse_cut(embed)
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
    """Write embeddings with path, box and score each; .npy holds the embeddings alone, and beside
    it are a CSV of the other columns (`rows_beside`) and the paths, one a line (`paths_beside`).

    Each file is whole or not there at all. Raises OutputError where it cannot be written.
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
    if path.suffix == ".npy":
        # The list first: embeddings whose photos nobody knows are worth nothing.
        write_whole(rows_beside(path), _listed(rows).encode(errors="backslashreplace"))
        write_whole(paths_beside(path), _lines(rows).encode(errors="backslashreplace"))
    write_whole(path, buffer.getvalue())


def rows_beside(path: Path) -> Path:
    """The CSV that says whose face each row of a .npy is."""
    return path.with_name(f"{path.stem}.rows.csv")


def paths_beside(path: Path) -> Path:
    """The text that says the path of each row of a .npy."""
    return path.with_name(f"{path.stem}.paths.txt")


def _listed(rows: Sequence[EmbeddedFace]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "left", "top", "right", "bottom", "score"))
    for row in rows:
        box = (round(float(value), 1) for value in row.box)
        writer.writerow((row.path, *box, round(row.score, 4)))
    return text.getvalue()


def _lines(rows: Sequence[EmbeddedFace]) -> str:
    """A path a line, as other tools read them: a line break in a name is written \\n."""
    return "".join("\\n".join(row.path.splitlines()) + "\n" for row in rows)


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
