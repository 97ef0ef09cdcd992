"""pack.json and the files beside it: read, checked, written. docs/pack-format.md is the
specification.

Runs no model, and trusts no file that it has not hashed.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from visavis.alignment import ALIGNMENT, SIZE
from visavis.decode.yolov5face import EACH, Anchors
from visavis.document import as_bytes, parse
from visavis.errors import ModelError, PackError
from visavis.files import is_plain, write_whole
from visavis.runtime import Preprocess

FORMAT = 1  # of a pack of a detector and an embedder: every visavis reads it
LIVENESS_FORMAT = 2  # of one that has liveness members, too
MANIFEST = "pack.json"
MOST_NUMBERS = 65_536  # in an embedding
CROP = (SIZE, SIZE)  # height and width of an aligned crop, in pixels
MOST_MARGIN = 1  # of a crop's side: a crop that shows three sides by three
LARGEST = 512  # pixels a side that a crop is enlarged to
MOST_SCALE, MOST_MEMBERS = 10.0, 8  # of a face's box that a liveness network sees; of a pack
NOT_STATED = "not stated"  # what a field of an origin says that nobody declared

Commercial = Literal["yes", "no", "unknown"]  # whether commercial use is allowed
LEAST_ALLOWED: tuple[Commercial, ...] = ("no", "unknown", "yes")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights come from, and what may be done with them."""

    source: str  # project or publication, in words
    licence: str  # SPDX identifier, or the terms in words
    training_data: str
    commercial: Commercial = "unknown"
    citation: str = ""


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A detector's file and how to read its answers."""

    file: str
    sha256: str
    decoder: str  # a key of visavis.decode.DECODERS
    origin: Origin
    preprocess: Preprocess = field(default_factory=Preprocess)
    min_score: float = 0.5
    max_overlap: float = 0.4  # intersection over union above which two boxes are one face
    # 0..255, what is around the picture; None: what the decoder's networks were trained with.
    padding: int | None = None
    # These two are of a YOLOv5-face network with raw outputs: visavis.decode.yolov5face.RawOutputs.
    anchors: Anchors | None = None
    squashed_landmarks: bool = False


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file of a pack."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """An embedder's file, what it takes, and what it gives."""

    name: str
    file: str
    sha256: str
    weights_sha256: str  # of the tensors alone: the same weights in another file are the same model
    dim: int
    origin: Origin
    preprocess: Preprocess = field(default_factory=Preprocess)
    size: tuple[int, int] = CROP  # height and width that it takes, as `check_size` says
    margin: float = 0.0  # with which crops are cut for it: visavis.alignment.align
    int8: HashedFile | None = None  # the same network in int8: its embeddings are the same model's

    def form(self, precision: str) -> "EmbedderSpec | HashedFile":
        """The file to load where the network is to compute in `precision`."""
        return self.int8 if self.int8 and precision == "int8" else self

    @property
    def model(self) -> str:
        """name@hash of weights, preprocessing, size, margin and how faces are cut; two that differ
        here are never compared.
        """
        return self.model_of(ALIGNMENT)

    def model_of(self, alignment: int) -> str:
        """`model` where faces are cut in a way of visavis.alignment, the one of today or before."""
        parts: list[object] = [self.weights_sha256, asdict(self.preprocess)]
        if self.size != CROP:
            parts.append(list(self.size))
        if self.margin:
            parts.append({"margin": self.margin})
        if alignment > 1:
            parts.append({"alignment": alignment})
        identity = json.dumps(parts, sort_keys=True)
        return f"{self.name}@{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class LivenessSpec:
    """A liveness network's file, what it sees around a face, and which of its answers is life."""

    name: str
    file: str
    sha256: str
    weights_sha256: str  # of the tensors alone
    scale: float  # times as wide and high as the face's box is what it sees
    outputs: int  # numbers that it answers with, a class each
    live: int  # the place of life among them, from 0
    origin: Origin
    preprocess: Preprocess = field(default_factory=Preprocess)
    size: tuple[int, int] = (80, 80)  # height and width that it takes

    @property
    def model(self) -> str:
        """name@hash of all that its score depends on: a threshold is of these networks alone."""
        parts = [self.weights_sha256, asdict(self.preprocess), self.size, self.scale, self.live]
        identity = json.dumps(parts, sort_keys=True)
        return f"{self.name}@{hashlib.sha256(identity.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What pack.json says."""

    format: int
    name: str
    detector: DetectorSpec
    embedder: EmbedderSpec
    calibration: str | None = None  # a file of the pack
    calibration_sha256: str | None = None
    liveness: tuple[LivenessSpec, ...] = ()  # of format 2 alone; the mean of their scores counts

    @property
    def origins(self) -> dict[str, Origin]:
        """Where each of its models comes from, by what it is."""
        models = {"detector": self.detector.origin, "embedder": self.embedder.origin}
        return models | {f"liveness {one.name}": one.origin for one in self.liveness}

    @property
    def commercial(self) -> Commercial:
        """Whether all models may be used commercially: the least that one of them allows."""
        return min((one.commercial for one in self.origins.values()), key=LEAST_ALLOWED.index)


@dataclass(frozen=True, slots=True)
class Pack:
    """A folder with a manifest."""

    folder: Path
    manifest: Manifest

    def read(self, file: str, sha256: str) -> bytes:
        """The bytes of one of its files. Raises PackError where its hash is not the manifest's."""
        path = self.folder / file
        if not is_plain(file):
            raise PackError(f"{self.folder / MANIFEST}: expected a plain file name, got {file!r}")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PackError(
                f"{path}: the pack's file cannot be read: {error.strerror or error}"
            ) from error
        actual = hashlib.sha256(data).hexdigest()
        if actual != sha256:
            raise PackError(
                f"{path}: the file is damaged or was exchanged: wanted sha256 {sha256[:16]}..., "
                f"found {actual[:16]}...",
                mend="get the pack again (the default pack is made anew once "
                f"{self.folder} is deleted)",
            )
        return data

    def files(self) -> dict[str, str]:
        """The files that the manifest names, and the SHA-256 of each. Raises PackError for a name
        that leads elsewhere.
        """
        files = dict(_named_files(asdict(self.manifest)))
        for name in files:
            if not is_plain(name) or name == MANIFEST or set(name) & set("\\:"):
                path = self.folder / MANIFEST
                raise PackError(f"{path}: expected a plain file name, got {name!r}")
        return files

    def read_all(self) -> None:
        """Hash every model. Raises PackError as `read` does."""
        embedder = self.manifest.embedder
        specs = (self.manifest.detector, embedder, embedder.form("int8"), *self.manifest.liveness)
        for spec in specs:
            self.read(spec.file, spec.sha256)


def read_pack(folder: Path) -> Pack:
    """Read and check a pack's manifest. Raises PackError naming the field that is wrong."""
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PackError(f"{folder}: not a pack, it has no {MANIFEST}") from None
    except OSError as error:
        raise PackError(f"{path}: cannot be read: {error.strerror or error}") from error
    _refuse_newer(path, data)
    try:
        manifest = parse(Manifest, data, str(path), PackError)
    except ModelError as error:  # of Preprocess
        raise PackError(f"{path}: {error.what}") from error
    embedder = manifest.embedder
    if not 1 <= embedder.dim <= MOST_NUMBERS:
        raise PackError(f"{path}: embedder.dim: expected 1 to {MOST_NUMBERS}, got {embedder.dim}")
    check_size(embedder.size, f"{path}: embedder.size")
    check_margin(embedder.margin, f"{path}: embedder.margin")
    check_numbers(manifest.detector, str(path))
    check_liveness_members(manifest, str(path))
    return Pack(folder, manifest)


def check_size(size: tuple[int, int], source: str) -> None:
    """Raises PackError for a height and width to which no crop is brought: of up to 112x112 it is
    the middle of a crop, of a larger square the crop enlarged.
    """
    height, width = size
    if min(size) < 1 or not (max(size) <= SIZE or height == width <= LARGEST):
        raise PackError(
            f"{source}: expected an embedder of crops of at most {SIZE}x{SIZE}, or of a larger "
            f"square of at most {LARGEST}x{LARGEST}, got {height}x{width}"
        )


def check_margin(margin: float, source: str) -> None:
    """Raises PackError for a margin with which no crop is cut."""
    if not 0 <= margin <= MOST_MARGIN:
        raise PackError(
            f"{source}: expected a margin of 0 to {MOST_MARGIN} of a crop's side, got {margin}"
        )


def check_numbers(spec: DetectorSpec, source: str) -> None:
    """Raises PackError for a number with which no detector's answers can be read."""
    padding, levels = spec.padding, spec.anchors or ()
    checks: list[tuple[str, object, str, bool]] = [
        ("min_score", spec.min_score, "0..1", 0 <= spec.min_score <= 1),
        ("max_overlap", spec.max_overlap, "0..1", 0 <= spec.max_overlap <= 1),
        ("padding", padding, "0..255", padding is None or 0 <= padding <= 255),
        ("anchors", levels, f"{EACH} pairs above zero a stride", all(map(_is_level, levels))),
    ]
    for name, got, expected, fits in checks:
        if not fits:
            raise PackError(f"{source}: detector.{name}: expected {expected}, got {got}")


def check_liveness_members(manifest: Manifest, source: str) -> None:
    """Raises PackError for liveness members of a format that has none, for two of one name, and for
    numbers with which no face can be shown to one.
    """
    members = manifest.liveness
    if members and manifest.format < LIVENESS_FORMAT:
        raise PackError(
            f"{source}: liveness: a pack of format {manifest.format} has no such members",
            mend=f"its format is {LIVENESS_FORMAT}",
        )
    names = {one.name for one in members}
    if len(names) < len(members) or len(members) > MOST_MEMBERS:
        raise PackError(
            f"{source}: liveness: expected at most {MOST_MEMBERS} members, each of another name, "
            f"got {', '.join(one.name for one in members)}"
        )
    for place, one in enumerate(members):
        checks: list[tuple[str, object, str, bool]] = [
            ("scale", one.scale, f"1 to {MOST_SCALE:g}", 1 <= one.scale <= MOST_SCALE),
            ("outputs", one.outputs, "2 to 100", 2 <= one.outputs <= 100),
            ("live", one.live, f"0 to {one.outputs - 1}", 0 <= one.live < one.outputs),
            (
                "size",
                [*one.size],
                f"1 to {LARGEST}",
                1 <= min(one.size) <= max(one.size) <= LARGEST,
            ),
        ]
        for name, got, expected, fits in checks:
            if not fits:
                where = f"{source}: liveness.{place}.{name}"
                raise PackError(f"{where}: expected {expected}, got {got}")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write pack.json into a folder that holds the files it names."""
    document = asdict(manifest)
    if not manifest.liveness:
        # Format 1 knows no such field, and refuses what it does not know.
        del document["liveness"]
    write_whole(folder / MANIFEST, as_bytes(document))


def _named_files(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every `file` with its `sha256`, and every `x` with its `x_sha256`, at any depth."""
    for key, value in document.items():
        inner = value if isinstance(value, list | tuple) else [value]
        for one in inner:
            if isinstance(one, dict):
                yield from _named_files(one)
        file = document.get("file" if key == "sha256" else key.removesuffix("_sha256"))
        if key.endswith("sha256") and isinstance(file, str) and isinstance(value, str):
            yield file, value


def _is_level(pairs: tuple[tuple[float, float], ...]) -> bool:
    return len(pairs) == EACH and all(side > 0 for pair in pairs for side in pair)


def _refuse_newer(path: Path, data: bytes) -> None:
    """A newer format may have unknown fields: the error names the format, not one of the fields."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PackError(f"{path}: cannot be read as JSON: {error}") from error
    format = document.get("format") if isinstance(document, dict) else None
    if isinstance(format, int) and format > LIVENESS_FORMAT:
        raise PackError(
            f"{path}: format {format}, this visavis reads up to {LIVENESS_FORMAT}",
            mend="install a newer visavis",
        )
