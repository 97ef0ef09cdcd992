"""Detectors' checkpoints to ONNX files of any batch, height and width, and the proof of them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from visavis.convert.crops import made_crops, pixels
from visavis.convert.export import traced
from visavis.convert.weights import Weights, read_weights
from visavis.convert.wrapping import listed
from visavis.errors import CheckpointError, ModelError
from visavis.files import write_whole
from visavis.networks.retinaface import RetinaFace, build_retinaface
from visavis.networks.yolov5face import YoloV5Face
from visavis.networks.yunet import YuNet, build_yunet
from visavis.pack.metadata import DetectorMetadata, write_metadata
from visavis.runtime import Device, Outputs, Pictures, Preprocess, available_runtimes, load_model

PARALLEL = "module."  # before every key, where a network was trained on several GPUs
STRIDE = 32
SIZES = ((1, 320, 256), (3, 128, 192))  # batch, height and width that it is proved at
LIMIT = 1e-3  # of a difference between two answers, over 1 + their size, in float32
TRAINED_ON = "WIDER FACE"


@dataclass(frozen=True, slots=True)
class DetectorFamily:
    """Checkpoints that one network reads."""

    key: str  # that no other family has
    decoder: str  # of visavis.detect.DECODERS
    build: Callable[[Mapping[str, Tensor]], nn.Module]
    outputs: tuple[str, ...]
    preprocess: Preprocess
    licence: str  # of the published weights


@dataclass(frozen=True, slots=True)
class DetectorCheckpoint:
    """A network with a checkpoint's weights, in evaluation mode, and how its answers are read."""

    network: nn.Module  # (N, 3, H, W) float32, preprocessed, to its decoder's outputs
    family: str  # a key of FAMILIES
    decoder: str
    preprocess: Preprocess
    source: str  # the file's name
    sha256: str  # of the file


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """What was written, and how it was proved."""

    out: Path
    bytes: int
    sha256: str
    family: str
    decoder: str
    preprocess: Preprocess
    licence: str
    source: str
    source_sha256: str
    parity: dict[str, float]  # by runtime: the largest difference to PyTorch, over 1 + size


MEANS = Preprocess("bgr", (104.0, 117.0, 123.0))
SHARES = Preprocess("rgb", std=(255.0, 255.0, 255.0))
RETINAFACE = RetinaFace.OUTPUTS
FAMILIES = {
    "retinaface-mobilenet025": DetectorFamily(
        "body.stage1.0.0.weight", "retinaface", build_retinaface, RETINAFACE, MEANS, "MIT"
    ),
    "retinaface-resnet50": DetectorFamily(
        "body.layer4.2.conv3.weight", "retinaface", build_retinaface, RETINAFACE, MEANS, "MIT"
    ),
    "yunet": DetectorFamily(
        "bbox_head.multi_level_kps.0.conv1.weight",
        "yunet",
        build_yunet,
        YuNet.OUTPUTS,
        Preprocess("bgr"),
        "MIT",
    ),
    "yolov5face-n-0.5": DetectorFamily(
        "model.21.anchor_grid",
        "yolov5face",
        lambda tensors: YoloV5Face(),
        YoloV5Face.OUTPUTS,
        SHARES,
        "GPL-3.0",
    ),
}


def is_detector(tensors: Mapping[str, Tensor]) -> bool:
    """Whether these are some detector's, be it one that is not read here."""
    keys = {key.removeprefix(PARALLEL) for key in tensors}
    return any(family.key in keys for family in FAMILIES.values()) or _is_yolo(keys)


def load_detector_checkpoint(source: Path | Weights) -> DetectorCheckpoint:
    """Load a detector's file of torch.save or safetensors, already read or not; nothing in it is
    run.

    Raises CheckpointError for a file that cannot be read, keys that fit no family, and weights that
    are missing, too many, of another shape, or not finite.
    """
    weights = source if isinstance(source, Weights) else read_weights(source)
    tensors = {key.removeprefix(PARALLEL): tensor for key, tensor in weights.tensors.items()}
    try:
        name = _family_of(tensors)
        network = _loaded(tensors, FAMILIES[name])
    except CheckpointError as error:
        raise CheckpointError(f"{weights.path}: {error}") from error.__cause__
    family = FAMILIES[name]
    return DetectorCheckpoint(
        network, name, family.decoder, family.preprocess, weights.path.name, weights.sha256
    )


def convert_detector(source: Path | Weights, out: Path) -> DetectorReport:
    """Write a detector's checkpoint as an ONNX file that has been proved; else nothing.

    Raises CheckpointError as `load_detector_checkpoint` does, ModelError where a runtime answers
    otherwise than PyTorch, OutputError where the file cannot be written.
    """
    checkpoint = load_detector_checkpoint(source)
    onnx = detector_to_onnx(checkpoint)
    parity = prove_detector(checkpoint, onnx)
    write_whole(out, onnx)
    return DetectorReport(
        out,
        len(onnx),
        hashlib.sha256(onnx).hexdigest(),
        checkpoint.family,
        checkpoint.decoder,
        checkpoint.preprocess,
        FAMILIES[checkpoint.family].licence,
        checkpoint.source,
        checkpoint.sha256,
        parity,
    )


def detector_to_onnx(checkpoint: DetectorCheckpoint) -> bytes:
    """The checkpoint as an ONNX file: input (batch, 3, height, width) float32 normalised pixels,
    sides multiples of 32; outputs as its decoder reads them, by name. Raises ModelError.
    """
    batch, rows, columns = (torch.export.Dim(name) for name in ("batch", "rows", "columns"))
    model = traced(
        checkpoint.network,
        torch.zeros(2, 3, 4 * STRIDE, 6 * STRIDE),
        {0: batch, 2: STRIDE * rows, 3: STRIDE * columns},
        outputs=FAMILIES[checkpoint.family].outputs,
    )
    write_metadata(model, _metadata(checkpoint))
    return bytes(model.SerializeToString())


def prove_detector(checkpoint: DetectorCheckpoint, onnx: bytes) -> dict[str, float]:
    """Made pictures of several sizes through PyTorch and through each runtime in float32: the
    largest difference of an answer, over 1 + its size, by runtime.

    Raises ModelError where one is over the limit, or an answer is no number.
    """
    worst: dict[str, float] = {}
    for runtime in available_runtimes():
        device = Device("cpu", runtime=runtime.name, precision="float32")
        model = load_model(onnx, checkpoint.preprocess, device)
        name = f"{runtime.name} {runtime.version}"
        for batch, height, width in SIZES:
            pictures = made_crops(height, width, count=max(batch, 3))[-batch:]
            gap = _gap(answers(checkpoint, pictures), model(pictures))
            worst[name] = max(worst.get(name, 0.0), gap)
    for name, gap in worst.items():
        if not gap <= LIMIT:
            raise ModelError(
                f"the converted detector is not the checkpoint's: in {name} an answer differs by "
                f"{gap:.1e}, at most {LIMIT:.0e} is allowed; nothing was written"
            )
    return worst


def answers(checkpoint: DetectorCheckpoint, pictures: Pictures) -> Outputs:
    """What PyTorch makes of (N, H, W, 3) uint8 RGB pictures."""
    with torch.inference_mode():
        found = checkpoint.network(torch.from_numpy(pixels(pictures, checkpoint.preprocess)))
    return [one.numpy() for one in (found if isinstance(found, tuple) else (found,))]


def _gap(expected: Outputs, got: Outputs) -> float:
    if [one.shape for one in expected] != [one.shape for one in got]:
        shapes = ", ".join(str(one.shape) for one in got)
        raise ModelError(f"the converted detector answers {shapes}, PyTorch otherwise")
    gaps = [np.abs(a - b) / (1 + np.abs(a)) for a, b in zip(expected, got, strict=True)]
    return float(np.max([gap.max() for gap in gaps]))  # NaN is passed on, and refused


def _family_of(tensors: Mapping[str, Tensor]) -> str:
    if _is_yolo(tensors) and not _is_smallest(tensors):
        raise CheckpointError(
            "a YOLOv5-face other than n-0.5, the one that is read here: export it to ONNX with "
            "its own project's export.py, and give that file to visavis pack build or pack "
            "import, as --detector"
        )
    for name, family in FAMILIES.items():
        if family.key in tensors:
            return name
    raise CheckpointError(
        f"its keys are those of no detector known here ({', '.join(FAMILIES)}), but: "
        f"{listed(sorted(tensors))}"
    )


def _is_yolo(keys: Iterable[str]) -> bool:
    return any(key.endswith(".anchor_grid") for key in keys)


def _is_smallest(tensors: Mapping[str, Tensor]) -> bool:
    """n-0.5 is told by the width of its stem, and by its last layer's number."""
    stem = tensors.get("model.0.stem_1.conv.weight")
    return stem is not None and stem.shape == (16, 3, 3, 3) and "model.21.anchor_grid" in tensors


def _loaded(tensors: Mapping[str, Tensor], family: DetectorFamily) -> nn.Module:
    """The family's network with these weights as float32."""
    try:
        network = family.build(tensors)
    except KeyError as error:
        raise CheckpointError(f"keys that do not fit: {error} is missing") from error
    wanted = network.state_dict()
    faults = {
        "missing": [key for key in wanted if key not in tensors],
        "unexpected": [key for key in tensors if key not in wanted],
        "of another shape": [
            key for key in wanted if key in tensors and wanted[key].shape != tensors[key].shape
        ],
        "no numbers, NaN or infinite": [
            key for key in tensors if not bool(tensors[key].isfinite().all())
        ],
    }
    if any(faults.values()):
        raise CheckpointError(
            "weights that do not fit: "
            + "; ".join(
                f"{len(keys)} {what}: {listed(keys)}" for what, keys in faults.items() if keys
            )
        )
    network.load_state_dict({key: tensor.to(wanted[key].dtype) for key, tensor in tensors.items()})
    return network.eval()


def _metadata(checkpoint: DetectorCheckpoint) -> DetectorMetadata:
    return DetectorMetadata(
        family=checkpoint.family,
        decoder=checkpoint.decoder,
        color=checkpoint.preprocess.color,
        mean=checkpoint.preprocess.mean,
        std=checkpoint.preprocess.std,
        licence=FAMILIES[checkpoint.family].licence,
        training_data=TRAINED_ON,
        source=checkpoint.source,
        source_sha256=checkpoint.sha256,
        version=version("visavis"),
    )
