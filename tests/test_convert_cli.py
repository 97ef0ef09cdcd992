"""visavis convert: whole files or none, and what is said of them."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="pip install '.[convert]'")
pytest.importorskip("onnxscript", reason="pip install '.[convert]'")

import typer  # noqa: E402
from made_embedders import Different, Small, made_checkpoint, write_crops, write_people  # noqa: E402

from visavis.checkpoints import weights  # noqa: E402
from visavis.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from visavis.checkpoints.families import FAMILIES  # noqa: E402
from visavis.cli import app  # noqa: E402
from visavis.convert import workflow  # noqa: E402
from visavis.networks.mobile import Foamliu  # noqa: E402
from visavis.pack.build import detector_part  # noqa: E402
from visavis.pack.metadata import read_metadata  # noqa: E402
from visavis.pack.onnx import read_network  # noqa: E402

FOAMLIU = FAMILIES["mobilefacenet_foamliu"]


@pytest.fixture
def small(monkeypatch, tmp_path):
    """small.pth, which stands for a small network that no family knows."""
    monkeypatch.setattr(workflow, "load_checkpoint", lambda source, *, family: made_checkpoint())
    path = tmp_path / "small.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    return path


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    return write_crops(tmp_path_factory.mktemp("data") / "crops")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("data") / "people")


def test_a_checkpoint_of_a_family(run, monkeypatch, tmp_path):
    torch.manual_seed(0)
    path, out = tmp_path / "net.safetensors", tmp_path / "net.onnx"
    save_checkpoint(path, Foamliu().eval(), FOAMLIU.name, FOAMLIU.preprocess, (112, 112))
    reads = []
    hashed = weights.hashlib.file_digest
    monkeypatch.setattr(
        weights.hashlib, "file_digest", lambda *file: reads.append(file) or hashed(*file)
    )
    code, printed, errors = run("convert", path, "--out", out, "--json")
    assert (code, errors) == (0, "")
    assert len(reads) == 1
    document = json.loads(printed)
    assert document["family"] == "mobilefacenet_foamliu"
    assert (document["color"], document["dim"], document["height"]) == ("rgb", 128, 112)
    assert document["mean"] == list(FOAMLIU.preprocess.mean)
    assert document["source"] == "net.safetensors"
    assert {gap["batch"] for gap in document["parity"]} == {1, 3, 8}
    assert max(gap["cosine"] for gap in document["parity"]) < 1e-5
    assert document["bytes"] == out.stat().st_size
    metadata = read_metadata(read_network(out))
    assert metadata.weights_sha256 == document["weights_sha256"]
    assert set(metadata.parity) == {gap["runtime"] for gap in document["parity"]}


def test_what_lay_beside_the_backbone_is_named(run, small, monkeypatch, tmp_path):
    settings = {"left_out": ("arcface.weight", "log_vars")}
    checkpoint = replace(made_checkpoint(), settings=settings)
    monkeypatch.setattr(workflow, "load_checkpoint", lambda source, *, family: checkpoint)
    code, printed, _ = run("convert", small, "--out", tmp_path / "out.onnx")
    assert (code, "\nleft out arcface.weight, log_vars\n" in printed) == (0, True)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": {f"x{n}": torch.zeros(1) for n in range(9)}, "b": {"x": torch.zeros(1)}},
            "its keys are those of no known backbone: x0, x1"),
        ({name: {f"{name}{n}": torch.zeros(1) for n in range(9)} for name in ("net", "ema")},
            "2 entries hold tensors, and nobody can tell which is meant: net, ema"),
        ({"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}}},
            "a margin head alone|no known backbone: exp_avg|holds no tensors"),
    ],
)  # fmt: skip
def test_a_file_without_one_backbone_is_refused(content, said, run, tmp_path):
    torch.save(content, tmp_path / "file.pth")
    code, printed, errors = run("convert", tmp_path / "file.pth", "--out", tmp_path / "a.onnx")
    assert (code, printed, errors.count("\n")) == (2, "", 1)
    assert re.search(said, errors)


def test_in_words(run, small, crops, tmp_path):
    code, printed, errors = run(
        "convert", small, "--out", tmp_path / "net.onnx", "--norm-output", "--crops", crops
    )
    assert (code, errors) == (0, "")
    assert "family   magface, licence: " in printed
    assert "pixels   112x112 bgr, mean 0, std 255" in printed
    assert "parity   openvino " in printed
    assert len(read_network(tmp_path / "net.onnx").outputs) == 2


def test_int8_judged_on_pairs(run, small, crops, people, tmp_path):
    out = tmp_path / "net.onnx"
    words = ("--int8", crops, "--images", people, "--max-loss", 10)
    code, printed, errors = run("convert", small, "--out", out, *words, "--json")
    assert (code, errors) == (0, "")
    document = json.loads(printed)
    assert document["form"].startswith("int8, nncf")
    assert document["bytes"] < document["float32_bytes"]
    assert document["closeness"]["mean"] > 0.99
    assert document["accuracy"]["pairs"] == 40
    assert document["accuracy"]["gain"]["verdict"] in ("no difference shown", "better", "worse")
    code, printed, _ = run("convert", small, "--out", out, *words)
    assert "as written: " in printed
    assert "95 % of draws" in printed


def test_a_loss_writes_nothing(run, small, crops, people, tmp_path, monkeypatch):
    monkeypatch.setattr("visavis.convert.workflow.MOST_LOSS", -100)
    out = tmp_path / "net.onnx"
    words = ("--int8", crops, "--images", people)
    code, printed, errors = run("convert", small, "--out", out, *words)
    assert (code, printed) == (2, "")
    assert "points of accuracy on 40 pairs" in errors
    assert not out.exists()


def test_an_onnx_file_is_made_smaller(run, small, crops, tmp_path):
    whole, half, eight = (tmp_path / name for name in ("a.onnx", "b.onnx", "c.onnx"))
    assert run("convert", small, "--out", whole)[0] == 0
    code, printed, _ = run("convert", whole, "--out", half, "--float16")
    assert code == 0
    assert "float16 weights" in printed
    assert "accuracy not measured: give images with pairs to judge it on" in printed
    assert run("convert", whole, "--out", eight, "--int8", crops)[0] == 0
    assert eight.stat().st_size < whole.stat().st_size > half.stat().st_size
    code, _, errors = run("convert", eight, "--out", half, "--float16")
    assert code == 2
    assert "start from the float32 file" in errors


def test_an_onnx_file_of_another_tool_needs_its_pixels(run, small, crops, tmp_path):
    path, out = tmp_path / "a.onnx", tmp_path / "b.onnx"
    assert run("convert", small, "--out", path)[0] == 0
    model = read_network(path).model
    del model.metadata_props[:]
    path.write_bytes(model.SerializeToString())
    code, _, errors = run("convert", path, "--out", out, "--int8", crops)
    assert code == 2
    assert "give color, mean and std" in errors
    pixels = ("--color", "bgr", "--mean", "0", "--std", "255,255,255")
    code, printed, _ = run("convert", path, "--out", out, "--int8", crops, *pixels, "--json")
    assert code == 0
    assert json.loads(printed)["std"] == [255, 255, 255]


def test_the_user_s_word_on_pixels_stands(run, small, tmp_path):
    out = tmp_path / "a.onnx"
    code, printed, _ = run("convert", small, "--out", out, "--color", "rgb", "--json")
    assert code == 0
    assert json.loads(printed)["color"] == "rgb"
    assert read_metadata(read_network(out)).color == "rgb"


def test_a_network_that_differs_writes_nothing(run, small, monkeypatch, tmp_path):
    different = made_checkpoint(Different())
    monkeypatch.setattr(workflow, "load_checkpoint", lambda source, *, family: different)
    out = tmp_path / "a.onnx"
    out.write_bytes(b"what was there")
    code, printed, errors = run("convert", small, "--out", out)
    assert (code, printed) == (2, "")
    assert errors.startswith("visavis: the converted network is not the checkpoint's")
    assert len(errors.splitlines()) == 1
    assert out.read_bytes() == b"what was there"


def test_a_network_of_nan_writes_nothing(run, small, monkeypatch, tmp_path):
    network = Small()
    network.embed.weight.data[:] = float("nan")
    broken = made_checkpoint(network)
    monkeypatch.setattr(workflow, "load_checkpoint", lambda source, *, family: broken)
    code, _, errors = run("convert", small, "--out", tmp_path / "a.onnx")
    assert code == 2
    assert "NaN" in errors
    assert not (tmp_path / "a.onnx").exists()


@pytest.mark.parametrize("name", ["net.onnx", "net.pt", "net.safetensors"])
@pytest.mark.parametrize("data", [b"<!DOCTYPE html><html>", b"", b"\x08\x0a\x12"], ids=repr)
def test_what_is_no_network_is_refused_by_name(run, crops, tmp_path, name, data):
    path, out = tmp_path / name, tmp_path / "out.onnx"
    path.write_bytes(data)
    code, printed, errors = run("convert", path, "--out", out, "--int8", crops)
    assert (code, printed) == (2, "")
    assert str(path) in errors
    assert len(errors.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("out", "words", "error"),
    [
        ("a.pt", (), "expected a name that ends in .onnx"),
        ("no/a.onnx", (), "no such folder"),
        ("a.onnx", ("--int8", "crops", "--float16"), "cannot be both"),
        ("a.onnx", ("--opset", "99"), "opset"),
        ("a.onnx", ("--preset", "mixed"), "a preset is for int8 alone: leave it out (--preset)"),
        ("a.onnx", ("--int8", "crops", "--preset", "best"), "unknown preset 'best'; known: "),
        ("a.onnx", ("--pairs", "a.txt"), "pairs is for judging the network, which needs pictures"),
        ("a.onnx", ("--max-loss", "0.5"), "max_loss is for judging the network"),
        ("a.onnx", ("--color", "hsv"), "Invalid value for '--color'"),
        ("a.onnx", ("--mean", "1,2"), "Invalid value for '--mean': expected a number, or three"),
        ("a.onnx", ("--std", "0"), "Invalid value for '--std': expected numbers above zero"),
        ("a.onnx", ("--crops", "nowhere"), "nowhere"),
        ("a.onnx", ("--int8", "nowhere"), "nowhere"),
        ("a.onnx", ("--images", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused(run, small, tmp_path, out, words, error):
    code, printed, errors = run("convert", small, "--out", tmp_path / out, *words)
    assert (code, printed) == (2, "")
    assert error in errors
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize(
    "words",
    [("--tflite",), ("--opset", "18"), ("--norm-output",), ("--family", "x"), ("--crops", "x")],
)
def test_what_an_onnx_file_cannot_become(run, small, tmp_path, words):
    path = tmp_path / "a.onnx"
    assert run("convert", small, "--out", path)[0] == 0
    code, _, errors = run("convert", path, "--out", tmp_path / "b.onnx", *words)
    assert code == 2
    name = words[0].removeprefix("--").replace("-", "_")
    assert f"is an ONNX file, which stays as it was traced: leave out {name}\n" in errors
    assert not (tmp_path / "b.onnx").exists()


HIDDEN = "import sys; sys.modules['torch'] = None\n"
MISSING = "this needs packages that are not installed, torch: pip install '.[convert,ort]'"


@pytest.mark.parametrize("room", ["networks", "checkpoints", "convert", "convert.workflow"])
def test_a_room_without_torch_names_the_extra(room, tmp_path):
    code = f"from visavis.errors import DeviceError\ntry: import visavis.{room}\n"
    done = python(HIDDEN + code + "except DeviceError as error: print(error)", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{MISSING}\n", "")


def test_the_verb_without_torch_names_the_extra(small, tmp_path):
    words = ["convert", str(small), "--out", "a.onnx"]
    code = f"from visavis.cli import main; sys.argv[1:] = {words}; main()"
    done = python(HIDDEN + code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"visavis: {MISSING}\n")
    assert not (tmp_path / "a.onnx").exists()


def python(code, folder):
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_tflite_lies_beside_it(run, small, crops, tmp_path, int8):
    pytest.importorskip("litert_torch", reason="TFLite's tools: see docs/convert.md")
    out = tmp_path / "a.onnx"
    words = ("--int8", crops) if int8 else ()
    code, printed, _ = run("convert", small, "--out", out, "--tflite", *words, "--json")
    assert code == 0
    found = json.loads(printed)["tflite"]
    assert found["bytes"] == (tmp_path / "a.tflite").stat().st_size
    assert (found["layout"], found["input"]["shape"]) == ("NHWC", [1, 112, 112, 3])
    assert found["closeness"]["worst"] > (0.98 if int8 else 1 - 1e-5)
    assert out.exists()


def test_a_detectors_checkpoint_is_told_apart_and_converted(run, data, tmp_path):
    out = tmp_path / "retina.onnx"
    source = data / "models" / "retinaface_mobilenet025.pth"
    code, printed, errors = run("convert", source, "--out", out, "--json")
    assert code == 0, errors
    found = json.loads(printed)
    assert (found["decoder"], found["out"]) == ("retinaface", str(out))
    assert out.stat().st_size == found["bytes"]
    assert max(found["parity"].values()) < 1e-3
    spec = detector_part(out).spec  # the file says itself what a pack must know
    assert (spec.decoder, spec.origin.licence, spec.preprocess.color) == (
        "retinaface",
        "MIT",
        "bgr",
    )
    assert spec.preprocess.mean == (104, 117, 123)


@pytest.fixture
def unread(tmp_path):
    """A detector's checkpoint of a kind that is not read."""
    torch.save({"bbox_head.stride_cls.(8, 8).weight": torch.ones(3)}, tmp_path / "scrfd.pth")
    return tmp_path / "scrfd.pth"


def test_a_detector_that_is_not_read_is_called_one(run, unread, tmp_path):
    code, printed, errors = run("convert", unread, "--out", tmp_path / "a.onnx")
    assert (code, printed, len(errors.splitlines())) == (2, "", 1)
    assert f"{unread}: a detector's, and none of those" in errors
    assert "export it to ONNX with its own project's tool" in errors
    assert "visavis pack import" in errors


OPTIONS = {
    option.opts[0]: option
    for option in typer.main.get_command(app).commands["convert"].params
    if option.param_type_name == "option" and option.name not in {"out", "json", "help"}
}
WORDS = {"--color": "bgr", "--mean": "1", "--std": "1", "--opset": "18", "--max-loss": "0.5"}


@pytest.mark.parametrize("option", OPTIONS)
def test_what_is_for_embedders_is_refused_of_a_detector(run, unread, tmp_path, option):
    words = [] if OPTIONS[option].is_flag else [WORDS.get(option, "anything")]
    code, printed, errors = run("convert", unread, "--out", tmp_path / "a.onnx", option, *words)
    assert (code, printed) == (2, "")
    name = option.removeprefix("--").replace("-", "_")
    assert errors.endswith(f"converted as it is: leave out {name}\n")


def test_all_that_was_given_in_vain_is_named(run, data, tmp_path):
    words = ("--pairs", "nowhere.txt", "--max-loss", "3", "--preset", "nonsense")
    source, out = data / "models" / "yunet_n.pth", tmp_path / "a.onnx"
    code, printed, errors = run("convert", source, "--out", out, *words)
    assert (code, printed) == (2, "")
    assert errors.endswith("leave out preset, pairs, max_loss\n")
    assert not out.exists()
