"""An IResNet-50 with random weights as ONNX: for timing, where accuracy does not matter."""

from collections.abc import Iterator

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

LAYERS = ((64, 3), (128, 4), (256, 14), (512, 3))  # channels and blocks of each stage


def random_iresnet50(dim: int = 512) -> ModelProto:
    """(N, 3, 112, 112) float32 in, (N, dim) out; He-initialised: activations stay finite."""
    net = _Net()
    x = net.prelu(net.norm(net.conv("input", 3, 64, 3), 64), 64)  # (N, 64, 112, 112)
    channels = 64
    for width, blocks in LAYERS:
        for block in range(blocks):
            x = net.block(x, channels, width, stride=2 if block == 0 else 1)
            channels = width
    x = net.node("Flatten", [net.norm(x, 512)])  # (N, 25088)
    weights = [net.tensor((dim, 512 * 49), (1 / (512 * 49)) ** 0.5), net.tensor((dim,), 0)]
    net.node("Gemm", [x, *weights], output="embedding", transB=1)
    graph = helper.make_graph(
        net.nodes,
        "iresnet50",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", dim])],
        net.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class _Net:
    """Nodes and weights as they are added."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._names: Iterator[str] = (f"n{number}" for number in range(10_000))
        self._rng = np.random.default_rng(0)

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: object) -> str:
        output = output or next(self._names)
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def tensor(self, shape: tuple[int, ...], scale: float, shift: float = 0) -> str:
        name = next(self._names)
        values = (self._rng.standard_normal(shape) * scale + shift).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, channels: int, width: int, size: int, stride: int = 1) -> str:
        weights = self.tensor((width, channels, size, size), (2 / (channels * size**2)) ** 0.5)
        return self.node("Conv", [x, weights], strides=[stride] * 2, pads=[size // 2] * 4)

    def norm(self, x: str, channels: int) -> str:
        shape = (channels,)
        scales = [self.tensor(shape, 0, shift) for shift in (0.7, 0.0, 0.0, 1.0)]
        return self.node("BatchNormalization", [x, *scales])

    def prelu(self, x: str, channels: int) -> str:
        return self.node("PRelu", [x, self.tensor((channels, 1, 1), 0, 0.25)])

    def block(self, x: str, channels: int, width: int, stride: int) -> str:
        inner = self.conv(self.norm(x, channels), channels, width, 3)
        inner = self.conv(self.prelu(self.norm(inner, width), width), width, width, 3, stride)
        inner = self.norm(inner, width)
        if stride > 1:
            x = self.norm(self.conv(x, channels, width, 1, stride), width)
        return self.node("Add", [x, inner])
