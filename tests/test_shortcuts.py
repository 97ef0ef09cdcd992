"""The usual questions in a line of Python each, and answers that are true for a match alone."""

import pydoc
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from made import ANNA, BERT, CARL, NONE, TWO, AngleEmbedder, detect, photo, picture
from PIL import Image

import visavis
from visavis import shortcuts
from visavis.decision import Decision, decide
from visavis.enrollment import Candidate, enroll
from visavis.errors import DatasetError, GalleryError, ImageError, MismatchError, NoFaceError
from visavis.gallery import Gallery, open_gallery
from visavis.recognizer import Recognizer


@pytest.fixture
def made(calibration, monkeypatch) -> Recognizer:
    """A recognizer of made photos, in the place of the default pack's."""
    recognizer = Recognizer(detect, AngleEmbedder(), calibration)
    monkeypatch.setattr(shortcuts, "shared_recognizer", lambda pack, many=False: recognizer)
    return recognizer


@pytest.mark.parametrize(
    ("similarity", "outcome", "matched"),
    [
        (0.6, "match", True),
        (0.5, "match", True),
        (0.45, "review", False),
        (0.4, "review", False),
        (0.39, "no_match", False),
        (-1.0, "no_match", False),
    ],
)
def test_a_decision_is_true_for_a_match_alone(calibration, similarity, outcome, matched):
    decision = decide(similarity, calibration.policy("standard"))
    assert (decision.outcome, bool(decision), decision.matched) == (outcome, matched, matched)


@pytest.mark.parametrize(
    ("other", "matched"), [(ANNA + 5, True), (ANNA + 36, False), (CARL, False)]
)
def test_verify_is_true_for_a_match_alone(made, other, matched):
    """36 apart are 0.43 alike, a review: what is written as `if` admits nobody of whom it is not
    sure.
    """
    verification = visavis.verify(picture(ANNA), picture(other))
    assert (bool(verification), verification.matched) == (matched, matched)


def test_the_check_of_truth_can_fail(made, monkeypatch):
    """Without it, whoever stands before the camera is admitted."""
    monkeypatch.delattr("visavis.recognizer.Verification.__bool__")
    assert visavis.verify(picture(ANNA), picture(CARL))


def people_of(made, folder) -> Gallery:
    gallery = open_gallery(folder)
    wanted = [Candidate("Anna", photo(folder.parent / "anna.png", ANNA))]
    assert all(one.accepted for one in enroll(made, gallery, wanted))
    return gallery


@pytest.mark.parametrize("given", ["open", "path", "text", "variable"])
def test_identify_takes_a_gallery_however_it_is_given(made, tmp_path, monkeypatch, given):
    folder = tmp_path / "people"
    gallery = people_of(made, folder)
    monkeypatch.setenv("VISAVIS_GALLERY", str(folder))
    where = {"open": gallery, "path": folder, "text": str(folder), "variable": None}[given]
    (face,) = visavis.identify(picture(ANNA), where)
    assert (face.person.name, face.matched, bool(face)) == ("Anna", True, True)
    (face,) = visavis.identify(picture(BERT), where)
    assert (face.person, face.closest.name, bool(face)) == (None, "Anna", False)
    assert [person.name for person in gallery.people()] == ["Anna"]  # it is still open
    gallery.close()


def test_no_gallery_is_made_by_a_question(made, tmp_path):
    with pytest.raises(GalleryError):
        visavis.identify(picture(ANNA), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_gallery_is_opened_by_its_folder(tmp_path, cache):
    gallery = Gallery(str(tmp_path / "people"))
    gallery.add_person("Anna")
    gallery.close()
    again = Gallery(tmp_path / "people")
    assert [person.name for person in again.people()] == ["Anna"]
    again.close()


@pytest.mark.parametrize("remember", [True, False])
def test_find_and_what_it_leaves(made, tmp_path, monkeypatch, remember, cache):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(shortcuts, "models_of", lambda pack, model: "fake@0")
    monkeypatch.setattr(
        shortcuts, "choose_models", lambda pack: SimpleNamespace(detector=None, model="")
    )
    photo(tmp_path / "photos" / "a.png", ANNA)
    photo(tmp_path / "photos" / "c.png", CARL)
    search = visavis.find(picture(ANNA), tmp_path / "photos", remember=remember)
    assert [one.photo.rpartition("/")[2] for one in search.matches] == ["a.png"]
    assert (tmp_path / "cache" / "visavis" / "faces.db").exists() == remember


@pytest.mark.parametrize("many", [True, False])
def test_cluster_writes_only_where_it_is_told(made, tmp_path, many):
    paths = [photo(tmp_path / f"{n}.png", level) for n, level in enumerate((ANNA, ANNA + 5, CARL))]
    before = set(tmp_path.iterdir())
    out = tmp_path / "groups" if many else None
    clustering = visavis.cluster(paths if many else str(tmp_path / "[0-9].png"), out)
    assert [len(group) for group in clustering.groups.groups] == [2, 1]
    assert set(tmp_path.iterdir()) - before == ({out} if many else set())
    assert {bool(face.crop) for group in clustering.groups.groups for face in group} == {many}


def test_embed_gives_a_row_for_each_face(made):
    assert visavis.embed(picture((ANNA, CARL), shows=TWO)).shape == (2, 2)
    assert visavis.embed(picture(ANNA, shows=NONE)).shape == (0, 2)


def test_embed_photos_goes_on_past_a_bad_one(made, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    wall = photo(tmp_path / "wall.png", 90, shows=NONE)
    good = photo(tmp_path / "a.png", ANNA)
    answers = dict(visavis.embed_photos([good, tmp_path / "bad.png", wall]))
    assert len(answers[good]) == 1
    assert isinstance(answers[tmp_path / "bad.png"], ImageError)
    assert isinstance(answers[wall], NoFaceError)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no photos here"):
        visavis.embed_photos(tmp_path / "empty")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_a_pillow_picture_is_a_photo(made, mode):
    whole = Image.fromarray(picture(ANNA, noise=0)).convert(mode)
    rows = visavis.embed(whole)
    np.testing.assert_allclose(rows, visavis.embed(picture(ANNA, noise=0)), atol=0.02)
    assert visavis.verify(whole, picture(ANNA))


def test_a_pillow_picture_stands_upright(made):
    """Orientation 6: the camera was turned, and the file says so."""
    turned = Image.fromarray(np.rot90(picture(ANNA), 1).copy())
    turned.getexif()[0x0112] = 6
    assert made.faces(turned).image.shape == picture(ANNA).shape


def test_a_pillow_picture_over_the_limit_is_refused(made):
    with pytest.raises(ImageError, match="over the limit"):
        visavis.embed(Image.new("L", (20_001, 1)))


def test_models_are_loaded_once_and_at_the_first_question(monkeypatch):
    loaded: list[str] = []

    def load(pack, device):
        loaded.append(pack)
        raise MismatchError("not here")

    shortcuts.shared_recognizer.cache_clear()
    monkeypatch.setattr(shortcuts.Recognizer, "load", load)
    assert loaded == []
    for _ in range(2):
        with pytest.raises(MismatchError):
            visavis.verify("a.jpg", "b.jpg", pack="mine")
    assert loaded == ["mine"] * 2  # what failed is tried again
    monkeypatch.setattr(shortcuts.Recognizer, "load", lambda pack, device: loaded.append(pack))
    assert shortcuts.shared_recognizer("mine") is shortcuts.shared_recognizer("mine")
    assert loaded == ["mine"] * 3
    shortcuts.shared_recognizer.cache_clear()


@pytest.mark.slow
def test_the_verbs_stay_verbs_and_importing_stays_quick():
    code = (
        "import visavis, sys; print(len(sys.modules.keys() & {'numpy', 'cv2', 'openvino'}));"
        "import visavis.embedder, visavis.clustering, visavis.cli;"
        "print(*(callable(getattr(visavis, name)) for name in"
        " 'verify identify find cluster embed embed_photos enroll'.split()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", *["True"] * 7]


def test_dir_and_help_show_what_is_meant_to_be_used():
    own = [name for name in dir(visavis) if not name.startswith("__")]
    assert own == sorted(visavis.__all__)
    text = pydoc.plain(pydoc.render_doc(visavis))
    for words in ("review      alike", "true for a match alone", "verify(", "class Recognizer"):
        assert words in text


def test_a_decision_made_by_hand_is_true_for_a_match_alone(calibration):
    policy = calibration.policy("standard")
    assert [bool(Decision(one, 0.9, policy)) for one in ("match", "review", "no_match")] == [
        True,
        False,
        False,
    ]
