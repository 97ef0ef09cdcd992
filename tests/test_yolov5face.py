"""YOLOv5-face's three flavours to boxes: zero logits by hand, and all three alike."""

import json

import numpy as np
import pytest
from made_detectors import network, remade

from visavis.decode.boxes import Frame
from visavis.decode.yolov5face import ANCHORS, RawOutputs, decode_as, decode_yolov5face
from visavis.detect import ScanDetector, load_detector
from visavis.draw import write_image
from visavis.errors import ModelError
from visavis.runtime import Device

HEIGHT, WIDTH = 128, 192  # not square, so that rows and columns cannot be taken for each other
LEVELS = [  # number of strides, level, and the stride
    (levels, level, 8 << level) for levels in (2, 3, 4) for level in range(levels)
]
SPOTS = [
    (levels, level, stride, anchor, column, row)
    for levels, level, stride in LEVELS
    for anchor in range(3)
    for column, row in ((0, 0), (WIDTH // stride - 1, 0), (1, HEIGHT // stride - 1))
]
LOW = -20.0  # a logit of no face


def silent(levels, height=HEIGHT, width=WIDTH):
    """Raw maps in which no anchor answers: (1, 3, rows, columns, 16) by stride."""
    maps = [
        np.zeros((1, 3, height // (8 << level), width // (8 << level), 16), np.float32)
        for level in range(levels)
    ]
    for values in maps:
        values[..., 4] = LOW
    return maps


def as_channels(maps):
    """The same as (1, 48, rows, columns)."""
    return [values.transpose(0, 1, 4, 2, 3).reshape(1, 48, *values.shape[2:4]) for values in maps]


def as_rows(maps):
    """The same as the network decodes them itself: (1, A, 16). Written out, cell by cell."""
    rows = []
    for values, anchors in zip(maps, ANCHORS[len(maps)], strict=True):
        stride = HEIGHT // values.shape[2]
        for (anchor, y, x), _ in np.ndenumerate(values[0, ..., 0]):
            raw, (wide, high) = values[0, anchor, y, x].astype(float), anchors[anchor]
            share = 1 / (1 + np.exp(-raw))
            centre = [(2 * share[0] - 0.5 + x) * stride, (2 * share[1] - 0.5 + y) * stride]
            size = [(2 * share[2]) ** 2 * wide, (2 * share[3]) ** 2 * high]
            points = (raw[5:15].reshape(5, 2) * [wide, high] + np.array([x, y]) * stride).ravel()
            rows.append([*centre, *size, share[4], *points, share[15]])
    return [np.float32(rows)[None]]


@pytest.mark.parametrize("flavour", [list, as_channels])
@pytest.mark.parametrize(("levels", "level", "stride", "anchor", "column", "row"), SPOTS)
def test_zero_logits_mean_the_anchor_round_the_middle_of_the_cell(
    levels, level, stride, anchor, column, row, flavour
):
    maps = silent(levels)
    maps[level][0, anchor, row, column] = 0
    found = decode_yolov5face(flavour(maps), HEIGHT, WIDTH, min_score=0.2)
    wide, high = ANCHORS[levels][level][anchor]
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    assert found.boxes.tolist() == [[x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]]
    assert found.landmarks.tolist() == [[[column * stride, row * stride]] * 5]
    assert found.scores.tolist() == [0.25]


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_all_three_flavours_are_one(levels):
    draws = np.random.default_rng(levels)
    maps = [draws.normal(0, 2, values.shape).astype(np.float32) for values in silent(levels)]
    flavours = maps, as_channels(maps), as_rows(maps)
    raw, channels, rows = (
        decode_yolov5face(outputs, HEIGHT, WIDTH, min_score=0.3) for outputs in flavours
    )
    assert len(raw.scores) > 100
    for other in (channels, rows):
        np.testing.assert_allclose(other.scores, raw.scores, rtol=1e-5)
        np.testing.assert_allclose(other.boxes, raw.boxes, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(other.landmarks, raw.landmarks, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("flavour", [list, as_channels])
def test_raw_maps_come_in_any_order(flavour):
    outputs = silent(3)
    for level, values in enumerate(outputs):
        values[0, level, 1, 2] = 1
    expected = decode_yolov5face(flavour(outputs), HEIGHT, WIDTH, min_score=0.1)
    found = decode_yolov5face(flavour(outputs[::-1]), HEIGHT, WIDTH, min_score=0.1)
    assert len(found.scores) == 3
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_landmarks_are_linear_in_the_anchor_and_boxes_are_bounded():
    maps = silent(3)
    maps[1][0, 2, 3, 5] = [90, -90, 90, -90, 90, 1, 0, -1, 0, 0, 2, 0, -2, 0.5, 0.5, 90]
    found = decode_yolov5face(maps, HEIGHT, WIDTH, min_score=0.5)
    # stride 16, anchor 73 x 105, cell (5, 3): centre (80 + 24, 48 - 8), size 4 * 73 and 0
    assert found.boxes.tolist() == [[104 - 146, 40, 104 + 146, 40]]
    expected = [[[153, 48], [7, 48], [80, 258], [80, -162], [116.5, 100.5]]]
    assert found.landmarks.tolist() == expected


def test_the_first_releases_landmarks_are_squashed():
    maps = silent(3)
    maps[0][0, 0, 0, 0] = [0, 0, 0, 0, 9, *[90, -90] * 5, 9]
    found = decode_yolov5face(maps, HEIGHT, WIDTH, min_score=0.5, raw=RawOutputs(squashed=True))
    assert found.landmarks.tolist() == [[[16, -20]] * 5]  # anchor 4 x 5, by 4 and by -4


def test_anchors_of_ones_own_replace_the_published_ones():
    maps = silent(3)
    maps[2][0, 1, 0, 0] = 0
    own = (((1, 1),) * 3, ((1, 1),) * 3, ((9, 9), (20, 40), (9, 9)))
    found = decode_yolov5face(maps, HEIGHT, WIDTH, min_score=0.2, raw=RawOutputs(own))
    assert found.boxes.tolist() == [[6, -4, 26, 36]]


@pytest.mark.parametrize(("score", "faces"), [(0.5, 1), (0.49, 0)])
def test_a_score_is_objectness_times_class(score, faces):
    rows = np.zeros((1, 9, 16), np.float32)
    rows[0, 4, [4, 15]] = score, 1
    assert len(decode_yolov5face([rows], HEIGHT, WIDTH, min_score=0.5).scores) == faces


@pytest.mark.parametrize("outputs", [silent(3), as_channels(silent(3)), as_rows(silent(3))])
def test_silence_is_no_face(outputs):
    found = decode_yolov5face(outputs, HEIGHT, WIDTH, min_score=0.5)
    assert (found.boxes.shape, found.landmarks.shape) == ((0, 4), (0, 5, 2))


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param(silent(3) + silent(2), id="five strides"),
        pytest.param([np.zeros((1, 7, 15), np.float32)], id="fifteen numbers"),
    ],
)
def test_what_does_not_fit_is_an_error(outputs):
    detect = ScanDetector(lambda pictures: outputs, decode_yolov5face, 0.5, 0.4)
    with pytest.raises(ModelError, match="do not fit together"):
        detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


@pytest.mark.parametrize(("height", "width"), [(HEIGHT + 32, WIDTH), (HEIGHT, WIDTH - 32)])
def test_cells_of_no_whole_stride_are_an_error(height, width):
    with pytest.raises(ValueError, match="stride"):
        decode_yolov5face(silent(3), height, width, min_score=0.5)


def test_anchors_of_another_count_of_strides_are_an_error():
    decode = decode_as(RawOutputs(ANCHORS[4]))
    detect = ScanDetector(lambda pictures: silent(3), decode, 0.5, 0.4)
    with pytest.raises(ModelError, match="do not fit together"):
        detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def one_face(flavour):
    """Outputs of a network for 64x96 in which the first cell of stride 32 has a face."""
    maps = silent(3, 64, 96)
    maps[2][0, 0, 0, 0] = 0
    maps[2][0, 0, 0, 0, [4, 15]] = 9
    if flavour == "rows":
        rows = np.zeros((1, 3 * 126, 16), np.float32)
        rows[0, 3 * 120] = [16, 16, 146, 217, 1, *[0] * 10, 1]
        return [rows]
    return as_channels(maps) if flavour == "channels" else maps


@pytest.mark.pack
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("flavour", ["rows", "maps", "channels"])
def test_a_file_of_one_size_is_fed_that_size(flavour, runtime, pack, tmp_path):
    pytest.importorskip(runtime, reason=f"{runtime} is of the extra ort")
    onnx = network(one_face(flavour), 64, 96)
    made = remade(pack, tmp_path / "pack", onnx, decoder="yolov5face")
    detect = load_detector(made, device=Device("cpu", runtime=runtime))
    assert detect.frame == Frame((64, 96), 64, 114)
    for height, width in ((1, 1), (30, 40), (50, 70), (300, 100), (2000, 3000)):
        (face,) = detect(np.full((height, width, 3), 200, np.uint8))
        scale = min(2 if max(height, width) <= 384 else 1, 64 / height, 96 / width)
        middle = (face.box[:2] + face.box[2:]) / 2 * scale
        np.testing.assert_allclose(middle, [16, 16], rtol=1e-3)


@pytest.mark.pack
def test_a_face_whose_points_lie_in_one_spot_is_shown_with_the_others(pack, run, tmp_path):
    answer = one_face("rows")[0]
    points = [60, 28, 68, 28, 64, 32, 61, 37, 67, 37]
    answer[0, 7] = [64, 32, 20, 20, 1, *points, 1]
    remade(pack, tmp_path / "pack", network([answer], 64, 96), decoder="yolov5face")
    write_image(tmp_path / "photo.png", np.zeros((64, 96, 3), np.uint8))
    words = ("detect", tmp_path / "photo.png", "--pack", tmp_path / "pack", "--json")
    code, out, _ = run(*words)
    (image,) = json.loads(out)["images"]
    assert code == 0
    assert [face["quality"] is None for face in image["faces"]] == [True, False]


@pytest.mark.pack
def test_a_manifests_anchors_reach_the_decoder(pack, tmp_path):
    own = [[[1, 1]] * 3] * 2 + [[[20, 40]] * 3]
    onnx = network(one_face("maps"), 64, 96)
    said = {"decoder": "yolov5face", "anchors": own, "padding": 0, "squashed_landmarks": True}
    detect = load_detector(remade(pack, tmp_path / "pack", onnx, **said))
    (face,) = detect(np.zeros((32, 48, 3), np.uint8))  # at twice its size
    np.testing.assert_allclose(face.box, [3, -2, 13, 18])
    np.testing.assert_allclose(face.landmarks, [[0, 0]] * 5)  # 8 * 0.5 - 4
    assert detect.frame.padding == 0
