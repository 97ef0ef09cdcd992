"""A conversion as one call: one network all the way to the file, and what is shown of it."""

import sys
from collections import Counter
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="pip install '.[convert]'")
pytest.importorskip("onnxscript", reason="pip install '.[convert]'")

from made_embedders import FAMILY, made_checkpoint, write_crops, write_people  # noqa: E402
from source import SOURCE  # noqa: E402

from visavis.answers.conversion import conversion_json, conversion_words  # noqa: E402
from visavis.convert import workflow  # noqa: E402
from visavis.convert.form import DeclaredPixels  # noqa: E402
from visavis.convert.quantize import _nncf  # noqa: E402
from visavis.convert.workflow import ConversionRequest, convert  # noqa: E402
from visavis.errors import ModelError, VisavisError  # noqa: E402
from visavis.pack.metadata import read_metadata  # noqa: E402
from visavis.pack.onnx import read_network  # noqa: E402
from visavis.runtime import Preprocess  # noqa: E402

PROTOBUF = ("ParseFromString", "SerializeToString")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """small.pth, which stands for a small network that no family knows."""
    monkeypatch.setattr(workflow, "load_checkpoint", lambda source, *, family: made_checkpoint())
    path = tmp_path / "small.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    return path


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    _nncf()  # before pytest imports it to look: it must be told to report nothing
    return write_crops(tmp_path_factory.mktemp("data") / "crops")


def protobuf_calls(work):
    """Calls of protobuf by files of the package, and what `work` answers."""
    calls = Counter()

    def count(frame, event, callee):
        path = Path(frame.f_code.co_filename)
        if event == "c_call" and callee.__name__ in PROTOBUF and SOURCE in path.parents:
            calls[callee.__name__, path.relative_to(SOURCE).as_posix()] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return work(), calls
    finally:
        sys.setprofile(before)


def test_a_network_is_serialised_once_a_form_and_never_parsed_again(small, crops, tmp_path):
    request = ConversionRequest(int8=crops)
    conversion, calls = protobuf_calls(lambda: convert(small, tmp_path / "a.onnx", request))
    assert calls == {
        ("SerializeToString", "convert/export.py"): 1,  # in float32
        ("SerializeToString", "convert/quantize.py"): 1,  # in int8
        ("SerializeToString", "convert/form.py"): 2,  # the metadata alone, of either
    }
    assert conversion.metadata == read_metadata(read_network(tmp_path / "a.onnx"))
    assert conversion.metadata.form.startswith("int8, nncf ")


def test_an_onnx_file_is_parsed_once(small, crops, tmp_path):
    convert(small, tmp_path / "a.onnx")
    request = ConversionRequest(float16=True)
    _, calls = protobuf_calls(lambda: convert(tmp_path / "a.onnx", tmp_path / "b.onnx", request))
    assert calls == {
        ("ParseFromString", "pack/onnx.py"): 1,
        ("SerializeToString", "convert/quantize.py"): 1,
        ("SerializeToString", "convert/form.py"): 1,
    }


def test_a_conversion_is_plain_data(small, tmp_path):
    out = tmp_path / "a.onnx"
    conversion = convert(small, out)
    assert (conversion.out, conversion.bytes) == (out, out.stat().st_size)
    assert conversion.float32_bytes == conversion.bytes
    assert (conversion.height, conversion.width, conversion.dim) == (112, 112, 16)
    assert conversion.preprocess == FAMILY.preprocess
    assert (conversion.closeness, conversion.judgement, conversion.tflite) == (None, None, None)
    assert set(conversion.metadata.parity) == {gap.runtime for gap in conversion.gaps}
    assert conversion_json(conversion)["form"] == "float32"
    assert conversion_words(conversion)[3] == "gives    16 numbers"


def test_pixels_that_are_declared_are_in_the_smaller_file(small, tmp_path):
    whole, half = tmp_path / "a.onnx", tmp_path / "b.onnx"
    convert(small, whole)
    pixels = DeclaredPixels("rgb", (1.0, 2.0, 3.0))
    conversion = convert(whole, half, ConversionRequest(pixels=pixels, float16=True))
    expected = Preprocess("rgb", (1.0, 2.0, 3.0), FAMILY.preprocess.std)
    assert conversion.preprocess == read_metadata(read_network(half)).preprocess == expected


def test_a_conversion_shows_its_progress(small, tmp_path):
    shown = []
    request = ConversionRequest(images=write_people(tmp_path / "people"))

    def progress(names):
        for name in names:
            shown.append(name)
            yield name

    conversion = convert(small, tmp_path / "a.onnx", request, progress=progress)
    assert len(shown) == 40
    assert (conversion.judgement.pairs, conversion.judgement.after) == (40, None)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        ({}, []),
        ({"opset": 18, "float16": True}, ["opset", "float16"]),
        (
            {"pixels": DeclaredPixels("rgb", std=(1, 1, 1)), "family": "x"},
            ["family", "color", "std"],
        ),
    ],
)
def test_what_is_asked_for(options, asked):
    assert ConversionRequest(**options).asked() == asked


@pytest.mark.parametrize(
    ("options", "mending"),
    [
        ({"int8": Path("x"), "preset": "best"}, "preset"),
        ({"preset": "mixed"}, "preset"),
        ({"max_loss": 0.0}, "images"),
        ({"pairs": Path("x")}, "images"),
        ({"opset": 99}, "opset"),
    ],
)
def test_a_refusal_names_the_parameter_that_mends_it(small, tmp_path, options, mending):
    with pytest.raises(ModelError) as refused:
        convert(small, tmp_path / "a.onnx", ConversionRequest(**options))
    assert refused.value.option == mending


def test_a_name_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    with pytest.raises(VisavisError, match=r"expected a name that ends in \.onnx"):
        convert(tmp_path / "nowhere.pth", tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        *(({"opset": number}, "an operator set from 1 to 99") for number in (-1, 0, 100, 10**300)),
        *(
            ({"max_loss": float(number)}, "a loss of 0 to 100 points")
            for number in ("nan", "inf", "-inf", "-1", "1e300")
        ),
    ],
)
def test_numbers_out_of_bounds_are_refused(wanted, said, small, tmp_path):
    request = ConversionRequest(images=tmp_path, **wanted)
    with pytest.raises(ModelError, match=said):
        convert(small, tmp_path / "a.onnx", request)
