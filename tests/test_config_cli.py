"""visavis config: versions listed, shown, made, read from files, activated and rolled back."""

import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from test_choice import made as made_pack
from test_presets import ROW

import visavis
from visavis.configuration import calibration_name
from visavis.decision import Calibration
from visavis.document import to_bytes
from visavis.embedder import unit
from visavis.gallery import Sample, open_gallery
from visavis.gallery.configurations import active_configuration


@pytest.fixture
def config(run, tmp_path):
    """Run a verb of config on one gallery: what it prints, and its document."""

    def call(verb, *words, code=0):
        options = (*words, "--gallery", tmp_path / "gallery")
        ended, out, err = run("config", verb, *options, "--json")
        assert ended == code, err
        return json.loads(out)

    return call


def test_a_version_is_made_shown_activated_and_taken_back(config, run, tmp_path):
    added = config("new", "default", "--policy", "strict", "--author", "Ann")["added"]
    assert [(one["version"], one["policy"], one["author"]) for one in added] == [
        (1, "strict", "Ann")
    ]
    assert config("list")["active"] is None
    assert config("activate", 1) == {"active": 1, "stale": {"photos": 0, "people": 0, "models": []}}
    config("new", "default", "--description", "looser", "--review-factor", 20)
    config("activate", 2)
    listed = config("list")
    assert (listed["active"], len(listed["configurations"])) == (2, 2)
    assert config("rollback")["active"] == 1
    shown = config("show")
    assert (shown["version"], shown["active"], shown["members"][0]["weight"]) == (1, True, 1.0)
    assert shown["models"][0]["slope"] > 1
    assert "LFW" in shown["calibration"]
    code, out, _ = run("config", "show", "2", "--gallery", tmp_path / "gallery")
    assert (code, "looser" in out, "weight   slope" in out, "up to 20 times" in out) == (0,) + (
        True,
    ) * 3
    code, out, _ = run("config", "list", "--gallery", tmp_path / "gallery")
    assert [line[:5] for line in out.splitlines()] == ["*   1", "    2"]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("new", "default:0.3+other:0.6"), "expected weights that sum to 1, got 0.9"),
        (("new", "default+nosuch"), "no pack 'nosuch'"),
        (("new", "default+default"), "each once, got default, default"),
        (("new", "default", "--least-members", 2), "expected least_members from 1 to 1"),
        (("new", "default", "--least-margin", 3), "least_margin: expected from 0 to 2, got 3"),
        (("new",), "expected a pack, or --preset"),
        (("new", "default", "--preset", "three-model"), "expected a pack, or --preset"),
        (("new", "--preset", "four-model"), "no preset 'four-model'; there are: three-model"),
        (("activate", 1), "no configuration 1; there are: none yet"),
        (("show",), "no configuration is active"),
        (("show", 7), "no configuration 7"),
        (("rollback",), "no configuration was active before this one"),
        (("import", "no.json"), "cannot read"),
        (("import", "no.json", "--packs", "arcface"), "expected MODEL=PACK"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words, what, run, gallery, monkeypatch):
    folder = gallery.database.path.parent
    monkeypatch.chdir(folder)
    code, out, err = run("config", *words, "--gallery", folder)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert what in err


def test_a_preset_names_what_is_to_be_pulled_and_its_terms(run, tmp_path):
    _, _, err = run("config", "new", "--preset", "three-model", "--gallery", tmp_path / "gallery")
    for words in ("pack pull buffalo_s", "pack pull buffalo_l", "pack pull adaface-ir50-ms1mv2"):
        assert words in err
    assert "non-commercial research only" in err
    assert not (tmp_path / "gallery").exists()


def test_the_replaced_services_row_is_taken_over(config, tmp_path):
    (tmp_path / "row.json").write_text(json.dumps({**ROW, "arcface_weight": 1.0} | SMALL))
    made = config("import", tmp_path / "row.json", "--packs", "arcface=default")
    assert [one["pack"] for one in made["added"][0]["members"]] == ["default"]
    assert len(made["notes"]) == 3
    (tmp_path / "row.json").write_text(json.dumps(ROW))
    refused = config("import", tmp_path / "row.json", code=2)
    assert "no pack 'mobilefacenet'" in refused["error"]["message"]


SMALL = {"mobilefacenet_weight": 0, "adaface_weight": 0}


def test_a_calibration_of_other_packs_is_refused(config, calibration, pack, tmp_path):
    (tmp_path / "other.json").write_bytes(to_bytes(calibration))
    refused = config("new", "default", "--calibration", tmp_path / "other.json", code=2)
    assert refused["error"]["code"] == "calibration"
    own = Calibration(pack.manifest.embedder.model, "mine", *numbers_of(calibration))
    (tmp_path / "own.json").write_bytes(to_bytes(own))
    config("new", "default", "--calibration", tmp_path / "own.json")
    assert config("show", 1)["calibration"] == "mine"


def numbers_of(made):
    return (
        made.data_sha256,
        made.people,
        made.same_pairs,
        made.different_pairs,
        made.points,
        made.slope,
        made.offset,
    )


@pytest.mark.slow
def test_verbs_with_a_gallery_use_its_active_configuration(config, run, portraits, tmp_path):
    folder = ("--gallery", tmp_path / "gallery")
    config("new", "default", "--policy", "strict", "--false-positive-rate", 0.05)
    config("activate", 1)
    code, _, err = run("enroll", "Barack", portraits / "obama.jpg", *folder)
    assert code == 0, err
    _, out, _ = run("identify", portraits / "obama2.jpg", *folder, "--json")
    (face,) = json.loads(out)["images"][0]["faces"]
    assert (face["outcome"], face["configuration"], face["left_out"]) == ("match", 1, [])
    assert 0.01 < face["false_positive_rate"] <= 0.05
    for words, version in (((), 1), (("--pack", "default"), None)):
        asked = ("verify", portraits / "obama2.jpg", "--person", "Barack", *folder, *words)
        code, out, _ = run(*asked, "--json")
        assert (code, json.loads(out)["configuration"]) == (0, version)
    code, out, _ = run("people", "re-embed", *folder, "--json")
    assert (code, json.loads(out)["made"]) == (0, 0)
    (found,) = visavis.identify(portraits / "obama2.jpg", tmp_path / "gallery")
    assert (found.person.name, found.decision.configuration) == ("Barack", 1)


def test_whoever_edits_a_configuration_is_named_by_people_check(config, run, tmp_path):
    config("new", "default")
    where = ("--gallery", tmp_path / "gallery")
    assert run("people", "check", *where)[:2] == (0, "whole\n")
    with closing(sqlite3.connect(tmp_path / "gallery" / "gallery.db")) as file:
        file.execute("DELETE FROM settings WHERE name = 'kept configurations'")
        file.commit()
    code, out, _ = run("people", "check", *where)
    assert (code, "its configurations were taken away" in out) == (1, True)
    code, out, err = run("identify", tmp_path / "a.jpg", *where)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith("(visavis people audit accept), or name a pack (--pack)\n")


def test_a_roll_back_to_packs_that_have_gone_says_so_and_is_done(config, pack, tmp_path):
    twin = made_pack(pack, tmp_path / "twin", slope=30.0)
    for name in (f"default:0.4+{twin}:0.6", "default"):
        config("activate", config("new", name)["added"][0]["version"])
    shutil.rmtree(twin)
    rolled = config("rollback")
    assert rolled["active"] == config("list")["active"] == 1
    assert rolled["stale"]["photos"] == 0
    assert "no pack" in config("activate", 1, code=2)["error"]["message"]


@pytest.mark.slow
def test_the_active_configuration_is_calibrated_on_the_gallerys_people(config, run, pack, tmp_path):
    """60 people of four photos each: noise about a direction of one's own, by either model."""
    twin = made_pack(pack, tmp_path / "twin", slope=30.0)
    config("new", f"default:0.4+{twin}:0.6", "--least-members", 1)
    config("activate", 1)
    gallery, rng = open_gallery(tmp_path / "gallery"), np.random.default_rng(0)
    models = active_configuration(gallery).models()
    for number in range(60):
        person = gallery.add_person(f"Person {number}")
        middles = {part.model: rng.normal(size=part.dim) for part in models.parts}
        for photo in range(4):
            rows = {model: one + 0.6 * rng.normal(size=len(one)) for model, one in middles.items()}
            rows = {model: unit(row[None])[0] for model, row in rows.items()}
            gallery.add_sample(person.id, Sample("a.jpg", f"{number} {photo}", {}, rows))
    assert config("show")["calibration"] is None
    folder = ("--gallery", tmp_path / "gallery")
    code, _, err = run("calibrate", *folder, "--name", "ours", "--anyway")
    assert code == 0, err
    assert config("show")["calibration"] == "ours"
    assert gallery.kept(calibration_name(models.model)) is not None
    assert run("calibrate", *folder, "--clear")[0] == 0
    assert config("show")["calibration"] is None
    gallery.close()
