"""Shards of a manifest, embedded one after another. A shard is whole or not there; whoever comes
next goes on with those that are missing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from visavis.alignment import ARCFACE_112, SIZE, read_crop
from visavis.batch import in_order
from visavis.dataset.embedded import (
    FIGURES,
    FORMAT,
    PLAN,
    ShardPlan,
    ShardRow,
    parse_plan,
    shard_bytes,
    shard_name,
    shard_numbers,
)
from visavis.detect import load_detector
from visavis.document import to_bytes
from visavis.embedder import choose_models, refuse_cut
from visavis.errors import (
    DatasetError,
    EmbeddingError,
    ImageError,
    LandmarkError,
    MismatchError,
    NoFaceError,
    VisavisError,
)
from visavis.faces import MAX_SIDE, find_faces
from visavis.quality import assess
from visavis.runtime import Device
from visavis.scale.manifest import PhotoList, read_photo_list
from visavis.scale.shelf import Shelf, is_url, open_shelf, photo_at
from visavis.types import Crops, Detector, Embedder, Face

SHARD_SIZE = 10_000  # photos
OF_THE_PHOTO = (ImageError, NoFaceError, LandmarkError, EmbeddingError)  # the rest is the machine's


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be embedded, how, and where to. Plain, so that it travels to other machines."""

    manifest: Path
    out: str  # a folder, or an address in an object store
    pack: str = "default"
    device: Device = field(default_factory=Device)
    shard_size: int = SHARD_SIZE
    aligned: bool = False  # the pictures are 112x112 crops already
    every: bool = False  # every face of a photo, not only the largest
    flip: bool = True
    tiled: bool = False


@dataclass(frozen=True, slots=True)
class ShardDone:
    """A shard that is written."""

    shard: int
    photos: int
    faces: int
    failed: dict[str, int]  # photos without an embedding, by the error's code


class Shards:
    """A job's shards: which are left, and the making of one."""

    def __init__(self, job: Job, workers: int = 1) -> None:
        """Load the models and claim the folder for this job.

        Raises DatasetError for a bad manifest, MismatchError for a folder of another job, PackError
        and DeviceError as `choose_models`, OutputError, DownloadError.
        """
        self.job, self.workers = job, workers
        self.manifest = read_photo_list(job.manifest)
        models = choose_models(job.pack)
        self.embed: Embedder = models.together(models.members(job.device, flip=job.flip))
        self.detect: Detector | None = None
        if not job.aligned:
            self.detect = load_detector(models.detector, device=job.device, tiled=job.tiled)
        else:
            refuse_cut(self.embed, mend="turn this off, and give the photos", option="aligned")
        detector = models.detector.manifest.detector.sha256 if self.detect is not None else ""
        self.shelf = open_shelf(job.out)
        self.plan = _claimed(self.shelf, _plan(job, self.manifest, detector, self.embed))

    def left(self, part: tuple[int, int] = (1, 1)) -> list[int]:
        """The shards of a part, as (3, 100) for the third of a hundred, that are not written."""
        number, parts = part
        mine = range(number - 1, self.plan.shards, parts)
        done = shard_numbers(self.shelf.names())
        return [shard for shard in mine if shard not in done]

    def make(self, shard: int) -> ShardDone:
        """Embed a shard's photos and write it. A photo's fault is its row's.

        Raises what no photo is to blame for: DatasetError where none of its files is there,
        DownloadError, ModelError, OutputError.
        """
        paths = self.manifest.part(*self.plan.rows(shard))
        _refuse_absent(self.manifest, paths, shard)
        rows: list[ShardRow] = []
        failed: Counter[str] = Counter()
        for path, answer in in_order(self._faces, paths, workers=self.workers):
            if not isinstance(answer, VisavisError):
                rows += answer
            elif isinstance(answer, OF_THE_PHOTO):
                failed[answer.code] += 1
                rows.append(ShardRow(path, reasons=(answer.code,), error=str(answer)))
            else:
                raise answer.at(path)
        self.shelf.write(shard_name(shard), shard_bytes(rows, self.plan.model, self.plan.dim))
        return ShardDone(shard, len(paths), len(rows) - failed.total(), dict(failed))

    def _faces(self, path: str) -> list[ShardRow]:
        """A row for each face of a photo, largest first. Raises as `OF_THE_PHOTO`."""
        source = photo_at(path, self.manifest.file.parent)
        if self.detect is None:
            crop = read_crop(source)
            whole = Face(np.array([0, 0, SIZE, SIZE], np.float32), ARCFACE_112, 1.0)
            return self._rows(path, [whole], crop[None], crop[None], (SIZE, SIZE))
        most = None if self.job.every else 1
        side = None if self.job.tiled else MAX_SIDE
        photo = find_faces(self.detect, source, max_faces=most, max_side=side)
        photo.choose(1)  # raises where there is no face
        order = range(len(photo.faces))
        crops, plain = photo.crops_at([self.embed.margin, 0.0], order, self.detect)
        return self._rows(path, photo.faces, crops, plain, (photo.width, photo.height))

    def _rows(
        self, path: str, faces: Sequence[Face], crops: Crops, plain: Crops, size: tuple[int, int]
    ) -> list[ShardRow]:
        embeddings, rows = self.embed(crops), []
        for number, face in enumerate(faces):
            quality = assess(face, plain[number], *size)
            figures = {name: float(getattr(quality, name)) for name in FIGURES}
            rows.append(
                ShardRow(path, number, face.box, figures, quality.reasons, None, embeddings[number])
            )
        return rows


def embed_shards(shards: Shards, part: tuple[int, int] = (1, 1)) -> Iterator[ShardDone]:
    """Make the shards of a part that are left, in order. Raises as `Shards.make`."""
    return map(shards.make, shards.left(part))


def parse_part(text: str) -> tuple[int, int]:
    """3/100 as (3, 100). Raises DatasetError for what is no part."""
    number, slash, parts = text.partition("/")
    if not (slash and number.isdecimal() and parts.isdecimal()) or not 1 <= int(number) <= int(
        parts
    ):
        raise DatasetError(
            f"expected a part as 3/100, the third of a hundred, got {text!r:.40}", option="shard"
        )
    return int(number), int(parts)


def _plan(job: Job, manifest: PhotoList, detector: str, embed: Embedder) -> ShardPlan:
    return ShardPlan(
        format=FORMAT,
        manifest_sha256=manifest.sha256,
        photos=manifest.photos,
        shard_size=job.shard_size,
        detector=detector,
        model=embed.model,
        dim=embed.dim,
        every=job.every,
        flip=job.flip,
        tiled=job.tiled,
    )


def _claimed(shelf: Shelf, plan: ShardPlan) -> ShardPlan:
    """The plan, where the folder's is the same or it has none yet. Whoever reads it back and finds
    another's has lost the race, and says so.
    """
    if shelf.read(PLAN) is None:
        shelf.write(PLAN, to_bytes(plan))
    there = parse_plan(shelf.read(PLAN) or b"", f"{shelf.place}/{PLAN}")
    names = [name for name in ShardPlan.__slots__ if getattr(there, name) != getattr(plan, name)]
    if names:
        first = names[0]
        raise MismatchError(
            f"{shelf.place}: holds embeddings of another job: expected {first} "
            f"{getattr(plan, first)}, got {getattr(there, first)}",
            mend="choose another folder, or embed as that job did",
            option="out",
        )
    return plan


def _refuse_absent(manifest: PhotoList, paths: Sequence[str], shard: int) -> None:
    """Raise DatasetError where no file of a shard is there: a disk is missing, and no photo."""
    base = manifest.file.parent
    files = [path for path in paths if not is_url(path)]
    if len(files) > 1 and len(files) == len(paths) and not any((base / f).exists() for f in files):
        raise DatasetError(
            f"{manifest.file}: of the {len(paths)} photos of shard {shard} none is there, the "
            f"first is {base / files[0]}",
            mend="mount the disk they are on, or mend the paths",
        )
