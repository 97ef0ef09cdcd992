"""Is this person in that photo, and in which of many? Faces are made of brightness."""

import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
import typer
from conftest import ROOT
from made import ANNA, APART, BERT, CARL, NONE, TWO, AngleEmbedder, detect, photo, picture

from visavis.cli import app
from visavis.errors import CalibrationError, NoFaceError
from visavis.facecache import FaceCache
from visavis.presence import find_in_photos, portrait_embedding, verify_any
from visavis.recognizer import Recognizer

MODELS = "fake@0 detector@0"
PAGE = (ROOT / "docs" / "find.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("line", [line for block in BLOCKS for line in block.splitlines()])
def test_every_line_of_the_page_is_a_command(line):
    verb, *words = shlex.split(line, comments=True)[1:]
    command = typer.main.get_command(app).commands[verb]
    command.make_context("visavis", words)  # raises for what it does not understand


@pytest.fixture
def made(calibration) -> Recognizer:
    """A recognizer of made photos."""
    return Recognizer(detect, AngleEmbedder(), calibration)


ANYWHERE = [  # by policy: one face at 1e-3 asks for 0.4, two share it and ask for 0.5
    (ANNA, "convenience", "match", 0.4, 1),
    ((ANNA, CARL), "convenience", "match", 0.5, 1),
    ((CARL, ANNA), "convenience", "match", 0.5, 2),
    ((CARL, BERT), "convenience", "no_match", 0.5, 2),
    ((CARL, ANNA + 36), "convenience", "review", 0.5, 2),  # 0.43 alike
    (ANNA + 36, "convenience", "match", 0.4, 1),
    ((CARL, ANNA), "standard", "review", 0.5, 2),  # 5e-5 is more than the data shows
    (ANNA, "standard", "match", 0.5, 1),
]


@pytest.mark.parametrize(("levels", "policy", "outcome", "threshold", "face"), ANYWHERE)
def test_every_face_is_compared_and_they_share_the_rate(
    made, levels, policy, outcome, threshold, face
):
    group = picture(levels, shows=TWO if np.size(levels) > 1 else 200)
    presence = verify_any(made, picture(ANNA), group, policy=policy)
    assert (presence.decision.outcome, presence.face) == (outcome, face)
    assert presence.decision.policy.match.threshold == threshold
    assert len(presence.similarities) == presence.decision.comparisons == np.size(levels)
    assert (bool(presence), presence.matched) == (outcome == "match",) * 2


@pytest.mark.parametrize(
    ("portrait", "group", "options", "error", "said"),
    [
        (NONE, 200, {}, NoFaceError, "no face found"),
        (200, NONE, {}, NoFaceError, "no face found"),
        (200, 200, {"face": 2}, NoFaceError, "no face 2, there are 1"),
        (200, 200, {"policy": "1e-9"}, CalibrationError, "the strictest they support"),
        (200, 200, {"policy": "lax"}, CalibrationError, "unknown policy 'lax'"),
    ],
)
def test_what_cannot_be_asked_is_an_error(made, portrait, group, options, error, said):
    with pytest.raises(error, match=said):
        verify_any(made, picture(90, shows=portrait), picture(90, shows=group), **options)


def album(folder) -> list:
    """Photos of Anna, of others, of two people, of nobody, and a file that is none."""
    (folder / "bad.png").write_bytes(b"no picture")
    return [
        photo(folder / "carl.png", CARL),
        photo(folder / "near.png", ANNA + 20),
        photo(folder / "both.png", (CARL, ANNA), shows=APART),
        photo(folder / "anna.png", ANNA),
        photo(folder / "wall.png", 90, shows=NONE),
        folder / "bad.png",
        folder / "gone.png",
    ]


def asked(made, paths, **options):
    wanted = portrait_embedding(made, picture(ANNA))
    return find_in_photos(made, wanted, paths, policy="convenience", **options)


HIGH = 200  # rows of a made photo


def test_the_likest_photos_come_first_and_the_rest_goes_on(made, tmp_path):
    search = asked(made, album(tmp_path), workers=2)
    names = [one.photo.rpartition("/")[2] for one in search.photos]
    assert (set(names[:2]), names[2]) == ({"anna.png", "both.png"}, "near.png")
    assert set(names[-2:]) == {"carl.png", "wall.png"}
    assert {one.photo.rpartition("/")[2] for one in search.matches} == set(names[:3])
    assert [path.name for path, _ in search.failures] == ["bad.png", "gone.png"]
    wall = next(one for one in search.photos if one.photo.endswith("wall.png"))
    assert (wall.face, wall.similarities, wall.decision.outcome) == (None, (), "no_match")
    # Three photos of one face at 1e-3, and one of two faces that share it at the data's 1e-4.
    assert search.expected_wrong == pytest.approx(3 * 1e-3 + 2e-4, rel=1e-3)


def test_the_second_question_looks_through_nothing(made, tmp_path):
    paths = album(tmp_path)
    cache = FaceCache(MODELS, tmp_path / "cache" / "faces.db")
    first = asked(made, paths, cache=cache)
    # A file that changed a moment ago is read once more, but its faces are known by its bytes.
    blind = replace(made, detect=lambda image: pytest.fail("was looked through"))
    wanted = portrait_embedding(made, picture(ANNA))
    second = find_in_photos(blind, wanted, paths, policy="convenience", cache=cache)
    assert second.photos == first.photos
    assert len(second.failures) == 2
    cache.close()


def test_a_search_that_was_stopped_goes_on_where_it_was(made, tmp_path):
    paths = album(tmp_path)[:4]
    cache = FaceCache(MODELS, tmp_path / "faces.db")
    seen: list[int] = []  # whole photos; each face is looked at again in a picture of its own

    def stops(image):
        seen.extend([1] * (len(image) == HIGH))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return detect(image)

    with pytest.raises(KeyboardInterrupt):
        asked(replace(made, detect=stops), paths, cache=cache)
    seen.clear()

    def counts(image):
        seen.extend([1] * (len(image) == HIGH))
        return detect(image)

    wanted = portrait_embedding(made, picture(ANNA))
    seen.clear()
    search = find_in_photos(replace(made, detect=counts), wanted, paths, cache=cache)
    assert (len(search.photos), len(seen) < 4) == (4, True)
    cache.close()
