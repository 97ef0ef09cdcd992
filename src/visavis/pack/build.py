"""Networks, and what is said of them, to a pack: checked by running, written whole or not at all.

Nothing is guessed: what neither the caller nor the file's own metadata says is an error.
"""

import hashlib
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from visavis.errors import PackError
from visavis.files import refuse_taken, whole_folder
from visavis.pack import check_name
from visavis.pack.calibration import check_calibration
from visavis.pack.check import (
    NOT_STATED,
    check_detector,
    check_embedder,
    loaded,
)
from visavis.pack.manifest import (
    CROP,
    FORMAT,
    Anchors,
    Commercial,
    DetectorSpec,
    EmbedderSpec,
    Manifest,
    Origin,
    Pack,
    read_pack,
    write_manifest,
)
from visavis.pack.metadata import (
    DetectorMetadata,
    Metadata,
    Numbers,
    read_detector_metadata,
    read_metadata,
)
from visavis.pack.onnx import Network, read_file, read_network
from visavis.pack.signatures import KNOWN, decoder_of
from visavis.runtime import Color, Preprocess


@dataclass(frozen=True, slots=True)
class Given:
    """What is said of a network; for what is left out, its file's metadata must do."""

    name: str | None = None  # of an embedder: the first part of the model's identity
    color: Color | None = None
    mean: Numbers | None = None  # on values 0..255, in the order of `color`
    std: Numbers | None = None
    size: tuple[int, int] | None = None  # height and width, of an embedder
    decoder: str | None = None  # of a detector, as what follows; None: the one its outputs fit
    anchors: Anchors | None = None  # as a manifest says these three
    squashed_landmarks: bool | None = None
    padding: int | None = None
    source: str | None = None
    licence: str | None = None
    training_data: str | None = None
    commercial: Commercial | None = None
    citation: str | None = None


NOTHING = Given()  # the file's metadata must say it all


@dataclass(frozen=True, slots=True)
class EmbedderPart:
    """An embedder that has been checked, and what a manifest will say of it."""

    spec: EmbedderSpec
    data: bytes


@dataclass(frozen=True, slots=True)
class DetectorPart:
    """A detector that has been checked, and what a manifest will say of it."""

    spec: DetectorSpec
    data: bytes


def build_pack(
    folder: Path,
    *,
    name: str,
    embedder: EmbedderPart,
    detector: DetectorPart,
    calibration: Path | None = None,
) -> Pack:
    """Write a pack that was not there: whole or not at all.

    Raises PackError where the folder is there already or the name cannot be a pack's,
    CalibrationError for a calibration that is damaged or of another model, OutputError where the
    folder cannot be written.
    """
    check_name(name)
    refuse_taken(folder, PackError)
    document = None if calibration is None else read_file(calibration)
    if document is not None:
        check_calibration(document, embedder.spec, str(calibration))
    manifest = Manifest(
        format=FORMAT,
        name=name,
        detector=detector.spec,
        embedder=embedder.spec,
        calibration=None if document is None else "calibration.json",
        calibration_sha256=None if document is None else hashlib.sha256(document).hexdigest(),
    )
    with whole_folder(folder) as staging:
        (staging / detector.spec.file).write_bytes(detector.data)
        (staging / embedder.spec.file).write_bytes(embedder.data)
        if document is not None:
            (staging / "calibration.json").write_bytes(document)
        write_manifest(staging, manifest)
        made = read_pack(staging)
    return replace(made, folder=folder)


def embedder_part(source: Path | Network, given: Given = NOTHING) -> EmbedderPart:
    """An embedder for a pack: read, its preprocessing declared, and run.

    Raises PackError for what is no network, for preprocessing that nothing declares, and for
    answers that are no embeddings.
    """
    network = read_network(source) if isinstance(source, Path) else source
    notes = read_metadata(network)
    preprocess, size = _preprocess(network, notes, given), _size(network, notes, given)
    dim = check_embedder(network.data, preprocess, size, network.source)
    if notes and notes.dim != dim:
        raise PackError(f"{network.source}: its metadata says {notes.dim} numbers, it gives {dim}")
    spec = EmbedderSpec(
        name=check_name(
            given.name or (notes.family if notes else plain(Path(network.source).stem))
        ),
        file="embedder.onnx",
        sha256=hashlib.sha256(network.data).hexdigest(),
        weights_sha256=network.weights_sha256,
        dim=dim,
        origin=_origin(network, notes, given),
        preprocess=preprocess,
        size=size,
    )
    return EmbedderPart(spec, network.data)


def detector_part(source: Path | Network, given: Given = NOTHING) -> DetectorPart:
    """A detector for a pack, its decoder the one named, or else the one its outputs fit.

    Raises PackError for what is no network, for preprocessing that nothing declares, for outputs
    that fit no decoder, or not what is said of them, and for a detector that gives no landmarks.
    """
    network = read_network(source) if isinstance(source, Path) else source
    notes = read_detector_metadata(network)
    preprocess = _preprocess(network, notes, given, "--detector-")
    model = loaded(network.data, preprocess, network.source)
    said = over(given, _reading(notes))
    decoder = said.decoder or decoder_of(model.shapes)
    if decoder is None:
        raise PackError(
            f"{network.source}: expected outputs of {' or '.join(KNOWN)}, got "
            f"{', '.join(map(str, model.shapes[:12]))}"
        )
    spec = DetectorSpec(
        file="detector.onnx",
        sha256=hashlib.sha256(network.data).hexdigest(),
        decoder=decoder,
        origin=_origin(network, notes, given),
        preprocess=preprocess,
        padding=said.padding,
        anchors=said.anchors,
        squashed_landmarks=bool(said.squashed_landmarks),
    )
    if not check_detector(model, spec, network.source):
        raise PackError(
            f"{network.source}: expected a detector that gives five landmarks, got boxes alone: "
            "no face could be aligned"
        )
    return DetectorPart(spec, network.data)


def detector_of(pack: Pack) -> DetectorPart:
    """Another pack's detector, as it is there. Raises PackError for a damaged file."""
    spec = pack.manifest.detector
    data = pack.read(spec.file, spec.sha256)
    return DetectorPart(replace(spec, file="detector.onnx"), data)


def embedder_of(pack: Pack) -> EmbedderPart:
    """Another pack's embedder, as it is there. Raises PackError for a damaged file."""
    spec = pack.manifest.embedder
    data = pack.read(spec.file, spec.sha256)
    return EmbedderPart(replace(spec, file="embedder.onnx"), data)


def over(first: Given, then: Given) -> Given:
    """What the first says, be it 0 or False, and for the rest what the other says."""
    said: dict[str, Any] = {key: value for key, value in asdict(first).items() if value is not None}
    return replace(then, **said)


def _preprocess(
    network: Network, notes: Metadata | DetectorMetadata | None, given: Given, flags: str = "--"
) -> Preprocess:
    """What callers or the file say. Nothing in between is filled in."""
    color = given.color or (notes.color if notes else None)
    mean = given.mean or (notes.mean if notes else None)
    std = given.std or (notes.std if notes else None)
    values = {"color": color, "mean": mean, "std": std}
    missing = [flags + name for name, value in values.items() if value is None]
    if color is None or mean is None or std is None:
        raise PackError(
            f"{network.source}: nothing says how it wants its pixels: give {', '.join(missing)} "
            "(on values 0..255), or convert the checkpoint with visavis convert, which notes them"
        )
    if not all(value > 0 for value in std):
        raise PackError(f"{network.source}: expected a std above zero, got {list(std)}")
    return Preprocess(color, mean, std)


def _reading(notes: DetectorMetadata | None) -> Given:
    """How a file notes that its answers are read."""
    if notes is None:
        return NOTHING
    return Given(
        decoder=notes.decoder,
        anchors=notes.anchors,
        squashed_landmarks=notes.squashed_landmarks,
        padding=notes.padding,
    )


def _size(network: Network, notes: Metadata | None, given: Given) -> tuple[int, int]:
    """Height and width: as the graph fixes them; where it leaves them open, as they are said."""
    if len(network.inputs) != 1 or len(network.inputs[0].dims) != 4:
        shapes = ", ".join(str(list(port.dims)) for port in network.inputs) or "none"
        raise PackError(f"{network.source}: expected one input (N, 3, H, W), got {shapes}")
    fixed = tuple(side for side in network.inputs[0].dims[2:] if isinstance(side, int) and side)
    said = given.size or ((notes.height, notes.width) if notes else fixed)
    if len(said) != 2:
        raise PackError(f"{network.source}: nothing says which size it was trained at: give --size")
    if len(fixed) == 2 and said != fixed:
        raise PackError(
            f"{network.source}: said to take {said[0]}x{said[1]}, but its input is "
            f"{fixed[0]}x{fixed[1]} (height x width)"
        )
    height, width = said
    if not (1 <= height <= CROP[0] and 1 <= width <= CROP[1]):
        raise PackError(
            f"{network.source}: expected an embedder of crops of at most 112x112, "
            f"got {height}x{width}: crops are cut at 112x112"
        )
    return height, width


def plain(name: str) -> str:
    """The name with what cannot be in a file's name everywhere put as dashes."""
    return re.sub("[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64]


def _origin(network: Network, notes: Metadata | DetectorMetadata | None, given: Given) -> Origin:
    """Where it comes from: what is said, else what the file notes, else that nothing was."""
    trained = notes.training_data if isinstance(notes, DetectorMetadata) else NOT_STATED
    return Origin(
        source=given.source or (notes.source if notes else Path(network.source).name),
        licence=given.licence or (notes.licence if notes else NOT_STATED),
        training_data=given.training_data or trained,
        commercial=given.commercial or "unknown",
        citation=given.citation or "",
    )
