"""Detectors' checkpoints to ONNX files of any batch, height and width, and the proof of them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from visavis.checkpoints.families import Shapes, width_of
from visavis.checkpoints.loading import listed, load_weights
from visavis.checkpoints.weights import Weights, read_weights
from visavis.checkpoints.wrapping import shapes_of
from visavis.convert.crops import pixels
from visavis.convert.export import traced
from visavis.convert.parity import prove_numbers
from visavis.decode.retinaface import RETINAFACE
from visavis.decode.yolov5face import YOLOV5FACE
from visavis.decode.yunet import YUNET
from visavis.errors import CheckpointError
from visavis.files import write_whole
from visavis.networks.resnet import ResNet50
from visavis.networks.retinaface import MobileNet, RetinaFace
from visavis.networks.yolov5face import YoloV5Face
from visavis.networks.yunet import YuNet
from visavis.pack.metadata import DetectorMetadata, write_metadata
from visavis.runtime import Outputs, Pictures, Preprocess

PARALLEL = "module."  # before every key, where a network was trained on several GPUs
STRIDE = 32
TRAINED_ON = "WIDER FACE"
# Of a key, between its dots, in some detector's checkpoint and in no embedder's.
PARTS = {
    "bbox_head", "BboxHead", "class_head", "ClassHead", "landmark_head", "LandmarkHead",
    "anchor_grid", "dfl",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DetectorFamily:
    """Checkpoints that one network reads."""

    told_by: Shapes  # which no other family has
    decoder: str  # of visavis.detect.DECODERS
    build: Callable[[Shapes], nn.Module]
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


def _yunet(shapes: Shapes) -> nn.Module:
    """n or s: they differ in widths."""
    layers = ("0.conv1", *(f"{stage}.conv2.conv1" for stage in range(6)))
    return YuNet([width_of(shapes, f"backbone.model{layer}.weight", 64) for layer in layers])


MEANS, SHARES = RETINAFACE.published, YOLOV5FACE.published
FAMILIES = {
    "retinaface-mobilenet025": DetectorFamily(
        {"body.stage1.0.0.weight": (8, 3, 3, 3), "BboxHead.0.conv1x1.weight": (8, 64, 1, 1)},
        "retinaface",
        lambda shapes: RetinaFace(MobileNet(), 64),
        RetinaFace.OUTPUTS,
        MEANS,
        "MIT",
    ),
    "retinaface-resnet50": DetectorFamily(
        {
            "body.layer4.2.conv3.weight": (2048, 512, 1, 1),
            "BboxHead.0.conv1x1.weight": (8, 256, 1, 1),
        },
        "retinaface",
        lambda shapes: RetinaFace(ResNet50(), 256),
        RetinaFace.OUTPUTS,
        MEANS,
        "MIT",
    ),
    "yunet": DetectorFamily(
        {"bbox_head.multi_level_kps.0.conv2.weight": (10, 1, 3, 3)},
        "yunet",
        _yunet,
        YuNet.OUTPUTS,
        YUNET.published,
        "MIT",
    ),
    "yolov5face-n-0.5": DetectorFamily(
        {
            "model.0.stem_1.conv.weight": (16, 3, 3, 3),
            "model.21.anchor_grid": (3, 1, 3, 1, 1, 2),
        },
        "yolov5face",
        lambda shapes: YoloV5Face(),
        YoloV5Face.OUTPUTS,
        SHARES,
        "GPL-3.0",
    ),
}


def is_detector(keys: Iterable[str]) -> bool:
    """Whether these are some detector's, be it one that is not read here."""
    return any(not PARTS.isdisjoint(key.split(".")) for key in keys)


def load_detector_checkpoint(source: Path | Weights) -> DetectorCheckpoint:
    """Load a detector's file of torch.save or safetensors, already read or not; nothing in it is
    run.

    Raises CheckpointError for a file that cannot be read, keys that fit no family, and weights that
    are missing, too many, of another shape, or not finite.
    """
    weights = source if isinstance(source, Weights) else read_weights(source)
    try:
        state = _plain(weights.tensors)
        shapes = shapes_of(state)
        name = _family_of(shapes)
        family = FAMILIES[name]
        network = load_weights(partial(family.build, shapes), state)
    except CheckpointError as error:
        raise CheckpointError(f"{weights.path}: {error}") from error.__cause__
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
    parity = prove_numbers(partial(answers, checkpoint), onnx, checkpoint.preprocess)
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


def answers(checkpoint: DetectorCheckpoint, pictures: Pictures) -> Outputs:
    """What PyTorch makes of (N, H, W, 3) uint8 RGB pictures."""
    with torch.inference_mode():
        found = checkpoint.network(torch.from_numpy(pixels(pictures, checkpoint.preprocess)))
    return [one.numpy() for one in (found if isinstance(found, tuple) else (found,))]


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under the keys of a network trained on one GPU."""
    state = {key.removeprefix(PARALLEL): tensor for key, tensor in tensors.items()}
    if len(state) < len(tensors):
        raise CheckpointError(
            f"some of its keys come with {PARALLEL} and without: which are meant?"
        )
    return state


def _family_of(shapes: Shapes) -> str:
    for name, family in FAMILIES.items():
        if family.told_by.items() <= shapes.items():
            return name
    known = ", ".join(FAMILIES)
    if is_detector(shapes):
        raise CheckpointError(
            f"a detector's, and none of those whose checkpoints are read ({known}): export it to "
            "ONNX with its own project's tool, and give that file to visavis pack import"
        )
    raise CheckpointError(
        f"its keys are those of no detector known here ({known}), but: {listed(sorted(shapes))}"
    )


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
