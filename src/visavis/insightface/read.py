"""Models of other projects to a pack: an InsightFace folder or zip, or one ONNX file.

What gives a decoder's answers is a detector, fed as that family's are, as published. For the rest
InsightFace decides by its own rules which file does what, and how it wants its pixels: they are
written down in docs/insightface.md. What our own files say of themselves goes before both.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from onnx import ModelProto

from visavis.document import parse
from visavis.errors import PackError
from visavis.hub.unzip import unzip
from visavis.pack import load_pack
from visavis.pack.build import (
    NOTHING,
    DetectorPart,
    EmbedderPart,
    Given,
    build_pack,
    detector_of,
    detector_part,
    embedder_of,
    embedder_part,
    over,
)
from visavis.pack.manifest import Origin, Pack
from visavis.pack.metadata import read_detector_metadata, read_metadata
from visavis.pack.onnx import Network, names_normalisation, read_network
from visavis.pack.signatures import decoder_of
from visavis.runtime import Preprocess

# How InsightFace feeds networks: RGB, and these, unless the graph's names say otherwise.
DETECTOR = Preprocess("rgb", (127.5,) * 3, (128.0,) * 3)
RECOGNISER = Preprocess("rgb", (127.5,) * 3, (127.5,) * 3)
IN_GRAPH = Preprocess("rgb")
# How a decoder's networks are fed by those who publish them.
PUBLISHED = {
    "retinaface": Preprocess("bgr", mean=(104.0, 117.0, 123.0)),
    "scrfd": DETECTOR,
    "yolov5face": Preprocess("rgb", std=(255.0,) * 3),
    "yunet": Preprocess("bgr"),
}
# The terms of everything in InsightFace's model zoo, and the data by the start of a file's name.
ORIGIN = "origin."  # of the keys under which our own files note where they come from
UNKNOWN = Origin("", "", "")
ZOO = Given(source="InsightFace", licence="non-commercial research", commercial="no")
TRAINED_ON = {"w600k": "WebFace600K", "glint": "Glint360K", "casia": "CASIA-WebFace"}


@dataclass(frozen=True, slots=True)
class Imported:
    """A pack made of another project's files, and what became of each of them."""

    pack: Pack
    notes: tuple[str, ...]  # one for each file


@dataclass(slots=True)
class _Found:
    """The networks of a folder that have a part in a pack, and what is said of each."""

    embedder: EmbedderPart | None
    detector: DetectorPart | None
    notes: list[str]


def import_pack(
    source: Path,
    folder: Path,
    *,
    name: str,
    given: Given = NOTHING,
    detector: DetectorPart | Given = NOTHING,
) -> Imported:
    """Make a pack of an InsightFace folder or zip, or of one ONNX file: an embedder with the
    default pack's detector, or a detector with the default pack's embedder.

    `detector` is one to use in place of the source's, or what is said of the source's; `given` is
    said of the embedder. Both go before the rules, and before the model zoo's terms. Raises
    PackError for files that are none, that the rules give no part to, and for what is said of
    none; DownloadError for a zip that is not safe to open.
    """
    if source.suffix == ".onnx" and source.is_file():
        found = _lone(read_network(source), given, detector)
    else:
        with _folder(source) as files:
            found = _sorted_out(_networks(source, files), given, detector)
    chosen = found.detector
    if found.embedder is None or chosen is None:
        missing = "a detector: name another with --detector" if found.embedder else "an embedder"
        raise PackError(f"{source}: expected {missing}; found {'; '.join(found.notes)}")
    pack = build_pack(folder, name=name, embedder=found.embedder, detector=chosen)
    return Imported(pack, tuple(found.notes))


def foreign_detector(source: Path | Network, given: Given = NOTHING) -> DetectorPart:
    """A detector as its family is published, where neither it nor the caller says otherwise.

    Raises PackError as `detector_part` does.
    """
    network = read_network(source) if isinstance(source, Path) else source
    notes = read_detector_metadata(network)
    said = over(given, _noted(network) or NOTHING)
    fed = PUBLISHED.get(said.decoder or decoder_of(network.shapes) or "", DETECTOR)
    return detector_part(network, said if notes else over(said, _fed(fed, NOTHING)))


def task_of(network: Network) -> str | None:
    """What InsightFace takes a network for: the first of its rules that fits; None for nothing."""
    inputs = network.inputs
    if len(network.outputs) >= 5:
        return "detection"
    if not inputs or len(inputs[0].dims) != 4:
        return None
    height, width = inputs[0].dims[2:]
    rules = {
        "landmarks": height == width == 192,
        "attributes": height == width == 96,
        "face swap": len(inputs) == 2 and height == width == 128,
        "recognition": isinstance(height, int)
        and height == width
        and height >= 112
        and height % 16 == 0,
    }
    return next((task for task, fits in rules.items() if fits), None)


def recogniser_pixels(model: ModelProto) -> Preprocess:
    """How InsightFace feeds a recogniser."""
    return IN_GRAPH if names_normalisation(model) else RECOGNISER


def note_origin(model: ModelProto, origin: Origin) -> None:
    """Write where a network comes from into its file, for whoever imports it again."""
    others = [prop for prop in model.metadata_props if not prop.key.startswith(ORIGIN)]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    for key, value in asdict(origin).items():
        model.metadata_props.add(key=ORIGIN + key, value=value)


def _noted(network: Network) -> Given | None:
    """What the file itself notes of its origin."""
    props = {prop.key: prop.value for prop in network.model.metadata_props}
    noted = {key: props[ORIGIN + key] for key in asdict(UNKNOWN) if ORIGIN + key in props}
    if set(noted) != set(asdict(UNKNOWN)):
        return None
    origin = parse(Origin, json.dumps(noted).encode(), f"{network.source}: origin", PackError)
    return Given(**asdict(origin))


def _zoo(network: Network) -> Given:
    """The terms of InsightFace's model zoo."""
    file = PurePosixPath(network.source)
    data = next((data for start, data in TRAINED_ON.items() if file.stem.startswith(start)), None)
    return replace(ZOO, source=f"InsightFace {file.name}", training_data=data)


def _recogniser(network: Network, given: Given) -> EmbedderPart:
    """As the file says itself, and else by InsightFace's rules; what is given goes first."""
    notes = read_metadata(network)
    stem = PurePosixPath(network.source).stem.removeprefix("rec_")
    terms = Given(source=notes.source, licence=notes.licence) if notes else _zoo(network)
    said = replace(_noted(network) or terms, name=notes.family if notes else stem)
    fed = notes.preprocess if notes else recogniser_pixels(network.model)
    return embedder_part(network, over(given, _fed(fed, said)))


def _detection(network: Network, given: Given) -> DetectorPart:
    """A detector of a folder: an SCRFD that says nothing else is of InsightFace's model zoo."""
    zoo = decoder_of(network.shapes) == "scrfd" and not network.metadata and not _noted(network)
    return foreign_detector(network, over(given, _zoo(network)) if zoo else given)


def _fed(preprocess: Preprocess, given: Given) -> Given:
    return replace(given, color=preprocess.color, mean=preprocess.mean, std=preprocess.std)


def _reason(task: str | None) -> str:
    if task in ("recognition", "detection"):
        return f"another network is used for {task}"
    return f"a network for {task}" if task else "InsightFace's rules give it no part"


def _lone(network: Network, given: Given, detector: DetectorPart | Given) -> _Found:
    """One file, and the default pack's model for the part that it does not have."""
    file = PurePosixPath(network.source).name
    known = decoder_of(network.shapes)
    if isinstance(detector, Given):
        if known or detector.decoder:
            return _lone_detector(file, network, given, detector)
        if detector != NOTHING:
            raise PackError(f"{file}: an embedder: --detector-... is said of a detector's file")
        detector = detector_of(load_pack())
    elif known:
        raise PackError(f"{file}: expected an embedder beside --detector, got another detector")
    embedder = embedder_part(network, given)
    return _Found(embedder, detector, [f"{file}: the embedder, {embedder.spec.model}"])


def _lone_detector(file: str, network: Network, given: Given, said: Given) -> _Found:
    if given != NOTHING:
        raise PackError(f"{file}: a detector: say it as --detector-..., --licence is an embedder's")
    detector, embedder = foreign_detector(network, said), embedder_of(load_pack())
    notes = [
        f"{file}: the detector, {detector.spec.decoder}",
        f"the default pack's: the embedder, {embedder.spec.model}",
    ]
    return _Found(embedder, detector, notes)


def _sorted_out(
    networks: Iterator[Network], given: Given, detector: DetectorPart | Given
) -> _Found:
    """The first network for each part, as InsightFace takes them."""
    said = detector if isinstance(detector, Given) else NOTHING
    found = _Found(None, None if isinstance(detector, Given) else detector, [])
    for network in networks:
        file = PurePosixPath(network.source).name
        task = "detection" if decoder_of(network.shapes) else task_of(network)
        if task == "recognition" and found.embedder is None:
            found.embedder = _recogniser(network, given)
            found.notes.append(f"{file}: the embedder, {found.embedder.spec.model}")
        elif task == "detection" and found.detector is None:
            found.detector = _detection(network, said)
            found.notes.append(f"{file}: the detector, {found.detector.spec.decoder}")
        else:
            found.notes.append(f"{file}: left aside: {_reason(task)}")
    return found


@contextmanager
def _folder(source: Path) -> Iterator[Path]:
    """The source, or where a zip is unpacked for as long as it is needed."""
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
    """A manifest of version 2 puts InsightFace's rules out of force."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return  # InsightFace goes by its rules then, too
    if isinstance(document, dict) and document.get("manifest_version") == 2:
        raise PackError(
            f"{source}: its manifest.json is of version 2, which is not read here: import its "
            "recogniser alone (visavis pack import FILE.onnx --color rgb --mean ... --std ...)"
        )
