"""InsightFace's own rules: what it takes a network for, and how it feeds it. docs/insightface.md.

Looks at graphs alone: names, shapes, counts. Runs nothing, and knows no folder and no pack.
"""

from onnx import ModelProto

from visavis.decode.scrfd import SCRFD
from visavis.pack.onnx import Network
from visavis.runtime import Preprocess

# How InsightFace feeds networks.
DETECTOR = SCRFD.published
RECOGNISER = Preprocess("rgb", (127.5,) * 3, (127.5,) * 3)
IN_GRAPH = Preprocess("rgb")  # of recognisers that it takes to normalise their pixels themselves
# It decides that by how the names of a recogniser's first nodes start, whatever the nodes do.
WINDOW = 8
SUBTRACTION, MULTIPLICATION = ("Sub", "_minus"), ("Mul", "_mul")
MISREAD = (*SUBTRACTION, *MULTIPLICATION)
WITH_LANDMARKS = (9, 15)  # outputs of a detector that gives them
LEAST_OUTPUTS = 5  # of a detector


def task_of(network: Network) -> str | None:
    """What InsightFace takes a network for: the first of its rules that fits; None for nothing."""
    inputs = network.inputs
    if len(network.outputs) >= LEAST_OUTPUTS:
        return "detection"
    if not inputs or len(inputs[0].dims) != 4:
        return None
    height, width = inputs[0].dims[2:]
    rules = {
        "landmarks": height == width == 192,
        "attributes": height == width == 96,
        "face swap": len(inputs) == 2 and height == width == 128,
        "recognition": isinstance(height, int)
        and height == width
        and height >= 112
        and height % 16 == 0,
    }
    return next((task for task, fits in rules.items() if fits), None)


def recogniser_pixels(model: ModelProto) -> Preprocess:
    """How InsightFace feeds a recogniser."""
    return IN_GRAPH if names_normalisation(model) else RECOGNISER


def names_normalisation(model: ModelProto) -> bool:
    """Whether InsightFace takes a recogniser to normalise its pixels itself: it feeds it 0..255."""
    names = [node.name for node in model.graph.node[:WINDOW]]
    return any(name.startswith(SUBTRACTION) for name in names) and any(
        name.startswith(MULTIPLICATION) for name in names
    )


def keep_names_apart(model: ModelProto) -> None:
    """Rename those of the first nodes that InsightFace would take for a normalisation."""
    for place, node in enumerate(model.graph.node[:WINDOW]):
        if node.name.startswith(MISREAD):
            node.name = f"node_{place}_{node.name}"
