"""The sides of what an operator answers, and how much it multiplies, where its inputs' sides are
known.

A table of the operators that face networks are made of; of any other nothing is told. Knows no
file.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Numbers = Sequence[float]
Extents = tuple[int, ...]

FIRST = frozenset(
    "Abs BatchNormalization Cast Clip DequantizeLinear Dropout Elu Erf Exp Floor HardSigmoid "
    "HardSwish Identity InstanceNormalization LRN LayerNormalization LeakyRelu Log LpNormalization "
    "Neg Not QuantizeLinear Relu Selu Sigmoid Softmax Softplus Sqrt Tanh".split()
)
BROADCAST = frozenset(
    "Add And Div Equal Greater Less Max Min Mul Or PRelu Pow Sub Sum Where Xor".split()
)


@dataclass(frozen=True, slots=True)
class Operation:
    """What an operator is asked: the sides of its inputs, the numbers of those that are constants,
    and its attributes.
    """

    inputs: Sequence[Extents]
    numbers: Sequence[Numbers]
    named: Mapping[str, Numbers]

    def whole(self, name: str, default: Numbers) -> list[int]:
        """An attribute's whole numbers."""
        return [int(number) for number in self.named.get(name) or default]

    def operand(self, place: int, name: str) -> list[int]:
        """The whole numbers of an input, or of the attribute that they were in older versions."""
        given = self.numbers[place] if place < len(self.numbers) else ()
        return [int(number) for number in given] or self.whole(name, ())


def answered(operator: str, asked: Operation) -> Extents | None:
    """The sides of an operator's answer; None where they cannot be told."""
    rule = RULES.get(operator)
    if rule is None or not asked.inputs or "auto_pad" in asked.named:
        return None
    try:
        dims = rule(asked)
    except (IndexError, ValueError, ZeroDivisionError, OverflowError):
        return None  # it does not fit together: its runtime will say so
    return dims if dims is not None and all(side > 0 for side in dims) else None


def multiplied(operator: str, asked: Operation, dims: Extents) -> float:
    """About how many multiplications that takes."""
    count, first = math.prod(dims), asked.inputs[0]
    if operator == "Conv":
        return count * math.prod(asked.inputs[1][1:])
    if operator in ("Gemm", "MatMul"):
        return count * max(first[-2:])
    kernel = math.prod(asked.whole("kernel_shape", ()))
    return max(count * kernel, math.prod(first))


def _broadcast(asked: Operation) -> Extents:
    rank = max(map(len, asked.inputs))
    padded = [(1,) * (rank - len(dims)) + dims for dims in asked.inputs]
    return tuple(map(max, zip(*padded, strict=True)))


def _window(asked: Operation, kernel: Sequence[int]) -> list[int]:
    """The places of a window on a picture."""
    sides, axes = asked.inputs[0][2:], range(len(kernel))
    pads = asked.whole("pads", [0] * 2 * len(kernel))
    strides, steps = asked.whole("strides", [1] * 8), asked.whole("dilations", [1] * 8)
    spare = [
        sides[axis] + pads[axis] + pads[axis + len(kernel)] - steps[axis] * (kernel[axis] - 1) - 1
        for axis in axes
    ]
    more = asked.whole("ceil_mode", [0])[0]
    return [spare[axis] // strides[axis] + 1 + more for axis in axes]


def _convolution(asked: Operation) -> Extents | None:
    weights = asked.inputs[1]
    if len(weights) != len(asked.inputs[0]):
        return None
    return (asked.inputs[0][0], weights[0], *_window(asked, weights[2:]))


def _pool(asked: Operation) -> Extents:
    return (*asked.inputs[0][:2], *_window(asked, asked.whole("kernel_shape", ())))


def _product(asked: Operation) -> Extents | None:
    first, second = asked.inputs[:2]
    if min(len(first), len(second)) < 2:
        return None
    batch = _broadcast(Operation([first[:-2], second[:-2]], (), {}))
    return (*batch, first[-2], second[-1])


def _gemm(asked: Operation) -> Extents:
    first, second = asked.inputs[:2]
    rows = first[1] if asked.whole("transA", [0])[0] else first[0]
    return rows, second[0] if asked.whole("transB", [0])[0] else second[1]


def _reshape(asked: Operation) -> Extents | None:
    before, wanted = asked.inputs[0], asked.operand(1, "shape")
    if not wanted:
        return None
    sides = [before[place] if side == 0 else side for place, side in enumerate(wanted)]
    rest = math.prod(side for side in sides if side != -1)
    return tuple(math.prod(before) // rest if side == -1 else side for side in sides)


def _flatten(asked: Operation) -> Extents:
    axis = asked.whole("axis", [1])[0]
    return math.prod(asked.inputs[0][:axis]), math.prod(asked.inputs[0][axis:])


def _transpose(asked: Operation) -> Extents:
    before = asked.inputs[0]
    return tuple(before[axis] for axis in asked.whole("perm", range(len(before))[::-1]))


def _concat(asked: Operation) -> Extents:
    axis, sides = asked.whole("axis", ())[0], list(asked.inputs[0])
    sides[axis] = sum(dims[axis] for dims in asked.inputs)
    return tuple(sides)


def _reduce(asked: Operation) -> Extents:
    before = asked.inputs[0]
    axes = {axis % len(before) for axis in asked.operand(1, "axes") or range(len(before))}
    kept = asked.whole("keepdims", [1])[0]
    return tuple(
        1 if axis in axes else side for axis, side in enumerate(before) if kept or axis not in axes
    )


def _unsqueeze(asked: Operation) -> Extents:
    axes = asked.operand(1, "axes")
    rank = len(asked.inputs[0]) + len(axes)
    sides, added = iter(asked.inputs[0]), {axis % rank for axis in axes}
    return tuple(1 if axis in added else next(sides) for axis in range(rank))


def _scaled(asked: Operation) -> Extents | None:
    """Resize: by sizes, or by scales, of which the last input that has numbers tells."""
    before, given = asked.inputs[0], [numbers for numbers in asked.numbers[1:] if numbers]
    if not given or len(given[-1]) != len(before):
        return None
    if len(asked.numbers) == 4 and asked.numbers[3]:
        return tuple(int(side) for side in given[-1])
    return tuple(math.floor(side * scale) for side, scale in zip(before, given[-1], strict=True))


def _filled(asked: Operation) -> Extents | None:
    return tuple(int(side) for side in asked.numbers[0]) or None


def _expand(asked: Operation) -> Extents:
    return _broadcast(Operation([asked.inputs[0], tuple(asked.operand(1, "shape"))], (), {}))


def _tile(asked: Operation) -> Extents:
    times = asked.operand(1, "repeats")
    return tuple(side * time for side, time in zip(asked.inputs[0], times, strict=True))


def _slice(asked: Operation) -> Extents:
    sides = list(asked.inputs[0])
    starts, ends = asked.operand(1, "starts"), asked.operand(2, "ends")
    axes = asked.operand(3, "axes") or range(len(starts))
    steps = asked.operand(4, "steps") or [1] * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        sides[axis] = len(range(*slice(start, end, step).indices(sides[axis])))
    return tuple(sides)


def _gather(asked: Operation) -> Extents:
    before, chosen = asked.inputs[:2]
    axis = asked.whole("axis", [0])[0] % len(before)
    return (*before[:axis], *chosen, *before[axis + 1 :])


RULES: dict[str, Callable[[Operation], Extents | None]] = {
    **dict.fromkeys(FIRST, lambda asked: asked.inputs[0]),
    **dict.fromkeys(BROADCAST, _broadcast),
    **dict.fromkeys(("ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"), _reduce),
    **dict.fromkeys(("AveragePool", "MaxPool"), _pool),
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "Conv": _convolution,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda asked: (*asked.inputs[0][:2], *[1] * len(asked.inputs[0][2:])),
    "MatMul": _product,
    "Reshape": _reshape,
    "Resize": _scaled,
    "Slice": _slice,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
