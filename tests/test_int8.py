"""A network in int8 by ranges: by hand, and the default pack's on faces."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from visavis.compare import similarity
from visavis.embedder import embedder_device, load_embedder
from visavis.errors import DeviceError, ModelError
from visavis.faces import find_faces
from visavis.pack.build import detector_of, embedder_of, write_pack
from visavis.pack.dequantise import parsed, tensors_sha256
from visavis.pack.int8 import quantise
from visavis.pack.manifest import HashedFile, write_manifest
from visavis.pack.verify import verify_pack
from visavis.runtime import Device, openvino

EXACT, INT8 = Device("cpu", precision="float32"), Device("cpu", precision="int8")
# Of the default pack's embedder in int8: the same numbers on every machine.
TENSORS = "d6fc45870b066d8e35cf2989802b23198f6e86c725c80c4fad566a7885f5e60e"
WIDE = {"in": (-1.0, 1.55)}  # 256 steps of 0.01; 0 is step 100


def network(nodes, tensors, channels):
    """Pictures of two channels to `out`."""
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("in", 1, ["N", 2, "H", "W"])],
        [helper.make_tensor_value_info("out", 1, ["N", channels, "H", "W"])],
        initializer=[numpy_helper.from_array(np.float32(a), name) for name, a in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def conv(weights, *bias, to="out"):
    """A convolution of one pixel, as nodes and tensors."""
    inputs = ["in", "w", *(["b"] if bias else [])]
    tensors = {"w": np.reshape(weights, (len(weights), 2, 1, 1)), **({"b": bias} if bias else {})}
    return [helper.make_node("Conv", inputs, [to])], tensors


def answer(model, *pixel):
    """Its answer to one pixel."""
    picture = np.reshape(np.float32(pixel), (1, 2, 1, 1))
    return ReferenceEvaluator(model).run(None, {"in": picture})[0].ravel().tolist()


@pytest.fixture
def crops(recognizer, portraits):
    """Two faces."""
    paths = [portraits / "obama.jpg", portraits / "biden.jpg"]
    return np.concatenate([find_faces(recognizer.detect, path).crops([0]) for path in paths])


@pytest.mark.parametrize(
    ("weights", "bias", "pixel", "expected"),
    [
        ([[1.27, 0]], (), (0.5, 0), [0.635]),
        ([[1.27, 0]], (0.25,), (0.5, 0), [0.885]),
        ([[1.27, 0]], (), (0.504, 0), [0.635]),  # to the nearest step, 0.50
        ([[1.27, 0]], (), (9, 0), [1.9685]),  # beyond the range: 1.55
        ([[1.27, 0]], (), (-9, 0), [-1.27]),
        ([[1.27, 0.004]], (), (0, 1), [0]),  # a weight of less than half a step
        ([[1.27, 0], [0, -2.54]], (), (0.5, 0.5), [0.635, -1.27]),  # a scale for each channel
        ([[0, 0], [1.27, 0]], (), (0.5, 0.5), [0, 0.635]),
    ],
)
def test_a_convolution_rounds_to_steps(weights, bias, pixel, expected):
    nodes, tensors = conv(weights, *bias)
    model = quantise(network(nodes, tensors, len(weights)), WIDE)
    np.testing.assert_allclose(answer(model, *pixel), expected, atol=1e-6)
    kinds = {t.name: numpy_helper.to_array(t).dtype for t in model.graph.initializer}
    assert "w" not in kinds
    assert kinds["w_int8"] == np.int8


def test_what_has_no_range_stays_as_it_is():
    nodes, tensors = conv([[1.0, 2.0]])
    model = quantise(network(nodes, tensors, 1), {"another": (0, 1)})
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert answer(model, 0.123, 0.456) == pytest.approx([0.123 + 2 * 0.456])


def test_normalisation_becomes_part_of_its_convolution():
    nodes, tensors = conv([[1.0, 2.0]], 5, to="mid")
    # (x - 3) * 4 / sqrt(3.75 + 0.25) + 1
    tensors |= {"gain": [4], "offset": [1], "mean": [3], "variance": [3.75]}
    norm = ["mid", "gain", "offset", "mean", "variance"]
    nodes.append(helper.make_node("BatchNormalization", norm, ["out"], epsilon=0.25))
    model = quantise(network(nodes, tensors, 1), {})
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert answer(model, 0.5, 1) == pytest.approx([(0.5 + 2 + 5 - 3) * 2 + 1])


def test_normalisation_of_what_others_read_too_stays():
    nodes, tensors = conv([[1.0, 2.0]], to="mid")
    tensors |= {"gain": [1], "offset": [0], "mean": [1], "variance": [1]}
    norm = ["mid", "gain", "offset", "mean", "variance"]
    nodes.append(helper.make_node("BatchNormalization", norm, ["less"], epsilon=0.0))
    nodes.append(helper.make_node("Add", ["less", "mid"], ["out"]))
    model = quantise(network(nodes, tensors, 1), {})
    assert answer(model, 1, 1) == pytest.approx([(3 - 1) + 3])


@pytest.mark.parametrize(("transposed", "smaller"), [(1, True), (0, False)])
def test_a_matrix_product_has_a_scale_for_each_answer(transposed, smaller):
    weights = np.array([[1.27, 0], [0, 2.54]])  # its own transpose
    nodes = [
        helper.make_node("Flatten", ["in"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["out"], transB=transposed),
    ]
    model = quantise(network(nodes, {"w": weights}, 2), {"flat": WIDE["in"]})
    assert ("w_int8" in {t.name for t in model.graph.initializer}) is smaller
    assert answer(model, 0.504, 0.5) == pytest.approx([0.635 if smaller else 0.64008, 1.27])


@pytest.mark.pack
def test_the_default_embedder_in_int8_is_the_same_everywhere(pack):
    int8 = pack.manifest.embedder.int8
    model = parsed(pack.read(int8.file, int8.sha256))
    assert tensors_sha256(model) == TENSORS
    assert (pack.folder / int8.file).stat().st_size < 10_000_000


@pytest.mark.pack
def test_faces_have_almost_the_same_embeddings_in_int8(pack, crops):
    exact, coarse = (load_embedder(pack, device=device) for device in (EXACT, INT8))
    assert exact.model == coarse.model
    cosines = np.diag(similarity(exact(crops), coarse(crops)))
    assert cosines.min() > 0.993
    assert cosines.min() < 1 - 1e-4  # it is another precision


@pytest.mark.pack
@pytest.mark.slow
def test_a_cpu_with_avx2_alone_gives_the_same_embeddings(crops, tmp_path):
    """Its sums have 16 bits: with the first layer in int8, too, they overflow."""
    if "AVX2" not in openvino.cv2.getCPUFeaturesLine().replace("*", "").split():
        pytest.skip("this CPU has no AVX2")
    code = (
        "import sys, numpy as np; from visavis import load_embedder, load_pack\n"
        "from visavis.runtime import Device\n"
        "embed = load_embedder(load_pack(), device=Device('cpu', precision='int8'))\n"
        "np.save(sys.argv[2], embed(np.load(sys.argv[1])))"
    )
    np.save(tmp_path / "crops.npy", crops)
    rows = []
    for switch in ("AVX2", "ALL"):
        path = tmp_path / f"{switch}.npy"
        environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": switch}
        subprocess.run(
            [sys.executable, "-c", code, tmp_path / "crops.npy", path], env=environment, check=True
        )
        rows.append(np.load(path))
    assert np.diag(similarity(*rows)).min() > 0.999


@pytest.mark.parametrize(
    ("device", "fast", "has", "expected"),
    [
        (Device(), True, True, "int8"),
        (Device(), False, True, "auto"),
        (Device(), True, False, "auto"),
        (Device(precision="float32"), True, True, "float32"),
        (Device(precision="int8"), False, True, "int8"),
        (Device("cuda:0"), True, True, "auto"),
        (Device(runtime="onnxruntime"), True, True, "auto"),
        (Device("cpu", "openvino"), True, True, "int8"),
    ],
)
def test_int8_is_chosen_where_pack_and_cpu_have_it(device, fast, has, expected, pack, monkeypatch):
    monkeypatch.setattr(openvino, "cpu_favours_int8", lambda: fast)
    spec = pack.manifest.embedder if has else replace(pack.manifest.embedder, int8=None)
    assert embedder_device(device, spec).precision == expected


@pytest.mark.pack
def test_int8_of_a_pack_without_it_says_how_to_get_it(pack):
    bare = replace(pack, manifest=replace(
        pack.manifest, embedder=replace(pack.manifest.embedder, int8=None)))  # fmt: skip
    with pytest.raises(ModelError, match="expected a network that computes in int8, got one") as no:
        load_embedder(bare, device=INT8)
    assert "visavis convert" in no.value.mend
    assert no.value.option == "precision"


@pytest.mark.pack
def test_onnxruntime_does_not_compute_in_int8(pack):
    with pytest.raises(DeviceError, match="only OpenVINO computes in int8"):
        load_embedder(pack, device=Device("cpu", "onnxruntime", "int8"))


@pytest.mark.pack
@pytest.mark.slow
def test_a_pack_keeps_its_int8_and_another_network_is_no_int8_of_it(pack, tmp_path):
    parts = {"embedder": embedder_of(pack), "detector": detector_of(pack)}
    copy = write_pack(tmp_path / "copy", name="copy", **parts)
    embedder = copy.manifest.embedder
    assert [one.text for one in verify_pack(copy.folder) if one.level == "error"] == []
    assert embedder.int8 == HashedFile("embedder-int8.onnx", pack.manifest.embedder.int8.sha256)
    # The answers of its last layer in another order: the same shapes, another network.
    model = parsed(copy.read(embedder.int8.file, embedder.int8.sha256))
    (last,) = (t for t in model.graph.initializer if t.name == "pre_fc1_weight_dequantized_int8")
    last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last)[::-1].copy(), last.name))
    data = model.SerializeToString()
    (copy.folder / embedder.int8.file).write_bytes(data)
    forged = HashedFile(embedder.int8.file, hashlib.sha256(data).hexdigest())
    write_manifest(copy.folder, replace(copy.manifest, embedder=replace(embedder, int8=forged)))
    (error,) = (one.text for one in verify_pack(copy.folder) if one.level == "error")
    assert "expected the same network in int8, got another" in error
