"""The families of detectors' checkpoints: how each is recognised, its network and its pixels."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from visavis.checkpoints.families import Shapes, width_of
from visavis.checkpoints.loading import listed, load_weights
from visavis.checkpoints.weights import Weights, read_weights
from visavis.checkpoints.wrapping import shapes_of
from visavis.decode.decoder import Decoder
from visavis.decode.retinaface import RETINAFACE
from visavis.decode.yolov5face import YOLOV5FACE
from visavis.decode.yunet import YUNET
from visavis.errors import CheckpointError
from visavis.networks.resnet import ResNet50
from visavis.networks.retinaface import MobileNet, RetinaFace
from visavis.networks.yolov5face import YoloV5Face
from visavis.networks.yunet import YuNet
from visavis.runtime import Preprocess

PARALLEL = "module."  # before every key of a network that was trained on several GPUs
# Words between the dots of a key that detectors' checkpoints have and no embedder's has.
PARTS = {
    "bbox_head", "BboxHead", "class_head", "ClassHead", "landmark_head", "LandmarkHead",
    "anchor_grid", "dfl",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class DetectorFamily:
    """Checkpoints that one network reads."""

    name: str
    told_by: Shapes  # keys and shapes that no other family has
    decoder: Decoder  # which also says how its networks are fed
    build: Callable[[Shapes], nn.Module]
    outputs: tuple[str, ...]
    licence: str  # of the published weights


@dataclass(frozen=True, slots=True)
class DetectorCheckpoint:
    """A network with a checkpoint's weights, in evaluation mode."""

    network: nn.Module  # (N, 3, H, W) float32, preprocessed, to its decoder's outputs
    family: DetectorFamily
    source: str  # the file's name
    sha256: str  # of the file

    @property
    def preprocess(self) -> Preprocess:
        """The pixels it wants: its family's."""
        return self.family.decoder.published


def _yunet(shapes: Shapes) -> nn.Module:
    """YuNet n or s: they differ in widths."""
    layers = ("0.conv1", *(f"{stage}.conv2.conv1" for stage in range(6)))
    return YuNet([width_of(shapes, f"backbone.model{layer}.weight", 64) for layer in layers])


_ROWS = (
    DetectorFamily(
        name="retinaface-mobilenet025",
        told_by={
            "body.stage1.0.0.weight": (8, 3, 3, 3),
            "BboxHead.0.conv1x1.weight": (8, 64, 1, 1),
        },
        decoder=RETINAFACE,
        build=lambda shapes: RetinaFace(MobileNet(), 64),
        outputs=RetinaFace.OUTPUTS,
        licence="MIT",
    ),
    DetectorFamily(
        name="retinaface-resnet50",
        told_by={
            "body.layer4.2.conv3.weight": (2048, 512, 1, 1),
            "BboxHead.0.conv1x1.weight": (8, 256, 1, 1),
        },
        decoder=RETINAFACE,
        build=lambda shapes: RetinaFace(ResNet50(), 256),
        outputs=RetinaFace.OUTPUTS,
        licence="MIT",
    ),
    DetectorFamily(
        name="yunet",
        told_by={"bbox_head.multi_level_kps.0.conv2.weight": (10, 1, 3, 3)},
        decoder=YUNET,
        build=_yunet,
        outputs=YuNet.OUTPUTS,
        licence="MIT",
    ),
    DetectorFamily(
        name="yolov5face-n-0.5",
        told_by={
            "model.0.stem_1.conv.weight": (16, 3, 3, 3),
            "model.21.anchor_grid": (3, 1, 3, 1, 1, 2),
        },
        decoder=YOLOV5FACE,
        build=lambda shapes: YoloV5Face(),
        outputs=YoloV5Face.OUTPUTS,
        licence="GPL-3.0",
    ),
)
DETECTOR_FAMILIES: dict[str, DetectorFamily] = {family.name: family for family in _ROWS}


def is_detector(keys: Iterable[str]) -> bool:
    """Whether these are a detector's keys, also one of a family that is not read here."""
    return any(not PARTS.isdisjoint(key.split(".")) for key in keys)


def load_detector_checkpoint(source: Path | Weights) -> DetectorCheckpoint:
    """Load a detector's file of torch.save or safetensors, read already or not; nothing in it is
    run.

    Raises CheckpointError for a file that cannot be read, keys that fit no family, and weights that
    are missing, too many, of another shape, or not finite.
    """
    weights = read_weights(source)
    try:
        state = _plain(weights.tensors)
        shapes = shapes_of(state)
        family = _family_of(shapes)
        network = load_weights(partial(family.build, shapes), state)
    except CheckpointError as error:
        raise error.at(str(weights.source)) from error.__cause__
    return DetectorCheckpoint(network, family, weights.source.name, weights.sha256)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the keys of a network trained on one GPU."""
    state = {key.removeprefix(PARALLEL): tensor for key, tensor in tensors.items()}
    if len(state) < len(tensors):
        raise CheckpointError(
            f"some of its keys come with {PARALLEL} and without: which of them are meant?"
        )
    return state


def _family_of(shapes: Shapes) -> DetectorFamily:
    for family in DETECTOR_FAMILIES.values():
        if family.told_by.items() <= shapes.items():
            return family
    known = ", ".join(DETECTOR_FAMILIES)
    if is_detector(shapes):
        raise CheckpointError(
            f"a detector's, and none of those whose checkpoints are read ({known})",
            mend="export it to ONNX with its own project's tool, and give that file to visavis "
            "pack import",
        )
    raise CheckpointError(
        f"its keys are those of no detector known here ({known}), but: {listed(sorted(shapes))}"
    )
