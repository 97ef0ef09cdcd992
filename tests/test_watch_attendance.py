"""A minute before two cameras: each known person is one punch, and the stranger is none."""

import json
from pathlib import Path

import pytest
from conftest import SHARE
from made_attendance import moment
from made_scenes import Actor, people_with, photos_of, scene, standing, walking
from made_videos import write_video

from visavis.attendance import store
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.inbox import Inbox
from visavis.attendance.rules import read_rules
from visavis.enrollment import Candidate, enroll
from visavis.gallery import open_gallery

pytestmark = [pytest.mark.pack, pytest.mark.slow, pytest.mark.timeout(600)]
SECONDS = max(10, round(60 * SHARE))
RATE = 30
KNOWN = 4
BEGAN = "2026-03-02 08:00"
RULES = b"""
zone = "Europe/Berlin"
[devices.entry]
direction = "in"
[devices.strict]
others = false
[shifts.day]
start = 08:00:00
end = 17:00:00
[[assignments]]
shift = "day"
people = ["E-0", "E-1"]
[retention]
unknowns = 36500
"""


def during(start: float, end: float, way):
    """A way that begins at one share of the film and ends at another."""
    return lambda at: way(at - start * SECONDS) if start <= at / SECONDS < end else None


@pytest.fixture(scope="module")
def names(data) -> list[str]:
    return people_with(data, KNOWN + 1, photos=5)


@pytest.fixture(scope="module")
def clips(data, names, tmp_path_factory) -> tuple[Path, Path]:
    """The film of two cameras: the second one sees all from the other side."""
    last = SECONDS * 0.2
    ways = [
        standing(120, 190, 0.6),
        during(0.1, 0.3, walking((700, 200), (300, 200), last, 0.7)),
        during(0.4, 0.9, standing(320, 190, 0.7)),
        during(0.6, 0.8, walking((700, 180), (480, 180), last, 0.6)),
        during(0.3, 0.6, standing(520, 190, 0.6)),  # the stranger
    ]
    actors = [
        Actor(name, photos_of(data, name)[1:], way) for name, way in zip(names, ways, strict=True)
    ]
    folder = tmp_path_factory.mktemp("clips")
    frames = [image for _, image in scene(actors, SECONDS, rate=RATE)]
    write_video(folder / "one.mp4", frames, rate=RATE)
    write_video(folder / "other.mp4", [image[:, ::-1].copy() for image in frames], rate=RATE)
    return folder / "one.mp4", folder / "other.mp4"


@pytest.fixture
def enrolled(data, names, recognizer, tmp_path) -> Path:
    folder = tmp_path / "gallery"
    people = open_gallery(folder)
    candidates = [
        Candidate(name, min((data / "data" / "lfw_people" / name).iterdir()), external_id=f"E-{n}")
        for n, name in enumerate(names[:KNOWN])
    ]
    assert all(one.accepted for one in enroll(recognizer, people, candidates))
    keep_rules(people, read_rules(RULES, "rules"))
    people.close()
    return folder


def punched(folder: Path) -> list[str]:
    """Whose punches there are: by name, each as often as they punched."""
    people = open_gallery(folder)
    book = Attendance(people)
    with people.database.reading() as connection:
        made = store.punches_in(book.ledger, connection, None, seen=True)
    assert all(moment("08:00") <= one.at <= one.until <= moment("08:02") for one in made)
    names = sorted(book.directory.name(one.person) for one in made)
    people.close()
    return names


def unknown(folder: Path) -> list[list[str]]:
    """Where each unknown person was seen, as often as they were."""
    people = open_gallery(folder)
    clusters = Inbox(Attendance(people)).clusters()
    seen = [sorted(x.stranger.sighting.device for x in one.sightings) for one in clusters]
    people.close()
    return seen


def test_two_cameras_and_a_restart_punch_each_person_once(run, clips, enrolled, names):
    sources = [f"entry={clips[0]}", f"hall={clips[1]}"]
    words = ("watch", *sources, "--gallery", enrolled, "--attendance", "--began", BEGAN, "--json")
    fates = []
    for part in (("--end", SECONDS * 0.55), ("--start", SECONDS * 0.55)):
        code, out, err = run(*words, *part)
        assert (code, err) == (0, "")
        fates += [one["fate"] for one in json.loads(out)["punches"]]
    assert fates.count("punch") == KNOWN
    assert set(fates) <= {"punch", "seen", "too_soon"}
    assert punched(enrolled) == sorted(names[:KNOWN])
    (stranger,) = unknown(enrolled)  # one person, by both cameras
    assert set(stranger) == {"entry", "hall"}


def test_one_camera_that_looks_for_those_alone_who_are_expected(run, clips, enrolled, names):
    """Two of four have a shift; the words say what was recorded."""
    words = ("watch", f"strict={clips[0]}", "--gallery", enrolled, "--attendance")
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err == (
        "visavis: strict: a video does not say when it was: say when it began, as "
        "2026-03-02 08:00 (--began)\n"
    )
    code, out, _ = run(*words, "--began", BEGAN)
    assert code == 0
    assert punched(enrolled) == sorted(names[:2])
    assert unknown(enrolled) == []
    assert sum("strict  punch " in line and "recorded" in line for line in out.splitlines()) == 2
