"""Watching: sources in, events out, with faces and people made for the test.

A face is a square; who it is, is its brightness. The detector is told what it sees.
"""

import threading
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from made import ANNA, BERT, CARL, AngleEmbedder, angle, face
from made_heads import TURN, turned
from made_liveness import networks_of

from visavis.configuration import Configuration, Configured, ConfiguredPack
from visavis.errors import DeviceError
from visavis.gallery import Sample
from visavis.gallery.groups import add_to_group
from visavis.quality import HEAD
from visavis.recognizer import Recognizer
from visavis.types import Face
from visavis.watch import watching
from visavis.watch.address import Address
from visavis.watch.deciding import Rule
from visavis.watch.following import Follower
from visavis.watch.frames import Counts, Notice, Shot
from visavis.watch.guarding import LiveGuard
from visavis.watch.searching import Duty
from visavis.watch.showing import annotated, has_window, label_of, window
from visavis.watch.sources import Sources
from visavis.watch.stillness import Stillness
from visavis.watch.watching import Clock, WatchPlan, watch_sources

WIDTH, HEIGHT, SIDE = 700, 90, 80
TOP = 5
GRAIN = np.random.default_rng(0).integers(0, 41, (HEIGHT, WIDTH, 1)).astype(np.uint8)
WAY = {  # how far from the left, by second
    "stands": lambda at: 100,
    "walks": lambda at: 50 + 100 * at,
    "returns": lambda at: 450 - 100 * at,
}


class Stage:
    """Squares in a picture, and a detector that sees them."""

    def __init__(self) -> None:
        self.shown: list[tuple[float, float]] = []  # how far from the left, and how bright
        self.hidden: set[int] = set()  # of `shown`: those that the detector misses
        self.noisy = False  # as a camera is: no two pictures are the same
        self.pictures = 0

    def picture(self, *shown: tuple[float, float]) -> np.ndarray:
        self.shown = [*shown]
        image = np.full((HEIGHT, WIDTH, 3), 10, np.uint8)
        for left, level in shown:
            image[TOP : TOP + SIDE, round(left) : round(left) + SIDE] = level - 20
        self.pictures += 1
        return image + np.roll(GRAIN, self.pictures if self.noisy else 0, axis=1)

    def detect(self, image: np.ndarray, /) -> list:
        if image.shape[1] != WIDTH:
            return []  # a second look finds nothing: the landmarks stay
        return [
            face(left, TOP, SIDE)
            for row, (left, _) in enumerate(self.shown)
            if row not in self.hidden
        ]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def recognizer(stage, calibration) -> Recognizer:
    return Recognizer(stage.detect, AngleEmbedder(), calibration)


@pytest.fixture
def people(gallery):
    """Anna and Bert are in the gallery; Carl is a stranger."""
    for name, level in (("Anna", ANNA), ("Bert", BERT)):
        person = gallery.add_person(name)
        sample = Sample("a.jpg", name[0].lower() * 64, "{}", {"fake@0": angle(level)}, None)
        gallery.add_sample(person.id, sample)
    return gallery


@pytest.fixture
def follower(recognizer, people) -> Follower:
    return Follower(recognizer, people, Rule(), "stage")


def told(events) -> list[tuple]:
    return [
        (
            one.kind,
            one.sighting.track,
            one.sighting.state,
            getattr(one.sighting.person, "name", None),
        )
        for one in events
    ]


def follow(follower, stage, frames, *, step: float = 0.1):
    events = []
    for number, shown in enumerate(frames):
        events += follower.look(stage.picture(*shown), number * step)
    return events + follower.finish()


@pytest.mark.parametrize(
    ("level", "state", "name"),
    [(ANNA, "confirmed", "Anna"), (BERT, "confirmed", "Bert"), (CARL, "unknown", None)],
)
def test_a_face_is_decided_once_and_leaves_once(follower, stage, level, state, name):
    events = follow(follower, stage, [[(WAY["walks"](n / 10), level)] for n in range(20)])
    assert told(events) == [("decided", 1, state, name), ("left", 1, state, name)]
    decided, left = (one.sighting for one in events)
    assert (decided.looks, decided.end) == (3, pytest.approx(0.2))
    assert (left.start, left.end, left.sightings) == (0.0, pytest.approx(1.9), 20)
    # 1e-2 was asked for; 12 crops, 3 must agree, 2 templates, at the next stricter point: 1e-3
    assert left.false_positive_rate == pytest.approx((1 - (1 - 1e-3) ** 2) * 4)


def test_among_a_group_nobody_else_is_named(recognizer, people, stage):
    (bert,) = people.people("Bert")
    add_to_group(people, "night shift", [bert.id])
    among = Follower(recognizer, people, Rule(among="night shift"), "stage")
    walks = [[(WAY["walks"](n / 10), ANNA)] for n in range(20)]
    assert told(follow(among, stage, walks))[-1] == ("left", 1, "unknown", None)
    among = Follower(recognizer, people, Rule(among="night shift"), "stage")
    walks = [[(WAY["walks"](n / 10), BERT)] for n in range(20)]
    seen = follow(among, stage, walks)
    assert told(seen)[-1] == ("left", 1, "confirmed", "Bert")
    # One template is compared, where two were: what the answer may get wrong is half as much.
    assert seen[-1].sighting.false_positive_rate == pytest.approx(1e-3 * 4)


@pytest.mark.parametrize(("least", "name"), [(10.0, "Anna"), (1000.0, None)])
@pytest.mark.parametrize("measure", ["size", "length"])
def test_no_crop_is_compared_that_a_member_asks_more_of(
    recognizer, people, stage, measure, least, name
):
    """Whoever would be a review in a photo is not named by a camera."""
    picky = ConfiguredPack("fake", 1.0, least_quality={measure: least})
    lengths = {"fake@0": lambda crops: np.full(len(crops), 100.0)} if measure == "length" else {}
    configured = Configured(Configuration((picky,)), {"fake@0": picky}, {}, lengths=lengths)
    asked = Follower(replace(recognizer, configured=configured), people, Rule(), "stage")
    events = follow(asked, stage, [[(WAY["stands"](0), ANNA)]] * 5)
    assert {getattr(one.sighting.person, "name", None) for one in events} == {name}
    assert [one.sighting.looks for one in events][-1] == (3 if name else 0)


def test_a_named_face_is_not_embedded_again_and_again(follower, stage):
    events = follow(follower, stage, [[(100, ANNA)]] * 40)
    assert events[-1].sighting.looks == 3


def test_a_strangers_crops_are_compared_no_more_than_the_rule_says(follower, stage):
    events = follow(follower, stage, [[(100, CARL)]] * 70)
    assert events[-1].sighting.looks == 12


def test_who_stays_is_told_from_time_to_time_where_somebody_asks(recognizer, people, stage):
    shown = [(100, ANNA), (400, CARL)]
    asked = Follower(recognizer, people, Rule(), "stage", duty=Duty(every=0.5))
    events = follow(asked, stage, [shown] * 10 + [[]] * 4 + [shown] * 2)
    stays = [one for one in events if one.kind == "stays"]
    assert [one.sighting.person.name for one in stays] == ["Anna"] * 2
    # Decided at 0.2 s, told at 0.7; out of sight from 1.0 to 1.4, and then overdue.
    assert [one.at for one in stays] == [pytest.approx(0.7), pytest.approx(1.4)]
    assert not any(one.kind == "stays" for one in follow(Follower(recognizer, people, Rule(), "s"),
                                                         stage, [shown] * 20))  # fmt: skip


def test_a_sighting_says_what_its_name_rests_on(follower, stage):
    named, unknown = follow(follower, stage, [[(100, ANNA), (400, CARL)]] * 9)[-2:]
    assert named.sighting.threshold == 0.4  # 2 templates at 1e-2 / 4: the point of 1e-3
    assert unknown.sighting.similarity < unknown.sighting.threshold
    assert (named.sighting.live_score, unknown.sighting.live_score) == (None, None)


def test_two_who_cross_keep_their_names(follower, stage):
    frames = [[(WAY["walks"](n / 10), ANNA), (WAY["returns"](n / 10), BERT)] for n in range(40)]
    events = follow(follower, stage, frames)
    left = {
        (name, one.sighting.sightings)
        for (_, _, _, name), one in zip(told(events), events, strict=True)
        if one.kind == "left"
    }
    assert left == {("Anna", 40), ("Bert", 40)}


def test_two_who_turn_round_where_they_meet_are_told_apart_again(follower, stage):
    """The tracker takes the one for the other: each is carried on. A crop says who it is."""

    def places(n: int) -> list[tuple[float, float]]:
        gap = abs(20 - n) * 10  # they come, meet, and go back
        return [(300 - gap / 2, ANNA), (301 + gap / 2, BERT)]

    events = follow(follower, stage, [places(n) for n in range(40)])
    left = [one for one in events if one.kind == "left"]
    assert {one.sighting.person.name: one.sighting.sightings for one in left} == {
        "Anna": 40,
        "Bert": 40,
    }


def test_a_face_that_becomes_another_ends_its_track(follower, stage):
    """Somebody steps into Anna's place while the detector does not look."""
    frames = [[(100, ANNA)]] * 10 + [[]] * 8 + [[(100, BERT)]] * 10
    events = follow(follower, stage, frames)
    assert told(events) == [
        ("decided", 1, "confirmed", "Anna"),
        ("left", 1, "confirmed", "Anna"),
        ("decided", 2, "confirmed", "Bert"),
        ("left", 2, "confirmed", "Bert"),
    ]
    assert events[1].sighting.end == pytest.approx(0.9)  # not when Bert was there


def test_without_that_look_a_stranger_would_keep_the_name(follower, stage, monkeypatch):
    """The same with the look taken away: what it is for."""
    monkeypatch.setattr(Follower, "_fits", lambda self, one, embedding: True)
    frames = [[(100, ANNA)]] * 10 + [[]] * 8 + [[(100, CARL)]] * 10
    assert ("left", 1, "confirmed", "Anna") in told(follow(follower, stage, frames))
    assert len(told(follow(follower, stage, frames))) == 2


def test_a_face_that_is_missed_for_a_moment_stays_the_same(follower, stage):
    frames = [[(100, ANNA)]] * 5 + [[]] * 10 + [[(100, ANNA)]] * 5
    assert told(follow(follower, stage, frames)) == [
        ("decided", 1, "confirmed", "Anna"),
        ("left", 1, "confirmed", "Anna"),
    ]


def test_a_face_that_was_seen_once_is_a_mistake_of_the_detector(follower, stage):
    assert follow(follower, stage, [[(100, ANNA)], *[[]] * 30]) == []


def test_whoever_is_erased_is_not_named_when_they_leave(follower, stage, people):
    events = follower.look(stage.picture((100, ANNA)), 0.0)
    for at in (0.1, 0.2, 0.3):
        events += follower.look(stage.picture((100, ANNA)), at)
    assert told(events) == [("decided", 1, "confirmed", "Anna")]
    people.delete(events[0].sighting.person.id)
    (left,) = follower.finish()
    assert told([left]) == [("left", 1, "unknown", None)]
    assert left.sighting.closest is None


@pytest.mark.parametrize(
    ("duty", "faces"),
    [(Duty(), []), (Duty(unknown=True), [False]), (Duty(unknown=True, crops=True), [True])],
)
def test_the_face_of_who_leaves_unknown_is_told_where_somebody_asks(
    recognizer, people, stage, duty, faces
):
    asked = Follower(recognizer, people, Rule(), "stage", duty=duty)
    events = follow(asked, stage, [[(100, ANNA), (400, CARL)]] * 9)
    told = [one.sighting.face for one in events if one.sighting.face]
    assert [one.crop is not None for one in told] == faces
    for one in told:
        assert one.template == pytest.approx(angle(CARL)[None], abs=0.05)


def test_the_face_of_who_is_erased_meanwhile_is_nobody_unknown(recognizer, people, stage):
    asked = Follower(recognizer, people, Rule(), "stage", duty=Duty(unknown=True))
    for number in range(5):
        asked.look(stage.picture((100, ANNA)), number / 10)
    people.delete(people.find("Anna").id)
    (left,) = asked.finish()
    assert (left.sighting.state, left.sighting.face) == ("unknown", None)


def test_a_source_that_changes_its_size_keeps_its_tracks(follower, stage):
    first = follower.look(stage.picture((100, ANNA)), 0.0)
    small = stage.picture((100, ANNA))[:, ::2]
    follower._scan = lambda image: [replace_scaled(face(100, TOP, SIDE))]
    follower.look(np.ascontiguousarray(small), 0.1)
    assert first == []
    assert [one.number for one in follower.followed] == [1]


def replace_scaled(one):
    return one.scaled(0.5, 1.0)


# A face that must be alive.


@pytest.fixture
def turning(stage, people, recognizer):
    """The detector sees a head that turns as a head, or as the photo that it is."""

    def detect_as(depth: float):
        stage.noisy = True
        views = iter(TURN.tolist() * 9)

        def detect(image: np.ndarray, /) -> list:
            if image.shape[1] != WIDTH:
                return []
            points = turned(HEAD * [1, 1, depth], next(views))
            seen = face(stage.shown[0][0], TOP, SIDE)
            middle = (points - points.mean(axis=0)) * 0.3 + seen.landmarks.mean(axis=0)
            return [Face(seen.box, middle.astype(np.float32), 0.9)]

        return stage, people, replace(recognizer, detect=detect)

    return detect_as


@pytest.mark.parametrize(
    ("demand", "depth", "state", "liveness"),
    [
        ("off", 0.0, "confirmed", None),
        ("warn", 0.0, "confirmed", "spoof"),
        ("warn", 1.0, "confirmed", "live"),
        ("require", 0.0, "spoof", "spoof"),  # the attack: her photo, turned
        ("require", 1.0, "confirmed", "live"),
    ],
)
def test_a_photo_is_named_only_where_nobody_asks(turning, demand, depth, state, liveness):
    stage, people, recognizer = turning(depth)
    follower = Follower(recognizer, people, Rule(), "stage", guard=LiveGuard(demand))
    left = follow(follower, stage, [[(100, ANNA)]] * 30)[-1].sighting
    assert (left.state, left.liveness) == (state, liveness)
    assert (left.person is not None) == (state == "confirmed")


def test_whoever_stands_still_is_not_named_where_life_is_required(stage, people, recognizer):
    """Missing is refused: nobody turned, and no network is there."""
    stage.noisy = True
    follower = Follower(recognizer, people, Rule(), "stage", guard=LiveGuard("require"))
    events = follow(follower, stage, [[(100, ANNA)]] * 30)
    assert told(events) == [("left", 1, "review", None)]
    assert events[0].sighting.liveness == "unsure"


@pytest.mark.parametrize(
    ("score", "state", "liveness"),
    [(0.95, "confirmed", "live"), (0.5, "review", "unsure"), (0.05, "spoof", "spoof")],
)
def test_networks_say_whether_a_face_that_stands_still_is_alive(
    stage, people, recognizer, score, state, liveness
):
    stage.noisy = True
    logits = np.float32([[0, np.log(2 * score / (1 - score)), 0]])
    guard = LiveGuard("require", networks_of((lambda pictures: [logits], 2.7)))
    follower = Follower(recognizer, people, Rule(), "stage", guard=guard)
    left = follow(follower, stage, [[(100, ANNA)]] * 10)[-1].sighting
    assert (left.state, left.liveness) == (state, liveness)
    assert left.similarity == pytest.approx(1.0, abs=1e-3)  # whatever life says


def test_a_photo_in_front_of_a_live_face_begins_a_track_without_signs(stage, people, recognizer):
    """The attack: a stranger shows that they live, then holds Anna's photo before their face."""
    stage.noisy = True
    guard = LiveGuard("require", networks_of((alive_until_told, 2.7)))
    alive_until_told.score = 0.95
    follower = Follower(recognizer, people, Rule(), "stage", guard=guard)
    events = []
    for number in range(20):
        events += follower.look(stage.picture((100, CARL)), number / 10)
    alive_until_told.score = 0.05
    for number in range(20, 40):
        events += follower.look(stage.picture((100, ANNA)), number / 10)
    events += follower.finish()
    assert told(events)[-1] == ("left", 2, "spoof", None)
    assert not any(event.sighting.person for event in events)


def alive_until_told(pictures: np.ndarray) -> list[np.ndarray]:
    score = alive_until_told.score
    return [np.float32([[0, np.log(2 * score / (1 - score)), 0]])]


# Sources, made.


class Played:
    """A source that gives what it is told to."""

    def __init__(self, what: list, *, live: bool = False, name: str = "stage") -> None:
        self.address = Address("camera" if live else "video", name, name)
        self.counts = Counts()
        self.ended = False
        self._what = what

    def take(self):
        if not self._what:
            self.ended = True
            return None
        one = self._what.pop(0)
        self.counts.read += 1
        if isinstance(one, Exception):
            self.ended = True
            raise one
        return one() if callable(one) else one

    def notes(self):
        return []

    def close(self) -> None:
        self.ended = True


def shots(stage, frames, *, rate: float = 25, begin: float = 0.0) -> list:
    """What makes each shot when it is taken, so that the detector is told then."""

    def shot(number: int, shown: list) -> Shot:
        return Shot(begin + number / rate, partial(np.asarray, stage.picture(*shown)))

    return [partial(shot, number, shown) for number, shown in enumerate(frames)]


def watched(recognizer, people, *sources, **options):
    return list(watch_sources(recognizer, people, Sources(sources, threading.Event()), **options))


@pytest.mark.parametrize(
    ("every", "shown", "looked"),
    [
        (0.0, [(100, ANNA)], 50),
        (0.1, [(100, ANNA)], 12),  # 25 a second: two each second one, then she is known
        (0.1, [(100, CARL)], 18),  # then each third: more crops of a stranger are compared
        (0.1, [], 10),  # idle: each fifth one
        (0.2, [(100, ANNA)], 7),
        (0.4, [(100, ANNA)], 6),  # twice that would be too long
    ],
)
def test_the_detector_looks_at_the_frames_that_are_due(
    recognizer, people, stage, monkeypatch, every, shown, looked
):
    times = []
    look = Follower.look
    monkeypatch.setattr(
        Follower, "look", lambda self, image, at: times.append(at) or look(self, image, at)
    )
    watched(recognizer, people, Played(shots(stage, [shown] * 50)), plan=WatchPlan(every=every))
    assert len(times) == looked


@pytest.mark.parametrize(
    ("speed", "demand", "settled"),
    [(0, "off", True), (90, "off", True), (110, "off", False), (0, "warn", False)],
)
def test_who_is_known_is_looked_at_less_unless_they_move_fast(
    recognizer, people, stage, speed, demand, settled
):
    """A quarter of a face of 80 pixels in 0.2 seconds is 100 pixels a second."""
    asked = Follower(recognizer, people, Rule(), "stage", guard=LiveGuard(demand))
    assert asked.is_settled(0.2)
    for number in range(10):
        assert asked.is_settled(0.2) is (number == 0 or (settled and number >= 3))
        asked.look(stage.picture((100 + speed * number / 10, ANNA)), number / 10)
    assert asked.is_settled(0.2) is settled


def test_whoever_was_named_is_noted_as_seen(recognizer, people, stage):
    watched(recognizer, people, Played(shots(stage, [[(100, ANNA)]] * 20)))
    assert {one.name: one.seen_at is not None for one in people.people()} == {
        "Anna": True,
        "Bert": False,
    }


def test_a_stop_ends_the_tracks_with_what_was_seen(recognizer, people, stage):
    sources = Sources([Played(shots(stage, [[(100, ANNA)]] * 500))], threading.Event())
    events = []
    for event in watch_sources(recognizer, people, sources):
        events.append(event)
        sources.stop()
    assert told(events) == [
        ("decided", 1, "confirmed", "Anna"),
        ("left", 1, "confirmed", "Anna"),
    ]


def test_a_size_that_changes_is_said(recognizer, people):
    sizes = [(48, 64), (48, 64), (96, 128), (48, 64)]
    recognizer = replace(recognizer, detect=lambda image: [])
    frames = [
        Shot(float(n), lambda size=size: np.zeros((*size, 3), np.uint8))
        for n, size in enumerate(sizes)
    ]
    events = watched(recognizer, people, Played(frames))
    assert [(one.kind, one.at, one.text) for one in events] == [
        ("size", 2.0, "the picture is 128x96 now"),
        ("size", 3.0, "the picture is 64x48 now"),
    ]


def test_a_video_whose_time_jumps_back_is_said_and_read_on(recognizer, people, stage):
    again = shots(stage, [[(100, ANNA)]] * 20, begin=90.0) + shots(stage, [[(100, ANNA)]] * 20)
    events = watched(recognizer, people, Played(again))
    assert [one.kind for one in events] == ["decided", "clock", "left", "decided", "left"]
    assert events[1].text == "its time jumps back to 0.0 s"
    assert [one.sighting.person.name for one in events if one.kind == "left"] == ["Anna", "Anna"]


@pytest.mark.parametrize(("set_by", "said"), [(3600, "forward by 3600 s"), (-60, "back by 60 s")])
def test_a_clock_that_is_set_is_said_and_no_time_is_lost(
    recognizer, people, stage, monkeypatch, set_by, said
):
    now, began = time.time, time.monotonic()
    frames = shots(stage, [[(100, ANNA)]] * 20, begin=began)

    def jump():
        monkeypatch.setattr(watching.time, "time", lambda: now() + set_by)
        return frames[10]()

    played = Played([*frames[:10], jump, *frames[11:]], live=True)
    events = watched(recognizer, people, played)
    assert [one.kind for one in events] == ["decided", "clock", "left"]
    assert events[1].text == f"the clock was set {said}"
    left = events[2].sighting
    assert left.end - left.start == pytest.approx(19 / 25)  # the last frame that was looked at
    assert left.started_at[:16] == Clock(True).tell(began)[1][:16]  # as the clock is now


def still(stage, level: float, seconds: float, begin: float) -> list:
    """Five of the very same picture a second."""
    return shots(stage, [[(100, level)]] * round(5 * seconds), rate=5, begin=begin)


def test_a_camera_that_stands_still_is_said_and_nobody_in_it_is_there(
    recognizer, people, stage, caplog
):
    """The attack: one picture of Anna, held for ever, would be a day of presence."""
    began = time.monotonic()
    walks = [[(100 + 20 * (n % 2), ANNA)] for n in range(10)]
    frames = [*still(stage, ANNA, 30, began), *shots(stage, walks, rate=5, begin=began + 30)]
    plan = WatchPlan(duty=lambda source: Duty(every=5))
    events = watched(recognizer, people, Played(frames, live=True), plan=plan)
    assert [one.kind for one in events] == [
        "decided", "stays", "frozen", "left", "moving", "decided", "left",
    ]  # fmt: skip
    assert [round(events[n].at, 1) for n in (2, 4)] == [10.0, 30.2]
    assert events[3].sighting.end == pytest.approx(9.8, abs=0.3)
    assert "camera 0: frozen" in caplog.text.replace("stage", "camera 0")
    # Of a video nothing is said: a title stands still.
    events = watched(recognizer, people, Played(still(stage, ANNA, 30, 0.0)))
    assert [one.kind for one in events] == ["decided", "left"]


def test_without_that_one_picture_would_be_there_for_ever(recognizer, people, stage, monkeypatch):
    monkeypatch.setattr("visavis.watch.stillness.FROZEN", 1e9)
    plan = WatchPlan(duty=lambda source: Duty(every=5))
    frames = still(stage, ANNA, 30, time.monotonic())
    events = watched(recognizer, people, Played(frames, live=True), plan=plan)
    assert [one.kind for one in events].count("stays") == 5


@pytest.mark.parametrize("pixel", [(0, 0), (8, 16)])
def test_one_pixel_that_trembles_is_no_picture_that_stands_still(pixel):
    seen = Stillness()
    for number in range(100):
        image = np.full((48, 64, 3), 90, np.uint8)
        image[pixel] += number % 2
        assert seen.see(image, number / 5) is None


def test_a_bad_source_is_said_and_the_others_go_on(recognizer, people, stage):
    from visavis.errors import SourceError

    good = Played(shots(stage, [[(100, ANNA)]] * 20))
    bad = Played([SourceError("list.mp4: not a video")], name="list.mp4")
    events = watched(recognizer, people, bad, good)
    assert [(one.kind, one.source) for one in events] == [
        ("failed", "list.mp4"),
        ("decided", "stage"),
        ("left", "stage"),
    ]


def test_each_source_has_its_own_demand(recognizer, people, stage):
    """At the door life is required, at the desk it is not."""
    door, desk = (
        Played(shots(stage, [[(100, ANNA)]] * 20), name=name) for name in ("door", "desk")
    )
    plan = WatchPlan(guards={"door": LiveGuard("require")})
    events = watched(recognizer, people, door, desk, plan=plan)
    left = {one.source: one.sighting for one in events if one.kind == "left"}
    assert (left["door"].state, left["door"].person, left["door"].liveness) == (
        "review",
        None,
        "unsure",
    )
    assert (left["desk"].person.name, left["desk"].liveness) == ("Anna", None)


def test_notices_are_events(recognizer, people):
    events = watched(recognizer, people, Played([Notice("damaged", "3 frames", 1.0)]))
    assert [(one.kind, one.at, one.text, one.sighting) for one in events] == [
        ("damaged", 1.0, "3 frames", None)
    ]


# What is shown.


def test_a_frame_is_drawn_with_its_names(follower, stage):
    for at in (0.0, 0.1, 0.2):
        follower.look(stage.picture((100, ANNA), (400, CARL)), at)
    image = stage.picture((100, ANNA), (400, CARL))
    drawn, known = annotated(image, follower, 0.2), follower.known()
    assert sorted(label_of(one, follower.state_of(one), known) for one in follower.followed) == [
        "?",
        "Anna 1.00",
    ]
    changed = (drawn != image).any(axis=2)
    assert changed[:, 95:185].any()
    assert changed[:, 395:485].any()
    assert not changed[:, 200:380].any()


@pytest.mark.skipif(has_window(), reason="this OpenCV has windows")
def test_an_opencv_without_windows_is_said():
    with pytest.raises(DeviceError, match="this OpenCV opens no window"), window(lambda: None):
        pass


@pytest.mark.parametrize(("key", "stopped"), [("q", True), ("x", False)])
def test_q_stops(follower, stage, monkeypatch, key, stopped):
    shown, stops = [], []
    monkeypatch.setattr("visavis.watch.showing.has_window", lambda: True)
    monkeypatch.setattr("cv2.imshow", lambda name, image: shown.append((name, image.shape)))
    monkeypatch.setattr("cv2.waitKey", lambda delay: ord(key))
    monkeypatch.setattr("cv2.destroyAllWindows", lambda: None)
    with window(lambda: stops.append(1)) as show:
        show(Played([]), Shot(0.0, lambda: stage.picture((100, ANNA))), follower)
    assert (shown, bool(stops)) == ([("stage", (HEIGHT, WIDTH, 3))], stopped)
