"""Smaller files: close to float32, honest about what they cost, and nothing sent on the way."""

import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install '.[convert]'")
pytest.importorskip("onnxscript", reason="pip install '.[convert]'")

from made_embedders import Named, faces, made_checkpoint, write_people  # noqa: E402
from onnx import TensorProto, numpy_helper  # noqa: E402

from visavis.convert import quantize  # noqa: E402
from visavis.convert.export import to_onnx  # noqa: E402
from visavis.convert.form import DeclaredPixels, Form, read_form  # noqa: E402
from visavis.convert.judge import Judgement, judge_forms, refuse_loss  # noqa: E402
from visavis.convert.quantize import closeness, to_float16, to_int8  # noqa: E402
from visavis.dataset import open_pairs  # noqa: E402
from visavis.errors import DatasetError, DeviceError, ModelError, PackError  # noqa: E402
from visavis.evaluate.protocols import CropSource  # noqa: E402
from visavis.insightface.rules import names_normalisation  # noqa: E402
from visavis.metrics.fusion import Gain  # noqa: E402
from visavis.pack.metadata import read_metadata  # noqa: E402
from visavis.pack.onnx import read_network  # noqa: E402
from visavis.runtime import Device, available_runtimes, load_model  # noqa: E402

PIXELS = made_checkpoint().preprocess
HIDING = ("CI", "ORT_DISABLE_TELEMETRY", "NNCF_CI")  # of the environment: these would hide a report


@pytest.fixture(scope="module")
def form():
    return to_onnx(made_checkpoint(), norm_output=True)


@pytest.fixture(scope="module")
def int8(form):
    quantize._nncf()  # before pytest imports it to look: it must be told to report nothing
    return to_int8(form, faces()).form


def read(data: bytes) -> Form:
    return read_form(data, DeclaredPixels(PIXELS.color, PIXELS.mean, PIXELS.std))


def test_int8_is_smaller_and_close(form, int8):
    assert len(int8.onnx) < 0.6 * len(form.onnx)
    close = closeness(form.embeddings(faces(16, seed=9)), int8, faces(16, seed=9))
    assert close.mean > 0.99
    assert close.worst > 0.98


def test_making_it_smaller_says_how_close_it_is(form):
    smaller = to_int8(form, faces(4))
    assert smaller.closeness == closeness(form.embeddings(faces(4)), smaller.form, faces(4))
    assert 0.99 < to_float16(form).closeness.worst <= 1


def test_making_it_smaller_leaves_the_network_as_it_was(form):
    before = form.model.SerializeToString()
    to_int8(form, faces(2))
    to_float16(form)
    assert form.model.SerializeToString() == before == form.network


def test_int8_says_how_it_was_made(form, int8):
    before, after = (read_metadata(read_network(one.onnx)) for one in (form, int8))
    assert after.form.startswith("int8, nncf ")
    assert after.form.endswith(" performance, 24 crops")
    assert after.weights_sha256 == read_network(int8.onnx).weights_sha256 != before.weights_sha256
    assert (after.family, after.source_sha256) == (before.family, before.source_sha256)


def test_int8_keeps_its_ends(form, int8):
    ends = [
        [(port.name, port.type, port.dims) for port in (*network.inputs, *network.outputs)]
        for network in (read_network(form.onnx), read_network(int8.onnx))
    ]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_int8_runs_in_every_runtime_and_batch(form, int8, batch):
    expected = form.embeddings(faces(batch))
    for runtime in available_runtimes():
        network = load_model(int8.onnx, PIXELS, Device("cpu", runtime=runtime.name))
        found, norm = network(faces(batch))
        cosine = np.einsum("nd,nd->n", found, expected) / (
            np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        )
        assert cosine.min() > 0.98
        np.testing.assert_allclose(norm[:, 0], np.linalg.norm(found, axis=1), rtol=0.05)


def test_nodes_can_be_kept_in_float32(form, int8):
    layers = [node.name for node in form.model.graph.node if node.op_type == "Conv"]
    kept = to_int8(form, faces(), preset="mixed", keep=layers).form

    def weights_in_int8(form: Form) -> int:
        tensors = form.model.graph.initializer
        return sum(len(one.dims) == 4 and one.data_type == TensorProto.INT8 for one in tensors)

    assert (weights_in_int8(int8), weights_in_int8(kept)) == (2, 0)


def test_int8_prints_nothing_on_stdout(form, capfd):
    to_int8(form, faces(4))
    assert capfd.readouterr().out == ""


def test_an_unknown_preset_is_refused(form):
    with pytest.raises(ModelError, match="unknown preset 'best'; known: performance, mixed"):
        to_int8(form, faces(), preset="best")


def test_an_unknown_node_is_refused(form):
    with pytest.raises(ModelError, match="cannot be quantised"):
        to_int8(form, faces(), keep=["nowhere"])


@pytest.mark.parametrize("make", [to_int8, to_float16], ids=["int8", "float16"])
@pytest.mark.parametrize(
    "data", [b"<!doctype html><html></html>", b"", b"\x08\x07", b"PK\x03\x04"], ids=repr
)
def test_what_is_no_network_is_refused(make, data):
    with pytest.raises(PackError, match="expected an ONNX file"):
        make(read(data), *([faces()] if make is to_int8 else []))


def test_a_file_that_is_cut_short_is_refused(form):
    for share in (0.2, 0.7, 0.99):
        with pytest.raises((PackError, ModelError)):
            to_int8(read(form.onnx[: int(share * len(form.onnx))]), faces(2))


def test_weights_elsewhere_are_refused(form):
    model = read_network(form.onnx).model
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    with pytest.raises(PackError, match=r"in another file, '\.\./secret'"):
        to_int8(read(model.SerializeToString()), faces(2))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_answers_that_are_no_numbers_are_refused(form, value):
    model = read_network(form.onnx).model
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if array.ndim == 2:
            array[0] = value
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    with pytest.raises(ModelError, match="NaN or infinite"):
        to_int8(read(model.SerializeToString()), faces(2))


def test_a_broken_smaller_network_is_refused(form):
    other = made_checkpoint()
    other.network.embed.weight.data *= -1
    with pytest.raises(ModelError, match="the smaller network is not the same"):
        closeness(form.embeddings(faces(4)), to_onnx(other), faces(4))


def test_float16_weights_halve_the_file_and_change_next_to_nothing(form):
    half = to_float16(form).form
    assert len(half.onnx) < 0.75 * len(form.onnx)
    assert closeness(form.embeddings(faces()), half, faces(), kind="float16").worst > 0.999999
    assert read_metadata(read_network(half.onnx)).form == "float16 weights"
    for runtime in available_runtimes():
        model = load_model(half.onnx, PIXELS, Device("cpu", runtime=runtime.name))
        assert [answer.dtype for answer in model(faces(3))] == [np.float32, np.float32]
    network = read_network(half.onnx)
    types = {port.type for port in (*network.inputs, *network.outputs)}
    assert types == {TensorProto.FLOAT}


@pytest.mark.parametrize("scale", [1e8, 1e-9])
def test_weights_that_float16_cannot_hold_stay(scale):
    checkpoint = made_checkpoint()
    checkpoint.network.embed.weight.data *= scale
    checkpoint.network.embed.bias.data *= scale
    form = to_onnx(checkpoint)
    half = to_float16(form).form
    assert closeness(form.embeddings(faces()), half, faces(), kind="float16").worst > 0.999999
    kinds = {len(one.dims): one.data_type for one in half.model.graph.initializer}
    assert kinds[2] == TensorProto.FLOAT


def test_a_network_without_large_weights_cannot_be_halved():
    network = torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten())
    form = to_onnx(made_checkpoint(network))
    with pytest.raises(ModelError, match="no weights"):
        to_float16(form)


def test_smaller_networks_are_not_taken_to_normalise():
    form = to_onnx(made_checkpoint(Named()))
    for smaller in (to_int8(form, faces(4)), to_float16(form)):
        assert not names_normalisation(smaller.form.model)


def test_both_are_judged_on_the_same_pairs(form, int8, tmp_path):
    tree, pairs = open_pairs(write_people(tmp_path / "people"))
    found = judge_forms(form.embedder(), int8.embedder(), CropSource(tree), pairs)
    assert found.pairs == 40
    assert found.before > 0.9
    assert found.gain.value == pytest.approx(found.after - found.before)
    assert found.gain.low <= found.gain.value <= found.gain.high
    refuse_loss(found, 50)


def test_one_network_alone_is_measured(form, tmp_path):
    tree, pairs = open_pairs(write_people(tmp_path / "people"))
    found = judge_forms(form.embedder(), None, CropSource(tree), pairs)
    assert (found.after, found.gain) == (None, None)
    refuse_loss(found, 0)


def test_one_fold_cannot_judge_forms(form, tmp_path):
    folder = write_people(tmp_path / "people")
    (folder / "pairs.txt").write_text("0a 0b 1\n0a 1b 0\n1a 1b 1")
    tree, pairs = open_pairs(folder)
    with pytest.raises(DatasetError, match="at least two folds"):
        judge_forms(form.embedder(), None, CropSource(tree), pairs)


@pytest.mark.parametrize(
    ("after", "most", "refused"),
    [
        (0.990, 0.5, True),
        (0.995, 0.5, False),
        (0.998, 0.5, False),
        (0.90, 20, False),
        (0.99, -5, 1),
    ],
)
def test_a_loss_is_refused(after, most, refused):
    gain = Gain("accuracy", after - 0.998, after - 1.0, after - 0.997)
    judgement = Judgement(6000, 0.998, after, gain)
    if not refused:
        refuse_loss(judgement, most)
        return
    with pytest.raises(ModelError, match=r"loses .* points of accuracy on 6,000 pairs, .*: worse"):
        refuse_loss(judgement, most)


def test_nncf_that_is_not_there_is_named(form, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(DeviceError, match=r"pip install '\.\[convert,ort\]'"):
        to_int8(form, faces(2))


@pytest.mark.slow
def test_quantising_sends_nothing(form, tmp_path):
    (tmp_path / "small.onnx").write_bytes(form.onnx)
    code = (
        "import sys; events = []; sys.addaudithook(lambda event, _: event.startswith("
        "('socket.', 'urllib.', 'http.client.', 'subprocess.')) and events.append(event));"
        "from pathlib import Path; from made_embedders import faces;"
        "from visavis.convert.form import DeclaredPixels, read_form;"
        "from visavis.convert.quantize import to_int8;"
        "to_int8(read_form(Path('small.onnx'), DeclaredPixels()), faces(4));"
        "assert sys.modules['openvino_telemetry'] is None; sys.exit(str(events) if events else 0)"
    )
    kept = {name: value for name, value in os.environ.items() if name not in HIDING}
    environment = kept | {"HOME": str(tmp_path), "PYTHONPATH": os.path.dirname(__file__)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name for path in tmp_path.iterdir()} <= {"small.onnx", ".cache"}
