"""Networks run once to see that they are what a manifest says, and a whole pack gone through."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from visavis.errors import PackError, VisavisError
from visavis.pack.calibration import load_calibration
from visavis.pack.manifest import (
    MANIFEST,
    DetectorSpec,
    EmbedderSpec,
    Origin,
    Pack,
    read_pack,
)
from visavis.pack.onnx import read_network
from visavis.pack.signatures import check_answers, check_network
from visavis.runtime import Device, Model, Outputs, Preprocess, load_model

NOT_STATED = "not stated"  # what a field says that whoever built the pack left out
EXACT = Device(precision="float32")
LEAST_COSINE = 0.9999  # of an embedding to the same one in another batch
PICTURES = ((128, 256), (256, 128))  # height and width: every stride there is goes into these
BOXES_ALONE = (6, 10)  # outputs of SCRFDs that give no landmarks


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and what is to be said of it."""

    level: Literal["ok", "warning", "error"]
    subject: str  # a file, or a field of the manifest
    text: str


def check_embedder(data: bytes, preprocess: Preprocess, size: tuple[int, int], source: str) -> int:
    """Run an embedder on a batch of one and of three; the length of its embeddings.

    Raises PackError where it refuses them, answers with anything but (N, D), or gives a crop
    another embedding in another company.
    """
    pictures = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    model = loaded(data, preprocess, source)
    alone = _ran(model, pictures[:1], source, "expected a network for this size")
    dim = _dim(alone, 1, source)
    together = _ran(model, pictures, source, "expected a dynamic batch: export it with one")
    if _dim(together, 3, source) != dim:
        raise PackError(f"{source}: expected embeddings of one length, got {dim} and others")
    lengths = np.linalg.norm(together[0].astype(np.float64), axis=1)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise PackError(f"{source}: expected finite embeddings that are not all zero, got others")
    cosine = float(alone[0][0] @ together[0][0]) / (np.linalg.norm(alone[0][0]) * lengths[0])
    if not cosine >= LEAST_COSINE:
        raise PackError(
            f"{source}: a crop's embedding changes with the batch it is in (cosine {cosine:.4f}): "
            "its batch was fixed when it was exported; export it with a dynamic one"
        )
    return dim


def check_detector(model: Model, spec: DetectorSpec, source: str) -> bool:
    """Run a detector on pictures of two sizes, or of the one that it takes; whether it gives
    landmarks.

    Raises PackError where it is not what the manifest says, refuses the pictures, or answers not as
    they call for.
    """
    check_network(spec, model.shapes, model.size, source)
    expected = "expected a batch of one" if model.size else "expected a dynamic height and width"
    for height, width in [model.size] if model.size else PICTURES:
        picture = np.zeros((1, height, width, 3), np.uint8)
        outputs = _ran(model, picture, source, expected)
        check_answers([output.shape for output in outputs], height, width, source)
    return len(model.shapes) not in BOXES_ALONE


def verify_pack(folder: Path) -> list[Finding]:
    """Everything a pack's manifest says, held against its files. No finding is raised."""
    try:
        pack = read_pack(folder)
    except PackError as error:
        return [Finding("error", MANIFEST, str(error))]
    manifest = pack.manifest
    checks: Sequence[tuple[str, Callable[[], Iterator[Finding]]]] = (
        ("detector", lambda: _detector(pack, manifest.detector)),
        ("embedder", lambda: _embedder(pack, manifest.embedder)),
        ("calibration", lambda: _calibration(pack)),
        ("detector.origin", lambda: _origin("detector.origin", manifest.detector.origin)),
        ("embedder.origin", lambda: _origin("embedder.origin", manifest.embedder.origin)),
        ("folder", lambda: _strangers(pack)),
    )
    findings: list[Finding] = []
    for subject, check in checks:
        try:
            findings += check()
        except VisavisError as error:
            findings.append(Finding("error", subject, str(error)))
    return findings


def loaded(data: bytes, preprocess: Preprocess, source: str) -> Model:
    """A network, exactly as it computes. Raises PackError for what is none."""
    try:
        return load_model(data, preprocess, EXACT)
    except VisavisError as error:
        raise PackError(f"{source}: {error}") from error


def _ran(model: Model, pictures: np.ndarray, source: str, expected: str) -> Outputs:
    try:
        return model(pictures)
    except VisavisError as error:
        raise PackError(f"{source}: {expected}; {error}") from error


def _dim(outputs: Outputs, count: int, source: str) -> int:
    """The length of embeddings: of the first output, beside which there may be lengths (N, 1)."""
    shapes = [output.shape for output in outputs]
    lone = len(shapes) == 1 or (len(shapes) == 2 and shapes[1] == (count, 1))
    if not lone or len(shapes[0]) != 2 or shapes[0][0] != count or not shapes[0][1]:
        found = " and ".join(map(str, shapes)) or "no output"
        raise PackError(
            f"{source}: expected ({count}, D) embeddings, or these and ({count}, 1) lengths, "
            f"got {found}"
        )
    return int(shapes[0][1])


def _detector(pack: Pack, spec: DetectorSpec) -> Iterator[Finding]:
    data = pack.read(spec.file, spec.sha256)
    yield Finding("ok", spec.file, f"sha256 {spec.sha256[:16]}...")
    source = str(pack.folder / spec.file)
    network = read_network(data, source)
    landmarks = check_detector(loaded(network.data, spec.preprocess, source), spec, source)
    yield Finding("ok", spec.file, f"its outputs fit {spec.decoder}")
    if not landmarks:
        yield Finding("error", spec.file, "it gives no landmarks, so that no face can be aligned")


def _embedder(pack: Pack, spec: EmbedderSpec) -> Iterator[Finding]:
    data = pack.read(spec.file, spec.sha256)
    yield Finding("ok", spec.file, f"sha256 {spec.sha256[:16]}...")
    network = read_network(data, str(pack.folder / spec.file))
    weights = network.weights_sha256
    if weights != spec.weights_sha256:
        said = f"{spec.weights_sha256[:16]}..., its tensors have {weights[:16]}..."
        yield Finding("error", "embedder.weights_sha256", f"the manifest says {said}")
    dim = check_embedder(network.data, spec.preprocess, spec.size, network.source)
    if dim != spec.dim:
        yield Finding("error", "embedder.dim", f"the manifest says {spec.dim}, it gives {dim}")
    yield Finding("ok", spec.file, f"{spec.model}: (N, {dim}) for a batch of 1 and of 3, finite")


def _calibration(pack: Pack) -> Iterator[Finding]:
    manifest = pack.manifest
    if manifest.calibration is None:
        text = "there is none, so that no threshold has an error rate: run visavis calibrate"
        yield Finding("warning", "calibration", text)
        return
    load_calibration(pack)
    yield Finding("ok", manifest.calibration, f"made for {manifest.embedder.model}")


def _origin(subject: str, origin: Origin) -> Iterator[Finding]:
    for field in ("source", "licence", "training_data"):
        if getattr(origin, field).strip().startswith(NOT_STATED) or not getattr(origin, field):
            yield Finding("warning", f"{subject}.{field}", "it says nothing")
    if origin.commercial == "unknown":
        text = "unknown: whoever uses the pack must find out"
        yield Finding("warning", f"{subject}.commercial", text)
    else:
        yield Finding("ok", subject, f"{origin.licence}; commercial use: {origin.commercial}")


def _strangers(pack: Pack) -> Iterator[Finding]:
    manifest = pack.manifest
    known = {MANIFEST, manifest.detector.file, manifest.embedder.file, manifest.calibration}
    for path in sorted(pack.folder.iterdir()):
        if path.name not in known:
            yield Finding("warning", path.name, "the manifest does not name it: nothing reads it")
