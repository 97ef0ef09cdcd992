"""What is wrong with a data set: every kind of fault planted once, and named."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from visavis.checkup import Alike, check_images
from visavis.dataset.images import open_images

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)


def crop(colour, seed=0):
    """A crop of one colour, with noise of a seed."""
    noise = np.random.default_rng(seed).normal(0, 8, (112, 112, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", pixels[..., ::-1])[1])


def people(folder, **colours):
    for name, each in colours.items():
        (folder / name).mkdir(parents=True)
        for number, colour in enumerate(each):
            data = colour if isinstance(colour, bytes) else crop(colour, number)
            (folder / name / f"{number}.png").write_bytes(data)
    return folder


def checked(folder, embed, **more):
    return check_images(open_images(folder), embed, 0.9, **more)


def test_a_clean_set(tmp_path, fake_embedder):
    report = checked(people(tmp_path, ann=[RED, RED], bob=[GREEN, GREEN]), fake_embedder)
    assert report.clean
    assert (report.images, report.people, report.gaps) == (4, 2, 0)


def test_every_kind_of_fault_is_named(tmp_path, fake_embedder):
    folder = people(
        tmp_path,
        ann=[RED, RED, RED, GREEN],
        bob=[GREEN, GREEN, b"no picture"],
        cid=[BLUE],
        dan=[BLUE, crop(BLUE, 0)],
    )
    report = checked(folder, fake_embedder)
    assert not report.clean
    assert report.single == ("cid",)
    assert [name.split(": ")[1] for name in report.bad] == ["bob/2.png"]
    (doubt,) = report.doubts
    assert (doubt.picture.split(": ")[1], doubt.person, doubt.other) == ("ann/3.png", "ann", "bob")
    assert doubt.own < 0.9 <= doubt.similarity
    assert [(pair.first, pair.second) for pair in report.alike] == [("cid", "dan")]
    # The same bytes twice under dan are no fault of labels; once more under cid they are.
    (twice,) = report.twice
    assert [name.split(": ")[1] for name in twice] == ["cid/0.png", "dan/0.png", "dan/1.png"]


def test_people_of_the_set_to_test_on_are_found_under_other_names(tmp_path, fake_embedder):
    learnt = people(tmp_path / "learn", ann=[RED, RED], bob=[GREEN, GREEN])
    tested = people(tmp_path / "test", eve=[BLUE, BLUE], zoe=[GREEN])
    report = checked(learnt, fake_embedder, tested_on=open_images(tested))
    (leak,) = report.leaked
    assert replace(leak, similarity=1.0) == Alike("zoe", "bob", 1.0)
    assert not report.clean


@pytest.mark.slow
@pytest.mark.pack
def test_dataset_check_by_the_command_line(run, tmp_path):
    people(tmp_path / "in", ann=[RED, RED], bob=[RED, b"no picture"])
    code, out, _ = run("dataset", "check", tmp_path / "in", "--json")
    document = json.loads(out)
    assert (code, document["clean"], len(document["bad"])) == (1, False, 1)
    code, out, _ = run("dataset", "check", tmp_path / "in")
    assert code == 1
    assert "1 pictures cannot be read, first " in out
