"""Small networks with random weights, shaped like those that people bring."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DIM = 24


def recogniser(
    *,
    height=112,
    width=112,
    batch="N",
    names=(),
    norm=False,
    pad=1,
    seed=0,
    constant=False,
    fixed_reshape=False,
):
    """An embedder: two convolutions, the first one padded, and a fully connected layer."""
    rng = np.random.default_rng(seed)
    rows, columns = (height + 2 * pad - 3) // 4 + 1, (width + 2 * pad - 3) // 4 + 1
    rows, columns = (rows - 1) // 4 + 1, (columns - 1) // 4 + 1
    tensors = {
        "w1": rng.normal(0, 0.2, (8, 3, 3, 3)),
        "b1": rng.normal(0, 0.1, 8),
        "w2": rng.normal(0, 0.1, (16, 8, 3, 3)),
        "w3": rng.normal(0, 0.1, (16 * rows * columns, DIM)),
    }
    first = {"strides": [4, 4], "pads": [pad] * 4, "kernel_shape": [3, 3]}
    second = {**first, "pads": [1] * 4}
    flat = [1 if fixed_reshape else 0, 16 * rows * columns]
    nodes = [
        helper.make_node("Conv", ["data", "w1", "b1"], ["c1"], **first),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], **second),
        helper.make_node("Reshape", ["c2", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "w3"], ["embedding"]),
    ]
    initializers = [
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in tensors.items()
    ]
    if constant:  # as some exporters leave weights
        value = initializers.pop()
        nodes.insert(0, helper.make_node("Constant", [], ["w3"], value=value))
    initializers.append(numpy_helper.from_array(np.array(flat, np.int64), "flat"))
    outputs = [("embedding", [batch, DIM])]
    if norm:
        nodes.append(helper.make_node("ReduceL2", ["embedding"], ["norm"], axes=[1], keepdims=1))
        outputs.append(("norm", [batch, 1]))
    for node, name in zip(nodes, names, strict=False):
        node.name = name
    return model(nodes, [batch, 3, height, width], outputs, initializers, name="data")


def scaler(size, outputs, name="in", batch="None"):
    """A network that only its shapes tell apart: means of the picture, times constants."""
    nodes = [helper.make_node("ReduceMean", [name], ["mean"], axes=[1, 2, 3], keepdims=0)]
    nodes.append(helper.make_node("Reshape", ["mean", "column"], ["one"]))
    tensors = [numpy_helper.from_array(np.array([-1, 1], np.int64), "column")]
    for row, last in enumerate(outputs):
        values = np.linspace(0.5, 1, last, dtype=np.float32)[None]
        tensors.append(numpy_helper.from_array(values, f"v{row}"))
        nodes.append(helper.make_node("MatMul", ["one", f"v{row}"], [f"out{row}"]))
    ports = [(f"out{row}", [batch, last]) for row, last in enumerate(outputs)]
    return model(nodes, [batch, 3, *size], ports, tensors, name=name)


def model(nodes, shape, outputs, tensors, *, name):
    """An ONNX file's bytes."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, dims) for o, dims in outputs],
        tensors,
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def noted(data, **metadata):
    """The same file with metadata as `visavis convert` writes it."""
    network = onnx.load_from_string(data)
    for key, value in metadata.items():
        network.metadata_props.add(key=f"visavis.{key}", value=value)
    return network.SerializeToString()


METADATA = {
    "family": "made",
    "color": "bgr",
    "mean": "[127.5, 127.5, 127.5]",
    "std": "[128.0, 128.0, 128.0]",
    "height": "112",
    "width": "112",
    "dim": str(DIM),
    "source": "made.pt",
    "source_sha256": "0" * 64,
    "weights_sha256": "0" * 64,
    "version": "0",
    "licence": "CC0-1.0",
    "form": "float32",
    "parity": "{}",
}


def elsewhere(data, folder, location="weights.bin"):
    """The same network with its largest tensor in another file of the folder."""
    network = onnx.load_from_string(data)
    tensor = max(network.graph.initializer, key=lambda t: len(t.raw_data))
    (folder / "weights.bin").write_bytes(b"\0" * 16 + tensor.raw_data)
    for key, value in (
        ("location", location),
        ("offset", "16"),
        ("length", str(len(tensor.raw_data))),
    ):
        tensor.external_data.add(key=key, value=value)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    return network.SerializeToString()
