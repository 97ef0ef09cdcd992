"""Whose photos a folder holds: plain layouts are taken, the others are asked about."""

from pathlib import Path

import pytest

from visavis.errors import DatasetError
from visavis.layouts import LAYOUTS, people_of_folder

FOLDER = Path("people")


def names(photos: str, layout: str | None = None) -> list[str]:
    return people_of_folder(FOLDER, [FOLDER / one for one in photos.split()], layout)


PLAIN = [
    ("obama/1.jpg obama/2.jpg biden/1.jpg", ["obama", "obama", "biden"]),
    ("obama.jpg biden.png", ["obama", "biden"]),
    ("obama/1.jpg biden.png", ["obama", "biden"]),
    ("obama/2019/1.jpg obama/2020/2.jpg", ["obama", "obama"]),
    ("obama/2019-05-30/1.jpg obama/2.jpg", ["obama", "obama"]),
    ("obama/1.jpg obama/holiday/2.jpg obama/work/3.jpg", ["obama"] * 3),
    ("obama/holiday/1.jpg", ["obama"]),
    ("0001/1.jpg 0002/1.jpg", ["0001", "0002"]),  # ids are names
    ("obama_1.jpg biden_1.jpg", ["obama_1", "biden_1"]),
    ("obama/obama_1.jpg obama/obama_2.jpg", ["obama", "obama"]),
]


@pytest.mark.parametrize(("photos", "expected"), PLAIN)
def test_a_plain_layout_is_taken(photos, expected):
    assert names(photos) == expected


DOUBTFUL = [
    ("obama_1.jpg obama_2.jpg", "obama_2.jpg a photo of 'obama_2' or of 'obama'?", "numbered"),
    ("obama.jpg obama2.jpg", "a photo of 'obama2' or of 'obama'?", "numbered"),
    ("A_0001.jpg A_0002.jpg B_0001.jpg", "folders makes 3 people and numbered makes 2", "numbered"),
    ("Jo-(1).jpg Jo-(2).jpg", "'Jo-(2)' or of 'Jo'?", "numbered"),
    ("IMG_0001.jpg IMG_0002.jpg", "'IMG_0002' or of 'people'?", "parents"),
    ("1.jpg 2.jpg", "a photo of '2' or of 'people'?", "parents"),
    ("train/obama/1.jpg", "a photo of 'train' or of 'obama'?", "parents"),
    ("Train/obama/1.jpg val/obama/2.jpg", "2 people and parents makes 1 person", "parents"),
    ("lfw/obama/1.jpg lfw/biden/1.jpg", "a photo of 'lfw' or of 'obama'?", "parents"),
    ("2019/obama/1.jpg", "a photo of '2019' or of 'obama'?", "parents"),
    ("team/anna/1.jpg team/bert/1.jpg carl/1.jpg", "'team' or of 'anna'?", "parents"),
]


@pytest.mark.parametrize(("photos", "said", "other"), DOUBTFUL)
def test_a_doubtful_layout_is_asked_about(photos, said, other):
    with pytest.raises(DatasetError) as refused:
        names(photos)
    assert said in str(refused.value)
    assert f"and {other} makes" in str(refused.value)
    assert refused.value.option == "layout"
    for layout in LAYOUTS:  # whatever is said is done
        assert len(names(photos, layout)) == len(photos.split())


SAID = [
    ("obama_1.jpg obama_2.jpg", "numbered", ["obama", "obama"]),
    ("obama_1.jpg obama_2.jpg", "files", ["obama_1", "obama_2"]),
    ("obama_1.jpg obama_2.jpg", "folders", ["obama_1", "obama_2"]),
    ("1.jpg 2.jpg", "parents", ["people", "people"]),
    ("1.jpg 2.jpg", "numbered", ["1", "2"]),  # nothing but a number is a name
    ("Louis-14.jpg Louis-16.jpg", "files", ["Louis-14", "Louis-16"]),
    ("train/obama/1.jpg val/obama/2.jpg", "parents", ["obama", "obama"]),
    ("train/obama/1.jpg val/obama/2.jpg", "folders", ["train", "val"]),
    ("batch/obama.jpg batch/biden.jpg", "files", ["obama", "biden"]),
    ("a/Zoë (12).jpg".replace(" ", "_"), "numbered", ["Zoë"]),
]


@pytest.mark.parametrize(("photos", "layout", "expected"), SAID)
def test_a_layout_that_is_said_is_taken(photos, layout, expected):
    assert names(photos, layout) == expected


def test_an_unknown_layout_names_the_known_ones():
    with pytest.raises(DatasetError, match="known: folders, parents, files, numbered"):
        names("a.jpg", "flat")
