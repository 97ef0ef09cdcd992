"""The plain data."""

import dataclasses

import numpy as np
import pytest

from visavis.types import Face

POINTS = np.arange(10, dtype=np.float32).reshape(5, 2)


@pytest.mark.parametrize(
    ("box", "area"), [([10, 20, 40, 60], 1200), ([-5, -5, 5, 5], 100), ([3, 3, 3, 9], 0)]
)
def test_the_area_of_a_face_is_its_boxs(box, area):
    assert Face(np.array(box, np.float32), POINTS, 0.9).area == area


@pytest.mark.parametrize(
    ("box", "side"), [([10, 20, 40, 60], 30), ([0, 0, 50, 20], 20), ([-5, -5, 5, 5], 10)]
)
def test_the_side_of_a_face_is_its_boxs_shorter_one(box, side):
    assert Face(np.array(box, np.float32), POINTS, 0.9).side == side


def test_a_scaled_face_follows_its_picture_along_each_side():
    face = Face(np.array([1, 2, 3, 4], np.float32), POINTS, 0.9).scaled(2, 10)
    assert face.box.tolist() == [2, 20, 6, 40]
    assert face.landmarks.tolist() == [[0, 10], [4, 30], [8, 50], [12, 70], [16, 90]]
    assert face.score == 0.9
    assert face.box.dtype == face.landmarks.dtype == np.float32


def test_scaling_back_gives_the_face_again():
    face = Face(np.array([10, 20, 30, 44], np.float32), POINTS, 0.5)
    np.testing.assert_allclose(face.scaled(0.25, 0.5).scaled(4, 2).box, face.box)


@pytest.mark.parametrize(
    ("landmarks", "has"),
    [(POINTS, True), (POINTS * np.nan, False), (np.where(np.eye(5, 2), np.nan, POINTS), False)],
)
def test_a_box_alone_has_no_landmarks(landmarks, has):
    assert Face(np.zeros(4, np.float32), np.float32(landmarks), 0.9).has_landmarks == has


def test_a_face_cannot_be_changed():
    face = Face(np.zeros(4, np.float32), POINTS, 0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        face.score = 1.0
