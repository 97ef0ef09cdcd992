"""Preprocessing moved into a network's graph, and shapes declared in it. Runs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from visavis.errors import PackError
from visavis.insightface.rules import MISREAD
from visavis.pack.onnx import Dims, Network, real_inputs
from visavis.runtime import Preprocess

SLICE, GATHER, SUB, MUL = "first_slice", "first_gather", "Sub_0", "Mul_0"  # nodes of ours
SLICE_BY_INPUTS = 10  # the opset from which Slice takes its corners as tensors


@dataclass(frozen=True, slots=True)
class Step:
    """A node to put before a network, and the tensors that it takes beside the picture."""

    kind: str
    name: str
    tensors: Sequence[NDArray[np.generic]] = ()
    attributes: dict[str, Any] = field(default_factory=dict)


def copied(network: Network) -> ModelProto:
    """A copy to change, without weights among its inputs and names that InsightFace would misread.

    Raises PackError where its one input, or an output, is not float32.
    """
    model = ModelProto()
    model.CopyFrom(network.model)
    inputs = real_inputs(model.graph)
    for value in (*inputs, *model.graph.output):
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            raise PackError(f"{network.source}: expected float32, {value.name} is of another type")
    for place, node in enumerate(model.graph.node):
        if node.name.startswith((*MISREAD, SLICE, GATHER)):
            node.name = f"node_{place}_{node.name}"
    del model.graph.input[:], model.graph.value_info[:]  # they hold shapes of one batch and size
    model.graph.input.extend(inputs)
    return model


def put_first(model: ModelProto, steps: Sequence[Step]) -> None:
    """Put nodes between the input and the nodes that read it."""
    source = last = model.graph.input[0].name
    prefix = fresh(model)
    first: list[NodeProto] = []
    for step in steps:
        names = [f"{prefix}{step.name}_{row}" for row in range(len(step.tensors))]
        for name, array in zip(names, step.tensors, strict=True):
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        inputs, last = [last, *names], f"{prefix}{step.name}"
        first.append(helper.make_node(step.kind, inputs, [last], step.name, **step.attributes))
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = last if name == source else name
    nodes = [*first, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def fresh(model: ModelProto) -> str:
    """A prefix that no name in the graph has."""
    graph = model.graph
    names = [node.name for node in graph.node] + [tensor.name for tensor in graph.initializer]
    names += [name for node in graph.node for name in (*node.input, *node.output)]
    return next(
        prefix
        for prefix in (f"visavis{row or ''}_" for row in range(len(names) + 1))
        if not any(name.startswith(prefix) for name in names)
    )


def declare(value: ValueInfoProto, dims: Dims) -> None:
    """Declare an input's or output's shape: numbers, and names for dynamic dimensions."""
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, list(dims)))


def cut_step(model: ModelProto, whole: tuple[int, int], size: tuple[int, int]) -> Step:
    """Cut the middle rows and columns out of the picture."""
    starts = [(side - part) // 2 for side, part in zip(whole, size, strict=True)]
    ends = [start + part for start, part in zip(starts, size, strict=True)]
    if opset(model) < SLICE_BY_INPUTS:
        return Step("Slice", SLICE, (), {"starts": starts, "ends": ends, "axes": [2, 3]})
    corners = [np.array(values, np.int64) for values in (starts, ends, (2, 3))]
    return Step("Slice", SLICE, corners)


def swap_step() -> Step:
    """RGB to BGR."""
    return Step("Gather", GATHER, [np.array([2, 1, 0], np.int64)], {"axis": 1})


def normal_steps(preprocess: Preprocess) -> list[Step]:
    """Normalise RGB pixels 0..255, in nodes whose names tell InsightFace that the graph does it."""
    mean, scale = per_channel(preprocess.mean), per_channel(1 / np.array(preprocess.std))
    swap = [swap_step()] if preprocess.color == "bgr" else []
    return [*swap, Step("Sub", SUB, [mean]), Step("Mul", MUL, [scale])]


def per_channel(values: ArrayLike) -> NDArray[np.float32]:
    """(3,) numbers as what a batch of pictures is multiplied with."""
    return np.array(values, np.float32).reshape(1, 3, 1, 1)


def first_convolutions(model: ModelProto) -> list[NodeProto]:
    """The convolutions that read the picture; none where another node reads it, or where weights
    are no plain float32 tensors.
    """
    graph = model.graph
    picture = graph.input[0].name
    weights = {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}
    readers = [node for node in graph.node if picture in node.input]
    fit = [
        node.op_type == "Conv" and node.input[0] == picture and node.input[1] in weights
        for node in readers
    ]
    return readers if all(fit) else []


def fold(model: ModelProto, convolutions: Sequence[NodeProto], preprocess: Preprocess) -> None:
    """Change convolutions so that they take RGB (value - 127.5) / 127.5, not what `preprocess`
    makes.

    Exact where every mean is 127.5: the border is then padded with one colour before and after.
    Raises PackError for weights of other than three channels.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    scale = per_channel(preprocess.mean) / per_channel(preprocess.std)
    prefix = fresh(model)
    for row, node in enumerate(convolutions):
        weights = numpy_helper.to_array(tensors[node.input[1]])
        if weights.ndim != 4 or weights.shape[1] != 3:
            raise PackError(f"expected a convolution of three channels, got {weights.shape}")
        folded = weights * scale
        if preprocess.color == "bgr":
            folded = folded[:, ::-1]
        name = f"{prefix}folded_{row}"
        array = np.ascontiguousarray(folded, np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, name))
        node.input[1] = name
    drop_unused(model)


def drop_unused(model: ModelProto) -> None:
    """Drop tensors that no node reads; none where nodes have inner graphs, which may read them."""
    nodes = model.graph.node
    if any(attribute.HasField("g") for node in nodes for attribute in node.attribute):
        return
    used = {name for node in nodes for name in node.input}
    used |= {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def opset(model: ModelProto) -> int:
    """The version of ONNX's own operators."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
