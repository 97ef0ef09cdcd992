"""Malformed and odd input: a typed error or a defined answer, soon and in little memory.

Through the library, and through the command line in this process. Not to be held in 256 MB are
pictures that the library's limits let in: black_png(13_000), row 32, is 169 megapixels and takes
1.5 GB to decode, so who reads strangers' pictures passes Limits of 40 megapixels, as here.
"""

import json
import shutil
import time
from pathlib import Path

import malformed
import numpy as np
import pytest
from malformed import (
    HTML,
    MEGABYTES,
    PICTURES,
    can_measure_memory,
    jpeg,
    measured,
    noise,
    solid,
)
from test_image import black_png
from test_quality import seen

from visavis.alignment import align
from visavis.cli.printing import print_json
from visavis.compare import similarity
from visavis.decision import decide
from visavis.decode.boxes import Candidates
from visavis.detect import ScanDetector
from visavis.draw import draw_faces
from visavis.embedder import unit
from visavis.errors import (
    CalibrationError,
    EmbeddingError,
    ImageError,
    LandmarkError,
    MismatchError,
    NoFaceError,
)
from visavis.faces import MAX_SIDE
from visavis.image import Limits, read_image
from visavis.quality import assess
from visavis.types import Face

LINUX_ALONE = pytest.mark.skipif(
    not can_measure_memory(), reason="the highest memory can be reset on Linux alone"
)
WITHOUT_WARNINGS = pytest.mark.filterwarnings("ignore:Corrupt EXIF")
CROP = np.full((1, 112, 112, 3), 255, np.uint8)


def held(cost, row):
    assert cost.seconds < row.seconds
    assert cost.megabytes < MEGABYTES


@LINUX_ALONE
def test_the_measure_notices_memory_and_time():
    assert measured(lambda: np.ones(300 * 2**20, np.uint8)).megabytes > 290
    assert measured(lambda: time.sleep(0.5)).seconds > 0.5
    nothing = measured(lambda: None)
    assert nothing.seconds < 0.01
    assert nothing.megabytes < 10


@WITHOUT_WARNINGS
@pytest.mark.parametrize("row", PICTURES, ids=str)
def test_a_malformed_picture_has_its_answer(row):
    data = row.build()

    def work():
        if not row.said:
            assert read_image(data, max_side=MAX_SIDE).shape == (*row.shape, 3)
            return
        with pytest.raises(ImageError, match=row.said):
            read_image(data, max_side=MAX_SIDE)

    held(measured(work), row)


def by_command(row):
    """A row of the table; a large photo of nothing takes seconds."""
    return pytest.param(row, id=str(row), marks=[pytest.mark.slow] if row.large else [])


@pytest.mark.pack
@pytest.mark.parametrize("row", [by_command(row) for row in PICTURES])
def test_a_malformed_picture_has_its_answer_by_command(row, run, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(row.build())
    run("detect", path)  # the models are compiled
    answers = []
    cost = measured(lambda: answers.append(run("detect", path)))
    code, out, err = answers[0]
    if row.said:
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"visavis: {path}: ")
        assert row.said in err
    else:
        assert (code, out, err) == (0, f"{path}: 0 faces\n", "")
    # A large photo of nothing is looked at in full, part by part.
    tiled = row.large and not row.said
    assert cost.seconds < row.seconds + 0.75 + 10 * tiled  # to load the detector
    assert cost.megabytes < MEGABYTES * (1 + tiled)


@pytest.mark.parametrize("side", [13_000, 6_400])
def test_who_reads_strangers_pictures_sets_a_limit(side):
    data = black_png(side)
    limits = Limits(pixels=40_000_000)

    def work():
        with pytest.raises(ImageError, match=f"{side}x{side} pixels, .* 40 megapixels"):
            read_image(data, limits=limits)

    cost = measured(work)
    assert cost.seconds < 0.25
    assert cost.megabytes < MEGABYTES


@pytest.mark.pack
@pytest.mark.parametrize("name", ["1x1", "1x10000", "drawing", "noise", "black", "white"])
def test_a_picture_without_a_face_is_not_compared(name, run, recognizer, tmp_path):
    (row,) = (row for row in PICTURES if row.name == name)
    with pytest.raises(NoFaceError, match="picture: no face found"):
        recognizer.verify(row.build(), row.build())
    path = tmp_path / "photo.png"
    path.write_bytes(row.build())
    code, out, err = run("verify", path, path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "photo.png: no face found" in err


def test_a_thousand_faces_are_found_in_time():
    corners = np.stack(np.meshgrid(np.arange(40), np.arange(25)), axis=-1).reshape(-1, 2) * 16
    boxes = np.concatenate([corners, corners + 15], axis=1).astype(np.float32)
    each = 5  # candidates for every face
    found = Candidates(
        np.repeat(boxes, each, axis=0),
        np.repeat(boxes[:, None, :2], 5, axis=1).repeat(each, axis=0),
        np.tile(np.linspace(0.6, 0.9, each, dtype=np.float32), len(boxes)),
    )
    detect = ScanDetector(lambda pictures: [], lambda *sizes, min_score: found, 0.5, 0.3)
    image = np.zeros((200, 200, 3), np.uint8)
    assert len(detect(image)) == 1000
    assert measured(lambda: detect(image)).seconds < 3


@pytest.mark.parametrize("crop", [CROP[0] * 0, CROP[0], noise(112, 112)], ids=["0", "255", "noise"])
def test_a_strange_crop_measures_as_numbers(crop):
    face = Face(np.float32([100, 100, 200, 200]), seen(), 0.9)
    quality = assess(face, crop, 640, 480)
    numbers = [value for value in vars_of(quality) if isinstance(value, float)]
    assert len(numbers) == 8
    assert np.isfinite(numbers).all()


def vars_of(quality):
    return [getattr(quality, name) for name in quality.__slots__]


PHOTO = np.zeros((480, 640, 3), np.uint8)
NAN, FAR = float("nan"), 1e9
BOXES = {  # a box, and what its quality or its error says
    "outside": ([2000, 2000, 2100, 2100], "cut"),
    "before the corner": ([-500, -500, -400, -400], "cut"),
    "reversed": ([300, 300, 100, 100], "small"),
    "reversed across": ([300, 100, 100, 300], "small"),
    "without a pixel": ([100, 100, 100, 100], "small"),
    "giant": ([-FAR, -FAR, FAR, FAR], "cut"),
    "NaN": ([NAN] * 4, None),
    "NaN on one side": ([100, 100, NAN, 200], None),
    "infinite": ([100, 100, float("inf"), 200], None),
}


@pytest.mark.parametrize(("box", "reason"), BOXES.values(), ids=BOXES)
def test_a_box_that_cannot_be_is_measured_or_refused(box, reason):
    face = Face(np.float32(box), seen(), 0.9)

    def work():
        assert align(PHOTO, [face]).shape == (1, 112, 112, 3)  # by the landmarks alone
        if reason is None:
            with pytest.raises(LandmarkError, match="expected a finite box"):
                assess(face, CROP[0], 640, 480)
            with pytest.raises(LandmarkError, match="expected a finite box"):
                draw_faces(PHOTO, [face], ["1"])
        else:
            assert reason in assess(face, CROP[0], 640, 480).reasons
            assert draw_faces(PHOTO, [face], ["1"]).shape == PHOTO.shape

    assert measured(work).seconds < 0.25


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_landmarks_that_are_no_numbers_are_refused(value):
    face = Face(np.float32([100, 100, 200, 200]), np.full((5, 2), value, np.float32), 0.9)
    with pytest.raises(LandmarkError, match="expected finite landmarks"):
        align(PHOTO, [face])
    with pytest.raises(LandmarkError, match="expected a finite box and landmarks"):
        assess(face, CROP[0], 640, 480)
    assert draw_faces(PHOTO, [face], ["1"]).shape == PHOTO.shape  # the box alone


def test_landmarks_far_away_give_a_black_crop():
    face = Face(np.float32([0, 0, 9, 9]), seen() + np.float32(1e6), 0.9)
    assert align(PHOTO + 255, [face]).max() == 0


X = np.float32([[1, 0]])
ROWS = {  # a row, what a comparison says, what `unit` makes of it
    "NaN": (np.float32([[NAN, 0]]), "length nan", None),
    "infinite": (np.float32([[np.inf, 0]]), "length inf", None),
    "both infinities": (np.float32([[np.inf, -np.inf]]), "length inf", None),
    "zero": (np.float32([[0, 0]]), "length 0", None),
    "denormal": (np.float32([[3e-40, 4e-40]]), "length 5e-40", [0.6, 0.8]),
    "tiny": (np.float32([[3e-22, 4e-22]]), "length 5e-22", [0.6, 0.8]),
    "huge": (np.float32([[1.5e38, 2e38]]), r"length 2.5e\+38", [0.6, 0.8]),
    "not unit": (np.float32([[3, 4]]), "length 5", [0.6, 0.8]),
    "float16": (np.float16([[30_000, 40_000]]), "got .* float16", [0.6, 0.8]),
    "float16 overflown": (np.float16([[np.inf, 1]]), "got .* float16", None),
    "int8": (np.int8([[3, 4]]), "got .* int8", [0.6, 0.8]),
    "big-endian": (np.array([[0.6, 0.8]], ">f4"), "got .* >f4", [0.6, 0.8]),
    "float64": (np.float64([[0.6, 0.8]]), "got .* float64", [0.6, 0.8]),
}


@pytest.mark.parametrize(("row", "said", "expected"), ROWS.values(), ids=ROWS)
def test_a_malformed_embedding_is_not_compared(row, said, expected):
    for pair in ((row, X), (X, row)):
        with pytest.raises(EmbeddingError, match=said):
            similarity(*pair)
    if expected is None:
        with pytest.raises(EmbeddingError, match="expected finite embeddings"):
            unit(row)
    else:
        np.testing.assert_allclose(unit(row), [expected], atol=1e-3 if "16" in str(row.dtype) else
                                   1e-6)  # fmt: skip
        assert similarity(unit(row), X).dtype == np.float32


def test_an_embedding_of_another_dimension_is_not_compared():
    with pytest.raises(MismatchError, match="embeddings of 3 and 2 numbers"):
        similarity(np.float32([[1, 0, 0]]), X)


def test_a_similarity_at_the_threshold_is_a_match(calibration):
    policy = calibration.policy("1e-4")
    at = policy.match.threshold
    assert decide(at, policy).outcome == "match"
    assert decide(float(np.nextafter(at, 0)), policy).outcome == "review"
    assert decide(NAN, policy).outcome == "no_match"


@pytest.mark.pack
@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("nan", "between 0 and 1, got nan"),
        ("2.0", "between 0 and 1, got 2.0"),
        ("-1", "between 0 and 1, got -1.0"),
        ("1e999", "between 0 and 1, got inf"),
        ("abc", "unknown policy 'abc'; known: convenience"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(policy, said, calibration, run, tmp_path):
    with pytest.raises(CalibrationError, match=said):
        calibration.policy(policy)
    path = tmp_path / "photo.png"
    path.write_bytes(solid(64, 64))
    code, out, err = run("verify", path, path, "--policy", policy)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_no_json_holds_what_is_no_number(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json({"similarity": value})


@pytest.mark.pack
@pytest.mark.parametrize("verb", ["detect", "embed"])
def test_a_batch_goes_on_past_every_bad_photo(verb, run, portraits, tmp_path):
    bad = {"cut", "empty", "page", "bomb"}
    contents = (malformed.cut(jpeg(), 0.5), b"", HTML, black_png(30_000))
    for name, data in zip(("cut", "empty", "page", "bomb"), contents, strict=True):
        (tmp_path / f"{name}.jpg").write_bytes(data)
    for name in ("obama", "biden", "obama2"):
        shutil.copy(portraits / f"{name}.jpg", tmp_path)
    table = tmp_path / "rows.npz"
    words = ("detect", tmp_path) if verb == "detect" else ("embed", tmp_path, "--out", table)
    code, out, err = run(*words, "--json")
    document = json.loads(out)
    assert (code, err.count("\n")) == (3, len(bad))
    assert {Path(error["path"]).stem for error in document["errors"]} == bad
    if verb == "detect":
        good = [image["path"] for image in document["images"]]
    else:
        with np.load(table) as file:
            good = list(file["paths"])
    assert [Path(path).stem for path in good] == ["biden", "obama", "obama2"]
