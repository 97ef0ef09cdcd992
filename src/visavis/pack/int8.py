"""A float32 network made to compute in int8, by ranges that were measured beforehand.

Needs onnx alone. Knows no network: which tensors are quantised is a matter of the ranges.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from visavis.pack.dequantise import Tensors

# Of a tensor's values, by its name: what lies outside is taken for the nearer end.
Ranges = Mapping[str, tuple[float, float]]

STEPS = 255  # of an activation: uint8
MOST_WEIGHT = 127  # of a weight: int8 without -128, so that zero lies in the middle
EPSILON = 1e-5  # of a BatchNormalization that names none


def quantise(model: ModelProto, ranges: Ranges) -> ModelProto:
    """The network, changed in place: every convolution and matrix product whose input has a range
    computes in int8, with uint8 inputs and int8 weights that have a scale for each channel.

    What has no range stays as it is. BatchNormalization behind a convolution becomes part of it.
    """
    _fold_norms(model)
    _quantise_products(model, ranges)
    return model


def _fold_norms(model: ModelProto) -> None:
    graph = model.graph
    tensors: Tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    made = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    kept: list[NodeProto] = []
    for node in graph.node:
        conv = made.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if conv is None or uses[conv.output[0]] > 1:
            kept.append(node)
        else:
            _fold(conv, node, tensors)
    _replace(model, kept, tensors)


def _quantise_products(model: ModelProto, ranges: Ranges) -> None:
    graph = model.graph
    tensors: Tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    nodes: list[NodeProto] = []
    done: dict[str, str] = {}
    for node in graph.node:
        source = node.input[0] if _by_channel(node) else ""
        if source in ranges:
            if source not in done:
                done[source] = f"{source}_int8"
                nodes += _coarse(source, done[source], ranges[source], tensors)
            nodes.append(_small_weights(node.input[1], tensors))
            node.input[0], node.input[1] = done[source], nodes[-1].output[0]
        nodes.append(node)
    _replace(model, nodes, tensors)


def _by_channel(node: NodeProto) -> bool:
    """Whether it multiplies by weights whose first axis is what it answers."""
    named = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return node.op_type == "Conv" or (node.op_type == "Gemm" and named.get("transB") == 1)


def _fold(conv: NodeProto, norm: NodeProto, tensors: Tensors) -> None:
    gain, offset, mean, variance = (
        np.asarray(tensors[name], np.float64) for name in norm.input[1:5]
    )
    named = {a.name: helper.get_attribute_value(a) for a in norm.attribute}
    scale = gain / np.sqrt(variance + named.get("epsilon", EPSILON))
    weights = np.asarray(tensors[conv.input[1]], np.float64)
    bias = np.asarray(tensors[conv.input[2]], np.float64) if len(conv.input) > 2 else 0.0
    name = f"{conv.output[0]}_folded"
    shape = (-1, *[1] * (weights.ndim - 1))
    tensors[f"{name}_weights"] = (weights * scale.reshape(shape)).astype(np.float32)
    tensors[f"{name}_bias"] = ((bias - mean) * scale + offset).astype(np.float32)
    del conv.input[1:]
    conv.input.extend([f"{name}_weights", f"{name}_bias"])
    conv.output[0] = norm.output[0]


def _coarse(
    source: str, target: str, limits: tuple[float, float], tensors: Tensors
) -> list[NodeProto]:
    """Nodes that round `source` to 256 steps of its range."""
    low, high = limits
    scale = (high - low) / STEPS
    zero = np.clip(round(-low / scale), 0, STEPS)
    tensors[f"{target}_scale"] = np.array(scale, np.float32)
    tensors[f"{target}_zero"] = np.array(zero, np.uint8)
    steps = [f"{target}_scale", f"{target}_zero"]
    return [
        helper.make_node("QuantizeLinear", [source, *steps], [f"{target}_steps"]),
        helper.make_node("DequantizeLinear", [f"{target}_steps", *steps], [target]),
    ]


def _small_weights(name: str, tensors: Tensors) -> NodeProto:
    """Replace weights by int8 ones, and the node that reads them; scales are of the first axis."""
    weights = np.asarray(tensors.pop(name), np.float32)
    scale = np.abs(weights).reshape(len(weights), -1).max(axis=1) / MOST_WEIGHT
    scale[scale == 0] = 1
    steps = np.round(weights / scale.reshape(-1, *[1] * (weights.ndim - 1)))
    tensors[f"{name}_int8"] = steps.astype(np.int8)
    tensors[f"{name}_scale"] = scale.astype(np.float32)
    tensors[f"{name}_zero"] = np.zeros(len(weights), np.int8)
    inputs = [f"{name}_{part}" for part in ("int8", "scale", "zero")]
    return helper.make_node("DequantizeLinear", inputs, [f"{name}_back"], axis=0)


def _replace(model: ModelProto, nodes: list[NodeProto], tensors: Tensors) -> None:
    """Give the graph other nodes, and the tensors that these read."""
    used = {name for node in nodes for name in node.input}
    graph = model.graph
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(array), name)
        for name, array in sorted(tensors.items())
        if name in used
    )
