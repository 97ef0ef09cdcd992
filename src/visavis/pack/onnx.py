"""ONNX files as they come from anyone, read with all their weights. Runs nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from visavis.errors import ModelError, PackError
from visavis.files import is_plain
from visavis.pack.dequantise import tensors_sha256
from visavis.runtime.bounds import check_asked

MOST_BYTES = 2 << 30  # of a network with its weights: what protobuf can hold
PREFIX = "visavis."  # of the keys that `visavis convert` writes into a file's metadata
LEAST_WEIGHTS = 256  # numbers from which on a constant of a graph is taken for weights

Dims = tuple[int | str, ...]  # a name, maybe an empty one: dynamic


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a network."""

    name: str
    type: int  # of TensorProto.DataType
    dims: Dims


@dataclass(frozen=True, slots=True)
class Network:
    """An ONNX file that has been read, all its weights in it."""

    source: str  # what errors call it
    data: bytes
    model: ModelProto

    @property
    def inputs(self) -> list[Port]:
        """What callers must feed: weights that are listed as inputs are none."""
        return [_port(value) for value in real_inputs(self.model.graph)]

    @property
    def outputs(self) -> list[Port]:
        """What it answers, in order."""
        return [_port(value) for value in self.model.graph.output]

    @property
    def shapes(self) -> list[tuple[int | None, ...]]:
        """The outputs' shapes, as far as the file declares them."""
        return [
            tuple(dim if isinstance(dim, int) and dim else None for dim in port.dims)
            for port in self.outputs
        ]

    @property
    def metadata(self) -> dict[str, str]:
        """What `visavis convert` noted in the file, keys without their prefix."""
        return {
            prop.key.removeprefix(PREFIX): prop.value
            for prop in self.model.metadata_props
            if prop.key.startswith(PREFIX)
        }

    @property
    def weights_sha256(self) -> str:
        """A hash of the tensors alone. Raises PackError where one cannot be read."""
        try:
            return tensors_sha256(self.model)
        except (ValueError, TypeError, KeyError) as error:
            raise PackError(f"{self.source}: its weights cannot be read: {error}") from error


def read_network(source: Path | bytes, name: str = "") -> Network:
    """An ONNX file, or its bytes. Weights in a file beside it are packed into it.

    `name` is what errors call it. Raises PackError for what is no network, and for weights that lie
    in another folder, or in another file where the network comes as bytes, and for a network that
    asks for more than `visavis.runtime.bounds` allows.
    """
    name = name or (str(source) if isinstance(source, Path) else "the network")
    data = read_file(source) if isinstance(source, Path) else source
    model = ModelProto()
    try:
        check_asked(data)
        model.ParseFromString(data)
    except ModelError as error:
        raise PackError(f"{name}: {error.what}", mend=error.mend) from error
    except (DecodeError, ValueError) as error:
        starts = data[:16].decode("latin-1")
        raise PackError(
            f"{name}: expected an ONNX file, got {len(data):,} bytes that start {starts!r}: "
            "is it complete, or a web page that was saved under that name?"
        ) from error
    if not model.graph.node or not model.graph.output:
        raise PackError(f"{name}: expected an ONNX file, got one without a network in it")
    changed = _take_in(model, name, source.parent if isinstance(source, Path) else None)
    changed = _lift_constants(model.graph) or changed
    return Network(name, model.SerializeToString() if changed else data, model)


def read_file(path: Path) -> bytes:
    """A file's bytes. Raises PackError where it cannot be read, or is larger than a network is."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise PackError(f"{path}: expected at most {MOST_BYTES >> 30} GiB")
        return path.read_bytes()
    except OSError as error:
        raise PackError(f"{path}: cannot be read: {error.strerror or error}") from error


def real_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that are not weights."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _port(value: ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    dims = tuple(dim.dim_value or dim.dim_param for dim in tensor.shape.dim)
    return Port(value.name, tensor.elem_type, dims)


def _take_in(model: ModelProto, name: str, folder: Path | None) -> bool:
    """Read weights that lie in other files of the folder; whether there were any."""
    tensors = [t for t in _tensors(model.graph) if t.data_location == TensorProto.EXTERNAL]
    room = MOST_BYTES
    for tensor in tensors:
        where = {entry.key: entry.value for entry in tensor.external_data}
        tensor.raw_data = _elsewhere(where, name, folder, room)
        room -= len(tensor.raw_data)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return bool(tensors)


def _elsewhere(where: dict[str, str], name: str, folder: Path | None, room: int) -> bytes:
    """A tensor's bytes, from a file beside the network. Other folders and links are refused."""
    location = where.get("location", "")
    if folder is None:
        raise PackError(f"{name}: its weights lie in another file, {location!r}, which is not here")
    path = folder / location
    if not is_plain(location):
        raise PackError(f"{name}: its weights lie in {location!r}: expected a file beside it")
    if path.is_symlink():
        raise PackError(f"{name}: its weights lie in {location!r}, which is a link")
    try:
        start, length = int(where.get("offset", 0)), int(where.get("length", room))
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(min(length, room))
    except (OSError, ValueError) as error:
        raise PackError(f"{name}: its weights in {location!r} cannot be read: {error}") from error
    if "length" in where and len(data) != length:
        raise PackError(
            f"{name}: expected {length:,} bytes of weights in {location!r}, got {len(data):,}"
        )
    return data


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                if inner.node or inner.initializer:
                    yield from _tensors(inner)


def _lift_constants(graph: GraphProto) -> bool:
    """Turn weights that are constants of the graph into tensors, so that they are hashed; whether
    there were any.
    """
    lifted = {}
    for place, node in enumerate(graph.node):
        value = _weights(node)
        if value is not None:
            lifted[place] = numpy_helper.from_array(value, node.output[0])
    nodes = [node for place, node in enumerate(graph.node) if place not in lifted]
    if lifted:
        del graph.node[:]
        graph.node.extend(nodes)
        graph.initializer.extend(lifted.values())
    return bool(lifted)


def _weights(node: NodeProto) -> np.ndarray | None:
    values = [a.t for a in node.attribute if node.op_type == "Constant" and a.name == "value"]
    if not values or np.prod(values[0].dims, dtype=np.float64) < LEAST_WEIGHTS:
        return None
    try:
        return numpy_helper.to_array(values[0])
    except (ValueError, TypeError, KeyError):  # the runtime's own error will say what is wrong
        return None
