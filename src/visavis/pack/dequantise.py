"""Block-quantised ONNX networks to plain float32 ones. No runtime loads the former well."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, ValueInfoProto, helper, numpy_helper

Tensors = dict[str, NDArray[np.generic]]


def parsed(data: bytes) -> ModelProto:
    """An ONNX file's bytes as a protobuf."""
    model = ModelProto()
    model.ParseFromString(data)
    return model


def mend(model: ModelProto, axes: dict[int, str]) -> ModelProto:
    """Fold a block-quantised network's weights into plain float32 tensors, in place; free the
    input's `axes`.

    DequantizeLinear with `block_size`: (q - zero) * scale, scale and zero repeated along `axis`;
    the Reshape of such a tensor is applied too. Graph inputs that are weights are dropped.
    """
    graph = model.graph
    tensors: Tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    nodes = [node for node in graph.node if not _folded(node, tensors)]
    used = {name for node in nodes for name in node.input}
    inputs = [value for value in graph.input if value.name in used and value.name not in tensors]
    _free(nodes, tensors, inputs, list(graph.output), axes)
    for field, values in ((graph.node, nodes), (graph.input, inputs)):
        del field[:]
        field.extend(values)
    del graph.value_info[:]  # shapes of the batch of one that it was exported with
    del graph.initializer[:]
    graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in sorted(tensors.items())
    )
    return model


def tensors_sha256(model: ModelProto) -> str:
    """A hash of a network's weights alone: names, types, shapes and values, in order of name."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        array = np.ascontiguousarray(numpy_helper.to_array(tensor))
        digest.update(f"{tensor.name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _folded(node: NodeProto, tensors: Tensors) -> bool:
    """Whether the node only unpacks weights; its result then goes among the tensors."""
    if node.op_type == "DequantizeLinear":
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        quantised, scale, zero = (tensors.pop(name) for name in node.input)
        tensors[node.output[0]] = _dequantised(quantised, scale, zero, **attributes)
        return True
    if node.op_type == "Reshape" and node.input[0] in tensors:
        shape = tensors.pop(node.input[1])
        tensors[node.output[0]] = tensors.pop(node.input[0]).reshape(shape.tolist())
        return True
    return False


def _dequantised(
    quantised: NDArray[np.generic],
    scale: NDArray[np.generic],
    zero: NDArray[np.generic],
    *,
    axis: int,
    block_size: int,
) -> NDArray[np.float32]:
    # The last block may be a short one.
    cut = tuple(slice(0, length) for length in quantised.shape)
    scale, zero = (np.repeat(part, block_size, axis=axis)[cut] for part in (scale, zero))
    return (quantised.astype(np.int32) - zero.astype(np.int32)).astype(np.float32) * scale.astype(
        np.float32
    )


def _free(
    nodes: list[NodeProto],
    tensors: Tensors,
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    axes: dict[int, str],
) -> None:
    """Give the input's axes names in place of numbers; outputs and Reshapes follow."""
    dims = inputs[0].type.tensor_type.shape.dim
    for axis, name in axes.items():
        dims[axis].dim_param = name
    for output in outputs:
        dims = output.type.tensor_type.shape.dim
        dims[0].dim_param = "batch"
        if "height" in axes.values():
            dims[1].dim_param = f"cells_{output.name}"
    for node in nodes:
        # (1, -1, k) to (0, -1, k): 0 keeps the axis as it comes.
        if node.op_type == "Reshape":
            target = tensors[node.input[1]].copy()
            target[0] = 0
            tensors[node.input[1]] = target
