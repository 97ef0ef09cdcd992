"""Ctrl-C: prompt, one line, exit code 130, and no half of a file."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from visavis import cli, files
from visavis.files import write_whole

# A shell's background jobs ignore SIGINT, and hand that on to their children: this one must not.
LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{LISTEN}; from visavis.cli import main; main()"]
PROMPT = 3  # seconds


@pytest.fixture
def folder(portraits, tmp_path):
    """A broken photo, then 300 good ones: the line about the first says that work has begun."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "000.jpg").write_bytes(b"no picture")
    shutil.copy(portraits / "obama.jpg", folder / "001.jpg")
    for number in range(2, 301):
        os.link(folder / "001.jpg", folder / f"{number:03d}.jpg")
    return folder


@pytest.mark.pack
@pytest.mark.parametrize("words", [["embed", "--out", "x.npz"], ["detect", "--json"]])
def test_a_batch_that_is_interrupted_says_so_and_leaves_nothing_final(
    pack, folder, tmp_path, words
):
    place = tmp_path / "results"
    place.mkdir()
    running = subprocess.Popen(
        [*COMMAND, *words, str(folder)],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with running:
        first = running.stderr.readline()
        time.sleep(0.2)  # among the good photos by now
        running.send_signal(signal.SIGINT)
        sent = time.monotonic()
        out, rest = running.communicate(timeout=60)
        took = time.monotonic() - sent
    assert first.startswith("visavis: ")
    assert "000.jpg" in first
    assert (rest, out, running.returncode) == ("visavis: interrupted\n", "", 130)
    assert took < PROMPT
    # What embed has done so far is kept, and named so: the next call goes on.
    assert [
        path.name for path in place.iterdir() if not path.name.startswith("x.npz.partial")
    ] == []


def test_an_interrupt_anywhere_in_a_verb_is_one_line(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("visavis.doctor.examine", interrupted)
    monkeypatch.setattr(sys, "argv", ["visavis", "doctor"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    printed = capsys.readouterr()
    assert (stopped.value.code, printed.out, printed.err) == (130, "", "visavis: interrupted\n")


@pytest.mark.parametrize("step", ["replace", "chmod"])
def test_a_file_whose_writing_is_interrupted_is_not_there(step, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    (tmp_path / "old.bin").write_bytes(b"old")
    monkeypatch.setattr(files.os, step, interrupted)
    for name in ("old.bin", "new.bin"):
        with pytest.raises(KeyboardInterrupt):
            write_whole(tmp_path / name, np.zeros(1000).tobytes())
    assert [path.name for path in tmp_path.iterdir()] == ["old.bin"]
    assert (tmp_path / "old.bin").read_bytes() == b"old"
