"""Degradations: their tables, what they do to made pictures, and the rows they give."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from made import ONE, AngleEmbedder, detect, photo

from visavis.alignment import ARCFACE_112
from visavis.dataset import open_tree
from visavis.dataset.pairs import Listed, pairs_of
from visavis.errors import DatasetError
from visavis.evaluate.degrade import (
    DEGRADATIONS,
    Degradation,
    blur,
    dark,
    degradations,
    degraded,
    lowres,
    mask,
    occlusion,
    tilt,
)
from visavis.evaluate.protocols import CropSource, embed_pairs
from visavis.metrics.verification import FAILED

POINTS = ARCFACE_112.astype(np.float32)
ALL = degradations("all")
BY_FACE = ("blur", "lowres", "mask", "occlusion")


def textured(height: int = 112, width: int = 112) -> np.ndarray:
    """Blotches of all sizes, the same at every call."""
    noise = np.random.default_rng(0).normal(0, 1, (height, width, 3))
    blotches = sum(s * cv2.GaussianBlur(noise, (0, 0), s) for s in (1, 2, 4, 8))
    return (128 + 25 * blotches).clip(0, 255).astype(np.uint8)


PICTURE = textured()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("blur:strong", ["blur (strong)"]),
        ("dark", ["dark (light)", "dark (medium)", "dark (strong)"]),
        (" mask:light , blur:medium", ["mask (light)", "blur (medium)"]),
        (
            "tilt:strong,tilt,tilt",
            ["tilt (strong)", "tilt (light)", "tilt (medium)"],
        ),
    ],
)
def test_names_are_parsed(names, expected):
    assert [one.label for one in degradations(names)] == expected


def test_all_are_six_at_three_strengths():
    assert [one.name for one in ALL[::3]] == ["dark", "blur", "lowres", "tilt", "mask", "occlusion"]
    assert [one.strength for one in ALL] == ["light", "medium", "strong"] * 6


@pytest.mark.parametrize("names", ["", "fog", "blur:", "blur:hard", "blur,,dark", "all,fog", ":"])
def test_an_unknown_name_lists_the_known(names):
    with pytest.raises(DatasetError, match=r"known: all, dark, blur, .* :light or :medium or :str"):
        degradations(names)


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.label)
@pytest.mark.parametrize("points", [POINTS, None], ids=["face", "no face"])
@pytest.mark.parametrize("view", [slice(None), slice(None, None, -1)], ids=["whole", "view"])
def test_shape_stays_and_the_picture_too(one, points, view):
    picture = textured(150, 120)[:, view]
    before = picture.copy()
    first, second = one.change(picture, points), one.change(picture, points)
    assert (first.shape, first.dtype) == (picture.shape, np.uint8)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(picture, before)
    if points is None and one.name in BY_FACE:
        np.testing.assert_array_equal(first, picture)
    else:
        assert (first != picture).any()


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_stronger_is_further_from_the_picture(name):
    likeness = [cv2.PSNR(PICTURE, one.change(PICTURE, POINTS)) for one in degradations(name)]
    assert likeness[0] > likeness[1] > likeness[2]


def test_a_stop_is_half_the_light():
    grey = np.full((200, 200, 3), 200, np.uint8)
    light = (dark(grey, None, stops=1) / 255.0) ** 2.2
    assert light.mean() == pytest.approx((200 / 255) ** 2.2 / 2, rel=0.01)


def test_the_darker_the_noisier():
    grey = np.full((200, 200, 3), 200, np.uint8)
    spreads = [dark(grey, None, stops=stops).std() / 200 * 2**stops for stops in (0, 2, 4)]
    assert spreads[0] < spreads[1] < spreads[2]


def test_noise_is_not_the_same_in_two_pictures():
    one, other = (np.full((50, 50, 3), level, np.uint8) for level in (100, 101))
    noise = [dark(picture, None, stops=3).astype(float) for picture in (one, other)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("times", [2, 4])
@pytest.mark.parametrize("change", [blur, lowres])
def test_a_large_face_is_degraded_like_a_small_one(change, times):
    setting = {"share": 0.1} if change is blur else {"pixels": 8}
    size = (112 * times, 112 * times)
    large = change(cv2.resize(PICTURE, size), POINTS * times, **setting)
    back = cv2.resize(large, (112, 112), interpolation=cv2.INTER_AREA)
    assert cv2.PSNR(back, change(PICTURE, POINTS, **setting)) > 32


def test_blur_is_a_gaussian_by_the_distance_between_the_eyes():
    edge = np.zeros((112, 112, 3), np.uint8)
    edge[:, 56:] = 200
    row = blur(edge, POINTS, share=0.1)[50, :, 0].astype(float)  # sigma 3.52 pixels
    assert row[56] == pytest.approx(100 + 200 * 0.0565, abs=2)  # half a pixel past it
    assert row[59] == pytest.approx(200 * 0.840, abs=2)  # 3.5 pixels: one sigma


def test_a_face_smaller_than_asked_is_left():
    np.testing.assert_array_equal(lowres(PICTURE, POINTS, pixels=36), PICTURE)
    assert (lowres(PICTURE, POINTS, pixels=35) != PICTURE).any()


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, -1), (180, 2), (-90, 1), (360, 0)])
def test_a_quarter_turn_is_exact(degrees, turns):
    turned = tilt(PICTURE, None, degrees=degrees)
    np.testing.assert_array_equal(turned, np.rot90(PICTURE, turns))


def test_tilt_turns_about_the_face():
    picture = np.zeros((300, 300, 3), np.uint8)
    points = POINTS + np.float32([150, 20])
    middle = points.mean(axis=0)
    for x, y in points.round().astype(int):
        cv2.circle(picture, (int(x), int(y)), 3, (255, 255, 255), -1)
    turned = tilt(picture, points, degrees=40)
    cos, sin = np.cos(np.radians(40)), np.sin(np.radians(40))
    after = (points - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle  # clockwise, y down
    assert all(turned[round(float(y)), round(float(x)), 0] > 200 for x, y in after)


@pytest.mark.parametrize("one", degradations("mask"), ids=lambda one: one.strength)
@pytest.mark.parametrize("squeeze", [1.0, 0.6], ids=["front", "turned"])
@pytest.mark.parametrize("angle", [0, 30, -60])
def test_a_mask_covers_mouth_and_nose_but_no_eye(one, squeeze, angle):
    turn = np.radians(angle)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = ((POINTS - 56) * (2 * squeeze, 2) @ matrix + 200).astype(np.float32)
    picture = np.full((400, 400, 3), 10, np.uint8)
    masked = one.change(picture, points)
    shown = [masked[round(float(y)), round(float(x))].min() > 10 for x, y in points]
    assert shown == [False, False, True, True, True]


def test_a_mask_is_plain_and_of_its_color():
    masked = mask(PICTURE, POINTS, top=64, color=(1, 2, 3))
    assert (masked[75:115, 45:70] == (1, 2, 3)).all()
    np.testing.assert_array_equal(masked[:60], PICTURE[:60])


@pytest.mark.parametrize(("share", "eyes"), [(0.1, False), (0.2, False), (0.3, True)])
def test_a_block_covers_its_share_of_the_face(share, eyes):
    white = np.full((112, 112, 3), 255, np.uint8)
    covered = occlusion(white, POINTS, share=share, eyes=eyes)[..., 0] < 150
    assert covered.sum() == pytest.approx(share * 76 * 84, rel=0.1)  # a pixel of border
    rows, columns = np.nonzero(covered)
    assert (rows.min() >= 27, rows.max() <= 112, columns.min() >= 17) == (True, True, True)
    assert covered[[52, 52], [38, 74]].all() or not eyes


def test_blocks_lie_elsewhere_in_other_pictures():
    whites = [np.full((112, 112, 3), level, np.uint8) for level in range(200, 220)]
    blocks = [occlusion(white, POINTS, share=0.1)[..., 0] < 150 for white in whites]
    assert len({block.tobytes() for block in blocks}) == 20


# Anna at brightness 60, Bert at 110: a right angle apart; in each pair the right one is degraded.
LISTED = (
    Listed("a/a_1.png", "a/a_2.png", ("a", "a"), 0, 2, True),
    Listed("b/b_1.png", "b/b_2.png", ("b", "b"), 0, 3, True),
    Listed("a/a_1.png", "b/b_2.png", ("a", "b"), 0, 4, False),
    Listed("b/b_1.png", "a/a_2.png", ("b", "a"), 0, 5, False),
)
PAIRS = pairs_of(LISTED, "made")


@pytest.fixture
def source(tmp_path):
    for name, level in (("a/a_1", 60), ("a/a_2", 60), ("b/b_1", 110), ("b/b_2", 110)):
        photo(tmp_path / f"{name}.png", level, noise=0)
    return CropSource(open_tree(tmp_path), detect)


BRIGHTER = Degradation("brighter", "by 30", lambda image, points: image + np.uint8(30))
LOST = Degradation("lost", "", lambda image, points: image if image.mean() < 100 else image[:, 1:])


def cosines(levels):
    return np.cos(np.array(levels) * np.pi / 100)


def test_the_right_side_alone_is_degraded(source):
    clean, brighter = degraded(source, PAIRS, AngleEmbedder(), [BRIGHTER])
    np.testing.assert_allclose(clean.similarity, [1, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(brighter.similarity, cosines([30, 30, 80, 20]), atol=1e-6)
    assert (clean.degradation.label, brighter.degradation.label) == ("clean", "brighter (by 30)")
    assert (clean.pictures, brighter.pictures) == (2, 2)
    assert (clean.result.auc, brighter.result.auc) == (1, 0.5)


def test_pictures_lost_by_it_are_failures_to_acquire(source):
    source = replace(source, detect=lambda image: detect(image) if image.shape[1] == ONE else [])
    clean, lost = degraded(source, PAIRS, AngleEmbedder(), [LOST])
    assert (clean.result.failures_to_acquire, lost.result.failures_to_acquire) == (0, 1)
    np.testing.assert_allclose(lost.similarity, [1, FAILED, FAILED, 0], atol=1e-6)


def test_what_is_embedded_is_not_embedded_again(source):
    pairs, clean = embed_pairs(source, PAIRS, AngleEmbedder())
    seen = []

    def progress(names):
        seen.append([*names])
        return names

    again = degraded(source, pairs, AngleEmbedder(), [BRIGHTER], clean=clean, progress=progress)
    assert seen == [["a/a_2.png", "b/b_2.png"]]
    once = degraded(source, PAIRS, AngleEmbedder(), [BRIGHTER])
    assert [row.result for row in again] == [row.result for row in once]


def test_the_change_of_the_source_is_not_used(source):
    dimmed = replace(source, change=BRIGHTER.change)
    rows = [degraded(one, PAIRS, AngleEmbedder(), []) for one in (source, dimmed)]
    np.testing.assert_array_equal(rows[0][0].similarity, rows[1][0].similarity)
