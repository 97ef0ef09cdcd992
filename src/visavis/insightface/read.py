"""Models of other projects to a pack: an InsightFace folder or zip, or one ONNX file.

What gives a decoder's answers is a detector, fed as those who publish its family feed it. For the
rest InsightFace's own rules decide which file does what, and how it wants its pixels. What our own
files say of themselves comes before both.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from onnx import ModelProto

from visavis.decode import DECODERS, decoder_of, tells_places
from visavis.decode.scrfd import SCRFD
from visavis.document import parse
from visavis.errors import PackError
from visavis.hub.unzip import unzip
from visavis.insightface.rules import DETECTOR, recogniser_pixels, task_of
from visavis.pack import load_pack, packs_folder
from visavis.pack.build import (
    DetectorPart,
    EmbedderPart,
    Made,
    chosen_detector,
    detector_of,
    detector_part,
    embedder_of,
    embedder_part,
    noted,
    refuse_detector,
    write_pack,
)
from visavis.pack.declaration import NOTHING, NOTHING_DECLARED, Declaration, Declared
from visavis.pack.manifest import Origin
from visavis.pack.metadata import read_detector_metadata, read_metadata
from visavis.pack.onnx import Network, read_network
from visavis.runtime import Preprocess

ORIGIN = "origin."  # of the keys under which our own files note where they come from
UNKNOWN_DETECTOR = "a detector of no known family"
UNKNOWN = Origin("", "", "")
# The terms of everything in InsightFace's model zoo, and the data by the start of a file's name.
ZOO = Declared(source="InsightFace", licence="non-commercial research", commercial="no")
TRAINED_ON = {"w600k": "WebFace600K", "glint": "Glint360K", "casia": "CASIA-WebFace"}


@dataclass(slots=True)
class _Parts:
    """The networks that have a part in a pack, and what became of each file."""

    embedder: EmbedderPart | None
    detector: DetectorPart | None
    notes: list[str]


def import_pack(
    source: Path,
    *,
    name: str = "",
    detector: str | None = None,
    declaration: Declaration = NOTHING_DECLARED,
    folder: Path | None = None,
) -> Made:
    """Make a pack of an InsightFace folder or zip, or of one ONNX file: an embedder with the
    default pack's detector, or a detector with the default pack's embedder.

    `detector` is a pack or an ONNX file whose detector to take in place of the source's. What is
    declared comes before the rules, and before the model zoo's terms. The pack is called `name`, or
    as the source is, and is written to `folder`, or among the installed packs. Raises PackError for
    files that are no networks, for a part that no file has, and for what is declared of a part that
    is not there; DownloadError for a zip that is not safe to open.
    """
    name = name or source.stem.lstrip(".")
    other = None
    if detector is not None:
        other = chosen_detector(detector, declaration.detector, foreign_detector)
    if source.suffix == ".onnx" and source.is_file():
        parts = _lone(read_network(source), declaration, other)
    else:
        with _folder(source) as files:
            parts = _parts(_networks(source, files), declaration, other)
    if parts.embedder is None:
        raise PackError(f"{source}: expected an embedder; found {'; '.join(parts.notes)}")
    if parts.detector is None:
        raise PackError(
            f"{source}: expected a detector; found {'; '.join(parts.notes)}",
            mend="name another pack's detector",
            option="detector",
        )
    pack = write_pack(
        folder or packs_folder() / name, name=name, embedder=parts.embedder, detector=parts.detector
    )
    return Made(pack, tuple(parts.notes))


def foreign_detector(source: Path | Network, declared: Declared = NOTHING) -> DetectorPart:
    """A detector, fed as its family is published, where neither it nor the caller says otherwise.

    Raises PackError as `detector_part` does.
    """
    network = read_network(source) if isinstance(source, Path) else source
    declared = declared.over(_noted(network) or NOTHING)
    if read_detector_metadata(network) is None:
        family = DECODERS.get(declared.decoder or "") or decoder_of(network.shapes)
        declared = declared.over(_fed(family.published if family else DETECTOR))
    return detector_part(network, declared)


def note_origin(model: ModelProto, origin: Origin) -> None:
    """Write where a network comes from into its file, for whoever imports it again."""
    others = [prop for prop in model.metadata_props if not prop.key.startswith(ORIGIN)]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    for key, value in asdict(origin).items():
        model.metadata_props.add(key=ORIGIN + key, value=value)


def _noted(network: Network) -> Declared | None:
    """What the file itself notes of its origin."""
    props = {prop.key: prop.value for prop in network.model.metadata_props}
    noted = {key: props[ORIGIN + key] for key in asdict(UNKNOWN) if ORIGIN + key in props}
    if set(noted) != set(asdict(UNKNOWN)):
        return None
    origin = parse(Origin, json.dumps(noted).encode(), f"{network.source}: origin", PackError)
    return Declared(**asdict(origin))


def _zoo(network: Network) -> Declared:
    """The terms of InsightFace's model zoo."""
    file = PurePosixPath(network.source)
    data = next((data for start, data in TRAINED_ON.items() if file.stem.startswith(start)), None)
    return replace(ZOO, source=f"InsightFace {file.name}", training_data=data)


def _fed(preprocess: Preprocess) -> Declared:
    return Declared(**asdict(preprocess))


def _recogniser(network: Network, declared: Declared) -> EmbedderPart:
    """As the caller declares, then as the file says itself, then by InsightFace's rules."""
    notes = read_metadata(network)
    stem = PurePosixPath(network.source).stem.removeprefix("rec_")
    terms = Declared(source=notes.source, licence=notes.licence) if notes else _zoo(network)
    named = replace(_noted(network) or terms, name=notes.family if notes else stem)
    fed = notes.preprocess if notes else recogniser_pixels(network.model)
    return embedder_part(network, declared.over(_fed(fed)).over(named))


def _detection(network: Network, declared: Declared) -> DetectorPart:
    """A detector of a folder: an SCRFD that says nothing else is of InsightFace's model zoo."""
    fitting = decoder_of(network.shapes)
    zoo = fitting is SCRFD and not network.metadata and not _noted(network)
    return foreign_detector(network, declared.over(_zoo(network)) if zoo else declared)


def _lone(network: Network, declaration: Declaration, other: DetectorPart | None) -> _Parts:
    """One file, and the default pack's model for the part that it does not have."""
    file = PurePosixPath(network.source).name
    refuse_detector(network)
    known = decoder_of(network.shapes) is not None
    if other is None and (known or declaration.detector.decoder):
        return _lone_detector(file, network, declaration)
    if known:
        raise PackError(f"{file}: expected an embedder beside the named detector, got a detector")
    if other is None and declaration.detector != NOTHING:
        raise PackError(f"{file}: an embedder, but something is declared of a detector's file")
    embedder = embedder_part(network, declaration.embedder)
    notes = [f"{file}: the embedder, {embedder.spec.model}", *noted(file, embedder.notes)]
    return _Parts(embedder, other or detector_of(load_pack()), notes)


def _lone_detector(file: str, network: Network, declaration: Declaration) -> _Parts:
    if declaration.embedder != NOTHING:
        raise PackError(
            f"{file}: a detector, but something is declared of an embedder",
            mend="declare a detector's color, licence and so on in the table [detector] of a file",
            option="says",
        )
    detector = foreign_detector(network, declaration.detector)
    embedder = embedder_of(load_pack())
    notes = [
        f"{file}: the detector, {detector.spec.decoder}",
        *noted(file, detector.notes),
        f"the default pack's: the embedder, {embedder.spec.model}",
    ]
    return _Parts(embedder, detector, notes)


def _parts(
    networks: Iterator[Network], declaration: Declaration, other: DetectorPart | None
) -> _Parts:
    """The first network for each part, as InsightFace takes them."""
    parts = _Parts(None, other, [])
    for network in networks:
        file = PurePosixPath(network.source).name
        task = _task(network)
        if task == "recognition" and parts.embedder is None:
            parts.embedder = _recogniser(network, declaration.embedder)
            parts.notes.append(f"{file}: the embedder, {parts.embedder.spec.model}")
            parts.notes += noted(file, parts.embedder.notes)
        elif task == "detection" and parts.detector is None:
            parts.detector = _detection(network, declaration.detector)
            parts.notes.append(f"{file}: the detector, {parts.detector.spec.decoder}")
            parts.notes += noted(file, parts.detector.notes)
        else:
            parts.notes.append(f"{file}: left aside: {_reason(task)}")
    return parts


def _task(network: Network) -> str | None:
    """What a network is for: a detector by its outputs, and else what InsightFace takes it for."""
    if decoder_of(network.shapes):
        return "detection"
    task = task_of(network)
    if task in (None, "recognition") and tells_places(network.shapes):
        return UNKNOWN_DETECTOR
    return task


def _reason(task: str | None) -> str:
    if task in ("recognition", "detection"):
        return f"another network is used for {task}"
    if task == UNKNOWN_DETECTOR:
        return task
    return f"a network for {task}" if task else "InsightFace's rules give it no part"


@contextmanager
def _folder(source: Path) -> Iterator[Path]:
    """The source itself, or the folder where a zip is unpacked while the block runs."""
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise PackError(f"{source}: expected a folder, a zip or an ONNX file, found none")
    with tempfile.TemporaryDirectory() as unpacked:
        unzip(source, Path(unpacked) / "zip")
        yield Path(unpacked) / "zip"


def _networks(source: Path, folder: Path) -> Iterator[Network]:
    """Its networks, in the order in which InsightFace would load them, named below the source."""
    for path in folder.rglob("manifest.json"):
        _refuse_manifest(path.read_bytes(), source)
    paths = sorted(folder.rglob("*.onnx"))
    if len({path.parent for path in paths}) > 1:
        paths = [path for path in paths if path.parent == folder]
    if not paths:
        raise PackError(f"{source}: expected one folder with ONNX files, found none or several")
    for path in paths:
        yield read_network(path, str(source / path.relative_to(folder)))


def _refuse_manifest(data: bytes, source: Path) -> None:
    """With a manifest of version 2 InsightFace's rules do not hold."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return  # InsightFace goes by its rules then, too
    if isinstance(document, dict) and document.get("manifest_version") == 2:
        raise PackError(
            f"{source}: its manifest.json is of version 2, which is not read here",
            mend="import its recogniser alone, and declare its color, mean and std",
        )
