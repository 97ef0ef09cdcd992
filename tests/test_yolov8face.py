"""YOLOv8-face's two flavours to boxes: one bin by hand, and both alike."""

import numpy as np
import pytest
from made_detectors import network, remade

from visavis.decode.boxes import Frame
from visavis.decode.yolov8face import decode_yolov8face
from visavis.detect import ScanDetector, load_detector
from visavis.errors import ModelError
from visavis.runtime import Device

HEIGHT, WIDTH = 64, 96  # not square, so that rows and columns cannot be taken for each other
SURE, LOW = 50.0, -50.0  # logits of one bin alone, and of no face
SPOTS = [
    (level, 8 << level, column, row)
    for level in range(3)
    for column, row in ((0, 0), ((WIDTH >> 3 + level) - 1, 0), (1, (HEIGHT >> 3 + level) - 1))
]


def silent(height=HEIGHT, width=WIDTH):
    """Raw maps in which no cell answers: (1, 80, rows, columns) by stride."""
    maps = [
        np.zeros((1, 80, height // stride, width // stride), np.float32) for stride in (8, 16, 32)
    ]
    for values in maps:
        values[:, 64] = LOW
    return maps


def tell(maps, level, cell, sides, points, score=SURE):
    """Let a cell answer with whole lengths of its four sides, and with five points."""
    column, row = cell
    for side, length in enumerate(sides):
        maps[level][0, 16 * side + length, row, column] = SURE
    maps[level][0, 64, row, column] = score
    for point, (x, y) in enumerate(points):
        maps[level][0, 65 + 3 * point : 67 + 3 * point, row, column] = x, y
    return maps


def as_rows(maps):
    """The same as the network decodes them itself: (1, 20, A). Written out, cell by cell."""
    rows = []
    for values in maps:
        stride = HEIGHT // values.shape[2]
        for y, x in np.ndindex(values.shape[2:]):
            raw = values[0, :, y, x].astype(float)
            shares = [np.exp(raw[at : at + 16]) for at in range(0, 64, 16)]
            sides = [sum(n * part for n, part in enumerate(s)) / s.sum() for s in shares]
            left, top = x + 0.5 - sides[0], y + 0.5 - sides[1]
            right, bottom = x + 0.5 + sides[2], y + 0.5 + sides[3]
            box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
            points = [(2 * raw[65 + n] + (x, y, 0)[n % 3]) for n in range(15)]
            score = 1 / (1 + np.exp(-raw[64]))
            rows.append([*(stride * n for n in box), score, *(stride * n for n in points)])
    return [np.float32(rows).T[None]]


@pytest.mark.parametrize(("level", "stride", "column", "row"), SPOTS)
def test_a_bin_is_a_length_in_strides_from_the_middle_of_the_cell(level, stride, column, row):
    points = [(0, 0), (1, 0), (0, 1), (-1, 0.5), (2, 2)]
    maps = tell(silent(), level, (column, row), (1, 2, 3, 15), points)
    faces = decode_yolov8face(maps, HEIGHT, WIDTH, min_score=0.5)
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    box = [x - stride, y - 2 * stride, x + 3 * stride, y + 15 * stride]
    np.testing.assert_allclose(faces.boxes, [box], atol=1e-3)
    # Points count from the cell's corner, in half strides.
    expected = [[(column + 2 * dx) * stride, (row + 2 * dy) * stride] for dx, dy in points]
    np.testing.assert_allclose(faces.landmarks, [expected])
    np.testing.assert_allclose(faces.scores, [1.0])


def test_shares_of_two_bins_are_their_mean():
    maps = silent()
    maps[0][0, [64, 0, 4, 16, 32, 48], 0, 0] = SURE  # left: half in bin 0, half in bin 4
    faces = decode_yolov8face(maps, HEIGHT, WIDTH, min_score=0.5)
    np.testing.assert_allclose(faces.boxes, [[4 - 2 * 8, 4, 4, 4]], atol=1e-4)


def test_no_share_at_all_is_the_middle_of_the_bins():
    faces = decode_yolov8face(
        tell(silent(), 1, (0, 0), (), [], score=0), HEIGHT, WIDTH, min_score=0.5
    )
    assert faces.boxes.tolist() == [[8 - 120, 8 - 120, 8 + 120, 8 + 120]]  # 7.5 strides of 16
    assert faces.scores.tolist() == [0.5]


def test_both_flavours_are_one():
    draws = np.random.default_rng(8)
    maps = [draws.normal(0, 2, values.shape).astype(np.float32) for values in silent()]
    raw = decode_yolov8face(maps, HEIGHT, WIDTH, min_score=0.3)
    rows = decode_yolov8face(as_rows(maps), HEIGHT, WIDTH, min_score=0.3)
    assert len(raw.scores) > 50
    np.testing.assert_allclose(rows.scores, raw.scores, rtol=1e-5)
    np.testing.assert_allclose(rows.boxes, raw.boxes, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(rows.landmarks, raw.landmarks, rtol=1e-4, atol=1e-3)


def test_raw_maps_come_in_any_order():
    maps = silent()
    for level in range(3):
        tell(maps, level, (level, 1), (1, 1, 1, 1), [], score=1)
    expected = decode_yolov8face(maps, HEIGHT, WIDTH, min_score=0.5)
    faces = decode_yolov8face(maps[::-1], HEIGHT, WIDTH, min_score=0.5)
    np.testing.assert_array_equal(faces.boxes[::-1], expected.boxes)
    assert faces.boxes[:, 2].tolist() == [(2.5 + 1) * 32, (1.5 + 1) * 16, (0.5 + 1) * 8]


@pytest.mark.parametrize("outputs", [silent(), as_rows(silent())])
def test_silence_is_no_face(outputs):
    faces = decode_yolov8face(outputs, HEIGHT, WIDTH, min_score=0.5)
    assert (faces.boxes.shape, faces.landmarks.shape) == ((0, 4), (0, 5, 2))


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param(silent(HEIGHT + 8, WIDTH), id="another height"),
        pytest.param(silent(HEIGHT, WIDTH - 8), id="another width"),
        pytest.param([np.zeros((1, 19, 126), np.float32)], id="nineteen numbers"),
        pytest.param([values[:, :70] for values in silent()], id="seventy channels"),
    ],
)
def test_what_does_not_fit_is_an_error(outputs):
    detect = ScanDetector(lambda pictures: outputs, decode_yolov8face, 0.5, 0.4)
    with pytest.raises(ModelError, match="do not fit together"):
        detect(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


@pytest.mark.pack
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("flavour", [list, as_rows])
def test_a_file_of_one_size_is_fed_that_size(flavour, runtime, pack, tmp_path):
    pytest.importorskip(runtime, reason=f"{runtime} is of the extra ort")
    maps = tell(silent(), 2, (1, 1), (0, 0, 1, 1), [(0, 0), (0.2, 0), (0.1, 0.1), (0, 0.2)])
    made = remade(pack, tmp_path / "pack", network(flavour(maps), 64, 96), decoder="yolov8face")
    detect = load_detector(made, device=Device("cpu", runtime=runtime))
    assert detect.frame == Frame((64, 96), 32, 114)
    (face,) = detect(np.full((32, 48, 3), 200, np.uint8))  # at twice its size
    np.testing.assert_allclose(face.box, [24, 24, 40, 40], atol=1e-3)
    np.testing.assert_allclose(face.landmarks[1], [(1 + 0.4) * 16, 16], atol=1e-3)
