"""verify --any and find as a user meets them."""

import json
import stat

import pytest
from PIL import Image

pytestmark = [pytest.mark.pack, pytest.mark.slow]


@pytest.fixture
def group(portraits, tmp_path):
    """A photo of Biden and Obama, side by side."""
    left, right = (
        Image.open(portraits / name).convert("RGB").resize((450, 600))
        for name in ("biden.jpg", "obama2.jpg")
    )
    both = Image.new("RGB", (900, 600))
    both.paste(left, (0, 0))
    both.paste(right, (450, 0))
    both.save(tmp_path / "group.jpg")
    return tmp_path / "group.jpg"


@pytest.mark.parametrize("portrait", ["obama", "biden"])
def test_somebody_is_in_a_group_photo(run, portraits, group, portrait):
    code, out, err = run("verify", "--any", portraits / f"{portrait}.jpg", group)
    assert (code, out.startswith("match     similarity 0."), err) == (0, True, "")
    assert "of 2 faces; threshold 0.4" in out
    assert "about 1 in 10,000 such photos of strangers passes" in out
    document = json.loads(run("verify", "--any", portraits / f"{portrait}.jpg", group, "--json")[1])
    assert (document["outcome"], len(document["similarities"])) == ("match", 2)
    assert document["false_positive_rate"] <= 1e-4


def test_somebody_is_not_in_a_photo(run, portraits):
    code, out, _ = run("verify", "--any", portraits / "obama.jpg", portraits / "biden.jpg")
    assert (code, out.startswith("no match")) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jpg", "--any"], "expected another photo"),
        (["a.jpg", "--any", "--person", "Ann"], "--any needs a portrait and a group photo"),
        (["a.jpg", "b.jpg", "--any", "--draw", "c.png"], "--draw needs two photos"),
        (["a.jpg", "b.jpg", "--any", "--face", "1,2"], "expected N (from 1"),
    ],
)
def test_questions_that_make_no_sense(run, words, said):
    code, out, err = run("verify", *words)
    assert (code, out, said in err) == (2, "", True)


def test_find_lists_the_photos_that_show_somebody(run, portraits, group, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    words = ("find", portraits / "obama.jpg", portraits, group, "--cache", tmp_path / "faces.db")
    code, out, err = run(*words)
    *lines, total = out.splitlines()
    assert (code, err, len(lines)) == (0, "", 5)
    assert total.startswith("5 of 6 photos show them, 0 to look at;")
    assert "obama.jpg" in lines[0]
    assert next(line for line in lines if "group.jpg" in line).endswith("of 2")
    assert stat.S_IMODE((tmp_path / "faces.db").stat().st_mode) == 0o600
    code, again, err = run(*words, tmp_path / "bad.jpg", "--json")
    document = json.loads(again)
    assert (code, document["matches"], document["looked_through"]) == (3, 5, 6)
    assert [error["path"] for error in document["errors"]] == [str(tmp_path / "bad.jpg")]
    code, out, _ = run("find", portraits / "biden.jpg", portraits / "obama.jpg", "--no-cache")
    assert (code, out.startswith("0 of 1 photos show them")) == (1, True)
    assert not (portraits / "faces.db").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.jpg", "empty", "--no-cache"], "no photos here"),
        (["a.jpg", "b.jpg", "--no-cache", "--cache", "c.db"], "got both"),
        (["a.jpg", "b.jpg", "--no-cache"], "a.jpg: no such file"),
        (["a.jpg", "b.jpg", "--cache", "empty"], "the cache cannot be used"),
        (["a.jpg", "b.jpg", "--cache", "notes.txt"], "no cache of faces"),
    ],
)
def test_find_says_what_is_wrong(run, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("mine" * 500)
    code, out, err = run("find", *words)
    assert (code, out, said in err, err.count("\n")) == (2, "", True, 1)
    assert (tmp_path / "notes.txt").read_text() == "mine" * 500
