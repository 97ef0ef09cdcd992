"""Networks, and what is declared of them, to a pack: run first, then written whole or not at all.

Nothing is guessed: what neither the caller nor the file's own metadata says is an error.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from visavis.decode import DECODERS, OutputShapes, decoder_of, tells_places
from visavis.errors import ModelError, PackError
from visavis.files import refuse_taken, whole_folder
from visavis.pack import DEFAULT_PACK, check_name, load_pack, packs_folder
from visavis.pack.adapt import Adapted, at_the_door, batches, flat, normalised_twice
from visavis.pack.calibration import check_calibration
from visavis.pack.check import check_detector, check_embedder, check_everywhere, loaded
from visavis.pack.declaration import (
    DETECTOR,
    EMBEDDER,
    NOTHING,
    NOTHING_DECLARED,
    Declaration,
    Declared,
)
from visavis.pack.manifest import (
    FORMAT,
    NOT_STATED,
    DetectorSpec,
    EmbedderSpec,
    Manifest,
    Origin,
    Pack,
    check_margin,
    check_numbers,
    check_size,
    read_pack,
    write_manifest,
)
from visavis.pack.metadata import (
    DetectorMetadata,
    Metadata,
    read_detector_metadata,
    read_metadata,
)
from visavis.pack.onnx import Network, read_file, read_network
from visavis.runtime import Preprocess


@dataclass(frozen=True, slots=True)
class EmbedderPart:
    """An embedder that has been checked, and what a manifest will say of it."""

    spec: EmbedderSpec
    data: bytes
    notes: tuple[str, ...] = ()  # what was changed in its file, and what to look at
    int8: bytes | None = None  # the same network in int8


@dataclass(frozen=True, slots=True)
class DetectorPart:
    """A detector that has been checked, and what a manifest will say of it."""

    spec: DetectorSpec
    data: bytes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A pack that was made, and what became of the files it was made of."""

    pack: Pack
    notes: tuple[str, ...]


def build_pack(
    name: str,
    embedder: Path,
    *,
    detector: str = DEFAULT_PACK,
    declaration: Declaration = NOTHING_DECLARED,
    calibration: Path | None = None,
    folder: Path | None = None,
) -> Made:
    """Make a pack of an embedder's ONNX file and a detector: another pack's, or an ONNX file.

    It is written to `folder`, or among the installed packs. Raises what `embedder_part`,
    `detector_part` and `write_pack` raise.
    """
    first = embedder_part(embedder, declaration.embedder)
    second = chosen_detector(detector, declaration.detector, detector_part)
    pack = write_pack(
        folder or packs_folder() / name,
        name=name,
        embedder=first,
        detector=second,
        calibration=calibration,
    )
    notes = (*noted(embedder.name, first.notes), *noted(Path(detector).name, second.notes))
    return Made(pack, notes)


def write_pack(
    folder: Path,
    *,
    name: str,
    embedder: EmbedderPart,
    detector: DetectorPart,
    calibration: Path | None = None,
) -> Pack:
    """Write a pack that is not there yet: whole or not at all.

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
        if embedder.spec.int8 is not None and embedder.int8 is not None:
            (staging / embedder.spec.int8.file).write_bytes(embedder.int8)
        if document is not None:
            (staging / "calibration.json").write_bytes(document)
        write_manifest(staging, manifest)
        pack = read_pack(staging)
    return replace(pack, folder=folder)


def embedder_part(source: Path | Network, declared: Declared = NOTHING) -> EmbedderPart:
    """An embedder for a pack: read, its preprocessing declared, brought to the form that packs
    hold, and run.

    Raises PackError for what is no network, for preprocessing that nothing declares, and for
    answers that are no embeddings.
    """
    network = read_network(source) if isinstance(source, Path) else source
    refuse_detector(network)
    notes = read_metadata(network)
    preprocess = _preprocess(network, notes, declared, EMBEDDER)
    door = at_the_door(network)
    flattened = flat(door.network)
    size, margin = _size(flattened.network, notes, declared), declared.margin or 0.0
    check_margin(margin, network.source)
    adapted, dim = _in_batches(flattened.network, preprocess, size)
    network = adapted.network
    check_everywhere(network.data, preprocess, size, network.source)
    if notes and notes.dim != dim:
        raise PackError(f"{network.source}: its metadata says {notes.dim} numbers, it gives {dim}")
    name = declared.name or (notes.family if notes else plain(Path(network.source).stem))
    spec = EmbedderSpec(
        name=check_name(name),
        file="embedder.onnx",
        sha256=hashlib.sha256(network.data).hexdigest(),
        weights_sha256=network.weights_sha256,
        dim=dim,
        origin=_origin(network, notes, declared),
        preprocess=preprocess,
        size=size,
        margin=margin,
    )
    changed = door.notes + flattened.notes + adapted.notes
    return EmbedderPart(
        spec, network.data, changed + (() if notes else normalised_twice(network, preprocess))
    )


def detector_part(source: Path | Network, declared: Declared = NOTHING) -> DetectorPart:
    """A detector for a pack. Its decoder is the declared one, or the one that its outputs fit.

    Raises PackError for what is no network, for preprocessing that nothing declares, for outputs
    that fit no decoder, or another than the declared one, and for a detector without landmarks.
    """
    door = at_the_door(read_network(source) if isinstance(source, Path) else source)
    network = door.network
    notes = read_detector_metadata(network)
    preprocess = _preprocess(network, notes, declared, DETECTOR)
    model = loaded(network.data, preprocess, network.source)
    reading = declared.over(notes.reading) if notes else declared
    spec = DetectorSpec(
        file="detector.onnx",
        sha256=hashlib.sha256(network.data).hexdigest(),
        decoder=reading.decoder or _fitting(model.shapes, network.source),
        origin=_origin(network, notes, declared),
        preprocess=preprocess,
        padding=reading.padding,
        anchors=reading.anchors,
        squashed_landmarks=bool(reading.squashed_landmarks),
    )
    check_numbers(spec, network.source)
    if not check_detector(model, spec, network.source):
        raise PackError(
            f"{network.source}: expected a detector that gives five landmarks, got boxes alone: "
            "no face could be aligned"
        )
    return DetectorPart(spec, network.data, door.notes)


def chosen_detector(
    choice: str, declared: Declared, part: Callable[[Path, Declared], DetectorPart]
) -> DetectorPart:
    """The detector of a pack, or of an ONNX file, of which something may be declared; `part` makes
    it of such a file.

    Raises PackError for an unknown pack, for a declaration of a pack's detector, and what `part`
    raises.
    """
    path = Path(choice)
    if path.suffix == ".onnx" and path.is_file():
        return part(path, declared)
    detector = detector_of(load_pack(choice))
    if declared != NOTHING:
        raise PackError(
            f"{choice}: a pack's detector, which says itself how it is read: a decoder and what "
            "stands in a table [detector] are declared of an ONNX file"
        )
    return detector


def detector_of(pack: Pack) -> DetectorPart:
    """Another pack's detector, unchanged. Raises PackError for a damaged file."""
    spec = pack.manifest.detector
    data = pack.read(spec.file, spec.sha256)
    return DetectorPart(replace(spec, file="detector.onnx"), data)


def embedder_of(pack: Pack) -> EmbedderPart:
    """Another pack's embedder, unchanged. Raises PackError for a damaged file."""
    spec = pack.manifest.embedder
    data = pack.read(spec.file, spec.sha256)
    part = EmbedderPart(replace(spec, file="embedder.onnx"), data)
    if spec.int8 is None:
        return part
    small = replace(part.spec, int8=replace(spec.int8, file="embedder-int8.onnx"))
    return EmbedderPart(small, data, int8=pack.read(spec.int8.file, spec.int8.sha256))


def plain(name: str) -> str:
    """The name as a file can have it on every system: other characters become dashes."""
    return re.sub("[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64]


def refuse_detector(network: Network) -> None:
    """Raises PackError for a detector that is taken for an embedder, of a known family or not."""
    if decoder_of(network.shapes) is None and tells_places(network.shapes):
        raise PackError(_of_no_family(network.shapes, network.source))


def noted(file: str, notes: Iterable[str]) -> list[str]:
    """What was changed in a file, under its name."""
    return [f"{file}: {note}" for note in notes]


def _in_batches(
    network: Network, preprocess: Preprocess, size: tuple[int, int]
) -> tuple[Adapted, int]:
    """The best form in which it answers a batch, and the length of its embeddings."""
    forms = batches(network)
    first = next(forms)
    try:
        return first, check_embedder(first.network.data, preprocess, size, network.source)
    except PackError as error:
        for form in forms:
            with suppress(PackError):
                dim = check_embedder(form.network.data, preprocess, size, network.source)
                return form, dim
        raise error


def _fitting(shapes: OutputShapes, source: str) -> str:
    decoder = decoder_of(shapes)
    if decoder is None:
        raise PackError(_of_no_family(shapes, source))
    return decoder.name


def _of_no_family(shapes: OutputShapes, source: str) -> str:
    return (
        f"{source}: a detector of no known family: expected outputs of {' or '.join(DECODERS)}, "
        f"got {', '.join(map(str, shapes[:12]))}"
    )


def _preprocess(
    network: Network,
    notes: Metadata | DetectorMetadata | None,
    declared: Declared,
    kind: str,
) -> Preprocess:
    """As the caller or the file declares. Nothing is filled in."""
    color = declared.color or (notes.color if notes else None)
    mean = declared.mean or (notes.mean if notes else None)
    std = declared.std or (notes.std if notes else None)
    if color is None or mean is None or std is None:
        values = {"color": color, "mean": mean, "std": std}
        missing = ", ".join(name for name, value in values.items() if value is None)
        raise PackError(
            f"{network.source}: nothing says how it wants its pixels",
            mend=f"declare the {kind}'s {missing} (on values 0..255), or convert the checkpoint "
            "with visavis convert, which notes them in the file",
            option="color" if kind == EMBEDDER else "says",
        )
    try:
        return Preprocess(color, mean, std)
    except ModelError as error:
        raise PackError(f"{network.source}: {error.what}", option=error.option) from error


def _size(network: Network, notes: Metadata | None, declared: Declared) -> tuple[int, int]:
    """Height and width: as the graph fixes them, or as they are declared where it does not."""
    if len(network.inputs) != 1 or len(network.inputs[0].dims) != 4:
        shapes = ", ".join(str(list(port.dims)) for port in network.inputs) or "none"
        raise PackError(f"{network.source}: expected one input (N, 3, H, W), got {shapes}")
    fixed = tuple(side for side in network.inputs[0].dims[2:] if isinstance(side, int) and side)
    size = declared.size or ((notes.height, notes.width) if notes else fixed)
    if len(size) != 2:
        raise PackError(
            f"{network.source}: nothing says which size it was trained at",
            mend="declare its height and width",
            option="size",
        )
    if len(fixed) == 2 and size != fixed:
        raise PackError(
            f"{network.source}: declared to take {size[0]}x{size[1]}, but its input is "
            f"{fixed[0]}x{fixed[1]} (height x width)"
        )
    check_size(size, network.source)
    return size[0], size[1]


def _origin(
    network: Network, notes: Metadata | DetectorMetadata | None, declared: Declared
) -> Origin:
    """Where it comes from: as declared, or as the file notes; else that it is not stated."""
    trained = notes.training_data if isinstance(notes, DetectorMetadata) else NOT_STATED
    return Origin(
        source=declared.source or (notes.source if notes else Path(network.source).name),
        licence=declared.licence or (notes.licence if notes else NOT_STATED),
        training_data=declared.training_data or trained,
        commercial=declared.commercial or "unknown",
        citation=declared.citation or "",
    )
