"""Photos into a gallery: what is accepted, what is refused and why; nothing comes twice."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import ANNA, BERT, CARL, CUT, NONE, SMALL, TURNED, TWO, AngleEmbedder, detect, photo
from PIL import Image

from visavis import enrollment
from visavis.answers.people import apart_words, reembedded_words
from visavis.decision import OperatingPoint
from visavis.document import to_bytes
from visavis.enrollment import (
    Candidate,
    Reembedded,
    embed_kept_crops,
    enroll,
    from_folder,
    from_roster,
)
from visavis.errors import DatasetError, GalleryError
from visavis.gallery import Apart, Gallery, Sample, open_gallery
from visavis.recognizer import Recognizer, calibration_name


@pytest.fixture
def made(calibration) -> Recognizer:
    """A recognizer of made photos."""
    return Recognizer(detect, AngleEmbedder(), calibration)


def outcomes(results) -> list[str]:
    return [one.reason or "accepted" for one in results]


def test_several_photos_become_one_person(made, gallery, tmp_path):
    photos = [photo(tmp_path / f"{n}.png", ANNA, seed=n) for n in range(3)]
    found = list(enroll(made, gallery, [Candidate("Anna", path, "E1", "2026") for path in photos]))
    assert outcomes(found) == ["accepted"] * 3
    (person,) = gallery.people()
    assert (person.name, person.external_id, person.consent) == ("Anna", "E1", "2026")
    assert person.samples == 3
    assert [sample.source for sample in gallery.samples(person.id)] == [
        "0.png",
        "1.png",
        "2.png",
    ]


REFUSED = [
    ("no_face", {"shows": NONE}),
    ("ambiguous", {"shows": TWO}),
    ("small", {"shows": SMALL}),
    ("blurred", {"noise": 0}),
    ("turned", {"shows": TURNED}),
    ("cut", {"shows": CUT}),
]


@pytest.mark.parametrize(("reason", "shown"), REFUSED)
def test_a_photo_is_refused_for_a_reason_and_the_rest_goes_on(
    made, gallery, tmp_path, reason, shown
):
    photos = [
        photo(tmp_path / "a.png", 90),
        photo(tmp_path / "b.png", 90, **shown),
        photo(tmp_path / "c.png", 90, seed=1),
    ]
    found = list(enroll(made, gallery, [Candidate("Anna", path) for path in photos], workers=2))
    assert outcomes(found) == ["accepted", reason, "accepted"]
    assert found[1].detail
    assert found[1].photo == str(photos[1])


def test_a_dark_photo_and_a_bad_file_are_refused(made, gallery, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    paths = [photo(tmp_path / "a.png", 20), tmp_path / "bad.png", tmp_path / "gone.png"]
    found = list(enroll(made, gallery, [Candidate("Anna", path) for path in paths]))
    assert outcomes(found) == ["dark", "unreadable", "unreadable"]
    assert gallery.people() == []  # nobody is added whose photos were all refused


@pytest.mark.parametrize(
    ("shown", "taken"), [({"shows": SMALL}, True), ({"noise": 0}, True), ({"shows": TWO}, False)]
)
def test_anyway_takes_poor_photos_but_no_unclear_ones(made, gallery, tmp_path, shown, taken):
    candidate = Candidate("Anna", photo(tmp_path / "a.png", ANNA, **shown))
    (found,) = enroll(made, gallery, [candidate], anyway=True)
    assert found.accepted == taken


def test_a_face_can_be_named_by_its_number(made, gallery, tmp_path):
    both = photo(tmp_path / "both.png", (ANNA, BERT), shows=TWO)
    wanted = [Candidate("Anna", both, face=1), Candidate("Bert", both, face=2)]
    found = list(enroll(made, gallery, [*wanted, Candidate("Carl", both, face=3)]))
    assert outcomes(found) == ["accepted", "accepted", "no_face"]


@pytest.mark.parametrize("anyway", [False, True])
def test_a_photo_closer_to_somebody_else_is_refused(made, gallery, tmp_path, anyway):
    anna = [Candidate("Anna", photo(tmp_path / f"{n}.png", ANNA, seed=n)) for n in range(2)]
    bert = Candidate("Bert", photo(tmp_path / "bert.png", BERT))
    wrong = Candidate("Bert", photo(tmp_path / "wrong.png", ANNA, seed=9))
    found = list(enroll(made, gallery, [*anna, bert, wrong], anyway=anyway))
    assert outcomes(found) == ["accepted", "accepted", "accepted", "other_person"]
    assert "like Anna (1.00), more than like Bert" in found[-1].detail


def test_a_photo_closer_to_its_own_person_is_taken_though_another_is_alike(made, gallery, tmp_path):
    near = photo(tmp_path / "near.png", ANNA + 20)  # 0.81 alike: over the threshold
    wanted = [Candidate("Anna", photo(tmp_path / "a.png", ANNA)), Candidate("Bert", near)]
    assert outcomes(enroll(made, gallery, wanted)) == ["accepted", "other_person"]
    bert = [Candidate("Bert", photo(tmp_path / "b.png", ANNA + 40)), Candidate("Bert", near)]
    more = [replace(bert[1], photo=photo(tmp_path / "c.png", ANNA + 25))]
    assert outcomes(enroll(made, gallery, [bert[0], *more])) == ["accepted", "accepted"]


@pytest.mark.slow
def test_a_large_gallery_asks_for_more_likeness_before_it_refuses(made, gallery, tmp_path):
    points = (*made.calibration.points, OperatingPoint(0.9, 4e-6, 5e-6, 0.5))
    strict = replace(made, calibration=replace(made.calibration, points=points))
    alike = photo(tmp_path / "alike.png", ANNA + 25)  # 0.71 alike
    for count, outcome in ((1, "other_person"), (101, "accepted")):  # 1e-2 / 101 is under 1e-4
        for number in range(count):
            path = photo(tmp_path / f"{number}.png", ANNA, seed=number)
            list(enroll(strict, gallery, [Candidate("Anna", path)]))
        assert outcomes(enroll(strict, gallery, [Candidate("Bert", alike)])) == [outcome]


def test_twice_changes_nothing(made, gallery, tmp_path):
    wanted = [Candidate("Anna", photo(tmp_path / f"{n}.png", ANNA, seed=n)) for n in range(3)]
    wanted.append(replace(wanted[0]))  # the same photo again in one run
    assert outcomes(enroll(made, gallery, wanted, workers=4)) == [*["accepted"] * 3, "here_already"]
    before = gallery.people(), gallery.changes(0)
    assert outcomes(enroll(made, gallery, wanted)) == ["here_already"] * 4
    assert (gallery.people(), gallery.changes(0)) == before


def test_what_is_here_already_is_not_searched_again(made, gallery, tmp_path):
    wanted = [Candidate("Anna", photo(tmp_path / "a.png", ANNA))]
    list(enroll(made, gallery, wanted))
    blind = replace(made, detect=lambda image: pytest.fail("was searched"))
    assert outcomes(enroll(blind, gallery, wanted)) == ["here_already"]


def test_an_interrupted_run_goes_on_where_it_was(made, gallery, tmp_path):
    wanted = [
        Candidate(name, photo(tmp_path / f"{name}{n}.png", level, seed=n))
        for name, level in (("Anna", ANNA), ("Bert", BERT))
        for n in range(4)
    ]
    run = enroll(made, gallery, wanted, workers=2)
    first = [next(run) for _ in range(3)]
    run.close()
    assert outcomes(first) == ["accepted"] * 3
    assert sum(person.samples for person in gallery.people()) == 3
    found = outcomes(enroll(made, gallery, wanted, workers=2))
    assert found == ["here_already"] * 3 + ["accepted"] * 5
    assert [person.samples for person in gallery.people()] == [4, 4]


def test_names_are_one_however_they_are_typed(made, gallery, tmp_path):
    typed = [unicodedata.normalize(form, "Zoë Ångström") for form in ("NFC", "NFD")]
    wanted = [
        Candidate(name, photo(tmp_path / f"{n}.png", ANNA, seed=n)) for n, name in enumerate(typed)
    ]
    assert outcomes(enroll(made, gallery, wanted)) == ["accepted"] * 2
    assert [person.name for person in gallery.people()] == [typed[0]]
    assert outcomes(enroll(made, gallery, wanted)) == ["here_already"] * 2


def test_a_name_without_its_id_is_the_one_person_of_that_name(made, gallery, tmp_path):
    photos = [photo(tmp_path / f"{n}.png", ANNA, seed=n) for n in range(3)]
    list(enroll(made, gallery, [Candidate("Anna", photos[0], "E1")]))
    assert outcomes(enroll(made, gallery, [Candidate("Anna", photos[1])])) == ["accepted"]
    other = Candidate("Anna", photo(tmp_path / "b.png", BERT), "E2")
    found = list(enroll(made, gallery, [other, Candidate("Anna", photos[2])]))
    assert outcomes(found) == ["accepted", "not_added"]
    assert "2 people are called 'Anna'" in found[1].detail


@pytest.mark.parametrize("name", ["", "a\x00b", "x" * 201])
def test_an_impossible_name_is_refused(made, gallery, tmp_path, name):
    (found,) = enroll(made, gallery, [Candidate(name, photo(tmp_path / "a.png", ANNA))])
    assert (found.reason, "printable characters" in found.detail) == ("not_added", True)


def test_a_gallery_that_demands_consent_gets_it(made, gallery, tmp_path):
    gallery.requires_consent = True
    path = photo(tmp_path / "a.png", ANNA)
    (found,) = enroll(made, gallery, [Candidate("Anna", path)])
    assert (found.reason, "consent" in found.detail) == ("not_added", True)
    assert outcomes(enroll(made, gallery, [Candidate("Anna", path, consent="signed")])) == [
        "accepted"
    ]


def test_a_gallery_in_trouble_stops_the_run(made, gallery, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise GalleryError("the disk is full")

    monkeypatch.setattr(Gallery, "add_sample", full)
    with pytest.raises(GalleryError, match="full"):
        list(enroll(made, gallery, [Candidate("Anna", photo(tmp_path / "a.png", ANNA))]))


def test_the_configuration_is_noted_with_the_first_photo_that_is_accepted(made, gallery, tmp_path):
    def configured():
        return [one.action for one in gallery.changes(0)].count("configure")

    list(enroll(made, gallery, []))
    list(enroll(made, gallery, [Candidate("Anna", photo(tmp_path / "no.png", 90, shows=NONE))]))
    assert configured() == 0
    wanted = [Candidate("Anna", photo(tmp_path / f"{n}.png", ANNA, seed=n)) for n in range(3)]
    list(enroll(made, gallery, wanted))
    list(enroll(made, gallery, [Candidate("Bert", photo(tmp_path / "b.png", BERT))]))
    assert configured() == 1
    own = replace(made.calibration, data_sha256="1" * 64)
    gallery.keep(calibration_name("fake@0"), to_bytes(own))
    list(enroll(made, gallery, [Candidate("Carl", photo(tmp_path / "c.png", CARL))]))
    assert configured() == 2


def test_newcomers_are_judged_by_the_gallerys_own_calibration(made, gallery, tmp_path):
    points = (OperatingPoint(0.9, 4e-6, 5e-6, 0.5),)
    own = replace(made.calibration, points=points)
    list(enroll(made, gallery, [Candidate("Anna", photo(tmp_path / "a.png", ANNA))]))
    alike = Candidate("Bert", photo(tmp_path / "b.png", ANNA + 25))  # 0.71 alike
    assert outcomes(enroll(made, gallery, [alike])) == ["other_person"]
    gallery.keep(calibration_name("fake@0"), to_bytes(own))
    assert outcomes(enroll(made, gallery, [alike])) == ["accepted"]


def test_whom_another_process_enrols_meanwhile_is_known(made, gallery, tmp_path):
    other = open_gallery(gallery.database.path.parent)
    photos = [photo(tmp_path / f"{n}.png", ANNA, seed=n) for n in range(2)]
    carl = Candidate("Carl", photo(tmp_path / "c.png", CARL))
    run = enroll(made, gallery, [carl, Candidate("Bert", photos[1])])
    assert next(run).accepted
    list(enroll(made, other, [Candidate("Anna", photos[0])]))
    assert outcomes(run) == ["other_person"]
    other.close()


def test_kept_crops_make_templates_of_another_model(made, gallery, tmp_path):
    for name, level, keep in (("Anna", ANNA, True), ("Carl", CARL, False)):
        wanted = [Candidate(name, photo(tmp_path / f"{name}.png", level))]
        list(enroll(made, gallery, wanted, keep_crops=keep))
    newer = AngleEmbedder()
    newer.model = "newer@1"
    assert gallery.apart("newer@1") == Apart(2, 2, ("fake@0",))
    assert embed_kept_crops(gallery, newer) == Reembedded(1, cut_before=0, without_crop=1)
    assert embed_kept_crops(gallery, newer) == Reembedded(0, cut_before=0, without_crop=1)
    assert gallery.apart("newer@1") == Apart(1, 1, ("fake@0",))
    old, new = (gallery.templates(model)[0] for model in ("fake@0", "newer@1"))
    assert (len(old.people), new.people) == (2, (gallery.find("Anna").id,))
    np.testing.assert_allclose(new.rows[0], old.rows[old.people.index(new.people[0])], atol=1e-6)


def test_templates_of_another_way_to_cut_are_left_alone_until_they_are_made_anew(
    made, gallery, tmp_path, monkeypatch
):
    """The same weights: `cut` is what their model is called since faces are cut in a new way."""
    photos = [Candidate("Anna", photo(tmp_path / f"{n}.png", ANNA, seed=n)) for n in range(2)]
    list(enroll(made, gallery, photos[:1], keep_crops=True))
    embed = AngleEmbedder()
    embed.model = "cut@2"
    monkeypatch.setattr(enrollment, "ALIGNMENT", enrollment.ALIGNMENT + 1)
    cut = replace(made, embed=embed, calibration=replace(made.calibration, model="cut@2"))
    probe = photo(tmp_path / "probe.png", ANNA, seed=9)
    assert [one.decision.outcome for one in cut.identify(probe, gallery)] == ["no_match"]
    assert embed_kept_crops(gallery, embed) == Reembedded(1, cut_before=1, without_crop=0)
    (answer,) = cut.identify(probe, gallery)
    assert (answer.decision.outcome, answer.person.name) == ("match", "Anna")
    list(enroll(cut, gallery, photos[1:], keep_crops=True))  # its crop is cut as of now
    embed.model = "newer@3"
    assert embed_kept_crops(gallery, embed) == Reembedded(2, cut_before=1, without_crop=0)


@pytest.mark.parametrize(
    ("before", "words"), [(0, "3 templates made; 2 photos"), (1, "3 templates made (1 of crops")]
)
def test_what_could_not_be_embedded_anew_is_said(before, words):
    (line,) = reembedded_words(Reembedded(3, cut_before=before, without_crop=2))
    assert line.startswith(words)
    assert line.endswith("2 photos have no crop and must be enrolled again")


def test_photos_of_other_models_are_counted_in_words(gallery):
    for name, models in (("Anna", ("a@1",)), ("Bert", ("a@1", "c@1")), ("Carl", ("b@1",))):
        person = gallery.add_person(name)
        for number in range(2):
            templates = {model: np.float32([1, 0]) for model in models}
            gallery.add_sample(person.id, Sample("1.png", f"{name}{number}", {}, templates))
    (line,) = apart_words(gallery.apart("c@1"), "c@1")
    assert "4 photos of 2 people have no template of c@1, only of a@1, b@1" in line
    assert "re-embed" in line
    assert len(apart_words(gallery.apart("none@1"), "none@1")) == 1
    for name in ("Anna", "Carl"):
        gallery.delete(gallery.find(name).id)
    assert apart_words(gallery.apart("c@1"), "c@1") == []


def test_a_folder_names_people_by_folder_or_file(tmp_path):
    for name in ("Anna/1.jpg", "Anna/old/2.jpg", "Bert.png", ".hidden/3.jpg", "Anna/notes.txt"):
        photo(tmp_path / Path(name).with_suffix(".png"), ANNA).rename(tmp_path / name)
    found = sorted((one.name, one.photo.name) for one in from_folder(tmp_path))
    assert found == [("Anna", "1.jpg"), ("Anna", "2.jpg"), ("Bert", "Bert.png")]


def test_a_roster_lists_people(tmp_path):
    photo(tmp_path / "photos" / "a.png", ANNA)
    photo(tmp_path / "more" / "b.png", ANNA)
    rows = (
        "name,photo,external_id,consent\nZoë, photos/a.png ,E1,signed\n\n"
        f'"Doe, Jo",more,,\nBert,{tmp_path / "photos" / "a.png"},,\nCarl,photos/gone.png,,\n'
    )
    (tmp_path / "roster.csv").write_text(rows, encoding="utf-8-sig")
    assert from_roster(tmp_path / "roster.csv") == [
        Candidate("Zoë", tmp_path / "photos" / "a.png", "E1", "signed"),
        Candidate("Doe, Jo", tmp_path / "more" / "b.png"),
        Candidate("Bert", tmp_path / "photos" / "a.png"),
        Candidate("Carl", tmp_path / "photos" / "gone.png"),  # refused when it is read
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("name,path\nAnna,a.png\n", "no column photo"),
        ("name;photo\nAnna;a.png\n", "no column name, photo"),
        ("", "no column name, photo"),
        ("name,photo\nAnna,a.png\n\nBert,b.png,1,2\n", "line 4: expected a name and a photo"),
        ("name,photo\nAnna\n", "line 2: expected a name and a photo"),
        ('name,photo\n"A\nB",a.png\n,b.png\n', "line 4: expected a name"),
        ("name,photo\nAnna,empty\n", "line 2:"),
        ("name,photo\nAnna,no*.png\n", "line 2:"),
        (b"name,photo\nZo\xeb,a.png\n", "expected a CSV in UTF-8"),
        (None, "expected a CSV in UTF-8"),
    ],
)
def test_a_bad_roster_is_refused_whole(tmp_path, rows, said):
    (tmp_path / "empty").mkdir()
    path = tmp_path / "roster.csv"
    if rows is not None:
        path.write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    with pytest.raises(DatasetError, match=said):
        from_roster(path)


def close_up(portrait: Path, recognizer: Recognizer, target: Path, fill: float, side: int) -> None:
    """A portrait cut so that its face box fills that share of the height; over 1, it juts out."""
    left, top, right, bottom = recognizer.faces(portrait).faces[0].box
    across, down = (left + right) / 2, (top + bottom) / 2
    half = (bottom - top) / fill / 2
    wide = half if fill < 1 else min(half, (right - left) / 2)
    cut = (across - wide, down - half, across + wide, down + half)
    cut = Image.open(portrait).convert("RGB").crop(tuple(round(float(value)) for value in cut))
    target.parent.mkdir(exist_ok=True)
    cut.resize((round(side * wide / half), side)).save(target)


@pytest.mark.pack
@pytest.mark.parametrize("fill", [0.85, 1.0, 1.25])
@pytest.mark.parametrize("side", [112, 224, 1000])
def test_close_ups_named_for_their_person_import_whole(
    recognizer, gallery, portraits, tmp_path, fill, side
):
    for name in ("obama", "biden"):
        target = tmp_path / "database_image" / f"{name}.png"
        close_up(portraits / f"{name}.jpg", recognizer, target, fill, side)
    found = list(enroll(recognizer, gallery, from_folder(tmp_path / "database_image")))
    assert outcomes(found) == ["accepted"] * 2
    answers = recognizer.identify(portraits / "obama2.jpg", gallery)
    assert (answers[0].decision.outcome, answers[0].person.name) == ("match", "obama")


@pytest.mark.pack
def test_a_portrait_under_anothers_name_is_refused(recognizer, gallery, portraits):
    wanted = [("Obama", "obama"), ("Biden", "biden"), ("Obama", "obama2"), ("Biden", "obama3")]
    found = enroll(recognizer, gallery, [Candidate(a, portraits / f"{b}.jpg") for a, b in wanted])
    assert outcomes(found) == ["accepted", "accepted", "accepted", "other_person"]
