"""A pack that nobody has measured tells similarities, names no error rate, and never says match."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from visavis.alignment import ARCFACE_112
from visavis.answers import documents, words
from visavis.cautions import NO_CALIBRATION
from visavis.decision import NO_RATE, uncalibrated
from visavis.enrollment import Candidate, enroll
from visavis.errors import CalibrationError
from visavis.gallery import Sample
from visavis.pack.calibration import calibration_for
from visavis.pack.manifest import read_pack, write_manifest
from visavis.recognizer import Recognizer
from visavis.types import Face

PHOTO = np.full((112, 112, 3), (90, 150, 30), np.uint8)


@pytest.fixture
def unmeasured(fake_embedder) -> Recognizer:
    face = Face(np.float32([0, 0, 112, 112]), ARCFACE_112.astype(np.float32), 0.9)
    return Recognizer(lambda image: [face], fake_embedder, uncalibrated(fake_embedder.model))


@pytest.mark.parametrize("policy", ["convenience", "strict", 1e-3])
def test_one_photo_twice_is_a_review_and_no_match(unmeasured, policy):
    verification = unmeasured.verify(PHOTO, PHOTO, policy=policy)
    assert verification.decision.outcome == "review"
    assert verification.decision.similarity == pytest.approx(1, abs=1e-5)
    assert NO_CALIBRATION in verification.warnings
    first, *rest = words.verification_words(verification)
    assert first == "review    similarity 1.00, no error rate known: look yourself"
    assert any("make a calibration with visavis calibrate" in line for line in rest)
    document = documents.verification_json(verification)
    assert (document["outcome"], document["similarity"]) == ("review", 1.0)
    nothing = ("threshold", "review_threshold", "false_match_rate", "calibration")
    assert [document[key] for key in nothing] == [None] * 4
    json.dumps(document, allow_nan=False)


def test_a_search_is_a_review_of_whoever_is_closest(unmeasured, gallery):
    (row,) = unmeasured.embed(PHOTO[None])
    person = gallery.add_person("Ann")
    gallery.add_sample(person.id, Sample("a.jpg", "1", {}, {"fake@0": row}))
    faces = unmeasured.identify(PHOTO, gallery)
    assert [face.decision.outcome for face in faces] == ["review"]
    assert "similarity 1.00, no error rate known" in words.identification_words("a", faces)[1]
    assert words.gallery_words(faces) == [NO_CALIBRATION]
    document = documents.identification_json(faces[0])
    assert (document["threshold"], document["false_positive_rate"]) == (None, None)


def test_what_needs_thresholds_says_that_there_are_none(unmeasured, gallery, tmp_path):
    wanted = [Candidate("Ann", tmp_path / "a.jpg")]
    with pytest.raises(CalibrationError, match="fake@0 has no calibration, so no") as refused:
        next(iter(enroll(unmeasured, gallery, wanted)))
    assert refused.value.option == "calibration"
    for asked in (lambda c: c.at(1e-3), lambda c: c.policy("strict"), lambda c: c.search_policy(1)):
        with pytest.raises(CalibrationError, match="has no calibration"):
            asked(unmeasured.calibration)
    with pytest.raises(CalibrationError, match="unknown policy"):
        unmeasured.verify(PHOTO, PHOTO, policy="strikt")


def test_no_similarity_reaches_the_point_that_stands_for_none():
    assert NO_RATE.threshold > 1


@pytest.fixture
def bare(pack, tmp_path):
    """The default pack without its calibration, and that calibration."""
    folder = tmp_path / "bare"
    shutil.copytree(pack.folder, folder)
    file = tmp_path / "measured.json"
    (folder / str(pack.manifest.calibration)).rename(file)
    write_manifest(folder, replace(pack.manifest, calibration=None, calibration_sha256=None))
    return folder, file


@pytest.mark.pack
def test_a_file_is_taken_in_place_of_the_pack_s(bare, pack, tmp_path):
    folder, file = bare
    assert calibration_for(read_pack(folder)).points == ()
    assert calibration_for(read_pack(folder), file) == calibration_for(pack)
    with pytest.raises(CalibrationError, match=r"none\.json: cannot read"):
        calibration_for(pack, tmp_path / "none.json")
    file.write_bytes(file.read_bytes().replace(b"sface@", b"other@"))
    with pytest.raises(CalibrationError, match="expected a calibration of sface@"):
        calibration_for(pack, file)


@pytest.mark.pack
@pytest.mark.slow
def test_a_bare_pack_answers_by_command(bare, portraits, run):
    folder, file = bare
    words = ("verify", portraits / "obama.jpg", portraits / "obama2.jpg", "--pack", folder)
    code, out, err = run(*words)
    assert (code, err) == (1, "")
    assert out.startswith("review    similarity 0.7")
    assert "no error rate known" in out
    assert json.loads(run(*words, "--json")[1])["threshold"] is None
    code, out, _ = run(*words, "--calibration", file)
    assert (code, out.startswith("match ")) == (0, True)
