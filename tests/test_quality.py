"""What is measured on a face, and which codes it gets."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from visavis.alignment import ARCFACE_112
from visavis.quality import FLOOR, HEAD, REASONS, assess, is_whole, pose
from visavis.types import Face

WIDTH, HEIGHT = 640, 480


def turn(yaw, pitch, roll):
    """First down or up, then to the side, then tilted: degrees to a rotation of x right, y down."""
    y, p, r = np.radians([yaw, pitch, roll])
    down = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    side = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    tilt = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return tilt @ side @ down


def seen(yaw=0.0, pitch=0.0, roll=0.0, *, scale=2.0, shift=(320.0, 240.0)):
    """The five points of the average head so turned, as a distant camera sees them."""
    return (scale * (HEAD @ turn(yaw, pitch, roll).T)[:, :2] + shift).astype(np.float32)


@pytest.mark.parametrize(
    "angles",
    [
        (0, 0, 0),
        (30, 0, 0),
        (-30, 0, 0),
        (0, 20, 0),
        (0, -20, 0),
        (0, 0, 40),
        (0, 0, -170),
        (25, -15, 100),
        (-60, 30, -20),
    ],
)
def test_the_pose_of_the_average_head_is_exact(angles):
    assert pose(seen(*angles)) == pytest.approx(angles, abs=0.01)
    assert pose(seen(*angles, scale=0.3, shift=(5000, -20))) == pytest.approx(angles, abs=0.1)


def test_the_template_looks_straight_ahead():
    assert pose(ARCFACE_112) == pytest.approx((0, 0, 0), abs=1e-6)


NOSE = 2


@pytest.mark.parametrize(
    ("angle", "row", "shift", "sign"),
    [
        (0, NOSE, (6, 0), 1),  # nose to the viewer's right: turned to the viewer's right
        (0, NOSE, (-6, 0), -1),
        (1, NOSE, (0, 4), 1),  # nose nearer to the mouth: looking down
        (1, NOSE, (0, -4), -1),
        (2, 1, (0, 9), 1),  # the right eye lower: tilted clockwise
        (2, 1, (0, -9), -1),
    ],
)
def test_signs_of_the_pose_by_eye(angle, row, shift, sign):
    points = ARCFACE_112.copy()
    points[row] += shift
    assert sign * pose(points)[angle] > 3


def crop_of(*, mean=128, contrast=40, seed=1):
    noise = np.random.default_rng(seed).normal(mean, contrast, (112, 112, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


def face_at(left=200, top=150, size=160, *, score=0.9, landmarks=None):
    box = np.array([left, top, left + size, top + size], np.float32)
    return Face(box, seen() if landmarks is None else landmarks, score)


def reasons(face=None, crop=None):
    crop = crop_of() if crop is None else crop
    return assess(face or face_at(), crop, WIDTH, HEIGHT).reasons


def test_a_good_face_gets_no_code():
    assert reasons() == ()


@pytest.mark.parametrize(
    ("code", "face", "crop"),
    [
        ("uncertain", face_at(score=0.74), crop_of()),
        ("small", face_at(size=39), crop_of()),
        ("blurred", face_at(), crop_of(contrast=0)),
        ("dark", face_at(), crop_of(mean=35, contrast=10)),
        ("bright", face_at(), crop_of(mean=232, contrast=10)),
        ("turned", face_at(landmarks=seen(yaw=50)), crop_of()),
        ("turned", face_at(landmarks=seen(yaw=-50)), crop_of()),
        ("turned", face_at(landmarks=seen(pitch=40)), crop_of()),
        ("turned", face_at(landmarks=seen(pitch=-40)), crop_of()),
        ("cut", face_at(left=-40), crop_of()),
        ("cut", face_at(top=HEIGHT - 100), crop_of()),
    ],
)
def test_each_fault_gets_its_code_and_no_other(code, face, crop):
    assert reasons(face, crop) == (code,)


# The brows are above the eyes by 0.39 of the distance between them: at 27 of 70 pixels.
@pytest.mark.parametrize(("above", "whole"), [(28, True), (26, False), (1, False), (-1, False)])
@pytest.mark.parametrize("roll", [0, 90, 180])
def test_a_face_cut_through_the_brow_is_cut(above, whole, roll):
    side = 400
    points = seen(roll=roll, shift=(0, 0))
    way = np.radians(roll)
    up = np.array([np.sin(way), -np.cos(way)])
    eyes = points[:2].mean(axis=0)
    # The picture's border is `above` pixels above the eyes; the face is in the middle otherwise.
    near = np.where(up < -0.5, above, np.where(up > 0.5, side - above, side / 2))
    across = np.abs(up) < 0.5
    shift = np.where(across, side / 2, near) - eyes
    landmarks = (points + shift).astype(np.float32)
    left, top = landmarks.min(axis=0).clip(0)
    box = np.array([left, top, *landmarks.max(axis=0).clip(None, side)], np.float32)
    face = Face(box, landmarks, 0.9)
    assert is_whole(face, side, side) == whole
    codes = assess(face, crop_of(), side, side).reasons
    assert ("cut" in codes) == (not whole)


def test_every_code_has_words():
    every = assess(
        face_at(left=-20, size=30, score=0.1, landmarks=seen(yaw=80)),
        np.zeros((112, 112, 3), np.uint8),
        WIDTH,
        HEIGHT,
        replace(FLOOR, bright=-1),
    )
    assert every.reasons == tuple(REASONS)


@pytest.mark.parametrize(
    "face",
    [
        face_at(score=FLOOR.score),
        face_at(size=FLOOR.size),
        face_at(left=-24, size=160),  # 136 of 160 columns: 0.85 inside
        face_at(landmarks=seen(yaw=44, pitch=34, roll=90)),  # a roll is mended by aligning
    ],
)
def test_a_face_at_the_floor_is_good_enough(face):
    assert reasons(face) == ()


@pytest.mark.parametrize(
    ("left", "top", "size", "inside"),
    [
        (0, 0, 100, 1),
        (-50, 0, 100, 0.5),
        (-50, -50, 100, 0.25),
        (600, 100, 80, 0.5),
        (1000, 100, 50, 0),
        (-100, -100, 50, 0),
        (100, 100, 0, 0),
    ],
)
def test_the_share_of_a_box_within_the_picture(left, top, size, inside):
    face = face_at(left, top, size)
    assert assess(face, crop_of(), WIDTH, HEIGHT).inside == pytest.approx(inside)


@pytest.mark.parametrize(("value", "code"), [(0, "dark"), (255, "bright")])
def test_a_crop_of_one_colour_measures_as_numbers(value, code):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quality = assess(face_at(), np.full((112, 112, 3), value, np.uint8), WIDTH, HEIGHT)
    assert (quality.sharpness, quality.brightness) == (0, value)
    assert quality.reasons == ("blurred", code)


def test_what_was_measured_is_what_was_put_in():
    quality = assess(face_at(size=100, score=0.8), np.tile(np.uint8([[[10], [30]]]), 3), 640, 480)
    assert (quality.score, quality.size, quality.brightness) == (0.8, 100, 20)
    assert (quality.yaw, quality.pitch, quality.roll) == pytest.approx((0, 0, 0), abs=0.01)
