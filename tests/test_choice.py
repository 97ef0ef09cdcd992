"""Packs that answer as one, by the name that is written where a pack is named."""

import json
from dataclasses import replace

import numpy as np
import pytest

from visavis.calibration import CalibrationData, calibrate_images
from visavis.cautions import NO_CALIBRATION
from visavis.compare import split_parts
from visavis.decision import parse_calibration, read_calibration
from visavis.document import to_bytes
from visavis.embedder import Ensemble, choose_models
from visavis.errors import CalibrationError, ModelError, PackError
from visavis.evaluate.subjects import Packs, load_subjects
from visavis.facecache import models_of
from visavis.gallery import Sample
from visavis.gallery.models import people_by_model
from visavis.pack import load_pack
from visavis.pack.calibration import keep_calibration, load_calibration
from visavis.pack.manifest import write_manifest
from visavis.recognizer import Recognizer
from visavis.runtime import Device


@pytest.fixture(scope="module")
def twin(pack, tmp_path_factory):
    """The default pack's network, fed with red and blue exchanged: another model, of slope 30."""
    return str(made(pack, tmp_path_factory.mktemp("packs") / "twin", slope=30.0))


@pytest.fixture(scope="module")
def bare(pack, tmp_path_factory):
    """As `twin`, without a calibration."""
    return str(made(pack, tmp_path_factory.mktemp("packs") / "bare", slope=None))


def made(pack, folder, slope):
    folder.mkdir()
    spec = pack.manifest.embedder
    for file in (spec.file, pack.manifest.detector.file):
        (folder / file).symlink_to(pack.folder / file)
    color = "bgr" if spec.preprocess.color == "rgb" else "rgb"
    other = replace(spec, name=folder.name, preprocess=replace(spec.preprocess, color=color))
    other = replace(other, int8=None)
    manifest = replace(pack.manifest, name=folder.name, embedder=other)
    write_manifest(folder, replace(manifest, calibration=None, calibration_sha256=None))
    if slope is not None:
        own = replace(load_calibration(pack), model=other.model, slope=slope)
        keep_calibration(load_pack(folder), own)
    return folder


@pytest.fixture(scope="module")
def two(twin):
    return Recognizer.load(f"default+{twin}")


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("default", (1.0,)),
        ("default+{twin}", (0.5, 0.5)),
        ("default:0.3+{twin}:0.7", (0.3, 0.7)),
        ("{twin}:.75+default:.25", (0.75, 0.25)),
        ("default:0.3333+{twin}:0.667", (0.3333, 0.667)),  # rounded
    ],
)
def test_a_name_says_packs_and_weights(name, weights, twin):
    models = choose_models(name.format(twin=twin))
    assert (len(models.packs), models.weights) == (len(weights), weights)
    first = "twin" if name.startswith("{") else load_pack().manifest.name
    assert models.detector.manifest.name == first


@pytest.mark.parametrize(
    ("name", "error", "what"),
    [
        ("default+nosuch", PackError, "no pack 'nosuch'"),
        ("default+", PackError, "expected a name in each place"),
        ("+", PackError, "expected a name in each place"),
        ("default:0.3+{twin}", PackError, "a weight for each pack or for none"),
        ("default:0.3+{twin}:0.6", ModelError, "expected weights that sum to 1, got 0.9"),
        ("default+default", ModelError, "expected each model once"),
        ("default:-1+{twin}:2", PackError, "a weight for each pack or for none"),
    ],
)
def test_what_names_no_models_is_refused(name, error, what, twin):
    with pytest.raises(error, match=what):
        choose_models(name.format(twin=twin))


@pytest.mark.parametrize(
    ("name", "error", "what"),
    [
        ("default+{bare}", CalibrationError, "pack bare has no calibration"),
        ("default:1+{twin}:0", ModelError, "expected a weight above 0 and at most 1, got 0"),
    ],
)
def test_a_member_that_cannot_be_weighed_is_refused(name, error, what, twin, bare, run, tmp_path):
    name = name.format(twin=twin, bare=bare)
    for ask in (lambda: choose_models(name).model, lambda: Recognizer.load(name)):
        with pytest.raises(error, match=what):
            ask()
    code, _, said = run("verify", tmp_path / "a.jpg", tmp_path / "b.jpg", "--pack", name)
    assert (code, what in said, said.count("\n")) == (2, True, 1)


def test_a_folder_that_is_there_is_a_pack_whatever_its_name(pack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made(pack, tmp_path / "one+two", slope=9.0)
    assert [one.manifest.name for one in choose_models("one+two").packs] == ["one+two"]


def test_a_choice_knows_its_embedder_without_loading_it(two, twin):
    models = choose_models(f"default+{twin}")
    assert isinstance(two.embed, Ensemble)
    assert (models.parts, models.model) == (two.embed.parts, two.embed.model)
    assert models.model.startswith("sface+twin@")
    seen = models_of(models.detector, models.model)
    assert seen.startswith(models.model)
    assert seen != models_of(models.detector)


def test_slopes_times_weights_are_the_shares(twin):
    """0.3 x the default's slope and 0.7 x 30, shared by their sum."""
    slope = load_calibration(load_pack()).slope
    shares = [part.scale**2 for part in choose_models(f"default:0.3+{twin}:0.7").parts]
    total = 0.3 * slope + 0.7 * 30
    assert shares == pytest.approx([0.3 * slope / total, 0.7 * 30 / total])


@pytest.mark.slow
def test_a_similarity_is_that_of_both_models(two, twin):
    crops = np.random.default_rng(0).integers(0, 255, (2, 112, 112, 3), np.uint8)
    shares = [part.scale**2 for part in two.embed.parts]
    alone = [choose_models(name).members()[0](crops) for name in ("default", twin)]
    expected = sum(share * (rows[0] @ rows[1]) for share, rows in zip(shares, alone, strict=True))
    rows = two.embed(crops)
    assert rows[0] @ rows[1] == pytest.approx(expected, abs=1e-4)


def test_without_a_calibration_nothing_is_a_match(two, portraits):
    verification = two.verify(portraits / "obama.jpg", portraits / "obama2.jpg")
    assert verification.decision.outcome == "review"
    assert NO_CALIBRATION in verification.warnings


@pytest.fixture
def fused(two, tmp_path):
    """The file of a calibration that is said to be the two packs' together."""
    own = replace(load_calibration(load_pack()), model=two.embed.model)
    (tmp_path / "fused.json").write_bytes(to_bytes(own))
    return tmp_path / "fused.json"


def test_a_calibration_counts_for_the_weights_that_it_was_made_with(fused, twin):
    name = f"default+{twin}"
    assert choose_models(name).calibration(fused) == read_calibration(fused)
    for other in (f"default:0.4+{twin}:0.6", f"{twin}+default"):
        with pytest.raises(CalibrationError, match=r"expected a calibration of .*, got one of"):
            choose_models(other).calibration(fused)


@pytest.mark.slow
def test_two_packs_are_used_wherever_one_is(fused, twin, portraits, run, tmp_path):
    """verify, enroll, identify, find, cluster and embed, by the command line."""
    name, people = f"default+{twin}", tmp_path / "people"
    two = ("--pack", name)
    obama, other = portraits / "obama.jpg", portraits / "obama2.jpg"
    code, out, _ = run("verify", obama, other, *two, "--calibration", fused, "--json")
    document = json.loads(out)
    assert (code, document["model"].partition("@")[0]) == (0, "sface+twin")
    store = ("--gallery", people)
    code, _, said = run("enroll", "Barack", obama, *store, *two, "--calibration", fused)
    assert code == 0, said
    probe = ("identify", other, *store, "--calibration", fused, "--json")
    code, out, said = run(*probe, *two)
    assert (code, "Barack" in out, "not compared" in said) == (0, True, False)
    # Each model's own template is stored: one pack alone finds the person, too.
    code, out, said = run("identify", other, *store, "--json")
    assert (code, "Barack" in out, said) == (0, True, "")
    code, out, _ = run("find", obama, other, *two, "--calibration", fused, "--no-cache", "--json")
    assert code == 0
    grouped = ("people", "cluster", obama, other, "--out", tmp_path / "groups")
    code, out, _ = run(*grouped, *two, "--calibration", fused, "--json")
    assert (code, json.loads(out)["groups"]) == (0, [2])
    code, out, _ = run("embed", obama, "--out", tmp_path / "a.npy", *two, "--json")
    assert (code, json.loads(out)["dim"]) == (0, 256)


@pytest.mark.slow
def test_crops_that_were_kept_make_the_other_models_templates(twin, portraits, run, tmp_path):
    store, name = ("--gallery", tmp_path / "people"), f"default+{twin}"
    obama = portraits / "obama.jpg"
    assert run("enroll", "Barack", obama, *store, "--keep-crops")[0] == 0
    code, _, said = run("identify", obama, *store, "--pack", name)
    assert (code, "nobody has a template of sface+twin@" in said) == (2, True)
    code, out, _ = run("people", "re-embed", *store, "--pack", name, "--json")
    assert (code, json.loads(out)["made"]) == (0, 1)
    code, out, said = run("identify", obama, *store, "--pack", name, "--json")
    assert (code, "Barack" in out, NO_CALIBRATION in said + out) == (0, True, True)
    assert '"review"' in out
    assert '"match"' not in out


@pytest.mark.slow
def test_two_packs_are_measured_as_one(two, twin, pack):
    (subject,) = load_subjects(
        Packs((f"default+{twin}",), device=Device("cpu", precision="float32"))
    )
    assert (subject.embed.model, subject.calibration) == (two.embed.model, None)
    assert subject.name == f"{pack.manifest.name}+twin"
    file = pack.folder / pack.manifest.embedder.file
    assert subject.bytes == 2 * file.stat().st_size
    assert subject.settings["licence"] == pack.manifest.embedder.origin.licence


def test_packs_together_keep_their_calibration_in_a_file(twin, tmp_path):
    models = choose_models(f"default+{twin}")
    with pytest.raises(PackError, match="have no folder that could keep") as refused:
        calibrate_images(models, CalibrationData(tmp_path), Device("cpu"))
    assert refused.value.option == "out"


@pytest.mark.slow
def test_a_gallery_measures_packs_together(two, twin, gallery, run, tmp_path):
    """12 people of 4 photos each, by both models: noise about a direction of one's own."""
    rng = np.random.default_rng(0)
    for number in range(12):
        person = gallery.add_person(f"P{number}").id
        middle = rng.normal(size=two.embed.dim)
        for photo in range(4):
            rows = middle + 0.6 * rng.normal(size=two.embed.dim)
            gallery.add_sample(person, sample_of(f"{number} {photo}", rows, two.embed.parts))
    assert {len(people) for people in people_by_model(gallery).values()} == {12}
    folder, name = gallery.database.path.parent, f"default+{twin}"
    code, _, said = run("calibrate", name, "--gallery", folder, "--anyway")
    assert code == 0, said
    made = two.calibration_of(gallery)
    assert (made.model, made.people, made.same_pairs) == (two.embed.model, 12, 72)
    code, _, said = run("calibrate", name, "--gallery", folder, "--out", tmp_path / "c.json")
    assert (code, read_calibration(tmp_path / "c.json").model) == (0, two.embed.model)
    assert parse_calibration((tmp_path / "c.json").read_bytes(), "") == made
    assert run("calibrate", name, "--gallery", folder, "--clear")[0] == 0
    assert two.calibration_of(gallery).points == ()


def sample_of(name, rows, parts):
    rows = (rows / np.linalg.norm(rows)).astype(np.float32)[None]
    own = {m: r[0] / np.linalg.norm(r[0]) for m, r in split_parts(rows, parts).items()}
    return Sample(f"{name}.jpg", name, {}, own)
