"""A second look at a face: with a detector that finds painted points, and sees what it is told to.

Its faces are five dots; where they are is known, so what a second look must answer is, too.
"""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_photos import encoded

from visavis import steady as module
from visavis.alignment import ARCFACE_112
from visavis.detect import load_detector
from visavis.errors import LandmarkError
from visavis.faces import find_faces
from visavis.image import Photo, read_image
from visavis.pack import load_pack
from visavis.steady import TILE, steady
from visavis.types import Face

# What eyes, nose and mouth corners are painted in; a detector tells left from right by the place.
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLORS = [RED, RED, GREEN, BLUE, BLUE]


def turned(points, degrees):
    """Clockwise about their middle."""
    angle, middle = np.radians(degrees), points.mean(axis=0)
    rotation = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    return (points - middle) @ rotation + middle


def painted(points, width=400, height=300):
    """A picture with five dots that are a tenth of the face wide."""
    image = np.zeros((height, width, 3), np.uint8)
    radius = max(2, round(np.ptp(points, axis=0).max() / 20))
    for point, color in zip(points, COLORS, strict=True):
        cv2.circle(
            image, np.round(16 * point).astype(int).tolist(), 16 * radius, color, -1, shift=4
        )
    return image


def dots(image):
    """The middles of the painted dots, viewer's left first; None where there are not five."""
    middles = []
    for channel, count in ((0, 2), (1, 1), (2, 2)):
        mask = (image[..., channel] > 90).astype(np.uint8)
        number, _, _, centers = cv2.connectedComponentsWithStats(mask)
        if number != count + 1:
            return None
        middles += sorted(centers[1:].tolist())
    return np.array(middles)


def detector(*, bias=(0.0, 0.0), sees=1.0, finds=lambda tile: True):
    """Finds the dots of each tile, all off by `bias` pixels and turned by a share of their tilt."""

    def detect(image):
        faces = []
        for number, left in enumerate(range(0, image.shape[1], TILE)):
            points = dots(image[:, left : left + TILE])
            if points is None or not finds(number):
                continue
            across = points[1] - points[0]
            tilt = np.degrees(np.arctan2(across[1], across[0]))
            points = turned(points, (sees - 1) * tilt) + bias + [left, 0]
            box = np.concatenate([points.min(axis=0), points.max(axis=0)])
            faces.append(Face(box.astype(np.float32), points.astype(np.float32), 0.9))
        return faces

    return detect


def mirrored(points):
    return np.column_stack([TILE - 1 - points[:, 0], points[:, 1]])[[1, 0, 2, 4, 3]]


def face_at(points):
    return Face(np.float32([0, 0, 1, 1]), np.float32(points), 0.8)


UPRIGHT = (ARCFACE_112 - 56) * 0.8 + (200, 150)


def off(face, points):
    """Pixels, the worst of five."""
    return np.linalg.norm(face.landmarks - points, axis=1).max()


@pytest.mark.parametrize("tilt", [0, 20, 90, 180, -135])
@pytest.mark.parametrize("times", [0.5, 1, 7])  # the last is shrunk before it is looked at
def test_an_error_to_one_side_cancels_out_with_the_mirrored_look(tilt, times):
    truth = turned(UPRIGHT, tilt) * times
    image = painted(truth, round(400 * times), round(300 * times))
    again = steady(detector(bias=(6, 0)), image, face_at(truth + 2 * times))
    assert off(again, truth) < 0.8 * max(times, 1)  # 6 pixels of a tile are 9 of the picture
    assert (again.score, again.box.tolist()) == (face_at(truth).score, [0, 0, 1, 1])


def test_without_the_mirrored_look_the_error_would_stay(monkeypatch):
    nearest = module._nearest

    def plain(faces, left):
        return nearest(faces, 0) if left == 0 else mirrored(nearest(faces, 0))

    monkeypatch.setattr(module, "_nearest", plain)
    again = steady(detector(bias=(6, 0)), painted(UPRIGHT), face_at(UPRIGHT))
    assert off(again, UPRIGHT + np.array([7, 0])) < 0.8  # 6 pixels of a tile: 6 * 280 / 192 * 0.8


@pytest.mark.parametrize(("looks", "left"), [(1, 10), (2, 0), (4, 0)])
def test_half_a_tilt_is_seen_at_once_and_the_rest_by_turning_on(monkeypatch, looks, left):
    """Of 40 degrees 20 are seen first. The second look sees 10 of the other 20; the next is turned
    by 10 more than was seen, so that the face stands upright in it.
    """
    monkeypatch.setattr(module, "LOOKS", looks)
    truth = turned(UPRIGHT, 40)
    again = steady(detector(sees=0.5), painted(truth), face_at(turned(truth, -20)))
    assert off(again, turned(truth, -left)) < 1.5


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("found in neither", {"finds": lambda tile: False}),
        ("not in the mirrored one", {"finds": lambda tile: tile == 0}),
        ("only there", {"finds": lambda tile: tile == 1}),
        ("another face, beside it", {"bias": (0, 25)}),  # a tenth of the tile is 19
    ],
)
def test_a_face_that_is_not_found_again_stays_as_it_is(what, options):
    face = face_at(UPRIGHT + 3)
    again = steady(detector(**options), painted(UPRIGHT), face)
    np.testing.assert_array_equal(again.landmarks, face.landmarks, err_msg=what)


def test_the_last_look_that_finds_the_face_counts():
    calls = []
    truth = turned(UPRIGHT, 40)

    def once(tile):
        calls.append(tile)
        return len(calls) <= 2  # the two tiles of the first look

    again = steady(detector(sees=0.5, finds=once), painted(truth), face_at(turned(truth, -20)))
    assert (off(again, turned(truth, -10)) < 1.5, len(calls)) == (True, 4)


@pytest.mark.parametrize("points", [np.full((5, 2), np.nan), np.full((5, 2), 7.0)])
def test_landmarks_that_fix_no_crop_are_an_error(points):
    with pytest.raises(LandmarkError):
        steady(detector(), painted(UPRIGHT), face_at(points))


@pytest.mark.parametrize("middle", [(0, 0), (400, 150), (-60, -40), (1000, 1000)])
@pytest.mark.parametrize("times", [1, 4])
def test_a_face_at_the_border_or_beyond_is_looked_at(middle, times):
    points = UPRIGHT - UPRIGHT.mean(axis=0) + middle
    image = painted(points * times, 400 * times, 300 * times)
    again = steady(detector(), image, face_at(points * times))
    assert off(again, points * times) < 0.8 * times


def test_crops_are_cut_after_the_second_look_from_the_photo_in_full(monkeypatch):
    """A face of 80 pixels in a photo that is scanned at half its size is looked at in full."""
    truth = UPRIGHT + np.array([1000, 100])
    data = encoded(painted(truth, 2560, 400))
    sizes, decode = [], Photo.decode

    def counted(self, *, max_side=None):
        sizes.append(max_side)
        return decode(self, max_side=max_side)

    monkeypatch.setattr(Photo, "decode", counted)
    wrong = face_at(truth / 2 + 3)
    photo = find_faces(lambda image: [replace(wrong, box=np.float32([580, 105, 620, 145]))], data)
    (first,), (again,) = photo.crops([0]), photo.crops([0], detector())
    assert sizes == [1280, None, None]
    assert np.linalg.norm(dots(again) - ARCFACE_112, axis=1).max() < 1
    assert np.linalg.norm(dots(first) - ARCFACE_112, axis=1).max() > 5


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.parametrize(("tilt", "before"), [(20, 0), (40, 0.3), (60, 0.15), (-45, 0.15)])
def test_a_tilted_portrait_is_followed(portraits, tilt, before):
    """Errors in distances between the eyes; of 40 degrees the detector itself sees 6."""
    detect = load_detector(load_pack())
    image = read_image(portraits / "obama.jpg")
    height, width = image.shape[:2]
    upright = steady(detect, image, detect(image)[0]).landmarks
    eyes = np.linalg.norm(upright[0] - upright[1])
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -tilt, 1)
    tilted = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    truth = upright @ turn[:, :2].T + turn[:, 2]
    first = replace(detect, angles=False)(tilted)[0]
    errors = [
        np.linalg.norm(face.landmarks - truth, axis=1).mean() / eyes
        for face in (first, steady(detect, tilted, first))
    ]
    assert errors[0] > before
    assert errors[1] < 0.08
