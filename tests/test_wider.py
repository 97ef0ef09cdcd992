"""WIDER FACE's files, made as the official ones are, and a detector over them."""

import sys

import numpy as np
import pytest
from PIL import Image as Pillow

from visavis.dataset.wider import LEVELS, TRUTH, read_wider
from visavis.errors import DatasetError, ImageError
from visavis.evaluate.wider import measure_wider
from visavis.types import Face

# Events, their files, and of each its faces (left, top, width, height) and by level their numbers.
ALL = {level: [1] for level in LEVELS}
EVENTS = {
    "0--Parade": {
        "0_Parade_a": ([(5, 6, 20, 30), (50, 50, 8, 8)], ALL | {"hard": [1, 2]}),
        "0_Parade_b": ([(1, 2, 10, 10)], ALL | {"easy": []}),
    },
    "7--Cheering": {"7_Cheering_c": ([(9, 9, 40, 40)], ALL)},
}
NAMES = ("0--Parade/0_Parade_a.jpg", "0--Parade/0_Parade_b.jpg", "7--Cheering/7_Cheering_c.jpg")
FACE_FILE = "wider_face_val.mat"


@pytest.fixture
def io():
    return pytest.importorskip("scipy.io", reason="scipy comes with '.[plots]'")


def cells(values):
    """A column of MATLAB cells."""
    column = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        column[row, 0] = value
    return column


def truth_of(events):
    """By file its variables."""
    files = {
        FACE_FILE: {
            "event_list": cells(list(events)),
            "file_list": cells([cells(list(files)) for files in events.values()]),
            "face_bbx_list": cells(
                [
                    cells([np.array(boxes, np.float64) for boxes, _ in files.values()])
                    for files in events.values()
                ]
            ),
        }
    }
    for level in LEVELS:
        numbers = [
            cells([np.array(by[level], np.uint8).reshape(-1, 1) for _, by in files.values()])
            for files in events.values()
        ]
        files[f"wider_{level}_val.mat"] = {"gt_list": cells(numbers)}
    return files


@pytest.fixture
def folder(tmp_path, io):
    write(tmp_path, io)
    return tmp_path


def write(folder, io, change=None, place="."):
    """Files and 64x64 pictures, each of a grey of its own."""
    (folder / place).mkdir(parents=True, exist_ok=True)
    for name, variables in (truth_of(EVENTS) | (change or {})).items():
        io.savemat(folder / place / name, variables)
    for number, name in enumerate(NAMES):
        path = folder / "WIDER_val" / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", (64, 64), (50 * number,) * 3).save(path, quality=100)


def test_the_files_of_a_small_set(folder):
    wider = read_wider(folder)
    assert wider.names == NAMES
    assert [boxes.tolist() for boxes in wider.boxes] == [
        [[5, 6, 25, 36], [50, 50, 58, 58]],
        [[1, 2, 11, 12]],
        [[9, 9, 49, 49]],
    ]
    assert {level: [*map(list, flags)] for level, flags in wider.counted.items()} == {
        "easy": [[True, False], [False], [True]],
        "medium": [[True, False], [True], [True]],
        "hard": [[True, True], [True], [True]],
    }


@pytest.mark.parametrize("place", TRUTH)
def test_the_files_may_lie_where_their_archives_put_them(tmp_path, io, place):
    write(tmp_path, io, place=place)
    assert read_wider(tmp_path).names == NAMES


def finder(*lists):
    """A detector that knows a picture by its grey: of each its (box, score) pairs."""

    def detect(image):
        found = lists[round(image[0, 0, 0] / 50)]
        points = np.zeros((5, 2), np.float32)
        return [Face(np.float32(box), points, score) for box, score in found]

    return detect


BIG, SMALL = (5, 6, 25, 36), (50, 50, 58, 58)
SECOND, THIRD = (1, 2, 11, 12), (9, 9, 49, 49)


def test_a_perfect_detector_is_perfect(folder):
    detect = finder([(BIG, 0.9), (SMALL, 0.3)], [(SECOND, 0.5)], [(THIRD, 0.99)])
    result = measure_wider(read_wider(folder), detect)
    assert (result.pictures, result.found, result.skipped) == (3, 4, 0)
    assert result.faces == {"easy": 2, "medium": 3, "hard": 4}
    assert result.average_precision == {"easy": 1, "medium": 1, "hard": 1}


def test_levels_ignore_faces_that_they_do_not_count(folder):
    # an error in the first picture stands above the third; the small face is never found
    detect = finder([(BIG, 0.9), ((30, 0, 40, 10), 0.8)], [(SECOND, 0.99)], [(THIRD, 0.2)])
    result = measure_wider(read_wider(folder), detect)
    assert result.average_precision == pytest.approx(
        {"easy": (1 + 2 / 3) / 2, "medium": (1 + 1 + 3 / 4) / 3, "hard": (1 + 1 + 3 / 4) / 4}
    )


def test_a_bad_picture_is_named_or_its_faces_are_missed(folder):
    (folder / "WIDER_val" / "images" / NAMES[2]).write_bytes(b"no picture")
    detect = finder([(BIG, 0.9), (SMALL, 0.3)], [(SECOND, 0.5)], [(THIRD, 0.99)])
    with pytest.raises(ImageError, match=r"7_Cheering_c\.jpg of "):
        measure_wider(read_wider(folder), detect)
    result = measure_wider(read_wider(folder), detect, skip_bad=True)
    assert result.skipped == 1
    assert result.average_precision == pytest.approx(
        {"easy": 1 / 2, "medium": 2 / 3, "hard": 3 / 4}
    )


def test_a_missing_picture_is_named(folder):
    (folder / "WIDER_val" / "images" / NAMES[1]).unlink()
    with pytest.raises(DatasetError, match=r"no picture 0--Parade/0_Parade_b\.jpg; 1 are missing"):
        read_wider(folder)


def test_progress_is_shown_picture_by_picture(folder):
    shown = []
    detect = finder([], [], [])
    measure_wider(read_wider(folder), detect, progress=lambda names: shown.extend(names) or names)
    assert tuple(shown) == NAMES


FACES = truth_of(EVENTS)[FACE_FILE]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({FACE_FILE: {"event_list": cells(["a"])}}, "face_val.mat: .*no face_bbx_list, file_list"),
        (
            {FACE_FILE: FACES | {"event_list": cells(["a"])}},
            "boxes of 1 events, .* got 3 and 3 of 2",
        ),
        (
            {FACE_FILE: FACES | {"face_bbx_list": cells([cells([np.ones((2, 3))])] * 2)}},
            "expected boxes of four numbers",
        ),
        (
            {FACE_FILE: FACES | {"face_bbx_list": cells([cells([np.ones((1, 4))])] * 2)}},
            "got 3 and 2 of 2",
        ),
        ({"wider_hard_val.mat": {"other": 1}}, "hard_val.mat: .*no gt_list"),
        (
            {"wider_easy_val.mat": {"gt_list": cells([cells([np.array([1])])])}},
            "easy_val.mat: expected faces of 3 pictures, got 1",
        ),
        (
            {"wider_easy_val.mat": {"gt_list": cells([cells([np.array([3])] * 3)])}},
            r"easy_val.mat: 0--Parade/0_Parade_a.jpg: expected faces from 1 to 2, got \[3\]",
        ),
        (
            {"wider_easy_val.mat": {"gt_list": cells([cells([np.array([0])] * 3)])}},
            r"expected faces from 1 to 2, got \[0\]",
        ),
        ({"wider_easy_val.mat": {"gt_list": cells([cells(["x"] * 3)])}}, "faces by number"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, io, change, message):
    write(tmp_path, io, change)
    with pytest.raises(DatasetError, match=message):
        read_wider(tmp_path)


def test_a_file_that_is_not_matlabs_is_named(folder):
    (folder / FACE_FILE).write_bytes(b"no such format" * 100)
    with pytest.raises(DatasetError, match=r"wider_face_val.mat: expected MATLAB's format"):
        read_wider(folder)


def test_a_missing_file_is_named(folder):
    (folder / "wider_hard_val.mat").unlink()
    with pytest.raises(DatasetError, match=r"wider_hard_val.mat: expected MATLAB's format"):
        read_wider(folder)


def test_a_folder_without_ground_truth_says_where_it_should_be(tmp_path):
    with pytest.raises(DatasetError, match=r"expected wider_easy_val.mat here or in ground_truth"):
        read_wider(tmp_path)


def test_without_scipy_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "WIDER_val" / "images").mkdir(parents=True)
    (tmp_path / "wider_easy_val.mat").touch()
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(DatasetError, match=r"pip install '\.\[plots\]'"):
        read_wider(tmp_path)
