"""visavis liveness: a camera's threshold from its own people, and the form of what passes."""

import json
import shutil

import numpy as np
import pytest
from made import face
from made_liveness import two_networks
from made_videos import plain, write_video

from visavis.errors import SourceError
from visavis.image import read_image
from visavis.liveness.outcome import read_band
from visavis.pack.liveness import pack_with_liveness
from visavis.watch.presentations import attack_folders, presentation_files, score_presentations


def test_a_video_is_as_many_presentations_as_it_has_fifteens_of_looks(tmp_path):
    path = write_video(tmp_path / "ann.mp4", [plain(n) for n in range(40)], rate=10)
    said = iter(np.linspace(0, 0.39, 40))
    scores = score_presentations(
        lambda image: [face(5, 5, 30)], lambda image, faces: np.array([next(said)]), [path]
    )
    assert [(one.name, one.score) for one in scores] == [
        (f"{path}: 1", pytest.approx(0.07)),
        (f"{path}: 2", pytest.approx(0.22)),
        (f"{path}: 3", pytest.approx(0.345)),
    ]


def test_a_presentation_without_a_face_has_no_score(tmp_path):
    path = write_video(tmp_path / "nobody.mp4", [plain(n) for n in range(20)], rate=10)
    scores = score_presentations(lambda image: [], lambda image, faces: np.zeros(0), [path])
    assert [one.score for one in scores] == [None, None]


def test_each_folder_is_a_species(tmp_path):
    for name in ("print/a.jpg", "screen/deep/b.mp4", "screen/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    species = attack_folders(tmp_path)
    assert {name: [path.name for path in files] for name, files in species.items()} == {
        "print": ["a.jpg"],
        "screen": ["c.mp4", "b.mp4"],
    }


@pytest.mark.parametrize("ask", [presentation_files, attack_folders])
def test_a_folder_without_anything_is_said(tmp_path, ask):
    with pytest.raises(SourceError, match=r"no photos or videos here|expected a folder for each"):
        ask(tmp_path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["calibrate", "--out", "b.json"], "pack default: it has no liveness networks"),
        (["report", "--attacks", "."], "expected a folder for each species"),
    ],
)
def test_what_is_missing_is_one_line(run, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").touch()
    code, out, err = run("liveness", *words, "--genuine", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.pack
@pytest.mark.slow
def test_a_camera_is_calibrated_and_reported(run, portraits, data, tmp_path):
    """One photo over and over: what comes of it is said in the form, and nothing more."""
    genuine, attacks = tmp_path / "genuine", tmp_path / "attacks"
    (attacks / "print").mkdir(parents=True)
    genuine.mkdir()
    for number in range(20):
        shutil.copy(portraits / "obama.jpg", genuine / f"{number:02}.jpg")
    for number in range(3):
        shutil.copy(portraits / "biden.jpg", attacks / "print" / f"{number}.jpg")
    pack_with_liveness("living", data / "models", folder=tmp_path / "living")
    models = ("--pack", tmp_path / "living", "--genuine", genuine)
    band = tmp_path / "door.json"
    code, out, err = run("liveness", "calibrate", *models, "--out", band)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1].startswith("BPCER   0.0% (0.0% to 16.1%), 0 of 20, of living people")
    assert lines[-1] == "APCER   not measured: what attacks pass, nobody knows"
    words = ("--attacks", attacks, "--liveness-band", band, "--json")
    code, out, err = run("liveness", "report", *models, *words)
    figures = json.loads(out)
    assert (code, err) == (0, "")
    assert figures["band"]["live"] == read_band(band).live
    assert [one["species"] for one in figures["species"]] == ["print"]
    assert figures["species"][0]["apcer"]["trials"] == 3
    assert figures["band"]["model"].startswith("MiniFASNetV2@")


@pytest.mark.pack
@pytest.mark.slow
def test_a_video_of_one_person_is_enough_to_calibrate(run, portraits, tmp_path):
    """Half a minute: 20 presentations of 15 looks, by networks that call everybody one thing."""
    pack_with_liveness("living", two_networks(tmp_path / "models"), folder=tmp_path / "living")
    picture = read_image(portraits / "obama.jpg", max_side=200)
    height, width = (side - side % 2 for side in picture.shape[:2])
    video = write_video(tmp_path / "door.mp4", [picture[:height, :width]] * 300, rate=10)
    words = ("--genuine", video, "--pack", tmp_path / "living", "--out", tmp_path / "door.json")
    code, out, err = run("liveness", "calibrate", *words, "--most-refused", "0", "--json")
    assert (code, err) == (0, "")
    figures = json.loads(out)
    bpcer = figures["bpcer"]
    assert (bpcer["count"], bpcer["trials"]) == (0, 20)
    assert bpcer["upper"] == pytest.approx(0.161, abs=1e-3)  # Wilson, 0 of 20
    assert (figures["species"], figures["worst"]) == ([], None)  # APCER: not measured
    assert read_band(tmp_path / "door.json").live == figures["band"]["live"]
    short = write_video(tmp_path / "short.mp4", [picture[:height, :width]] * 30, rate=10)
    code, out, err = run(
        "liveness", "calibrate", "--genuine", short, *words[2:4], "--out", tmp_path / "no.json"
    )
    assert (code, out) == (2, "")
    assert "expected 20 presentations of living people with a face, got 2" in err
    assert not (tmp_path / "no.json").exists()
