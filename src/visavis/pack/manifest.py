"""pack.json and the files beside it: read, checked, written. docs/pack-format.md is the
specification.

Knows nothing of what the models do, and trusts no file it has not hashed.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from visavis.document import parse, to_bytes
from visavis.errors import PackError
from visavis.files import is_plain, write_whole
from visavis.runtime import Preprocess

FORMAT = 1
MANIFEST = "pack.json"
MOST_NUMBERS = 65_536  # in an embedding
CROP = (112, 112)  # height and width of an aligned crop, in pixels
MOST_PIXELS = 4096  # a side
EACH = 3  # anchors that a YOLOv5-face has on every cell

Commercial = Literal["yes", "no", "unknown"]  # may it be used so?
Anchors = tuple[tuple[tuple[float, float], ...], ...]  # of each stride: width, height in pixels


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
    decoder: str  # a key of visavis.detect.DECODERS
    origin: Origin
    preprocess: Preprocess = field(default_factory=Preprocess)
    min_score: float = 0.5
    max_overlap: float = 0.4  # intersection over union above which two boxes are one face
    padding: int | None = None  # 0..255, around the picture; None: as the decoder's networks know
    # Of a YOLOv5-face network with raw outputs, by rising stride; None: the published ones.
    anchors: Anchors | None = None
    squashed_landmarks: bool = False  # and of April or May 2021


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
    size: tuple[int, int] = CROP  # height and width that it takes: the middle of a crop

    @property
    def model(self) -> str:
        """name@hash of weights, preprocessing and size; two that differ here are never compared."""
        parts: list[object] = [self.weights_sha256, asdict(self.preprocess)]
        if self.size != CROP:
            parts.append(list(self.size))
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


@dataclass(frozen=True, slots=True)
class Pack:
    """A folder with a manifest."""

    folder: Path
    manifest: Manifest

    def read(self, file: str, sha256: str) -> bytes:
        """The bytes of one of its files. Raises PackError where the manifest says otherwise."""
        path = self.folder / file
        if not is_plain(file):
            raise PackError(f"{self.folder / MANIFEST}: expected a plain file name, got {file!r}")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise PackError(
                f"{path}: the pack's file cannot be read: {error.strerror or error}"
            ) from error
        found = hashlib.sha256(data).hexdigest()
        if found != sha256:
            raise PackError(
                f"{path}: the file is damaged or was exchanged: wanted sha256 {sha256[:16]}..., "
                f"found {found[:16]}...; get the pack again (the default pack is made anew once "
                f"{self.folder} is deleted)"
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
    manifest = parse(Manifest, data, str(path), PackError)
    embedder = manifest.embedder
    if not 1 <= embedder.dim <= MOST_NUMBERS:
        raise PackError(f"{path}: embedder.dim: expected 1 to {MOST_NUMBERS}, got {embedder.dim}")
    if not all(1 <= side <= MOST_PIXELS for side in embedder.size):
        sides = list(embedder.size)
        raise PackError(f"{path}: embedder.size: expected 1 to {MOST_PIXELS} a side, got {sides}")
    check_numbers(embedder, str(path))
    check_numbers(manifest.detector, str(path))
    return Pack(folder, manifest)


def check_numbers(spec: DetectorSpec | EmbedderSpec, source: str) -> None:
    """Raises PackError for a number with which no network can be fed, or its answers read."""
    std = spec.preprocess.std
    checks: list[tuple[str, object, str, bool]] = [
        ("preprocess.std", std, "numbers above zero", min(std) > 0)
    ]
    if isinstance(spec, DetectorSpec):
        padding, levels = spec.padding, spec.anchors or ()
        checks += [
            ("min_score", spec.min_score, "0..1", 0 <= spec.min_score <= 1),
            ("max_overlap", spec.max_overlap, "0..1", 0 <= spec.max_overlap <= 1),
            ("padding", padding, "0..255", padding is None or 0 <= padding <= 255),
            ("anchors", levels, f"{EACH} pairs above zero a stride", all(map(_is_level, levels))),
        ]
    for name, got, expected, fits in checks:
        if not fits:
            model = "detector" if isinstance(spec, DetectorSpec) else "embedder"
            raise PackError(f"{source}: {model}.{name}: expected {expected}, got {got}")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write pack.json into a folder that holds the files it names."""
    write_whole(folder / MANIFEST, to_bytes(manifest))


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
    """A newer format may have unknown fields: say so, rather than name one of them."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PackError(f"{path}: cannot be read as JSON: {error}") from error
    found = document.get("format") if isinstance(document, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise PackError(
            f"{path}: format {found}, this visavis reads up to {FORMAT}: install a newer visavis"
        )
