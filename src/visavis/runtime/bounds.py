"""How much a network may ask of what runs it, read from its bytes before any runtime sees them.

Follows the file's own structure and reads no weights. Knows no runtime. Where it cannot tell how
much that is, `visavis.runtime.trial` finds out.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from visavis.errors import ModelError
from visavis.runtime.protobuf import Value, first_numbers, message_fields
from visavis.runtime.shapes import Extents, Numbers, Operation, answered, multiplied

# Face networks have hundreds: 89 to 278 of those that convert writes and packs carry, several times
# as many where transformers are written in small steps.
MOST_NODES = 5_000
# Of one value, as far as constants say: 256 MB of the widest numbers. No face network makes a
# tenth of that from constants.
MOST_NUMBERS = 1 << 25
# Of the file's structure. A network of MOST_NODES has about 100,000; they take 0.3 s to follow.
MOST_FIELDS = 1 << 17
# Of a network that does no harm: multiplications, and numbers of all answers together, for one
# picture. SFace has 0.6e9 and 15e6.
HARMLESS_WORK, HARMLESS_NUMBERS = 5e10, 1 << 26
PICTURE = (1, 3, 640, 640)  # the sides that an input leaves open
MOST_SHAPE = 64  # numbers of a constant that is taken for a shape: no tensor has more axes
DENSEST = 4  # numbers that a byte of a tensor can hold: those of 2 bits

# Fields of ONNX's messages, by the numbers that onnx.proto gives them.
MODEL_GRAPH, MODEL_FUNCTION = 7, 25
GRAPH_NODE, GRAPH_TENSOR, GRAPH_INPUT, GRAPH_SPARSE = 1, 5, 11, 15
INPUT_NAME, INPUT_TYPE, TYPE_TENSOR, TENSOR_SHAPE, SHAPE_SIDE, SIDE_VALUE = 1, 2, 1, 2, 1, 1
NODE_INPUT, NODE_OUTPUT, NODE_OPERATOR, NODE_ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_NAME, ATTRIBUTE_TEXT, ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = 1, 4, (5, 10), (6, 11)
NOTSET = "NOTSET"  # the text of an attribute that is as if it were not there
ATTRIBUTE_SPARSE = (22, 23)
ATTRIBUTE_NUMBERS = {2: "<f4", 3: "", 7: "<f4", 8: ""}  # fields that hold them, and their type
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW, TENSOR_PLACE = 1, 2, 8, 9, 14
TENSOR_NUMBERS = {4: "<f4", 5: "", 7: "", 10: "<f8"}
SPARSE_TENSORS, SPARSE_DIMS = (1, 2), 3
RAW_TYPES = {1: "<f4", 6: "<i4", 7: "<i8", 11: "<f8"}  # of constants that can be a shape

# Operators whose answer has at least as many numbers as each of their inputs.
KEEPS = frozenset(
    "Abs Add And Cast Clip Div Dropout Elu Equal Erf Exp Flatten Floor Greater HardSigmoid "
    "Identity LayerNormalization LeakyRelu Less Log Max Min Mul Neg Not Or PRelu Pow Relu Reshape "
    "Sigmoid Softmax Sqrt Squeeze Sub Sum Tanh Transpose Unsqueeze Where Xor".split()
)


def check_asked(data: bytes) -> bool:
    """Whether it can be told that a network does no harm; else it can be told of none that it does.

    Raises ModelError for more nodes or larger constants than any face network has, for loops,
    branches and functions, which make few nodes run for ever, and for tensors larger than the file;
    ValueError for what is no protobuf.
    """
    network = _Network()
    for number, value in network.fields(memoryview(data)):
        if number == MODEL_FUNCTION:
            raise ModelError(
                "expected a network without functions of its own",
                mend="onnx.inliner.inline_local_functions writes their nodes into the graph",
            )
        if number == MODEL_GRAPH and isinstance(value, memoryview):
            network.read_graph(value)
    if len(network.nodes) > MOST_NODES:
        raise ModelError(f"expected at most {MOST_NODES:,} nodes, got {len(network.nodes):,}")
    for node in network.nodes:
        network.read_node(node)
    return network.told and network.work <= HARMLESS_WORK and network.held <= HARMLESS_NUMBERS


@dataclass(frozen=True, slots=True)
class _Tensor:
    """How many numbers it holds, at least; and which, where they can be a shape."""

    count: float = 1
    numbers: Numbers = ()
    dims: Extents | None = None  # where they are known


NONE = _Tensor()


@dataclass(slots=True)
class _Network:
    """What is known of a network as its bytes are followed."""

    nodes: list[memoryview] = field(default_factory=list)
    values: dict[str, _Tensor] = field(default_factory=dict)  # by name
    left: int = field(default_factory=lambda: MOST_FIELDS)
    told: bool = True  # whether the sides of all answers are known; then what they come to:
    work: float = 0
    held: float = 0

    def fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        """A message's fields. Raises ModelError where all have been too many."""
        for one in message_fields(message):
            self.left -= 1
            if self.left < 0:
                raise ModelError(f"expected a network of at most {MOST_FIELDS:,} fields, got more")
            yield one

    def read_graph(self, graph: memoryview) -> None:
        """Note its nodes and tensors."""
        for number, value in self.fields(graph):
            if isinstance(value, int):
                continue
            if number == GRAPH_NODE:
                self.nodes.append(value)
            elif number == GRAPH_TENSOR:
                name, tensor = self.tensor(value)
                self.values[name] = tensor
            elif number == GRAPH_SPARSE:
                self.check_sparse(value)
            elif number == GRAPH_INPUT:
                name, dims = self.input(value)
                # Some inputs are tensors, too.
                self.values.setdefault(name, _Tensor(1, (), dims))

    def input(self, message: memoryview) -> tuple[str, Extents | None]:
        """An input's name and sides, those of a picture where it leaves them open."""
        name, sides = "", [0] * 0
        for number, value in self.fields(message):
            if number == INPUT_NAME:
                name = _text(value)
            elif number == INPUT_TYPE:
                for shape in self.within(value, TYPE_TENSOR, TENSOR_SHAPE):
                    sides = [
                        max([0, *(int(one) for one in self.within(side, SIDE_VALUE))])
                        for side in self.within(shape, SHAPE_SIDE)
                    ]
        if len(sides) != len(PICTURE):
            return name, None
        return name, tuple(side or usual for side, usual in zip(sides, PICTURE, strict=True))

    def within(self, value: Value, number: int, *deeper: int) -> list[Value]:
        """The values of one field of a message, or of one field of these."""
        fields = [] if isinstance(value, int) else self.fields(value)
        values = [inner for field, inner in fields if field == number]
        return (
            [one for inner in values for one in self.within(inner, *deeper)] if deeper else values
        )

    def read_node(self, node: memoryview) -> None:
        """Note what a node answers. Raises ModelError where that is too much."""
        names: dict[int, list[str]] = {NODE_INPUT: [], NODE_OUTPUT: [], NODE_OPERATOR: []}
        attributes: dict[str, _Tensor] = {}
        for number, value in self.fields(node):
            if isinstance(value, int):
                continue
            if number in names:
                names[number].append(_text(value))
            elif number == NODE_ATTRIBUTE:
                name, tensor = self.attribute(value)
                attributes[name] = tensor
        operator = "".join(names[NODE_OPERATOR][-1:])
        inputs = [self.values.get(name, NONE) if name else NONE for name in names[NODE_INPUT]]
        answer = _answer(operator, inputs, attributes)
        if not answer.count <= MOST_NUMBERS:  # NaN, too
            raise ModelError(
                f"expected values of at most {MOST_NUMBERS:,} numbers, got {answer.count:.3g} of "
                f"{operator!r:.80}"
            )
        answer = replace(answer, dims=self.follow(operator, inputs, attributes, answer))
        self.values |= dict.fromkeys(names[NODE_OUTPUT], answer)

    def follow(
        self,
        operator: str,
        inputs: Sequence[_Tensor],
        attributes: Mapping[str, _Tensor],
        answer: _Tensor,
    ) -> Extents | None:
        """The sides of a node's answer; note what they come to, or that they cannot be told."""
        if operator == "Constant":
            self.told &= answer.dims is not None
            return answer.dims
        known = [tensor.dims for tensor in inputs if tensor.dims is not None]
        asked = Operation(
            known,
            [tensor.numbers for tensor in inputs],
            {name: tensor.numbers for name, tensor in attributes.items()},
        )
        dims = None
        if all(tensor.dims is not None or tensor is NONE for tensor in inputs):
            dims = answered(operator, asked)
        if dims is None:
            self.told = False
            return None
        self.work += multiplied(operator, asked, dims)
        self.held += math.prod(dims)
        return dims

    def attribute(self, attribute: memoryview) -> tuple[str, _Tensor]:
        """Its name and numbers. Raises ModelError for a graph."""
        name, tensor, numbers, unset = "", NONE, [0.0] * 0, False
        for number, value in self.fields(attribute):
            if number in ATTRIBUTE_GRAPHS:
                raise ModelError("expected a network without loops and branches, got one with them")
            if number in ATTRIBUTE_NUMBERS:
                numbers += first_numbers(value, MOST_SHAPE, ATTRIBUTE_NUMBERS[number])
            elif number == ATTRIBUTE_NAME:
                name = _text(value)
            elif number == ATTRIBUTE_TEXT:
                unset = _text(value) == NOTSET
            elif number in ATTRIBUTE_TENSORS and isinstance(value, memoryview):
                _, tensor = self.tensor(value)
            elif number in ATTRIBUTE_SPARSE and isinstance(value, memoryview):
                self.check_sparse(value)
        name = "" if unset else name
        return name, _Tensor(len(numbers), numbers, (len(numbers),)) if numbers else tensor

    def tensor(self, message: memoryview) -> tuple[str, _Tensor]:
        """A tensor and its name. Raises ModelError for more numbers than its bytes can hold."""
        dims, numbers = [0.0] * 0, [0.0] * 0
        known: dict[int, Value] = {}
        for number, value in self.fields(message):
            if number == TENSOR_DIMS:
                dims += first_numbers(value, MOST_SHAPE)
            elif number in TENSOR_NUMBERS:
                numbers += first_numbers(value, MOST_SHAPE, TENSOR_NUMBERS[number])
            else:
                known[number] = value
        name, count = _text(known.get(TENSOR_NAME, 0)), math.prod(dims, start=1.0)
        if not known.get(TENSOR_PLACE) and not 0 <= count <= DENSEST * len(message):
            raise ModelError(
                f"expected tensors within the file, got {name!r:.80} of {count:.3g} numbers in "
                f"{len(message):,} bytes"
            )
        kind, raw = known.get(TENSOR_TYPE), known.get(TENSOR_RAW, 0)
        if kind in RAW_TYPES and isinstance(raw, memoryview):
            numbers += first_numbers(raw, MOST_SHAPE, RAW_TYPES[kind])
        sides = tuple(int(side) for side in dims)
        return name, _Tensor(max(count, 1), numbers if count <= MOST_SHAPE else (), sides)

    def check_sparse(self, message: memoryview) -> None:
        """Raise ModelError for a sparse tensor that is too large once it is written out."""
        dims = [0.0] * 0
        for number, value in self.fields(message):
            if number == SPARSE_DIMS:
                dims += first_numbers(value, MOST_SHAPE)
            elif number in SPARSE_TENSORS and isinstance(value, memoryview):
                self.tensor(value)
        count = math.prod(dims, start=1.0)
        if not 0 <= count <= MOST_NUMBERS:
            raise ModelError(
                f"expected sparse tensors of at most {MOST_NUMBERS:,} numbers, got {count:.3g}"
            )


def _answer(operator: str, inputs: Sequence[_Tensor], attributes: Mapping[str, _Tensor]) -> _Tensor:
    """What an operator answers, as far as constants say."""
    if operator == "Constant":
        return next(iter(attributes.values()), NONE)
    held = [tensor.count for tensor in inputs] or [1.0]
    if operator == "Concat":
        return _Tensor(sum(held))
    kept = max(held) if operator in KEEPS else held[0] if operator in ("Tile", "OneHot") else 1.0
    operands = [*(tensor.numbers for tensor in inputs), (), (), (), ()][:4]
    return _Tensor(kept * _made(operator, operands, attributes))


def _made(operator: str, operands: Sequence[Numbers], attributes: Mapping[str, _Tensor]) -> float:
    """How many numbers an operator makes of each that it gets."""
    named = {name: tensor.numbers for name, tensor in attributes.items()}
    first, second, third, fourth = operands
    shapes = {
        "ConstantOfShape": first,
        "Expand": second,
        "OneHot": second,
        "Range": _steps(first, second, third),
        "Resize": fourth or third,
        "Tile": second,
        "Upsample": second or named.get("scales", ()),
    }
    shape = shapes.get(operator) or named.get("output_shape") or named.get("shape") or ()
    pads = named.get("pads") or (second if operator == "Pad" else ())
    half = len(pads) // 2
    padded = [1 + before + after for before, after in zip(pads[:half], pads[half:], strict=False)]
    # A side below 1 stays as it was, or is a scale that makes it smaller: no bound for those.
    return math.prod((1.0 if side < 1 else side for side in (*shape, *padded)), start=1.0)


def _steps(start: Numbers, limit: Numbers, delta: Numbers) -> Numbers:
    """How many numbers Range makes, where all three are constants."""
    if not len(start) == len(limit) == len(delta) == 1:
        return ()
    return [(limit[0] - start[0]) / delta[0] if delta[0] else math.inf]


def _text(value: Value) -> str:
    return "" if isinstance(value, int) else bytes(value).decode("utf-8", "replace")
