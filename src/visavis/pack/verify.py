"""A whole pack held against its manifest: hashes, shapes, runs, terms, and files nobody named."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from visavis.errors import PackError, VisavisError
from visavis.pack.adapt import ALONE, normalised_twice, takes_one
from visavis.pack.calibration import load_calibration
from visavis.pack.check import (
    check_detector,
    check_embedder,
    check_liveness,
    check_same,
    loaded,
)
from visavis.pack.manifest import (
    MANIFEST,
    NOT_STATED,
    DetectorSpec,
    EmbedderSpec,
    LivenessSpec,
    Origin,
    Pack,
    read_pack,
)
from visavis.pack.onnx import read_network


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and the result."""

    level: Literal["ok", "warning", "error"]
    subject: str  # a file, or a field of the manifest
    text: str


def verify_pack(folder: Path) -> list[Finding]:
    """Hold all that a manifest says against the pack's files. What is wrong is a finding, and no
    error.
    """
    try:
        pack = read_pack(folder)
    except PackError as error:
        return [Finding("error", MANIFEST, str(error))]
    manifest = pack.manifest
    checks: Sequence[tuple[str, Callable[[], Iterator[Finding]]]] = (
        ("detector", lambda: _detector(pack, manifest.detector)),
        ("embedder", lambda: _embedder(pack, manifest.embedder)),
        ("calibration", lambda: _calibration(pack)),
        *((f"liveness {one.name}", partial(_liveness, pack, one)) for one in manifest.liveness),
        *(
            (f"{title}.origin", partial(_origin, f"{title}.origin", origin))
            for title, origin in manifest.origins.items()
        ),
        ("folder", lambda: _strangers(pack)),
    )
    findings: list[Finding] = []
    for subject, check in checks:
        try:
            findings += check()
        except VisavisError as error:
            findings.append(Finding("error", subject, str(error)))
    return findings


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
        text = (
            f"the manifest says {spec.weights_sha256[:16]}..., its tensors have {weights[:16]}..."
        )
        yield Finding("error", "embedder.weights_sha256", text)
    dim = check_embedder(network.data, spec.preprocess, spec.size, network.source)
    if dim != spec.dim:
        yield Finding("error", "embedder.dim", f"the manifest says {spec.dim}, it gives {dim}")
    for note in normalised_twice(network, spec.preprocess):
        yield Finding("warning", spec.file, note)
    if takes_one(network):
        yield Finding("warning", spec.file, ALONE)
    yield Finding("ok", spec.file, f"{spec.model}: (N, {dim}) for a batch of 1 and of 3, finite")
    if spec.int8 is not None:
        data = pack.read(spec.int8.file, spec.int8.sha256)
        yield Finding("ok", spec.int8.file, f"sha256 {spec.int8.sha256[:16]}...")
        cosine = check_same(network.data, data, spec, str(pack.folder / spec.int8.file))
        yield Finding("ok", spec.int8.file, f"in int8, cosine {cosine:.2f} on made pictures")


def _liveness(pack: Pack, spec: LivenessSpec) -> Iterator[Finding]:
    data = pack.read(spec.file, spec.sha256)
    yield Finding("ok", spec.file, f"sha256 {spec.sha256[:16]}...")
    source = str(pack.folder / spec.file)
    network = read_network(data, source)
    if network.weights_sha256 != spec.weights_sha256:
        text = (
            f"the manifest says {spec.weights_sha256[:16]}..., its tensors have "
            f"{network.weights_sha256[:16]}..."
        )
        yield Finding("error", f"liveness {spec.name}.weights_sha256", text)
    check_liveness(loaded(network.data, spec.preprocess, source), spec, source)
    yield Finding("ok", spec.file, f"{spec.model}: {spec.outputs} finite numbers for a face")


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
    known = {MANIFEST, *pack.files(), manifest.calibration}
    for path in sorted(pack.folder.iterdir()):
        if path.name not in known:
            yield Finding("warning", path.name, "the manifest does not name it: nothing reads it")
