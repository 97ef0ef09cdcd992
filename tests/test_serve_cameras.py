"""Cameras in the service: one drawing for all who look, nobody else sees, nothing is told of it."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("av")

import httpx
from made import ANNA, picture
from made_attendance import RULES
from served import Served, made_calibration, made_recognizer, png, served
from test_serve_login import csrf, form, visitor

from visavis.attendance import store
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.rules import read_rules
from visavis.draw import GREEN
from visavis.errors import SourceError
from visavis.gallery import open_gallery
from visavis.serve import cameras, run
from visavis.serve.cameras import CameraBoard, Cameras, Newest, ShownFace, ToldEvent
from visavis.serve.limits import ServeLimits
from visavis.serve.site import cameras as site_cameras
from visavis.serve.site.wording import LANGUAGES
from visavis.serve.who.access import Guard
from visavis.watch import live

ADDRESS = "rtsp://me:secret@127.0.0.1:9/a?token=secret"
PATIENCE = 20.0


@contextmanager
def made_camera(shown: dict[str, float]) -> Iterator:
    """Twenty pictures a second of whoever is shown."""

    def pictures() -> Iterator:
        for number in range(100_000):
            time.sleep(0.05)
            yield partial(np.asarray, picture(shown["level"], seed=number % 7))

    yield pictures()


@pytest.fixture(scope="module")
def running(cache, tmp_path_factory) -> Iterator[tuple[Served, dict[str, float]]]:
    """A service that watches one made camera, and records."""
    folder, shown = tmp_path_factory.mktemp("cameras") / "gallery", {"level": ANNA}
    people = open_gallery(folder)
    keep_rules(people, read_rules(RULES, "rules"))
    people.close()
    with pytest.MonkeyPatch.context() as patched:
        connection = live._connection

        def made(address, *words):
            is_made = address.target == ADDRESS
            return partial(made_camera, shown) if is_made else connection(address, *words)

        patched.setattr(live, "_connection", made)
        patched.setattr(Guard, "count_login", lambda guard, address: None)
        asked = {"watch": (f"entry={ADDRESS}",), "attendance": True}
        with served(made_recognizer(made_calibration()), folder, **asked) as site:
            yield site, shown


@pytest.fixture
def site(running) -> Served:
    return running[0]


@pytest.fixture
def admin(site) -> Iterator[httpx.Client]:
    with visitor(site, site.key) as client:
        yield client


def jpegs(client: httpx.Client, count: int) -> list[np.ndarray]:
    """The first pictures of the camera, decoded."""
    with client.stream("GET", "/cameras/0/pictures") as answer:
        assert answer.status_code == 200
        mark = answer.headers["content-type"].partition("boundary=")[2].encode()
        data = b""
        for chunk in answer.iter_bytes():
            data += chunk
            parts = data.split(b"--" + mark)[1:]
            if len(parts) > count:
                bodies = [part.partition(b"\r\n\r\n")[2] for part in parts[:count]]
                return [cv2.imdecode(np.frombuffer(one, np.uint8), 1) for one in bodies]
    raise AssertionError("the pictures ended")


def boards(client: httpx.Client, until, **sent: str) -> dict:
    """The lists, as soon as they are as `until` wants them."""
    end = time.monotonic() + PATIENCE
    with client.stream("GET", "/cameras/0/events", params=sent) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            assert time.monotonic() < end
            if line.startswith("data: ") and until(board := json.loads(line[6:])):
                return board
    raise AssertionError("the lists ended")


def test_whoever_stands_there_is_named_drawn_and_recorded(site, admin):
    person = admin.post("/people", files=[*form(csrf=csrf(admin), name="Anna").items(),
                                          ("images", ("a.png", png()))])  # fmt: skip
    assert person.status_code == 201
    anna = [{"title": "Anna", "outcome": "match"}]
    told = boards(admin, lambda board: board["faces"] == anna and "recorded" in json.dumps(board))
    assert told["status"] == "Connected"
    assert [one["said"] for one in told["told"]][:2] == ["Anna: recorded as present", "Anna"]
    for drawn in jpegs(admin, 2):
        assert drawn.shape == (200, 200, 3)
        green = np.abs(drawn[..., ::-1].astype(int) - GREEN).max(axis=2) < 60
        assert green.sum() > 100  # the box of who is confirmed
    book = Attendance(site.gallery)
    with site.gallery.database.reading() as connection:
        (punch,) = store.punches_in(book.ledger, connection, None)
    assert (punch.device, book.directory.name(punch.person)) == ("entry", "Anna")
    # One deletion reaches everything: the name on the page, too.
    site.gallery.delete(punch.person)
    gone = boards(admin, lambda board: "Anna" not in json.dumps(board))
    assert gone["told"]


@pytest.mark.parametrize("path", ["/cameras", "/cameras/0", "/cameras/0/events"])
def test_no_password_of_a_camera_is_shown(site, admin, path, caplog):
    with admin.stream("GET", path) as answer:
        text = next(answer.iter_text())
    assert answer.status_code == 200
    assert "secret" not in text + str(answer.headers) + caplog.text
    assert "127.0.0.1:9" not in text


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_lists_are_in_the_languages_of_the_pages(site, admin, language):
    page = admin.get("/cameras", params={"lang": language}).text
    assert f'<html lang="{language}">' in page
    board = boards(admin, lambda board: board["status"], lang=language)
    words = {"en": "Connected", "de": "Verbunden", "fr": "Connectée", "es": "Conectada"}
    assert board["status"] == words[language]


@pytest.mark.parametrize("path", ["/cameras/0/pictures", "/cameras/0/events"])
def test_a_page_of_elsewhere_shows_no_camera(site, admin, path):
    headers = {"sec-fetch-site": "cross-site"}
    assert admin.get(path, headers=headers).status_code == 403
    assert admin.get(path, headers={"origin": "https://evil.example"}).status_code == 403
    with visitor(site) as nobody:
        assert nobody.get(path).status_code == 303


@pytest.mark.parametrize("number", [1, -1, 99])
def test_a_camera_that_is_not_watched_is_not_there(site, admin, number):
    assert admin.get(f"/cameras/{number}/pictures").status_code == 404


def ends(client: httpx.Client, seconds: float) -> bool:
    """Whether the lists end within so many seconds."""
    end = time.monotonic() + seconds
    with client.stream("GET", "/cameras/0/events") as answer:
        for number, _ in enumerate(answer.iter_lines()):
            if not number:
                client.post("/logout", files=form(csrf=csrf(client)))
            if time.monotonic() > end:
                return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("asked", [True, False])
def test_who_signs_out_sees_no_more(site, monkeypatch, asked):
    """And without the question whether they still may, they would."""
    monkeypatch.setattr(site_cameras, "ASKED_AGAIN", 0.2)
    if not asked:
        monkeypatch.setattr(site_cameras, "still_may", lambda request: True)
    with visitor(site, site.key) as client:
        assert ends(client, 2.0) is asked


@pytest.mark.slow
@pytest.mark.parametrize("many", [0, 1, 8])
def test_a_picture_is_encoded_once_however_many_look(site, monkeypatch, many):
    calls, encode = [], cameras.encoded_preview

    def counted(*words):
        calls.append(1)
        return encode(*words)

    monkeypatch.setattr(cameras, "encoded_preview", counted)
    with visitor(site, site.key) as client:
        threads = [threading.Thread(target=jpegs, args=(client, 10)) for _ in range(many)]
        time.sleep(0.3)
        calls.clear()
        for one in threads:
            one.start()
        for one in threads:
            one.join(PATIENCE)
        time.sleep(0.3)
    assert len(calls) <= (16 if many else 0)
    assert len(calls) >= (9 if many else 0)
    assert site.service.cameras.views[0].pictures.viewers == 0


def test_no_more_look_than_there_is_room_for(site, admin, monkeypatch):
    monkeypatch.setattr(cameras, "MOST_VIEWERS", 0)
    assert admin.get("/cameras/0/pictures").status_code == 503
    assert admin.get("/cameras/0/events").status_code == 503


def look(site: Served, client: httpx.Client) -> socket.socket:
    """A viewer of the pictures, who has read nothing yet."""
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    connection = socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE)
    lines = ("GET /cameras/0/pictures HTTP/1.1", "Host: 127.0.0.1", f"Cookie: {cookie}", "", "")
    connection.sendall("\r\n".join(lines).encode())
    return connection


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reads", "noted", "stays"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_whoever_reads_slowly_stays_and_whoever_reads_nothing_is_cut(
    site, admin, monkeypatch, reads, noted, stays
):
    """The attack: viewers who take nothing would each hold what is sent for ever. Where it is not
    noted that something was read, slow ones would be cut, too.
    """
    if not noted:
        plain = run.H11Protocol.resume_writing
        monkeypatch.setattr(run.PatientProtocol, "resume_writing", plain)
    monkeypatch.setattr(run, "SERVE_LIMITS", ServeLimits(patience=2.0))
    large = bytes(2_000_000)  # ten a second; what the kernel takes is soon full
    monkeypatch.setattr(cameras, "encoded_preview", lambda *_: large)
    pictures = site.service.cameras.views[0].pictures
    with look(site, admin) as viewer:
        end = time.monotonic() + 5
        while time.monotonic() < end and (pictures.viewers or time.monotonic() < end - 4):
            time.sleep(0.1)
            if reads:
                viewer.recv(400_000)
        assert bool(pictures.viewers) is stays
    until = time.monotonic() + PATIENCE
    while pictures.viewers:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_whoever_is_slow_gets_the_newest():
    newest: Newest[int] = Newest()

    async def slow() -> list[tuple[int, int | None]]:
        got = []
        number = 0
        for _ in range(3):
            number, value = await newest.after(number, 1.0)
            got.append((number, value))
            for more in (number * 10 + 1, number * 10 + 2):
                newest.put(more)
        assert await newest.after(99, 0.01) == (99, None)
        assert newest._waiting == set()
        return got

    newest.put(7)
    assert asyncio.run(slow()) == [(1, 7), (3, 12), (5, 32)]


def test_all_who_wait_are_woken_from_another_thread():
    newest: Newest[str] = Newest()

    async def wait() -> list:
        threading.Timer(0.05, newest.put, ["now"]).start()
        return await asyncio.gather(*(newest.after(0, 5.0) for _ in range(50)))

    assert asyncio.run(wait()) == [(1, "now")] * 50


def test_a_board_names_nobody_who_is_gone(gallery):
    ada = gallery.add_person("Ada {name} <b>")
    told = ToldEvent("2026-03-02T08:00:00+00:00", "left", "confirmed", ada.id)
    shown = (ShownFace("confirmed", ada.id), ShownFace("review", ada.id), ShownFace("spoof", None))
    board = CameraBoard("lost", shown, (told,))
    said = json.loads(site_cameras.board_text(board, gallery, "en"))
    assert said["faces"] == [
        {"title": "Ada {name} <b>", "outcome": "match"},
        {"title": "Perhaps Ada {name} <b>", "outcome": "review"},
        {"title": "No sign of life", "outcome": "no_match"},
    ]
    assert said["told"][0]["said"] == "Ada {name} <b> left"
    gallery.delete(ada.id)
    assert "Ada" not in site_cameras.board_text(board, gallery, "en")


@pytest.mark.parametrize("name", ["a.mp4", "."])
def test_a_file_is_no_camera(gallery, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SourceError, match="expected a camera or a stream") as said:
        Cameras(lambda: made_recognizer(made_calibration()), gallery, [f"entry={name}"])
    assert said.value.option == "watch"


def counted(calls: list[int], which: int):
    """A recognizer that notes whenever it looks for faces."""
    made = made_recognizer(made_calibration())

    def detect(image):
        calls.append(which)
        return made.detect(image)

    return replace(made, detect=detect)


@pytest.mark.slow
def test_other_models_that_decide_are_watched_with(gallery, monkeypatch):
    made = partial(made_camera, {"level": ANNA})
    monkeypatch.setattr(live, "_connection", lambda address, *words: made)
    calls: list[int] = []
    first, second = (counted(calls, which) for which in (1, 2))
    deciding = [first]
    watched = Cameras(lambda: deciding[0], gallery, [f"entry={ADDRESS}"])
    watched.start()
    try:
        wait(lambda: 1 in calls)
        deciding[0] = second
        wait(lambda: 2 in calls)
        there = calls.count(1)
        wait(lambda: calls.count(2) > 5)
        assert calls.count(1) == there
    finally:
        watched.close()


def wait(until, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_camera_that_is_not_there_keeps_no_request_waiting(cache, tmp_path):
    """Nothing answers at that port; the page says so, and a stop ends whoever looks at once."""
    asked = {"watch": ("entry=rtsp://me:secret@127.0.0.1:9/a", "hall=rtsp://127.0.0.1:9/b")}
    recognizer = made_recognizer(made_calibration())
    with served(recognizer, tmp_path / "gallery", **asked) as site:
        with visitor(site, site.key) as client:
            board = boards(client, lambda board: board["told"])
            assert board["status"].startswith("The camera cannot be reached")
            assert "secret" not in json.dumps(board)
            assert 'href="/cameras/1"' in client.get("/cameras").text
            with client.stream("GET", "/cameras/0/events") as answer:
                lines = answer.iter_lines()
                next(lines)
                stopped = time.monotonic()
                site.server.should_exit = True
                assert not any("data" in line for line in lines)
                assert time.monotonic() - stopped < 5
