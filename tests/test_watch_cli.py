"""visavis watch, as it is typed: real portraits in made videos."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_broker import MOSQUITTO, Listener, Mosquitto
from made_liveness import two_networks
from made_photos import encoded
from made_videos import plain, write_video

from visavis.image import read_image
from visavis.liveness.outcome import LivenessBand, write_band
from visavis.pack.liveness import pack_with_liveness
from visavis.watch.showing import has_window

pytestmark = pytest.mark.pack


@pytest.fixture(scope="module")
def clip(portraits, tmp_path_factory) -> Path:
    """Obama for 0.8 seconds, then nobody for 2.4, then Biden for 0.8."""
    empty = np.full((360, 480, 3), 90, np.uint8)
    pictures = [fitted(portraits / name) for name in ("obama2.jpg", "biden.jpg")]
    frames = [*[pictures[0]] * 8, *[empty] * 24, *[pictures[1]] * 8]
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", frames, rate=10)


def fitted(path: Path) -> np.ndarray:
    image = read_image(path, max_side=360)
    canvas = np.full((360, 480, 3), 90, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return cv2.GaussianBlur(canvas, (0, 0), 0.5)


@pytest.fixture(scope="module")
def enrolled(portraits, tmp_path_factory, recognizer) -> Path:
    """A gallery of Obama alone."""
    from visavis.enrollment import Candidate, enroll
    from visavis.gallery import open_gallery

    folder = tmp_path_factory.mktemp("people") / "gallery"
    people = open_gallery(folder)
    candidates = [Candidate("Barack Obama", portraits / "obama.jpg")]
    assert [one.accepted for one in enroll(recognizer, people, candidates)] == [True]
    people.close()
    return folder


@pytest.mark.slow
def test_a_clip_says_who_was_seen_from_when_to_when(run, clip, enrolled, tmp_path):
    words = ("watch", clip, "--gallery", enrolled, "--out", tmp_path / "hits.csv", "--json")
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    events = json.loads(out)["events"]
    assert [(one["event"], one["sighting"]["state"]) for one in events] == [
        ("decided", "confirmed"),
        ("left", "confirmed"),
        ("decided", "unknown"),
        ("left", "unknown"),
    ]
    with (tmp_path / "hits.csv").open(newline="") as file:
        rows = [
            (row["name"], float(row["start"]), float(row["end"])) for row in csv.DictReader(file)
        ]
    # Who is known is looked at each fifth of a second, strangers each tenth.
    assert rows == [("Barack Obama", 0.0, 0.6), ("", 3.2, 3.9)]


def test_a_group_of_nobody_is_an_error(run, clip, enrolled):
    code, out, err = run("watch", clip, "--gallery", enrolled, "--among", "night shift")
    assert (code, out) == (2, "")
    assert err.startswith("visavis: nobody is in a group 'night shift'")


@pytest.mark.slow
def test_a_clip_is_told_in_words_and_drawn(run, clip, enrolled, tmp_path):
    drawn = tmp_path / "seen.mp4"
    code, out, err = run("watch", clip, "--gallery", enrolled, "--draw", drawn, "--end", "3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"0:00:00.2  {clip}  Barack Obama is here · similarity 0.")
    assert lines[0].endswith(", 3 of 3 crops agree")
    assert lines[1] == f"0:00:00.6  {clip}  Barack Obama left · seen from 0:00:00.0 to 0:00:00.6"
    assert lines[2] == "1 person seen, 0 to look at, 0 unknown, in 1 sighting"
    assert lines[3].endswith("1 in 100 strangers' sightings may get one")
    capture = cv2.VideoCapture(str(drawn))
    frames = [capture.read()[1] for _ in range(8)]
    capture.release()
    green = (frames[5][..., 1].astype(int) - frames[5][..., 2]) > 60
    assert green.sum() > 300  # the box of somebody who is named


@pytest.mark.slow
def test_a_bad_source_among_others_is_said_and_is_exit_code_3(run, clip, enrolled, tmp_path):
    (tmp_path / "list.mp4").write_text("a shopping list\n")
    code, out, _ = run("watch", clip, tmp_path / "list.mp4", "--gallery", enrolled)
    assert code == 3
    assert f"{tmp_path / 'list.mp4'}  failed: {tmp_path / 'list.mp4'}: not a video" in out
    assert "1 person seen" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.mp4"], "nothing.mp4: no such video, folder or camera"),
        (["99"], "camera 99: there is no /dev/video99"),
        (["list.mp4", "--start", "2", "--end", "1"], "expected an end after the start"),
        (["rtsp://me:secret@host/a", "--start", "2"], "expected a start for files alone"),
    ],
)
def test_what_is_no_source_is_one_line(run, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.mp4").write_text("a shopping list\n")
    code, out, err = run("watch", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"visavis: {said}")
    assert "secret" not in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("list.mp4", "list.mp4: not a video that can be read"),
        ("rtsp://me:secret@127.0.0.1:9/a", "rtsp://***@127.0.0.1:9/a: connection refused"),
    ],
)
def test_what_cannot_be_watched_is_one_line(run, enrolled, tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.mp4").write_text("a shopping list\n")
    code, out, err = run("watch", name, "--gallery", enrolled)
    assert (code, out, err) == (2, "", f"visavis: {said}\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--window"], "this OpenCV opens no window"),
        (["--device", "cuda:99"], "cuda"),
        (["--device", "gpu"], "expected device auto, cpu or cuda:N"),
        (["--out", "hits.txt"], "hits.txt: expected a name in .csv, .jsonl (--out)"),
        (["--draw", "a/b/c.mp4"], "a/b/c.mp4: cannot write: No such file or directory"),
    ],
)
def test_what_cannot_be_shown_is_one_line(run, clip, enrolled, words, said):
    if "--window" in words and has_window():
        pytest.skip("this OpenCV has windows")
    code, out, err = run("watch", clip, "--gallery", enrolled, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise")
def test_ctrl_c_ends_the_watching_and_loses_nothing(portraits, enrolled, tmp_path):
    """The video is long enough to be stopped in."""
    long = write_video(tmp_path / "long.mp4", [fitted(portraits / "obama2.jpg")] * 600, rate=10)
    out = tmp_path / "hits.jsonl"
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listen}; from visavis.cli import main; main()"
    words = ["watch", str(long), "--gallery", str(enrolled), "--out", str(out), "--every", "0"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words], stdout=subprocess.PIPE, env={**os.environ}
    )
    until = time.monotonic() + 60
    while not (out.exists() and out.stat().st_size):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "1 person seen" in printed.decode()
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["event"] for one in events] == ["decided", "left"]
    assert events[1]["sighting"]["end"] < 59


@pytest.mark.slow
def test_frames_without_a_face_are_watched_to_the_end(run, enrolled, tmp_path):
    path = write_video(tmp_path / "empty.mp4", [plain(n) for n in range(20)])
    code, out, _ = run("watch", path, "--gallery", enrolled)
    assert code == 0
    assert out.startswith("0 people seen, 0 to look at, 0 unknown, in 0 sightings")


@pytest.mark.slow
def test_whoever_does_not_turn_is_not_named_where_life_is_required(run, clip, enrolled):
    """The clip is a photo that nobody moves: the attack, and a person who stands still."""
    words = ("watch", clip, "--gallery", enrolled, "--end", "2", "--json", "--liveness")
    _, out, _ = run(*words, "require")
    left = json.loads(out)["events"][-1]["sighting"]
    assert (left["state"], left["person"], left["liveness"]) == ("review", None, "unsure")
    _, out, _ = run(*words, "warn")
    left = json.loads(out)["events"][-1]["sighting"]
    assert (left["state"], left["person"]["name"]) == ("confirmed", "Barack Obama")


def test_thresholds_of_other_networks_are_one_line(run, clip, enrolled, tmp_path):
    living, band = tmp_path / "living", tmp_path / "door.json"
    pack_with_liveness("living", two_networks(tmp_path / "models"), folder=living)
    write_band(band, LivenessBand(model="another@0"))
    words = ("--liveness", "require", "--liveness-band", band, "--pack", living)
    code, out, err = run("watch", clip, "--gallery", enrolled, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "expected liveness thresholds of MiniFASNetV2@" in err
    assert err.endswith("(--liveness-band)\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--liveness", "always"], "expected off, warn or require, alone or of one of"),
        (["--liveness", "1=require"], "got 1=require (--liveness)"),
        (["--mqtt", "mqtts://me:secret@host"], "expected no user and no password in the broker's"),
        (["--challenge"], "expected --liveness warn or require beside --challenge"),
    ],
)
def test_a_policy_or_broker_that_is_none_is_one_line(run, clip, enrolled, words, said):
    code, out, err = run("watch", clip, "--gallery", enrolled, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert "secret" not in err


@pytest.mark.slow
def test_a_photo_that_is_challenged_is_asked_and_not_named(run, clip, enrolled):
    words = ("watch", clip, "--gallery", enrolled, "--end", "2", "--liveness", f"{clip}=require")
    code, out, err = run(*words, "--challenge", "--json")
    assert (code, err) == (0, "")
    events = json.loads(out)["events"]
    assert [one["event"] for one in events] == ["asked", "answered", "left"]
    assert events[0]["text"].startswith("look ahead, then ")
    assert events[1]["text"] == "failed: left before it was done"
    assert (events[2]["sighting"]["person"], events[2]["sighting"]["liveness"]) == (None, "unsure")


@contextmanager
def most_bytes(most: int) -> Iterator[None]:
    """No file may become larger: what a full disk is to whoever writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


FULL = 64 << 20  # bytes of the file that cannot become larger; all others stay far below


@pytest.mark.slow
def test_a_full_disk_is_said_and_everything_is_printed_all_the_same(run, clip, enrolled, tmp_path):
    hits = tmp_path / "hits.jsonl"
    hits.touch()
    os.truncate(hits, FULL)
    with most_bytes(FULL):
        code, out, err = run("watch", clip, "--gallery", enrolled, "--out", hits)
    assert code == 2
    assert "Barack Obama left · seen from 0:00:00.0 to 0:00:00." in out
    assert err == (
        f"visavis: {hits}: 4 events could not be written: File too large: make room; they were "
        "printed all the same\n"
    )
    assert hits.stat().st_size == FULL


@pytest.mark.slow
def test_a_video_of_another_size_each_second_is_watched_to_the_end(
    run, portraits, enrolled, tmp_path
):
    """Pictures one behind the other, as cameras send them; each says its own size."""
    image = fitted(portraits / "obama2.jpg")
    sizes = [(480, 360), (640, 480), (320, 240)]
    seconds = [encoded(cv2.resize(image, size), "JPEG") * 25 for size in sizes]
    clip = tmp_path / "sizes.mjpeg"
    clip.write_bytes(b"".join(seconds))
    code, out, err = run("watch", clip, "--gallery", enrolled, "--json")
    assert (code, err) == (0, "")
    events = json.loads(out)["events"]
    changes = [one["text"] for one in events if one["event"] == "size"]
    assert changes == ["the picture is 640x480 now", "the picture is 320x240 now"]
    left = [one["sighting"] for one in events if one["event"] == "left"]
    assert [(one["state"], one["person"]["name"]) for one in left] == [
        ("confirmed", "Barack Obama")
    ]
    assert left[0]["end"] > 2.8


def test_a_video_that_may_not_be_read_is_one_line(run, clip, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    code, out, err = run("watch", clip)
    assert (code, out) == (2, "")
    assert err == f"visavis: {clip}: permission denied: let your account read it\n"


@pytest.mark.slow
def test_q_in_the_window_ends_the_watching_and_loses_nothing(run, clip, enrolled, monkeypatch):
    """Seen is what was shown so far: the tenth picture is the last one."""
    keys = iter([0] * 9)
    monkeypatch.setattr("visavis.watch.showing.has_window", lambda: True)
    monkeypatch.setattr("cv2.imshow", lambda name, image: None)
    monkeypatch.setattr("cv2.waitKey", lambda delay: next(keys, ord("q")))
    monkeypatch.setattr("cv2.destroyAllWindows", lambda: None)
    code, out, err = run("watch", clip, "--gallery", enrolled, "--window", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["sources"][0]["read"] < 15
    assert [one["event"] for one in document["events"]] == ["decided", "left"]


@pytest.mark.slow
@pytest.mark.skipif(MOSQUITTO is None, reason="apt-get install mosquitto")
def test_what_is_seen_reaches_a_broker(run, clip, enrolled, tmp_path):
    pytest.importorskip("paho", reason="pip install '.[mqtt]'")
    server = Mosquitto(tmp_path)
    listener = Listener(server.port)
    code, _, err = run(
        "watch", clip, "--gallery", enrolled, "--mqtt", f"mqtt://127.0.0.1:{server.port}/test"
    )
    listener.until(lambda: ("test/status", "offline", False) in listener.messages)
    listener.close()
    server.stop()
    assert (code, err) == (0, "")
    assert [topic for topic, _, _ in listener.messages] == [
        "test/status",
        "test/events/decided",
        "test/events/left",
        "test/events/decided",
        "test/events/left",
        "test/status",
    ]
    person = json.loads(listener.messages[1][1])["sighting"]["person"]
    assert person["name"] == "Barack Obama"
