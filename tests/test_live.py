"""Live sources: the newest picture wins, and what is lost is read again. A real RTSP server on
loopback is killed, stalled and cut.
"""

import gc
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import SHARE, share
from made_photos import encoded
from made_videos import number_of, plain, write_video

from visavis.enrollment import Candidate, enroll
from visavis.errors import SourceError
from visavis.image import read_image
from visavis.types import Image
from visavis.watch.address import Address, parse_address
from visavis.watch.frames import Counts, Shot
from visavis.watch.live import LiveSource, camera_pictures
from visavis.watch.sources import open_sources
from visavis.watch.watching import watch_sources

ADDRESS = Address("stream", "rtsp://me:secret@host/a", "rtsp://***@host/a")
SERVED = pytest.mark.skipif(
    find_spec("aio_rtsp_toolkit") is None or sys.platform == "win32",
    reason="pip install 'aio-rtsp-toolkit[server]'",
)
SOAK = 15 + 1785 * SHARE**2  # seconds: half an hour in the full run
AGAIN = 5.0  # seconds within which a stream that is back is read again


def wait_for(what, seconds: float = 5.0):
    """What `what` answers as soon as it is true."""
    until = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
    return answer


@contextmanager
def live(connect) -> Iterator[LiveSource]:
    source = LiveSource(ADDRESS, threading.Event(), patience=0.2, connect=connect)
    try:
        yield source
    finally:
        source.close()
        assert not source._thread.is_alive()


def giving(script: list):
    """What connects: each call gives the next entry's pictures, or raises it; then nothing more."""
    calls = iter(script)

    @contextmanager
    def connect():
        entry = next(calls, SourceError("gone"))
        if isinstance(entry, Exception):
            raise entry
        yield (partial(np.asarray, image) for image in entry)

    return connect


def test_the_newest_picture_wins_and_the_others_are_counted():
    with live(giving([[plain(number) for number in range(5)]])) as source:
        wait_for(lambda: source.counts.dropped == 4)
        assert number_of(source.take().image) == 4
        assert source.take() is None


def test_a_stream_that_ends_is_said_once_and_read_again(monkeypatch):
    script = [[plain(1)], SourceError("refused"), SourceError("refused"), [plain(2)]]
    monkeypatch.setattr("visavis.watch.live.FIRST_WAIT", 0.02)
    with live(giving(script)) as source:
        wait_for(lambda: source._newest and number_of(source._newest.image) == 2, 10)
        assert [(note.kind, note.text) for note in source.notes()][:3] == [
            ("connected", "connected"),
            ("lost", "it ended"),
            ("connected", "connected"),
        ]
        assert source.counts.dropped == 1


def test_a_stream_that_was_never_there_is_an_error_until_it_is():
    with live(giving([SourceError("refused"), [plain(1)]])) as source:
        wait_for(lambda: source._error)
        with pytest.raises(SourceError, match="refused"):
            source.take()
        assert number_of(wait_for(source.take).image) == 1


def test_a_camera_is_read_until_it_is_unplugged(tmp_path, monkeypatch):
    """A video stands for the camera: OpenCV reads both in one way."""
    path = write_video(tmp_path / "camera.mp4", map(plain, range(3)))
    open_file = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: open_file(str(path)))
    counts = Counts()
    with camera_pictures(Address("camera", "0", "camera 0"), counts) as pictures:
        assert [number_of(convert()) for convert in pictures] == [0, 1, 2]
    assert counts.read == 3


def test_a_camera_that_is_busy_is_said(monkeypatch):
    open_file = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: open_file("/nothing.avi"))
    with (
        pytest.raises(SourceError, match="camera 0: cannot be opened: another program may"),
        camera_pictures(Address("camera", "0", "camera 0"), Counts()),
    ):
        pass


class RtspServer:
    """A real one, in a process of its own, that shows one video for ever."""

    def __init__(self, folder: Path, pictures: Iterable[Image] = ()) -> None:
        self._folder = folder
        write_video(folder / "cam.mp4", pictures or [plain(n % 30) for n in range(100)])
        self._port = free_port()
        self.address = f"rtsp://me:secret@127.0.0.1:{self._port}/cam.mp4?play_count=0"
        self.start()

    def start(self) -> None:
        words = ["--dir", self._folder, "--host", "127.0.0.1", "--port", self._port]
        words += ["--control-port", free_port()]
        program = Path(sys.executable).with_name("rtsp-server")
        self._process = subprocess.Popen(
            [str(program), *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers, 20)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stall(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path):
    served = RtspServer(tmp_path)
    yield served
    served.kill()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@SERVED
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_stream_that_is_killed_or_stalls_is_read_again_and_nothing_leaks(server, caplog):
    caplog.set_level(logging.DEBUG)
    before = threading.active_count(), open_files()
    source = LiveSource(parse_address(server.address), threading.Event(), patience=1.0)
    took = []
    try:
        wait_for(source.take)
        for cycle in range(max(2, share(50))):
            if cycle % 2:
                server.stall()
                wait_for(lambda: any(note.kind == "lost" for note in source.notes()), 10)
                server.go_on()
            else:
                server.kill()
                wait_for(lambda: any(note.kind == "lost" for note in source.notes()), 10)
                server.start()
            source.take()
            back = time.monotonic()
            wait_for(source.take, AGAIN)
            took.append(time.monotonic() - back)
    finally:
        source.close()
    assert max(took) < AGAIN
    assert source.counts.lost == len(took)
    assert (threading.active_count(), open_files()) == before
    assert "secret" not in caplog.text


@SERVED
@pytest.mark.slow
def test_a_stream_is_watched_for_as_long_as_was_asked(server):
    with open_sources([server.address], end=3.0) as sources:
        frames = [what for _, what in sources if isinstance(what, Shot)]
    times = [frame.at for frame in frames]
    assert times == sorted(times)
    assert len(frames) >= 10
    assert times[-1] - times[0] <= 3.1


def memory() -> float:
    """Megabytes that this process holds."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


@SERVED
@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_stream_watched_for_long_with_kills_and_stalls_leaks_nothing(
    portraits, recognizer, gallery, tmp_path
):
    """Half an hour in the full run; somebody is seen between all of it."""
    candidates = [Candidate("Barack Obama", portraits / "obama.jpg")]
    assert all(one.accepted for one in enroll(recognizer, gallery, candidates))
    photo = read_image(portraits / "obama2.jpg", max_side=360)
    photo = photo[: photo.shape[0] // 2 * 2, : photo.shape[1] // 2 * 2]
    server = RtspServer(tmp_path, [np.roll(photo, n % 9, axis=1) for n in range(90)])
    before, told, held = (threading.active_count(), open_files()), Counter(), []
    try:
        with open_sources([server.address], patience=1.0) as sources:
            watching = threading.Thread(target=tell, args=(recognizer, gallery, sources, told))
            watching.start()
            until, cycles = time.monotonic() + SOAK, 0
            while time.monotonic() < until:
                wait_for(lambda: is_connected(told), AGAIN + 15)
                held.append(memory())
                time.sleep(1.5)
                (server.stall if cycles % 2 else server.kill)()
                wait_for(lambda: not is_connected(told), 20)
                (server.go_on if cycles % 2 else server.start)()
                cycles += 1
            sources.stop()
            watching.join(20)
    finally:
        server.kill()
    assert told["lost"] >= cycles >= 3
    assert told["decided Barack Obama"] >= 1
    assert (threading.active_count(), open_files()) == before
    # The first quarter is for caches and arenas.
    assert max(held[len(held) // 4 :]) - held[len(held) // 4] < 32, held


def is_connected(told: Counter) -> bool:
    """A stream is lost as often as it was connected before."""
    return told["connected"] > told["lost"]


def tell(recognizer, people, sources, told: Counter) -> None:
    for event in watch_sources(recognizer, people, sources):
        person = event.sighting.person if event.sighting else None
        told[f"{event.kind} {person.name}" if person else event.kind] += 1


class HttpCamera(ThreadingHTTPServer):
    """A camera as cheap ones are: pictures over HTTP, one after the other, until it is cut."""

    daemon_threads = True

    def __init__(self, pictures: list[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), HttpPictures)
        self.pictures = pictures
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}).start()

    @property
    def address(self) -> str:
        return f"http://me:secret@127.0.0.1:{self.server_port}/video?token=hidden"


class HttpPictures(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.headers.get("Authorization", ""))
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=cut")
        self.end_headers()
        with suppress(ConnectionError):  # whoever reads may go
            for picture in self.server.pictures:
                head = "--cut\r\nContent-Type: image/jpeg\r\n"
                head += f"Content-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")
                time.sleep(0.02)

    def log_message(self, *words: object) -> None:
        pass


@pytest.mark.slow
def test_a_camera_over_http_changes_its_size_and_is_read_again_when_it_is_cut(caplog):
    caplog.set_level(logging.DEBUG)
    sizes = [(64, 48), (128, 96)] * 10
    camera = HttpCamera([encoded(plain(n, *size), "JPEG") for n, size in enumerate(sizes)])
    source = LiveSource(parse_address(camera.address), threading.Event(), patience=1.0)
    shapes, notices = set(), []
    try:
        until = time.monotonic() + 10
        while len([one for one in notices if one.kind == "connected"]) < 2:
            assert time.monotonic() < until, notices
            if (shot := source.take()) is not None:
                shapes.add(shot.image.shape)
            notices += source.notes()
            time.sleep(0.005)
    finally:
        source.close()
        camera.shutdown()
        camera.server_close()
    assert shapes == {(48, 64, 3), (96, 128, 3)}
    assert [one.kind for one in notices] == ["connected", "lost", "connected"]
    assert "secret" not in caplog.text
    assert "hidden" not in caplog.text


@SERVED
@pytest.mark.pack
@pytest.mark.slow
def test_a_stream_is_watched_and_somebody_is_named_in_it(
    run, portraits, recognizer, gallery, tmp_path
):
    candidates = [Candidate("Barack Obama", portraits / "obama.jpg")]
    assert all(one.accepted for one in enroll(recognizer, gallery, candidates))
    photo = read_image(portraits / "obama2.jpg", max_side=360)
    photo = photo[: photo.shape[0] // 2 * 2, : photo.shape[1] // 2 * 2]
    server = RtspServer(tmp_path, [photo] * 50)
    out = tmp_path / "hits.jsonl"
    words = ("--gallery", tmp_path / "gallery", "--out", out, "--end", "5", "--json")
    code, printed, err = run("watch", server.address, *words)
    server.kill()
    assert (code, err) == (0, "")
    events = json.loads(printed)["events"]
    named = [one for one in events if one["event"] == "decided" and one["sighting"]["person"]]
    assert {one["sighting"]["person"]["name"] for one in named} == {"Barack Obama"}
    left = events[-1]["sighting"]
    assert datetime.fromisoformat(left["started_at"]) < datetime.fromisoformat(left["ended_at"])
    assert [json.loads(line) for line in out.read_text().splitlines()] == events
    assert "secret" not in printed + out.read_text()
