"""Detections to tracks, with answers worked out by hand."""

import numpy as np
import pytest

from visavis.watch.tracks import Track, assign, begin_track, crowded


def box(x: float, y: float, side: float = 100.0) -> np.ndarray:
    """A square box around a middle."""
    half = side / 2
    return np.array([x - half, y - half, x + half, y + half], np.float32)


def track(x: float, y: float, *, side: float = 100.0, velocity=(0, 0), seen=0.0) -> Track:
    return Track(box(x, y, side), np.array(velocity, np.float32), seen, 2)


@pytest.mark.parametrize(
    ("tracks", "boxes", "when", "expected"),
    [
        ([], [], 0.1, []),
        ([], [box(50, 50)], 0.1, [None]),
        ([track(50, 50)], [], 0.1, []),
        ([track(50, 50)], [box(60, 50)], 0.1, [0]),
        # 0.9 sides and 2 more a second: at 0.1 s up to 110 pixels
        ([track(50, 50)], [box(159, 50)], 0.1, [0]),
        ([track(50, 50)], [box(161, 50)], 0.1, [None]),
        ([track(50, 50)], [box(250, 50)], 0.6, [0]),
        # twice as large costs 0.69, three times 1.1
        ([track(50, 50)], [box(50, 50, 200)], 0.1, [0]),
        ([track(50, 50)], [box(50, 50, 310)], 0.1, [None]),
        ([track(50, 50), track(250, 50)], [box(260, 50), box(40, 50)], 0.1, [1, 0]),
        ([track(50, 50), track(250, 50)], [box(240, 50)], 0.1, [1]),
        # one box, two tracks: the nearer one has it
        ([track(50, 50), track(90, 50)], [box(85, 50)], 0.1, [1]),
        # they cross: each is carried on its own way
        (
            [track(90, 50, velocity=(200, 0)), track(110, 50, velocity=(-200, 0))],
            [box(70, 50), box(130, 50)],
            0.2,
            [1, 0],
        ),
    ],
)
def test_each_box_gets_its_track(tracks, boxes, when, expected):
    assert assign(tracks, boxes, when) == expected


def test_two_pairs_change_partners_where_that_is_nearer():
    tracks = [track(0, 0), track(30, 0)]
    boxes = [box(29, 40), box(30, -60)]
    # The nearest pair is (1, 0), 40.01; then (0, 1) is left, 67.08: 107.1 in sum.
    # The others are (0, 0), 49.41, and (1, 1), 60: 109.4.
    assert assign(tracks, boxes, 0.1) == [1, 0]
    boxes = [box(20, 30), box(60, 10)]
    # (1, 1) is 31.6 and (0, 0) 36.1: 67.7; (1, 0) is 31.6 and (0, 1) 60.8.
    assert assign(tracks, boxes, 0.1) == [0, 1]


def test_a_track_moves_as_it_is_seen_to():
    one = begin_track(box(0, 0), 0.0).moved(box(10, 0), 0.1)
    assert one.velocity.tolist() == pytest.approx([100, 0])
    two = one.moved(box(10, 0), 0.2)  # it stands still
    assert two.velocity.tolist() == pytest.approx([50, 0])
    assert (two.sightings, two.seen) == (3, 0.2)


@pytest.mark.parametrize(("when", "left"), [(0.0, -50), (0.3, -20), (0.5, 0), (9.0, 0)])
def test_a_track_is_carried_for_half_a_second(when, left):
    one = track(0, 0, velocity=(100, 0))
    assert one.at(when)[0] == pytest.approx(left)


def test_a_track_keeps_its_place_when_the_picture_changes_its_size():
    one = track(100, 50, velocity=(10, 20)).scaled(2, 0.5)
    assert one.box.tolist() == [100, 0, 300, 50]
    assert one.velocity.tolist() == [20, 10]


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], []),
        ([box(0, 0)], [False]),
        ([box(0, 0), box(119, 0)], [True, True]),
        ([box(0, 0), box(121, 0)], [False, False]),
        ([box(0, 0), box(300, 0), box(330, 0)], [False, True, True]),
    ],
)
def test_faces_that_are_near_each_other_are_told(boxes, expected):
    assert crowded(boxes) == expected
