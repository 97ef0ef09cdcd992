"""Models of other projects to a pack: an InsightFace folder or zip, or one ONNX file.

Which file does what, and how it wants its pixels, InsightFace decides by its own rules: they are
written down in docs/insightface.md. What our own files say of themselves goes before them.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from onnx import ModelProto

from visavis.document import parse
from visavis.errors import PackError
from visavis.pack.build import (
    NOTHING,
    DetectorPart,
    EmbedderPart,
    Given,
    build_pack,
    detector_part,
    embedder_part,
)
from visavis.pack.manifest import Origin, Pack
from visavis.pack.metadata import Metadata, read_metadata
from visavis.pack.network import Network, names_normalisation, read_network
from visavis.pack.unzip import unzip
from visavis.runtime import Preprocess

# How InsightFace feeds networks: RGB, and these, unless the graph's names say otherwise.
DETECTOR = Preprocess("rgb", (127.5,) * 3, (128.0,) * 3)
RECOGNISER = Preprocess("rgb", (127.5,) * 3, (127.5,) * 3)
IN_GRAPH = Preprocess("rgb")
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
    detector: DetectorPart | None = None,
) -> Imported:
    """Make a pack of an InsightFace folder or zip, or of one embedder as an ONNX file.

    `detector` is used where the source has none, and in place of the one that it has. `given` goes
    before InsightFace's rules, and before the model zoo's terms. Raises PackError for files that
    are none, or that its rules give no part to; DownloadError for a zip that is not safe to open.
    """
    if source.suffix == ".onnx" and source.is_file():
        lone = embedder_part(source, given)
        found = _Found(lone, None, [f"{source.name}: the embedder, {lone.spec.model}"])
    else:
        with _folder(source) as files:
            found = _sorted_out(_networks(source, files), given, detector is None)
    chosen = detector or found.detector
    if found.embedder is None or chosen is None:
        missing = "detector: name another with --detector" if found.embedder else "embedder"
        raise PackError(f"{source}: expected an {missing}; found {'; '.join(found.notes)}")
    pack = build_pack(folder, name=name, embedder=found.embedder, detector=chosen)
    return Imported(pack, tuple(found.notes))


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


def _terms(network: Network, notes: Metadata | None = None) -> Given:
    """What the file notes of its origin; else the terms of InsightFace's model zoo."""
    props = {prop.key: prop.value for prop in network.model.metadata_props}
    noted = {key: props[ORIGIN + key] for key in asdict(UNKNOWN) if ORIGIN + key in props}
    if set(noted) == set(asdict(UNKNOWN)):
        origin = parse(Origin, json.dumps(noted).encode(), f"{network.source}: origin", PackError)
        return Given(**asdict(origin))
    if notes:
        return Given(source=notes.source, licence=notes.licence)
    file = PurePosixPath(network.source)
    data = next((data for start, data in TRAINED_ON.items() if file.stem.startswith(start)), None)
    return replace(ZOO, source=f"InsightFace {file.name}", training_data=data)


def _recogniser(network: Network, given: Given) -> Given:
    """What the file says of itself, and else InsightFace's rules; what is given goes first."""
    notes = read_metadata(network)
    stem = PurePosixPath(network.source).stem.removeprefix("rec_")
    said = replace(_terms(network, notes), name=notes.family if notes else stem)
    first: dict[str, Any] = {k: v for k, v in asdict(given).items() if v is not None}
    fed = notes.preprocess if notes else recogniser_pixels(network.model)
    return replace(_fed(fed, said), **first)


def _fed(preprocess: Preprocess, given: Given) -> Given:
    return replace(given, color=preprocess.color, mean=preprocess.mean, std=preprocess.std)


def _reason(task: str | None) -> str:
    if task in ("recognition", "detection"):
        return f"another network is used for {task}"
    return f"a network for {task}" if task else "InsightFace's rules give it no part"


def _sorted_out(networks: Iterator[Network], given: Given, wants_detector: bool) -> _Found:
    """The first network for each part, as InsightFace takes them."""
    found = _Found(None, None, [])
    for network in networks:
        file, task = PurePosixPath(network.source).name, task_of(network)
        if task == "recognition" and found.embedder is None:
            found.embedder = embedder_part(network, _recogniser(network, given))
            found.notes.append(f"{file}: the embedder, {found.embedder.spec.model}")
        elif task == "detection" and found.detector is None and wants_detector:
            found.detector = detector_part(network, _fed(DETECTOR, _terms(network)))
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
