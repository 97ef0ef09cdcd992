"""Photos into a gallery: what is accepted, what is refused and why; nothing comes twice."""

import json
import re
import unicodedata
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from made import (
    ANNA,
    APART,
    BERT,
    CARL,
    CUT,
    NONE,
    SMALL,
    TURNED,
    TWO,
    AngleEmbedder,
    detect,
    face,
    photo,
    picture,
)
from PIL import Image

from visavis import enrollment
from visavis.alignment import ALIGNMENT
from visavis.answers.people import apart_words, reembedded_words
from visavis.configuration import UNCONFIGURED, calibration_name
from visavis.decision import OperatingPoint
from visavis.document import to_bytes
from visavis.enrollment import (
    Candidate,
    Reembedded,
    _alignment_of,
    _harmless,
    crop_png,
    embed_kept_crops,
    enroll,
    from_folder,
    from_roster,
)
from visavis.errors import DatasetError, GalleryError, MismatchError
from visavis.faces import find_faces
from visavis.gallery import Gallery, Sample, open_gallery
from visavis.gallery.models import Apart, people_by_model, photos_apart
from visavis.recognizer import Recognizer
from visavis.types import Face, Faces


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


@pytest.mark.parametrize(
    ("x", "y", "code", "harmless"),
    [
        (None, None, "cut", True),
        (None, None, "blurred", False),
        (200, 50, "cut", False),
        (50, 100, "cut", False),
        (-0.5, 50, "cut", False),
        (50, -0.5, "cut", False),
    ],
)
def test_a_face_that_juts_out_is_whole_where_its_points_lie_in_the_photo(x, y, code, harmless):
    inside = face(20, 20, 50)
    points = inside.landmarks.copy()
    if x is not None:
        points[0] = x, y
    image = np.zeros((100, 200, 3), np.uint8)
    photo = find_faces(lambda _: [Face(inside.box, points, 0.9)], image)
    assert _harmless(code, photo, 0) == harmless


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


@pytest.mark.parametrize(
    ("score", "enrol_from", "outcome"),
    [(0.78, 0.82, "uncertain"), (0.83, 0.82, "accepted"), (0.78, 0.75, "accepted")],
)
def test_what_is_not_certainly_a_face_is_not_enrolled(
    calibration, gallery, tmp_path, score, enrol_from, outcome
):
    def seen(image):
        return Faces([replace(face, score=score) for face in detect(image)], enrol_from=enrol_from)

    recognizer = Recognizer(seen, AngleEmbedder(), calibration)
    path = photo(tmp_path / "a.png", ANNA)
    assert outcomes(enroll(recognizer, gallery, [Candidate("Anna", path)])) == [outcome]
    assert recognizer.verify(path, path).warnings == ()  # it may still be compared


def test_a_face_can_be_named_by_its_number(made, gallery, tmp_path):
    both = photo(tmp_path / "both.png", (ANNA, BERT), shows=TWO)
    wanted = [Candidate("Anna", both, face=1), Candidate("Bert", both, face=2)]
    found = list(enroll(made, gallery, [*wanted, Candidate("Carl", both, face=3)]))
    assert outcomes(found) == ["accepted", "accepted", "no_face"]


def test_a_photo_closer_to_somebody_else_is_refused_and_can_be_forced(made, gallery, tmp_path):
    anna = [Candidate("Anna", photo(tmp_path / f"{n}.png", ANNA, seed=n)) for n in range(2)]
    bert = Candidate("Bert", photo(tmp_path / "bert.png", BERT))
    wrong = Candidate("Bert", photo(tmp_path / "wrong.png", ANNA, seed=9))
    found = list(enroll(made, gallery, [*anna, bert, wrong]))
    assert outcomes(found) == ["accepted", "accepted", "accepted", "other_person"]
    assert "like Anna (1.00), more than like Bert" in found[-1].detail
    (forced,) = enroll(made, gallery, [wrong], anyway=True)
    assert forced.accepted
    assert "like Anna (1.00), more than like Bert" in forced.detail


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


class Crowd:
    """An index of so many templates, of which one is 0.71 alike."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def nearest(self, probes, people):
        return [[("erased meanwhile", 0.71)]] * len(probes)


@pytest.mark.parametrize(
    ("count", "outcome"),
    # One in 100 newcomers is taken for somebody: of 100, at a rate of 1e-4 a template, which is
    # the standard's too; 101 ask for less, which nothing under 0.9 has.
    [(0, "other_person"), (1, "other_person"), (100, "other_person"), (101, "accepted")],
)
def test_the_more_templates_there_are_the_more_likeness_is_asked_for(
    made, gallery, tmp_path, monkeypatch, count, outcome
):
    points = (*made.calibration.points, OperatingPoint(0.9, 4e-6, 5e-6, 0.5))
    strict = replace(made, calibration=replace(made.calibration, points=points))
    monkeypatch.setattr(Gallery, "index", lambda *_: Crowd(count))
    (one,) = enroll(strict, gallery, [Candidate("Bert", photo(tmp_path / "b.png", BERT))])
    assert (one.reason or "accepted") == outcome
    assert ("like erased meanwhile (0.71), more than like Bert" in one.detail) == bool(one.reason)


def test_how_unlike_a_photo_is_is_said(made, gallery, tmp_path):
    """60 levels apart: 108 degrees, whose cosine is -0.31; 0.40 is the made calibration's 1e-3."""
    wanted = [Candidate("Anna", photo(tmp_path / f"{n}.png", n)) for n in (ANNA, ANNA + 60)]
    for one in enroll(made, gallery, wanted):
        assert re.search(r"not like the other photos of Anna \(the likest -0\.3\d, 0\.", one.detail)


def test_a_crop_that_does_not_say_how_it_was_cut_is_of_the_first_way():
    buffer = BytesIO()
    Image.new("RGB", (112, 112)).save(buffer, "PNG")
    assert _alignment_of(buffer.getvalue()) == 1
    assert _alignment_of(crop_png(np.zeros((1, 112, 112, 3), np.uint8))) == ALIGNMENT


LIKENESS = [  # a person's photos by brightness; alike are those up to 36 apart (0.43)
    ([ANNA, ANNA + 10], [], ["accepted", "accepted"]),
    ([ANNA, CARL, ANNA + 10], [], ["accepted", "unlike", "accepted"]),
    (
        [CARL, ANNA, ANNA + 10],
        [],
        ["unlike", "accepted", "accepted"],
    ),  # the first can be the odd one
    ([ANNA, CARL], [], ["unlike", "unlike"]),  # nobody knows which is wrong
    ([ANNA, ANNA + 5, CARL, CARL + 5], [], ["unlike"] * 4),
    ([CARL], [ANNA], ["unlike"]),
    ([CARL, CARL + 5], [ANNA], ["unlike"] * 2),  # a group of somebody else, however large
    ([ANNA + 30, ANNA + 60, CARL], [ANNA], ["accepted", "accepted", "unlike"]),
]


@pytest.mark.parametrize(("levels", "known", "expected"), LIKENESS)
def test_a_photo_is_held_against_its_own_person(made, gallery, tmp_path, levels, known, expected):
    def wanted(levels, name):
        paths = [
            photo(tmp_path / f"{name}{n}.png", level, seed=n) for n, level in enumerate(levels)
        ]
        return [Candidate("Anna", path) for path in paths]

    list(enroll(made, gallery, wanted(known, "known")))
    photos = wanted(levels, "new")
    answers = list(enroll(made, gallery, photos))
    assert outcomes(answers) == expected
    assert all("not like the other photos of Anna" in one.detail for one in answers if one.reason)
    forced = list(enroll(made, gallery, photos, anyway=True))
    assert {one.reason for one in forced} <= {"", "here_already"}
    assert all(("not like" in one.detail) for one in forced if one.accepted)


def test_the_check_of_likeness_can_fail(made, gallery, tmp_path, monkeypatch):
    """Without it, whoever has a name's photo enrolled is recognised as that person."""
    monkeypatch.setattr("visavis.enrollment.agreeing", lambda rows, *_: np.ones(len(rows), bool))
    wanted = [Candidate("Anna", photo(tmp_path / f"{n}.png", n)) for n in (ANNA, CARL)]
    assert outcomes(enroll(made, gallery, wanted)) == ["accepted"] * 2
    (face,) = made.identify(picture(CARL), gallery)
    assert (face.decision.outcome, face.person.name) == ("match", "Anna")


def test_of_several_faces_it_is_said_which_was_taken(made, gallery, tmp_path):
    (answer,) = enroll(
        made, gallery, [Candidate("Anna", photo(tmp_path / "a.png", ANNA, shows=APART))]
    )
    assert (answer.accepted, answer.detail) == (True, "face 1 of 2 was taken")


def test_a_second_face_that_is_nearly_as_large_is_asked_about(made, gallery, tmp_path):
    faces = made.detect(picture(ANNA, shows=APART))
    larger = replace(faces[1], box=faces[1].box + np.array([0, 0, 15, 15], np.float32))  # 0.72
    asked = replace(made, detect=lambda image: [faces[0], larger])
    path = photo(tmp_path / "a.png", ANNA, shows=APART)
    (answer,) = enroll(asked, gallery, [Candidate("Anna", path)], anyway=True)
    assert (answer.reason, "2 faces, and another is nearly as large" in answer.detail) == (
        "ambiguous",
        True,
    )
    (answer,) = enroll(asked, gallery, [Candidate("Anna", path, face=1)])
    assert answer.accepted


def of_another_model(made: Recognizer) -> Recognizer:
    newer = AngleEmbedder()
    newer.model = "newer@1"
    return Recognizer(detect, newer, replace(made.calibration, model="newer@1"))


def test_nobody_comes_in_unseen_under_another_model(made, gallery, tmp_path):
    anna = Candidate("Anna", photo(tmp_path / "a.png", ANNA))
    twice = Candidate("Bert", photo(tmp_path / "b.png", ANNA, seed=1))
    list(enroll(made, gallery, [anna]))
    newer = of_another_model(made)
    (answer,) = enroll(newer, gallery, [twice])
    assert (answer.reason, "newer@1 made no template of 1 person here" in answer.detail) == (
        "not_compared",
        True,
    )
    (moved,) = enroll(newer, gallery, [anna])  # the way out: enrol the photos again
    assert (moved.accepted, moved.detail) == (
        True,
        "was here already, and has a template of newer@1 now",
    )
    assert outcomes(enroll(newer, gallery, [anna, twice])) == ["here_already", "other_person"]
    assert people_by_model(gallery).keys() == {"fake@0", "newer@1"}
    assert [person.samples for person in gallery.people()] == [1]


def test_a_person_of_another_model_can_be_given_photos_of_this_one(made, gallery, tmp_path):
    list(enroll(made, gallery, [Candidate("Anna", photo(tmp_path / "a.png", ANNA))]))
    more = Candidate("Anna", photo(tmp_path / "b.png", ANNA, seed=1))
    assert outcomes(enroll(of_another_model(made), gallery, [more])) == ["accepted"]


def test_twice_changes_nothing(made, gallery, tmp_path):
    wanted = [Candidate("Anna", photo(tmp_path / f"{n}.png", ANNA, seed=n)) for n in range(3)]
    wanted.append(replace(wanted[0]))  # the same photo again in one run
    found = list(enroll(made, gallery, wanted, workers=4))
    assert outcomes(found) == [*["accepted"] * 3, "here_already"]
    assert found[-1].detail == "this very photo is enrolled already"
    before = gallery.people(), gallery.changes(0)
    assert outcomes(enroll(made, gallery, wanted)) == ["here_already"] * 4
    assert (gallery.people(), gallery.changes(0)) == before


def test_a_photo_that_another_process_enrols_meanwhile_is_here_already(
    made, gallery, tmp_path, monkeypatch
):
    """It was looked for and is not there; before it is stored, the other process stores it."""
    other = open_gallery(gallery.database.path.parent)
    wanted = [Candidate("Anna", photo(tmp_path / "a.png", ANNA))]
    add = Gallery.add_sample

    def late(self, *words, **options):
        if self is gallery:
            assert outcomes(enroll(made, other, wanted)) == ["accepted"]
        return add(self, *words, **options)

    monkeypatch.setattr(Gallery, "add_sample", late)
    (one,) = enroll(made, gallery, wanted)
    assert (one.accepted, one.reason) == (False, "here_already")
    assert one.detail == "another process enrolled this very photo"
    assert [person.samples for person in gallery.people()] == [1]
    other.close()


class Meanwhile:
    """A gallery in which another process does something once, around the nth look at the index."""

    def __init__(self, monkeypatch, gallery, do, *, nth, first):
        self.looks, index = 0, Gallery.index

        def looked(one, parts):
            if one is not gallery:
                return index(one, parts)
            self.looks += 1
            if self.looks == nth and first:
                do()
            looked_at = index(one, parts)
            if self.looks == nth and not first:
                do()
            return looked_at

        monkeypatch.setattr(Gallery, "index", looked)


def enrolled_while_another_does(made, gallery, folder, monkeypatch, **when):
    """What becomes of a newcomer's photo that another process enrols at the same time."""
    other = open_gallery(gallery.database.path.parent)
    wanted = [Candidate("Anna", photo(folder / "a.png", ANNA))]

    def enrol():
        assert outcomes(enroll(made, other, wanted)) == ["accepted"]

    meanwhile = Meanwhile(monkeypatch, gallery, enrol, **when)
    (one,) = enroll(made, gallery, wanted)
    assert meanwhile.looks >= when["nth"]
    assert [person.samples for person in gallery.people()] == [1]
    other.close()
    return one.reason


# The photo is looked for twice: held against others of its person, and when it is admitted.
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_a_newcomer_whom_another_process_enrols_meanwhile_is_here_already(
    made, gallery, tmp_path, monkeypatch, nth, first
):
    when = {"nth": nth, "first": first}
    assert enrolled_while_another_does(made, gallery, tmp_path, monkeypatch, **when) == (
        "here_already"
    )


def test_the_check_of_two_who_enrol_a_newcomer_can_fail(made, gallery, tmp_path, monkeypatch):
    """Sabotage: the person is looked up, and then the index."""
    desk = enrollment._Desk
    matches, closest = desk._matches, desk._closest_other
    monkeypatch.setattr(desk, "_matches", lambda *asked: asked)
    monkeypatch.setattr(
        desk, "_closest_other", lambda self, own, asked: closest(self, own, matches(*asked))
    )
    when = {"nth": 2, "first": True}
    assert enrolled_while_another_does(made, gallery, tmp_path, monkeypatch, **when) == (
        "other_person"
    )


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
    def full(*_: object, **__: object) -> None:
        raise GalleryError("the disk is full")

    monkeypatch.setattr(Gallery, "add_sample", full)
    with pytest.raises(GalleryError, match="full"):
        list(enroll(made, gallery, [Candidate("Anna", photo(tmp_path / "a.png", ANNA))]))


def test_the_audit_says_which_configuration_enrolled_a_photo(made, gallery, tmp_path):
    third = replace(UNCONFIGURED.configuration, version=3)
    configured = replace(made, configured=replace(UNCONFIGURED, configuration=third))
    list(enroll(made, gallery, [Candidate("Anna", photo(tmp_path / "a.png", ANNA))]))
    list(enroll(configured, gallery, [Candidate("Bert", photo(tmp_path / "b.png", BERT))]))
    entries = [json.loads(one.details) for one in gallery.changes(0) if one.action == "enroll"]
    assert [one.get("configuration") for one in entries] == [None, 3]


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
    assert photos_apart(gallery, "newer@1") == Apart(2, 2, ("fake@0",))
    assert embed_kept_crops(gallery, newer) == Reembedded(1, cut_before=0, without_crop=1)
    assert embed_kept_crops(gallery, newer) == Reembedded(0, cut_before=0, without_crop=1)
    assert photos_apart(gallery, "newer@1") == Apart(1, 1, ("fake@0",))
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
    with pytest.raises(MismatchError, match="nobody has a template of cut@2"):
        cut.identify(probe, gallery)
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
    assert line.endswith("2 photos without a crop must be enrolled again")


def test_photos_of_other_models_are_counted_in_words(gallery):
    for name, models in (("Anna", ("a@1",)), ("Bert", ("a@1", "c@1")), ("Carl", ("b@1",))):
        person = gallery.add_person(name)
        for number in range(2):
            templates = {model: np.float32([1, 0]) for model in models}
            gallery.add_sample(person.id, Sample("1.png", f"{name}{number}", {}, templates))
    (line,) = apart_words(photos_apart(gallery, "c@1"), "c@1")
    assert "4 photos of 2 people have no template of c@1, only of a@1, b@1" in line
    assert "re-embed" in line
    assert len(apart_words(photos_apart(gallery, "none@1"), "none@1")) == 1
    for name in ("Anna", "Carl"):
        gallery.delete(gallery.find(name).id)
    assert apart_words(photos_apart(gallery, "c@1"), "c@1") == []


def test_a_folder_names_people_by_folder_or_file(tmp_path):
    for name in ("Anna/1.jpg", "Anna/old/2.jpg", "Bert.png", ".hidden/3.jpg"):
        photo(tmp_path / Path(name).with_suffix(".png"), ANNA).rename(tmp_path / name)
    (tmp_path / "Anna" / "notes.txt").write_text("hello")
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
        (
            "name,path\nAnna,a.png\n",
            "name, photo and, if wanted, external_id, consent, groups; got name,",
        ),
        ("", "no column name, photo"),
        ("name,photo\nAnna,a.png\n\nBert,b.png,1,2\n", "line 4: expected 2 cells, as the"),
        ("name,photo\nAnna\n", "line 2: expected a name and a photo"),
        ('name,photo\n"A\nB",a.png\n,b.png\n', "line 4: expected a name"),
        ("name,photo\nAnna,empty\n", "line 2:"),
        ("name,photo\nAnna,no*.png\n", "line 2:"),
        (None, "cannot read"),
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
