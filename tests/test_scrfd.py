"""SCRFD's four layouts to boxes: by hand, and against the insightface package's own decoder."""

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from visavis.answers import documents, pictures, words
from visavis.decode.boxes import letterbox, nms
from visavis.decode.scrfd import LAYOUTS, decode_scrfd
from visavis.detect import ScanDetector
from visavis.errors import LandmarkError
from visavis.faces import find_faces
from visavis.image import read_image
from visavis.runtime import Device, Preprocess, load_model

HEIGHT, WIDTH = 96, 160  # not square, and no multiple of strides 64 and 128
# Outputs to anchors on a cell, and columns and rows of cells at strides 8, 16, 32, 64, 128.
GRIDS = ((20, 12), (10, 6), (5, 3), (3, 2), (2, 1))
ANCHORS = {6: 2, 9: 2, 10: 1, 15: 1}
LEVELS = {6: 3, 9: 3, 10: 5, 15: 5}
SPOTS = [
    (count, level, anchor, column, row)
    for count in (6, 9, 10, 15)
    for level in range(LEVELS[count])
    for anchor in range(ANCHORS[count])
    for column, row in {(0, 0), (GRIDS[level][0] - 1, 0), (1, GRIDS[level][1] - 1)}
]


def silent(count, rank=2):
    """Outputs in which no anchor answers: all scores, all boxes, all points."""
    kinds = (1, 4, 10)[: 3 if count in (9, 15) else 2]
    return [
        np.zeros((1,) * (rank - 2) + (columns * rows * ANCHORS[count], last), np.float32)
        for last in kinds
        for columns, rows in GRIDS[: LEVELS[count]]
    ]


def lit(count, level, row, *, rank=2, score=1.0, box=(0, 0, 0, 0), points=(0,) * 10):
    """The same with one anchor that answers."""
    outputs = silent(count, rank)
    values = score, box, points
    for kind in range(len(outputs) // LEVELS[count]):
        outputs[kind * LEVELS[count] + level][..., row, :] = values[kind]
    return outputs


def test_the_layouts_are_the_four_that_are_published():
    found = {
        count: (len(layout.strides), layout.anchors, layout.landmarks)
        for count, layout in LAYOUTS.items()
    }
    assert found == {6: (3, 2, False), 9: (3, 2, True), 10: (5, 1, False), 15: (5, 1, True)}


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize(("count", "level", "anchor", "column", "row"), SPOTS)
def test_zeros_mean_the_corner_of_the_cell(count, level, anchor, column, row, rank):
    place = (row * GRIDS[level][0] + column) * ANCHORS[count] + anchor
    found = decode_scrfd(lit(count, level, place, rank=rank), HEIGHT, WIDTH, min_score=0.5)
    x, y = column * (8 << level), row * (8 << level)
    assert found.boxes.tolist() == [[x, y, x, y]]
    assert found.scores.tolist() == [1]
    if count in (9, 15):
        assert found.landmarks.tolist() == [[[x, y]] * 5]
    else:
        assert np.isnan(found.landmarks).all()
        assert found.landmarks.shape == (1, 5, 2)


@pytest.mark.parametrize(("count", "row"), [(9, 2 * 13 + 1), (15, 13)])
def test_distances_and_points_are_in_strides(count, row):
    box, points = (0.5, 1, 2, 0.25), (1, 0, -1, 0, 0, 2, 0, -2, 0.5, 0.5)
    found = decode_scrfd(lit(count, 1, row, box=box, points=points), HEIGHT, WIDTH, min_score=0.5)
    # stride 16, ten columns: cell 13 is column 3, row 1, the point (48, 16)
    assert found.boxes.tolist() == [[40, 0, 80, 20]]
    assert found.landmarks.tolist() == [[[64, 16], [32, 16], [48, 48], [48, -16], [56, 24]]]


def test_the_anchors_of_a_cell_lie_side_by_side():
    outputs = silent(9)
    for row, score in ((6, 0.6), (7, 0.7), (8, 0.8)):
        outputs[0][row] = score
    found = decode_scrfd(outputs, HEIGHT, WIDTH, min_score=0.5)
    assert found.boxes[:, 0].tolist() == [24, 24, 32]
    assert found.scores.tolist() == pytest.approx([0.6, 0.7, 0.8])


@pytest.mark.parametrize("count", [6, 9, 10, 15])
@pytest.mark.parametrize(("score", "faces"), [(0.5, 1), (0.49, 0)])
def test_a_score_of_exactly_the_least_is_a_face(count, score, faces):
    found = decode_scrfd(lit(count, 2, 1, score=score), HEIGHT, WIDTH, min_score=0.5)
    assert len(found.scores) == faces


@pytest.mark.parametrize("count", [6, 9, 10, 15])
def test_silence_is_no_face(count):
    found = decode_scrfd(silent(count), HEIGHT, WIDTH, min_score=0.5)
    assert (found.boxes.shape, found.landmarks.shape) == ((0, 4), (0, 5, 2))


@pytest.mark.parametrize(("height", "width"), [(HEIGHT + 32, WIDTH), (HEIGHT, WIDTH - 32)])
def test_other_counts_than_there_are_anchors_are_an_error(height, width):
    with pytest.raises(ValueError, match="anchors"):
        decode_scrfd(silent(9), height, width, min_score=0.5)


def test_more_boxes_than_scores_are_an_error():
    outputs = silent(9)
    outputs[3] = np.zeros((1000, 4), np.float32)
    with pytest.raises(ValueError, match="anchors"):
        decode_scrfd(outputs, HEIGHT, WIDTH, min_score=0.5)


@pytest.mark.parametrize("count", [6, 10])
def test_a_face_without_landmarks_is_shown_and_not_aligned(count):
    place = (2 * GRIDS[1][0] + 4) * ANCHORS[count]  # the point (64, 32)
    outputs = lit(count, 1, place, box=(2, 1, 2, 3))
    detect = ScanDetector(lambda pictures: outputs, decode_scrfd, 0.5, 0.4)
    half = np.zeros((HEIGHT // 2, WIDTH // 2, 3), np.uint8)  # is looked at enlarged twofold
    photo = find_faces(detect, half)
    (face,) = photo.faces
    assert not face.has_landmarks
    (shown,) = documents.faces_json(photo, [None])["faces"]
    assert shown == {"box": [16, 8, 48, 40], "landmarks": None, "score": 1, "quality": None}
    assert (
        words.faces_words(photo, [None])[1].split()
        == "1 32x32 at 16,8 · score 1.00 · no crop can be cut".split()
    )
    assert pictures.faces_picture(photo)[8, 20:45].any()  # the box's upper edge
    with pytest.raises(LandmarkError):
        photo.crops([0])


@pytest.fixture(scope="module")
def peer(data):
    """The insightface package's SCRFD, its package's folder, and the file both sides load."""
    pytest.importorskip("insightface", reason="make test-all installs insightface")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")  # it loads onnxruntime, which reports home
        insightface = importlib.import_module("insightface")
    path = data / "models" / "scrfd_500m_kps.onnx"
    detector = insightface.model_zoo.get_model(str(path), providers=["CPUExecutionProvider"])
    detector.prepare(-1)
    return detector, Path(insightface.__file__).parent, path.read_bytes()


def photos(peer, portraits, data):
    """Six faces, portraits, and a few small pictures; each with pixels for both sides."""
    wild = sorted((data / "data" / "lfw_people").rglob("*.jpg"))[::400]
    named = [portraits / f"{name}.jpg" for name in ("obama", "obama2", "biden", "obama3")]
    return [peer[1] / "data" / "images" / "t1.jpg", *named, *wild]


@pytest.mark.pack
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_boxes_and_landmarks_are_insightfaces(peer, portraits, data, runtime):
    theirs, _, onnx = peer
    preprocess = Preprocess("rgb", (127.5,) * 3, (128.0,) * 3)
    model = load_model(onnx, preprocess, Device("cpu", runtime, "float32"))
    faces = 0
    for path in photos(peer, portraits, data):
        canvas, _ = letterbox(read_image(path), 640)
        height, width = canvas.shape[:2]
        found = decode_scrfd(model(canvas[None]), height, width, min_score=0.5)
        found = found[nms(found.boxes, found.scores, max_overlap=0.4)]
        bgr = np.ascontiguousarray(canvas[..., ::-1])
        rows, points = theirs.detect(bgr, input_size=(width, height))  # of this size: not resized
        assert len(rows) == len(found.scores) > 0, path.name
        np.testing.assert_allclose(found.boxes, rows[:, :4], atol=0.5)
        np.testing.assert_allclose(found.landmarks, points, atol=0.5)
        np.testing.assert_allclose(found.scores, rows[:, 4], atol=0.001)
        faces += len(rows)
    assert faces >= 6 + 4 + 3


@pytest.mark.pack
@pytest.mark.filterwarnings("ignore")
def test_the_whole_flow_finds_the_faces_that_insightface_finds(peer):
    theirs, folder, onnx = peer
    path = folder / "data" / "images" / "t1.jpg"
    preprocess = Preprocess("rgb", (127.5,) * 3, (128.0,) * 3)
    model = load_model(onnx, preprocess, Device("cpu", precision="float32"))
    faces = ScanDetector(model, decode_scrfd, 0.5, 0.4)(read_image(path))
    rows, points = theirs.detect(cv2.imread(str(path)))  # its own two scales
    assert len(rows) == len(faces) == 6
    for row, marks in zip(rows, points, strict=True):
        gaps = [np.abs(face.box - row[:4]).max() for face in faces]
        nearest = faces[int(np.argmin(gaps))]
        assert min(gaps) < 1.5
        assert np.abs(nearest.landmarks - marks).max() < 1.5
        assert nearest.score == pytest.approx(row[4], abs=0.01)
