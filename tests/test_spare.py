"""Sub-centre ArcFace: pictures that were filed under the wrong person lie far from its centre."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
from made_training import run as train_run  # noqa: E402

from visavis.dataset.images import open_images  # noqa: E402
from visavis.errors import CheckpointError, ConfigurationError, MismatchError  # noqa: E402
from visavis.train.classes import HeadOptions  # noqa: E402
from visavis.train.heads import MarginOptions  # noqa: E402
from visavis.train.spare import _main_centres, spare_pictures  # noqa: E402

PEOPLE, EACH = 6, 10
SAID = {
    "backbone": "steady", "dim": 16, "batch": 30, "rate": 0.02, "schedule": "cosine",
    "head": "arcface", "margin": MarginOptions(scale=16, margin=0.2), "steps": 40,
    "save_every": 40, "log_every": 40,
}  # fmt: skip


def pictures(folder, moved):
    """People of a pattern each, and noise; the first pictures of each are other people's."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (PEOPLE, 5, 5, 3)).astype(np.uint8)
    patterns = [cv2.resize(one, (112, 112), interpolation=cv2.INTER_CUBIC) for one in coarse]
    for person in range(PEOPLE):
        (folder / f"person{person}").mkdir(parents=True)
        for number in range(EACH):
            shown = (person + 1 + number) % PEOPLE if number < moved else person
            pixels = patterns[shown] + random.normal(0, 25, (112, 112, 3))
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(folder / f"person{person}" / f"{number:04d}.png")
    return folder


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A picture in ten under the wrong person, and a run of three centres on them."""
    folder = tmp_path_factory.mktemp("noisy")
    data = pictures(folder / "data", moved=1)
    train_run(data, folder / "run", classes=HeadOptions(centres=3), **SAID)
    return data, folder / "run"


@pytest.mark.slow
def test_pictures_under_the_wrong_person_are_named(noisy):
    """None of those that are named is right, and half of those that are wrong are named."""
    data, run = noisy
    spare = spare_pictures(run, open_images(data))
    assert {one.picture.rpartition("/")[2] for one in spare} == {"0000.png"}
    assert len(spare) >= PEOPLE / 2
    assert all(one.own < 0.259 for one in spare)
    assert [one.own for one in spare] == sorted(one.own for one in spare)
    assert all(f"{one.person}/" in one.picture for one in spare)


@pytest.mark.slow
def test_of_a_clean_set_nothing_is_named(tmp_path):
    data = pictures(tmp_path / "data", moved=0)
    train_run(data, tmp_path / "run", classes=HeadOptions(centres=3), **SAID)
    assert spare_pictures(tmp_path / "run", open_images(data)) == []


@pytest.mark.slow
@pytest.mark.pack
def test_dataset_check_reports_them(run, noisy):
    data, out = noisy
    code, answer, _ = run("dataset", "check", data, "--trained", out, "--json")
    document = json.loads(answer)
    assert (code, document["clean"]) == (1, False)
    assert len(document["spare"]) >= PEOPLE / 2
    code, answer, _ = run("dataset", "check", data, "--trained", out)
    assert "pictures are far from their person's main centre, first " in answer


@pytest.mark.slow
def test_a_run_that_cannot_say_is_refused(noisy, tmp_path):
    data, out = noisy
    few = pictures(tmp_path / "few", moved=0)
    for picture in (few / "person0").iterdir():
        picture.unlink()
    (few / "person0").rmdir()
    with pytest.raises(MismatchError, match="was trained on 6 people, the pictures show 5"):
        spare_pictures(out, open_images(few))
    train_run(data, tmp_path / "plain", **{**SAID, "steps": 1})
    with pytest.raises(ConfigurationError, match="one centre for each person") as error:
        spare_pictures(tmp_path / "plain", open_images(data))
    assert error.value.option == "trained"
    (tmp_path / "plain" / "last.pt").unlink()
    (tmp_path / "plain" / "recipe.toml").write_bytes((out / "recipe.toml").read_bytes())
    with pytest.raises(CheckpointError, match=r"last\.pt: no such file"):
        spare_pictures(tmp_path / "plain", open_images(data))


def test_the_main_centre_is_the_one_of_most_pictures():
    labels, nearest = np.array([0, 0, 0, 1, 1]), np.array([2, 1, 2, 0, 0])
    assert _main_centres(labels, nearest, (2, 3)).tolist() == [2, 0]
