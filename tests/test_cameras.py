"""What cameras see as punches: whoever stands there, turns round, or is seen twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
from made_attendance import RULES, moment, rules

from visavis.attendance import store
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.cameras import CameraClerk
from visavis.attendance.inbox import Inbox
from visavis.attendance.keys import RoomKeys
from visavis.attendance.punches import Fate
from visavis.errors import AttendanceError, GalleryError
from visavis.types import Part
from visavis.watch.events import Appearance, Event, UnknownFace

BEGAN = moment("08:00")
ALIKE = SimpleNamespace(match=SimpleNamespace(threshold=0.4))
CALIBRATION = SimpleNamespace(points=(0.4,), search_policy=lambda rate: ALIKE)
MODEL = SimpleNamespace(
    embed=SimpleNamespace(model="fake@0", parts=(Part("fake@0", 2),)),
    rules=SimpleNamespace(version=7, match_rate=lambda policy: 1e-3),
    calibration_of=lambda gallery: CALIBRATION,
)
STANDARD = (0.62, 0.41)  # similarity and threshold


def clerk(attendance, began=BEGAN) -> CameraClerk:
    return CameraClerk(attendance, MODEL, began)


def person(attendance, number: int = 1):
    return attendance.gallery.find(f"E-{number}")


def event(kind, who, start, end, *, device="lobby", track=1, live=False) -> Event:
    """A track of somebody, from second `start` to `end`."""
    at = [(BEGAN + timedelta(seconds=s)).isoformat() if live else None for s in (start, end)]
    sighting = Appearance(
        track, "confirmed" if who else "unknown", who, who, STANDARD[0], 0.01, None, 3, 3, 9,
        start, end, *at, STANDARD[1], 0.97,
    )  # fmt: skip
    return Event(kind, device, end, sighting)


def track(who, start, end, **more):
    """All events of a track: decided at once, told every 30 seconds, and left."""
    stays = [event("stays", who, start, at, **more) for at in range(start + 30, end, 30)]
    begins, ends = (
        event(kind, who, start, at, **more) for kind, at in (("decided", start), ("left", end))
    )
    return [begins, *stays, ends]


def punches(attendance):
    """(device, second, last second) of each punch."""
    with attendance.gallery.database.reading() as connection:
        made = store.punches_in(attendance.ledger, connection, None, seen=True)
    return [(one.device, second(one.at), second(one.until)) for one in made]


def second(at) -> int:
    return int((at - BEGAN).total_seconds())


def test_a_track_is_one_punch_from_when_it_began_with_its_evidence(attendance):
    record = clerk(attendance)
    (recorded,) = record(event("decided", person(attendance), 3, 3))
    assert record(event("left", person(attendance), 3, 9)) == []
    assert (recorded.fate, punches(attendance)) == (Fate.PUNCH, [("lobby", 3, 9)])
    assert attendance.evidence(recorded.punch)[0] == {
        "model": "fake@0", "similarity": 0.62, "threshold": 0.41, "configuration": 7,
        "liveness": 0.97, "crop": None,
    }  # fmt: skip


def test_a_camera_knows_what_time_it_is(attendance):
    record = clerk(attendance, began=None)
    record(event("decided", person(attendance), 5, 5, live=True))
    assert punches(attendance) == [("lobby", 5, 5)]


@pytest.mark.parametrize(
    ("liveness", "recorded"), [(None, 1), ("unsure", 1), ("live", 1), ("spoof", 0)]
)
def test_a_picture_of_somebody_is_not_recorded_where_it_is_seen_to_be_one(
    attendance, liveness, recorded
):
    seen = event("decided", person(attendance), 0, 0)
    seen = replace(seen, sighting=replace(seen.sighting, liveness=liveness))
    assert len(clerk(attendance)(seen)) == len(punches(attendance)) == recorded


def test_a_device_has_its_direction(attendance):
    (recorded,) = clerk(attendance)(event("decided", person(attendance), 0, 0, device="door"))
    assert attendance.punch(recorded.punch).direction == "in"


@pytest.mark.parametrize(
    ("told", "punched"),
    [
        # Nobody is named: a stranger, and what happens to a source.
        ([event("decided", None, 0, 0), Event("lost", "lobby", 1.0, text="gone")], []),
        # They stand before a camera, and a second track of theirs begins soon after.
        ([*track(1, 0, 130), *track(1, 150, 160, track=2)], [("lobby", 0, 160)]),
        # They come again after the cooldown.
        ([*track(1, 0, 20), *track(1, 200, 210, track=2)], [("lobby", 0, 20), ("lobby", 200, 210)]),
        # Two cameras see them for as long as they stand there.
        ([*track(1, 0, 150), *track(1, 5, 149, device="hall")], [("lobby", 0, 150)]),
        # Two people at once.
        ([*track(1, 0, 20), *track(2, 1, 9, track=2)], [("lobby", 0, 20), ("lobby", 1, 9)]),
        # They go out by the exit, and do not stand before it: too soon to have turned round.
        ([*track(1, 0, 5, device="door"), *track(1, 20, 30, device="exit")], [("door", 0, 30)]),
        # They stand before the exit until it is late enough.
        (
            [*track(1, 0, 5, device="door"), *track(1, 20, 200, device="exit")],
            [("door", 0, 110), ("exit", 140, 200)],
        ),
        # The crops of one track turn out to be somebody else's.
        (
            [event("decided", 1, 0, 0), event("left", 2, 0, 9)],
            [("lobby", 0, 0), ("lobby", 0, 9)],
        ),
    ],
)  # fmt: skip
def test_a_track_is_one_sighting(attendance, told, punched):
    record = clerk(attendance)
    for one in told:
        who = one.sighting and one.sighting.person
        known = person(attendance, who) if who else None
        record(replace(one, sighting=one.sighting and replace(one.sighting, person=known)))
    assert punches(attendance) == punched


def test_a_restart_while_somebody_stands_there_is_no_second_punch(attendance):
    who, before = person(attendance), clerk(attendance)
    for one in track(who, 0, 130)[:-1]:  # killed: nobody said that they left
        before(one)
    again = clerk(Attendance(attendance.gallery, attendance.rules))
    for one in track(who, 135, 140):
        again(one)
    assert punches(attendance) == [("lobby", 0, 140)]


def test_without_the_events_in_between_a_restart_would_punch_again(attendance):
    """The same with what is told in between taken away: what it is for."""
    who = person(attendance)
    clerk(attendance)(track(who, 0, 130)[0])
    again = clerk(attendance)
    for one in track(who, 135, 140):
        again(one)
    assert len(punches(attendance)) == 2


def test_what_cannot_be_written_is_kept_and_written_later(attendance, monkeypatch):
    record, full = clerk(attendance), GalleryError("the disk is full")
    take, who = Attendance.record, person(attendance)

    def refuse(*_, **__):
        raise full

    monkeypatch.setattr(Attendance, "record", refuse)
    for one in track(who, 0, 100)[:-1]:
        assert record(one) == []
    with pytest.raises(AttendanceError, match="1 sightings could not be recorded: the disk is"):
        record.close()
    monkeypatch.setattr(Attendance, "record", take)
    assert [one.fate for one in record(track(who, 0, 100)[-1])] == [Fate.PUNCH]
    record.close()
    assert punches(attendance) == [("lobby", 0, 100)]


def test_one_persons_altered_key_keeps_nobody_else_waiting(attendance, monkeypatch):
    """The attack: who can write the database breaks one key, and nobody would be recorded."""
    record, ann, bert = clerk(attendance), person(attendance, 1), person(attendance, 2)
    for who in (ann, bert):
        record(event("decided", who, 0, 0, track=int(who.external_id[-1])))
    key_of = RoomKeys.of

    def altered(keys, connection, who):
        if who == ann.id:
            raise AttendanceError("the key was altered")
        return key_of(keys, connection, who)

    monkeypatch.setattr(RoomKeys, "of", altered)
    for seconds in (30, 60):
        for who in (ann, bert):
            record(event("stays", who, 0, seconds, track=int(who.external_id[-1])))
    assert punches(attendance) == [("lobby", 0, 0), ("lobby", 0, 60)]
    with pytest.raises(AttendanceError, match="2 sightings could not be recorded: the key was"):
        record.close()
    monkeypatch.setattr(RoomKeys, "of", key_of)
    record.close()
    assert punches(attendance) == [("lobby", 0, 60), ("lobby", 0, 60)]


def test_whoever_is_erased_meanwhile_is_refused_and_the_rest_goes_on(attendance):
    record, ann, bert = clerk(attendance), person(attendance, 1), person(attendance, 2)
    record(event("decided", ann, 0, 0))
    attendance.gallery.delete(ann.id)
    assert record(event("left", ann, 0, 9)) == []
    (refused,) = record(event("decided", ann, 9, 9, track=2))
    assert refused.fate is Fate.REFUSED
    record(event("left", bert, 0, 9, track=3))
    assert punches(attendance) == [("lobby", 0, 9)]


def test_a_video_must_say_when_it_began(attendance):
    source = SimpleNamespace(address=SimpleNamespace(live=False, shown="a.mp4"))
    camera = SimpleNamespace(address=SimpleNamespace(live=True, shown="lobby"))
    clerk(attendance).check([source, camera])
    clerk(attendance, None).check([camera])
    with pytest.raises(AttendanceError, match=r"a\.mp4: a video does not say when it was") as said:
        clerk(attendance, None).check([source, camera])
    assert said.value.option == "began"


CAMERAS = b"[devices.gate]\nothers = false\n"


@pytest.mark.parametrize(
    ("wall", "expected"),
    [
        ("2026-03-02 08:30", "E-1 E-2"),  # the day shift of Berlin
        ("2026-03-02 09:50", "E-1 E-2 E-3"),  # and maths, of which E-3 is
        ("2026-03-02 21:00", "E-3 E-4"),  # the night shift; in New York it is 15:00
        ("2026-03-04 08:30", "E-1 E-3"),  # E-2 is on leave; the night has just ended
    ],
)
def test_who_is_expected_has_a_shift_or_a_class_now(attendance, wall, expected):
    attendance.rules = rules(CAMERAS)
    at = moment(wall)
    asked = clerk(attendance, at)
    ids = {person(attendance, int(one[2:])).id for one in expected.split()}
    assert asked.duty("lobby").roster((0.0, None)).people == ids
    assert asked.duty("lobby").roster((0.0, at.isoformat())).people == ids
    assert [asked.duty(name).roster((0.0, None)).others for name in ("lobby", "gate", "?")] == [
        True, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize(("cooldown", "every"), [(60, 30.0), (10, 5.0), (600, 30.0), (0, 1.0)])
def test_a_face_that_stays_is_told_twice_in_a_cooldown(attendance, cooldown, every):
    attendance.rules = rules(base=RULES.replace(b"cooldown = 60", b"cooldown = %d" % cooldown))
    assert clerk(attendance).duty("lobby").every == every


def test_who_is_expected_is_asked_anew_after_half_a_minute(attendance):
    keep_rules(attendance.gallery, attendance.rules)
    book = Attendance(attendance.gallery)
    roster = clerk(book, None).duty("lobby").roster
    at = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert len(roster((0.0, at.isoformat())).people) == 2
    keep_rules(attendance.gallery, rules(b'[[assignments]]\nshift = "day"\npeople = ["E-5"]\n'))
    attendance.gallery.add_person("Eve", external_id="E-5")
    for seconds, many in ((29, 2), (31, 3)):
        later = at + timedelta(seconds=seconds)
        assert len(roster((0.0, later.isoformat())).people) == many


def left_unknown(start=20, end=40, crop=None, **more) -> Event:
    """Somebody whom nobody knows leaves."""
    told = event("left", None, start, end, **more)
    shown = UnknownFace(np.float32([[0.6, 0.8]]), 0.7, crop)
    return replace(told, sighting=replace(told.sighting, face=shown))


@pytest.mark.parametrize(("crops", "has_crop"), [(b"true", True), (b"false", False)])
def test_who_left_unknown_waits_in_the_inbox_once(attendance, crops, has_crop):
    base = RULES.replace(b"crops = true", b"crops = " + crops)
    keep_rules(attendance.gallery, rules(b"[retention]\nunknowns = 36500\ncrops = 36500\n", base))
    seen, crop = clerk(Attendance(attendance.gallery)), np.zeros((1, 112, 112, 3), np.uint8)
    duty = seen.duty("lobby")
    assert (duty.unknown, duty.crops) == (True, has_crop)
    for _ in range(2):  # told again, as by a restart
        assert seen(left_unknown(crop=crop)) == []
    assert seen(event("left", None, 50, 60)) == []  # a track of which no face is told
    (cluster,) = Inbox(attendance).clusters()
    (one,) = cluster.sightings
    assert (second(one.at), one.stranger.sighting.device, one.has_crop) == (20, "lobby", has_crop)
    assert (one.stranger.threshold, one.stranger.worth) == (0.4, 0.7)
    assert punches(attendance) == []


def test_nobody_unknown_is_kept_where_the_rules_or_the_models_cannot(attendance, monkeypatch):
    attendance.rules = rules(b"[devices.strict]\nothers = false\n")
    told = [clerk(attendance).duty(device).unknown for device in ("lobby", "strict")]
    assert told == [True, False]  # there nobody else is looked for
    monkeypatch.setattr(CALIBRATION, "points", ())
    assert not clerk(attendance).duty("lobby").unknown
    monkeypatch.undo()
    keep_rules(attendance.gallery, rules(b"[retention]\nunknowns = 0\n"))
    seen = clerk(Attendance(attendance.gallery))
    assert not seen.duty("lobby").unknown
    seen(left_unknown())
    assert Inbox(attendance).clusters() == []


def test_what_cannot_be_kept_of_a_stranger_is_said_and_stops_nobody(
    attendance, monkeypatch, caplog
):
    def full(*_, **__):
        raise GalleryError("the disk is full")

    monkeypatch.setattr(Inbox, "keep", full)
    seen = clerk(attendance)
    seen(left_unknown())
    assert "somebody unknown is not kept: the disk is full" in caplog.text
    seen.close()
