"""Landmarks to crops: the transform against its definition, the crop against dots in a picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.alignment import ARCFACE_112, align, similarity_transform
from visavis.errors import ImageError, LandmarkError
from visavis.types import Face

BOX = np.zeros(4, np.float32)
COLORS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]


def face_of(landmarks):
    return Face(BOX, np.asarray(landmarks, np.float32), 0.9)


def moved(points, *, angle=0.0, scale=1.0, shift=(0.0, 0.0)):
    """Points turned by `angle` radians, scaled and shifted."""
    cos, sin = np.cos(angle), np.sin(angle)
    return scale * np.asarray(points) @ np.array([[cos, sin], [-sin, cos]]) + shift


def apply(matrix, points):
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def umeyama(source, target):
    """Umeyama 1991, equations 38 to 43, step by step."""
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    from_source, from_target = source - mean_source, target - mean_target
    u, d, vt = np.linalg.svd(from_target.T @ from_source / len(source))
    signs = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    scale = np.trace(np.diag(d) @ signs) / (from_source**2).sum() * len(source)
    turned = scale * u @ signs @ vt
    return np.column_stack([turned, mean_target - turned @ mean_source])


def test_the_template_is_the_published_one():
    """arcface_dst of InsightFace, which its published models are trained on."""
    assert ARCFACE_112.tolist() == [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]


def test_the_template_stays_where_it_is():
    identity = [[1, 0, 0], [0, 1, 0]]
    np.testing.assert_allclose(similarity_transform(ARCFACE_112, ARCFACE_112), identity, atol=1e-12)


def test_a_quarter_turn_by_hand():
    square = [(0, 0), (1, 0), (1, 1), (0, 1)]
    turned = [(10, 20), (10, 22), (8, 22), (8, 20)]  # turned by 90 degrees, doubled, shifted
    expected = [[0, -2, 10], [2, 0, 20]]
    np.testing.assert_allclose(similarity_transform(square, turned), expected, atol=1e-12)


@settings(deadline=None)
@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.05, 50),
    shift=st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000)),
)
def test_any_turn_scale_and_shift_is_undone(angle, scale, shift):
    seen = moved(ARCFACE_112, angle=angle, scale=scale, shift=shift)
    matrix = similarity_transform(seen, ARCFACE_112)
    np.testing.assert_allclose(apply(matrix, seen), ARCFACE_112, atol=1e-6)


def test_noisy_points_give_what_umeyama_gives():
    rng = np.random.default_rng(3)
    for _ in range(200):
        turn = {"angle": rng.uniform(-4, 4), "scale": rng.uniform(0.2, 9)}
        seen = moved(ARCFACE_112, **turn, shift=rng.uniform(-300, 300, 2))
        seen += rng.normal(0, 8 * turn["scale"], (5, 2))
        expected = umeyama(seen, ARCFACE_112)
        np.testing.assert_allclose(
            similarity_transform(seen, ARCFACE_112), expected, rtol=1e-9, atol=1e-7
        )


def test_mirrored_points_are_turned_and_never_mirrored():
    rng = np.random.default_rng(4)
    for angle in rng.uniform(-4, 4, 50):
        seen = moved(ARCFACE_112 * [-1, 1], angle=angle, scale=2) + rng.normal(0, 1, (5, 2))
        assert np.linalg.det(similarity_transform(seen, ARCFACE_112)[:, :2]) > 0


LINE = np.arange(5)[:, None] * [3.0, 1.0]


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        pytest.param(np.full((5, 2), 30), "one spot", id="coincident"),
        pytest.param(np.full((5, 2), 30) + np.eye(5, 2) * 1e-4, "one spot", id="almost coincident"),
        pytest.param(LINE, "one line", id="collinear"),
        pytest.param(LINE * [1, 0], "one line", id="level"),
        pytest.param(LINE + np.eye(5, 2) * 0.01, "one line", id="almost collinear"),
        pytest.param(ARCFACE_112 + np.eye(5, 2) * np.nan, "finite", id="NaN"),
        pytest.param(np.where(np.eye(5, 2), np.inf, ARCFACE_112), "finite", id="infinity"),
    ],
)
def test_landmarks_that_fix_no_crop_are_an_error(landmarks, message):
    with pytest.raises(LandmarkError, match=message):
        align(np.zeros((64, 64, 3), np.uint8), [face_of(landmarks)])


def test_a_full_profile_is_no_error():
    profile = moved(ARCFACE_112 * [0.05, 1], scale=3, shift=(100, 100))
    assert np.linalg.det(similarity_transform(profile, ARCFACE_112)[:, :2]) > 0


def test_no_faces_are_no_crops():
    crops = align(np.zeros((64, 64, 3), np.uint8), [])
    assert (crops.shape, crops.dtype) == ((0, 112, 112, 3), np.uint8)


def test_a_picture_of_another_kind_is_an_error():
    with pytest.raises(ImageError, match="uint8"):
        align(np.zeros((64, 64), np.uint8), [])


def dotted(landmarks):
    """A black picture of 800x600 with a coloured dot at each landmark, drawn to 1/16 pixel."""
    image = np.zeros((600, 800, 3), np.uint8)
    for (x, y), color in zip(landmarks, COLORS, strict=True):
        cv2.circle(image, (round(16 * x), round(16 * y)), 16 * 9, color, -1, cv2.LINE_AA, 4)
    return image


def centre_of(crop, color):
    weights = (crop == color).all(axis=2).astype(float)
    ys, xs = np.mgrid[:112, :112]
    return (weights * xs).sum() / weights.sum(), (weights * ys).sum() / weights.sum()


@pytest.mark.parametrize("angle", [0, 0.3, -2.5])
def test_each_landmark_lands_on_the_template(angle):
    landmarks = moved(ARCFACE_112 - 56, angle=angle, scale=3, shift=(400, 300))
    (crop,) = align(dotted(landmarks), [face_of(landmarks)])
    centres = [centre_of(crop, color) for color in COLORS]
    np.testing.assert_allclose(centres, ARCFACE_112, atol=0.35)


# 55.5 is the middle of a crop: 55.5 + (38.2946 - 55.5) / 2 = 46.8973, and so on.
HALF_AS_LARGE = [
    [46.8973, 53.59815],
    [64.5159, 53.5007],
    [55.7626, 63.6183],
    [48.52465, 73.93275],
    [63.11495, 73.85205],
]


@pytest.mark.parametrize("angle", [0, 0.3, -2.5])
def test_with_a_margin_of_a_half_the_face_is_half_as_large(angle):
    landmarks = moved(ARCFACE_112 - 56, angle=angle, scale=1.5, shift=(400, 300))
    (crop,) = align(dotted(landmarks), [face_of(landmarks)], margin=0.5)
    centres = [centre_of(crop, color) for color in COLORS]
    np.testing.assert_allclose(centres, HALF_AS_LARGE, atol=0.35)


@pytest.mark.parametrize(("margin", "times"), [(0, 1), (0.5, 2), (1, 3), (2, 5)])
def test_a_crop_with_a_margin_shows_so_many_sides_of_a_crop(margin, times):
    """A picture of `times` crops a side, in blocks of `times` pixels, the face's crop its middle:
    at the margin that shows it all, each block is a pixel of the crop.
    """
    blocks = np.random.default_rng(2).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    image = blocks.repeat(times, axis=0).repeat(times, axis=1)
    landmarks = ARCFACE_112 + 112 * (times - 1) / 2
    (crop,) = align(image, [face_of(landmarks)], margin=margin)
    np.testing.assert_array_equal(crop, blocks)


def test_without_a_margin_a_crop_is_cut_as_ever():
    """To the last bit: templates that are kept were made of such crops."""
    image = np.random.default_rng(3).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    landmarks = moved(ARCFACE_112 - 56, angle=0.2, scale=1.7, shift=(150, 140))
    face = face_of(landmarks)
    (crop,) = align(image, [face])
    matrix = similarity_transform(face.landmarks, ARCFACE_112)
    expected = cv2.warpAffine(image, matrix, (112, 112), flags=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(crop, expected)
    np.testing.assert_array_equal(align(image, [face], margin=0.0)[0], expected)


def test_a_picture_that_is_aligned_already_is_its_own_crop():
    image = np.random.default_rng(2).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    crops = align(image, [face_of(ARCFACE_112)] * 2)
    assert crops.shape == (2, 112, 112, 3)
    assert np.abs(crops.astype(int) - image).max() <= 1


def test_between_two_pixels_is_their_mean():
    """A picture that brightens by 2 a column, cut half a column to the right."""
    ramp = np.repeat(np.arange(120, dtype=np.uint8)[None, :, None] * 2, 112, axis=0)
    (crop,) = align(ramp.repeat(3, axis=2), [face_of(ARCFACE_112 + np.array([0.5, 0]))])
    expected = np.arange(112) * 2 + 1
    np.testing.assert_array_equal(crop, np.broadcast_to(expected[None, :, None], crop.shape))


def test_what_lies_beyond_the_border_is_black():
    white = np.full((112, 112, 3), 255, np.uint8)
    (crop,) = align(white, [face_of(ARCFACE_112 - [56, 0])])  # half of the face is cut off
    assert (crop[:, :55] == 0).all()
    assert (crop[:, 57:] == 255).all()
