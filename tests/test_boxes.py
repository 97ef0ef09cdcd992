"""Overlap, letterbox and tiles, worked out by hand on whole numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.decode.boxes import Candidates, Frame, joined, letterbox, nms, sigmoid, tiles

LEFT = [0, 0, 10, 10]
RIGHT = [20, 0, 30, 10]
LOWER = [0, 5, 10, 15]  # shares 50 of 150 square pixels with LEFT: 1/3
INNER = [0, 0, 10, 4]  # 40 of 100 with LEFT: 0.4
BESIDE = [10, 0, 20, 10]  # shares an edge with LEFT
POINT = [5, 5, 5, 5]  # a box without area


def boxes_of(rows):
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("rows", "scores", "expected"),
    [
        pytest.param([], [], [], id="none"),
        pytest.param([LEFT], [0.9], [0], id="one"),
        pytest.param([LEFT, RIGHT], [0.8, 0.9], [1, 0], id="apart, best score first"),
        pytest.param([LEFT, LEFT, LEFT], [0.7, 0.9, 0.8], [1], id="stacked: the best stays"),
        pytest.param([LEFT, LEFT], [0.9, 0.9], [0], id="equal scores: the first stays"),
        pytest.param([RIGHT, LEFT], [0.9, 0.9], [0, 1], id="equal scores keep their order"),
        pytest.param([LEFT, BESIDE], [0.9, 0.8], [0, 1], id="a shared edge is no overlap"),
        pytest.param([LEFT, LOWER], [0.9, 0.8], [0, 1], id="a third is under the limit"),
        pytest.param([LEFT, INNER], [0.9, 0.8], [0, 1], id="exactly the limit stays"),
        pytest.param([LEFT, [0, 0, 10, 4.01]], [0.9, 0.8], [0], id="a hair over the limit goes"),
        pytest.param([POINT, POINT], [0.9, 0.8], [0], id="boxes without area in one spot are one"),
        pytest.param(
            [LEFT, LOWER, [0, 10, 10, 20]], [0.7, 0.9, 0.8], [1, 2, 0], id="a third to either side"
        ),
    ],
)
def test_nms_keeps_the_best_of_overlapping_boxes(rows, scores, expected):
    kept = nms(boxes_of(rows), np.array(scores, np.float32), max_overlap=0.4)
    assert kept.tolist() == expected


def test_many_equal_scores_keep_their_order():
    apart = np.arange(500, dtype=np.float32)[:, None] * 20 + np.float32(LEFT)
    scores = np.random.default_rng(0).choice(np.float32([0.5, 0.6, 0.7]), 500)
    kept = nms(apart, scores, max_overlap=0.4)
    assert kept.tolist() == sorted(range(500), key=lambda row: -scores[row])


def test_a_box_that_was_removed_removes_no_other():
    chain = boxes_of([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])  # neighbours share 60 of 140
    assert nms(chain, np.array([0.9, 0.8, 0.7], np.float32), max_overlap=0.4).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("height", "width", "longest", "shape", "scale"),
    [
        (640, 640, 640, (640, 640), 1.0),
        (480, 640, 640, (480, 640), 1.0),
        (1280, 1280, 640, (640, 640), 0.5),
        (1000, 500, 250, (256, 128), 0.25),  # 250x125, padded
        (100, 60, 640, (128, 64), 1.0),  # never enlarged
        (1, 1, 640, (32, 32), 1.0),
        (1, 6400, 640, (32, 640), 0.1),  # 0.1 pixel high: still a row
        (33, 32, 640, (64, 32), 1.0),
        (300, 100, 224, (224, 96), 224 / 300),  # 74.67 wide: 75, padded to 96
    ],
)
def test_letterbox_shrinks_and_pads_to_whole_strides(height, width, longest, shape, scale):
    canvas, got = letterbox(np.full((height, width, 3), 200, np.uint8), longest)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    assert canvas.shape == (*shape, 3)
    assert got == pytest.approx(scale)
    assert (canvas[: inner[0], : inner[1]] == 200).all()
    assert not canvas[inner[0] :].any()
    assert not canvas[:, inner[1] :].any()


@pytest.mark.parametrize(
    ("height", "width", "longest", "frame", "enlarge", "shape", "scale"),
    [
        (250, 250, 384, Frame(), 2.0, (384, 384), 1.536),
        (100, 60, 384, Frame(), 2.0, (224, 128), 2.0),  # 200x120
        (100, 60, 150, Frame(), 2.0, (160, 96), 1.5),
        (400, 60, 384, Frame(), 2.0, (384, 64), 0.96),
        (70, 60, 640, Frame(multiple=64), 1.0, (128, 64), 1.0),
        (1280, 640, 640, Frame((640, 640)), 1.0, (640, 640), 0.5),
        (1280, 640, 640, Frame((320, 640)), 1.0, (320, 640), 0.25),  # its height decides
        (640, 1280, 640, Frame((640, 320)), 1.0, (640, 320), 0.25),
        (1280, 640, 224, Frame((640, 640)), 1.0, (640, 640), 0.175),
        (10, 10, 384, Frame((640, 640)), 2.0, (640, 640), 2.0),
        (100, 100, 384, Frame((128, 640)), 2.0, (128, 640), 1.28),
    ],
)
def test_a_frame_and_an_enlargement_decide_the_scale(
    height, width, longest, frame, enlarge, shape, scale
):
    image = np.full((height, width, 3), 200, np.uint8)
    canvas, got = letterbox(image, longest, frame, enlarge=enlarge)
    assert canvas.shape == (*shape, 3)
    assert got == pytest.approx(scale)
    assert (canvas == 200).sum() == 3 * round(height * scale) * round(width * scale)


def test_sigmoid_needs_no_large_numbers():
    values = np.float32([-1e30, -2, 0, 2, 1e30])
    expected = [0, 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-2)), 1]
    np.testing.assert_allclose(sigmoid(values), expected, rtol=1e-6)


def test_a_small_picture_is_copied_pixel_by_pixel():
    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)
    canvas, _ = letterbox(image, 640)
    np.testing.assert_array_equal(canvas[:40, :50], image)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (1, [0]),
        (640, [0]),
        (641, [0, 1]),
        (1152, [0, 512]),  # two tiles of 640 that share 128
        (1153, [0, 256, 513]),  # 256.5 is rounded to even
    ],
)
def test_tiles_of_a_row_of_pixels(length, expected):
    assert tiles(1, length, side=640, overlap=128) == [(left, 0) for left in expected]
    assert tiles(length, 1, side=640, overlap=128) == [(0, top) for top in expected]


@settings(deadline=None)
@given(
    height=st.integers(1, 700),
    width=st.integers(1, 700),
    side=st.integers(32, 200),
    overlap=st.integers(0, 24),
)
def test_every_window_of_the_overlap_lies_whole_in_a_tile(height, width, side, overlap):
    corners = tiles(height, width, side=side, overlap=overlap)
    for axis, length in ((0, width), (1, height)):
        starts = sorted({corner[axis] for corner in corners})
        assert starts[0] == 0
        assert starts[-1] == max(0, length - side)
        assert np.diff(starts).max(initial=0) <= side - overlap
    lefts, tops = ({corner[axis] for corner in corners} for axis in (0, 1))
    assert sorted(corners) == sorted((left, top) for left in lefts for top in tops)


def candidates(boxes, scores=None):
    boxes = boxes_of(boxes)
    landmarks = boxes[:, None, :2] + np.arange(5, dtype=np.float32)[:, None]
    return Candidates(boxes, landmarks, np.array(scores or [0.5] * len(boxes), np.float32))


@settings(deadline=None)
@given(
    corner=st.tuples(st.floats(0, 500), st.floats(0, 500)),
    size=st.floats(1, 200),
    longest=st.integers(32, 640),
    side=st.integers(1, 4000),
)
def test_placed_undoes_the_letterbox(corner, size, longest, side):
    scale = min(1.0, longest / side)
    truth = candidates([[*corner, corner[0] + size, corner[1] + size]])
    seen = Candidates(truth.boxes * np.float32(scale), truth.landmarks * np.float32(scale), [0.5])
    np.testing.assert_allclose(seen.placed(scale).boxes, truth.boxes, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(seen.placed(scale).landmarks, truth.landmarks, rtol=1e-5, atol=1e-3)


def test_placed_scales_before_it_shifts():
    placed = candidates([[2, 4, 6, 8]]).placed(0.5, left=100, top=1000)
    assert placed.boxes.tolist() == [[104, 1008, 112, 1016]]
    assert placed.landmarks[0, :2].tolist() == [[104, 1008], [106, 1010]]


def test_joined_keeps_the_order_and_of_nothing_is_no_face():
    parts = [candidates([LEFT, RIGHT], [0.1, 0.2]), candidates([]), candidates([LOWER], [0.3])]
    both, none = joined(parts), joined([])
    assert both.boxes.tolist() == [LEFT, RIGHT, LOWER]
    assert both.scores.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert (none.boxes.shape, none.landmarks.shape, none.scores.shape) == ((0, 4), (0, 5, 2), (0,))


def test_rows_of_candidates_stay_together():
    chosen = candidates([LEFT, RIGHT, LOWER], [0.1, 0.2, 0.3])[np.array([2, 0])]
    assert chosen.boxes.tolist() == [LOWER, LEFT]
    assert chosen.landmarks[:, 0].tolist() == [LOWER[:2], LEFT[:2]]
    assert chosen.scores.tolist() == pytest.approx([0.3, 0.1])
