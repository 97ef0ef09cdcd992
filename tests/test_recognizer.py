"""Two photos to a decision: with a made detector and embedder, and with the default pack."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from visavis.alignment import ARCFACE_112
from visavis.compare import similarity
from visavis.errors import (
    AmbiguousFaceError,
    CalibrationError,
    ImageError,
    MismatchError,
    NoFaceError,
    VisavisError,
)
from visavis.image import read_image
from visavis.recognizer import MAX_SIDE, Recognizer, find_faces
from visavis.types import Face

GREY = np.full((200, 300, 3), 128, np.uint8)


def face_of(left, top, width, height, score=0.9):
    """A face whose landmarks lie in its box as the template lies in a crop."""
    box = np.array([left, top, left + width, top + height], np.float32)
    points = np.float32([left, top]) + np.float32(ARCFACE_112 / 112 * [width, height])
    return Face(box, points.astype(np.float32), score)


ONE = [face_of(40, 30, 100, 100)]


@pytest.fixture
def made(fake_embedder, calibration):
    """A recognizer that finds the faces it is told to."""
    return lambda faces=ONE: Recognizer(lambda image: faces, fake_embedder, calibration)


def encoded(image, kind="PNG", **options):
    buffer = BytesIO()
    Pillow.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_photo_without_a_face_is_named(made, tmp_path):
    path = tmp_path / "wall.png"
    path.write_bytes(encoded(GREY))
    with pytest.raises(NoFaceError, match=r"wall\.png: no face found"):
        made([]).verify(path, GREY)


@pytest.mark.parametrize(
    ("second", "chosen"), [(79, 0), (80, 0), (81, None), (100, None)]
)  # of 100 times 100 pixels: area ratios of 0.79 to 1
def test_two_faces_of_about_one_size_are_ambiguous(made, second, chosen):
    photo = made([*ONE, face_of(160, 30, second, 100)]).faces(GREY)
    if chosen is None:
        with pytest.raises(AmbiguousFaceError, match=r"2 faces, .*100x100 at 40,30.*--face N"):
            photo.choose()
    else:
        assert photo.choose() == chosen


def test_the_one_face_looked_for_is_not_clear_where_there_are_more(made):
    photo = replace(made(ONE).faces(GREY), truncated=True)
    with pytest.raises(AmbiguousFaceError, match="more than the one face"):
        photo.choose()
    assert photo.choose(1) == 0
    assert replace(photo, faces=(*photo.faces, face_of(160, 30, 50, 50))).choose() == 0


def test_a_face_is_chosen_by_number(made):
    faces = [*ONE, face_of(160, 30, 100, 90)]
    found = made(faces).verify(GREY, GREY, face_a=2, face_b=1)
    assert found.chosen == (1, 0)
    assert "picture: 2 faces, number 2 was compared" in found.warnings


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_number_out_of_range_says_how_many_there_are(made, number):
    with pytest.raises(NoFaceError, match=rf"no face {number}, there are 2"):
        made(ONE * 2).faces(GREY).choose(number)


# Light above the middle of the face that is found, dark below: the made embedder sees halves.
HALVES = np.repeat(np.uint8([250, 5]), [80, 120])[:, None, None] + np.zeros((200, 300, 3), np.uint8)


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [(GREY, GREY, "match"), (HALVES, HALVES, "match"), (HALVES, 255 - HALVES, "no_match")],
)
def test_the_similarity_of_the_two_crops_decides(made, a, b, outcome):
    found = made().verify(a, b)
    assert found.decision.outcome == outcome
    embeddings = made().embed(found.crops)
    expected = similarity(embeddings[:1], embeddings[1:])[0, 0]
    assert found.decision.similarity == pytest.approx(float(expected))


def test_a_verification_says_all_it_rests_on(made, calibration):
    found = made().verify(GREY, GREY, policy="convenience")
    assert (found.model, found.calibration) == ("fake@0", calibration)
    assert found.decision.policy == calibration.policy("convenience")
    assert found.crops.shape == (2, 112, 112, 3)
    assert [quality.size for quality in found.qualities] == [100, 100]
    assert found.warnings == ("picture: the face is blurred (blurred)",) * 2


def test_a_bad_policy_is_an_error_before_any_face_is_missed(made):
    with pytest.raises(CalibrationError, match="unknown policy"):
        made([]).verify(GREY, GREY, policy="lax")


def test_a_calibration_of_another_model_is_refused(fake_embedder, calibration):
    fake_embedder.model = "other@1"
    with pytest.raises(MismatchError, match="calibration is of fake@0, the embedder is other@1"):
        Recognizer(lambda image: [], fake_embedder, calibration)


def test_every_kind_of_source_gives_the_same(made, tmp_path):
    path = tmp_path / "halves.png"
    path.write_bytes(encoded(HALVES))
    with path.open("rb") as file:
        sources = [HALVES, path, str(path), path.read_bytes(), BytesIO(path.read_bytes()), file]
        photos = [made().faces(source) for source in sources]
    for photo in photos:
        np.testing.assert_array_equal(photo.image, HALVES)
        np.testing.assert_array_equal(photo.crop(0), photos[0].crop(0))
        assert (photo.width, photo.height) == (300, 200)
    names = [photo.name for photo in photos]
    assert names == ["picture", *[str(path)] * 2, "picture", "picture", str(path)]


@pytest.mark.parametrize("source", [b"", b"GIF89a", GREY[..., 0], GREY / 255])
def test_what_is_no_photo_is_an_error(made, source):
    with pytest.raises(ImageError):
        made().faces(source)


def stripes():
    """4000x3000 pixels of one-pixel stripes: shrunk they are grey, in full they are sharp."""
    return np.tile(np.uint8([[[0], [255]]]), (3000, 2000, 3))


def test_faces_of_a_big_photo_are_in_its_own_pixels():
    shapes = []

    def detect(image):
        shapes.append(image.shape)
        return [face_of(320, 240, 160, 160)]

    photo = find_faces(detect, encoded(np.tile(GREY[:1, :1], (3000, 4000, 1)), "JPEG"))
    assert shapes == [(960, MAX_SIDE, 3)]
    assert (photo.width, photo.height) == (4000, 3000)
    assert photo.scale == (0.32, 0.32)
    np.testing.assert_allclose(photo.faces[0].box, [1000, 750, 1500, 1250])
    expected = [1000, 750] + ARCFACE_112 / 112 * 500
    np.testing.assert_allclose(photo.faces[0].landmarks, expected, rtol=1e-5)


@pytest.mark.parametrize(("size", "sharp"), [(35.84, True), (113, False)])
def test_a_face_that_is_small_as_searched_is_cut_from_the_photo_in_full(size, sharp):
    photo = find_faces(lambda image: [face_of(320, 240, size, size)], encoded(stripes()))
    crop = photo.crop(0)[0].astype(float)
    # of 35.84 pixels a side, 112 in the photo itself: its stripes come through
    assert (crop.std() > 100) == sharp
    assert photo.quality(0).size == pytest.approx(size / 0.32)


def test_an_array_is_searched_as_it_is():
    image = np.tile(GREY[:1, :1], (10, 2 * MAX_SIDE, 1))
    photo = find_faces(lambda seen: ONE if seen is image else [], image)
    assert photo.image is image
    assert photo.faces == tuple(ONE)


def test_a_photo_can_be_searched_in_full():
    photo = find_faces(lambda image: ONE, encoded(np.zeros((8, 2000, 3), np.uint8)), max_side=None)
    assert photo.image.shape == (8, 2000, 3)


@pytest.mark.pack
@pytest.mark.parametrize(
    ("a", "b", "outcome", "low", "high"),
    [
        ("obama.jpg", "obama2.jpg", "match", 0.6, 0.9),
        ("obama.jpg", "biden.jpg", "no_match", -0.35, 0.35),
        ("obama2.jpg", "biden.jpg", "no_match", -0.35, 0.35),
        ("obama.jpg", "obama_partial_face.jpg", "match", 0.6, 1),
    ],
)
def test_portraits_are_told_apart(recognizer, portraits, a, b, outcome, low, high):
    decision = recognizer.verify(portraits / a, portraits / b).decision
    assert decision.outcome == outcome
    assert low < decision.similarity < high
    swapped = recognizer.verify(portraits / b, portraits / a).decision
    assert swapped.similarity == pytest.approx(decision.similarity, abs=1e-3)


@pytest.mark.pack
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_turned_by_its_exif_is_the_upright_photo(recognizer, portraits, orientation):
    upright = Pillow.fromarray(read_image(portraits / "biden.jpg", max_side=800))
    turns = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_90,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    found = recognizer.verify(
        np.asarray(upright), encoded(np.asarray(stored), "JPEG", quality=95, exif=exif)
    )
    assert found.decision.similarity > 0.99
    np.testing.assert_allclose(found.photos[1].faces[0].box, found.photos[0].faces[0].box, atol=4)


@pytest.mark.pack
def test_a_photo_of_nobody_is_an_error(recognizer):
    with pytest.raises(VisavisError, match="no face found"):
        recognizer.verify(GREY, GREY)
