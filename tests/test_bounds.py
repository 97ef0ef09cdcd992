"""Networks that ask for more than any machine has are refused before a runtime sees them.

Each attack is built here, is refused by the library and by the command line, soon and in little
memory; and a small one of its kind, once its bound is lifted, takes effect.
"""

from typing import Any

import numpy as np
import pytest
from malformed import MEGABYTES, measured
from onnx import TensorProto, helper, numpy_helper
from test_malformed_packs import embedder, packed, refused

from visavis.embedder import load_embedder
from visavis.errors import ModelError, PackError
from visavis.pack import load_pack
from visavis.pack.onnx import read_network
from visavis.runtime import Device, Preprocess, bounds, load_model
from visavis.runtime.bounds import check_asked

SECONDS = 2.0
PIXEL = np.full((1, 2, 2, 3), 7, np.uint8)
EXACT = Device(precision="float32")


def made(*nodes: tuple[str, list[str], dict[str, Any]], change=None, **tensors) -> bytes:
    """A network whose last node's answer is added to a crop's means."""
    chain = [
        helper.make_node(operator, inputs, [f"v{place}"], **options)
        for place, (operator, inputs, options) in enumerate(nodes)
    ]
    end = [
        helper.make_node("ReduceMax", [f"v{len(nodes) - 1}"], ["most"], keepdims=0),
        helper.make_node("ReduceMean", ["in"], ["mean"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["mean", "most"], ["out"]),
    ]
    graph = helper.make_graph(
        [*chain, *end],
        "made",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(value), name) for name, value in tensors.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    if change:
        change(model)
    return model.SerializeToString()


def filled(*shape: int) -> bytes:
    """A network with a constant of this shape, all 1."""
    one = numpy_helper.from_array(np.ones(1, np.float32))
    return made(("ConstantOfShape", ["s"], {"value": one}), s=np.array(shape))


def loop(rounds: int) -> bytes:
    """A network that adds 1 to 0 so many times."""
    scalar = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["again"], ["go"]),
            helper.make_node("Add", ["before", "one"], ["after"]),
        ],
        "body",
        [scalar("round", TensorProto.INT64, []), scalar("again", TensorProto.BOOL, []),
         scalar("before", TensorProto.FLOAT, [])],
        [scalar("go", TensorProto.BOOL, []), scalar("after", TensorProto.FLOAT, [])],
    )  # fmt: skip
    start = {"one": np.float32(1), "zero": np.float32(0), "true": np.array(True)}
    return made(("Loop", ["n", "true", "zero"], {"body": body}), n=np.int64(rounds), **start)


def chain(count: int) -> bytes:
    """A network of so many additions of 1, and three nodes more."""
    nodes = [("Add", [f"v{place - 1}" if place else "one", "one"], {}) for place in range(count)]
    return made(*nodes, one=np.float32(1))


def nested(depth: int) -> bytes:
    """Functions that each call the one before twice: a number is doubled 2 ** depth times."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]

    def function(level, *nodes):
        return helper.make_function("own", f"f{level}", ["x"], ["y"], nodes, opsets)

    def change(model):
        model.opset_import.append(opsets[1])
        model.functions.append(function(0, helper.make_node("Add", ["x", "x"], ["y"])))
        for level in range(1, depth + 1):
            below = [
                helper.make_node(f"f{level - 1}", [taken], [given], domain="own")
                for taken, given in (("x", "between"), ("between", "y"))
            ]
            model.functions.append(function(level, *below))

    return made((f"f{depth}", ["one"], {"domain": "own"}), one=np.float32(1), change=change)


def claiming(*dims: int) -> bytes:
    """A network with a tensor of one number that claims this shape."""

    def change(model):
        model.graph.initializer[0].dims[:] = dims

    return made(("Identity", ["w"], {}), w=np.ones(1, np.float32), change=change)


def sparse(side: int) -> bytes:
    """A network with a sparse tensor of one number in side x side."""

    def change(model):
        values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
        indices = numpy_helper.from_array(np.zeros(1, np.int64))
        model.graph.sparse_initializer.append(
            helper.make_sparse_tensor(values, indices, [side, side])
        )

    return made(("Identity", ["sparse"], {}), change=change)


def unpacked(data: bytes, count: int) -> bytes:
    """The same with so many empty descriptions of values: a field of two bytes each."""
    return data + b"\x3a" + varint(2 * count) + b"\x6a\x00" * count  # graph.value_info


def varint(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80, *varint(number >> 7)]) if number > 0x7F else bytes([number])


GIB = (5, 1 << 30)  # numbers of 4 bytes: 20 GiB
TILED = made(("Tile", ["one", "n"], {}), ("Tile", ["v0", "n"], {}),
    one=np.ones(1, np.float32), n=np.array([10**6]))  # fmt: skip
DOUBLED = made(("Concat", ["one"] * 2, {"axis": 0}), *(
    ("Concat", [f"v{place}"] * 2, {"axis": 0}) for place in range(40)), one=np.ones(1, np.float32)
)  # fmt: skip
ONE = np.ones((1, 1, 1, 1), np.float32)
FAR = np.array([1, 1, 10**6, 10**6])
ATTACKS = {
    "ConstantOfShape of 20 GiB": (filled(*GIB), "at most 33,554,432 numbers, got 5.37e.09 of 'Con"),
    "shape in a Constant": (made(
        ("Constant", [], {"value": numpy_helper.from_array(np.array(GIB))}),
        ("ConstantOfShape", ["v0"], {})), "got 5.37e.09"),
    "shape in a Constant's numbers": (made(("Constant", [], {"value_ints": GIB}),
        ("ConstantOfShape", ["v0"], {})), "got 5.37e.09"),
    "Expand": (made(("Expand", ["one", "s"], {}), one=np.float32(1), s=FAR), "got 1e.12"),
    "Tile": (made(("Tile", ["one", "n"], {}), one=ONE, n=FAR), "got 1e.12"),
    "Tile of a Tile": (TILED, "got 1e.12"),
    "Concat of itself": (DOUBLED, "got 6.71e.07 of 'Concat'"),  # the 26th time: 2 ** 26
    "Pad": (made(("Pad", ["one", "p"], {}), one=ONE, p=np.array([0, 0, 0, 0, 0, 0, 9**6, 9**6])),
        "got 2.82e.11"),
    "Resize": (made(("Resize", ["one", "", "", "s"], {}), one=ONE, s=FAR), "got 1e.12"),
    "Range": (made(("Range", ["a", "b", "c"], {}), a=0.0, b=1e12, c=1.0), "got 1e.12 of 'Range'"),
    "Range of steps of 0": (made(("Range", ["a", "b", "c"], {}), a=0.0, b=1e12, c=0.0), "got inf"),
    "RandomNormal": (made(("RandomNormal", [], {"shape": [10**6, 10**6]})), "got 1e.12"),
    "Loop of 2 ** 60": (loop(1 << 60), "without loops and branches"),
    "functions": (nested(60), "without functions of its own"),
    "30,000 nodes": (chain(29_997), "expected at most 5,000 nodes, got 30,000"),
    "many fields": (unpacked(filled(1), 300_000), "at most 131,072 fields, got more"),
    "claims more than it has": (claiming(1 << 40), "within the file, got 'w' of 1.1e.12 numbers"),
    "claims more than numbers go": (claiming(*[1 << 62] * 40), "got 'w' of inf numbers"),
    "a negative side": (claiming(-4), "got 'w' of -4 numbers"),
    "sparse": (sparse(1 << 20), "sparse tensors of at most .*, got 1.1e.12"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "said"), ATTACKS.values(), ids=ATTACKS)
def test_a_network_that_asks_too_much_is_refused(data, said):
    def work():
        with pytest.raises(ModelError, match=said):
            load_model(data, Preprocess(), EXACT)
        with pytest.raises(PackError, match=f"^evil.onnx: .*{said}"):
            read_network(data, "evil.onnx")

    cost = measured(work)
    assert cost.seconds < SECONDS
    assert cost.megabytes < MEGABYTES


@pytest.mark.pack
@pytest.mark.parametrize(("data", "said"), ATTACKS.values(), ids=ATTACKS)
def test_a_pack_that_asks_too_much_is_refused_by_command(data, said, run, tmp_path):
    folder = packed(tmp_path / "pack", "embedder", data)
    (tmp_path / "evil.onnx").write_bytes(data)
    build = ("pack", "build", "evil", "--embedder", tmp_path / "evil.onnx", "--color", "rgb")

    def work():
        with pytest.raises(ModelError, match=said):
            load_embedder(load_pack(folder), device=EXACT)
        refused(run, build, said)

    cost = measured(work)
    assert cost.seconds < SECONDS
    assert cost.megabytes < MEGABYTES


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (filled(3, 4), True),
        (chain(4_997), True),
        (claiming(1), True),
        (sparse(9), False),
        (embedder(), True),
        (unpacked(filled(1), 100_000), True),
    ],
)
def test_what_a_network_may_ask_for(data, told):
    """It is refused nothing; whether all that it asks for can be told."""
    assert check_asked(data) is told


# Small attacks, and what each answers in a sabotaged copy with its bound lifted: what is tight,
# what is lifted, and what the network then makes of nothing.
LIFTED = {
    "constants": ("MOST_NUMBERS", filled(1, 60), 50, 100, 1),
    "nodes": ("MOST_NODES", chain(60), 50, 100, 61),
    "fields": ("MOST_FIELDS", filled(1), 20, 10_000, 1),
    "loops": ("ATTRIBUTE_GRAPHS", loop(60), (6, 11), (), 60),
    "functions": ("MODEL_FUNCTION", nested(3), 25, 0, 2**8),
}


@pytest.mark.parametrize(("bound", "data", "tight", "lifted", "made"), LIFTED.values(), ids=LIFTED)
def test_without_its_bound_an_attack_takes_effect(bound, data, tight, lifted, made, monkeypatch):
    device = EXACT
    if bound == "MODEL_FUNCTION":  # OpenVINO knows no functions
        pytest.importorskip("onnxruntime")
        device = Device(runtime="onnxruntime")
    monkeypatch.setattr(bounds, bound, tight)
    with pytest.raises(ModelError, match=r"^expected"):
        load_model(data, Preprocess(), device)
    monkeypatch.setattr(bounds, bound, lifted)
    (means,) = load_model(data, Preprocess(), device)(PIXEL)
    assert means.tolist() == [[7 + made] * 3]


@pytest.mark.parametrize("data", [b"<html>", b"\x0b", b"\x3a\x05\x01", b"\x08\xff", b"\x02\x00"])
def test_what_is_no_protobuf_is_no_network(data):
    with pytest.raises(ModelError, match="cannot load this network: it is no ONNX file"):
        load_model(data, Preprocess(), EXACT)
    with pytest.raises(PackError, match="expected an ONNX file"):
        read_network(data)
