"""YuNet's cells to boxes: by hand, and against OpenCV's own decoder."""

import cv2
import numpy as np
import pytest

from visavis.decode.boxes import letterbox, nms
from visavis.decode.yunet import STRIDES, decode_yunet
from visavis.image import read_image
from visavis.runtime import Device, load_model

HEIGHT, WIDTH = 96, 160  # not square, so that rows and columns cannot be taken for each other


def silent(height=HEIGHT, width=WIDTH):
    """Outputs in which no cell answers: class, objectness, box, landmarks, by stride each."""
    return [
        np.zeros((1, (height // stride) * (width // stride), last), np.float32)
        for last in (1, 1, 4, 10)
        for stride in STRIDES
    ]


def lit(level, cell, *, class_score=1.0, objectness=1.0, box=(0, 0, 0, 0), points=(0,) * 10):
    """The same with one cell that answers."""
    outputs = silent()
    for kind, value in enumerate((class_score, objectness, box, points)):
        outputs[3 * kind + level][0, cell] = value
    return outputs


@pytest.mark.parametrize(("level", "stride"), list(enumerate(STRIDES)))
@pytest.mark.parametrize(("column", "row"), [(0, 0), (4, 0), (0, 2), (3, 2)])
def test_zeros_mean_a_box_of_one_stride_round_the_cells_corner(level, stride, column, row):
    found = decode_yunet(lit(level, row * (WIDTH // stride) + column), HEIGHT, WIDTH, min_score=0.6)
    x, y, half = column * stride, row * stride, stride / 2
    assert found.boxes.tolist() == [[x - half, y - half, x + half, y + half]]
    assert found.landmarks.tolist() == [[[x, y]] * 5]
    assert found.scores.tolist() == [1]


@pytest.mark.parametrize(
    ("class_score", "objectness", "expected"),
    [
        (1, 1, 1),
        (0.64, 1, 0.8),
        (0.25, 0.81, 0.45),
        (4, 0.25, 0.5),  # clipped to 1 before, not after
        (-1, -1, 0),
        (0, 1, 0),
    ],
)
def test_a_score_is_the_root_of_both_clipped(class_score, objectness, expected):
    outputs = lit(1, 0, class_score=class_score, objectness=objectness)
    found = decode_yunet(outputs, HEIGHT, WIDTH, min_score=0)
    assert found.scores.max() == pytest.approx(expected)


def test_a_box_is_an_offset_and_the_log_of_a_size_in_strides():
    box = (0.5, -0.25, np.log(3), np.log(0.5))
    points = (1, 0, -1, 0, 0, 2, 0, -2, 0.5, 0.5)
    found = decode_yunet(lit(1, 23, box=box, points=points), HEIGHT, WIDTH, min_score=0.6)
    # stride 16, ten columns: cell 23 is column 3, row 2; centre (3.5, 1.75), size (3, 0.5) strides
    np.testing.assert_allclose(found.boxes, [[32, 24, 80, 32]], rtol=1e-6)
    assert found.landmarks.tolist() == [[[64, 32], [32, 32], [48, 64], [48, 0], [56, 40]]]


@pytest.mark.parametrize(("score", "faces"), [(0.5, 1), (0.49, 0)])
def test_a_score_of_exactly_the_least_is_a_face(score, faces):
    outputs = lit(2, 1, class_score=score, objectness=score)
    assert len(decode_yunet(outputs, HEIGHT, WIDTH, min_score=0.5).scores) == faces


def test_candidates_come_by_stride_then_by_cell():
    outputs = silent()
    for level, cell, score in ((2, 4, 0.9), (0, 7, 0.7), (0, 3, 0.6), (1, 0, 0.8)):
        outputs[level][0, cell] = outputs[3 + level][0, cell] = score
    found = decode_yunet(outputs, HEIGHT, WIDTH, min_score=0.5)
    assert found.scores.tolist() == pytest.approx([0.6, 0.7, 0.8, 0.9])


def test_silence_is_no_face():
    found = decode_yunet(silent(), HEIGHT, WIDTH, min_score=0.5)
    assert (found.boxes.shape, found.landmarks.shape) == ((0, 4), (0, 5, 2))


@pytest.mark.parametrize(("height", "width"), [(HEIGHT + 32, WIDTH), (HEIGHT, WIDTH - 32)])
def test_other_counts_than_there_are_cells_are_an_error(height, width):
    with pytest.raises(ValueError, match="cells"):
        decode_yunet(silent(), height, width, min_score=0.5)


@pytest.mark.pack
@pytest.mark.parametrize("name", ["obama.jpg", "obama2.jpg", "biden.jpg", "obama_partial_face.jpg"])
def test_boxes_and_landmarks_are_opencvs(portraits, pack, name):
    canvas, _ = letterbox(read_image(portraits / name), 640)
    height, width = canvas.shape[:2]
    spec = pack.manifest.detector
    onnx = pack.read(spec.file, spec.sha256)
    model = load_model(onnx, spec.preprocess, Device("cpu", precision="float32"))
    found = decode_yunet(model(canvas[None]), height, width, min_score=spec.min_score)
    found = found[nms(found.boxes, found.scores, max_overlap=spec.max_overlap)]
    opencv = cv2.FaceDetectorYN.create(
        str(pack.folder / spec.file), "", (width, height), spec.min_score, spec.max_overlap
    )
    _, rows = opencv.detect(np.ascontiguousarray(canvas[..., ::-1]))
    assert len(rows) == len(found.scores) > 0
    expected = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
    np.testing.assert_allclose(found.boxes, expected, atol=0.5)
    np.testing.assert_allclose(found.landmarks.reshape(-1, 10), rows[:, 4:14], atol=0.5)
    np.testing.assert_allclose(found.scores, rows[:, 14], atol=0.01)
