"""Liveness: the two networks as published, what five points say, and the challenge."""

import random

import cv2
import numpy as np
import pytest
from made_heads import TURN, turned, turned_head, turned_photo
from made_liveness import networks_of
from made_photos import face_of
from made_scenes import people_with, photos_of

from visavis.errors import ModelError
from visavis.liveness.challenge import (
    FAILURES,
    TASKS,
    WAIT,
    Challenge,
    Lockout,
    begin_challenge,
)
from visavis.liveness.geometry import judge_turn, nose_movement
from visavis.liveness.networks import scaled_box, surroundings
from visavis.liveness.outcome import LivenessBand, is_allowed, judge_scores, together
from visavis.quality import HEAD
from visavis.types import Face

# The networks.


def published_box(face: Face, width: int, height: int, scale: float) -> tuple[int, int, int, int]:
    """Written after Silent-Face-Anti-Spoofing, src/generate_patches.py, line by line."""
    x, y = float(face.box[0]), float(face.box[1])
    box_w, box_h = float(face.box[2] - x), float(face.box[3] - y)
    scale = min((height - 1) / box_h, (width - 1) / box_w, scale)
    new_w, new_h = box_w * scale, box_h * scale
    center_x, center_y = box_w / 2 + x, box_h / 2 + y
    left, top = center_x - new_w / 2, center_y - new_h / 2
    right, bottom = center_x + new_w / 2, center_y + new_h / 2
    if left < 0:
        right -= left
        left = 0
    if top < 0:
        bottom -= top
        top = 0
    if right > width - 1:
        left -= right - width + 1
        right = width - 1
    if bottom > height - 1:
        top -= bottom - height + 1
        bottom = height - 1
    return int(left), int(top), int(right), int(bottom)


BOXES = [
    face_of(270, 180, 100, 120),  # in the middle
    face_of(5, 180, 100, 120),  # near each border
    face_of(530, 180, 100, 120),
    face_of(270, 3, 100, 120),
    face_of(270, 350, 100, 120),
    face_of(100, 100, 400, 330),  # larger than the picture at 2.7
    face_of(-20, -10, 90, 100),  # past the border
    face_of(300.5, 200.25, 33.3, 41.7),
]


@pytest.mark.parametrize("face", BOXES)
@pytest.mark.parametrize("scale", [2.7, 4.0])
def test_the_box_is_as_published(face, scale):
    ours = scaled_box(face, 640, 480, scale)
    published = published_box(face, 640, 480, scale)
    # Rounding towards zero of two numbers that differ in the last digit.
    assert np.abs(np.subtract(ours, published)).max() <= 1
    assert (ours[0], ours[1]) >= (0, 0)
    assert (ours[2], ours[3]) < (640, 480)


def test_a_box_worked_out_by_hand():
    # 100 x 120 at 2.7 is 270 x 324 around (320, 240)
    assert scaled_box(face_of(270, 180, 100, 120), 640, 480, 2.7) == (185, 78, 455, 402)
    # near the left border it is shifted, and as large
    assert scaled_box(face_of(5, 180, 100, 120), 640, 480, 2.7) == (0, 78, 270, 402)


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (5, 5, 4, 9), (0, 0, np.nan, 9)])
def test_what_is_no_box_is_refused(box):
    face = Face(np.array(box, np.float32), np.zeros((5, 2), np.float32), 0.9)
    with pytest.raises(ModelError, match="expected a box in a picture"):
        scaled_box(face, 640, 480, 2.7)


def test_the_networks_see_the_pixels_as_they_are():
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, 320:] = (10, 20, 30)
    part = surroundings(image, BOXES[0], 2.7)
    assert part.shape == (80, 80, 3)
    assert part[40, 10].tolist() == [0, 0, 0]
    assert part[40, 70].tolist() == [10, 20, 30]


def test_the_score_is_the_mean_of_what_both_say():
    pair = networks_of(
        (lambda pictures: [np.float32([[0, np.log(3), 0]])], 2.7),  # 3/5
        (lambda pictures: [np.float32([[0, np.log(8), 0]])], 4.0),  # 8/10
    )
    image = np.zeros((480, 640, 3), np.uint8)
    assert pair(image, BOXES[:2]).tolist() == pytest.approx([0.7, 0.7])
    assert pair(image, []).shape == (0,)


@pytest.mark.parametrize("answer", [[[np.nan, 0, 0]], [[1, 2]]])
def test_a_network_that_answers_with_nonsense_is_refused(answer):
    pair = networks_of((lambda pictures: [np.float32(answer)], 2.7))
    with pytest.raises(ModelError, match="made0: expected 3 numbers"):
        pair(np.zeros((480, 640, 3), np.uint8), BOXES[:1])


@pytest.mark.parametrize(
    ("scores", "outcome"),
    [
        ([], "unsure"),
        ([0.9, 0.9], "unsure"),  # too few
        ([0.9, 0.9, 0.9], "live"),
        ([0.1, 0.9, 0.9], "live"),  # the median
        ([0.1, 0.2, 0.9], "spoof"),
        ([0.5, 0.5, 0.5], "unsure"),
        ([0.9, 0.9, np.nan], "unsure"),  # what is no number does not count
        ([0.8, 0.8, 0.8], "live"),
        ([0.3, 0.3, 0.3], "spoof"),
    ],
)
def test_the_median_of_a_track_is_judged(scores, outcome):
    assert judge_scores(scores, LivenessBand(0.8, 0.3)) == outcome


@pytest.mark.parametrize(
    ("networks", "geometry", "outcome"),
    [
        ("live", "live", "live"),
        ("live", "unsure", "live"),
        ("unsure", "live", "live"),
        ("unsure", "unsure", "unsure"),
        ("live", "spoof", "spoof"),
        ("spoof", "live", "spoof"),
        ("unsure", "spoof", "spoof"),
    ],
)
def test_one_that_sees_a_spoof_is_believed(networks, geometry, outcome):
    assert together(networks, geometry) == outcome


@pytest.mark.parametrize(
    ("demand", "outcome", "allowed"),
    [
        ("off", None, True),
        ("warn", "spoof", True),
        ("require", "live", True),
        ("require", "unsure", False),
        ("require", "spoof", False),
        ("require", None, False),  # demanded and missing: closed
    ],
)
def test_what_is_demanded_fails_closed(demand, outcome, allowed):
    assert is_allowed(demand, outcome) == allowed


# Five points of a head, and of a photo of it.


FLAT_HEAD = HEAD * [1, 1, 0]


def trembling(seen: list[np.ndarray], pixels: float = 1.5, seed: int = 0) -> list[np.ndarray]:
    """As a detector's landmarks are: off by a pixel or two."""
    rng = np.random.default_rng(seed)
    return [(one + rng.normal(0, pixels, one.shape)).astype(np.float32) for one in seen]


@pytest.mark.parametrize("seed", range(10))
def test_a_head_that_turns_is_live(seed):
    assert judge_turn(trembling([turned(HEAD, yaw) for yaw in TURN], seed=seed)) == "live"


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("pitch", [0.0, 0.7])
def test_a_photo_that_is_turned_is_a_spoof(seed, pitch):
    """The attack: somebody's photo, held before the camera and moved as a head would be."""
    seen = trembling([turned(FLAT_HEAD, 1.3 * yaw, pitch * yaw) for yaw in TURN], seed=seed)
    assert judge_turn(seen) == "spoof"


def test_a_photo_of_a_head_that_is_turned_away_is_no_head_either():
    shown = turned(HEAD, 20)
    plane = np.column_stack([(shown - shown.mean(axis=0)) * 35.2 / 100, np.zeros(5)])
    assert judge_turn(trembling([turned(plane, 1.3 * yaw) for yaw in TURN])) != "live"


def test_without_that_cue_the_photo_would_pass(monkeypatch):
    """What the nose is for: its yaw alone, from the same points, looks like a turn."""
    flat = [turned(FLAT_HEAD, 1.3 * yaw) for yaw in TURN]
    monkeypatch.setattr("visavis.liveness.geometry.nose_movement", lambda seen: TURN / 30)
    assert judge_turn(flat) == "live"


@pytest.mark.parametrize(
    "seen",
    [
        [],
        [turned(HEAD, yaw) for yaw in TURN[:5]],  # too few
        [turned(HEAD, 0.0)] * 20,  # nobody moves
        [turned(HEAD, 0.0) + 5 * n for n in range(20)],  # moved, not turned
        [turned(HEAD, 0.0) * (1 + n / 20) for n in range(20)],  # it comes nearer
        [np.full((5, 2), np.nan, np.float32)] * 20,
        [np.ones((5, 2), np.float32)] * 20,
        [turned(HEAD, 85.0)] * 20,  # from the side
    ],
)
def test_where_nothing_turns_nobody_knows(seen):
    assert judge_turn(trembling(seen, 0.5)) == "unsure"


def test_the_nose_moves_by_its_depth_times_the_turn():
    """0.45 of the eyes' distance less the mouth's share of the depth; the sine of 30 degrees."""
    moved = nose_movement(np.stack([turned(HEAD, yaw) for yaw in (-30.0, 0.0, 30.0)]))
    assert moved[1] == pytest.approx(0, abs=1e-6)
    assert moved[0] == pytest.approx(-moved[2], rel=0.2)
    assert 0.15 < abs(moved[2]) < 0.3


@pytest.mark.pack
@pytest.mark.slow
def test_photos_of_faces_are_not_live_and_heads_made_of_them_are(data, recognizer):
    """Seen by the detector: a photo as a plane, turned and tilted; and as a head."""
    live = {"photo": 0, "tilted": 0, "head": 0}
    names = people_with(data, 6)
    for name in names:
        image = cv2.resize(photos_of(data, name, 1)[0], (400, 400))
        face = recognizer.detect(image)[0]
        views = {
            "photo": [turned_photo(image, yaw) for yaw in TURN],
            "tilted": [turned_photo(image, 0.7 * yaw, yaw) for yaw in TURN],
            "head": [turned_head(image, face, yaw) for yaw in TURN],
        }
        for kind, pictures in views.items():
            faces = [recognizer.detect(picture) for picture in pictures]
            points = [found[0].landmarks for found in faces if found]
            live[kind] += judge_turn(points) == "live"
    assert (live["photo"], live["tilted"]) == (0, 0)
    assert live["head"] >= len(names) - 2


# The challenge.


def play(tasks, seen) -> str:
    """What becomes of a challenge; `seen` is (seconds, yaw, width) each."""
    challenge, said = Challenge(tuple(tasks), 0.0), "going on"
    for at, yaw, width in seen:
        challenge, said = challenge.see(at, yaw, width)
        if said != "going on":
            return said
    return said


@pytest.mark.parametrize(
    ("tasks", "seen", "outcome"),
    [
        (["left"], [(0, 0, 100), (1, 27, 100)], "passed"),
        (["right"], [(0, 0, 100), (1, -27, 100)], "passed"),
        (["closer"], [(0, 0, 100), (1, 0, 126)], "passed"),
        (["left"], [(0, 0, 100), (1, -27, 100)], "failed"),  # the wrong way
        (["closer"], [(0, 0, 100), (1, 27, 130)], "failed"),
        (["left"], [(0, 27, 100), (1, 27, 100)], "going on"),  # turned from the beginning
        (["left"], [(0, 0, 100), (1, 10, 100)], "going on"),
        (["left"], [(0, 0, 100), (5.1, 27, 100)], "failed"),  # too late
        (["left", "right"], [(0, 0, 100), (1, 27, 100), (2, 0, 100), (3, -27, 100)], "passed"),
        # it must look ahead in between
        (["left", "right"], [(0, 0, 100), (1, 27, 100), (2, -27, 100)], "going on"),
        (["closer"], [(0, 0, 100)] * 3, "going on"),
    ],
)
def test_a_challenge_is_passed_by_what_was_asked_for(tasks, seen, outcome):
    assert play(tasks, seen) == outcome


def test_the_order_is_another_each_time():
    orders = {begin_challenge(0.0, random.Random(seed)).tasks for seed in range(50)}
    assert len(orders) == 6
    assert all(sorted(order) == sorted(TASKS) for order in orders)


def test_a_recording_passes_one_order_of_six():
    """The attack: a video of somebody who does left, right, closer, shown to any challenge."""
    video = [(0, 0, 100), (1, 27, 100), (2, 0, 100), (3, -27, 100), (4, 0, 100), (5, 0, 130)]
    orders = {begin_challenge(0.0, random.Random(seed)).tasks for seed in range(50)}
    assert sum(play(order, video) == "passed" for order in orders) == 1


def test_five_failures_lock_for_five_minutes():
    state = Lockout()
    for _ in range(FAILURES - 1):
        state = state.after("failed", 10.0)
        assert state.may_try(10.0)
    state = state.after("failed", 10.0)
    assert not state.may_try(10.0 + WAIT - 1)
    assert state.may_try(10.0 + WAIT)
    assert state.after("failed", 400.0).may_try(400.0)  # counted anew


def test_a_success_forgives_the_failures_before_it():
    state = Lockout()
    for said in ["failed"] * 4 + ["passed"] + ["failed"] * 4:
        state = state.after(said, 0.0)
    assert state.may_try(0.0)
