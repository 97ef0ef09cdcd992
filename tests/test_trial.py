"""Networks of which no file says how much they take: run apart once, and stopped in time.

Each attack passes the bounds that are read from the file; it is refused by the library and by the
command line; and without the watcher a small one of its kind takes what it wants.
"""

import re
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from made_networks import recogniser
from malformed import MEGABYTES, can_measure_memory, measured
from test_bounds import filled, made
from test_malformed_packs import packed, refused

from visavis.embedder import load_embedder
from visavis.errors import ModelError
from visavis.pack import load_pack
from visavis.runtime import Device, Preprocess, bounds, load_model, trial
from visavis.runtime.bounds import check_asked
from visavis.runtime.shapes import Operation, answered, multiplied
from visavis.runtime.trial import try_once

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")
FLAT, ROW = np.array([-1, 1]), np.array([1, -1])
TOO_MUCH = "to load and run in little time and 160 MB: it was run once apart"
Node = tuple[str, list[str], dict[str, Any]]


def outer(*, ends: tuple[Node, ...] = ()) -> bytes:
    """Every pixel times every other: 1.4e9 numbers of a crop."""
    return made(("Reshape", ["in", "flat"], {}), ("Reshape", ["in", "row"], {}),
        ("MatMul", ["v0", "v1"], {}), *ends, flat=FLAT, row=ROW)  # fmt: skip


def products(count: int, side: int) -> bytes:
    """A constant multiplied with itself so often, while it is loaded: hours for a file of 40 KB."""
    nodes = [("MatMul", [f"v{n}", f"v{n}"], {}) for n in range(count)]
    return made(("ConstantOfShape", ["s"], {}), *nodes, s=np.array([side, side]))


ATTACKS = {
    "a product of all pixels": outer(),
    "many channels": made(("Conv", ["in", "w"], {}), w=np.zeros((4096, 3, 1, 1), np.float32)),
    "enlarged": made(("Resize", ["in", "", "s"], {}), s=np.array([1, 1, 40, 40], np.float32)),
    "tiled": made(("Tile", ["in", "n"], {}), n=np.array([1, 1, 100, 100])),
    "einsum": made(("Einsum", ["in", "in"], {"equation": "abcd,abef->cdef"})),
    "padded by a computed number": made(
        ("Shape", ["in"], {}), ("Concat", ["v0", "v0"], {"axis": 0}), ("Mul", ["v1", "k"], {}),
        ("Pad", ["in", "v2"], {}), k=np.array([0, 0, 20, 20, 0, 0, 20, 20])),
    "hours of products": products(400, 3000),
}  # fmt: skip
HARMLESS = {
    "one unknown operator": made(("NonZero", ["in"], {}), ("Cast", ["v0"], {"to": 1})),
    "a computed shape": made(("Shape", ["in"], {}), ("Cast", ["v0"], {"to": 1})),
}


@pytest.fixture
def tried(monkeypatch):
    """The runtimes for which a network was run apart."""
    runtimes: list[str] = []
    run = trial._watched

    def noted(file, runtime):
        runtimes.append(runtime)
        return run(file, runtime)

    monkeypatch.setattr(trial, "_watched", noted)
    return runtimes


@pytest.mark.parametrize("data", ATTACKS.values(), ids=ATTACKS)
def test_the_file_alone_does_not_say_what_an_attack_takes(data):
    assert not check_asked(data)


# What a program of its own says that an attack cost: ru_maxrss is of the largest child so far, and
# of what it was forked from.
COST = """
import resource, sys
from visavis.errors import ModelError
from visavis.runtime import Device, Preprocess, load_model
ballast = bytearray(b"x") * (int(sys.argv[3]) << 20)
data = open(sys.argv[1], "rb").read()
try:
    load_model(data, Preprocess(), Device("cpu", runtime=sys.argv[2]))
    said = "loaded"
except ModelError as error:
    said = str(error)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss, said)
"""


def cost_of(name, runtime, tmp_path, ballast=0):
    """Seconds and kilobytes of the child, and what was said."""
    pytest.importorskip(runtime)
    (tmp_path / "attack.onnx").write_bytes(ATTACKS[name])
    command = [sys.executable, "-c", COST, tmp_path / "attack.onnx", runtime, str(ballast)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, kilobytes, said = done.stdout.strip().split(" ", 2)
    return float(seconds), int(kilobytes), said


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_stopped_within_little_time_and_memory(name, runtime, tmp_path):
    seconds, kilobytes, said = cost_of(name, runtime, tmp_path)
    assert re.search(f"{TOO_MUCH}|the network refuses|cannot load", said)
    assert seconds < 4  # the start of the runtime in it
    assert kilobytes < (256 + 256) * 1024


@pytest.mark.slow
def test_an_attack_on_a_large_program_is_stopped_as_well(tmp_path):
    """The memory of the program itself is not the child's."""
    assert re.search(TOO_MUCH, cost_of("einsum", "openvino", tmp_path, ballast=2000)[2])


@pytest.mark.slow
@pytest.mark.pack
def test_a_pack_with_an_attack_is_refused_by_command(run, tmp_path):
    data = ATTACKS["a product of all pixels"]
    folder = packed(tmp_path / "pack", "embedder", data)
    (tmp_path / "evil.onnx").write_bytes(data)
    words = ("pack", "build", "evil", "--embedder", tmp_path / "evil.onnx", "--color", "rgb",
        "--mean", "0", "--std", "1", "--size", "112x112")  # fmt: skip
    refused(run, words, "was run once apart")
    with pytest.raises(ModelError, match="was run once apart"):
        load_embedder(load_pack(folder))


@pytest.mark.slow
@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
def test_what_does_no_harm_is_run_apart_once(data, tried):
    for _ in range(2):
        load_model(data, Preprocess(), Device("cpu", runtime="openvino"))
    assert tried == ["openvino"]


def test_what_can_be_told_is_not_run_apart(tried):
    assert check_asked(recogniser())
    load_model(recogniser(), Preprocess(), Device("cpu", runtime="openvino"))
    assert tried == []


@pytest.mark.slow
def test_without_the_watcher_an_attack_takes_what_it_wants(monkeypatch):
    """A sabotaged copy: of a picture of 56x56 pixels, which has 9 KB, it makes 354 MB."""
    pytest.importorskip("onnxruntime")
    where = Device("cpu", runtime="onnxruntime")
    with pytest.raises(ModelError, match=TOO_MUCH):
        load_model(outer(), Preprocess(), where)
    monkeypatch.setattr(trial, "_watched", lambda file, runtime: 0)
    model = load_model(outer(), Preprocess(), where)
    cost = measured(lambda: model(np.zeros((1, 56, 56, 3), np.uint8)))
    assert cost.megabytes > MEGABYTES or not can_measure_memory()


@pytest.mark.slow
def test_a_process_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(trial, "START", "import time; time.sleep(600)")
    monkeypatch.setattr(trial, "MOST_WAIT", 0.5)
    start = time.monotonic()
    with pytest.raises(ModelError, match="was run once apart"):
        try_once(recogniser(), "openvino")
    assert time.monotonic() - start < 30


def test_a_full_temporary_folder_is_an_error_in_words(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trial, "_watched", full)
    with pytest.raises(ModelError, match="run apart first: No space left on device: make room"):
        try_once(recogniser(seed=7), "openvino")


def sides(operator, *inputs, numbers=(), **named):
    return answered(operator, Operation(inputs, numbers, named))


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        (sides("Relu", (1, 3, 8, 8)), (1, 3, 8, 8)),
        (sides("Add", (1, 3, 8, 8), (3, 1, 1)), (1, 3, 8, 8)),
        (sides("Add", (4, 1), (1, 5)), (4, 5)),
        (sides("Conv", (1, 3, 112, 112), (64, 3, 3, 3), pads=(1, 1, 1, 1)), (1, 64, 112, 112)),
        (sides("Conv", (1, 3, 9, 7), (4, 3, 3, 3), strides=(2, 2)), (1, 4, 4, 3)),
        (sides("Conv", (1, 3, 9, 9), (4, 3, 3, 3), dilations=(2, 2)), (1, 4, 5, 5)),
        (sides("Conv", (1, 3, 9, 9), (4, 3, 3, 3), auto_pad=()), None),
        (sides("MaxPool", (1, 3, 9, 9), kernel_shape=(2, 2), strides=(2, 2)), (1, 3, 4, 4)),
        (sides("MaxPool", (1, 3, 9, 9), kernel_shape=(2, 2), strides=(2, 2), ceil_mode=(1,)),
            (1, 3, 5, 5)),
        (sides("MatMul", (1, 7, 5), (5, 9)), (1, 7, 9)),
        (sides("MatMul", (37632, 1), (1, 37632)), (37632, 37632)),
        (sides("Gemm", (2, 5), (9, 5), transB=(1,)), (2, 9)),
        (sides("Reshape", (1, 4, 6), numbers=[(), (0, -1)]), (1, 24)),
        (sides("Reshape", (1, 4, 6), numbers=[(), ()]), None),
        (sides("Flatten", (2, 3, 4)), (2, 12)),
        (sides("Transpose", (1, 2, 3), perm=(0, 2, 1)), (1, 3, 2)),
        (sides("Concat", (1, 2), (1, 5), axis=(1,)), (1, 7)),
        (sides("ReduceMean", (1, 3, 8, 8), axes=(2, 3), keepdims=(0,)), (1, 3)),
        (sides("Unsqueeze", (3, 4), numbers=[(), (0,)]), (1, 3, 4)),
        (sides("Resize", (1, 3, 8, 8), numbers=[(), (), (1, 1, 2.5, 2)]), (1, 3, 20, 16)),
        (sides("Resize", (1, 3, 8, 8), numbers=[(), (), (), (1, 3, 5, 6)]), (1, 3, 5, 6)),
        (sides("Tile", (1, 3), numbers=[(), (2, 4)]), (2, 12)),
        (sides("Expand", (1, 3), numbers=[(), (5, 1, 3)]), (5, 1, 3)),
        (sides("GlobalAveragePool", (1, 3, 8, 8)), (1, 3, 1, 1)),
        (sides("Slice", (1, 3, 112, 112), (2,), (2,), (2,),
            numbers=[(), (0, 8), (112, 104), (2, 3)]), (1, 3, 112, 96)),
        (sides("Slice", (4, 9), numbers=[()], starts=(1,), ends=(1 << 40,), axes=(1,)), (4, 8)),
        (sides("Gather", (1, 3, 8), (3,), axis=(1,)), (1, 3, 8)),
        (sides("Gather", (5, 3), (2, 2)), (2, 2, 3)),
        (sides("NonZero", (1, 3)), None),
        (sides("Conv", (1, 3), (4,)), None),
        (sides("Relu"), None),
    ],
)  # fmt: skip
def test_the_sides_of_an_answer(dims, expected):
    assert dims == expected


def test_what_a_layer_multiplies():
    convolution = Operation([(1, 3, 112, 112), (64, 3, 3, 3)], (), {})
    assert multiplied("Conv", convolution, (1, 64, 112, 112)) == 64 * 112 * 112 * 27
    assert multiplied("Gemm", Operation([(1, 500), (500, 9)], (), {}), (1, 9)) == 9 * 500


@pytest.mark.parametrize(("bound", "value"), [("HARMLESS_WORK", 1000), ("HARMLESS_NUMBERS", 1000)])
def test_a_network_of_known_sides_may_still_be_too_much(bound, value, monkeypatch):
    assert check_asked(recogniser())
    monkeypatch.setattr(bounds, bound, value)
    assert not check_asked(recogniser())


def test_a_constant_that_is_large_is_told():
    assert check_asked(filled(3, 4))
