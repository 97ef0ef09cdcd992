"""visavis train, from a folder of people to a pack that verifies."""

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
from made_training import people  # noqa: E402

from visavis.pack import load_pack  # noqa: E402
from visavis.train.export import CARD  # noqa: E402

TINY = ["backbone=tiny", "dim=4", "batch=6", "people=2", "steps=3", "log_every=1"]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_a_run_by_the_command_line(run, tmp_path):
    data = people(tmp_path / "people")
    code, out, err = run(
        "train", "small", *TINY, "--data", data, "--out", tmp_path / "run", "--json"
    )
    document = json.loads(out)
    assert (code, document["step"], document["people"], document["pack"]) == (0, 3, 4, None)
    assert err.count("images a second") == 3
    code, out, _ = run(
        "train", tmp_path / "run" / "recipe.toml", "steps=4", "--out", tmp_path / "run", "--resume"
    )
    assert code == 0
    assert "done at step 4 of 4" in out


REFUSED = [
    (["smal"], "did you mean 'small'"),
    (["small", "ratee=1"], "did you mean 'rate'"),
    (["small"], "no data to train on: name a folder of people (--data)"),
    (["small", "--data", "{data}", "--export", "pack"], "(--calibrate-on)"),
    (["small", "--data", "{data}", "--calibrate-on", "{data}"], "(--export)"),
    (
        ["small", "--data", "{data}", "--export", "pack", "--calibrate-on", "{data}"],
        "4 of its people are among those it learns from: person0",
    ),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_what_cannot_be_is_refused_in_one_line(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    data = people(tmp_path / "people")
    code, out, err = run("train", *(word.format(data=data) for word in words))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["people"]


@pytest.mark.slow
@pytest.mark.pack
def test_a_pack_is_calibrated_on_held_out_people_and_verifies(run, tmp_path, portraits, data):
    learnt = people(tmp_path / "people", people=6)
    others = people(tmp_path / "others", people=30)
    for folder in others.iterdir():
        folder.rename(others / f"other-{folder.name}")
    init = data / "models" / "mobilefacenet_foamliu.pt"
    small = ["fine_tune", f"init={init}", "batch=8", "people=4", "steps=2", "rate=1e-5"]
    words = ["--data", learnt, "--out", tmp_path / "run", "--calibrate-on", others]
    code, out, _ = run("train", *small, *words, "--export", tmp_path / "mine", "--json")
    assert code == 0, out
    assert json.loads(out)["pack"] == str(tmp_path / "mine")
    pack = load_pack(tmp_path / "mine")
    assert pack.manifest.calibration is not None
    assert 'backbone = "foamliu"' in (tmp_path / "mine" / CARD).read_text()
    photos = (portraits / "obama.jpg", portraits / "biden.jpg")
    code, _, err = run("verify", *photos, "--pack", tmp_path / "mine", "--policy", "0.1")
    assert code in (0, 1), err
