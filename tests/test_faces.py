"""A photo to its faces and their crops: with detectors of one line."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from made_photos import encoded, face_of

from visavis.alignment import ARCFACE_112, SIZE, align
from visavis.answers import documents, words
from visavis.decode.boxes import Candidates, joined
from visavis.detect import ScanDetector
from visavis.errors import (
    AmbiguousFaceError,
    ImageError,
    LandmarkError,
    ModelError,
    NoFaceError,
)
from visavis.faces import MAX_SIDE, PhotoFaces, find_faces
from visavis.image import Photo, open_photo
from visavis.types import Face

GREY = np.full((200, 300, 3), 128, np.uint8)
# Light above the middle of the face, dark below.
HALVES = np.repeat(np.uint8([250, 5]), [80, 120])[:, None, None] + np.zeros((200, 300, 3), np.uint8)
ONE = [face_of(40, 30, 100, 100)]
NOISE = np.random.default_rng(5).integers(0, 256, (1500, 2600, 3), np.uint8)  # twice MAX_SIDE wide


def found(faces, source=GREY, **options):
    """What `find_faces` makes of a photo in which a detector finds these faces."""
    return find_faces(lambda image: faces, source, **options)


@pytest.fixture
def decoded(monkeypatch):
    """The sizes at which photos are decoded, one by one."""
    sizes = []
    decode = Photo.decode

    def counted(self, *, max_side=None):
        sizes.append(max_side)
        return decode(self, max_side=max_side)

    monkeypatch.setattr(Photo, "decode", counted)
    return sizes


# Area ratios of 0.79 to 1 to a face of 100 times 100 pixels.
@pytest.mark.parametrize(("second", "chosen"), [(79, 0), (80, 0), (81, None), (100, None)])
def test_two_faces_of_about_one_size_are_ambiguous(second, chosen):
    photo = found([*ONE, face_of(160, 30, second, 100)])
    if chosen is None:
        with pytest.raises(AmbiguousFaceError, match=r"2 faces, .*100x100 at 40,30") as raised:
            photo.choose()
        assert raised.value.option == "face"
    else:
        assert photo.choose() == chosen


def test_the_one_face_looked_for_is_not_clear_where_there_are_more():
    photo = found([*ONE, face_of(160, 30, 50, 50)], max_faces=1)
    with pytest.raises(AmbiguousFaceError, match="more faces than the one") as raised:
        photo.choose()
    assert raised.value.option == "face"
    assert photo.choose(1) == 0
    assert found([*ONE, *[face_of(160, 30, 50, 50)] * 2], max_faces=2).choose() == 0


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_number_out_of_range_says_how_many_there_are(number):
    with pytest.raises(NoFaceError, match=rf"no face {number}, there are 2"):
        found(ONE * 2).choose(number)


@pytest.mark.parametrize("number", [None, 1])
def test_no_face_says_which_photo_and_what_a_face_must_be(number):
    said = "picture: no face found: a face must be at least 20 pixels wide in this photo"
    with pytest.raises(NoFaceError, match=said):
        found([]).choose(number)


def seeing(score):
    """A detector of our own that sees one candidate of this score in every picture."""
    (one,) = [face_of(8, 8, 9, 9, score)]
    seen = Candidates(one.box[None], one.landmarks[None], np.full(1, score, np.float32))

    def decode(outputs, height, width, /, *, min_score):
        return seen[np.flatnonzero(seen.scores >= min_score)]

    return ScanDetector(lambda pictures: [np.zeros(1)], decode, 0.6, 0.3)


def wall(longest, shade=128):
    return np.full((100, longest, 3), shade, np.uint8)


@pytest.mark.parametrize(
    ("image", "score", "options", "said"),
    [
        (wall(150), 0, {}, "at least 10 pixels wide"),  # enlarged twofold
        (wall(384), 0, {}, "at least 20 pixels wide"),
        (wall(640), 0, {}, "at least 20 pixels wide"),
        (wall(1280), 0, {}, "at least 40 pixels wide"),  # halved
        (wall(1281), 0, {}, "at least 20 pixels wide"),  # tiles are looked at
        (encoded(wall(4000)), 0, {}, "at least 20 pixels wide"),
        (encoded(wall(4000)), 0, {"min_size": 60}, "at least 60 pixels wide"),
        (wall(640), 0.45, {}, "may be a face, but only with a score of 0.45"),
        (wall(640), 0.29, {}, "at least 20 pixels wide"),
        (wall(640, 6), 0.45, {}, "nearly black"),
    ],
)
def test_no_face_says_why_as_far_as_the_picture_tells(image, score, options, said):
    with pytest.raises(NoFaceError, match=said):
        find_faces(seeing(score), image, **options).choose()


# A raised hand of score 0.78 beside faces of 0.94; and faces that are about as certain.
@pytest.mark.parametrize(
    ("scores", "chosen"),
    [((0.78, 0.94, 0.93), 1), ((0.83, 0.94, 0.93), 0), ((0.94, 0.6, 0.6), 0), ((0.6, 0.6, 0.7), 0)],
)
def test_the_largest_of_those_nearly_as_certain_as_the_best_is_meant(scores, chosen):
    sizes = (100, 70, 40)
    faces = [face_of(9, 9, size, size, score) for size, score in zip(sizes, scores, strict=True)]
    photo = found(faces)
    assert photo.choose() == chosen
    assert [photo.choose(number) for number in (1, 2, 3)] == [0, 1, 2]  # numbers stay by size


@pytest.mark.parametrize(("score", "clear"), [(0.78, True), (0.9, False)])
def test_a_hand_as_large_as_the_face_makes_nothing_ambiguous(score, clear):
    photo = found([face_of(0, 0, 100, 100, score), face_of(150, 0, 99, 99, 0.94)])
    if clear:
        assert photo.choose() == 1
    else:
        with pytest.raises(AmbiguousFaceError, match="largest two of about one size"):
            photo.choose()


def spots(outputs, height, width, *, min_score):
    """A decoder that finds the one white square, if it sees 20 pixels of it."""
    (picture,) = outputs[0]
    rows, columns = np.nonzero(picture[..., 0] > 250)
    if len(rows) < 20 * 20:
        return joined([])
    left, top = columns.min(), rows.min()
    face = face_of(left, top, columns.max() + 1 - left, rows.max() + 1 - top)
    return Candidates(face.box[None], face.landmarks[None], np.float32([face.score]))


@pytest.mark.parametrize(
    ("longest", "tiled", "boxes"), [(1280, False, 0), (1281, False, 1), (1280, True, 1)]
)
@pytest.mark.parametrize("encode", [encoded, lambda image: image], ids=["photo", "array"])
def test_tiles_are_looked_at_where_a_large_photo_shows_nothing(longest, tiled, boxes, encode):
    image = np.full((300, longest, 3), 99, np.uint8)
    image[40:64, 1000:1024] = 255
    detect = ScanDetector(lambda pictures: [pictures], spots, 0.6, 0.3, tiled)
    photo = find_faces(detect, encode(image), max_side=None if tiled else MAX_SIDE)
    places = [face.box.tolist() for face in photo.faces]
    assert places == [[1000, 40, 1024, 64]] * boxes


@pytest.mark.parametrize(("side", "sizes"), [(24, [MAX_SIDE, None]), (240, [MAX_SIDE])])
def test_a_photo_is_decoded_in_full_only_where_it_shows_nothing(side, sizes, decoded):
    image = np.full((1000, 2560, 3), 99, np.uint8)
    image[100 : 100 + side, 900 : 900 + side] = 255
    detect = ScanDetector(lambda pictures: [pictures], spots, 0.6, 0.3)
    (face,) = find_faces(detect, encoded(image)).faces
    np.testing.assert_allclose(face.box, [900, 100, 900 + side, 100 + side], atol=4)
    assert decoded == sizes


@pytest.mark.parametrize(
    ("roll", "turn"), [(0, 0), (44, 0), (46, 90), (-46, 270), (134, 90), (180, 180), (-91, 270)]
)
def test_a_photo_lies_as_its_most_certain_face_does(roll, turn):
    way = np.radians(roll)
    rotation = np.float32([[np.cos(way), np.sin(way)], [-np.sin(way), np.cos(way)]])
    upright = face_of(100, 50, 80, 80, 0.95)
    middle = upright.landmarks.mean(axis=0)
    tilted = replace(upright, landmarks=(upright.landmarks - middle) @ rotation + middle)
    blank = replace(upright, landmarks=np.full((5, 2), np.nan, np.float32), score=0.99)
    photo = found([face_of(0, 0, 90, 90, 0.9), tilted, blank])
    assert photo.turn == turn
    assert documents.faces_json(photo, [None] * 3)["turn"] == turn
    said = words.faces_words(photo, [None] * 3)[0]
    assert said.endswith(f" · lies turned by {turn} degrees" if turn else "3 faces")


def test_without_a_face_with_landmarks_no_turn_is_known():
    assert found([]).turn == 0


def test_every_kind_of_source_gives_the_same(tmp_path):
    path = tmp_path / "halves.png"
    path.write_bytes(encoded(HALVES))
    with path.open("rb") as file:
        data = path.read_bytes()
        sources = [HALVES, path, str(path), data, BytesIO(data), file, open_photo(path)]
        photos = [found(ONE, source) for source in sources]
    for photo in photos:
        np.testing.assert_array_equal(photo.image, HALVES)
        np.testing.assert_array_equal(photo.crops([0]), photos[0].crops([0]))
        assert (photo.width, photo.height) == (300, 200)
    names = [photo.name for photo in photos]
    assert names == ["picture", *[str(path)] * 2, "picture", "picture", *[str(path)] * 2]


@pytest.mark.parametrize("source", [b"", b"GIF89a", GREY[..., 0], GREY / 255])
def test_what_is_no_photo_is_an_error(source):
    with pytest.raises(ImageError):
        found(ONE, source)


WIDTHS = (40, 30, 20, 10)
ROW = [face_of(100 * n, 100, width, 100) for n, width in enumerate(WIDTHS)]


@pytest.mark.parametrize(
    ("options", "widths", "truncated"),
    [
        ({}, WIDTHS, False),
        ({"max_faces": 4}, WIDTHS, False),
        ({"max_faces": 3}, WIDTHS[:3], True),
        ({"max_faces": 1}, WIDTHS[:1], True),
        ({"min_size": 15}, WIDTHS[:3], False),
        ({"min_size": 101}, (), False),
        ({"min_size": 25, "max_faces": 2}, WIDTHS[:2], False),  # what is too small is no more
        ({"min_size": 15, "max_faces": 2}, WIDTHS[:2], True),
    ],
)
def test_the_largest_faces_are_kept_and_more_is_said(options, widths, truncated):
    photo = found(ROW, **options)
    assert photo.truncated == truncated
    assert photo.faces == tuple(ROW[: len(widths)])


def test_sizes_are_those_of_the_photo():
    source = encoded(np.zeros((2000, 1600, 3), np.uint8))
    photo = found(ROW, source, min_size=45, max_faces=1, max_side=1000)  # two are wider than 45
    assert photo.image.shape[:2] == (1000, 800)
    assert photo.truncated
    np.testing.assert_allclose(photo.faces[0].box, [0, 200, 80, 400])
    assert documents.faces_json(photo, [None])["truncated"]
    assert words.faces_words(photo, [None])[0].endswith("1 face, and more that are left out")
    assert not found(ROW, source, min_size=65, max_faces=1, max_side=1000).truncated


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_faces": 0}, "1 face or more, got 0"),
        ({"max_faces": -1}, "1 face or more, got -1"),
        ({"min_size": -5}, "0 to 20000 pixels, got -5"),
        ({"min_size": np.nan}, "0 to 20000 pixels, got nan"),
        ({"min_size": np.inf}, "0 to 20000 pixels, got inf"),
    ],
)
def test_options_that_find_nothing_are_errors(options, message):
    with pytest.raises(ModelError, match=message):
        found(ONE, **options)


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
    np.testing.assert_allclose(photo.shown(0).box, [320, 240, 480, 400])


def test_a_photo_that_shrinks_unevenly_keeps_across_and_down_apart():
    """1000x3 pixels are scanned as 100x1: ten pixels to one across, three to one down."""
    photo = found([face_of(10, 0, 20, 1)], encoded(np.zeros((3, 1000, 3), np.uint8)), max_side=100)
    assert photo.image.shape == (1, 100, 3)
    assert photo.scale == (0.1, 1 / 3)
    np.testing.assert_allclose(photo.faces[0].box, [100, 0, 300, 3])
    expected = [100, 0] + ARCFACE_112 / 112 * [200, 3]
    np.testing.assert_allclose(photo.faces[0].landmarks, expected, rtol=1e-5)
    np.testing.assert_allclose(photo.shown(0).box, [10, 0, 30, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("wide", "high", "kept"), [(60, 20, False), (20, 60, False), (50, 50, True)]
)
def test_the_least_size_is_that_of_the_shorter_side(wide, high, kept):
    assert bool(found([face_of(40, 30, wide, high)], min_size=50).faces) == kept


@pytest.mark.parametrize(("size", "sharp"), [(35.84, True), (113, False)])
def test_a_face_that_is_small_as_scanned_is_cut_from_the_photo_in_full(size, sharp):
    photo = found([face_of(320, 240, size, size)], encoded(stripes()))
    crop = photo.crops([0])[0].astype(float)
    # of 35.84 pixels a side, 112 in the photo itself: its stripes come through
    assert (crop.std() > 100) == sharp
    assert photo.quality(0).size == pytest.approx(size / 0.32)


def test_an_array_is_scanned_as_it_is():
    image = np.tile(GREY[:1, :1], (10, 2 * MAX_SIDE, 1))
    photo = find_faces(lambda seen: ONE if seen is image else [], image)
    assert photo.image is image
    assert photo.faces == tuple(ONE)


def test_a_photo_can_be_scanned_in_full():
    photo = found(ONE, encoded(np.zeros((8, 2000, 3), np.uint8)), max_side=None)
    assert photo.image.shape == (8, 2000, 3)


def one_by_one(photo: PhotoFaces, row: int) -> np.ndarray:
    """The rule for one face alone, as it has always been."""
    face = photo.faces[row]
    x, y = photo.image.shape[1] / photo.width, photo.image.shape[0] / photo.height
    shown = Face(face.box * np.float32([x, y, x, y]), face.landmarks * np.float32([x, y]), 1)
    sides = shown.box[2:] - shown.box[:2]
    if photo.photo is not None and x < 1 and np.min(sides) < SIZE:
        return align(photo.photo.decode(), [face])
    return align(photo.image, [shown])


# As scanned: from larger than a crop to a tenth of it, one on either side of the limit.
SIZES = (300.7, 150.2, 112.01, 111.99, 60.3, 33.3, 11.1)
MIXED = [face_of(31.7 + 150.3 * n, 40.1 + 20 * n, size, size) for n, size in enumerate(SIZES)]


@pytest.mark.parametrize("max_side", [MAX_SIDE, 700, None])
@pytest.mark.parametrize(
    "source",
    [
        pytest.param(NOISE, id="an array"),
        pytest.param(encoded(NOISE, "JPEG", quality=90), id="a large photo"),
        pytest.param(encoded(NOISE[:700, :1280], "JPEG", quality=90), id="a photo as scanned"),
    ],
)
@pytest.mark.parametrize("rows", [range(7), [6, 0, 3], [2], []], ids=str)
def test_crops_of_all_faces_are_those_of_each_alone(source, max_side, rows):
    photo = found(MIXED, source, max_side=max_side)
    expected = [one_by_one(photo, row) for row in rows]
    np.testing.assert_array_equal(
        photo.crops(rows), np.concatenate([np.empty((0, SIZE, SIZE, 3), np.uint8), *expected])
    )


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_photo_with_small_faces_is_decoded_twice(decoded, count):
    faces = [face_of(100 * n, 100, 50, 50) for n in range(count)]
    found(faces, encoded(NOISE[::2], "JPEG")).crops(range(count))
    assert decoded == [MAX_SIDE, None]


def test_a_face_of_just_a_crops_size_is_large_enough(decoded):
    halved = encoded(np.zeros((8, 2 * MAX_SIDE, 3), np.uint8))
    photo = found([face_of(100, 100, 112, 112)], halved)
    assert photo.shown(0).side == 112
    photo.crops([0])
    assert decoded == [MAX_SIDE]


@pytest.mark.parametrize("rows", [[0], [], [0, 1]], ids=str)
def test_a_photo_with_large_faces_alone_is_decoded_once(decoded, rows):
    photo = found(MIXED[:2], encoded(NOISE, "JPEG"))
    photo.crops(rows)
    photo.qualities()
    assert decoded == [MAX_SIDE]


def test_a_face_without_landmarks_has_no_crop_and_no_quality():
    blank = replace(ONE[0], landmarks=np.full((5, 2), np.nan, np.float32))
    photo = found([*ONE, blank], HALVES)
    with pytest.raises(LandmarkError, match="finite landmarks"):
        photo.crops([0, 1])
    first, second = photo.qualities()
    assert (first, second) == (photo.quality(0), None)
