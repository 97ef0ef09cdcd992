"""Events in files: whole lines, nothing lost, nothing that a table program would compute."""

import csv
import json
import resource
from contextlib import contextmanager
from dataclasses import replace

import pytest
from test_deciding import ANN

from visavis.errors import OutputError
from visavis.watch.events import Appearance, Event
from visavis.watch.writing import COLUMNS, EventFile

SEEN = Appearance(
    track=1, state="confirmed", person=ANN, closest=ANN, similarity=0.61,
    false_positive_rate=0.0096, liveness=None, looks=4, agreeing=3, sightings=20,
    start=0.48, end=5.6, started_at=None, ended_at=None,
)  # fmt: skip
LEFT = Event("left", "clip.mp4", 5.6, SEEN)
DECIDED = Event("decided", "clip.mp4", 0.96, SEEN)
LOST = Event("lost", "rtsp://***@host/a", 7.0, text="it ended")


def rows_of(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_csv_says_who_was_seen_from_when_to_when(tmp_path):
    path = tmp_path / "hits.csv"
    with EventFile(path) as sink:
        for event in (DECIDED, LOST, LEFT):
            sink(event)
    (row,) = rows_of(path)
    assert tuple(row) == COLUMNS
    assert row == {
        "source": "clip.mp4", "start": "0.48", "end": "5.6", "state": "confirmed", "name": "Ann",
        "person_id": "ann", "similarity": "0.61", "false_positive_rate": "0.0096", "liveness": "",
        "looks": "4", "agreeing": "3", "track": "1", "started_at": "", "ended_at": "",
    }  # fmt: skip


def test_lines_of_json_are_all_events(tmp_path):
    path = tmp_path / "hits.jsonl"
    with EventFile(path) as sink:
        for event in (DECIDED, LOST, LEFT):
            sink(event)
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["event"] for one in documents] == ["decided", "lost", "left"]
    assert documents[1]["text"] == "it ended"
    assert documents[2]["sighting"]["person"] == {"id": "ann", "name": "Ann"}


def test_what_was_written_before_stays(tmp_path):
    path = tmp_path / "hits.csv"
    for _ in range(2):
        with EventFile(path) as sink:
            sink(LEFT)
    assert [row["name"] for row in rows_of(path)] == ["Ann", "Ann"]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_a_name_is_no_formula(tmp_path, name):
    path = tmp_path / "hits.csv"
    with EventFile(path) as sink:
        sink(Event("left", "a", 1.0, replace(SEEN, person=replace(ANN, name=name))))
    assert rows_of(path)[0]["name"] == f"'{name}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hits.txt", "expected a name in .csv, .jsonl"),
        ("list.csv", "is there already, and is no list of sightings"),
        ("no folder/hits.csv", "cannot write: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_added_to_is_refused(tmp_path, name, said):
    (tmp_path / "list.csv").write_text("my,own,list\n")
    with pytest.raises(OutputError, match=said):
        EventFile(tmp_path / name)
    assert (tmp_path / "list.csv").read_text() == "my,own,list\n"


@contextmanager
def most_bytes(most: int):
    """No file may become larger: what a full disk is to whoever writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_loses_nothing_and_leaves_no_half_of_a_line(tmp_path):
    path = tmp_path / "hits.jsonl"
    sink = EventFile(path)
    sink(DECIDED)
    size = path.stat().st_size
    with most_bytes(size + 10):
        sink(LOST)
        sink(LEFT)
        assert (path.stat().st_size, sink.waiting) == (size, 2)
    sink.close()  # there is room again
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    assert [one["event"] for one in documents] == ["decided", "lost", "left"]


def test_what_could_not_be_written_at_last_is_said(tmp_path):
    sink = EventFile(tmp_path / "hits.jsonl")
    with most_bytes(10):
        sink(LOST)
        sink(LEFT)
        with pytest.raises(OutputError, match="2 events could not be written: File too large"):
            sink.close()
    assert (tmp_path / "hits.jsonl").read_bytes() == b""
