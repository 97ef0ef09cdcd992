"""The proof: what PyTorch answers and what each runtime answers, set beside each other."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install '.[convert]'")
pytest.importorskip("onnxscript", reason="pip install '.[convert]'")

from made_embedders import Different, Small, faces, made_checkpoint  # noqa: E402

from visavis.clustering import CROPS, write_crops  # noqa: E402
from visavis.convert import parity  # noqa: E402
from visavis.convert.crops import made_crops, pixels, read_crops  # noqa: E402
from visavis.convert.export import to_onnx  # noqa: E402
from visavis.convert.form import DeclaredPixels, read_form  # noqa: E402
from visavis.convert.parity import (  # noqa: E402
    LIMIT,
    Gap,
    _gap,
    _refuse,
    cosine_gaps,
    prove,
    prove_numbers,
    worst_gaps,
)
from visavis.errors import DatasetError, ImageError, ModelError  # noqa: E402
from visavis.pack.metadata import read_metadata  # noqa: E402
from visavis.pack.onnx import read_network  # noqa: E402
from visavis.runtime import Preprocess, available_runtimes  # noqa: E402


@pytest.fixture(scope="module")
def form():
    return to_onnx(made_checkpoint())


@pytest.fixture(scope="module")
def onnx(form):
    return form.onnx


def test_every_runtime_and_batch_is_proved(onnx):
    gaps = prove(made_checkpoint(), onnx, crops=faces(9))
    shown = {(gap.runtime.split()[0], gap.batch, gap.crops) for gap in gaps}
    runtimes = [runtime.name for runtime in available_runtimes()]
    assert shown == {
        (name, batch, kind)
        for name in runtimes
        for batch in (1, 3, 8)
        for kind in ("made", "given")
    }
    assert all(0 <= gap.cosine < LIMIT / 100 and gap.difference < 1e-4 for gap in gaps)


def test_a_network_that_was_traced_otherwise_is_refused():
    checkpoint = made_checkpoint(Different())
    with pytest.raises(
        ModelError, match=r"not the checkpoint's: in .*1 - cosine is .*at most 1e-05"
    ):
        prove(checkpoint, to_onnx(checkpoint).onnx)


def test_other_weights_are_refused(onnx):
    other = made_checkpoint(Small())
    other.network.embed.bias.data += 0.05
    with pytest.raises(ModelError, match="not the checkpoint's"):
        prove(other, onnx)


def test_another_shape_is_refused(onnx):
    other = made_checkpoint(Small())
    other.network.embed = torch.nn.Linear(392, 8)
    with pytest.raises(ModelError, match=r"answers \(1, 16\), PyTorch \(1, 8\)"):
        prove(other, onnx)


def test_a_norm_that_is_wrong_is_refused(onnx):
    data = to_onnx(made_checkpoint(), norm_output=True).onnx
    model = read_network(data).model
    [last] = [node for node in model.graph.node if "norm" in node.output]
    last.op_type = "Neg"
    with pytest.raises(ModelError, match="norm is not the length"):
        prove(made_checkpoint(), model.SerializeToString())
    prove(made_checkpoint(), data)


def test_the_worst_gaps_of_each_runtime_are_noted(onnx):
    gaps = prove(made_checkpoint(), onnx)
    worst = worst_gaps(gaps)
    assert set(worst) == {gap.runtime for gap in gaps}
    assert worst[gaps[0].runtime]["cosine"] == max(
        gap.cosine for gap in gaps if gap.runtime == gaps[0].runtime
    )


def test_a_note_is_in_the_file_and_changes_no_weight(form):
    proved = {"a runtime": {"cosine": 1e-7}}
    noted = replace(form, metadata=replace(form.metadata, parity=proved))
    network = read_network(noted.onnx)
    assert read_metadata(network) == noted.metadata
    assert network.weights_sha256 == read_network(form.onnx).weights_sha256
    keys = [entry.key for entry in network.model.metadata_props]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("row", "gap"), [([1, 0], 0), ([2, 0], 0), ([0, 1], 1), ([-3, 0], 2), ([1, 1], 1 - 0.5**0.5)]
)
def test_cosine_gaps(row, gap):
    rows = np.array([row], np.float32), np.array([[1, 0]], np.float32)
    assert cosine_gaps(*rows)[0] == pytest.approx(gap, abs=1e-7)


def test_the_worst_gap_is_the_one_that_is_named():
    gaps = [
        Gap("a 1", 1, "made", 1e-3, 0),
        Gap("b 2", 8, "given", 2e-3, 0),
        Gap("c", 3, "made", 0, 0),
    ]
    with pytest.raises(ModelError, match=r"in b 2, batch 8, given crops, 1 - cosine is 2.0e-03"):
        _refuse(gaps, 1e-5)
    _refuse([], 1e-5)


def test_rounding_makes_no_gap_below_none():
    rows = np.random.default_rng(0).normal(size=(1000, 5)).astype(np.float32)
    gaps = cosine_gaps(rows, rows)
    assert gaps.min() == 0  # of so many some come out at -1e-16
    assert gaps.max() < 1e-15


FIVE = np.array([[3, 4]], np.float32)  # of length 5


@pytest.mark.parametrize("scale", [0.9, 1.1])
def test_a_number_that_is_less_differs_as_much_as_one_that_is_more(scale):
    cosine, difference = _gap(FIVE, [FIVE * np.float32(scale)])
    assert cosine == pytest.approx(0, abs=1e-7)
    assert difference == pytest.approx(0.4, abs=1e-6)  # a tenth of 4


@pytest.mark.parametrize("off", [4.9e-4, -4.9e-4, 5.1e-4, -5.1e-4])
def test_a_norm_may_be_off_by_a_ten_thousandth(off):
    answer = [FIVE, np.array([[5 + off]], np.float32)]
    if abs(off) < 5e-4:
        assert _gap(FIVE, answer) == (pytest.approx(0, abs=1e-7), 0)
    else:
        with pytest.raises(ModelError, match="norm is not the length"):
            _gap(FIVE, answer)


@pytest.mark.parametrize("off", [9.8e-4, -9.8e-4, 1.02e-3, -1.02e-3])
def test_a_number_may_be_off_by_a_thousandth_at_every_size(off, monkeypatch):
    """A network answers numbers from -3 to 3, and PyTorch so much of each more or less."""
    numbers = np.linspace(-3, 3, 7, dtype=np.float32)
    monkeypatch.setattr(parity, "_in_each_runtime", lambda *_: [("made", lambda _: [numbers])])
    asked = []

    def answer(pictures):
        asked.append(pictures.shape)
        return [numbers + np.float32(off) * (1 + np.abs(numbers))]

    if abs(off) < 1e-3:
        worst = prove_numbers(answer, b"", Preprocess("bgr", (0, 0, 0), (1, 1, 1)))
        assert worst == {"made": pytest.approx(9.8e-4, rel=2e-3)}
    else:
        with pytest.raises(ModelError, match=r"in made a number differs by 1.0e-03 of 1"):
            prove_numbers(answer, b"", Preprocess("bgr", (0, 0, 0), (1, 1, 1)))
    assert asked == [(1, 320, 256, 3), (3, 128, 192, 3)]


@pytest.mark.parametrize("row", [[0, 0], [np.nan, 1], [np.inf, 1]])
def test_rows_that_are_no_embeddings_are_refused(row):
    with pytest.raises(ModelError, match="NaN, infinity or zeros"):
        cosine_gaps(np.array([row], np.float32), np.ones((1, 2), np.float32))


def test_made_crops_differ_and_stay():
    crops = made_crops(112, 96)
    assert crops.shape == (8, 112, 96, 3)
    assert (crops[0].max(), crops[1].min()) == (0, 255)
    assert len({crop.tobytes() for crop in crops}) == 8
    assert (crops == made_crops(112, 96)).all()


def test_pixels_in_the_family_s_order():
    crop = np.zeros((1, 2, 2, 3), np.uint8)
    crop[..., 0], crop[..., 2] = 10, 30  # red 10, blue 30
    found = pixels(crop, Preprocess("bgr", (1.0, 2.0, 3.0), (2.0, 2.0, 2.0)))
    assert found.shape == (1, 3, 2, 2)
    assert found[0, :, 0, 0].tolist() == [14.5, -1.0, 3.5]


def test_crops_are_read_spread_and_cut(tmp_path):
    from PIL import Image

    crops = faces(10)
    for row, crop in enumerate(crops):
        Image.fromarray(crop).save(tmp_path / f"{row}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_crops(tmp_path, 112, 96, most=4)
    assert (found == crops[[0, 3, 6, 9], :, 8:104]).all()


def test_crops_of_another_size_are_refused(tmp_path):
    from PIL import Image

    Image.new("RGB", (100, 112)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png of .*expected a 112x112 crop, got 100x112"):
        read_crops(tmp_path, 112, 112)


def test_a_damaged_crop_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a\.png of .*: picture: this is text"):
        read_crops(tmp_path, 112, 112)


def test_the_crops_of_a_groups_folder_are_crops(tmp_path):
    crops = faces(3)
    (tmp_path / CROPS).mkdir()
    write_crops(tmp_path, tmp_path / "photo.jpg", crops, before=0)
    np.testing.assert_array_equal(read_crops(tmp_path, 112, 112), crops)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="found none"):
        read_crops(tmp_path, 112, 112)


def test_metadata_of_a_newer_form_is_refused(onnx):
    model = read_network(onnx).model
    for entry in model.metadata_props:
        if entry.key == "visavis.mean":
            entry.value = "[1, 2"
    with pytest.raises(ModelError, match="metadata mean: cannot be read"):
        read_metadata(read_network(model.SerializeToString()))


def test_a_file_of_another_tool_has_no_metadata(onnx):
    model = read_network(onnx).model
    del model.metadata_props[:]
    data = model.SerializeToString()
    assert read_metadata(read_network(data)) is None
    with pytest.raises(ModelError, match="give color, mean and std"):
        read_form(data, DeclaredPixels("bgr", (1, 1, 1)))
    assert read_form(data, DeclaredPixels("bgr", (0, 0, 0), (1, 1, 1))).metadata is None
