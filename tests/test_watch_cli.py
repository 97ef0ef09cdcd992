"""visavis watch, as it is typed: real portraits in made videos."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_videos import plain, write_video

from visavis.image import read_image
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


def test_liveness_networks_that_are_missing_are_one_line(run, clip, tmp_path):
    words = ("--liveness", "require", "--liveness-models", tmp_path, "--gallery", tmp_path)
    code, out, err = run("watch", clip, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the liveness network cannot be read" in err
    assert err.endswith("(--liveness-models)\n")
