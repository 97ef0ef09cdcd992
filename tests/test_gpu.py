"""CUDA without a GPU: what is asked of ONNX Runtime, and what is refused. And once with one."""

import json
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from onnx import load_model_from_string

from visavis.errors import DeviceError
from visavis.runtime import Device, Preprocess, load_model

PIXELS = np.zeros((1, 8, 8, 3), np.uint8)
CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class FakeOrt:
    """A stand-in for the onnxruntime module that notes what it is asked for."""

    __version__ = "9.9"
    __spec__ = "made"

    def __init__(self, built_for=(CUDA, CPU), starts=(CUDA, CPU)):
        self.asked = []  # providers of each session
        self.calls = []  # what sessions and bindings were told, in order
        self.get_available_providers = lambda: list(built_for)
        self.SessionOptions = SimpleNamespace
        self.InferenceSession = lambda onnx, options, providers: self.session(providers, starts)
        self.OrtValue = SimpleNamespace(
            ortvalue_from_numpy=lambda array, *where: ("on device", array.shape, *where)
        )

    def session(self, providers, starts):
        self.asked += providers
        return SimpleNamespace(
            get_providers=lambda: list(starts),
            get_inputs=lambda: [SimpleNamespace(name="in", shape=["batch", 3, 112, 112])],
            get_outputs=lambda: [
                SimpleNamespace(name=name, shape=["batch", size])
                for name, size in (("a", 1), ("b", 4))
            ],
            run=lambda names, feed: self.noted("run", feed["in"].shape) or [np.zeros((1, 4))],
            io_binding=self.binding,
            run_with_iobinding=lambda binding: self.noted("run bound"),
        )

    def binding(self):
        return SimpleNamespace(
            bind_ortvalue_input=lambda name, value: self.noted("input", name, *value),
            bind_output=lambda *where: self.noted("output", *where),
            synchronize_outputs=lambda: self.noted("wait"),
        )

    def noted(self, *words):
        self.calls.append(words)


@pytest.fixture
def install(monkeypatch):
    """Put a fake onnxruntime where the real one would be."""

    def call(**options):
        fake = FakeOrt(**options)
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        return fake

    return call


@pytest.fixture(scope="module")
def gpu():
    """benchmarks/gpu.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        import gpu

    return gpu


@pytest.fixture
def small(gpu, monkeypatch):
    """One network that takes any batch and one that takes one picture, timed twice."""
    monkeypatch.setattr(gpu, "REPEATS", 2)
    monkeypatch.setattr(gpu, "WARM_UP", 1)
    found = [gpu.Network("many", b"", 4), gpu.Network("single", b"", 6, most=1)]
    monkeypatch.setattr(gpu, "networks", lambda: found)
    return found


@pytest.fixture
def run(gpu, small, monkeypatch, capsys):
    """Run the benchmark's command line: (exit code, stdout, stderr)."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
        code = 0
        try:
            gpu.main()
        except SystemExit as stopped:
            code = stopped.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


@pytest.mark.parametrize("number", [0, 3])
def test_a_model_is_put_on_the_gpu_that_was_asked_for(install, number):
    fake = install()
    model = load_model(b"", Preprocess(), f"cuda:{number}")
    assert fake.asked == [(CUDA, {"device_id": number})]
    assert (model.runtime, model.device, model.precision) == (
        "onnxruntime",
        f"cuda:{number}",
        "float32",
    )
    assert model.shapes == [(None, 1), (None, 4)]
    model(PIXELS)
    assert fake.calls == [("run", (1, 3, 8, 8))]


def test_on_a_cpu_the_gpu_is_not_asked_for(install):
    fake = install()
    assert load_model(b"", Preprocess(), Device("cpu", "onnxruntime")).device == "cpu"
    assert fake.asked == [CPU]


def test_a_session_that_fell_back_to_the_cpu_is_refused(install):
    install(starts=(CPU,))
    with pytest.raises(DeviceError, match="cuda:0 was asked for, but ONNX Runtime could not start"):
        load_model(b"", Preprocess(), "cuda:0")


def test_the_benchmark_measures_every_batch_that_fits(gpu, small, install):
    fake = install()
    measured = gpu.rows(Device("cuda:1"), small, (1, 8))
    assert [(row.network, row.batch) for row in measured] == [
        ("many", 1),
        ("many", 8),
        ("single", 1),
    ]
    assert all(row.plain > 0 and row.bound > 0 for row in measured)
    assert fake.asked == [(CUDA, {"device_id": 1})] * 4  # one to check, one to measure, each
    assert [words for words in fake.calls if words[0] == "run"] == (
        [("run", (1, 3, 4, 4))] * 3 + [("run", (8, 3, 4, 4))] * 3 + [("run", (1, 3, 6, 6))] * 3
    )


def test_bound_input_is_copied_once_and_every_call_is_waited_for(gpu, install):
    fake = install()
    session = gpu.open_session(b"", Device("cuda:1"))
    pixels = np.zeros((8, 3, 4, 4), np.float32)
    call = gpu.bound_call(session, pixels, Device("cuda:1"))
    bound = [
        ("input", "in", "on device", (8, 3, 4, 4), "cuda", 1),
        ("output", "a", "cuda", 1),
        ("output", "b", "cuda", 1),
    ]
    assert fake.calls == bound
    call()
    call()
    assert fake.calls == [*bound, ("run bound",), ("wait",), ("run bound",), ("wait",)]


def test_a_rate_is_pictures_a_second_without_the_warm_up(gpu, monkeypatch):
    times = [9.0] * gpu.WARM_UP + [0.5] * gpu.REPEATS
    monkeypatch.setattr(gpu, "seconds", lambda call: iter(times))
    assert gpu.rate(lambda: None, 8) == 16


def test_the_benchmark_prints_a_table(run, install):
    install()
    code, out, err = run("--batches", "1", "4")
    assert (code, err) == (0, "")
    first, head, *lines = out.splitlines()
    assert first.startswith("cuda:0: ")
    assert first.endswith("; onnxruntime 9.9")
    assert head.split() == ["network", "batch", "plain", "/s", "bound", "/s", "gain"]
    assert [line.split()[:2] for line in lines] == [["many", "1"], ["many", "4"], ["single", "1"]]


def test_the_benchmarks_json_is_one_document(run, install):
    install()
    document = json.loads(run("--json", "--batches", "2")[1])
    assert set(document) == {"machine", "rows"}
    (row,) = document["rows"]
    assert set(row) == {"network", "batch", "plain", "bound"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"built_for": (CPU,)}, "built for CPUs: pip uninstall onnxruntime"),
        ({"starts": (CPU,)}, "could not start it: install the driver, and the CUDA and cuDNN"),
    ],
)
def test_the_benchmark_never_falls_back(run, install, options, said):
    install(**options)
    code, out, err = run()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_the_benchmark_names_a_missing_package(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = run()
    assert code == 2
    assert "pip install '.[cuda]'" in err


def test_the_benchmark_refuses_a_device_that_is_no_gpu(run, install):
    install()
    assert run("--device", "cpu")[::2] == (2, "gpu.py: expected device cuda:N, got cpu\n")


@pytest.mark.slow
@pytest.mark.pack
def test_the_benchmarks_networks_are_the_packs_and_a_large_one(gpu, pack, monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "DATA", tmp_path)
    networks = gpu.networks()
    found = {network.name: (network.side, network.most) for network in networks}
    assert found == {"YuNet 640": (640, 128), "SFace": (112, 128), "IResNet-50": (112, 128)}
    for network in networks:  # outputs can be bound at any batch only where the file allows one
        graph = load_model_from_string(network.onnx).graph
        assert all(output.type.tensor_type.shape.dim[0].dim_param for output in graph.output)
        assert not graph.value_info
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "scrfd_500m_kps.onnx").write_bytes(b"x")
    assert [network.most for network in gpu.networks()] == [128, 1, 128, 128]


@pytest.mark.gpu
@pytest.mark.pack
@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="pip install '.[cuda]'")
def test_a_gpu_computes_what_the_cpu_computes(pack):
    spec = pack.manifest.embedder
    onnx = pack.read(spec.file, spec.sha256)
    crops = np.random.default_rng(0).integers(0, 256, (8, 112, 112, 3), np.uint8)
    try:
        model = load_model(onnx, spec.preprocess, "cuda:0")
    except DeviceError as error:
        pytest.skip(str(error))
    (expected,) = load_model(onnx, spec.preprocess, Device("cpu", precision="float32"))(crops)
    (found,) = model(crops)
    cosines = np.sum(found * expected, axis=1)
    cosines /= np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.999
