"""A kiosk: pictures to one decision, a challenge that nobody passes for another, one punch."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from made import ANNA, BERT, NONE, angle
from made_attendance import RULES, rules
from served import Served, made_calibration, made_recognizer, png, served
from test_serve_login import visitor

from visavis.attendance import store
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.rosters import Rosters
from visavis.decision import Decision, OperatingPoint, Policy
from visavis.liveness.challenge import FAILURES, WAIT, Challenge
from visavis.results import Nearest
from visavis.serve import kiosk
from visavis.serve.kiosk import Kiosk, KioskFrame, KioskSaid
from visavis.serve.site import kiosk as pages

TASKS = ("left", "right", "closer")
POINT = OperatingPoint(0.4, 5e-4, 1e-3, 0.02)
STRICT = b"""
[devices.hall]
[devices.lab]
challenge = true
[devices.strict]
direction = "in"
others = false
"""
HERE, THERE = (100, 100, 200, 200), (400, 100, 500, 200)


def person(name: str):
    return SimpleNamespace(id=name, name=name)


def search(embedding) -> Nearest:
    """Anna is at 0 degrees and Bert at 90; 20 degrees from either is still them."""
    near = {name: float(embedding[0] @ angle(level)) for name, level in PEOPLE.items()}
    best = max(near, key=lambda name: near[name])
    outcome = "match" if near[best] > 0.9 else "no_match"
    return Nearest(Decision(outcome, near[best], Policy(POINT, POINT)), person(best), None)


PEOPLE = {"Anna": 0, "Bert": 50}  # 50 levels are a right angle


def frame(at: float, *, who: float = 0, yaw: float = 0, box=HERE, wide: float = 1.0):
    left, top, right, bottom = box
    middle, half = (left + right) / 2, wide * (right - left) / 2
    shown = np.array([middle - half, top, middle + half, bottom], np.float32)
    return KioskFrame(at, shown, yaw, 0.9, angle(who)[None])


def play(frames, *, challenged=False, chosen=True, one: Kiosk | None = None) -> list[KioskSaid]:
    """What a kiosk says to each frame; a number is a picture without a face at that time."""
    one = one or Kiosk(begin=lambda at: Challenge(TASKS, at))
    said = []
    for each in frames:
        seen, at = (None, each) if isinstance(each, int | float) else (each, each.at)
        answer = one.see(seen, search, at, challenged=challenged, chosen=chosen)
        if answer.state == "punch":
            one.done(answer.visit)
        said.append(answer)
    return said


def states(said: list[KioskSaid]) -> list[str]:
    return [one.state for one in said]


def test_three_looks_that_agree_are_one_punch_as_long_as_the_face_stays():
    said = play([frame(at / 4) for at in range(12)])
    assert states(said) == ["looking", "looking", "punch", *["done"] * 9]
    assert said[2].nearest.person.name == "Anna"


def test_whoever_comes_after_a_while_is_a_visit_of_their_own():
    stay = [frame(0), frame(0.2), frame(0.4)]
    again = [frame(5), frame(5.2), frame(5.4)]
    said = play([*stay, 2.0, 2.5, *again])
    assert states(said).count("punch") == 2
    assert said[2].visit != said[-1].visit


@pytest.mark.parametrize(
    "other",
    [
        {"who": 50},  # another face at the same place
        {"box": THERE},  # the same face at another place: it did not walk there
    ],
)
def test_another_face_begins_anew(other):
    said = play([frame(0), frame(0.2), frame(0.4, **other), frame(0.6, **other)])
    assert states(said) == ["looking"] * 4


def test_a_name_is_told_to_nobody_before_the_decision():
    said = play([frame(0), frame(0.2), frame(0.4), frame(0.6)], chosen=False)
    assert [bool(one.nearest) for one in said] == [False, False, True, True]
    assert states(said)[2:] == ["choose", "choose"]


def test_the_button_is_pressed_by_whoever_was_recognised():
    one = Kiosk()
    play([frame(0), frame(0.2), frame(0.4)], chosen=False, one=one)
    # Alike enough not to be another face, and recognised as nobody.
    assert states(play([frame(0.6, who=25)], one=one)) == ["looking"]
    assert states(play([frame(0.8)], one=one)) == ["punch"]


def test_a_stranger_is_not_recognised_after_as_many_looks_as_the_rate_is_for():
    said = play([frame(at / 2, who=25) for at in range(20)])
    assert states(said) == [*["looking"] * 11, *["unknown"] * 9]


def test_a_face_that_is_turned_a_little_is_looked_at_where_no_challenge_is():
    assert states(play([frame(at / 4, yaw=15) for at in range(3)])) == ["looking"] * 2 + ["punch"]


def movements(*, front: float = 0, turning: float = 0) -> list[KioskFrame]:
    """All that is asked for, done right: by one face, or the turns by another."""
    return [
        frame(0, who=front), frame(0.3, yaw=25, who=turning),
        frame(0.6, who=front), frame(0.9, yaw=-25, who=turning),
        frame(1.2, who=front), frame(1.5, wide=1.4, who=turning),
        frame(1.8, wide=1.4, who=front),
    ]  # fmt: skip


def test_who_does_what_is_asked_punches():
    said = play(movements(), challenged=True)
    assert states(said)[:6] == ["task"] * 5 + ["punch"]
    assert [one.task for one in said[:5]] == ["left", "ahead", "right", "ahead", "closer"]


@pytest.mark.parametrize(
    ("front", "turning"),
    [(0, 50), (50, 0)],
    ids=["Anna's photo, Bert turns", "Bert's photo, Anna turns"],
)
def test_a_photo_does_not_pass_by_the_turns_of_somebody_else(front, turning):
    said = play(movements(front=front, turning=turning), challenged=True)
    assert "punch" not in states(said)


def test_without_that_check_the_attack_succeeds(monkeypatch):
    monkeypatch.setattr(kiosk, "SAME", -1.0)
    said = play(movements(front=0, turning=50), challenged=True)
    assert "punch" in states(said)


def test_the_face_must_be_recognised_in_each_part():
    """Strangers who are like nobody turn; at the end a photo of Anna is held up."""
    bert = movements(front=25, turning=25)
    said = play([*bert, *(frame(2 + at / 4, wide=1.4) for at in range(9))], challenged=True)
    assert "punch" not in states(said)


def test_without_the_parts_a_photo_that_is_held_up_at_the_end_would_do(monkeypatch):
    monkeypatch.setattr(kiosk.KioskVisit, "stood_by", lambda visit, who: True)
    stranger = [frame(at, who=who, yaw=yaw, wide=wide) for at, who, yaw, wide in (
        (0, 25, 0, 1), (0.3, 25, 25, 1), (0.6, 0, 0, 1), (0.9, 25, -25, 1), (1.2, 0, 0, 1),
        (1.5, 25, 0, 1.4), (1.8, 0, 0, 1.4), (2.3, 0, 0, 1.4), (2.8, 0, 0, 1.4),
    )]  # fmt: skip
    assert "punch" in states(play(stranger, challenged=True))
    monkeypatch.undo()
    assert "punch" not in states(play(stranger, challenged=True))


@pytest.mark.parametrize(
    "seen",
    [
        [frame(0), frame(0.3, yaw=-25)],  # the wrong way
        [frame(0), *(frame(at) for at in (1, 2, 3, 4, 5.5))],  # too slow
    ],
    ids=["wrong", "slow"],
)
def test_what_is_not_asked_for_fails(seen):
    assert states(play(seen, challenged=True))[-1] == "failed"


def test_who_fails_again_and_again_waits():
    one, at = Kiosk(begin=lambda at: Challenge(TASKS, at)), 0.0
    for _ in range(FAILURES):
        said = play([frame(at), frame(at + 0.3, yaw=-25)], challenged=True, one=one)
        assert said[-1].state == "failed"
        at += 5
    waits = play([frame(at)], challenged=True, one=one)
    assert (waits[0].state, 0 < waits[0].wait <= WAIT) == ("resting", True)
    later = play([frame(at + WAIT)], challenged=True, one=one)
    assert later[0].state == "task"


@pytest.fixture(scope="module")
def hall(cache, tmp_path_factory) -> Iterator[Served]:
    """A service with Anna, a kiosk with a direction, one that asks, one with a challenge."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("hall") / "gallery"
        site = stack.enter_context(served(made_recognizer(made_calibration()), folder))
        site.post("/v1/people", ("images", png()), name="Anna", external_id="E-1")
        for number in (2, 3, 4):
            site.gallery.add_person(f"Person {number}", external_id=f"E-{number}")
        keep_rules(site.gallery, rules(STRICT))
        yield site


def show(site: Served, headers: dict[str, str], photo: bytes, **fields: str) -> dict:
    answer = site.http.post(
        "/kiosk/pictures", files={"image": ("a.png", photo)}, data=fields, headers=headers
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def key_of(site: Served, device: str) -> dict[str, str]:
    text = site.service.keys.make("k", "kiosk", device=device)[1]
    return {"Authorization": f"Bearer {text}"}


def kept(site: Served) -> list:
    attendance = Attendance(site.gallery)
    with site.gallery.database.reading() as connection:
        return store.punches_in(attendance.ledger, connection, None)


@pytest.mark.slow
def test_at_a_door_with_a_direction_three_pictures_are_a_punch(hall):
    door, before = key_of(hall, "door"), len(kept(hall))
    assert hall.http.get("/kiosk/device", headers=door).json() == {"device": "door", "asks": False}
    said = [show(hall, door, png(seed=n)) for n in range(5)]
    assert [one["state"] for one in said] == ["looking", "looking", "done", "done", "done"]
    assert "Anna" not in str(said[:2])
    assert said[2]["title"] == "Anna"
    assert said[2]["line"].startswith("In ")
    (punch,) = kept(hall)[before:]
    assert (punch.device, punch.direction, punch.source) == ("door", "in", "kiosk")


@pytest.mark.slow
def test_a_kiosk_without_a_direction_asks_which_way(hall, monkeypatch):
    monkeypatch.setattr(hall.service.attendance(), "_keeps", False)
    lobby = key_of(hall, "hall")
    assert hall.http.get("/kiosk/device", headers=lobby).json()["asks"]
    said = [show(hall, lobby, png(seed=n)) for n in range(3)]
    assert (said[2]["state"], said[2]["title"]) == ("choose", "Anna")
    done = show(hall, lobby, png(seed=9), direction="out")
    assert (done["state"], done["title"]) == ("done", "Anna")


@pytest.mark.slow
def test_a_stranger_an_empty_picture_and_a_photo_that_holds_still(hall):
    before = len(kept(hall))
    door, lab = key_of(hall, "door"), key_of(hall, "lab")
    assert show(hall, door, png(shows=NONE))["state"] == "waiting"
    assert show(hall, door, b"no photo")["title"]
    assert {show(hall, door, png(BERT, seed=n))["state"] for n in range(4)} == {"looking"}
    # A photo does nothing that is asked for.
    assert {show(hall, lab, png(ANNA, seed=n))["state"] for n in range(4)} <= {"task"}
    assert len(kept(hall)) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "expected", "named", "state"),
    [
        ("strict", "E-1", "Anna", "done"),
        ("strict", "E-2", None, "looking"),  # Anna is not expected, and others are not looked for
        ("strict", "", None, "looking"),
        ("door", "E-2", "Anna", "done"),  # the others are looked for after those
        ("door", "", "Anna", "done"),
    ],
)
def test_a_kiosk_and_a_photo_look_first_for_whom_the_rules_expect(
    hall, monkeypatch, device, expected, named, state
):
    people = [hall.service.attendance().directory.find(one).id for one in expected.split()]
    monkeypatch.setattr(Attendance, "expected", lambda attendance, at: people)
    monkeypatch.setattr(hall.service, "_rosters", Rosters(hall.service.attendance()))
    headers = key_of(hall, device)
    photo = {"image": ("a.png", png())}
    punched = hall.http.post("/v1/attendance/punches", files=photo, headers=headers).json()
    assert (punched["person"] and punched["person"]["name"]) == named
    said = [show(hall, headers, png(seed=n)) for n in range(3)]
    assert said[2]["state"] == state


def test_a_stranger_is_told_once_by_the_best_look_and_nobody_who_is_known():
    said = play([frame(at / 2, who=25) for at in range(20)])
    (stranger,) = (one.stranger for one in said if one.stranger)
    assert stranger.template == pytest.approx(angle(25)[None], abs=1e-5)
    assert (stranger.best.worth, said[11].stranger) == (0.9, stranger)
    assert not any(one.stranger for one in play([frame(at / 4) for at in range(12)]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "kept", "has_crop"),
    [(b"", 1, True), (b"", 1, False), (b"[retention]\nunknowns = 0\n", 0, None)],
)
def test_who_is_not_recognised_is_kept_once_as_the_rules_say(
    hall, monkeypatch, more, kept, has_crop
):
    base = RULES.replace(b"crops = true", b"crops = false") if has_crop is False else RULES
    keep_rules(hall.gallery, rules(STRICT + more, base))
    inbox, clock = hall.service.inbox(), count()
    ticks = SimpleNamespace(monotonic=lambda: 1000 + next(clock) / 3)
    monkeypatch.setattr(pages, "time", ticks)
    door = key_of(hall, "door")
    said = [show(hall, door, png(BERT, seed=n))["state"] for n in range(40)]
    assert said[-1] == "unknown"
    sightings = [one for cluster in inbox.clusters() for one in cluster.sightings]
    assert [one.has_crop for one in sightings] == [has_crop] * kept
    if kept:
        assert sightings[0].stranger.sighting.device == "door"
        assert (inbox.crop(sightings[0].number) or b"").startswith(b"\x89PNG") == has_crop
        inbox.discard([one.number for one in sightings], actor="HR", reason="so")
    keep_rules(hall.gallery, rules(STRICT))


@pytest.mark.slow
def test_a_link_is_made_once_its_key_is_in_no_request_and_ends_when_revoked(hall):
    with visitor(hall, hall.key) as admin:
        token = admin.get("/settings").text.partition('name="csrf" value="')[2].partition('"')[0]
        made = admin.post(
            "/settings/kiosks", files={"csrf": (None, token), "device": (None, "door")}
        )
        link = made.text.partition("<code>")[2].partition("</code>")[0]
    path, _, text = link.partition("#")
    assert httpx.URL(path).path == "/kiosk"
    page = hall.http.get("/kiosk")
    assert (page.status_code, "Anna" in page.text) == (200, False)
    headers = {"Authorization": f"Bearer {text}"}
    assert hall.http.get("/kiosk/device", headers=headers).status_code == 200
    hall.service.keys.revoke(text.split("_")[1])
    assert hall.http.get("/kiosk/device", headers=headers).status_code == 401


def test_no_other_key_is_a_kiosks(site):
    for scope in ("operator", "admin"):
        answer = site.http.get("/kiosk/device", headers=site.headers(scope))
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
