"""Which decoder a network's outputs fit, and what is said of a pack that declares another."""

import numpy as np
import pytest
from made_detectors import network, remade

from visavis.decode import DECODERS, Decoder, decoder_of, tells_places
from visavis.decode.boxes import Candidates
from visavis.decode.decoder import last_dimensions
from visavis.detect import load_detector
from visavis.errors import PackError
from visavis.insightface.read import import_pack
from visavis.pack.verify import verify_pack
from visavis.runtime import Preprocess


def named(shapes):
    """The name of the decoder that fits."""
    decoder = decoder_of(shapes)
    return decoder and decoder.name


def fits_picture(sizes, height, width):
    """Whether some decoder's networks may answer a picture of this size with so many numbers."""
    return any(tuple(sizes) in row.numbers(height, width) for row in DECODERS.values())


def flat(*last):
    """Shapes without a batch axis, as the peer's SCRFD files have them."""
    return [(100 * row + 8, size) for row, size in enumerate(last)]


def batched(*last):
    return [(1, *shape) for shape in flat(*last)]


def dynamic(*last):
    return [(None, None, size) for size in last]


YUNET = (1,) * 6 + (4,) * 3 + (10,) * 3
SCRFD_6 = (1,) * 3 + (4,) * 3
SCRFD_9 = (*SCRFD_6, *(10,) * 3)
SCRFD_10 = (1,) * 5 + (4,) * 5
SCRFD_15 = (*SCRFD_10, *(10,) * 5)


@pytest.mark.parametrize("shapes", [flat, batched, dynamic])
@pytest.mark.parametrize(
    ("last", "decoder"),
    [
        (YUNET, "yunet"),
        (SCRFD_6, "scrfd"),
        (SCRFD_9, "scrfd"),
        (SCRFD_10, "scrfd"),
        (SCRFD_15, "scrfd"),
        ((4, 2, 10), "retinaface"),
        ((10, 4, 2), "retinaface"),
        ((4, 2, 2), None),
        ((4, 2, 10, 1), None),
        ((16, 16), None),
        ((), None),
        ((1,), None),
        ((128,), None),  # an embedder
        ((4,) * 3 + (1,) * 3, None),  # the right sizes in another order
        ((1, 4, 10) * 3, None),  # by stride, not by kind
        ((1,) * 3 + (4,) * 3 + (10,) * 2, None),
        ((2,) * 3 + (4,) * 3, None),  # two classes
        ((1,) * 6 + (4,) * 3 + (14,) * 3, None),  # seven points
        (SCRFD_9 * 2, None),
    ],
)
def test_the_last_dimensions_name_the_decoder(last, decoder, shapes):
    assert named(shapes(*last)) == decoder


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param([(None, None)] * 12, id="dynamic to the last"),
        pytest.param([*flat(*SCRFD_9[:-1]), (8, None)], id="one of them dynamic"),
        pytest.param([(1,)] * 3 + [(4,)] * 3, id="rank 1"),
        pytest.param([(1, 1, 8, size) for size in SCRFD_9], id="rank 4"),
        pytest.param([*flat(*SCRFD_9[:-1]), (1, 1, 8, 10)], id="one of rank 4"),
        pytest.param([()] * 9, id="scalars"),
        pytest.param([(1, 16)], id="an embedder of 16 numbers"),
        pytest.param([(1, 3, 80, 80, 16)] * 5, id="maps of five strides"),
        pytest.param([(1, 3, 80, 80, 15)] * 3, id="maps of fifteen numbers"),
        pytest.param([(1, 80, 80, 80)] * 2, id="YOLOv8-face, two strides"),
        pytest.param([(1, 8400, 20)], id="YOLOv8-face, turned"),
        pytest.param([(1, 21, 8400)], id="YOLOv7-face"),
        pytest.param([(1, 4, 20, 20), (1, 8, 20, 20), (1, 20, 20, 20)] * 3, id="MXNet RetinaFace"),
        pytest.param([(1, 48, 80, 80), (1, 3, 40, 40, 16)], id="maps of both kinds"),
    ],
)
def test_other_shapes_fit_none(shapes):
    assert decoder_of(shapes) is None


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param([(1, 25200, 16)], id="rows"),
        pytest.param([(None, None, 16)], id="rows, dynamic"),
        *(
            pytest.param([(1, 3, 80 >> at, 80 >> at, 16) for at in range(levels)], id=f"{levels}")
            for levels in (2, 3, 4)
        ),
        pytest.param([(None, 48, None, None)] * 3, id="channels, dynamic"),
    ],
)
def test_all_flavours_of_yolov5face_are_known(shapes):
    assert named(shapes) == "yolov5face"


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param([(1, 20, 8400)], id="rows"),
        pytest.param([(None, 20, None)], id="rows, dynamic"),
        pytest.param([(1, 80, 80 >> at, 80 >> at) for at in range(3)], id="maps"),
        pytest.param([(None, 80, None, None)] * 3, id="maps, dynamic"),
    ],
)
def test_both_flavours_of_yolov8face_are_known(shapes):
    assert named(shapes) == "yolov8face"


@pytest.mark.parametrize(
    ("shapes", "places"),
    [
        pytest.param([(None, 512)], False, id="an embedder"),
        pytest.param([(None, 512), (None, 1)], False, id="and lengths"),
        pytest.param([(None, 512, 1, 1)], False, id="of rank 4"),
        pytest.param([(None, 1, 1, 512)], False, id="channels last"),
        pytest.param([(1, 3)], False, id="attributes"),
        pytest.param([()], False, id="of no shape"),
        pytest.param([(1, 20, 8400)], True, id="YOLOv8-face"),
        pytest.param([(1, 25200, 21)], True, id="YOLOv7-face"),
        pytest.param([(1, 4385, 14), (1, 4385, 2), (1, 4385, 1)], True, id="YuNet 2022"),
        pytest.param([(1, 4, 20, 20), (1, 8, 20, 20), (1, 20, 20, 20)] * 3, True, id="MXNet's"),
        pytest.param([(None, None, None)], True, id="dynamic"),
    ],
)
def test_places_in_a_picture_are_told_from_what_is_told_of_all_of_it(shapes, places):
    assert tells_places(shapes) is places


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param([48 * (512 + 128 + 32)], id="yolov5face, three strides"),
        pytest.param([48 * (512 + 128 + 32 + 8)], id="yolov5face, four strides"),
        pytest.param([48 * cells for cells in (512, 128, 32)], id="yolov5face, maps"),
        pytest.param([20 * (512 + 128 + 32)], id="yolov8face, rows"),
        pytest.param([80 * cells for cells in (512, 128, 32)], id="yolov8face, maps"),
        pytest.param([1344 * last for last in (2, 4, 10)], id="retinaface"),
        pytest.param(
            [last * cells for last in (1, 1, 4, 10) for cells in (512, 128, 32)], id="yunet"
        ),
        pytest.param([2 * last * n for last in (1, 4, 10) for n in (512, 128, 32)], id="scrfd"),
        pytest.param([last * n for last in (1, 4) for n in (512, 128, 32, 8, 2)], id="scrfd, 10"),
    ],
)
def test_a_picture_calls_for_so_many_numbers(sizes):
    assert fits_picture(sizes, 128, 256)
    assert not fits_picture(sizes, 256, 256)
    assert not fits_picture(sizes[1:], 128, 256)


@pytest.mark.parametrize(
    ("sizes", "height", "width", "fits"),
    [
        pytest.param([48 * cells for cells in (32, 128, 512)], 128, 256, True, id="falling"),
        pytest.param([48 * cells for cells in (128, 32, 512)], 128, 256, True, id="in no order"),
        pytest.param([48 * cells for cells in (128, 128, 512)], 128, 256, False, id="twice"),
        pytest.param([48 * cells for cells in (96, 24, 6)], 64, 96, True, id="maps, 64x96"),
        pytest.param([48 * cells for cells in (96, 24, 6, 2)], 64, 96, False, id="part of 64"),
        pytest.param([48 * (96 + 24 + 6)], 64, 96, True, id="rows, 64x96"),
        pytest.param([48 * (96 + 24 + 6) + 16], 64, 96, False, id="a row too many"),
        pytest.param(
            [last * n for last in (1, 4) for n in (96, 24, 6, 2, 1)], 64, 96, True, id="cut cells"
        ),
    ],
)
def test_every_multiple_of_32_is_counted(sizes, height, width, fits):
    assert fits_picture(sizes, height, width) is fits


def test_some_outputs_may_have_a_batch_axis_and_others_none():
    assert named([*flat(*SCRFD_6[:3]), *batched(*SCRFD_6[3:])]) == "scrfd"


@pytest.mark.parametrize(
    "shapes",
    [
        *(flat(*last) for last in (YUNET, SCRFD_6, SCRFD_9, SCRFD_10, SCRFD_15, (4, 2, 10))),
        [(1, 9, 16)],
        [(1, 48, 8, 8)] * 3,
        [(1, 20, 8400)],
        [(1, 80, 8, 8)] * 3,
        [(1, 128)],
    ],
)
def test_no_outputs_fit_two_decoders(shapes):
    fitting = [row.name for row in DECODERS.values() if row.fits(shapes)]
    assert fitting == ([named(shapes)] if len(shapes) > 1 or len(shapes[0]) == 3 else [])


def test_every_decoder_has_a_row_of_its_name():
    assert list(DECODERS) == ["retinaface", "scrfd", "yolov5face", "yolov8face", "yunet"]
    assert all(row.name == name for name, row in DECODERS.items())


@pytest.mark.parametrize(
    ("last", "landmarks"), [(SCRFD_6, False), (SCRFD_9, True), (SCRFD_10, False), (SCRFD_15, True)]
)
def test_an_scrfd_gives_landmarks_where_it_has_outputs_for_them(last, landmarks):
    assert decoder_of(flat(*last)).landmarks(flat(*last)) is landmarks


def blind(*last):
    """A detector that sees nothing, with outputs (1, 8, last)."""
    return network([np.zeros((1, 8, size), np.float32) for size in last])


@pytest.mark.pack
def test_a_pack_that_is_changed_in_nothing_loads(pack, tmp_path):
    detect = load_detector(remade(pack, tmp_path / "pack"))
    assert detect(np.zeros((64, 64, 3), np.uint8)) == []


@pytest.mark.pack
def test_a_pack_that_declares_another_decoder_is_refused(pack, tmp_path):
    with pytest.raises(PackError) as refused:
        load_detector(remade(pack, tmp_path / "pack", decoder="scrfd"))
    message = str(refused.value)
    assert str(tmp_path / "pack" / "detector.onnx") in message
    assert "declared for the decoder scrfd, but its outputs fit yunet" in message


@pytest.mark.pack
def test_a_network_that_fits_no_decoder_is_refused_with_its_shapes(pack, tmp_path):
    onnx = blind(1, 4, 10)
    with pytest.raises(PackError) as refused:
        load_detector(remade(pack, tmp_path / "pack", onnx))
    message = str(refused.value)
    assert "fit none of retinaface, scrfd, yolov5face, yolov8face, yunet" in message
    assert "(1, 8, 1), (1, 8, 4), (1, 8, 10)" in message


@pytest.mark.pack
@pytest.mark.parametrize("last", [SCRFD_6, SCRFD_9, SCRFD_10, SCRFD_15])
def test_an_scrfd_network_declared_for_yunet_is_refused(pack, tmp_path, last):
    onnx = blind(*last)
    with pytest.raises(PackError, match=r"declared for the decoder yunet, .* fit scrfd"):
        load_detector(remade(pack, tmp_path / "wrong", onnx))
    assert load_detector(remade(pack, tmp_path / "right", onnx, decoder="scrfd"))


@pytest.mark.pack
@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"anchors": [[[4, 5]] * 3] * 3}, "anchors and squashed_landmarks are yolov5face's alone"),
        ({"squashed_landmarks": True}, "anchors and squashed_landmarks are yolov5face's alone"),
        ({"padding": 256}, r"detector\.padding: expected 0\.\.255, got 256"),
        ({"padding": -1}, r"detector\.padding: expected 0\.\.255, got -1"),
        ({"anchors": [[4, 5]]}, "detector.anchors"),
    ],
)
def test_what_a_manifest_says_of_other_decoders_is_refused(said, message, pack, tmp_path):
    with pytest.raises(PackError, match=message):
        load_detector(remade(pack, tmp_path / "pack", **said))


@pytest.mark.pack
def test_a_network_of_one_size_with_part_of_a_stride_is_refused(pack, tmp_path):
    onnx = network([np.zeros((1, 8, size), np.float32) for size in YUNET], 640, 600)
    with pytest.raises(PackError, match="multiples of 32, got one for 640x600"):
        load_detector(remade(pack, tmp_path / "pack", onnx))


def read_dots(outputs, height, width, *, min_score):
    """Candidates of outputs (1, K, 7): a box, a score and one point for all five landmarks."""
    rows = outputs[0][0][outputs[0][0][:, 4] >= min_score]
    points = np.repeat(rows[:, None, 5:], 5, axis=1)
    return Candidates(rows[:, :4], points, rows[:, 4])


@pytest.mark.pack
def test_a_row_is_all_that_a_new_decoder_needs(tmp_path, monkeypatch):
    row = Decoder(
        "dots",
        read_dots,
        fits=lambda shapes: last_dimensions(shapes) == (7,),
        numbers=lambda height, width: [(7 * 2,)],
        published=Preprocess("bgr", std=(2.0,) * 3),
    )
    monkeypatch.setitem(DECODERS, "dots", row)
    answer = np.array([[[8, 16, 24, 40, 0.9, 12, 20], [0, 0, 9, 9, 0.1, 1, 1]]], np.float32)
    (tmp_path / "dots.onnx").write_bytes(network([answer]))
    pack = import_pack(tmp_path / "dots.onnx", folder=tmp_path / "pack").pack
    spec = pack.manifest.detector
    assert (spec.decoder, spec.preprocess) == ("dots", row.published)
    assert [one for one in verify_pack(pack.folder) if one.level == "error"] == []
    (face,) = load_detector(pack)(np.zeros((192, 192, 3), np.uint8))  # scanned at twice its size
    assert face.box.tolist() == [4, 8, 12, 20]
    assert face.landmarks.tolist() == [[6, 10]] * 5
