"""Events into a file, each whole: a CSV of who was seen from when to when, or a JSON line each.

Knows no words for people. What cannot be written now is kept and tried again with the next event.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from visavis.errors import OutputError
from visavis.files import output_errors
from visavis.gallery import Person
from visavis.watch.events import Appearance, Event

COLUMNS = (
    "source", "start", "end", "state", "name", "person_id", "similarity", "false_positive_rate",
    "liveness", "looks", "agreeing", "track", "started_at", "ended_at",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a table program computes what begins so
Line = Callable[[Event], str]  # empty where the event has none


def event_json(event: Event) -> dict[str, Any]:
    """An event as a document."""
    return {
        "event": event.kind,
        "source": event.source,
        "at": round(event.at, 3),
        "text": event.text,
        "sighting": sighting_json(event.sighting) if event.sighting else None,
    }


def sighting_json(sighting: Appearance) -> dict[str, Any]:
    """Who was seen from when to when, as a document."""
    return {
        "track": sighting.track,
        "state": sighting.state,
        "person": _person(sighting.person),
        "closest": _person(sighting.closest),
        "similarity": sighting.similarity,
        "false_positive_rate": sighting.false_positive_rate,
        "liveness": sighting.liveness,
        "looks": sighting.looks,
        "agreeing": sighting.agreeing,
        "start": round(sighting.start, 3),
        "end": round(sighting.end, 3),
        "started_at": sighting.started_at,
        "ended_at": sighting.ended_at,
    }


def _person(person: Person | None) -> dict[str, str] | None:
    return {"id": person.id, "name": person.name} if person else None


def _json_line(event: Event) -> str:
    return json.dumps(event_json(event), ensure_ascii=False) + "\n"


def _csv_line(event: Event) -> str:
    """A row for a face that left; nothing for what else happens."""
    if event.kind != "left" or event.sighting is None:
        return ""
    row = sighting_json(event.sighting)
    who = row["person"] or {}
    row |= {"source": event.source, "name": who.get("name"), "person_id": who.get("id")}
    return _row([row[column] for column in COLUMNS])


def _row(values: list[Any]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerow(
        f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
        for value in values
    )
    return text.getvalue()


FORMS: dict[str, tuple[str, Line]] = {
    ".csv": (_row([*COLUMNS]), _csv_line),
    ".jsonl": ("", _json_line),
}


class EventFile:
    """A sink that adds to a file; what is in it stays."""

    def __init__(self, path: Path) -> None:
        form = FORMS.get(path.suffix.lower())
        if form is None:
            raise OutputError(f"{path}: expected a name in {', '.join(FORMS)}", option="out")
        self._path = path
        head, self._line = form
        with output_errors(path):
            self._file = path.open("a+b", buffering=0)
        self._waiting: list[bytes] = []
        self._reason = ""
        try:
            self._begin(head.encode())
        except OutputError:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(failed=error is not None)

    def __call__(self, event: Event) -> None:
        """Write an event, and those that could not be written before."""
        line = self._line(event).encode()
        if line:
            self._waiting.append(line)
            self._flush()

    @property
    def waiting(self) -> int:
        """Events that could not be written so far."""
        return len(self._waiting)

    def close(self, *, failed: bool = False) -> None:
        """Try the last time. Raises OutputError where events are left, unless something `failed`
        already.
        """
        self._flush()
        self._file.close()
        if self._waiting and not failed:
            lost = len(self._waiting)
            raise OutputError(
                f"{self._path}: {lost} events could not be written: {self._reason}",
                mend="make room; they were printed all the same",
            )

    def _begin(self, head: bytes) -> None:
        """Write the header into a new file. Raises OutputError for a file that is something else,
        and where nothing can be written.
        """
        with output_errors(self._path):
            self._file.seek(0)
            there = self._file.read(len(head) or 1)
            if there and head and there != head:
                raise OutputError(
                    f"{self._path}: is there already, and is no list of sightings",
                    mend="choose another name",
                    option="out",
                )
            if not there and head:
                self._append(head)

    def _flush(self) -> None:
        try:
            while self._waiting:
                self._append(self._waiting[0])
                del self._waiting[0]
        except OSError as error:
            self._reason = error.strerror or str(error)

    def _append(self, line: bytes) -> None:
        """Add a whole line, or nothing. Raises OSError."""
        end = self._file.seek(0, os.SEEK_END)
        try:
            written = self._file.write(line)
            if written != len(line):
                # The disk is full in the middle: the next write says so.
                self._file.write(line[written:])
        except OSError:
            self._file.truncate(end)
            raise


@contextmanager
def event_sink(path: Path | None) -> Iterator[Callable[[Event], None]]:
    """What writes events into a file; nothing without one."""
    if path is None:
        yield lambda event: None
        return
    with EventFile(path) as file:
        yield file
