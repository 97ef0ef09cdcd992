"""Two configurations on the same pairs: each one's figures, and the interval of the difference."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")  # what writes the pictures needs it

from made_embedders import write_people
from PIL import Image as Pillow
from test_left_out import MODELS, PACKS, WHOLE

from visavis.configuration import Configuration, Configured, ConfiguredPack
from visavis.errors import ConfigurationError, DatasetError
from visavis.evaluate import replay as room
from visavis.evaluate.pairs import PairsData
from visavis.evaluate.replay import replay


class Members:
    """What a configuration loads here: one colour, or all three."""

    def __init__(self, configuration):
        alone = len(configuration.members) == 1
        self.embed = WHOLE.members[0].embed if alone else WHOLE
        left_out = () if alone else ("gone",)
        self.configured = Configured(configuration, {}, {}, left_out)


@pytest.fixture
def photos(tmp_path):
    """20 people of one shade of red each, all alike; green and blue tell them apart."""
    rng = np.random.default_rng(0)
    for person in range(20):
        home = tmp_path / "people" / f"p{person:02d}"
        home.mkdir(parents=True)
        shades = rng.integers(0, 256, (2, 1, 3))
        shades[:, :, 0] = (200, 100)[person % 2]
        for photo in range(3):
            noisy = shades.repeat(56, 0).repeat(112, 1) + rng.normal(0, 3, (112, 112, 3))
            crop = Pillow.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
            crop.save(home / f"p{person:02d}_{photo:04d}.png")
    return tmp_path / "people"


ONE = Configuration((ConfiguredPack("red", 1.0),), version=3)
THREE = Configuration(PACKS, version=4)


def test_the_second_gains_on_the_first(photos, monkeypatch):
    monkeypatch.setattr(room, "load_members", lambda configuration, device: Members(configuration))
    compared = replay((ONE, THREE), PairsData(photos, sample=4), false_match_rate=0.1)
    assert compared.pairs == 80
    first, second = compared.versions
    assert (first.version, first.model, first.left_out) == (3, MODELS[0], ())
    assert (second.version, second.model, second.left_out) == (4, WHOLE.model, ("gone",))
    accuracy, accepted = compared.gains
    assert accuracy.value == pytest.approx(second.accuracy - first.accuracy)
    assert accepted.value == pytest.approx(
        first.false_non_match_rate.value - second.false_non_match_rate.value
    )
    assert (accuracy.verdict, accepted.verdict) == ("better", "better")
    same = replay((THREE, THREE), PairsData(photos, sample=4), false_match_rate=0.1)
    assert [(gain.value, gain.low, gain.high) for gain in same.gains] == [(0, 0, 0)] * 2


PICKY = replace(PACKS[1], least_quality={"score": 0.5})


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (replace(THREE, cascade=True), "configuration 4 asks its first member first"),
        (replace(THREE, members=(PACKS[0], PICKY, PACKS[2])), "green asks a quality of faces"),
    ],
)
def test_rules_that_a_similarity_does_not_show_are_refused(photos, second, what):
    for both in ((ONE, second), (second, ONE)):
        with pytest.raises(ConfigurationError, match=what) as refused:
            replay(both, PairsData(photos, sample=4))
        assert "compare versions without" in refused.value.mend


def test_a_disabled_member_asks_nothing(photos, monkeypatch):
    monkeypatch.setattr(room, "load_members", lambda configuration, device: Members(configuration))
    off = replace(THREE, members=(PACKS[0], replace(PICKY, enabled=False), PACKS[2]))
    assert replay((ONE, off), PairsData(photos, sample=4), false_match_rate=0.1).pairs == 80


def test_pictures_without_a_list_of_pairs_are_named(photos):
    with pytest.raises(DatasetError, match="pairs"):
        replay((ONE, THREE), PairsData(photos))


@pytest.mark.slow
def test_two_versions_are_compared_by_the_command_line(run, tmp_path):
    gallery = ("--gallery", tmp_path / "gallery")
    for policy in ("standard", "strict"):
        assert run("config", "new", "default", "--policy", policy, *gallery)[0] == 0
    images = write_people(tmp_path / "images")
    asked = ("config", "compare", 1, 2, "--images", images, "--false-match-rate", 0.1, *gallery)
    code, out, err = run(*asked, "--json")
    assert code == 0, err
    document = json.loads(out)
    assert [one["version"] for one in document["versions"]] == [1, 2]
    assert {gain["verdict"] for gain in document["gains"]} == {"no difference shown"}
    code, out, _ = run(*asked)
    assert code == 0
    assert [word for word in ("configuration 1:", "2 against 1, accuracy") if word not in out] == []
