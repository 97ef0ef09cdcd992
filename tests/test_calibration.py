"""A gallery's own calibration: measured on its templates, kept with it, cleared again."""

import hashlib

import numpy as np
import pytest

from visavis.calibration import (
    GALLERY,
    Calibrated,
    CalibrationData,
    calibrate_gallery,
    calibrate_images,
    clear_calibration,
)
from visavis.decision import read_calibration
from visavis.embedder import Models
from visavis.errors import CalibrationError, PackError
from visavis.gallery import Sample
from visavis.recognizer import Recognizer
from visavis.runtime import Device

PEOPLE, PHOTOS = 60, 4


@pytest.fixture
def peopled(gallery, pack):
    """60 people of four photos each: noise about a direction of one's own."""
    spec = pack.manifest.embedder
    rng = np.random.default_rng(0)
    for number in range(PEOPLE):
        person = gallery.add_person(f"Person {number}")
        middle = rng.normal(size=spec.dim)
        for photo in range(PHOTOS):
            row = (middle + 0.6 * rng.normal(size=spec.dim)).astype(np.float32)
            row /= np.linalg.norm(row)
            digest = hashlib.sha256(f"{number} {photo}".encode()).hexdigest()
            gallery.add_sample(person.id, Sample("a.jpg", digest, {}, {spec.model: row}))
    return gallery


def test_a_gallery_is_measured_on_its_own_people(peopled, pack):
    made = calibrate_gallery(Models((pack,)), peopled, anyway=True).calibration
    assert (made.dataset, made.people) == (GALLERY, PEOPLE)
    assert made.same_pairs == PEOPLE * PHOTOS * (PHOTOS - 1) // 2
    assert made.different_pairs == PEOPLE * (PEOPLE - 1) // 2 * PHOTOS**2
    assert made.model == pack.manifest.embedder.model


def test_what_was_measured_is_used_until_it_is_cleared(peopled, pack, calibration):
    made = calibrate_gallery(Models((pack,)), peopled, anyway=True).calibration
    recognizer = Recognizer.load()
    assert recognizer.calibration_of(peopled) == made
    assert clear_calibration(Models((pack,)), peopled)
    assert recognizer.calibration_of(peopled) == recognizer.calibration
    assert not clear_calibration(Models((pack,)), peopled)


def test_a_calibration_in_a_file_leaves_the_gallery_as_it_is(peopled, pack, tmp_path):
    made = calibrate_gallery(Models((pack,)), peopled, name="ours", out=tmp_path / "ours.json")
    assert read_calibration(tmp_path / "ours.json") == made.calibration
    assert made.calibration.dataset == "ours"
    assert not clear_calibration(Models((pack,)), peopled)


def test_nobody_cannot_be_measured(gallery, pack):
    with pytest.raises(CalibrationError, match="at least two people"):
        calibrate_gallery(Models((pack,)), gallery)


def test_the_default_pack_keeps_its_calibration(pack, tmp_path):
    with pytest.raises(PackError, match="the default pack keeps its calibration") as refused:
        calibrate_images(Models((pack,)), CalibrationData(tmp_path), Device("cpu"))
    assert refused.value.option == "out"


def test_too_few_people_are_refused_because_nobody_would_ever_match(peopled, pack, tmp_path):
    """240 templates share a rate of 1e-2: 4.2e-5 each, and 60 people cannot show that."""
    with pytest.raises(CalibrationError) as refused:
        calibrate_gallery(Models((pack,)), peopled)
    assert "60 people are too few" in refused.value.what
    assert "240 templates asks for a false match rate of 4.2e-05" in refused.value.what
    assert refused.value.option == "anyway"
    recognizer = Recognizer.load()
    assert recognizer.calibration_of(peopled) == recognizer.calibration
    kept = calibrate_gallery(Models((pack,)), peopled, anyway=True)
    assert (kept.decides, kept.templates) == (False, 240)
    (closest,) = recognizer.nearest(
        peopled.templates(pack.manifest.embedder.model)[0].rows[:1],
        peopled,
        false_positive_rate=1e-2,
    )
    assert closest.decision.outcome == "review"  # one's own template, and still no match
    assert not calibrate_gallery(Models((pack,)), peopled, out=tmp_path / "ours.json").decides


@pytest.mark.parametrize(("templates", "decides"), [(50, True), (100, True), (101, False)])
def test_a_calibration_decides_where_its_rate_is_shown(calibration, templates, decides):
    """The made calibration shows 1e-4: a search of 1e-2 among at most 100 templates."""
    assert Calibrated(calibration, templates=templates).decides is decides
