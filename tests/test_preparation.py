"""Photos of people to crops: resumed, reported, and never outside their folder."""

import json
import zipfile

import cv2
import numpy as np
import pytest

from visavis.errors import DatasetError
from visavis.preparation import align_people
from visavis.types import Face

EYES = np.array([[40, 40], [70, 40], [55, 60], [42, 80], [68, 80]], np.float32)


def detect(image):
    """A face in every picture that is not dark."""
    box = np.array([20, 20, 90, 100], np.float32)
    return [Face(box, EYES, 0.9)] if image.mean() > 30 else []


def photo(value: int) -> bytes:
    picture = np.full((120, 110, 3), value, np.uint8)
    return bytes(cv2.imencode(".jpg", picture)[1])


def photos(folder, **values):
    for name, value in values.items():
        (folder / name).mkdir(parents=True)
        for n, one in enumerate(value):
            (folder / name / f"{n}.jpg").write_bytes(photo(one))
    return folder


def test_each_photo_becomes_a_crop_and_what_fails_is_named(tmp_path):
    source = photos(tmp_path / "in", ann=[200, 90], bob=[0])
    (source / "bob" / "1.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    made = align_people(source, out, detect, workers=2)
    assert (made.crops, made.before) == (2, 0)
    assert list(made.failed) == ["bob/0.jpg", "bob/1.jpg"]
    assert made.failed["bob/0.jpg"] == "no face found"
    assert cv2.imread(str(out / "ann" / "0.png")).shape == (112, 112, 3)
    again = align_people(source, out, detect, workers=2)
    assert (again.crops, again.before, len(again.failed)) == (0, 2, 2)


def test_two_photos_never_share_a_crop(tmp_path):
    source = photos(tmp_path / "in", ann=[200])
    (source / "ann" / "0.jpeg").write_bytes(photo(90))
    with pytest.raises(DatasetError, match=r"ann/0\.jpeg and ann/0\.jpg would have one crop"):
        align_people(source, tmp_path / "out", detect, workers=1)


@pytest.mark.parametrize("name", ["../ann/0.jpg", "/tmp/ann/0.jpg"])
def test_a_zip_cannot_write_outside_the_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        file.writestr(name, photo(200))
    with pytest.raises(DatasetError, match="leads out of the data set"):
        align_people(tmp_path / "in.zip", tmp_path / "out", detect, workers=1)
    assert not (tmp_path / "out").exists()


def test_the_library_alone_would_write_there(tmp_path, monkeypatch):
    """The attack without the defence: a crop beside the folder."""
    from visavis import preparation

    with zipfile.ZipFile(tmp_path / "in.zip", "w") as file:
        file.writestr("../ann.jpg", photo(200))
    monkeypatch.setattr(preparation, "_crop_names", lambda tree, names: {names[0]: "../ann.png"})
    align_people(tmp_path / "in.zip", tmp_path / "out", detect, workers=1)
    assert (tmp_path / "ann.png").is_file()


@pytest.mark.slow
@pytest.mark.pack
def test_dataset_align_by_the_command_line(run, tmp_path, portraits):
    source = tmp_path / "in"
    for name in ("obama", "biden"):
        (source / name).mkdir(parents=True)
        (source / name / "1.jpg").write_bytes((portraits / f"{name}.jpg").read_bytes())
    code, out, _ = run("dataset", "align", source, "--out", tmp_path / "out", "--json")
    assert (code, json.loads(out)["crops"]) == (0, 2)
    (source / "biden" / "2.jpg").write_bytes(b"no picture")
    code, out, _ = run("dataset", "align", source, "--out", tmp_path / "out")
    assert code == 3
    assert "0 crops, 2 were there before, 1 photos without one" in out


@pytest.mark.slow
def test_dataset_convert_by_the_command_line(run, tmp_path):
    pytest.importorskip("datasets")
    source = photos(tmp_path / "in", ann=[200, 90], bob=[100])
    code, out, _ = run("dataset", "convert", source, "--out", tmp_path / "out", "--json")
    assert (code, json.loads(out)["people"], json.loads(out)["images"]) == (0, 2, 3)
