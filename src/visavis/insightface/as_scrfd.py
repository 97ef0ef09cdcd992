"""YuNet as a detector with SCRFD's nine outputs: the same faces, in InsightFace's terms.

Both have strides 8, 16 and 32 and count from the corners of cells. SCRFD has two anchors on a cell:
the second one is never a face. Its boxes are distances from the corner, YuNet's a centre and the
logarithm of a size; its score is one number, YuNet's the root of the product of two.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from visavis.decode.scrfd import SCRFD
from visavis.decode.yunet import STRIDES, YUNET
from visavis.errors import PackError
from visavis.insightface.graph import Step, copied, declare, per_channel, put_first, swap_step
from visavis.insightface.rules import DETECTOR, WITH_LANDMARKS
from visavis.pack.manifest import DetectorSpec
from visavis.pack.onnx import Dims, Network
from visavis.runtime import Preprocess

TENSORS: dict[str, NDArray[np.generic]] = {
    "zero": np.zeros(1, np.float32),
    "one": np.ones(1, np.float32),
    "half": np.full(1, 0.5, np.float32),
    "first": np.array([0, 1], np.int64),
    "last": np.array([2, 3], np.int64),
    **{f"rows_{last}": np.array([0, -1, last], np.int64) for last in (1, 4, 10)},
}


def as_detector(network: Network, spec: DetectorSpec) -> tuple[ModelProto, list[str]]:
    """A detector as InsightFace takes it, and what was changed, in words.

    Raises PackError for a decoder whose answers cannot be put into SCRFD's outputs.
    """
    model = copied(network)
    notes = []
    if spec.preprocess != DETECTOR:
        put_first(model, _pixels(spec.preprocess))
        notes.append("its graph takes InsightFace's pixels back to its own")
    if spec.decoder == YUNET.name:
        _as_scrfd(model)
        notes.append("its twelve outputs are SCRFD's nine; the second anchor of each cell is empty")
    elif spec.decoder != SCRFD.name:
        raise PackError(
            f"{network.source}: a {spec.decoder} detector's answers have no form in SCRFD's "
            "outputs",
            mend="take another detector",
            option="detector_from",
        )
    dims = network.inputs[0].dims
    sides = [dims[2] or "height", dims[3] or "width"]
    declare(model.graph.input[0], (1, 3, *sides))
    ranks = {len(output.type.tensor_type.shape.dim) for output in model.graph.output}
    if not ranks <= {2, 3} or len(model.graph.output) not in WITH_LANDMARKS:
        raise PackError(
            f"{network.source}: expected 9 or 15 outputs of declared rank 2 or 3 (with landmarks), "
            f"got {len(model.graph.output)} of rank {sorted(ranks)}"
        )
    return model, notes


def _pixels(preprocess: Preprocess) -> list[Step]:
    """From RGB (value - 127.5) / 128, which float32 holds without loss, to what it was fed."""
    steps = [
        Step("Mul", "pixels_scale", [per_channel(DETECTOR.std)]),
        Step("Add", "pixels_mean", [per_channel(DETECTOR.mean)]),
    ]
    if preprocess.color == "bgr":
        steps.append(swap_step())
    if any(preprocess.mean):
        steps.append(Step("Sub", "own_mean", [per_channel(preprocess.mean)]))
    if set(preprocess.std) != {1.0}:
        steps.append(Step("Div", "own_std", [per_channel(preprocess.std)]))
    return steps


def _as_scrfd(model: ModelProto) -> None:
    """Twelve outputs to nine: see the head of this file."""
    graph = model.graph
    names = [output.name for output in graph.output]
    graph.initializer.extend(
        numpy_helper.from_array(array, f"scrfd_{name}") for name, array in TENSORS.items()
    )
    for level, stride in enumerate(STRIDES):
        graph.node.extend(_level(names[level :: len(STRIDES)], stride))
    kinds = (("score", 1), ("box", 4), ("points", 10))
    del graph.output[:]
    for kind, last in kinds:
        for stride in STRIDES:
            dims: Dims = (1, f"rows_{stride}", last)
            graph.output.append(helper.make_tensor_value_info(f"scrfd_{kind}_{stride}", 1, dims))


def _level(names: list[str], stride: int) -> list[NodeProto]:
    """The nodes of one stride: class score, objectness, boxes and landmarks to SCRFD's three."""
    label, objectness, box, points = names

    def node(kind: str, inputs: str, output: str, **attributes: Any) -> NodeProto:
        known = {"label": label, "objectness": objectness, "box": box, "points": points}
        reads = [
            known.get(name, f"scrfd_{name}" if name in TENSORS else f"scrfd_{name}_{stride}")
            for name in inputs.split()
        ]
        return helper.make_node(kind, reads, [f"scrfd_{output}_{stride}"], **attributes)

    return [
        node("Relu", "label", "label_low"),
        node("Min", "label_low one", "label_cut"),
        node("Relu", "objectness", "objectness_low"),
        node("Min", "objectness_low one", "objectness_cut"),
        node("Mul", "label_cut objectness_cut", "product"),
        node("Sqrt", "product", "root"),
        node("Mul", "root zero", "never"),
        node("Concat", "root never", "scores", axis=2),
        node("Reshape", "scores rows_1", "score"),
        node("Gather", "box first", "centre", axis=2),
        node("Gather", "box last", "logarithm", axis=2),
        node("Exp", "logarithm", "side"),
        node("Mul", "side half", "reach"),
        node("Sub", "reach centre", "left_top"),
        node("Add", "reach centre", "right_bottom"),
        node("Concat", "left_top right_bottom left_top right_bottom", "boxes", axis=2),
        node("Reshape", "boxes rows_4", "box"),
        node("Concat", "points points", "both_points", axis=2),
        node("Reshape", "both_points rows_10", "points"),
    ]
