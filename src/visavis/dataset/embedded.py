"""Photos that were embedded before: a folder of shards in Parquet, read back as a data set.

`visavis embed` writes it of a manifest: plan.json says what is in it; shard-000000.parquet and so
on have a row for every face, and one for every photo without. pyarrow is the extra `parquet`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.document import parse
from visavis.errors import DatasetError
from visavis.extras import need
from visavis.types import Embeddings

PLAN = "plan.json"
FORMAT = 1
MOST_PHOTOS = 10**10
SHARD = re.compile(r"shard-(\d{6,})\.parquet")
# Of a face, as visavis.quality measures them.
FIGURES = ("score", "size", "sharpness", "brightness", "yaw", "pitch", "roll", "inside")


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What a folder of shards holds: which photos, embedded how. All its shards agree in it."""

    format: int
    manifest_sha256: str
    photos: int
    shard_size: int  # photos; the last shard may have fewer
    detector: str  # its file's SHA-256; "": the pictures are crops already
    model: str
    dim: int
    every: bool  # every face of a photo, not only the largest
    flip: bool  # the mirrored crop's embedding is added
    tiled: bool  # searched at full resolution

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise DatasetError(
                f"expected a plan of format {FORMAT}, got {self.format}", mend="update visavis"
            )
        if not 0 < self.photos <= MOST_PHOTOS or self.shard_size < 1 or self.dim < 1:
            raise DatasetError(
                f"expected photos, in shards of one or more, got {self.photos} photos in shards "
                f"of {self.shard_size}, {self.dim} numbers each"
            )

    @property
    def shards(self) -> int:
        """How many there are when all is done."""
        return -(-self.photos // self.shard_size)

    def rows(self, shard: int) -> tuple[int, int]:
        """The first photo of a shard, and the one after its last."""
        start = shard * self.shard_size
        return start, min(start + self.shard_size, self.photos)


@dataclass(frozen=True, eq=False, slots=True)
class ShardRow:
    """A face of a photo, or a photo without one and why."""

    path: str  # as the manifest has it
    face: int | None = None  # 0: the photo's largest
    box: NDArray[np.float32] | None = None  # (4,) in pixels of the photo
    figures: Mapping[str, float] | None = None  # FIGURES
    reasons: tuple[str, ...] = ()  # what is wrong with the face's quality; or the error's code
    error: str | None = None
    embedding: NDArray[np.float32] | None = None  # (D,), unit


def parse_plan(data: bytes, source: str) -> ShardPlan:
    """A folder's plan. Raises DatasetError for what is none."""
    return parse(ShardPlan, data, source, DatasetError)


def shard_name(shard: int) -> str:
    """A shard's file."""
    return f"shard-{shard:06}.parquet"


def shard_numbers(names: Sequence[str]) -> set[int]:
    """The shards among a folder's files."""
    return {int(match[1]) for name in names if (match := SHARD.fullmatch(name))}


def shard_bytes(rows: Sequence[ShardRow], model: str, dim: int) -> bytes:
    """A shard's file: the same bytes for the same rows."""
    need("pyarrow", extras="parquet")
    import pyarrow
    import pyarrow.parquet

    def figures(name: str) -> list[float | None]:
        return [row.figures[name] if row.figures else None for row in rows]

    def vectors(values: list[NDArray[np.float32] | None], length: int) -> Any:
        kind = pyarrow.list_(pyarrow.float32(), length)
        return pyarrow.array(values, kind)

    table = pyarrow.table(
        {
            "path": pyarrow.array([row.path for row in rows], pyarrow.string()),
            "face": pyarrow.array([row.face for row in rows], pyarrow.int32()),
            "box": vectors([row.box for row in rows], 4),
            **{name: pyarrow.array(figures(name), pyarrow.float32()) for name in FIGURES},
            "reasons": pyarrow.array(
                [list(row.reasons) for row in rows], pyarrow.list_(pyarrow.string())
            ),
            "error": pyarrow.array([row.error for row in rows], pyarrow.string()),
            "embedding": vectors([row.embedding for row in rows], dim),
        },
        metadata={"model": model},
    )
    buffer = BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def is_shards(folder: Path) -> bool:
    """Whether a folder holds shards: by its plan."""
    return (folder / PLAN).is_file()


class EmbeddedTree:
    """The photos of a folder of shards, each with the embedding of its largest face in place of its
    bytes. Embeddings are in memory: 2 KB a photo.
    """

    def __init__(self, folder: Path) -> None:
        """Raises DatasetError for a folder that is damaged, or where shards are missing."""
        need("pyarrow", extras="parquet")
        self.source = str(folder)
        self.plan = parse_plan(_read(folder / PLAN), str(folder / PLAN))
        missing = set(range(self.plan.shards)) - shard_numbers([p.name for p in folder.iterdir()])
        if missing:
            raise DatasetError(
                f"{folder}: expected {self.plan.shards} shards, {len(missing)} are missing, the "
                f"first is {shard_name(min(missing))}",
                mend="run visavis embed with this manifest again: it makes what is missing",
            )
        self._rows: dict[str, int] = {}  # of the photo in the arrays; -1: it has no face
        embeddings, figures, count = [], [], 0
        for path in (folder / shard_name(shard) for shard in range(self.plan.shards)):
            for batch in _largest(path, self.plan):
                embeddings.append(batch.embeddings)
                figures.append(batch.figures)
                self._rows.update(batch.rows(count))
                count += len(batch.embeddings)
        self._embeddings = np.concatenate(embeddings)
        self._figures = np.concatenate(figures)

    def names(self) -> list[str]:
        """Every photo, sorted."""
        return sorted(self._rows)

    def read(self, name: str) -> bytes:
        """The bytes of a photo's embedding; none where it has no face."""
        row = self._row(name)
        return b"" if row < 0 else self._embeddings[row].tobytes()

    def faces(
        self, names: Sequence[str]
    ) -> tuple[Embeddings, NDArray[np.bool_], dict[str, NDArray[np.float32]]]:
        """(N, D) embeddings of the photos' largest faces, zeros where there is none; (N,) whether
        there is one; and its FIGURES, (N,) each, NaN where there is none.
        """
        rows = np.array([self._row(name) for name in names], np.intp)
        acquired = rows >= 0
        embeddings = np.zeros((len(names), self.plan.dim), np.float32)
        embeddings[acquired] = self._embeddings[rows[acquired]]
        figures = np.full((len(names), len(FIGURES)), np.nan, np.float32)
        figures[acquired] = self._figures[rows[acquired]]
        return embeddings, acquired, dict(zip(FIGURES, figures.T, strict=True))

    def _row(self, name: str) -> int:
        try:
            return self._rows[name]
        except KeyError:
            raise DatasetError(f"{self.source}: no photo {name!r:.200}") from None


@dataclass(frozen=True, eq=False, slots=True)
class _Largest:
    """Some photos of a shard: those with a face first among the arrays."""

    paths: list[str]
    has_face: NDArray[np.bool_]
    embeddings: Embeddings
    figures: NDArray[np.float32]

    def rows(self, before: int) -> Iterator[tuple[str, int]]:
        """Each photo, and its row behind `before` others."""
        places = before + np.cumsum(self.has_face) - 1
        return zip(self.paths, np.where(self.has_face, places, -1).tolist(), strict=True)


def _largest(path: Path, plan: ShardPlan) -> Iterator[_Largest]:
    """The largest face of each photo in a shard."""
    import pyarrow
    import pyarrow.parquet

    wanted = ["path", "face", *FIGURES, "embedding"]
    try:
        table = pyarrow.parquet.read_table(path, columns=wanted)
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise DatasetError(
            f"{path}: expected a shard that visavis embed wrote: {error}",
            mend="remove it, and run visavis embed with this manifest again",
        ) from error
    for batch in table.to_batches():
        face = batch["face"].fill_null(0).to_numpy(zero_copy_only=False)
        largest = batch.filter(pyarrow.array(face == 0))
        has_face = largest["face"].is_valid().to_numpy(zero_copy_only=False)
        faces = largest.filter(pyarrow.array(has_face))
        values = faces["embedding"].flatten().to_numpy(zero_copy_only=False)
        if values.size != len(faces) * plan.dim or values.dtype != np.float32:
            raise DatasetError(
                f"{path}: expected embeddings of {plan.dim} numbers, got another length"
            )
        figures = [faces[name].to_numpy(zero_copy_only=False) for name in FIGURES]
        yield _Largest(
            largest["path"].to_pylist(),
            has_face,
            values.reshape(-1, plan.dim),
            np.stack(figures, axis=1).astype(np.float32),
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot read: {error.strerror}") from error
