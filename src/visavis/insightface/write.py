"""A pack as a folder that the insightface package loads as it is: docs/insightface.md.

Networks are written so that InsightFace's own rules lead to the same answers. Both the pack's and
the written embedder are run before the folder gets its name.
"""

import hashlib
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from onnx import ModelProto

from visavis.embedder import ModelEmbedder
from visavis.errors import PackError
from visavis.files import refuse_taken, whole_folder
from visavis.insightface.as_scrfd import as_detector
from visavis.insightface.graph import (
    copied,
    cut_step,
    declare,
    drop_unused,
    first_convolutions,
    fold,
    normal_steps,
    put_first,
)
from visavis.insightface.proof import Proof, least_cosine, prove_in_insightface
from visavis.insightface.read import note_origin
from visavis.insightface.rules import RECOGNISER, WITH_LANDMARKS, recogniser_pixels, task_of
from visavis.pack import check_name
from visavis.pack.build import plain
from visavis.pack.dequantise import tensors_sha256
from visavis.pack.manifest import CROP, EmbedderSpec, Pack
from visavis.pack.metadata import Metadata, read_metadata, write_metadata
from visavis.pack.onnx import Network, read_network
from visavis.runtime import Device, Preprocess, load_model

EXACT = Device("cpu", precision="float32")
LEAST_COSINE = 0.99999  # of the written network's embedding to the pack's, for the same crop
EXTRAS = ("landmarks", "attributes")  # what may be taken along from another folder
DEFAULT_ROOT = Path("~/.insightface")


@dataclass(frozen=True, slots=True)
class Written:
    """A folder that InsightFace loads, and what was done to make it so."""

    folder: Path
    files: tuple[str, ...]
    notes: tuple[str, ...]
    cosine: float  # least, of the written embedder to the pack's, on made crops
    proof: Proof | None  # None: the insightface package was not asked


def write_insightface(
    pack: Pack,
    name: str,
    *,
    root: Path = DEFAULT_ROOT,
    photo: Path | None,
    detector_from: Path | None = None,
    extras_from: Path | None = None,
) -> Written:
    """Write `root`/models/`name`, whole or not at all: what FaceAnalysis(name, root) loads.

    `photo` proves it in the installed package; None leaves that proof out. `detector_from` is a
    detector's file, or a folder with one; `extras_from` a folder whose landmark and attribute
    networks are copied, too. Raises PackError where something has no form in InsightFace's terms or
    gives other answers, OutputError where the folder cannot be written.
    """
    folder = root.expanduser() / "models" / check_name(name)
    refuse_taken(folder, PackError)
    notes: list[str] = []
    detector_file, detector = _detector(pack, detector_from, notes)
    recogniser, cosine = _recogniser(pack, notes)
    spec = pack.manifest.embedder
    files = {f"det_{detector_file}": detector, f"rec_{plain(spec.name)}.onnx": recogniser}
    files |= {} if extras_from is None else _extras(extras_from, notes)
    with whole_folder(folder) as staging:
        for file, data in files.items():
            (staging / file).write_bytes(data)
        proof = None if photo is None else prove_in_insightface(staging, pack, photo)
    return Written(folder, tuple(sorted(files)), tuple(notes), cosine, proof)


def as_recogniser(network: Network, spec: EmbedderSpec) -> tuple[ModelProto, list[str]]:
    """An embedder as InsightFace takes it, and what was changed, in words.

    It takes 112x112 pixels, has one output, in float32, and normalises in the graph where its
    pixels are not InsightFace's own.
    """
    model = copied(network)
    notes, steps = [], []
    if len(model.graph.output) > 1:
        del model.graph.output[1:]
        notes.append("its second output is left out")
    if max(spec.size) > max(CROP):
        raise PackError(
            f"{network.source}: expected an embedder of crops of at most {CROP[0]}x{CROP[1]}, got "
            f"one of {spec.size[0]}x{spec.size[1]}: InsightFace would cut another crop"
        )
    if spec.margin:
        raise PackError(
            f"{network.source}: expected an embedder of crops without a margin, got one of "
            f"{spec.margin:g} around the face: InsightFace would cut another crop"
        )
    if spec.size != CROP:
        steps.append(cut_step(model, CROP, spec.size))
        notes.append(f"a Slice cuts the middle {spec.size[0]}x{spec.size[1]} out of the crop")
    if spec.preprocess != RECOGNISER:
        convolutions = first_convolutions(model)
        if convolutions and spec.preprocess.mean == RECOGNISER.mean:
            fold(model, convolutions, spec.preprocess)
            notes.append("colour order and std are folded into the first convolution's weights")
        else:
            steps += normal_steps(spec.preprocess)
            notes.append("Sub_0 and Mul_0 normalise in the graph, so that it is fed 0..255")
    put_first(model, steps)
    drop_unused(model)
    declare(model.graph.input[0], ("batch", 3, *CROP))
    declare(model.graph.output[0], ("batch", spec.dim))
    return model, notes


def _recogniser(pack: Pack, notes: list[str]) -> tuple[bytes, float]:
    """The pack's embedder for InsightFace, proved on made crops; the least cosine."""
    spec = pack.manifest.embedder
    network = read_network(pack.read(spec.file, spec.sha256), str(pack.folder / spec.file))
    model, changes = as_recogniser(network, spec)
    fed = recogniser_pixels(model)
    write_metadata(model, _metadata(network, spec, fed, model))
    note_origin(model, spec.origin)
    data = model.SerializeToString()
    written = read_network(data, f"rec_{spec.name}.onnx")
    if task_of(written) != "recognition":
        raise PackError(f"{network.source}: InsightFace would take the written file for another")
    cosine = _cosine(network, written, spec, fed)
    if not cosine >= LEAST_COSINE:
        raise PackError(
            f"{network.source}: has no exact form in InsightFace's terms: for one crop the "
            f"written file's embedding has cosine {cosine:.6f} to the pack's"
        )
    notes += [f"rec_{spec.name}.onnx: {note}" for note in changes or ["unchanged"]]
    return data, cosine


def _cosine(network: Network, written: Network, spec: EmbedderSpec, fed: Preprocess) -> float:
    """The least cosine over crops of noise; two of them have black and white borders."""
    crops = np.random.default_rng(0).integers(0, 256, (6, *CROP, 3), np.uint8)
    for row, border in enumerate((0, 255)):
        crops[row, :3], crops[row, :, -3:] = border, 255 - border
    ours = load_model(network.data, spec.preprocess, EXACT)
    theirs = load_model(written.data, fed, EXACT)
    a = ModelEmbedder(spec.model, spec.dim, ours, flip=False, size=spec.size)(crops)
    b = ModelEmbedder(spec.model, spec.dim, theirs, flip=False)(crops)
    return least_cosine(a, b)


def _metadata(network: Network, spec: EmbedderSpec, fed: Preprocess, model: ModelProto) -> Metadata:
    """What the written file says of itself: how it is fed, and where it comes from."""
    before = read_metadata(network) or Metadata(
        family=spec.name,
        color=fed.color,
        mean=fed.mean,
        std=fed.std,
        height=CROP[0],
        width=CROP[1],
        dim=spec.dim,
        source=spec.origin.source,
        source_sha256=hashlib.sha256(network.data).hexdigest(),
        weights_sha256=spec.weights_sha256,
        version=version("visavis"),
        licence=spec.origin.licence,
    )
    return replace(
        before,
        color=fed.color,
        mean=fed.mean,
        std=fed.std,
        height=CROP[0],
        width=CROP[1],
        weights_sha256=tensors_sha256(model),
        licence=spec.origin.licence,
    )


def _detector(pack: Pack, source: Path | None, notes: list[str]) -> tuple[str, bytes]:
    """The rest of a detector's file name, and its bytes."""
    if source is not None:
        network = _detection(source)
        file = Path(network.source).name
        notes.append(f"{file}: the detector, as it is in {source}")
        return file.removeprefix("det_"), network.data
    spec = pack.manifest.detector
    path = pack.folder / spec.file
    network = read_network(pack.read(spec.file, spec.sha256), str(path))
    model, changes = as_detector(network, spec)
    notes += [f"det_{spec.decoder}.onnx: {note}" for note in changes or ["unchanged"]]
    note_origin(model, spec.origin)
    return f"{spec.decoder}.onnx", model.SerializeToString()


def _detection(source: Path) -> Network:
    """The detector with landmarks that InsightFace would choose from a folder."""
    for path in [source] if source.is_file() else sorted(source.glob("*.onnx")):
        network = read_network(path)
        if task_of(network) == "detection":
            if len(network.outputs) not in WITH_LANDMARKS:
                raise PackError(
                    f"{path}: expected a detector with landmarks (9 or 15 outputs), "
                    f"got {len(network.outputs)}"
                )
            return network
    raise PackError(f"{source}: expected a detector's ONNX file in it, found none")


def _extras(source: Path, notes: list[str]) -> dict[str, bytes]:
    """Landmark and attribute networks, as they are, by their names."""
    extras = {}
    for path in sorted(source.glob("*.onnx")):
        network = read_network(path)
        task = task_of(network)
        if task in EXTRAS:
            extras[path.name] = network.data
            notes.append(f"{path.name}: {task}, as it is in {source}")
    if not extras:
        raise PackError(f"{source}: expected networks for landmarks or attributes, found none")
    return extras
