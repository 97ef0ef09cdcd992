"""Whole scenes, made of photos of lfw_people: who walks through, crosses, is hidden, is a stranger.

Real detections, real embeddings, known truth: identity switches, names, and strangers' names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from conftest import share
from made_scenes import (
    Actor,
    hidden,
    people_with,
    photos_of,
    scene,
    standing,
    walking,
)  # fmt: skip

from visavis.decision import Calibration
from visavis.enrollment import Candidate, enroll
from visavis.faces import find_faces
from visavis.gallery import open_gallery
from visavis.watch.deciding import Rule
from visavis.watch.following import Follower

pytestmark = [pytest.mark.pack, pytest.mark.slow, pytest.mark.timeout(600)]
STEP = 0.12  # seconds between two looks
ENROLLED = 6  # people; each by their first photo, which is in no scene


@pytest.fixture(scope="module")
def names(data) -> list[str]:
    return people_with(data, 12, photos=5)


@pytest.fixture(scope="module")
def people(data, names, recognizer, tmp_path_factory):
    gallery = open_gallery(tmp_path_factory.mktemp("people") / "gallery")
    folder = data / "data" / "lfw_people"
    candidates = [Candidate(name, min((folder / name).iterdir())) for name in names[:ENROLLED]]
    assert all(one.accepted for one in enroll(recognizer, gallery, candidates))
    yield gallery
    gallery.close()


@dataclass
class Seen:
    """What came of a scene."""

    switches: int  # how often somebody's face went on in another track
    named: dict[str, set[str]]  # by actor: the names that their tracks were given
    confirmed: set[tuple[str, str]]  # of all sightings: (their state, their name)


def play(recognizer, people, actors: Sequence[Actor], seconds: float, **options) -> Seen:
    follower = Follower(recognizer, people, Rule(), "scene")
    events, due = [], 0.0
    tracks: dict[str, list[int]] = {actor.name: [] for actor in actors}
    for at, image in scene(actors, seconds, **options):
        if at < due - 1e-6:
            continue
        due = at + STEP
        events += follower.look(image, at)
        boxes = {one.number: one.track.box for one in follower.followed if one.track.seen == at}
        for name, number in numbers_of(actors, boxes, at).items():
            if tracks[name][-1:] != [number]:
                tracks[name].append(number)
    events += follower.finish()
    sightings = [event.sighting for event in events if event.sighting]
    names = {one.track: one.person.name for one in sightings if one.person}
    return Seen(
        sum(len(numbers) - 1 for numbers in tracks.values()),
        {who: {names[n] for n in numbers if n in names} for who, numbers in tracks.items()},
        {(one.state, one.person.name) for one in sightings if one.person},
    )


def numbers_of(actors: Sequence[Actor], boxes: dict[int, np.ndarray], at: float) -> dict[str, int]:
    """The track of each actor: the nearest one, where nobody else is as near to it. A photo may
    show a second face behind its person's.
    """
    places = {actor.name: place[:2] for actor in actors if (place := actor.way(at))}
    middles = {number: (box[:2] + box[2:]) / 2 for number, box in boxes.items()}
    numbers = {}
    for name, place in places.items():
        others = [np.hypot(*np.subtract(place, one)) for who, one in places.items() if who != name]
        apart = sorted((np.hypot(*(middle - place)), number) for number, middle in middles.items())
        if apart and apart[0][0] < 60 and min(others, default=np.inf) > 2 * apart[0][0] + 60:
            numbers[name] = apart[0][1]
    return numbers


def actor(data, name: str, way) -> Actor:
    return Actor(name, photos_of(data, name)[1:], way)


def test_two_who_cross_and_a_stranger_behind_a_pillar(data, names, people, recognizer):
    actors = [
        actor(data, names[0], walking((-60, 190), (700, 190), 6)),
        actor(data, names[1], walking((700, 200), (-60, 200), 6)),
        actor(data, names[ENROLLED], hidden(standing(320, 70, 0.45), 2.0, 3.0)),
    ]
    seen = play(recognizer, people, actors, 6.4)
    assert seen.named == {names[0]: {names[0]}, names[1]: {names[1]}, names[ENROLLED]: set()}
    assert seen.switches == 0


def test_one_comes_nearer_while_another_leaves(data, names, people, recognizer):
    actors = [
        actor(data, names[2], lambda at: (220, 180, 0.4 + 0.1 * at)),
        actor(data, names[3], walking((480, 180), (480, 460), 3.0)),
    ]
    seen = play(recognizer, people, actors, 4.0)
    assert seen.named == {names[2]: {names[2]}, names[3]: {names[3]}}
    assert seen.switches == 0


def test_what_is_blurred_is_not_named_wrongly(data, names, people, recognizer):
    actors = [
        actor(data, name, standing(110 + 140 * n, 180, 0.5)) for n, name in enumerate(names[:4])
    ]
    seen = play(recognizer, people, actors, 3.0, blur=2.5)
    assert all(named <= {who} for who, named in seen.named.items())


def test_strangers_walk_through_and_nobody_is_named(data, names, people, recognizer):
    strangers = names[ENROLLED:][: max(3, share(6))]
    actors = [
        actor(data, name, standing(110 + 200 * (n % 3), 100 + 170 * (n // 3), 0.6))
        for n, name in enumerate(strangers)
    ]
    seen = play(recognizer, people, actors, 4.0)
    assert seen.confirmed == set()


@pytest.fixture(scope="module")
def tracks(data, recognizer) -> np.ndarray:
    """(people, 6, D): of each person the enrolled photo, and five of a track."""
    rows = []
    for name in people_with(data, max(40, share(158)), photos=6):
        photos = [find_faces(recognizer.detect, image) for image in photos_of(data, name, 6)]
        middle = [min(range(len(one.faces)), key=lambda n: off(one, n)) for one in photos]
        each = [recognizer.embed_faces(one, [n]) for one, n in zip(photos, middle, strict=True)]
        rows.append(np.concatenate(each))
    return np.stack(rows)


def off(photo, row: int) -> float:
    """How far a face is from the middle, where the one is whom the photo is of."""
    return float(np.abs(photo.faces[row].box.reshape(2, 2).mean(axis=0) - 125).sum())


def test_the_mean_of_crops_is_more_like_strangers_than_one_photo_is(tracks, recognizer):
    """Why a fused template names nobody: at a threshold for photos it passes more often."""
    threshold = recognizer.calibration.at(1e-2).threshold
    others = ~np.eye(len(tracks), dtype=bool)
    gallery = tracks[:, 0]
    single = np.concatenate([(tracks[:, n] @ gallery.T)[others] for n in range(1, 6)])
    means = tracks[:, 1:].mean(axis=1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    mean = (means @ gallery.T)[others]
    of_single, of_mean = (float((one >= threshold).mean()) for one in (single, mean))
    assert of_mean > 1.2 * of_single


@pytest.mark.parametrize("rate", [0.3, 0.1, 0.01])
def test_strangers_tracks_are_named_no_more_often_than_was_asked(tracks, recognizer, rate):
    rule = Rule(rate)
    named = right = 0
    for who, rows in enumerate(tracks):
        others = np.arange(len(tracks)) != who
        named += passes(recognizer.calibration, rule, rows[1:], tracks[others, 0])
        right += passes(recognizer.calibration, rule, rows[1:], tracks[who : who + 1, 0])
    # By chance up to three standard deviations more.
    assert named <= rate * len(tracks) + 3 * np.sqrt(rate * len(tracks))
    assert right >= 0.9 * len(tracks)


def passes(calibration: Calibration, rule: Rule, crops: np.ndarray, gallery: np.ndarray) -> bool:
    """Whether so many crops match one template as the rule wants."""
    policy = calibration.search_policy(rule.each / len(gallery))
    matches = (crops @ gallery.T >= policy.match.threshold).sum(axis=0)
    return bool(matches.max() >= rule.agreeing)
