"""Made liveness networks, and a published one computed by PyTorch."""

from pathlib import Path
from typing import Any

from made_networks import scaler

from visavis.liveness.networks import LivenessNetworks
from visavis.pack.liveness import MINIFASNET_ORIGIN, PAIR
from visavis.pack.manifest import LivenessSpec
from visavis.runtime import Preprocess


def networks_of(*members: tuple[Any, float]) -> LivenessNetworks:
    """Functions of pictures as a pack's liveness networks; each sees so many times the face."""
    return LivenessNetworks(
        tuple(
            (
                model,
                LivenessSpec(
                    f"made{place}", "", "", "", scale, 3, 1, MINIFASNET_ORIGIN, Preprocess("bgr")
                ),
            )
            for place, (model, scale) in enumerate(members)
        )
    )


def two_networks(folder: Path, *, outputs: int = 3, data: bytes | None = None) -> Path:
    """A folder of two small networks under the published names: what they answer means nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in PAIR:
        made = scaler((80, 80), [outputs], name="input", batch=1)
        (folder / one.file).write_bytes(made if data is None else data)
    return folder


def torch_run(path: Path, picture: Any) -> Any:
    """The answer of an ONNX file's nodes, each computed by PyTorch: what MiniFASNet is made of."""
    import onnx
    import torch
    from onnx import helper, numpy_helper

    graph = onnx.load(path).graph
    values = {one.name: torch.tensor(numpy_helper.to_array(one)) for one in graph.initializer}
    values[graph.input[0].name] = picture
    for node in graph.node:
        given = [values[name] for name in node.input]
        said = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type == "Constant":
            said["value"] = torch.tensor(numpy_helper.to_array(said["value"]))
        values[node.output[0]] = computed(node.op_type, given, said)
    return values[graph.output[0].name]


def computed(kind: str, given: list[Any], said: dict[str, Any]) -> Any:
    """What PyTorch makes of one node. KeyError for a kind that MiniFASNet has not."""
    import torch
    from torch.nn import functional

    def convolved() -> Any:
        assert said["pads"][:2] == said["pads"][2:]
        names = {"strides": "stride", "dilations": "dilation", "group": "groups"}
        options = {name: said[key] for key, name in names.items()}
        return functional.conv2d(*given, padding=said["pads"][:2], **options)

    def normalised() -> Any:
        weight, bias, mean, variance = given[1:]
        return functional.batch_norm(given[0], mean, variance, weight, bias, eps=said["epsilon"])

    return {
        "Conv": convolved,
        "BatchNormalization": normalised,
        "PRelu": lambda: functional.prelu(given[0], given[1].flatten()),
        "GlobalAveragePool": lambda: given[0].mean(dim=(2, 3), keepdim=True),
        "Constant": lambda: said["value"],
        "Reshape": lambda: given[0].reshape(given[1].tolist()),
        "MatMul": lambda: torch.matmul(*given),
        "Add": lambda: torch.add(*given),
        "Mul": lambda: torch.mul(*given),
        "Relu": lambda: torch.relu(*given),
        "Sigmoid": lambda: torch.sigmoid(*given),
    }[kind]()
