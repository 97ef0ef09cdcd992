"""The progress bar: for people, when they wait, and never in what other programs read."""

import io
import time

import pytest

from visavis.cli import printing
from visavis.errors import DeviceError


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def drive(monkeypatch, stderr: io.StringIO, seconds: float, items: int) -> tuple[list[int], str]:
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setattr(printing, "PATIENCE", 0.1)

    def slow():
        for item in range(items):
            time.sleep(seconds)
            yield item

    return list(printing.progress(slow(), total=items, label="embedding")), stderr.getvalue()


def test_a_long_run_on_a_terminal_shows_a_bar(monkeypatch):
    items, shown = drive(monkeypatch, Terminal(), 0.05, 6)
    assert items == list(range(6))
    assert "embedding" in shown


def test_a_short_run_shows_none(monkeypatch):
    assert drive(monkeypatch, Terminal(), 0.0, 6) == (list(range(6)), "")


def test_a_pipe_sees_none(monkeypatch):
    assert drive(monkeypatch, io.StringIO(), 0.05, 6) == (list(range(6)), "")


def test_who_asks_for_json_sees_none(monkeypatch):
    monkeypatch.setattr("sys.argv", ["visavis", "detect", "a", "--json"])
    assert drive(monkeypatch, Terminal(), 0.05, 6) == (list(range(6)), "")


VERBS = {
    "report": (["report", "a.npz"], "visavis.report.report.write_report"),
    "convert": (["convert", "a.pth", "--out", "b.onnx"], "visavis.convert.workflow.convert"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_hands_its_bar_on(verb, run, monkeypatch):
    """The workflow is replaced by one that looks at its `progress` alone."""
    words, workflow = VERBS[verb]
    if verb == "convert":
        pytest.importorskip("torch")
    passed = []

    def look(*arguments, progress, **named):
        passed.append(list(progress(["a", "b"])))
        raise DeviceError("looked")

    monkeypatch.setattr("visavis.evaluate.run.load_run", lambda path: path)
    monkeypatch.setattr(workflow, look)
    assert run(*words)[::2] == (2, "visavis: looked\n")
    assert passed == [["a", "b"]]
