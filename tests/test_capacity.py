"""How large a gallery is, and for how large a one it can still say match."""

import json

import numpy as np
import pytest

from visavis.capacity import ModelTemplates, by_chance, capacity
from visavis.decision import uncalibrated
from visavis.errors import CalibrationError
from visavis.gallery import Sample, following
from visavis.gallery.following import index_bytes


@pytest.mark.parametrize(
    ("numbers", "comparisons", "cosine"),
    [
        # Of 3 dimensions or fewer nothing is claimed; of 5 the density is 1 - t^2, whose tail from
        # t on is (2 - 3t + t^3) / 4: 0.5 at 0, 0.15625 at 0.5.
        (3, 1, 1.0),
        (5, 1, 0.5),
        (128, 1_000_000, 0.47),
        (512, 1_000_000, 0.245),
    ],
)
def test_what_a_stranger_reaches_by_chance(numbers, comparisons, cosine):
    rate = 0.15625 if numbers == 5 else 1e-2
    assert by_chance(numbers, comparisons, rate) == pytest.approx(cosine, abs=0.006)


def test_chance_is_what_random_directions_do():
    rows = np.random.default_rng(0).standard_normal((20_000, 16))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    best = (rows[:400] @ rows[400:2400].T).max(axis=1)
    assert np.mean(best >= by_chance(16, 2000, 0.25)) == pytest.approx(0.25, abs=0.06)


@pytest.mark.parametrize(("numbers", "serves"), [(128, False), (512, True)])
def test_a_million_are_too_many_for_128_numbers(numbers, serves):
    chance = by_chance(numbers, 1_000_000, 1e-2)
    assert ModelTemplates("m@0", 1_000_000, numbers, 0, chance).serves == serves


def test_memory_is_by_formula(monkeypatch):
    assert index_bytes(1000, 512) == 1000 * (2048 + 4)
    monkeypatch.setattr(following, "find_spec", lambda name: name)
    assert index_bytes(1_000_000, 512) == 1_000_000 * (512 + 64 + 16)


def test_a_gallery_says_for_how_many_it_can_say_match(gallery, calibration, run):
    ann = gallery.add_person("Ann")
    for row in range(3):
        templates = {"fake@0": np.eye(6, dtype=np.float32)[row]}
        gallery.add_sample(ann.id, Sample("a.jpg", str(row), {}, templates))
    size = capacity(gallery, calibration, 1e-2)  # whose strictest rate is 1e-4
    assert (size.people, size.most) == (1, 100)
    assert [(one.model, one.templates, one.numbers) for one in size.models] == [("fake@0", 3, 6)]
    assert capacity(gallery, uncalibrated("fake@0")).most == 0
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        capacity(gallery, calibration, 2.0)
    at = ["--gallery", gallery.database.path.parent]
    code, out, _ = run("people", "info", *at, "--json")
    document = json.loads(out)
    assert (code, document["people"], document["models"][0]["serves"]) == (0, 1, False)
    assert document["most"] > 1000
    assert "too many for 6 numbers" in run("people", "info", *at)[1]
