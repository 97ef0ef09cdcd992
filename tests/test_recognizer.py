"""Two photos to a decision: with a made detector and embedder, and with the default pack."""

import numpy as np
import pytest
from made_photos import encoded, face_of
from PIL import Image as Pillow

from visavis import recognizer
from visavis.compare import similarity
from visavis.errors import (
    CalibrationError,
    MismatchError,
    NoFaceError,
    VisavisError,
)
from visavis.image import read_image
from visavis.recognizer import Recognizer

GREY = np.full((200, 300, 3), 128, np.uint8)


ONE = [face_of(40, 30, 100, 100)]


@pytest.fixture
def made(fake_embedder, calibration):
    """A recognizer that finds the faces it is told to."""
    return lambda faces=ONE: Recognizer(lambda image: faces, fake_embedder, calibration)


@pytest.mark.parametrize(("tiled", "side"), [(False, recognizer.MAX_SIDE), (True, None)])
def test_a_tiled_photo_is_scanned_in_full(fake_embedder, calibration, monkeypatch, tiled, side):
    class Models:
        detector = "a detector"
        calibration = staticmethod(lambda file: calibration)
        members = staticmethod(lambda device, flip: [device, flip])
        together = staticmethod(lambda members: fake_embedder)

    asked = []
    monkeypatch.setattr(recognizer, "choose_models", lambda pack: Models)
    monkeypatch.setattr(recognizer, "load_detector", lambda *a, **more: asked.append((a, more)))
    assert Recognizer.load("a pack", device="a device", tiled=tiled).max_side == side
    assert asked == [(("a detector",), {"device": "a device", "tiled": tiled})]


def test_a_photo_without_a_face_is_named(made, tmp_path):
    path = tmp_path / "wall.png"
    path.write_bytes(encoded(GREY))
    with pytest.raises(NoFaceError, match=r"wall\.png: no face found"):
        made([]).verify(path, GREY)


def test_a_face_is_chosen_by_number(made):
    faces = [*ONE, face_of(160, 30, 100, 90)]
    found = made(faces).verify(GREY, GREY, face_a=2, face_b=1)
    assert found.chosen == (1, 0)
    assert "picture: 2 faces, number 2 was compared" in found.warnings


# Light above the middle of the face that is found, dark below: the made embedder sees halves.
HALVES = np.repeat(np.uint8([250, 5]), [80, 120])[:, None, None] + np.zeros((200, 300, 3), np.uint8)


@pytest.mark.parametrize(
    ("a", "b", "outcome"),
    [(GREY, GREY, "match"), (HALVES, HALVES, "match"), (HALVES, 255 - HALVES, "no_match")],
)
def test_the_similarity_of_the_two_crops_decides(made, a, b, outcome):
    found = made().verify(a, b)
    assert found.decision.outcome == outcome
    embeddings = made().embed(found.crops)
    expected = similarity(embeddings[:1], embeddings[1:])[0, 0]
    assert found.decision.similarity == pytest.approx(float(expected))


def test_a_verification_says_all_it_rests_on(made, calibration):
    found = made().verify(GREY, GREY, policy="convenience")
    assert (found.model, found.calibration) == ("fake@0", calibration)
    assert found.decision.policy == calibration.policy("convenience")
    assert found.crops.shape == (2, 112, 112, 3)
    assert [quality.size for quality in found.qualities] == [100, 100]
    assert found.warnings == ("picture: the face is blurred (blurred)",) * 2


def test_each_photo_is_warned_of_by_its_own_quality(made, tmp_path):
    sharp = np.random.default_rng(0).integers(60, 200, (200, 300, 1), np.uint8).repeat(3, axis=2)
    found = made().verify(GREY, sharp)
    assert found.warnings == ("picture: the face is blurred (blurred)",)
    path = tmp_path / "sharp.png"
    path.write_bytes(encoded(sharp))
    found = made().verify(path, GREY)
    assert found.warnings == ("picture: the face is blurred (blurred)",)


def test_a_bad_policy_is_an_error_before_any_face_is_missed(made):
    with pytest.raises(CalibrationError, match="unknown policy"):
        made([]).verify(GREY, GREY, policy="lax")


def test_a_calibration_of_another_model_is_refused(fake_embedder, calibration):
    fake_embedder.model = "other@1"
    with pytest.raises(MismatchError, match="calibration is of fake@0, the embedder is other@1"):
        Recognizer(lambda image: [], fake_embedder, calibration)


@pytest.mark.pack
@pytest.mark.parametrize(
    ("a", "b", "outcome", "low", "high"),
    [
        ("obama.jpg", "obama2.jpg", "match", 0.6, 0.9),
        ("obama.jpg", "biden.jpg", "no_match", -0.35, 0.35),
        ("obama2.jpg", "biden.jpg", "no_match", -0.35, 0.35),
        ("obama.jpg", "obama_partial_face.jpg", "match", 0.6, 1),
    ],
)
def test_portraits_are_told_apart(recognizer, portraits, a, b, outcome, low, high):
    decision = recognizer.verify(portraits / a, portraits / b).decision
    assert decision.outcome == outcome
    assert low < decision.similarity < high
    swapped = recognizer.verify(portraits / b, portraits / a).decision
    assert swapped.similarity == pytest.approx(decision.similarity, abs=1e-3)


@pytest.mark.pack
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_turned_by_its_exif_is_the_upright_photo(recognizer, portraits, orientation):
    upright = Pillow.fromarray(read_image(portraits / "biden.jpg", max_side=800))
    turns = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_90,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    found = recognizer.verify(
        np.asarray(upright), encoded(np.asarray(stored), "JPEG", quality=95, exif=exif)
    )
    assert found.decision.similarity > 0.99
    np.testing.assert_allclose(found.photos[1].faces[0].box, found.photos[0].faces[0].box, atol=4)


@pytest.mark.pack
def test_a_photo_of_nobody_is_an_error(recognizer):
    with pytest.raises(VisavisError, match="no face found"):
        recognizer.verify(GREY, GREY)
