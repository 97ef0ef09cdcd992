"""A face against a gallery: who it is, how sure that is, and when nobody may be named."""

import sqlite3
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made import (
    ANNA,
    APART,
    BERT,
    CARL,
    NONE,
    TURNED,
    TWO,
    AngleEmbedder,
    angle,
    detect,
    photo,
    picture,
)  # fmt: skip

from visavis.answers import pictures
from visavis.configuration import calibration_name
from visavis.decision import UNMEASURED, Decision
from visavis.document import to_bytes
from visavis.enrollment import Candidate, enroll
from visavis.errors import (
    AmbiguousFaceError,
    CalibrationError,
    GalleryError,
    ImageError,
    MismatchError,
    NoFaceError,
    PersonError,
)
from visavis.faces import find_faces
from visavis.gallery import Gallery, Person, Sample, open_gallery
from visavis.gallery.sqlite import SqliteDatabase
from visavis.identification import identify_photos
from visavis.recognizer import Recognizer
from visavis.results import Identification

MODEL = "fake@0"


@pytest.fixture
def made(calibration) -> Recognizer:
    """A recognizer of made photos."""
    return Recognizer(detect, AngleEmbedder(), calibration)


def add(gallery: Gallery, name: str, *levels: float, model: str = MODEL) -> Person:
    """A person with a template for each brightness."""
    person = gallery.find_or_add(name)
    for number, level in enumerate(levels):
        sample = Sample(f"{number}.png", f"{name}{model}{number}", {}, {model: angle(level)})
        assert gallery.add_sample(person.id, sample)
    return gallery.find(person.id)


@pytest.mark.parametrize(
    ("rate", "match", "review", "supported"),
    [
        (2e-2, 0.3, 0.3, True),
        (1e-2, 0.3, 0.3, True),
        (1e-3, 0.4, 0.3, True),
        (9e-4, 0.5, 0.4, True),
        (1e-4, 0.5, 0.4, True),
        (9e-5, 0.5, 0.5, False),
        (1e-5, 0.5, 0.5, False),
        (1e-9, 0.5, 0.5, False),
    ],
)
def test_search_policy(calibration, rate, match, review, supported):
    policy = calibration.search_policy(rate)
    found = policy.match.threshold, policy.review.threshold, policy.supported
    assert found == (match, review, supported)


@pytest.mark.parametrize(
    ("count", "threshold", "supported"),
    [(1, 0.3, True), (2, 0.4, True), (10, 0.4, True), (11, 0.5, True), (101, 0.5, False)],
)
def test_the_threshold_goes_by_the_number_of_templates(made, gallery, count, threshold, supported):
    add(gallery, "Anna", *[ANNA] * count)
    (found,) = made.identify(picture(ANNA), gallery)  # 1e-2 shared by all
    assert found.decision.policy.match.threshold == threshold
    assert found.decision.comparisons == count
    assert found.decision.outcome == ("match" if supported else "review")
    assert any("calibration cannot show" in one for one in found.warnings) != supported
    assert found.closest.name == "Anna"
    assert found.decision.false_positive_rate <= 1e-2 * (1 + 1e-9) or not supported


def test_a_looser_rate_suits_a_larger_gallery(made, gallery):
    add(gallery, "Anna", *[ANNA] * 101)
    (found,) = made.identify(picture(ANNA), gallery, false_positive_rate=5e-2)
    assert (found.decision.outcome, found.warnings) == ("match", ())


@pytest.mark.parametrize(
    ("level", "outcome", "who", "runner_up"),
    [
        (ANNA, "match", "Anna", "Bert"),
        (BERT, "match", "Bert", "Anna"),
        (ANNA + 31, "match", "Bert", "Anna"),  # 0.56 alike, Bert 0.83
        (ANNA + 19, "match", "Anna", "Bert"),
        (ANNA + 28, "review", "Bert", "Anna"),  # 0.64 and 0.77: 0.23 apart is 99 to 1
        (BERT + 40, "review", "Bert", "Anna"),  # 0.31: between the thresholds 0.3 and 0.4
        (BERT + 60, "no_match", "Bert", "Anna"),
    ],
)
def test_the_closest_person_is_named(made, gallery, level, outcome, who, runner_up):
    add(gallery, "Anna", ANNA)
    add(gallery, "Bert", BERT)
    (found,) = made.identify(picture(level), gallery)
    assert (found.decision.outcome, found.closest.name) == (outcome, who)
    assert found.person is (found.closest if outcome == "match" else None)
    assert (bool(found), found.matched) == (outcome == "match",) * 2
    alike = sorted((np.cos((level - known) * np.pi / 100) for known in (ANNA, BERT)), reverse=True)
    assert found.decision.similarity == pytest.approx(alike[0], abs=0.02)
    assert found.runner_up[0].name == runner_up
    assert found.runner_up[1] == pytest.approx(alike[1], abs=0.02)
    assert found.margin == pytest.approx(alike[0] - alike[1], abs=0.04)


def test_the_best_of_a_persons_templates_counts_and_the_runner_up_is_another(made, gallery):
    add(gallery, "Anna", ANNA, BERT, ANNA + 2)
    add(gallery, "Carl", CARL)
    for level in (ANNA, BERT):
        (found,) = made.identify(picture(level), gallery)
        assert (found.person.name, found.runner_up[0].name) == ("Anna", "Carl")
        assert found.decision.similarity == pytest.approx(1, abs=0.01)
        assert found.decision.comparisons == 4


def test_twins_are_told_apart_by_the_margin_or_not_at_all(made, gallery):
    add(gallery, "Anna", ANNA)
    add(gallery, "Beth", ANNA + 4)
    (torn,) = made.identify(picture(ANNA), gallery)
    assert (torn.decision.outcome, torn.person, torn.closest.name) == ("review", None, "Anna")
    assert any("Anna and Beth are both alike enough" in one for one in torn.warnings)
    apart = replace(made.calibration, slope=5000.0)  # a model that tells even these two apart
    (told,) = replace(made, calibration=apart).identify(picture(ANNA), gallery)
    assert (told.decision.outcome, told.person.name, told.warnings) == ("match", "Anna", ())


@pytest.mark.parametrize(
    ("slope", "rate", "margin"),
    [(20.0, 1e-2, 0.2298), (20.0, 0.5, 0.0), (34.8068, 1e-2, 0.1320), (0.0, 1e-2, np.inf)],
)
def test_the_margin_is_the_odds_over_the_slope(calibration, slope, rate, margin):
    least = replace(calibration, slope=slope).least_margin(rate)
    assert least == pytest.approx(margin, abs=1e-4)


def test_a_gallery_of_another_model_is_no_answer(made, gallery):
    add(gallery, "Anna", ANNA, model="other@1")
    add(gallery, "Bert", BERT, model="other@1")
    with pytest.raises(MismatchError) as refused:
        made.identify(picture(ANNA), gallery)
    assert "of 2 people nobody has a template of fake@0" in str(refused.value)
    assert "2 of other@1: use the pack of that model" in str(refused.value)
    anna = add(gallery, "Anna", ANNA)
    assert made.unseen(gallery) == {person.id for person in gallery.people()} - {anna.id}
    (face,) = made.identify(picture(ANNA), gallery)
    assert face.person.name == "Anna"


def test_alone_there_is_no_runner_up(made, gallery):
    add(gallery, "Anna", ANNA)
    (found,) = made.identify(picture(ANNA), gallery)
    assert found.runner_up is None
    assert found.margin == 2


def test_in_an_empty_gallery_nobody_is_known(made, gallery):
    found = made.identify(picture((ANNA, BERT), shows=TWO), gallery)
    assert [one.decision.outcome for one in found] == ["no_match"] * 2
    assert [(one.person, one.runner_up, one.decision.similarity) for one in found] == [
        (None, None, -1.0)
    ] * 2


def test_templates_of_another_model_are_left_out(made, gallery):
    add(gallery, "Anna", ANNA, model="other@1")
    add(gallery, "Bert", BERT)
    (found,) = made.identify(picture(ANNA), gallery)
    assert (found.decision.outcome, found.decision.comparisons) == ("no_match", 1)


def test_every_face_gets_an_answer_largest_first(made, gallery):
    add(gallery, "Anna", ANNA)
    found = made.identify(picture((ANNA, CARL), shows=APART), gallery)
    assert [one.face.area for one in found] == sorted(
        (one.face.area for one in found), reverse=True
    )
    assert [one.decision.outcome for one in found] == ["match", "no_match"]
    assert made.identify(picture(ANNA, shows=NONE), gallery) == ()


def test_a_poor_face_is_warned_of(made, gallery):
    add(gallery, "Anna", ANNA)
    (found,) = made.identify(picture(ANNA, shows=TURNED), gallery)
    assert "the face is turned away" in found.warnings


@pytest.mark.parametrize("rate", [0, -1, float("nan"), 1, 1.5, 2])
def test_a_rate_that_is_none_is_refused(made, gallery, rate):
    add(gallery, "Anna", ANNA)
    for probe in (picture(ANNA), picture(ANNA, shows=NONE)):
        with pytest.raises(CalibrationError, match="between 0 and 1"):
            made.identify(probe, gallery, false_positive_rate=rate)


def test_embeddings_alone_are_searched_too(made, gallery):
    add(gallery, "Anna", ANNA)
    add(gallery, "Bert", BERT)
    rows = np.stack([angle(ANNA), angle(BERT + 60)])
    anna, nobody = made.nearest(rows, gallery, false_positive_rate=1e-2)
    assert (anna.decision.outcome, anna.person.name) == ("match", "Anna")
    assert (anna.runner_up[0].name, anna.decision.comparisons) == ("Bert", 2)
    assert (nobody.decision.outcome, nobody.person) == ("no_match", None)
    assert made.nearest(rows[:0], gallery, false_positive_rate=1e-2) == []
    with pytest.raises(MismatchError):
        made.nearest(rows[:, :1], gallery, false_positive_rate=1e-2)
    with pytest.raises(CalibrationError):
        made.nearest(rows, gallery, false_positive_rate=0)


def test_many_photos_are_searched_and_who_was_seen_is_noted_in_one_write(
    made, gallery, tmp_path, monkeypatch
):
    for name, level in (("Anna", ANNA), ("Bert", BERT), ("Carl", CARL)):
        add(gallery, name, level)
    paths = [photo(tmp_path / f"{n}.png", level) for n, level in enumerate((ANNA, BERT, ANNA))]
    paths.insert(1, tmp_path / "gone.png")
    looked, noted = [], []
    note = Gallery.note_seen
    monkeypatch.setattr(
        Gallery, "note_seen", lambda self, people: noted.append(people) or note(self, people)
    )
    answers = list(
        identify_photos(
            made, gallery, paths, workers=2, look=lambda path, photo, faces: looked.append(path)
        )
    )
    assert [path for path, _ in answers] == paths
    assert isinstance(answers[1][1], ImageError)
    named = [faces[0].person.name for path, faces in answers if path != paths[1]]
    assert named == ["Anna", "Bert", "Anna"]
    assert sorted(looked) == sorted(set(paths) - {paths[1]})
    assert len(noted) == 1
    assert [person.name for person in gallery.people() if person.seen_at] == ["Anna", "Bert"]


def test_who_was_seen_is_noted_where_the_reader_stops(made, gallery, tmp_path):
    add(gallery, "Anna", ANNA)
    paths = [photo(tmp_path / f"{n}.png", ANNA, seed=n) for n in range(3)]
    run = identify_photos(made, gallery, paths)
    next(run)
    run.close()
    assert gallery.find("Anna").seen_at


def test_a_gallery_that_cannot_be_written_answers_with_one_warning(
    made, gallery, tmp_path, monkeypatch, caplog
):
    add(gallery, "Anna", ANNA)
    paths = [photo(tmp_path / f"{n}.png", ANNA, seed=n) for n in range(3)]

    @contextmanager
    def refuse(database):
        raise GalleryError("the file is read-only")
        yield

    monkeypatch.setattr(SqliteDatabase, "writing", refuse)
    caplog.clear()
    answers = list(identify_photos(made, gallery, paths))
    assert [faces[0].decision.outcome for _, faces in answers] == ["match"] * 3
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == ["cannot note who was seen: the file is read-only"]


def stricter(calibration):
    """A gallery's own calibration: thresholds of 0.85, 0.95 and 1.05."""
    points = tuple(replace(point, threshold=point.threshold + 0.55) for point in calibration.points)
    return replace(calibration, points=points)


def test_the_gallerys_own_calibration_decides(made, gallery, calibration):
    anna = add(gallery, "Anna", ANNA)
    probe = picture(ANNA + 20)  # 0.81 alike

    def outcomes():
        (searched,) = made.identify(probe, gallery)
        asked = made.verify_person(probe, gallery, anna, policy="convenience")
        return searched.decision.outcome, asked.decision.outcome

    assert outcomes() == ("match", "match")  # the pack's: from 0.3, and from 0.4
    gallery.keep(calibration_name(MODEL), to_bytes(stricter(calibration)))
    assert outcomes() == ("no_match", "no_match")  # its own: from 0.85 at the loosest


def erase_during_a_search(gallery, person, monkeypatch):
    """Somebody erases this person when the search has ended, before names are looked up."""
    people_of = Gallery.people_of

    def late(self, ids):
        wanted = list(ids)
        if self.people(person.name):
            self.delete(person.id)
        return people_of(self, wanted)

    monkeypatch.setattr(Gallery, "people_of", late)


def test_who_is_erased_during_a_search_is_not_named(made, gallery, monkeypatch):
    anna = add(gallery, "Anna", ANNA)
    add(gallery, "Bert", BERT)
    erase_during_a_search(gallery, anna, monkeypatch)
    (one,) = made.nearest(angle(ANNA)[None], gallery, false_positive_rate=1e-2)
    assert (one.decision.outcome, one.person, one.runner_up) == ("no_match", None, None)
    assert one.decision.similarity == pytest.approx(0, abs=1e-6)  # Bert, at a right angle


def test_where_the_only_one_is_erased_during_a_search_nobody_is_alike(made, gallery, monkeypatch):
    erase_during_a_search(gallery, add(gallery, "Anna", ANNA), monkeypatch)
    (one,) = made.nearest(angle(ANNA)[None], gallery, false_positive_rate=1e-2)
    assert (one.decision.outcome, one.decision.similarity) == ("no_match", -1.0)
    assert (one.person, one.runner_up) == (None, None)


class NoNumbers(AngleEmbedder):
    """A broken network: it answers with NaN."""

    def __call__(self, crops):
        return super().__call__(crops) * np.float32("nan")


def test_an_embedding_of_no_numbers_is_like_nobody(made, gallery):
    anna = add(gallery, "Anna", ANNA)
    broken = replace(made, embed=NoNumbers())
    (searched,) = broken.identify(picture(ANNA), gallery)
    asked = broken.verify_person(picture(ANNA), gallery, anna)
    for one in (searched, asked):
        assert (one.decision.outcome, one.decision.similarity) == ("no_match", -1.0)


def test_what_was_enrolled_is_found_at_once(made, gallery, tmp_path):
    other = open_gallery(gallery.database.path.parent)  # as another process has it
    assert made.identify(picture(ANNA), gallery)[0].decision.outcome == "no_match"
    list(enroll(made, other, [Candidate("Anna", photo(tmp_path / "a.png", ANNA))]))
    assert made.identify(picture(ANNA), gallery)[0].decision.outcome == "match"
    other.delete(other.find("Anna").id)
    other.close()
    assert made.identify(picture(ANNA), gallery)[0].decision.outcome == "no_match"


def test_a_damaged_template_matches_nobody(made, gallery):
    anna, bert = add(gallery, "Anna", ANNA), add(gallery, "Bert", BERT)
    damage(gallery)
    _, quarantined = gallery.templates(MODEL)
    assert {one.person for one in quarantined} == {anna.id, bert.id}
    assert made.identify(picture(ANNA), gallery)[0].decision.outcome == "no_match"


def damage(gallery: Gallery) -> None:
    """Turn a bit of every template on disk, as a failing disk would."""
    with sqlite3.connect(gallery.database.path) as file:
        for row, data in file.execute("SELECT rowid, data FROM templates").fetchall():
            turned = data[:-1] + bytes([data[-1] ^ 1])
            file.execute("UPDATE templates SET data = ? WHERE rowid = ?", (turned, row))
    file.close()


@pytest.mark.parametrize(
    ("level", "policy", "outcome"),
    [
        (ANNA, "convenience", "match"),  # 1e-3 for two templates: 5e-4 each, from 0.5 on
        (BERT, "convenience", "match"),  # the best of both templates
        (ANNA - 34, "convenience", "review"),  # 0.48
        (ANNA - 34, 1e-2, "match"),  # 5e-3 each, from 0.4 on
        (CARL + 20, "convenience", "no_match"),
        (ANNA, "standard", "review"),  # 5e-5 each, which the calibration cannot show
    ],
)
def test_one_photo_against_one_person(made, gallery, level, policy, outcome):
    anna = add(gallery, "Anna", ANNA, BERT)
    add(gallery, "Carl", CARL + 20)  # closer, and never asked
    found = made.verify_person(picture(level, noise=10), gallery, anna, policy=policy)
    assert found.decision.outcome == outcome
    assert (found.decision.comparisons, found.runner_up) == (2, None)


def test_verify_person_says_what_is_missing(made, gallery):
    anna = add(gallery, "Anna", ANNA, model="other@1")
    with pytest.raises(PersonError, match="Anna has no template of fake@0"):
        made.verify_person(picture(ANNA), gallery, anna)
    anna = add(gallery, "Anna", ANNA)
    with pytest.raises(NoFaceError):
        made.verify_person(picture(ANNA, shows=NONE), gallery, anna)
    with pytest.raises(AmbiguousFaceError):
        made.verify_person(picture(ANNA, shows=TWO), gallery, anna)
    both = picture((BERT, ANNA), shows=TWO)
    outcomes = [made.verify_person(both, gallery, anna, face=n).decision.outcome for n in (1, 2)]
    assert outcomes == ["no_match", "match"]
    with pytest.raises(CalibrationError):
        made.verify_person(picture(ANNA), gallery, anna, policy=1e-9)


@pytest.mark.pack
def test_portraits_are_found_among_people(recognizer, gallery, portraits):
    for name in ("obama", "biden"):
        list(enroll(recognizer, gallery, [Candidate(name, portraits / f"{name}.jpg")]))
    for probe in ("obama2.jpg", "obama3.jpg", "obama_partial_face.jpg"):
        (found, *_) = recognizer.identify(portraits / probe, gallery)
        assert (found.decision.outcome, found.person.name) == ("match", "obama")
        assert found.runner_up[0].name == "biden"
        assert found.margin > 0.3


@pytest.mark.pack
def test_the_decision_is_that_of_verify(recognizer, gallery, portraits):
    list(enroll(recognizer, gallery, [Candidate("Obama", portraits / "obama.jpg")]))
    person = gallery.find("Obama")
    probe: Path = portraits / "obama2.jpg"
    alone = recognizer.verify_person(probe, gallery, person).decision
    pair = recognizer.verify(portraits / "obama.jpg", probe).decision
    assert replace(alone, similarity=0) == replace(pair, similarity=0)
    assert alone.similarity == pytest.approx(pair.similarity, abs=0.01)


@pytest.mark.parametrize(
    ("outcome", "closest", "label"),
    [
        ("match", "Anna", "Anna 0.50"),
        ("review", "Anna", "Anna? 0.50"),
        ("no_match", "Anna", "no match 0.50"),
        ("no_match", None, "no match 0.50"),
    ],
)
def test_a_drawn_face_is_labelled_in_the_words_of_the_text(outcome, closest, label, monkeypatch):
    person = closest and Person("1", closest, None, None, "", None, 1)
    shown = find_faces(detect, picture(ANNA))
    face = Identification(shown.faces[0], Decision(outcome, 0.5, UNMEASURED), person, None, ())
    drawn = []
    monkeypatch.setattr(pictures, "draw_faces", lambda *given, colors: drawn.extend(given[2]))
    pictures.identified_picture(shown, [face])
    assert drawn == [label]
