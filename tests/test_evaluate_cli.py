"""visavis evaluate and calibrate, the default pack's models on made pictures."""

import csv
import json
import shutil
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image as Pillow
from test_ijb import write_ijb
from test_wider import write as write_wider

from visavis.cli.plain import with_kind
from visavis.decision import POLICIES, read_calibration
from visavis.errors import DatasetError
from visavis.evaluate.run import load_run
from visavis.gallery import Sample, open_gallery
from visavis.pack import load_pack
from visavis.pack.calibration import load_calibration
from visavis.pack.manifest import write_manifest

PEOPLE, PHOTOS = 24, 4

pytestmark = pytest.mark.pack


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Folders of crops: each person a coarse pattern, each photo of it with noise of its own."""
    folder, rng = tmp_path_factory.mktemp("people"), np.random.default_rng(1)
    for person in range(PEOPLE):
        home = folder / f"person{person:02d}"
        home.mkdir()
        pattern = rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)
        large = np.asarray(Pillow.fromarray(pattern).resize((112, 112), Pillow.Resampling.BICUBIC))
        for photo in range(1, PHOTOS + 1):
            noisy = np.clip(large + rng.normal(0, 10, large.shape), 0, 255).astype(np.uint8)
            Pillow.fromarray(noisy).save(home / f"{home.name}_{photo:04d}.png")
    return folder


@pytest.fixture
def listed(people, tmp_path):
    """The same with a list of 2 folds of 8 same and 8 different pairs."""
    images = tmp_path / "images"
    shutil.copytree(people, images)
    lines = ["2\t8"]
    for fold in range(2):
        names = [f"person{row:02d}" for row in range(fold * 8, fold * 8 + 9)]
        lines += [f"{name}\t1\t2" for name in names[:8]]
        lines += [f"{a}\t3\t{b}\t4" for a, b in pairwise(names)]
    (images / "pairs.txt").write_text("\n".join(lines) + "\n")
    return images


def test_figures_of_a_list(run, listed):
    code, out, _ = run("evaluate", "--images", listed, "--json")
    found = json.loads(out)
    assert (code, found["pairs"], found["failures_to_acquire"], found["skipped"]) == (0, 32, 0, 0)
    assert found["model"] == load_pack().manifest.embedder.model
    assert found["auc"] > 0.95
    assert {"accuracy", "accuracy_std", "tar", "tar_nearest", "eer", "milliseconds"} <= set(found)


def test_every_similarity_and_a_run_are_written(run, listed, tmp_path):
    scores, out = tmp_path / "scores.csv", tmp_path / "made.npz"
    code, text, _ = run("evaluate", "--images", listed, "--scores", scores, "--out", out)
    assert code == 0
    assert "32 pairs" in text
    rows = list(csv.DictReader(scores.read_text().splitlines()))
    assert [*rows[0]] == ["reference", "probe", "mated", "similarity"]
    first = {"reference": "person00/person00_0001.png", "probe": "person00/person00_0002.png"}
    assert first.items() <= rows[0].items()
    saved = load_run(out)
    np.testing.assert_allclose(
        [float(row["similarity"]) for row in rows], saved.similarity, atol=1e-6
    )
    assert [row["mated"] == "1" for row in rows] == saved.same.tolist()
    assert saved.about.result.pairs == 32
    assert len(saved.shown) == len(saved.crops) > 0


@pytest.fixture
def uncalibrated(tmp_path):
    """The default pack's models without a calibration: each fold's threshold is the others'."""
    folder = tmp_path / "uncalibrated"
    shutil.copytree(load_pack().folder, folder)
    manifest = load_pack(folder).manifest
    write_manifest(folder, replace(manifest, calibration=None, calibration_sha256=None))
    return folder


@pytest.mark.slow
def test_what_is_required_is_answered_fold_by_fold(run, listed, uncalibrated):
    words = ("evaluate", uncalibrated, "--images", listed, "--require", "fmr=1e-2,fnmr=0.5")
    code, out, _ = run(*words, "--json")
    found = json.loads(out)["require"]
    assert (code, found["answer"], found["threshold"]) == (1, "not shown", None)
    assert "required  not shown: " in run(*words)[1]


@pytest.mark.slow
def test_what_is_required_is_shown_at_the_packs_own_threshold(run, listed, people, uncalibrated):
    assert run("calibrate", uncalibrated, "--images", people)[0] == 0
    words = ("evaluate", uncalibrated, "--images", listed, "--require", "fmr=0.5,fnmr=0.5")
    code, out, _ = run(*words, "--json")
    assert (code, json.loads(out)["require"]["answer"]) == (0, "yes")


@pytest.mark.slow
def test_a_calibrated_pack_is_judged_at_its_own_threshold(run, listed):
    _, out, _ = run("evaluate", "--images", listed, "--require", "fmr=1e-3,fnmr=1e-2", "--json")
    threshold = load_calibration(load_pack()).at(1e-3).threshold
    assert json.loads(out)["require"]["threshold"] == threshold
    code, _, err = run("evaluate", "--images", listed, "--require", "fmr=1e-9,fnmr=1e-2")
    assert (code, "cannot show" in err) == (2, True)


@pytest.mark.parametrize("spoil", ["line", "picture", "missing", "duplicate"])
def test_a_bad_line_is_an_error_or_counted(run, listed, spoil):
    lines = (listed / "pairs.txt").read_text().splitlines()
    if spoil == "picture":
        (listed / "person00" / "person00_0001.png").write_bytes(b"no picture")
    elif spoil == "missing":
        (listed / "person00" / "person00_0001.png").unlink()
    else:
        lines[1] = "person00\t1" if spoil == "line" else lines[2]
    (listed / "pairs.txt").write_text("\n".join(lines) + "\n")
    code, _, err = run("evaluate", "--images", listed, "--json")
    assert code == 2
    assert f"pairs.txt, line {3 if spoil == 'duplicate' else 2}" in err
    code, out, _ = run("evaluate", "--images", listed, "--skip-bad", "--json")
    found = json.loads(out)
    assert (code, found["pairs"], found["skipped"]) == (0, 31, 1)


def test_all_pairs_of_folders(run, people):
    code, out, _ = run("evaluate", "--images", people, "--all-pairs", "--json")
    found = json.loads(out)
    count = PEOPLE * PHOTOS
    assert (code, found["pairs"], found["people"]) == (0, count * (count - 1) // 2, PEOPLE)
    assert found["accuracy"] is None
    code, _, err = run("evaluate", "--images", people, "--all-pairs", "--scores", "x.csv")
    assert code == 2
    assert "--sample" in err


def test_pairs_drawn_from_folders(run, people):
    code, out, _ = run("evaluate", "--images", people, "--sample", "5", "--json")
    assert (code, json.loads(out)["pairs"]) == (0, 100)
    code, _, err = run("evaluate", "--images", people, "--sample", "500")
    assert code == 2
    assert "fold" in err


@pytest.mark.slow
def test_several_packs_are_compared_and_weighed(run, listed, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(load_pack().folder, other)
    out = tmp_path / "run.npz"
    code, text, _ = run("evaluate", "default", other, "--images", listed, "--json", "--out", out)
    found = json.loads(text)
    assert (code, len(found["models"])) == (0, 2)
    assert sum(found["together"]["weights"]) == pytest.approx(1)
    gains = {
        (one["name"], gain["figure"]): gain for one in found["compared"] for gain in one["gains"]
    }
    assert {gain["verdict"] for gain in gains.values()} == {"no difference shown"}
    code, text, _ = run("evaluate", "default", other, "--images", listed, "--weights", "0.3,0.7")
    assert "0.30" in text
    assert "0.70" in text
    code, _, err = run("evaluate", "default", other, "--images", listed, "--weights", "0.3,x")
    assert (code, "expected weights" in err) == (2, True)


@pytest.mark.slow
def test_degraded_probes_get_a_row_each(run, listed):
    code, out, _ = run("evaluate", "--images", listed, "--degrade", "blur:light,mask", "--json")
    rows = [(row["name"], row["strength"]) for row in json.loads(out)["degraded"]]
    assert code == 0
    assert rows[1:] == [
        ("blur", "light"),
        *(("mask", one) for one in ("light", "medium", "strong")),
    ]
    code, _, err = run("evaluate", "--images", listed, "--degrade", "fog")
    assert (code, "unknown degradation" in err) == (2, True)
    _, text, _ = run("evaluate", "--images", listed, "--degrade", "blur:light")
    assert "blur (light)" in text


@pytest.mark.slow
def test_groups_are_read_from_a_file(run, listed, tmp_path):
    labels = tmp_path / "labels.csv"
    rows = [f"person{row:02d},{'old' if row % 2 else 'young'}" for row in range(PEOPLE)]
    labels.write_text("\n".join(["person,age", *rows]) + "\n")
    code, out, _ = run("evaluate", "--images", listed, "--groups", labels, "--json")
    (label,) = json.loads(out)["groups"]
    assert (code, label["label"], label["across"]) == (0, "age", 16)
    _, text, _ = run("evaluate", "--images", listed, "--groups", labels)
    assert "insufficient" in text


def test_nothing_to_evaluate_is_an_error(run):
    code, _, err = run("evaluate")
    assert (code, "--images" in err) == (2, True)


def figures(words):
    """A document without what differs from run to run."""
    document = json.loads(words)
    document.pop("milliseconds", None)
    return document


@pytest.mark.slow
def test_the_plain_form_is_that_of_pairs(run, listed):
    words = ("--images", listed, "--json", "--device", "cpu", "default")
    plain, named = run("evaluate", *words), run("evaluate", "pairs", *words)
    assert plain[0] == named[0] == 0
    assert figures(plain[1]) == figures(named[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plain", "named"), [(["--all-pairs"], []), (["--sample", "5"], ["--sample", "5"])]
)
def test_the_plain_form_knows_a_folder_of_people(run, people, plain, named):
    old = run("evaluate", "--images", people, *plain, "--json")
    new = run("evaluate", "people", "--images", people, *named, "--json")
    assert old[0] == new[0] == 0
    assert figures(old[1]) == figures(new[1])


@pytest.mark.parametrize(
    ("plain", "named"),
    [
        ([], ["pairs"]),
        (["a", "--images", "x"], ["pairs", "a", "--images", "x"]),
        (["--json", "--ijb", "x", "a"], ["ijb", "--json", "--images", "x", "a"]),
        (["--wider=x", "a"], ["wider", "--images=x", "a"]),
        (["--images", "x", "--all-pairs", "a"], ["people", "--images", "x", "a"]),
        (["--images", "x", "--sample=5"], ["people", "--images", "x", "--sample=5"]),
    ],
)
def test_the_plain_form_says_the_kind_of_data_by_an_option(plain, named):
    assert with_kind(plain) == named


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ijb", "x", "--wider", "y"], "one kind of data, got --ijb and --wider"),
        (["--sample", "3", "--all-pairs"], "one kind of data, got --sample and --all-pairs"),
        (["--wider", "x", "--images", "y"], "expected --wider or --images, got both"),
    ],
)
def test_the_plain_form_takes_one_kind_of_data(words, message):
    with pytest.raises(DatasetError, match=message):
        with_kind(words)


UNHEARD = [
    ["--require", "fmr=1e-2,fnmr=0.5"],
    ["--weights", "0.3,0.7"],
    ["--degrade", "blur"],
    ["--groups", "labels.csv"],
    ["--scores", "scores.csv"],
    ["--out", "run.npz"],
    ["--pairs", "pairs.txt"],
    ["--protocol", "FF"],
    ["--exclude", "errors.csv"],
    ["--sample", "5"],
    ["--all-pairs"],
    ["--align"],
]


@pytest.mark.parametrize("kind", ["ijb", "wider"])
@pytest.mark.parametrize("words", UNHEARD, ids=lambda words: words[0])
def test_what_a_kind_of_data_cannot_answer_is_refused(run, tmp_path, kind, words):
    code, out, err = run("evaluate", f"--{kind}", tmp_path, *words, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "dataset")
    assert err.startswith("visavis: ")
    assert words[0] in err
    if words != ["--all-pairs"]:  # an option of the plain form alone
        code, out, err = run("evaluate", kind, "--images", tmp_path, *words)
        assert (code, out) == (2, "")
        assert err.startswith(f"visavis: evaluate {kind} has no {words[0]}: leave it out, or use ")


def test_boxes_have_no_mirrored_crop(run, tmp_path):
    code, _, err = run("evaluate", "--wider", tmp_path, "--no-flip")
    assert (code, "evaluate wider has no --no-flip" in err) == (2, True)


@pytest.mark.parametrize("words", UNHEARD[1:6], ids=lambda words: words[0])
def test_of_all_pairs_only_rates_can_be_required(run, people, words):
    code, _, err = run("evaluate", "people", "--images", people, *words)
    assert (code, f"not {words[0]}" in err, "(--sample)" in err) == (2, True, True)


def test_one_pack_has_no_weights(run, listed):
    code, _, err = run("evaluate", "--images", listed, "--weights", "1")
    assert (code, "expected at least two packs" in err) == (2, True)


def test_templates_are_compared_and_searched_for(run, tmp_path):
    write_ijb(tmp_path)
    for number in range(1, 7):
        Pillow.new("RGB", (112, 112), (40 * number, 100, 250 - 40 * number)).save(
            tmp_path / "loose_crop" / f"{number}.jpg"
        )
    for words in (("--ijb", tmp_path), ("ijb", "--images", tmp_path)):
        code, out, _ = run("evaluate", *words, "--json")
        document = json.loads(out)["default"]
        assert (code, document["pictures"], document["templates"]) == (0, 6, 5)
        assert document["verification"]["pairs"] == 4
        assert {*document["galleries"]} == {"G1", "G2"}
    code, out, _ = run("evaluate", "ijb", "--images", tmp_path)
    assert code == 0
    assert "default: 5 templates of 6 pictures\n1:1  4 pairs\n" in out
    assert "1:N  2 galleries, means\nrank 1  " in out


def test_a_detector_is_measured(run, tmp_path):
    io = pytest.importorskip("scipy.io", reason="scipy comes with '.[plots]'")
    write_wider(tmp_path, io)
    for words in (("--wider", tmp_path), ("wider", "--images", tmp_path)):
        code, out, _ = run("evaluate", *words, "--json")
        document = json.loads(out)["default"]
        assert (code, document["pictures"], document["skipped"]) == (0, 3, 0)
        assert document["faces"] == {"easy": 2, "medium": 3, "hard": 4}
    code, out, _ = run("evaluate", "wider", "--images", tmp_path)
    assert (code, out.splitlines()[0]) == (0, "default: WIDER FACE, 3 pictures")


@pytest.mark.slow
def test_a_calibration_goes_into_a_pack(run, people, tmp_path):
    pack = tmp_path / "mine"
    shutil.copytree(load_pack().folder, pack)
    before = load_pack(pack).manifest.calibration
    code, out, _ = run("calibrate", pack, "--images", people, "--name", "made", "--json")
    assert code == 0
    written = load_pack(pack).manifest.calibration
    assert json.loads(out)["out"] == str(pack / written)
    assert not (pack / before).exists()
    calibration = read_calibration(pack / written)
    assert (calibration.dataset, calibration.people) == ("made", PEOPLE)
    assert calibration.same_pairs == PEOPLE * PHOTOS * (PHOTOS - 1) // 2
    code, out, err = run("pack", "info", pack, "--json")
    assert code == 0, err


@pytest.mark.slow
def test_the_default_pack_keeps_its_own(run, people, tmp_path):
    code, _, err = run("calibrate", "--images", people)
    assert (code, "--out" in err) == (2, True)
    code, _, err = run("calibrate")
    assert (code, "--images or --gallery" in err) == (2, True)
    out = tmp_path / "made.json"
    assert run("calibrate", "--images", people, "--out", out)[0] == 0
    assert not any(point.extrapolated for point in read_calibration(out).points)


@pytest.mark.slow
def test_points_beyond_the_data_are_marked(run, people, tmp_path):
    out = tmp_path / "made.json"
    code, text, _ = run("calibrate", "--images", people, "--out", out, "--extrapolate")
    points = read_calibration(out).points
    assert code == 0
    assert [point.extrapolated for point in points] == sorted(p.extrapolated for p in points)
    assert points[-1].extrapolated
    if any(points[-1].false_match_rate_upper <= rate for rate in POLICIES.values()):
        assert "EXTRAPOLATED" in text


@pytest.mark.slow
def test_a_bad_picture_stops_a_calibration_or_is_counted(run, people, tmp_path):
    images, out = tmp_path / "images", tmp_path / "made.json"
    shutil.copytree(people, images)
    (images / "person03" / "person03_0002.png").write_bytes(b"no picture")
    code, _, err = run("calibrate", "--images", images, "--out", out)
    assert (code, "person03_0002.png" in err, out.exists()) == (2, True, False)
    code, text, _ = run("calibrate", "--images", images, "--out", out, "--skip-bad", "--json")
    assert (code, json.loads(text)["skipped"]) == (0, 1)


def test_a_gallerys_own_people_make_its_calibration(run, gallery, recognizer, tmp_path):
    model, rng = recognizer.embed.model, np.random.default_rng(0)
    for row in range(12):
        person = gallery.add_person(f"person {row}")
        center = rng.normal(size=128)
        for photo in range(3):
            vector = center + 0.6 * rng.normal(size=128)
            unit = (vector / np.linalg.norm(vector)).astype(np.float32)
            gallery.add_sample(
                person.id, Sample(f"{photo}.jpg", f"{row}-{photo}", {}, {model: unit})
            )
    folder = gallery.database.path.parent
    assert recognizer.calibration_of(gallery) == recognizer.calibration
    out = tmp_path / "made.json"
    assert run("calibrate", "--gallery", folder, "--out", out)[0] == 0
    assert recognizer.calibration_of(gallery) == recognizer.calibration
    code, _, err = run("calibrate", "--gallery", folder, "--align", "--skip-bad")
    assert (code, "leave out --align, --skip-bad" in err) == (2, True)
    code, out, err = run("calibrate", "--gallery", folder)
    assert (code, out, "12 people are too few" in err, "(--anyway)" in err) == (2, "", True, True)
    assert recognizer.calibration_of(gallery) == recognizer.calibration
    code, out, _ = run("calibrate", "--gallery", folder, "--anyway")
    assert code == 0
    assert "identify    a search among 36 templates ends in a review at most: too few" in out
    assert "12 people, 36 same and 594 different pairs" in out
    own = recognizer.calibration_of(gallery)
    assert (own.dataset, own.people) == ("the gallery's own people", 12)
    with closing(open_gallery(folder)) as again:
        assert recognizer.calibration_of(again) == own
    code, out, _ = run("calibrate", "--gallery", folder, "--clear", "--json")
    assert (code, json.loads(out)) == (0, {"out": str(folder), "cleared": True})
    assert recognizer.calibration_of(gallery) == recognizer.calibration
    code, out, _ = run("calibrate", "--gallery", folder, "--clear")
    assert (code, out) == (0, f"{folder}: the pack's calibration is used again\n")


@pytest.mark.parametrize(
    "words",
    [
        ["--out", "x.json"],
        ["--name", "x"],
        ["--extrapolate"],
        ["--exclude", "x.csv"],
        ["--align"],
        ["--skip-bad"],
        ["--images", "x"],
    ],
    ids=lambda words: words[0],
)
def test_what_clearing_cannot_honour_is_refused(run, gallery, words):
    code, out, err = run("calibrate", "--gallery", gallery.database.path.parent, "--clear", *words)
    assert (code, out, words[0] in err) == (2, "", True)


@pytest.mark.parametrize(
    "words", [["--exclude", "x.csv"], ["--align"], ["--skip-bad"]], ids=lambda words: words[0]
)
def test_a_gallery_has_no_pictures_to_read(run, gallery, words):
    code, _, err = run("calibrate", "--gallery", gallery.database.path.parent, *words)
    assert (code, f"no pictures: leave out {words[0]}" in err) == (2, True)


def test_only_a_gallerys_calibration_can_be_cleared(run, people):
    code, _, err = run("calibrate", "--images", people, "--clear")
    assert (code, "(--gallery)" in err) == (2, True)
