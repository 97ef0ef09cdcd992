"""A photo taken out, and the last enrolment undone: nothing of either is left anywhere."""

import pytest
from made import ANNA, BERT, AngleEmbedder, detect, photo, picture

from visavis.enrollment import Candidate, enroll
from visavis.errors import GalleryError, PersonError
from visavis.gallery import Gallery, open_gallery
from visavis.gallery.runs import last_run, photo_called, undo_run
from visavis.recognizer import Recognizer

MODEL = AngleEmbedder.model


@pytest.fixture
def made(calibration) -> Recognizer:
    """A recognizer of made photos."""
    return Recognizer(detect, AngleEmbedder(), calibration)


def add(made, gallery, folder, name: str, level: float, *seeds: int, **how: bool) -> None:
    photos = [photo(folder / f"{name}{seed}.png", level, seed=seed) for seed in seeds]
    wanted = [Candidate(name, path) for path in photos]
    assert all(one.accepted for one in enroll(made, gallery, wanted, **how))


def held(gallery: Gallery) -> dict[str, int]:
    return {person.name: person.samples for person in gallery.people()}


def test_the_last_run_is_undone_and_then_the_one_before(made, gallery, tmp_path):
    add(made, gallery, tmp_path, "Anna", ANNA, 1)
    wanted = [
        Candidate("Anna", photo(tmp_path / "Anna2.png", ANNA, seed=2)),
        Candidate("Bert", photo(tmp_path / "Bert1.png", BERT)),
    ]
    list(enroll(made, gallery, wanted))
    run = last_run(gallery)
    assert (len(run.photos), undo_run(gallery, run)) == (2, ["Bert"])
    assert held(gallery) == {"Anna": 1}
    assert undo_run(gallery, last_run(gallery)) == ["Anna"]
    assert held(gallery) == {}
    with pytest.raises(GalleryError, match="no enrolment is left to be undone"):
        last_run(gallery)
    assert gallery.damage() is None


def test_a_newcomer_who_got_another_photo_meanwhile_stays(made, gallery, tmp_path):
    add(made, gallery, tmp_path, "Anna", ANNA, 1)
    first = last_run(gallery)
    add(made, gallery, tmp_path, "Anna", ANNA, 2)
    assert undo_run(gallery, first) == []
    assert held(gallery) == {"Anna": 1}


def test_a_photo_that_is_removed_is_found_no_more_by_any_process(made, gallery, tmp_path):
    add(made, gallery, tmp_path, "Anna", ANNA, 1, keep_crops=True)
    add(made, gallery, tmp_path, "Bert", BERT, 1, keep_crops=True)
    other = open_gallery(tmp_path / "gallery")
    for people in (gallery, other):
        (face,) = made.identify(picture(ANNA), people)
        assert face.decision.outcome == "match"
    anna = gallery.find("Anna")
    gallery.remove_photos([photo_called(gallery, anna, "Anna1.png").id])
    for people in (gallery, other):
        (face,) = made.identify(picture(ANNA), people)
        assert face.decision.outcome == "no_match"
        (face,) = made.identify(picture(BERT), people)
        assert face.decision.outcome == "match"
    assert held(gallery) == {"Anna": 0, "Bert": 1}
    assert gallery.damage() is None
    files = b"".join(path.read_bytes() for path in (tmp_path / "gallery").glob("gallery.db*"))
    assert (b"Anna1.png" in files, b"Bert1.png" in files) == (False, True)
    other.close()


def test_a_removed_photo_can_be_enrolled_again(made, gallery, tmp_path):
    add(made, gallery, tmp_path, "Anna", ANNA, 1)
    gallery.remove_photos(list(last_run(gallery).photos))
    add(made, gallery, tmp_path, "Anna", ANNA, 1)
    assert held(gallery) == {"Anna": 1}
    gallery.remove_photos(["nobody's"])  # what is not here is passed over
    assert held(gallery) == {"Anna": 1}


@pytest.mark.parametrize(
    ("name", "said"),
    [("Anna12.png", "did you mean"), ("zzz", "they have Anna1.png, Anna2.png"), ("", "they have")],
)
def test_a_photo_that_is_not_there_is_named_with_those_that_are(
    made, gallery, tmp_path, name, said
):
    add(made, gallery, tmp_path, "Anna", ANNA, 1, 2)
    with pytest.raises(PersonError, match=said):
        photo_called(gallery, gallery.find("Anna"), name)


def test_of_two_photos_of_one_name_the_id_says_which(made, gallery, tmp_path):
    add(made, gallery, tmp_path / "a", "Anna", ANNA, 1)
    again = photo(tmp_path / "b" / "Anna1.png", ANNA, seed=5)
    list(enroll(made, gallery, [Candidate("Anna", again)]))
    anna = gallery.find("Anna")
    with pytest.raises(PersonError, match="2 photos of Anna are called 'Anna1"):
        photo_called(gallery, anna, "Anna1.png")
    first, second = gallery.samples(anna.id)
    assert photo_called(gallery, anna, second.id).id == second.id != first.id
