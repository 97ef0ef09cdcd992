"""One picture at several scales and in tiles: with a made network, and with the real one."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from visavis.decode import DECODERS
from visavis.decode.boxes import Candidates, Frame
from visavis.detect import MOST_CANDIDATES, ScanDetector, load_detector
from visavis.errors import ImageError, ModelError, PackError
from visavis.image import read_image
from visavis.runtime import Device

BLACK = np.zeros((1000, 800, 3), np.uint8)


def spots(outputs, height, width, *, min_score):
    """A decoder that finds lit rectangles side by side; the higher, the better their score."""
    (picture,) = outputs[0]
    lit = picture.max(axis=2) > 100
    edges = np.flatnonzero(np.diff(lit.any(axis=0), prepend=False, append=False)).reshape(-1, 2)
    boxes = np.empty((0, 4), np.float32)
    for left, right in edges:
        rows = np.flatnonzero(lit[:, left:right].any(axis=1))
        boxes = np.append(boxes, np.float32([[left, rows[0], right, rows[-1] + 1]]), axis=0)
    landmarks = np.repeat(boxes[:, None, :2], 5, axis=1)
    scores = np.float32((boxes[:, 3] - boxes[:, 1]) / height)
    rows = np.flatnonzero(scores >= min_score)
    return Candidates(boxes, landmarks, scores)[rows]


def spotter(seen=None, **options):
    """A detector of lit rectangles; `seen` collects the sizes of the pictures it looks at."""

    def network(pictures):
        if seen is not None:
            seen.append(pictures.shape[1:3])
        return [pictures]

    return ScanDetector(network, spots, **{"min_score": 0.0, "max_overlap": 0.3, **options})


def with_rectangles(image, *boxes):
    image = image.copy()
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 255
    return image


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (1000, 800, [(640, 512), (224, 192)]),
        (640, 640, [(640, 640), (224, 224)]),
        (385, 100, [(416, 128), (224, 64)]),
        (384, 100, [(384, 128), (224, 64)]),  # small: at 384 first
        (250, 250, [(384, 384), (224, 224)]),
        (100, 200, [(192, 384), (128, 224)]),
        (100, 112, [(224, 224), (128, 128)]),  # 200x224: enlarged twofold, and no more
        (1, 1, [(32, 32), (32, 32)]),
    ],
)
def test_a_picture_is_looked_at_once_a_scale_and_once_if_small_with_a_face(height, width, expected):
    seen = []
    spotter(seen)(np.zeros((height, width, 3), np.uint8))
    assert seen == expected
    seen.clear()
    assert spotter(seen)(np.full((height, width, 3), 255, np.uint8))
    assert seen == expected[: 1 if max(height, width) <= 384 else 2]


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (1000, 800, (640, 640), 2),
        (250, 250, (640, 640), 1),
        (250, 250, (320, 320), 1),
        (1000, 3000, (480, 640), 2),
        (2000, 10, (32, 64), 2),
    ],
)
def test_a_network_of_one_size_sees_nothing_else(height, width, size, expected):
    seen = []
    top, left, bottom, right = (side * share // 10 for share in (2, 8) for side in (height, width))
    image = with_rectangles(np.zeros((height, width, 3), np.uint8), (left, top, right, bottom))
    frame = Frame(size, padding=14)
    (face,) = spotter(seen, frame=frame)(image)
    assert seen == [size] * expected
    scale = min(1, size[0] / height, size[1] / width)
    np.testing.assert_allclose(face.box, [left, top, right, bottom], atol=3 / scale)


@pytest.mark.parametrize(("tiled", "looks"), [(False, 2), (True, 2 + 3 * 4)])
def test_a_network_of_one_large_size_sees_all_it_can(tiled, looks):
    pictures = []
    frame = Frame((1280, 1280), padding=14)
    detect = ScanDetector(
        lambda seen: pictures.append(seen[0]) or [seen], spots, 0.0, 0.3, tiled, frame=frame
    )
    detect(np.zeros((3000, 4000, 3), np.uint8))
    filled = [(seen[:, 0] == 0).all(axis=1).sum() for seen in pictures]
    assert filled == [960, 168, *[1280] * (looks - 2)]


def test_tiles_of_a_network_of_one_size_are_no_larger():
    seen = []
    image = with_rectangles(np.zeros((500, 600, 3), np.uint8), (350, 100, 360, 200))
    faces = spotter(seen, tiled=True, frame=Frame((320, 320)))(image)
    assert seen == [(320, 320)] * (2 + 2 * 3)
    np.testing.assert_allclose(faces[0].box, [350, 100, 360, 200], atol=8)


def test_what_is_around_the_picture_is_the_frames_padding():
    pictures = []
    detect = ScanDetector(
        lambda seen: pictures.append(seen) or [seen], spots, 0.0, 0.3, frame=Frame(None, 64, 114)
    )
    detect(np.full((30, 500, 3), 255, np.uint8))
    assert [seen.shape[1:3] for seen in pictures] == [(64, 512), (64, 256)]
    assert set(np.unique(pictures[0][0, 30:])) == set(np.unique(pictures[0][0, :, 500:])) == {114}


def test_a_face_seen_at_both_scales_comes_once_in_pixels_of_the_picture():
    faces = spotter()(with_rectangles(BLACK, (100, 200, 500, 800)))
    assert len(faces) == 1
    np.testing.assert_allclose(faces[0].box, [100, 200, 500, 800], atol=5)
    np.testing.assert_allclose(faces[0].landmarks, [[100, 200]] * 5, atol=5)


def test_faces_come_largest_first_whatever_their_scores():
    wide, high = (10, 100, 410, 500), (500, 100, 600, 900)  # 160,000 and 80,000 square pixels
    faces = spotter()(with_rectangles(BLACK, high, wide))
    assert [round(face.area, -4) for face in faces] == [160_000, 80_000]
    assert faces[0].score < faces[1].score


def test_faces_of_one_size_come_from_left_to_right():
    found = Candidates(
        np.float32([[40, 0, 50, 10], [0, 0, 10, 10], [20, 0, 30, 10]]),
        np.zeros((3, 5, 2), np.float32),
        np.float32([0.7, 0.7, 0.7]),
    )
    detect = ScanDetector(lambda pictures: [], lambda *sizes, min_score: found, 0.5, 0.3)
    assert [face.box[0] for face in detect(BLACK[:384, :384])] == [0, 20, 40]


def test_a_crowd_is_found_whole_and_what_is_too_much_is_logged(caplog):
    caplog.set_level("INFO", "visavis.detect")
    image = np.zeros((640, 640, 3), np.uint8)
    corners = [(x, y) for x in range(0, 640, 20) for y in range(0, 640, 20)]
    crowd = np.float32([[x, y, x + 12, y + 12] for x, y in corners])
    found = Candidates(crowd, np.zeros((1024, 5, 2), np.float32), np.ones(1024, np.float32))
    detect = ScanDetector(lambda pictures: [], lambda *sizes, min_score: found, 0.5, 0.3)
    assert len(detect(image[:320, :320])) == 1024
    assert caplog.messages == []
    many = found[np.tile(np.arange(1024), 20)]
    detect = ScanDetector(lambda pictures: [], lambda *sizes, min_score: many, 0.5, 0.3)
    assert len(many.scores) > MOST_CANDIDATES
    assert len(detect(image[:320, :320])) == 1024
    assert caplog.messages == [
        "the detector has 20,480 candidates, only the best 20,000 are merged into faces"
    ]


def test_the_least_score_reaches_the_decoder():
    image = with_rectangles(BLACK, (100, 0, 200, 300))  # 300 of 1000 rows: scores 0.3
    assert len(spotter(min_score=0.25)(image)) == 1
    assert spotter(min_score=0.35)(image) == []


def test_tiles_are_looked_at_in_full_and_merged():
    seen = []
    image = with_rectangles(np.zeros((640, 1152, 3), np.uint8), (550, 40, 570, 240))
    faces = spotter(seen, tiled=True)(image)
    assert seen == [(384, 640), (128, 224), (640, 640), (640, 640)]
    assert len(faces) == 1
    np.testing.assert_allclose(faces[0].box, [550, 40, 570, 240], atol=8)


def test_a_picture_no_larger_than_a_tile_is_not_tiled():
    seen = []
    spotter(seen, tiled=True)(BLACK[:640, :640])
    assert len(seen) == 2


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_network_that_answers_with_nan_is_an_error(value):
    answers = [np.zeros((1, 4), np.float32), np.full((1, 4), value, np.float32)]
    none = Candidates(*(np.empty((0, *last), np.float32) for last in ((4,), (5, 2), ())))
    detect = ScanDetector(lambda pictures: answers, lambda *sizes, min_score: none, 0.5, 0.3)
    with pytest.raises(ModelError, match="NaN or infinity"):
        detect(BLACK)


# Of each decoder, outputs for 160x96, as far as they have shapes alone.
CELLS = (240, 60, 15)
ANSWERS = {
    "yunet": [(1, cells, last) for last in (1, 1, 4, 10) for cells in CELLS],
    "scrfd": [(2 * cells, last) for last in (1, 4, 10) for cells in CELLS],
    "retinaface": [(1, 2 * sum(CELLS), last) for last in (4, 2, 10)],
    "yolov5face, rows": [(1, 3 * sum(CELLS), 16)],
    "yolov5face, maps": [(1, 3, 96 // stride, 160 // stride, 16) for stride in (8, 16, 32)],
}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("name", ANSWERS)
def test_no_decoder_takes_nonsense_for_a_face(name, value):
    answers = [np.full(shape, value, np.float32) for shape in ANSWERS[name]]
    decode = DECODERS[name.partition(",")[0]].decode
    detect = ScanDetector(lambda pictures: answers, decode, 0.5, 0.3, frame=Frame((96, 160)))
    said = "far from the picture" if np.isfinite(value) else "NaN or infinity"
    with pytest.raises(ModelError, match=said):
        detect(BLACK)


def test_points_far_away_are_not_taken_for_none():
    answers = [np.zeros(shape, np.float32) for shape in ANSWERS["scrfd"]]
    answers[0][0], answers[6][0] = 1, 1e38
    detect = ScanDetector(
        lambda _: answers, DECODERS["scrfd"].decode, 0.5, 0.3, frame=Frame((96, 160))
    )
    with pytest.raises(ModelError, match="far from the picture"):
        detect(BLACK)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"min_score": 7}, "0..1, got 7 and"),
        ({"min_score": np.nan}, "0..1, got nan and"),
        ({"max_overlap": -0.1}, "0..1, got .* and -0.1"),
    ],
)
def test_options_that_find_nothing_are_errors(options, said):
    with pytest.raises(ModelError, match=said):
        spotter(**options)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(BLACK[..., 0], id="grey"),
        pytest.param(BLACK[None], id="a batch"),
        pytest.param(np.zeros((9, 9, 4), np.uint8), id="four channels"),
        pytest.param(BLACK / 255, id="floats"),
        pytest.param(BLACK[:0], id="no pixel"),
        pytest.param(BLACK.tolist(), id="lists"),
        pytest.param(None, id="None"),
        pytest.param("photo.jpg", id="a path"),
    ],
)
def test_what_is_no_picture_is_an_error(image):
    with pytest.raises(ImageError, match=r"expected an \(H, W, 3\) uint8 RGB array"):
        spotter()(image)


def test_an_unknown_decoder_lists_the_known_ones(pack):
    spec = replace(pack.manifest.detector, decoder="oracle")
    strange = replace(pack, manifest=replace(pack.manifest, detector=spec))
    with pytest.raises(PackError, match=r"unknown decoder 'oracle'; known: .*yunet"):
        load_detector(strange)


@pytest.mark.pack
def test_a_decoder_that_does_not_fit_the_network_is_an_error(pack):
    spec = replace(pack.manifest.detector, decoder="scrfd")
    strange = replace(pack, manifest=replace(pack.manifest, detector=spec))
    with pytest.raises(
        PackError, match="declared for the decoder scrfd, but its outputs fit yunet"
    ):
        load_detector(strange)


@pytest.fixture(scope="module")
def detect(pack):
    return load_detector(pack, device=Device("cpu", precision="float32"))


@pytest.mark.pack
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (500, 1), (33, 7), (640, 640)])
def test_the_detector_takes_any_size_and_sees_no_face_in_grey(detect, height, width):
    assert detect(np.full((height, width, 3), 128, np.uint8)) == []


@pytest.mark.pack
@pytest.mark.parametrize(
    ("name", "box"),
    [
        ("obama.jpg", (368, 90, 611, 422)),
        ("obama2.jpg", (201, 228, 477, 634)),
        ("biden.jpg", (428, 177, 715, 576)),
        ("obama_partial_face.jpg", (0, 84, 194, 416)),
    ],
)
def test_the_detector_finds_the_face_of_a_portrait(detect, portraits, name, box):
    (face,) = detect(read_image(portraits / name))
    np.testing.assert_allclose(face.box, box, atol=8)
    assert face.score > 0.9
    left, right, nose, *mouth = face.landmarks.tolist()
    assert left[0] < right[0]
    assert max(left[1], right[1]) < nose[1] < min(corner[1] for corner in mouth)
    assert mouth[0][0] < mouth[1][0]


@pytest.mark.pack
@pytest.mark.parametrize("name", ["obama.jpg", "obama2.jpg", "biden.jpg"])
def test_a_face_that_fills_the_picture_is_found(detect, portraits, name):
    image = read_image(portraits / name)
    left, top, right, bottom = detect(image)[0].box.clip(0).astype(int)
    size = round(1000 * (right - left) / (bottom - top)), 1000
    (face,) = detect(cv2.resize(image[top:bottom, left:right], size))
    assert face.area > 0.85 * size[0] * size[1]


@pytest.mark.pack
def test_tiles_find_a_face_of_20_pixels_in_12_megapixels(detect, pack, portraits):
    image = read_image(portraits / "obama2.jpg")
    left, top, right, bottom = detect(image)[0].box
    shrink = 20 / (right - left)
    small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    ground = np.random.default_rng(5).integers(100, 156, (3000, 4000, 3), dtype=np.uint8)
    ground[1000 : 1000 + len(small), 2500 : 2500 + small.shape[1]] = small
    assert detect(cv2.resize(ground, (1280, 960))) == []  # no larger than what is scanned in tiles
    exact = Device("cpu", precision="float32")
    for detector in (detect, load_detector(pack, device=exact, tiled=True)):
        (face,) = detector(ground)
        expected = np.array([left, top, right, bottom]) * shrink + [2500, 1000, 2500, 1000]
        np.testing.assert_allclose(face.box, expected, atol=4)


@pytest.mark.pack
def test_a_least_score_of_ones_own_replaces_the_packs(pack, portraits):
    image = read_image(portraits / "biden.jpg")
    scores = [
        [face.score for face in load_detector(pack, min_score=least)(image)]
        for least in (0.99, 0.9, 0.01)
    ]
    assert [len(found) for found in scores[:2]] == [0, 1]
    assert len(scores[2]) > 1
    assert min(scores[2]) >= 0.01


@pytest.mark.pack
def test_the_options_reach_the_command_line(run, portraits):
    code, out, _ = run("detect", portraits / "obama.jpg", "--max-faces", 1, "--min-size", 100)
    assert (code, out.splitlines()[0]) == (0, f"{portraits / 'obama.jpg'}: 1 face")
    code, out, _ = run("detect", portraits / "obama.jpg", "--min-size", 300, "--json")
    (image,) = json.loads(out)["images"]
    assert (code, image["faces"], image["truncated"]) == (0, [], False)
    assert run("detect", portraits / "obama.jpg", "--max-faces", 0)[0] == 2
