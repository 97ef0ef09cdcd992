"""Faces that fill the picture, which detectors miss at one scale; and five detectors that agree."""

from importlib import util
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="torch is of the extra convert: pip install '.[convert]'"
)

from conftest import share  # noqa: E402
from made_detectors import five_detectors  # noqa: E402

from visavis.image import read_image  # noqa: E402

NAMES = ("yunet", "scrfd", "retinaface", "yunet.pth", "yolov5face")
PORTRAITS = 11  # as many as the folder that was not found
SIDES = (112, 250, 384, 385, 640, 1200)  # of a picture: at each bound of the scales
SHARES = (0.76, 0.91)  # of the picture's width that the face takes
# Between YuNets and others: their landmarks are noisier than all others'.
LEAST_OVERLAP, CLOSE, NOISY = 0.6, 0.10, 0.20  # of the distance between the eyes


@pytest.fixture(scope="module")
def photos(data):
    return sorted((data / "data" / "lfw_people").rglob("*.jpg"))


def middle_face(faces, side=250):
    return min(faces, key=lambda face: np.abs(face.box[:2] + face.box[2:] - side).sum())


def portrait(image, face, width, side):
    """The face's surroundings, so that it takes that share of the width, enlarged."""
    left, top, right, bottom = face.box
    half = np.array([(right - left) / width, max(bottom - top, right - left)]) / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    framed = cv2.copyMakeBorder(image, 99, 99, 99, 99, cv2.BORDER_REPLICATE)
    start = np.maximum(0, np.round([x, y] - half + 99).astype(int))
    end = np.round([x, y] + half + 99).astype(int)
    crop = framed[start[1] : end[1], start[0] : end[0]]
    scale = side / max(crop.shape[:2])
    return cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", NAMES)
def test_a_face_that_fills_the_picture_is_found(name, side, photos, data):
    detectors = five_detectors(data)
    missed = []
    for path in photos[:: len(photos) // max(PORTRAITS, share(110))]:
        image = read_image(path)
        face = middle_face(detectors["scrfd"](image))
        for width in SHARES:
            made = portrait(image, face, width, side)
            found = detectors[name](made)
            if not any(face.box[2] - face.box[0] > 0.6 * made.shape[1] for face in found):
                missed.append((path.name, width))
    assert missed == []


def overlap(a, b):
    inner = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return inner / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner)


def apart(a, b):
    """Mean distance of two faces' landmarks, in distances between the eyes."""
    eyes = np.linalg.norm(a.landmarks[1] - a.landmarks[0])
    return float(np.linalg.norm(a.landmarks - b.landmarks, axis=1).mean() / eyes)


def limit(a, b):
    return NOISY if "yunet" in (a[:5], b[:5]) else CLOSE


@pytest.mark.slow
def test_five_detectors_agree_on_photos_of_people(photos, data):
    detectors = five_detectors(data)
    chosen = photos[:: len(photos) // share(1580)]
    found = {
        name: [middle_face(detectors[name](read_image(path))) for path in chosen] for name in NAMES
    }
    for a, b in combinations(NAMES, 2):
        pairs = list(zip(found[a], found[b], strict=True))
        assert np.mean([overlap(x.box, y.box) > LEAST_OVERLAP for x, y in pairs]) >= 0.98
        assert np.mean([apart(x, y) < limit(a, b) for x, y in pairs]) >= 0.98, (a, b)


def test_five_detectors_agree_on_six_faces(data):
    package = util.find_spec("insightface")
    if package is None or package.origin is None:
        pytest.skip("insightface, whose wheel has the photo, is not installed: make peers")
    image = read_image(Path(package.origin).parent / "data" / "images" / "t1.jpg")
    found = {name: detect(image) for name, detect in five_detectors(data).items()}
    assert {name: len(faces) for name, faces in found.items()} == dict.fromkeys(NAMES, 6)
    for a, b in combinations(NAMES, 2):
        gaps = []
        for face in found[a]:
            other = max(found[b], key=lambda near, face=face: overlap(face.box, near.box))
            assert overlap(face.box, other.box) > LEAST_OVERLAP
            gaps.append(apart(face, other))
        assert np.median(gaps) < limit(a, b), (a, b)  # two of the six are tilted, one is turned
