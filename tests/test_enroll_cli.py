"""What people bring to enroll, through the command line: folders, faces, mistakes and undoing."""

import json
import shutil

import pytest
from made import ANNA, angle, photo

from visavis.gallery import Sample, open_gallery


@pytest.fixture
def visavis(run, tmp_path, monkeypatch):
    """Run a command line on a gallery of the test's own."""
    monkeypatch.setenv("VISAVIS_GALLERY", str(tmp_path / "gallery"))
    return run


PLANS = [
    ("Zoë/1.png Zoë/2.png Jo.png", "", 0, ["Jo · 1 photo", "Zoë · 2 photos", "2 people, 3 photos"]),
    ("Zoë/2019/1.png", "", 0, ["1 person, 1 photo; nothing was enrolled"]),
    ("Zoë_1.png Zoë_2.png", "", 2, ["'Zoë_2' or of 'Zoë'?", "(--layout)"]),
    ("Zoë_1.png Zoë_2.png", "numbered", 0, ["Zoë · 2 photos"]),
    ("train/Zoë/1.png", "", 2, ["'train' or of 'Zoë'?"]),
    ("train/Zoë/1.png", "parents", 0, ["Zoë · 1 photo"]),
    ("train/Zoë/1.png", "folders", 0, ["train · 1 photo"]),
    ("train/Zoë.png", "files", 0, ["Zoë · 1 photo"]),
    ("train/Zoë.png", "flat", 2, ["Invalid value for '--layout'"]),
    ("", "", 2, ["no photos here"]),
]


@pytest.mark.parametrize(("photos", "layout", "code", "said"), PLANS)
def test_a_dry_run_says_who_would_be_enrolled(visavis, tmp_path, photos, layout, code, said):
    folder = tmp_path / "people"
    folder.mkdir()
    for name in photos.split():
        photo(folder / name, ANNA)
    words = ["--layout", layout] if layout else []
    got, out, err = visavis("enroll", "--folder", folder, "--dry-run", *words)
    assert got == code
    for text in said:
        assert text in out + err
    assert not (tmp_path / "gallery").exists()


def test_a_dry_run_of_photos_and_of_a_roster(visavis, tmp_path):
    photo(tmp_path / "a.png", ANNA)
    (tmp_path / "roster.csv").write_text("name,photo\nAnna,a.png\nBert,a.png\n")
    document = json.loads(
        visavis("enroll", "--roster", tmp_path / "roster.csv", "--dry-run", "--json")[1]
    )
    one = [str(tmp_path / "a.png")]
    assert document == {
        "enrolled": False,
        "people": [{"name": "Anna", "photos": one}, {"name": "Bert", "photos": one}],
    }
    assert visavis("enroll", "Anna", *one, "--dry-run")[1].startswith("Anna · 1 photo\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Anna", "a.png", "b.png", "--face", "1"], "--face is of one photo"),
        (["--folder", ".", "--face", "1", "--layout", "files"], "--face is of one photo"),
        (["Anna", "a.png", "--layout", "files"], "--layout is of --folder"),
    ],
)
def test_options_that_do_not_go_together(visavis, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "a.png", ANNA)
    photo(tmp_path / "b.png", ANNA)
    code, out, err = visavis("enroll", *words)
    assert (code, out, said in err) == (2, "", True)


@pytest.mark.pack
@pytest.mark.slow
def test_a_stranger_is_not_enrolled_as_somebody_and_mistakes_are_undone(
    visavis, portraits, tmp_path
):
    assert visavis("enroll", "Obama", portraits / "obama.jpg")[0] == 0
    biden = ("enroll", "Obama", portraits / "biden.jpg")
    code, out, _ = visavis(*biden)
    assert (code, "unlike: not like the other photos of Obama (the likest 0." in out) == (2, True)
    code, out, _ = visavis(*biden, "--anyway")
    assert (code, out.startswith("enrolled  Obama: "), "not like" in out) == (0, True, True)
    code, _, err = visavis("people", "undo", "--json")
    assert (code, "Erase 1 photo of Obama" in err) == (2, True)
    code, out, _ = visavis("people", "undo", "--yes")
    assert (code, out.startswith("erased 1 photo of Obama, of 20")) == (0, True)
    assert visavis("people", "list")[1].startswith("Obama · 1 photo ")
    removed = json.loads(visavis("people", "remove-photo", "Obama", "obama.jpg", "--json")[1])
    assert (removed["removed"], removed["from"]["samples"]) == ("obama.jpg", 0)
    code, _, err = visavis("people", "undo", "--yes")
    assert (code, "no enrolment is left to be undone" in err) == (2, True)


@pytest.mark.pack
@pytest.mark.slow
def test_of_a_folder_the_photo_that_agrees_with_none_is_refused(visavis, portraits, tmp_path):
    folder = tmp_path / "people" / "Obama"
    folder.mkdir(parents=True)
    for source, target in (("biden", "1"), ("obama", "2"), ("obama2", "3"), ("obama3", "4")):
        shutil.copy(portraits / f"{source}.jpg", folder / f"{target}.jpg")
    code, out, _ = visavis("enroll", "--folder", folder.parent)
    assert (code, "3 photos enrolled, 1 refused (1 unlike)" in out) == (3, True)
    assert "Obama/1.jpg: unlike" in out


@pytest.mark.pack
@pytest.mark.slow
def test_a_gallery_of_another_model_is_no_answer(visavis, portraits, tmp_path):
    gallery = open_gallery(tmp_path / "gallery")
    for name in ("Anna", "Bert"):
        person = gallery.add_person(name)
        gallery.add_sample(person.id, Sample("a.png", "0", {}, {"other@1": angle(ANNA)}))
    gallery.close()
    code, out, err = visavis("identify", portraits / "obama.jpg")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "of 2 people nobody has a template of sface@" in err
    assert "2 of other@1: use the pack of that model, or enrol the photos again" in err
    obama = ("enroll", "Obama", portraits / "obama.jpg")
    code, out, _ = visavis(*obama)
    assert (code, "not_compared: sface@" in out, "no template of 2 people here" in out) == (
        2,
        True,
        True,
    )
    assert visavis(*obama, "--anyway")[0] == 0
    code, out, err = visavis("identify", portraits / "obama2.jpg")
    assert (code, "match     Obama" in out) == (0, True)
    assert "2 photos of 2 people have no template of sface@" in err
