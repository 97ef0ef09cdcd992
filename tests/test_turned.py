"""Pictures that lie turned and tilted faces: with a made network, and with the real one."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from visavis.alignment import ARCFACE_112, align
from visavis.compare import similarity
from visavis.decode.boxes import Candidates
from visavis.detect import ScanDetector, load_detector
from visavis.embedder import load_embedder
from visavis.faces import MAX_SIDE, find_faces
from visavis.image import read_image
from visavis.quality import pose
from visavis.recognizer import Recognizer
from visavis.runtime import Device
from visavis.turned import TURNS, best_of, seen_tilted, seen_turned, tilt_of, turned, turned_back

EXACT = Device("cpu", precision="float32")
# 4 rows of 6 pixels, each its own grey.
GREYS = np.arange(24, dtype=np.uint8).reshape(4, 6, 1).repeat(3, axis=2)
# A head: a disc of grey with a white spot at its crown. Pixels, in pictures of 200.
RADIUS, CROWN, SPOT = 30, 18, 7


def head(tilt, size=(200, 200), at=None):
    """A picture of a head that is tilted clockwise by so many degrees."""
    image = np.zeros((*size[::-1], 3), np.uint8)
    x, y = at or (size[0] / 2, size[1] / 2)
    cv2.circle(image, (round(x), round(y)), RADIUS, (90, 90, 90), -1)
    way = np.radians(tilt)
    crown = round(x + CROWN * np.sin(way)), round(y - CROWN * np.cos(way))
    cv2.circle(image, crown, SPOT, (255, 255, 255), -1)
    return image


def heads(outputs, height, width, *, min_score, flat=False):
    """A decoder that finds heads, and scores them the higher, the more upright they are."""
    (picture,) = outputs[0]
    count, labels = cv2.connectedComponents((picture[..., 0] > 45).astype(np.uint8))
    rows = []
    for label in range(1, count):
        there = labels == label
        lines, columns = np.nonzero(there)
        spot = np.argwhere(there & (picture[..., 0] > 170))
        if len(lines) < 40 or not len(spot):
            continue
        middle = np.array([columns.mean(), lines.mean()])
        up = spot.mean(axis=0)[::-1] - middle
        tilt = np.arctan2(up[0], -up[1])
        side = 2 * np.sqrt(len(lines) / np.pi)
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        points = (ARCFACE_112 - 56) / 112 * side @ turn.T + middle
        score = 0.95 if flat else 0.95 - 0.3 * (1 - np.cos(tilt))
        rows.append((np.concatenate([middle - side / 2, middle + side / 2]), points, score))
    kept = [row for row in rows if row[2] >= min_score]
    return Candidates(
        np.float32([row[0] for row in kept]).reshape(-1, 4),
        np.float32([row[1] for row in kept]).reshape(-1, 5, 2),
        np.float32([row[2] for row in kept]),
    )


def detector(seen=None, decode=heads, **options):
    """A detector of heads; `seen` collects the sizes of the pictures that it looks at."""

    def network(pictures):
        if seen is not None:
            seen.append(pictures.shape[1:3])
        return [pictures]

    return ScanDetector(network, decode, **{"min_score": 0.6, "max_overlap": 0.3, **options})


def look(picture):
    return heads([picture[None]], *picture.shape[:2], min_score=0.1)


def apart(a, b):
    """Degrees between two angles."""
    return abs((a - b + 180) % 360 - 180)


@pytest.mark.parametrize("turn", TURNS)
def test_points_and_boxes_come_back_to_the_pixels_they_were_found_on(turn):
    upright = turned(GREYS, turn)
    points = np.float32([[0, 0], [3, 0], [0, 3], [2, 1], [1, 2]])
    one = Candidates(np.float32([[0, 1, 2, 4]]), points[None], np.float32([0.9]))
    back = turned_back(one, turn, *GREYS.shape[:2])
    columns, rows = back.landmarks[0].astype(int).T
    there = upright[points[:, 1].astype(int), points[:, 0].astype(int)]
    np.testing.assert_array_equal(GREYS[rows, columns], there)
    left, top, right, bottom = back.boxes[0].astype(int)
    inside = np.sort(GREYS[top:bottom, left:right], axis=None)
    np.testing.assert_array_equal(inside, np.sort(upright[1:4, 0:2], axis=None))


@pytest.mark.parametrize("size", [(200, 200), (300, 200), (200, 300), (600, 100)])
def test_one_look_shows_a_picture_in_its_four_turns(size):
    sizes = []
    at = (size[0] / 3, size[1] / 2)

    def counted(picture):
        sizes.append(picture.shape[0] * picture.shape[1])
        return look(picture)

    seen = seen_turned(counted, head(20, size, at), max(size))
    (pixels,) = sizes
    assert pixels == pytest.approx(size[0] * size[1], rel=0.05)
    expected = [at[0] - RADIUS, at[1] - RADIUS, at[0] + RADIUS, at[1] + RADIUS]
    np.testing.assert_allclose(seen.boxes, [expected] * 4, atol=6)
    rolls = [pose(points)[2] for points in seen.landmarks]
    assert max(apart(roll, 20) for roll in rolls) < 6
    assert best_of(seen).scores[0] == seen.scores[0]  # upright


@pytest.mark.parametrize("tilt", range(-170, 181, 25))
def test_one_look_tells_a_tilt_and_a_second_one_finds_the_face_upright(tilt):
    image = head(tilt, (300, 200), (110, 90))
    (face,) = [best_of(look(image))]
    told = tilt_of(look, image, face)
    assert apart(told, tilt) < 6
    upright = seen_tilted(look, image, face, told)
    assert upright.scores[0] > 0.94
    np.testing.assert_allclose(upright.boxes[0], [80, 60, 140, 120], atol=3)
    assert apart(pose(upright.landmarks[0])[2], tilt) < 6


def test_a_detector_that_scores_every_turn_alike_tells_no_tilt():
    def flat(picture):
        return heads([picture[None]], *picture.shape[:2], min_score=0.1, flat=True)

    image = head(100)
    assert tilt_of(flat, image, best_of(flat(image))) == 0


def test_a_face_that_is_not_found_again_is_none():
    image = head(0)
    face = best_of(look(image))
    gone = np.zeros_like(image)
    assert len(seen_tilted(look, gone, face, 30.0).scores) == 0


# Looks: first (twice where that shows nothing certain), the turns, the ring, the turned picture,
# the tilted face.
@pytest.mark.parametrize(
    ("tilt", "looks"), [(0, 1), (20, 3), (-30, 3), (50, 5), (90, 4), (140, 6), (180, 5), (-100, 4)]
)
def test_a_tilted_face_is_found_as_it_is_upright(tilt, looks):
    seen = []
    at = (170, 120)
    (face,) = detector(seen, sure=0.945)(head(tilt, (300, 240), at))
    assert len(seen) == looks
    assert face.score > 0.93
    assert apart(pose(face.landmarks)[2], tilt) < 6
    np.testing.assert_allclose(face.box, [140, 90, 200, 150], atol=4)


@pytest.mark.parametrize("options", [{}, {"sure": 0.94, "angles": False}])
def test_who_is_sure_of_nothing_or_asked_for_no_angle_looks_once(options):
    seen = []
    (face,) = detector(seen, **options)(head(40))
    assert len(seen) == 1
    assert apart(pose(face.landmarks)[2], 40) < 6


@pytest.mark.parametrize("size", [(250, 250), (80, 100), (400, 300), (1280, 960), (700, 700)])
def test_a_picture_of_nothing_costs_at_most_twice_its_pixels(size):
    once, all_angles = [], []
    nothing = np.full((*size[::-1], 3), 20, np.uint8)
    assert detector(once, sure=0.94, angles=False)(nothing) == []
    assert detector(all_angles, sure=0.94)(nothing) == []
    pixels = [sum(height * width for height, width in seen) for seen in (once, all_angles)]
    assert len(all_angles) == len(once) + 1
    assert pixels[1] <= 2.1 * pixels[0]  # sides are multiples of 32


def test_all_faces_of_a_turned_picture_are_found():
    image = np.concatenate([head(180, (200, 200)), head(170, (200, 200))], axis=1)
    faces = detector(sure=0.94)(image)
    assert sorted(round(face.box[0], -1) for face in faces) == [70, 270]
    assert all(apart(pose(face.landmarks)[2], 175) < 12 for face in faces)


# Looks: first (at two scales where the picture is large), the ring, the most certain face, and the
# four largest of the others.
@pytest.mark.parametrize(
    ("count", "upright", "looks"), [(1, 1, 3), (2, 2, 4), (5, 5, 8), (7, 5, 8)]
)
def test_the_other_faces_of_a_tilted_photo_are_found_upright_too(count, upright, looks):
    seen = []
    image = np.concatenate([head(40, (150, 150)) for _ in range(count)], axis=1)
    faces = detector(seen, sure=0.945)(image)
    assert (len(faces), len(seen)) == (count, looks)
    assert sum(face.score > 0.93 for face in faces) == upright
    assert all(apart(pose(face.landmarks)[2], 40) < 12 for face in faces)


@pytest.fixture(scope="module")
def detect(pack):
    return load_detector(pack, device=EXACT)


PORTRAITS = ("biden.jpg", "obama.jpg", "obama2.jpg")


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.parametrize("name", PORTRAITS)
def test_a_turned_portrait_gives_the_crop_of_the_upright_one(name, detect, portraits):
    upright = find_faces(detect, read_image(portraits / name))
    for turn in TURNS:
        photo = find_faces(detect, turned(upright.image, (360 - turn) % 360))
        assert photo.turn == turn
        difference = photo.crops([0]).astype(int) - upright.crops([0])
        assert np.abs(difference).mean() < 1
        assert photo.quality(0).reasons == upright.quality(0).reasons


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.parametrize("name", PORTRAITS)
def test_a_tilted_portrait_is_the_person_of_the_upright_one(name, detect, pack, portraits):
    image = read_image(portraits / name)
    embed = load_embedder(pack, device=EXACT)
    upright = embed(align(image, detect(image)[:1]))
    side = 600
    for tilt in (40, 60, 75, 120, 135, 165):
        way = cv2.getRotationMatrix2D((0, 0), -tilt, 0.6 * side / max(image.shape))
        way[:, 2] += side / 2 - way[:, :2] @ (np.array(image.shape[1::-1]) / 2)
        tilted = cv2.warpAffine(image, way, (side, side), borderValue=(120, 120, 120))
        photo = find_faces(detect, tilted)
        row = photo.choose()
        assert apart(pose(photo.faces[row].landmarks)[2], tilt) < 20, tilt
        assert similarity(upright, embed(photo.crops([row])))[0, 0] > 0.6, tilt


@pytest.mark.pack
@pytest.mark.slow
def test_verify_says_that_a_photo_lies_turned(portraits):
    recognizer = Recognizer.load(device=EXACT)
    a, b = (read_image(portraits / name) for name in ("obama.jpg", "obama2.jpg"))
    upright = recognizer.verify(a, b)
    lying = recognizer.verify(a, turned(b, 90))  # by 270 degrees clockwise
    assert lying.decision.outcome == upright.decision.outcome == "match"
    assert "picture: lies turned by 270 degrees, looked at upright" in lying.warnings
    assert lying.decision.similarity == pytest.approx(upright.decision.similarity, abs=0.02)


@pytest.mark.pack
@pytest.mark.parametrize(("tiled", "side"), [(False, MAX_SIDE), (True, None)])
def test_a_recognizer_looks_in_tiles_of_the_photo_in_full(tiled, side):
    recognizer = Recognizer.load(device=EXACT, tiled=tiled)
    assert (recognizer.detect.tiled, recognizer.max_side) == (tiled, side)


PANORAMA = """
import sys
from pathlib import Path
from visavis.detect import load_detector
from visavis.faces import find_faces
from visavis.pack import load_pack
assert find_faces(load_detector(load_pack()), sys.argv[1]).faces == ()
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.pack
@pytest.mark.slow
def test_a_panorama_of_16000_pixels_in_tiles_stays_under_1_gb(tmp_path):
    path = tmp_path / "panorama.jpg"
    assert cv2.imwrite(str(path), np.full((4000, 16000, 3), 120, np.uint8))
    child = [sys.executable, "-c", PANORAMA, str(path)]
    kilobytes = int(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    assert kilobytes < 1_000_000
