"""A checkpoint as TFLite: the file is run and answers as PyTorch does."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="pip install '.[convert]'")
for package in ("litert_torch", "ai_edge_litert", "ai_edge_quantizer"):
    pytest.importorskip(package, reason="TFLite's tools: see docs/convert.md", exc_type=ImportError)

from made_embedders import Different, Small, faces, made_checkpoint  # noqa: E402

from visavis.convert import tflite  # noqa: E402
from visavis.convert.tflite import prove_tflite, tflite_int8, to_tflite  # noqa: E402
from visavis.errors import DeviceError, ModelError  # noqa: E402
from visavis.runtime import Preprocess  # noqa: E402

pytestmark = pytest.mark.slow  # the tools take seconds to load


@pytest.fixture(scope="module")
def whole():
    return to_tflite(made_checkpoint())


@pytest.mark.parametrize(
    ("layout", "shape"), [("NHWC", (1, 112, 112, 3)), ("NCHW", (1, 3, 112, 112))]
)
def test_the_file_answers_as_pytorch_does(layout, shape):
    checkpoint = made_checkpoint()
    proof = prove_tflite(checkpoint, to_tflite(checkpoint, layout=layout), crops=faces(5))
    assert (proof.layout, proof.input.shape, proof.output.shape) == (layout, shape, (1, 16))
    assert (proof.input.type, proof.output.type) == ("float32", "float32")
    assert proof.closeness.worst > 1 - 1e-9
    assert proof.difference < 1e-4


def test_dynamic_int8_keeps_its_ends(whole):
    small = tflite_int8(whole, "dynamic", made_checkpoint().preprocess)
    proof = prove_tflite(made_checkpoint(), small, crops=faces(), int8=True)
    assert len(small) < len(whole)
    assert (proof.input.type, proof.output.type, proof.input.scale) == ("float32", "float32", 0)
    assert proof.closeness.mean > 0.995


def test_static_int8_says_how_numbers_are_meant(whole):
    small = tflite_int8(whole, "static", made_checkpoint().preprocess, crops=faces())
    proof = prove_tflite(made_checkpoint(), small, crops=faces(), int8=True)
    assert len(small) < len(whole)
    assert (proof.input.type, proof.output.type) == ("int8", "int8")
    assert proof.input.scale == pytest.approx(1 / 255, rel=0.1)  # MagFace's pixels are 0..1
    assert -128 <= proof.input.zero <= -120
    assert proof.closeness.mean > 0.99


@pytest.mark.parametrize("kind", ["static", "half"])
def test_int8_without_what_it_needs_is_refused(whole, kind):
    with pytest.raises(ModelError, match="expected int8 dynamic, or static with crops"):
        tflite_int8(whole, kind, made_checkpoint().preprocess)


def test_a_network_that_was_traced_otherwise_is_refused():
    checkpoint = made_checkpoint(Different())
    with pytest.raises(ModelError, match="not the checkpoint's network"):
        prove_tflite(checkpoint, to_tflite(checkpoint))


def test_int8_of_another_network_is_refused(whole):
    other = made_checkpoint(Small())
    other.network.embed.weight.data *= -1
    with pytest.raises(ModelError, match="not the checkpoint's network"):
        prove_tflite(other, whole, int8=True)


def test_other_pixels_are_another_network(whole):
    checkpoint = replace(made_checkpoint(), preprocess=Preprocess("rgb", (127.5,) * 3, (50.0,) * 3))
    proof = prove_tflite(checkpoint, whole)  # both are fed alike: normalisation is not in the file
    assert proof.closeness.worst > 1 - 1e-9


@pytest.mark.parametrize("data", [b"", b"<html></html>", b"TFL3" * 10], ids=repr)
def test_what_is_no_network_is_refused(data):
    with pytest.raises(ModelError, match="LiteRT cannot load"):
        prove_tflite(made_checkpoint(), data)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ModelError, match="unknown layout 'HWC'; known: NHWC, NCHW"):
        to_tflite(made_checkpoint(), layout="HWC")


def test_a_tool_that_is_not_there_is_named(monkeypatch):
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(tflite.importlib, "import_module", missing)
    with pytest.raises(DeviceError, match=r"No module named 'litert_torch'.*docs/convert\.md"):
        to_tflite(made_checkpoint())


def test_static_numbers_are_clipped():
    port = tflite.TfliteEnd((1, 2), "int8", 0.5, 10)
    numbers = tflite._quantised(np.array([[0.0, 1.2, 500.0, -500.0]], np.float32), port)
    assert numbers.dtype == np.int8
    assert numbers.tolist() == [[10, 12, 127, -128]]


def test_converting_says_nothing_on_stdout(capfd):
    to_tflite(made_checkpoint())
    assert capfd.readouterr().out == ""
