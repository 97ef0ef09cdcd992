"""Networks as others export them, brought to the one form that packs hold: (N, 3, H, W) float32 in,
float32 out, and of an embedder (N, D) for any N.

Puts nodes in front and behind, and frees the batch; changes no weight. Runs nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import (
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from visavis.pack.onnx import Network, Port, real_inputs
from visavis.runtime import Preprocess

FLOATS: dict[int, str] = {
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.BFLOAT16: "bfloat16",
}
CHANNELS = 3
# Nodes through which pixels pass unchanged, and those that a normalisation is made of.
PASSES, NORMALISES = ("Cast", "Identity", "Transpose"), ("Add", "Div", "Mul", "Sub")
AGAIN = (
    "its graph normalises pixels itself ({}), and the declared mean and std come before that: "
    "declare mean 0 and std 1 unless both are meant"
)
OPENED = "its batch was fixed at {}, and is open now: crops have the same embeddings in any batch"
ALONE = (
    "it takes one crop at a time, which is slow with many photos: export it with a dynamic batch"
)


@dataclass(frozen=True, slots=True)
class Adapted:
    """A network in the form that packs hold, and what was changed, in words."""

    network: Network
    notes: tuple[str, ...] = ()


def at_the_door(network: Network) -> Adapted:
    """A network that takes (N, H, W, 3), or floats of another width, or answers with them: nodes in
    front and behind turn and cast them.
    """
    model, notes = _copied(network), list[str]()
    for value in real_inputs(model.graph):
        port = next(port for port in network.inputs if port.name == value.name)
        if port.type in FLOATS:
            _put_in_front(model.graph, value, "Cast", to=port.type)
            notes.append(f"its input is cast to {FLOATS[port.type]}")
        if _is_channels_last(port):
            _put_in_front(model.graph, value, "Transpose", perm=[0, 2, 3, 1])
            number, *sides, channels = port.dims
            _declare(value, (number, channels, *sides))
            notes.append("its input is turned: it takes (N, H, W, 3)")
    for value in model.graph.output:
        kind = value.type.tensor_type.elem_type
        if kind in FLOATS:
            _put_behind(model.graph, value, "Cast", to=TensorProto.FLOAT)
            notes.append(f"its answers are cast from {FLOATS[kind]}")
    return _adapted(network, model, notes)


def flat(network: Network) -> Adapted:
    """An embedder that answers (N, D, 1, 1), or with its single sides elsewhere, as (N, D)."""
    model, notes = _copied(network), list[str]()
    for value, port in zip(model.graph.output, network.outputs, strict=True):
        if len(port.dims) > 2 and sum(side != 1 for side in port.dims[1:]) <= 1:
            _put_behind(model.graph, value, "Flatten", axis=1)
            sides = [side for side in port.dims[1:] if side != 1] or [1]
            _declare(value, (port.dims[0], sides[0]))
            notes.append(f"its answers are flattened: it gives (N, {_words(port.dims[1:])})")
    return _adapted(network, model, notes)


def batches(network: Network) -> Iterator[Adapted]:
    """Forms of an embedder that may take crops in batches of any size, the best first.

    Only running it shows which of them does. A network that can take but one is the last of them.
    """
    fixed = network.inputs[0].dims[0] if network.inputs and network.inputs[0].dims else ""
    if not isinstance(fixed, int) or not fixed:
        yield Adapted(network)
        yield Adapted(_reshaped(network, 1), (OPENED.format(1),))
        return
    notes = (OPENED.format(fixed),)
    opened = _opened(network)
    yield Adapted(opened, notes)
    yield Adapted(_reshaped(opened, fixed), notes)
    if takes_one(network):
        yield Adapted(network, (ALONE,))


def takes_one(network: Network) -> bool:
    """Whether it takes one crop at a time."""
    return bool(network.inputs) and network.inputs[0].dims[:1] == (1,)


def normalised_twice(network: Network, preprocess: Preprocess) -> tuple[str, ...]:
    """What to look at where pixels are normalised by the graph and before it."""
    own = _own_normalisation(network.model)
    told = any(preprocess.mean) or set(preprocess.std) != {1.0}
    return (AGAIN.format(own),) if own and told else ()


def _is_channels_last(port: Port) -> bool:
    return len(port.dims) == 4 and port.dims[3] == CHANNELS != port.dims[1]


def _own_normalisation(model: ModelProto) -> str:
    """The first nodes by which a graph normalises its pixels itself, by name; empty for none."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer if np.prod(tensor.dims) <= CHANNELS}
    constants |= {node.output[0] for node in graph.node if node.op_type == "Constant"}
    at, names = next((value.name for value in real_inputs(graph)), ""), list[str]()
    for _ in graph.node:
        readers = [node for node in graph.node if at in node.input]
        others = {name for node in readers for name in node.input} - {at}
        operators = [node.op_type for node in readers]
        if len(readers) != 1 or operators[0] not in (*PASSES, *NORMALISES) or others - constants:
            break
        names += [operators[0]] if operators[0] in NORMALISES and others else []
        at = readers[0].output[0]
    return ", ".join(names)


def _copied(network: Network) -> ModelProto:
    model = ModelProto()
    model.CopyFrom(network.model)
    return model


def _adapted(network: Network, model: ModelProto, notes: list[str]) -> Adapted:
    """The network as it was, where nothing was changed."""
    return Adapted(_remade(network, model), tuple(notes)) if notes else Adapted(network)


def _remade(network: Network, model: ModelProto) -> Network:
    # What was said of values within the graph holds no longer.
    del model.graph.value_info[:]
    return replace(network, data=model.SerializeToString(), model=model)


def _put_in_front(graph: GraphProto, value: ValueInfoProto, operator: str, **options: Any) -> None:
    """Let a node read an input, and all that read it read the node."""
    inner = _fresh(graph)
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == value.name:
                node.input[place] = inner
    # An input that is an answer, too, stays one.
    graph.node.insert(0, helper.make_node(operator, [value.name], [inner], **options))
    if operator == "Cast":
        value.type.tensor_type.elem_type = TensorProto.FLOAT


def _put_behind(graph: GraphProto, value: ValueInfoProto, operator: str, **options: Any) -> None:
    """Let a node give an answer in place of the one that gave it."""
    inner = _fresh(graph)
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == value.name:
                    names[place] = inner
    graph.node.append(helper.make_node(operator, [inner], [value.name], **options))
    if operator == "Cast":
        value.type.tensor_type.elem_type = TensorProto.FLOAT


def _fresh(graph: GraphProto) -> str:
    """A name that no value has."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    number = len(graph.node)
    while f"adapted_{number}" in taken:
        number += 1
    return f"adapted_{number}"


def _declare(value: ValueInfoProto, dims: tuple[int | str, ...]) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for side in dims:
        shape.dim.add(**{"dim_value" if isinstance(side, int) else "dim_param": side})


def _opened(network: Network) -> Network:
    """The network with its batch declared open, at the door alone."""
    model = _copied(network)
    for value in (*real_inputs(model.graph), *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims:
            dims[0].dim_param = "N"
    return _remade(network, model)


def _reshaped(network: Network, fixed: int) -> Network:
    """The network with shapes within that begin with the fixed batch keeping the batch they get."""
    model = _copied(network)
    constants = dict(_constants(model.graph))
    reshapes = [node for node in model.graph.node if node.op_type == "Reshape"]
    shapes = {node.input[1] for node in reshapes if node.input[0] not in constants}
    for name in shapes & constants.keys():
        numbers = numpy_helper.to_array(constants[name])
        if numbers.ndim == 1 and numbers.size > 1 and numbers[0] == fixed:
            kept = np.array([0, *numbers[1:]], np.int64)  # Reshape takes 0 for: as it was
            constants[name].CopyFrom(numpy_helper.from_array(kept, constants[name].name))
    return _remade(network, model)


def _constants(graph: GraphProto) -> Iterator[tuple[str, TensorProto]]:
    """The tensors of a graph by the names under which nodes read them."""
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        yield from ((node.output[0], value) for value in _values(node))


def _values(node: NodeProto) -> Iterator[TensorProto]:
    if node.op_type == "Constant":
        yield from (one.t for one in node.attribute if one.name == "value")


def _words(sides: tuple[int | str, ...]) -> str:
    return ", ".join(str(side) for side in sides)
