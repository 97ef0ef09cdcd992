"""A face that is not somebody is never named so again; and what that costs is shown before."""

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
from made import ANNA, BERT, CARL, NONE, angle, photo
from served import made_calibration, made_recognizer

from visavis.enrollment import Candidate, enroll
from visavis.errors import NoFaceError, PersonError
from visavis.gallery import Sample, negatives, open_gallery
from visavis.gallery.backups import backup, restore
from visavis.gallery.negatives import (
    add_negative,
    allowed_nearest,
    find_negative,
    negatives_of,
    remove_negative,
)
from visavis.gallery.rotation import rotate_key
from visavis.gallery.transfer import export_person
from visavis.rejection import PhotoEffect, keep_rejection, rejection_of

MODEL = "fake@0"
LIKE = ANNA + 10  # 18 degrees from Anna: a similarity of 0.95, and a match from 0.3 on


@pytest.fixture
def made(gallery, tmp_path):
    """A recognizer of made photos, with Anna and Bert in the gallery, a photo each."""
    recognizer = made_recognizer(made_calibration())
    people = (("Anna", ANNA), ("Bert", BERT))
    candidates = [Candidate(name, photo(tmp_path / f"{name}.png", level)) for name, level in people]
    assert all(one.accepted for one in enroll(recognizer, gallery, candidates))
    return recognizer, gallery, tmp_path


def named(recognizer, gallery, path) -> str | None:
    (face,) = recognizer.identify(path, gallery)
    return face.person and face.person.name


def reject(recognizer, gallery, path, who="Anna"):
    rejection = rejection_of(recognizer, gallery, gallery.find(who), path)
    return rejection, keep_rejection(gallery, rejection)


def test_a_face_that_was_rejected_is_not_named_so_again_and_neither_are_those_like_it(made):
    recognizer, gallery, folder = made
    probes = {  # level: who it is before and after; nearer to 70 than to 60 it is no longer Anna
        LIKE: ("Anna", None),
        LIKE + 3: ("Anna", None),
        LIKE - 3: ("Anna", None),
        ANNA + 3: ("Anna", "Anna"),
        ANNA: ("Anna", "Anna"),
        BERT: ("Bert", "Bert"),
    }
    paths = {level: photo(folder / f"{level}.png", level, seed=1) for level in probes}
    assert [named(recognizer, gallery, path) for path in paths.values()] == [
        before for before, _ in probes.values()
    ]
    reject(recognizer, gallery, paths[LIKE])
    assert [named(recognizer, gallery, path) for path in paths.values()] == [
        after for _, after in probes.values()
    ]
    (face,) = recognizer.identify(paths[LIKE], gallery)
    assert (face.closest.name, face.decision.matched) == ("Bert", False)
    anna = recognizer.verify_person(paths[LIKE], gallery, gallery.find("Anna"))
    assert anna.decision.outcome == "no_match"
    index = gallery.index(recognizer.embed.parts)
    add_negative(gallery, gallery.find("Bert").id, {MODEL: angle(LIKE)[None]})
    assert gallery.index(recognizer.embed.parts) is index  # nothing was read again for it
    assert gallery.damages() == []


def test_without_the_rule_the_rejected_face_is_named_again(made, monkeypatch):
    recognizer, gallery, folder = made
    path = photo(folder / "like.png", LIKE)
    reject(recognizer, gallery, path)
    assert named(recognizer, gallery, path) is None
    monkeypatch.setattr(negatives, "_opened", lambda gallery, parts: ([], None))
    assert named(recognizer, gallery, path) == "Anna"


def test_who_was_taken_for_somebody_can_be_enrolled_then(made):
    recognizer, gallery, folder = made
    path = photo(folder / "like.png", LIKE)
    (refused,) = enroll(recognizer, gallery, [Candidate("Lea", path)])
    assert refused.reason == "other_person"
    reject(recognizer, gallery, path)
    (accepted,) = enroll(recognizer, gallery, [Candidate("Lea", path)])
    assert accepted.accepted
    assert named(recognizer, gallery, path) == "Lea"


def test_what_it_would_change_is_told_and_nothing_is_kept(made):
    """Anna's photos at 60 and 74: 25.2 degrees apart, 0.905. A negative at 68 is 14.4 degrees from
    the one (0.969) and 10.8 from the other (0.982): both would be lost. One at 95 is 63 and 37.8.
    """
    recognizer, gallery, folder = made
    second = photo(folder / "second.png", ANNA + 14)
    assert all(one.accepted for one in enroll(recognizer, gallery, [Candidate("Anna", second)]))
    before = gallery.audit_head()
    anna = gallery.find("Anna")
    near, far = (
        rejection_of(recognizer, gallery, anna, photo(folder / f"{n}.png", n)) for n in (68, 95)
    )
    said = [(one.source, one.similarity, one.negative_similarity, one.lost) for one in near.photos]
    assert [(source, lost) for source, *_, lost in said] == [
        ("Anna.png", True), ("second.png", True),
    ]  # fmt: skip
    numbers = [value for _, *values, _ in said for value in values]
    assert numbers == pytest.approx([0.905, 0.969, 0.905, 0.982], abs=0.01)
    assert (near.lost, far.lost) == (2, 0)
    assert near.threshold == 0.4  # of three comparisons
    assert (negatives_of(gallery), gallery.audit_head()) == ([], before)


def test_of_one_photo_alone_nothing_can_be_told(made):
    recognizer, gallery, folder = made
    path = photo(folder / "like.png", LIKE)
    rejection = rejection_of(recognizer, gallery, gallery.find("Anna"), path)
    (effect,) = rejection.photos
    assert asdict(effect) == asdict(
        PhotoEffect(effect.sample, "Anna.png", None, effect.negative_similarity, False)
    )
    nobody = photo(folder / "none.png", LIKE, shows=NONE)
    with pytest.raises(NoFaceError):
        rejection_of(recognizer, gallery, rejection.person, nobody)


def test_it_is_listed_found_and_removed(made):
    recognizer, gallery, folder = made
    path = photo(folder / "like.png", LIKE)
    _, negative = reject(recognizer, gallery, path)
    assert negatives_of(gallery) == negatives_of(gallery, negative.person_id) == [negative]
    assert negatives_of(gallery, gallery.find("Bert").id) == []
    assert find_negative(gallery, negative.id) == negative
    remove_negative(gallery, negative)
    assert named(recognizer, gallery, path) == "Anna"
    with pytest.raises(PersonError, match="there is no negative"):
        find_negative(gallery, negative.id)
    actions = [entry.action for entry in gallery.audit_of(negative.person_id)][-2:]
    assert actions == ["add negative", "remove negative"]


def test_it_goes_with_the_person_and_leaves_no_trace(made):
    recognizer, gallery, folder = made
    _, negative = reject(recognizer, gallery, photo(folder / "like.png", LIKE))
    with closing(sqlite3.connect(gallery.database.path)) as file:
        ((sealed,),) = file.execute("SELECT sealed FROM negatives").fetchall()
    gallery.delete(negative.person_id)
    assert negatives_of(gallery) == []
    data = b"".join(path.read_bytes() for path in gallery.database.path.parent.iterdir())
    assert sealed not in data


def test_a_merge_moves_it_and_an_export_and_a_backup_hold_it(made):
    recognizer, gallery, folder = made
    path = photo(folder / "like.png", LIKE)
    _, negative = reject(recognizer, gallery, path)
    other = gallery.add_person("Ann").id
    gallery.merge(other, negative.person_id)
    assert [one.person_id for one in negatives_of(gallery)] == [other]
    assert named(recognizer, gallery, path) is None
    export_person(gallery, gallery.find("Ann"), folder / "out")
    document = json.loads((folder / "out" / "person.json").read_text())
    assert [one["id"] for one in document["negatives"]] == [negative.id]
    backup(gallery, folder / "copy.db")
    gallery.close()
    restore(folder / "copy.db", folder / "new")
    again = open_gallery(folder / "new")
    assert named(recognizer, again, path) is None
    again.close()


def test_a_new_key_opens_it(made):
    recognizer, gallery, folder = made
    path = photo(folder / "like.png", LIKE)
    reject(recognizer, gallery, path)
    where = gallery.database.path.parent
    rotate_key(gallery)
    again = open_gallery(where)
    assert named(recognizer, again, path) is None
    again.close()


def test_one_that_was_altered_is_left_out_and_named(made, caplog):
    recognizer, gallery, folder = made
    path = photo(folder / "like.png", LIKE)
    reject(recognizer, gallery, path)
    with closing(sqlite3.connect(gallery.database.path)) as file:
        file.execute("UPDATE negatives SET model = model, sealed = zeroblob(60)")
        file.commit()
    assert named(recognizer, gallery, path) == "Anna"
    assert "a negative of person" in caplog.text


def test_there_are_not_too_many_and_none_of_nobody(made, monkeypatch):
    _, gallery, _ = made
    row = {MODEL: angle(LIKE)[None]}
    with pytest.raises(PersonError, match="not in the gallery"):
        add_negative(gallery, "nobody", row)
    monkeypatch.setattr(negatives, "MOST_NEGATIVES", 1)
    add_negative(gallery, gallery.find("Anna").id, row)
    with pytest.raises(PersonError, match="at most 1 negatives"):
        add_negative(gallery, gallery.find("Anna").id, row)


def test_those_who_are_left_are_the_closest_of_all(made):
    """Of a face at 130: Bert (36 degrees away) and Anna (126) are passed over, and Carl, who is 54
    degrees away, is found behind them.
    """
    recognizer, gallery, _ = made
    carl = gallery.add_person("Carl").id
    gallery.add_sample(carl, Sample("carl.jpg", "carl", {}, {MODEL: angle(CARL)}))
    parts, probe = recognizer.embed.parts, angle(BERT + 20)[None]
    for name in ("Anna", "Bert"):
        add_negative(gallery, gallery.find(name).id, {MODEL: probe})
    ((left,),) = allowed_nearest(gallery, gallery.index(parts), parts, probe)
    assert left == (carl, pytest.approx(0.588, abs=0.01))


@pytest.mark.slow
@pytest.mark.pack
def test_the_command_line_shows_keeps_lists_and_removes(run, tmp_path, portraits):
    folder = ("--gallery", tmp_path / "gallery")
    photos = (portraits / "obama.jpg", portraits / "obama2.jpg")
    assert run("enroll", "Barack", *photos, *folder)[0] == 0
    probe = portraits / "obama3.jpg"
    code, out, _ = run("people", "reject", "Barack", probe, "--dry-run", *folder, "--json")
    shown = json.loads(out)
    assert (code, shown["negative"], len(shown["photos"])) == (0, None, 2)
    assert run("identify", probe, *folder, "--json")[0] == 0
    code, out, _ = run("people", "reject", "Barack", probe, "--yes", *folder, "--json")
    kept = json.loads(out)["negative"]
    assert code == 0
    (face,) = json.loads(run("identify", probe, *folder, "--json")[1])["images"][0]["faces"]
    assert face["person"] is None
    listed = json.loads(run("people", "negatives", *folder, "--json")[1])
    assert listed == {"negatives": [kept]}
    code, out, _ = run("people", "remove-negative", kept["id"], *folder, "--json")
    assert json.loads(out) == {"removed": kept}
    assert run("people", "negatives", *folder)[1] == "no negatives\n"
    code, out, _ = run("people", "reject", "Barack", probe, "--yes", *folder)
    assert "kept: this face is not Barack" in out
