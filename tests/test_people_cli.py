"""enroll, identify, people and verify --person as a user meets them."""

import csv
import io
import json
import re
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import typer
from conftest import ROOT
from gallery_children import change_rows
from made import NONE, photo
from made_photos import encoded

from visavis.cli import app
from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.errors import GalleryError
from visavis.faces import find_faces
from visavis.gallery import Sample, open_gallery, transfer
from visavis.gallery.sqlite import SqliteDatabase
from visavis.pack import load_pack

pytestmark = pytest.mark.pack
PAGE = (ROOT / "docs" / "people.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
DOCUMENTED = [line for block in BLOCKS for line in block.splitlines()]


@pytest.fixture
def visavis(run, tmp_path, monkeypatch):
    """Run a command line on a gallery of the test's own."""
    monkeypatch.setenv("VISAVIS_GALLERY", str(tmp_path / "gallery"))
    return run


@pytest.fixture
def known(visavis, portraits):
    """The same, with Obama and Biden enrolled."""
    for name in ("obama", "biden"):
        assert visavis("enroll", name.title(), portraits / f"{name}.jpg")[0] == 0
    return visavis


def people_folder(portraits: Path, folder: Path) -> Path:
    for source, target in (
        ("obama.jpg", "Barack Obama/1.jpg"),
        ("obama2.jpg", "Barack Obama/2.jpg"),
        ("biden.jpg", "Joe Biden.jpg"),
    ):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(portraits / source, folder / target)
    return folder


def test_enroll_says_what_became_of_each_photo(visavis, portraits, tmp_path, caplog):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    photos = (portraits / "obama.jpg", tmp_path / "bad.jpg", portraits / "obama2.jpg")
    code, out, _ = visavis("enroll", "Obama", *photos)
    assert (code, out.count("refused   Obama:")) == (3, 1)
    assert "bad.jpg: unreadable: " in out
    assert out.endswith("2 photos enrolled, 1 refused (1 unreadable)\n")
    assert "a new key protects this gallery" in caplog.text
    code, out, err = visavis("enroll", "Obama", *photos[::2])
    assert (code, err) == (0, "")  # here already is no failure
    assert out.endswith("0 photos enrolled, 2 refused (2 here_already)\n")


def test_one_photo_refused_is_exit_code_2(visavis, tmp_path):
    code, out, _ = visavis("enroll", "Nobody", photo(tmp_path / "wall.png", 90, shows=NONE))
    assert (code, "no_face" in out) == (2, True)


@pytest.mark.parametrize("how", ["folder", "roster"])
def test_people_come_in_at_once(visavis, portraits, tmp_path, how):
    folder = people_folder(portraits, tmp_path / "people")
    words = ["--folder", folder]
    if how == "roster":
        roster = folder / "roster.csv"
        with roster.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["name", "photo", "external_id", "consent"])
            rows.writerow(["Barack Obama", "Barack Obama", "E1", "signed"])
            rows.writerow(["Joe Biden", "Joe Biden.jpg", "E2", ""])
        words = ["--roster", roster]
    code, out, _ = visavis("enroll", *words, "--consent", "by contract", "--json")
    document = json.loads(out)
    assert (code, document["people"]) == (0, 2)
    assert [one["accepted"] for one in document["photos"]] == [True] * 3
    shown = json.loads(visavis("people", "show", "Barack Obama", "--json")[1])
    assert shown["consent"] == ("signed" if how == "roster" else "by contract")
    assert (
        json.loads(visavis("people", "show", "Joe Biden", "--json")[1])["consent"] == "by contract"
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["Anna"],
        ["Anna", "a.jpg", "--folder", "."],
        ["--folder", ".", "--roster", "r.csv"],
        ["--folder", ".", "--id", "E1"],
    ],
)
def test_enroll_wants_one_source(visavis, words, tmp_path):
    assert visavis("enroll", *words)[0] == 2
    assert not (tmp_path / "gallery").exists()


def test_a_gallery_demands_consent_when_it_says_so(visavis, portraits, tmp_path):
    assert visavis("people", "consent", "--required")[0] == 0
    code, out, _ = visavis("enroll", "Obama", portraits / "obama.jpg")
    assert (code, "demands a consent note" in out) == (2, True)
    words = ("enroll", "Obama", portraits / "obama.jpg", "--consent", "signed")
    assert visavis(*words)[0] == 0
    visavis("people", "cluster", portraits / "biden.jpg", "--out", tmp_path / "groups")
    name = ("people", "name-group", tmp_path / "groups", 1, "Biden")
    assert visavis(*name)[0] == 2
    assert visavis(*name, "--consent", "signed")[0] == 0


def test_identify_names_each_face_with_its_error_rate(known, portraits, tmp_path):
    drawn = tmp_path / "drawn"
    code, out, err = known("identify", portraits / "obama2.jpg", "--draw", drawn)
    assert (code, err, len(list(drawn.glob("*.png")))) == (0, "", 1)
    head, line = out.splitlines()
    assert head.endswith(f"obama2.jpg: 1 face · drawn: {drawn / 'obama2.jpg.png'}")
    for words in ("match", "Obama", "similarity 0.7", "strangers is taken for", "next Biden"):
        assert words in line


def test_identify_goes_on_past_a_bad_photo(known, portraits, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    code, out, err = known("identify", portraits / "obama3.jpg", tmp_path / "bad.jpg", "--json")
    document = json.loads(out)
    assert (code, err.count("\n"), len(document["errors"])) == (3, 1, 1)
    ((face,),) = (image["faces"] for image in document["images"])
    assert (face["outcome"], face["person"]["name"]) == ("match", "Obama")
    assert face["runner_up"]["name"] == "Biden"
    assert face["margin"] == pytest.approx(
        face["similarity"] - face["runner_up"]["similarity"], abs=2e-4
    )
    assert 0 < face["false_positive_rate"] <= 1e-2
    assert json.loads(known("people", "show", "Obama", "--json")[1])["seen_at"]
    assert json.loads(known("people", "show", "Biden", "--json")[1])["seen_at"] is None


@pytest.mark.parametrize("rate", ["0", "2", "-1", "nan"])
def test_identify_refuses_a_rate_that_is_none(known, portraits, rate):
    code, out, err = known("identify", portraits / "obama.jpg", f"--false-positive-rate={rate}")
    assert (code, out, "between 0 and 1" in err) == (2, "", True)


def test_a_stranger_is_nobody_and_more_than_can_be_shown_is_a_review(known, portraits):
    known("people", "delete", "Biden", "--yes")
    (image,) = json.loads(known("identify", portraits / "biden.jpg", "--json")[1])["images"]
    assert (image["faces"][0]["outcome"], image["faces"][0]["person"]) == ("no_match", None)
    words = ("identify", portraits / "obama2.jpg", "--false-positive-rate", "1e-9")
    code, out, _ = known(*words)
    assert code == 0
    assert "review" in out
    assert "beware: so large a gallery needs a rate that the calibration cannot show" in out


def test_without_a_gallery_identify_says_how_to_make_one(visavis, portraits, tmp_path):
    code, out, err = visavis("identify", portraits / "obama.jpg")
    assert (code, out, "visavis enroll makes one" in err) == (2, "", True)
    assert not (tmp_path / "gallery").exists()


def test_a_gallery_that_cannot_be_written_still_answers(known, portraits, monkeypatch, caplog):
    @contextmanager
    def full(*_: object) -> Iterator[None]:
        raise GalleryError("the file is read-only")
        yield

    monkeypatch.setattr(SqliteDatabase, "writing", full)
    caplog.clear()
    code, out, _ = known("identify", portraits / "obama2.jpg", portraits / "obama3.jpg")
    assert (code, out.count("match     Obama")) == (0, 2)
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == ["cannot note who was seen: the file is read-only"]


def test_a_damaged_template_is_named_on_stderr(known, portraits, tmp_path):
    with sqlite3.connect(tmp_path / "gallery" / "gallery.db") as file:
        file.execute("UPDATE templates SET data = zeroblob(length(data))")
    file.close()
    code, out, err = known("identify", portraits / "obama2.jpg")
    assert (code, err.count("enrol the photo again"), "no match" in out) == (0, 2, True)


@pytest.mark.parametrize(
    ("name", "probe", "code", "outcome"),
    [("Obama", "obama2.jpg", 0, "match"), ("Biden", "obama2.jpg", 1, "no_match")],
)
def test_verify_against_one_person(known, portraits, name, probe, code, outcome):
    found, out, _ = known("verify", portraits / probe, "--person", name, "--json")
    document = json.loads(out)
    assert (found, document["outcome"], document["closest"]["name"]) == (code, outcome, name)
    assert (document["person"] is None) == (outcome == "no_match")
    found, out, _ = known("verify", portraits / probe, "--person", name)
    assert (found, outcome.replace("_", " ") in out) == (code, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--person", "Nobody"], "nobody is called 'Nobody'"),
        (["--person", "Obama", "--face", "2"], "no face 2, there are 1"),
        (["--person", "Obama", "--policy", "1e-12"], "the strictest they support"),
        ([], "--person"),
    ],
)
def test_verify_against_a_person_says_what_is_wrong(known, portraits, words, said):
    code, out, err = known("verify", portraits / "obama.jpg", *words)
    assert (code, out, said in err) == (2, "", True)


def test_people_are_listed_renamed_merged_and_erased(known, portraits, tmp_path):
    assert known("enroll", "Barack", portraits / "obama3.jpg")[0] == 2  # that is Obama
    assert known("people", "rename", "Obama", "Barack")[0] == 0
    assert known("enroll", "Barack", portraits / "obama3.jpg")[0] == 0
    code, out, _ = known("people", "list")
    assert (code, out.splitlines()[-1]) == (0, "2 people")
    assert "Barack · 2 photos" in out
    assert known("people", "merge", "Barack", "Barack")[0] == 2
    assert known("people", "merge", "Barack", "Biden", "--yes")[0] == 0
    (person,) = json.loads(known("people", "list", "--json")[1])["people"]
    assert (person["name"], person["samples"]) == ("Barack", 3)
    code, out, _ = known("people", "delete", "Barack", "--yes")
    assert (code, out.startswith("erased Barack")) == (0, True)
    assert known("people", "list")[1] == "0 people\n"
    assert b"Barack" not in (tmp_path / "gallery" / "gallery.db").read_bytes()


def test_one_person_is_exported_and_vectors_come_and_go(known, tmp_path):
    code, out, _ = known("people", "export", "Obama", "--out", tmp_path / "obama")
    assert (code, out.strip()) == (0, str(tmp_path / "obama"))
    assert json.loads((tmp_path / "obama" / "person.json").read_bytes())["name"] == "Obama"
    row = np.full((1, 512), 24 / np.sqrt(512), np.float32)
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "Zoë.npy", row)
    words = ("--model", "arcface@seed")
    assert known("people", "import", tmp_path / "in", *words)[0] == 0
    assert known("people", "export-tensors", "--out", tmp_path / "out", *words)[0] == 0
    np.testing.assert_allclose(np.load(tmp_path / "out" / "Zoë.npy"), row, rtol=1e-5)
    (tmp_path / "in" / "Bad.npy").write_bytes(b"")
    code, _, err = known("people", "import", tmp_path / "in", *words)
    assert (code, "Bad.npy" in err) == (2, True)


@pytest.fixture
def aged(visavis, tmp_path):
    """Three people: two of whom were added in 2020."""
    gallery = open_gallery(tmp_path / "gallery")
    for name in ("Old", "Older", "New"):
        gallery.add_person(name)
    change_rows(
        gallery, "UPDATE people SET added_at = '2020-01-01T00:00:00+00:00' WHERE name <> 'New'"
    )
    gallery.close()
    return visavis


def test_prune_erases_whom_it_named_and_asks_for_more_than_one(aged, monkeypatch):
    def prune(*words):
        code, out, err = aged("people", "prune", "--older-than", "30", *words)
        return code, out, err.count("Erase 2 people for good?")

    assert prune("--dry-run") == (0, aged("people", "prune", "--older-than=30", "--dry-run")[1], 0)
    assert prune("--dry-run")[1].count("would erase") == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    code, out, _ = prune()
    assert (code, "Erase 2 people for good?" in out) == (1, True)  # nobody answers: no
    code, out, asked = prune("--json")
    assert (code, json.loads(out)["error"]["code"], asked) == (2, "usage", 1)
    assert aged("people", "list")[1].endswith("3 people\n")
    code, out, _ = prune("--yes", "--json")
    assert (code, len(json.loads(out)["people"])) == (0, 2)
    assert aged("people", "list")[1].endswith("1 person\n")


def test_several_are_erased_at_once_or_nobody(aged):
    code, _, err = aged("people", "delete", "Old", "Nobody", "--yes")
    assert (code, "nobody is called 'Nobody'" in err) == (2, True)
    assert aged("people", "list")[1].endswith("3 people\n")
    code, out, _ = aged("people", "delete", "Old", "New", "Old", "--yes", "--json")
    assert (code, [one["name"] for one in json.loads(out)["erased"]]) == (0, ["Old", "New"])
    assert aged("people", "delete", "Older", "--yes")[1].startswith("erased Older: no name")
    assert aged("people", "list")[1] == "0 people\n"


@pytest.mark.parametrize("days", ["0", "-1", "nan", "inf", "1e300"])
def test_a_rule_of_no_age_is_refused_in_one_line(aged, days):
    code, out, err = aged("people", "prune", f"--older-than={days}", "--yes")
    assert (code, out, err.count("\n"), "--older-than" in err) == (2, "", 1, True)
    assert aged("people", "list")[1].endswith("3 people\n")


def test_the_check_of_ages_can_fail(aged, monkeypatch):
    monkeypatch.setattr(transfer, "stale", lambda gallery, days: gallery.people())
    assert aged("people", "prune", "--older-than=0", "--yes")[0] == 0
    assert aged("people", "list")[1] == "0 people\n"


def test_a_backup_is_restored_and_re_embed_counts(known, tmp_path):
    assert known("people", "backup", tmp_path / "copy.db")[0] == 0
    known("people", "delete", "Obama", "--yes")
    assert known("people", "backup", tmp_path / "copy.db")[0] == 2  # it is there already
    assert known("people", "restore", tmp_path / "copy.db")[0] == 2
    assert known("people", "restore", tmp_path / "copy.db", "--replace")[0] == 0
    gallery = open_gallery(tmp_path / "gallery", create=False)
    assert [person.name for person in gallery.people()] == ["Biden", "Obama"]
    gallery.close()
    assert known("people", "re-embed")[1].startswith("0 templates made\n")


@pytest.mark.slow
def test_a_gallery_of_an_earlier_way_to_cut_faces_is_brought_over(
    known, visavis, portraits, tmp_path
):
    """Two photos as the first visavis left them: of one the crop was kept, which says no way."""
    pack = load_pack()
    before = pack.manifest.embedder.model_of(1)
    photo = find_faces(load_detector(pack), portraits / "obama.jpg")
    (crop,) = photo.crops([0])
    (row,) = load_embedder(pack)(crop[None])
    known("people", "delete", "Obama", "--yes")
    gallery = open_gallery(tmp_path / "gallery", create=False)
    person = gallery.add_person("Obama").id
    for name, kept in (("1.jpg", encoded(crop)), ("2.jpg", None)):
        gallery.add_sample(person, Sample(name, name, {}, {before: row}, kept))
    gallery.close()
    _, out, err = known("identify", portraits / "obama2.jpg")
    assert "2 photos of 1 person have no template" in err
    assert f"only of {before}: they are not compared" in err
    assert "Obama" not in out
    code, out, _ = known("people", "re-embed")
    assert (code, out) == (
        0,
        "1 template made (1 of crops that were cut in an earlier way); "
        "1 photo without a crop must be enrolled again\n",
    )
    _, out, err = known("identify", portraits / "obama2.jpg")
    assert ("match" in out, "no match" in out, "Obama" in out) == (True, False, True)
    assert "1 photo of 1 person have no template" in err


def test_every_verb_of_people_answers_in_one_document(known, portraits, tmp_path):
    def document(*words):
        code, out, _ = known("people", *words, "--json")
        assert code == 0
        return json.loads(out)

    renamed = document("rename", "Obama", "Barack")
    assert (renamed["renamed"]["name"], renamed["from"]) == ("Barack", "Obama")
    noted = document("note-consent", "Barack", "by letter")["noted"]
    assert (noted["name"], noted["consent"]) == ("Barack", "by letter")
    assert document("consent", "--not-required") == {"consent_required": False}
    exported = document("export", "Barack", "--out", tmp_path / "out")
    assert (exported["out"], exported["exported"]["name"]) == (str(tmp_path / "out"), "Barack")
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "Zoë.npy", np.ones(4, np.float32))
    imported = document("import", tmp_path / "in", "--model", "a@1")
    assert [person["name"] for person in imported["imported"]] == ["Zoë"]
    sent = document("export-tensors", "--out", tmp_path / "tensors", "--model", "a@1")
    assert sent == {"out": str(tmp_path / "tensors"), "model": "a@1", "vectors": 1}
    made = document("re-embed", "--runtime", "openvino", "--precision", "float32")
    assert (made["made"], made["without_crop"]) == (0, 1)
    kept = document("backup", tmp_path / "copy.db")
    head = document("audit", "head")["head"]
    assert kept == {"out": str(tmp_path / "copy.db"), "people": 3, "head": head}
    assert document("delete", "Zoë", "--yes")["erased"][0]["name"] == "Zoë"
    restored = document("restore", tmp_path / "copy.db", "--replace")
    assert restored == {"gallery": str(tmp_path / "gallery"), "people": 3}
    merged = document("merge", "Barack", "Zoë", "--yes")
    assert (merged["merged"]["name"], merged["into"]["samples"]) == ("Zoë", 2)
    groups = tmp_path / "groups"
    photos = (portraits / "obama.jpg", portraits / "biden.jpg")
    assert document("cluster", *photos, "--out", groups)["groups"] == [1, 1]
    assert document("merge-groups", groups, 1, 2) == {"out": str(groups), "groups": [2]}
    assert document("split-group", groups, 1, 2) == {"out": str(groups), "groups": [1, 1]}


def test_a_deletion_for_a_machine_asks_nothing(known):
    code, out, err = known("people", "delete", "Obama", "--json")
    assert (code, json.loads(out)["error"]["code"], "say --yes" in err) == (2, "usage", True)
    assert known("people", "list")[1].endswith("2 people\n")


@pytest.mark.parametrize("line", DOCUMENTED)
def test_every_line_of_the_page_is_a_command(line):
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context("visavis", words)  # raises for what it does not understand


def test_every_verb_of_people_is_on_the_page():
    verbs = typer.main.get_command(app).commands["people"].commands
    assert [verb for verb in verbs if f"visavis people {verb} " not in PAGE] == []


def test_consent_is_noted_when_it_comes(known, portraits):
    assert known("people", "note-consent", "Obama", "by letter")[0] == 0
    assert json.loads(known("people", "show", "Obama", "--json")[1])["consent"] == "by letter"
    assert known("enroll", "Biden", portraits / "biden.jpg", "--consent", "late")[0] == 0
    assert known("enroll", "Obama", portraits / "obama2.jpg", "--consent", "by mail")[0] == 0
    assert json.loads(known("people", "show", "Obama", "--json")[1])["consent"] == "by mail"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("rename", "Obama", "Biden"), "Somebody else is called Biden"),
        (("merge", "Obama", "Biden"), "Move the photos of Biden (1) to Obama (1)? visavis"),
    ],
)
def test_what_cannot_be_undone_is_asked_about(known, words, asked, monkeypatch):
    before = known("people", "list")[1]
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, err = known("people", *words)
    assert code == 1
    assert asked in out + err
    assert known("people", "list")[1] == before
    code, out, err = known("people", *words, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (2, "usage")
    assert "say --yes" in err
    assert known("people", *words, "--yes")[0] == 0
    assert known("people", "list")[1] != before


def test_a_name_that_is_free_is_given_without_asking(known):
    assert known("people", "rename", "Obama", "Barack")[0] == 0
    assert known("people", "rename", "Barack", "Barack")[0] == 0
