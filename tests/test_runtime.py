"""Tiny networks whose answers are known by heart, in both runtimes."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from visavis.errors import DeviceError, ModelError
from visavis.runtime import Device, Preprocess, load_model, openvino
from visavis.runtime.telemetry import silence

PLAIN = Preprocess()
ANY = ["N", 3, "H", "W"]
PIXEL = np.array([[[[10, 20, 30]]]], np.uint8)  # (1, 1, 1, 3), red first
FLOAT32 = {name: Device(runtime=name, precision="float32") for name in ("openvino", "onnxruntime")}


def network(*nodes, shape=ANY, inputs=("in",), outputs=("out",), kind=1, tensors=()):
    """An ONNX file of nodes (operator, inputs, outputs, attributes); kind 1 is float32."""
    graph = helper.make_graph(
        [helper.make_node(kind, ins, outs, **options) for kind, ins, outs, options in nodes],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        initializer=[numpy_helper.from_array(array, name) for name, array in tensors],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


IDENTITY = network(("Identity", ["in"], ["out"], {}))
FIXED = network(("Identity", ["in"], ["out"], {}), shape=["N", 3, 8, 8])
MEAN = network(("ReduceMean", ["in"], ["out"], {"axes": [2, 3], "keepdims": 0}))
TWO_INPUTS = network(("Add", ["in", "more"], ["out"], {}), inputs=("in", "more"))
NO_INPUT = network(("Constant", [], ["out"], {"value_float": 1.0}), inputs=())
INTEGERS = network(("Cast", ["in"], ["out"], {"to": TensorProto.INT64}), kind=TensorProto.INT64)


@pytest.fixture(params=FLOAT32)
def exact(request):
    """A device that computes in float32, for each runtime that is installed."""
    if request.param == "onnxruntime":
        pytest.importorskip("onnxruntime")
    return FLOAT32[request.param]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache for one test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "visavis" / "compiled"


@pytest.mark.parametrize(
    ("preprocess", "expected"),
    [
        (PLAIN, [10, 20, 30]),
        (Preprocess("bgr"), [30, 20, 10]),
        (Preprocess(mean=(1, 2, 3)), [9, 18, 27]),
        (Preprocess(std=(4, 8, 16)), [2.5, 2.5, 1.875]),
        (Preprocess("rgb", (1, 2, 3), (2, 4, 8)), [4.5, 4.5, 3.375]),
        (Preprocess("bgr", (1, 2, 3), (2, 4, 8)), [14.5, 4.5, 0.875]),  # blue: (30 - 1) / 2
    ],
)
def test_pixels_are_prepared_as_the_network_wants(preprocess, expected, exact):
    (out,) = load_model(IDENTITY, preprocess, exact)(PIXEL)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, np.reshape(expected, (1, 3, 1, 1)))


def test_pixels_keep_their_place(exact):
    pictures = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    (out,) = load_model(IDENTITY, PLAIN, exact)(pictures)
    np.testing.assert_array_equal(out, pictures.transpose(0, 3, 1, 2))
    (out,) = load_model(IDENTITY, PLAIN, exact)(pictures[:, :, ::-1])  # a view, not contiguous
    np.testing.assert_array_equal(out, pictures[:, :, ::-1].transpose(0, 3, 1, 2))


def test_outputs_come_in_the_order_of_the_file(exact):
    nodes = [("Neg", ["in"], ["a"], {}), ("Identity", ["in"], ["z"], {}), ("Abs", ["a"], ["m"], {})]
    model = load_model(network(*nodes, outputs=("z", "a", "m")), PLAIN, exact)
    assert [out[0, 0, 0, 0] for out in model(PIXEL)] == [10, -10, 10]


def test_integers_come_as_float32(exact):
    (out,) = load_model(INTEGERS, Preprocess(std=(4, 4, 4)), exact)(PIXEL)
    assert out.dtype == np.float32
    assert out.ravel().tolist() == [2, 5, 7]  # 2.5, 5 and 7.5, cut off


def test_the_shapes_of_outputs_are_known(exact):
    assert list(load_model(FIXED, PLAIN, exact).shapes) == [(None, 3, 8, 8)]


def test_a_batch_gives_what_its_pictures_give_alone(exact):
    kernel = np.arange(-6, 6, dtype=np.float32).reshape(4, 3, 1, 1)
    node = ("Conv", ["in", "kernel"], ["out"], {})
    model = load_model(network(node, tensors=[("kernel", kernel)]), PLAIN, exact)
    pictures = np.random.default_rng(0).integers(0, 256, (8, 9, 7, 3), np.uint8)
    expected = np.einsum("nhwc,kc->nkhw", pictures.astype(np.float32), kernel[:, :, 0, 0])
    for size in (1, 3, 8):
        np.testing.assert_array_equal(model(pictures[:size])[0], expected[:size])


def test_many_threads_get_their_own_answers(exact):
    model = load_model(MEAN, PLAIN, exact)

    def right(value):
        picture = np.full((1, 4, 4, 3), (value, value + 1, value + 2), np.uint8)
        return sum(
            model(picture)[0].tolist() == [[value, value + 1, value + 2]] for _ in range(200)
        )

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(right, range(0, 240, 30))) == [200] * 8


def test_an_answer_is_not_overwritten_by_the_next(exact):
    model = load_model(IDENTITY, PLAIN, exact)
    (first,) = model(PIXEL)
    model(255 - PIXEL)
    assert first.ravel().tolist() == [10, 20, 30]


def test_what_runs_is_what_was_asked_for(exact):
    model = load_model(IDENTITY, PLAIN, exact)
    assert (model.runtime, model.device, model.precision) == (exact.runtime, "cpu", "float32")


def test_float32_is_not_rounded(exact):
    (out,) = load_model(IDENTITY, Preprocess(std=(3, 3, 3)), exact)(PIXEL)
    np.testing.assert_allclose(out.ravel(), [10 / 3, 20 / 3, 10], rtol=1e-6)  # bfloat16: 4e-3


@pytest.mark.parametrize(("threads", "pinned"), [(None, True), (2, True), (1, False)])
def test_fewer_threads_than_cores_are_pinned_to_none(threads, pinned, monkeypatch):
    """Two processes of one thread each would share the first core, and be as fast as one."""
    monkeypatch.setattr(openvino, "cores", lambda: 2)
    settings = {}
    compiled = openvino._compiled
    monkeypatch.setattr(
        openvino, "_compiled", lambda *given: settings.update(given[3]) or compiled(*given)
    )
    load_model(IDENTITY, PLAIN, Device("cpu", runtime="openvino", threads=threads))
    assert settings.get("ENABLE_CPU_PINNING", True) is pinned


@pytest.mark.parametrize("data", [b"", b"no network", IDENTITY[:40]])
def test_bytes_that_are_no_network_are_refused(data, exact):
    with pytest.raises(ModelError, match="cannot load this network"):
        load_model(data, PLAIN, exact)


@pytest.mark.parametrize(("data", "got"), [(TWO_INPUTS, "2: in, more"), (NO_INPUT, "0: ")])
def test_a_network_has_one_input(data, got, exact):
    with pytest.raises(ModelError, match=f"expected a network with one input, got {got}"):
        load_model(data, PLAIN, exact)


@pytest.mark.parametrize("shape", [(1, 9, 8, 3), (1, 8, 8, 4), (8, 8, 3)])
def test_pictures_of_another_shape_are_refused(shape, exact):
    model = load_model(FIXED, PLAIN, exact)
    with pytest.raises(ModelError, match=r"the network refuses \(.*\) pictures"):
        model(np.zeros(shape, np.uint8))
    assert model(np.ones((1, 8, 8, 3), np.uint8))[0].sum() == 192  # and goes on working


@pytest.mark.parametrize("name", ["auto", "cpu", "cuda:0", "cuda:12"])
def test_a_device_has_a_name(name):
    assert Device(name).on_cuda == name.startswith("cuda")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"name": name}, "expected device auto, cpu or cuda:N") for name in
          ("", "0", "12", "gpu", "CPU", "cuda", "cuda:", "cuda:-1", "cuda:x", "cuda:1.0", "cpu ")),
        ({"runtime": "torch"}, "expected runtime auto, openvino, onnxruntime, got 'torch'"),
        ({"precision": "float16"}, "auto, float32, bfloat16, int8, got 'float16'"),
        ({"threads": 0}, "at least 1 thread"),
        ({"threads": -1}, "at least 1 thread"),
    ],
)  # fmt: skip
def test_a_device_that_cannot_be_is_refused(options, message):
    with pytest.raises(DeviceError, match=message):
        Device(**options)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (Device("cuda:0", "openvino"), "OpenVINO has no cuda:0"),
        (Device("cpu", "onnxruntime", "bfloat16"), "only OpenVINO computes in bfloat16"),
        (Device("cuda:0", precision="bfloat16"), "only OpenVINO computes in bfloat16"),
    ],
)
def test_what_cannot_go_together_is_refused(device, message):
    with pytest.raises(DeviceError, match=message):
        load_model(IDENTITY, PLAIN, device)


@pytest.mark.parametrize(
    ("device", "extra"), [("cuda:0", "cuda"), (Device(runtime="onnxruntime"), "ort")]
)
def test_a_missing_runtime_names_its_extra(device, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DeviceError, match=rf"pip install '\.\[{extra}\]'"):
        load_model(IDENTITY, PLAIN, device)


def test_a_runtime_built_for_cpus_is_not_used_for_a_gpu(monkeypatch):
    on_cpus = SimpleNamespace(
        get_available_providers=lambda: ["CPUExecutionProvider"], __version__="1.30"
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", on_cpus)
    with pytest.raises(DeviceError, match=r"onnxruntime 1\.30 is built for CPUs: .*'\.\[cuda\]'"):
        load_model(IDENTITY, PLAIN, "cuda:0")


@pytest.mark.parametrize(
    ("features", "wanted", "expected"),
    [
        (["FP32", "BF16"], "auto", "bfloat16"),
        (["FP32", "BF16"], "float32", "float32"),
        (["FP32", "BF16"], "bfloat16", "bfloat16"),
        (["FP32"], "auto", "float32"),
        (["FP32"], "float32", "float32"),
    ],
)
def test_bfloat16_is_used_where_the_cpu_has_it(features, wanted, expected):
    core = SimpleNamespace(get_property=lambda device, name: features)
    assert openvino._cpu_precision(core, wanted) == expected


@pytest.mark.parametrize(
    ("switch", "bfloat16", "int8"),
    [
        ("", True, True),
        ("AVX2", False, True),
        ("avx2_vnni", False, True),
        ("AVX512_CORE", False, True),
        ("AVX512_CORE_BF16", True, True),
        ("SSE41", False, False),
        ("ALL", True, True),
    ],
)
@pytest.mark.parametrize("name", openvino.SWITCHES)
def test_what_openvinos_switch_takes_away_is_not_used(name, switch, bfloat16, int8, monkeypatch):
    for variable in openvino.SWITCHES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, switch)
    monkeypatch.setattr(openvino.cv2, "getCPUFeaturesLine", lambda: "SSE *AVX *AVX2 *AVX512-SKX?")
    core = SimpleNamespace(get_property=lambda device, name: ["FP32", "BF16"])
    monkeypatch.setattr(openvino, "_openvino", lambda: SimpleNamespace(Core=lambda: core))
    assert openvino._has_bfloat16(core) is bfloat16
    assert openvino.cpu_favours_int8() is (int8 and not bfloat16)


@pytest.mark.parametrize(
    ("features", "capabilities", "best"),
    [
        ("SSE *AVX *AVX2", ["FP32"], True),
        ("SSE *AVX *AVX2", ["FP32", "BF16"], False),
        ("SSE *AVX *AVX2?", ["FP32"], False),
    ],
)
def test_int8_is_best_with_avx2_and_without_bfloat16(features, capabilities, best, monkeypatch):
    for variable in openvino.SWITCHES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(openvino.cv2, "getCPUFeaturesLine", lambda: features)
    core = SimpleNamespace(get_property=lambda device, name: capabilities)
    monkeypatch.setattr(openvino, "_openvino", lambda: SimpleNamespace(Core=lambda: core))
    assert openvino.cpu_favours_int8() is best


def test_bfloat16_is_refused_where_the_cpu_has_none():
    core = SimpleNamespace(get_property=lambda device, name: ["FP32"])
    with pytest.raises(DeviceError, match="this CPU has no bfloat16"):
        openvino._cpu_precision(core, "bfloat16")


def test_the_second_load_compiles_nothing(home, monkeypatch):
    load_model(MEAN, PLAIN, FLOAT32["openvino"])
    (blob,) = home.iterdir()
    data = blob.read_bytes()
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    monkeypatch.delattr(openvino, "_with_preprocess")  # compiling needs it
    (out,) = load_model(MEAN, PLAIN, FLOAT32["openvino"])(PIXEL)
    assert out.tolist() == [[10, 20, 30]]


def test_each_network_and_preprocessing_is_compiled_for_itself(home):
    for data, preprocess in ((MEAN, PLAIN), (IDENTITY, PLAIN), (MEAN, Preprocess("bgr"))):
        load_model(data, preprocess, FLOAT32["openvino"])
    assert len(list(home.iterdir())) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda blob: blob[:100] + bytes([blob[100] ^ 1]) + blob[101:],
        lambda blob: blob[:-1] + bytes([blob[-1] ^ 1]),
        lambda blob: blob[: len(blob) // 2],
        lambda blob: blob[:10],
        lambda blob: b"",
        lambda blob: b"no network" + hashlib.sha256(b"no network").digest(),
    ],
    ids=["a bit", "the digest", "cut", "all but cut", "empty", "another version's"],
)
def test_a_damaged_compiled_network_is_made_again(damage, home):
    load_model(MEAN, PLAIN, FLOAT32["openvino"])
    (path,) = home.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    (out,) = load_model(MEAN, PLAIN, FLOAT32["openvino"])(PIXEL)
    assert out.tolist() == [[10, 20, 30]]
    again = path.read_bytes()
    assert hashlib.sha256(again[:-32]).digest() == again[-32:]
    assert len(again) > 100


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")  # where a folder should be: not even root can write there
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (out,) = load_model(MEAN, PLAIN, FLOAT32["openvino"])(PIXEL)
    assert out.tolist() == [[10, 20, 30]]


def test_loading_a_network_reports_to_nobody(tmp_path):
    path = tmp_path / "mean.onnx"
    path.write_bytes(MEAN)
    code = (
        "import pathlib, sys; from visavis.runtime import *; "
        f"load_model(pathlib.Path({str(path)!r}).read_bytes(), Preprocess()); "
        "print('openvino' in sys.modules, sys.modules.get('openvino_telemetry'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout.split() == ["True", "None"]


def test_vendors_are_told_nothing_before_their_packages_are_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    silence()
    assert sys.modules["openvino_telemetry"] is None
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
