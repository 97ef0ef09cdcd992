"""Cameras that are watched while the service answers: one thread, and of each camera its newest
picture and what was seen, for as many viewers as look.

A picture is drawn and encoded once, however many look, and not at all where nobody does. Whoever
is slow gets the newest one next, and misses those in between.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, TypeVar

from visavis.attendance.attendance import Attendance
from visavis.attendance.cameras import CameraClerk
from visavis.attendance.punches import Fate, Recorded
from visavis.errors import SourceError, VisavisError
from visavis.extras import need
from visavis.gallery import Gallery
from visavis.recognizer import Recognizer
from visavis.serve.refusals import busy
from visavis.watch.address import parse_addresses
from visavis.watch.deciding import TrackState
from visavis.watch.events import Event
from visavis.watch.following import Follower, Passage
from visavis.watch.frames import FrameSource, Shot
from visavis.watch.showing import encoded_preview
from visavis.watch.sources import Sources, open_sources
from visavis.watch.watching import PLAN, WatchPlan, watch_sources

log = logging.getLogger(__name__)
T = TypeVar("T")

PICTURES, LISTS = 0.1, 0.25  # seconds between two pictures, between two lists of faces, at least
MOST_VIEWERS = 100  # of a camera
MOST_TOLD = 30  # of the newest events
MODELS_ASKED = 1.0  # seconds between two questions whether the same models still decide
AGAIN = 5.0  # seconds until watching begins anew after a fault of the gallery or of a model


class Newest(Generic[T]):
    """A value that newer ones replace. It is put by a thread, and awaited in loops."""

    def __init__(self, value: T | None = None) -> None:
        self.viewers = 0
        self._value, self._number = value, 0 if value is None else 1
        self._waiting: set[asyncio.Future[None]] = set()
        self._lock = threading.Lock()  # of the two

    def check_room(self) -> None:
        """Raise Refusal, 503, where too many look already."""
        if self.viewers >= MOST_VIEWERS:
            raise busy("too many look at this camera")

    @contextmanager
    def viewed(self) -> Iterator[None]:
        """Count a viewer for the block."""
        with self._lock:
            self.viewers += 1
        try:
            yield
        finally:
            with self._lock:
                self.viewers -= 1

    def put(self, value: T) -> None:
        """Replace the value, and wake up whoever waits."""
        with self._lock:
            self._value, self._number = value, self._number + 1
            waiting, self._waiting = self._waiting, set()
        for loop in {future.get_loop() for future in waiting}:
            own = [future for future in waiting if future.get_loop() is loop]
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, own)

    async def after(self, number: int, seconds: float) -> tuple[int, T | None]:
        """The newest value and its number, as soon as that is above this one; None where there is
        no such value within so many seconds.
        """
        future = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._number > number:
                return self._number, self._value
            self._waiting.add(future)
        await asyncio.wait([future], timeout=seconds)
        with self._lock:
            self._waiting.discard(future)
            return (self._number, self._value) if self._number > number else (number, None)


@dataclass(frozen=True, slots=True)
class ShownFace:
    """A face that is followed now."""

    state: TrackState
    person: str | None  # the gallery's id, where it is confirmed or to be looked at


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """Something that happened before a camera."""

    at: str  # ISO 8601
    kind: str  # as of an event; punch: it was recorded
    state: TrackState | None = None
    person: str | None = None  # the gallery's id
    text: str = ""


@dataclass(frozen=True, slots=True)
class CameraBoard:
    """What a page shows beside the picture. It holds ids: names are looked up when it is shown."""

    status: str = "waiting"  # connected, lost, failed, frozen
    faces: tuple[ShownFace, ...] = ()
    told: tuple[ToldEvent, ...] = ()  # the newest first


class CameraView:
    """One camera for those who look."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pictures: Newest[bytes] = Newest()
        self.boards: Newest[CameraBoard] = Newest(CameraBoard())
        self._board = CameraBoard()
        self._drawn = self._listed = 0.0  # seconds: when that was done last

    def look(self, source: FrameSource, shot: Shot, follower: Follower) -> None:
        """Show a frame, where somebody looks and the last one is not too new."""
        if self.pictures.viewers and shot.at - self._drawn >= PICTURES:
            self._drawn = shot.at
            self.pictures.put(encoded_preview(shot.image, follower, shot.at))
        if self.boards.viewers and shot.at - self._listed >= LISTS:
            self._listed = shot.at
            self._change(faces=tuple(_face(one, follower) for one in follower.followed))

    def tell(self, event: Event, recorded: Sequence[Recorded]) -> None:
        """Add an event to those that are shown."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        told = [ToldEvent(at, "punch", None, one.sighting.person) for one in recorded
                if one.fate is Fate.PUNCH]  # fmt: skip
        one = event.sighting
        if one is None:
            told.append(ToldEvent(at, event.kind, text=event.text.removeprefix(event.kind)))
            status = STATUSES.get(event.kind, self._board.status)
            faces = self._board.faces if status == "connected" else ()
            self._change(status=status, faces=faces)
        elif event.kind != "stays" and one.state != "collecting":
            who = one.person or (one.closest if one.state == "review" else None)
            told.append(ToldEvent(at, event.kind, one.state, who.id if who else None))
        if told:
            self._change(told=(*told, *self._board.told)[:MOST_TOLD])

    def _change(self, **changes: object) -> None:
        board = replace(self._board, **changes)  # type: ignore[arg-type]
        if board != self._board:
            self._board = board
            self.boards.put(board)


# What a camera's status is after an event.
STATUSES = {one: one for one in ("connected", "lost", "failed", "frozen")} | {"moving": "connected"}


class Cameras:
    """All cameras of a service, watched in a thread from `start` to `close`."""

    def __init__(
        self,
        models: Callable[[], Recognizer],
        gallery: Gallery,
        sources: Sequence[str] = (),
        book: Attendance | None = None,
        plan: WatchPlan = PLAN,
    ) -> None:
        """`models` gives those that decide now; `book` takes who is confirmed.

        Raises SourceError for what is no camera or stream, DeviceError without PyAV."""
        addresses = parse_addresses(sources)
        for address in addresses:
            if not address.live:
                raise SourceError(
                    f"{address.shown}: expected a camera or a stream",
                    mend="visavis watch takes videos and folders",
                    option="watch",
                )
            if address.kind == "stream":
                need("av", extras="watch")
        self.views = [CameraView(address.shown) for address in addresses]
        self._models, self._gallery, self._texts = models, gallery, list(sources)
        self._book, self._plan = book, plan
        self._stop = threading.Event()
        self._sources: Sources | None = None
        self._thread = threading.Thread(target=self._run, name="visavis-cameras", daemon=True)

    def start(self) -> None:
        """Begin to watch, where there is a camera."""
        if self.views:
            self._thread.start()

    def close(self) -> None:
        """End all tracks, and let go of cameras and streams."""
        self._stop.set()
        if self._sources is not None:
            self._sources.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                recognizer = self._models()
                clerk = CameraClerk(self._book, recognizer) if self._book else None
                with clerk or nullcontext():
                    self._watch(recognizer, clerk)
            except VisavisError as error:
                log.error("watching begins anew in %g seconds: %s", AGAIN, error)
                self._stop.wait(AGAIN)

    def _watch(self, recognizer: Recognizer, clerk: CameraClerk | None) -> None:
        """Watch until the end, or until other models decide."""
        views = {view.name: view for view in self.views}
        plan = replace(self._plan, duty=clerk.duty) if clerk else self._plan
        asked = time.monotonic()

        def look(source: FrameSource, shot: Shot, follower: Follower) -> None:
            nonlocal asked
            views[source.address.shown].look(source, shot, follower)
            if time.monotonic() - asked >= MODELS_ASKED:
                asked = time.monotonic()
                if self._models() is not recognizer:
                    sources.stop()

        with open_sources(self._texts, wait=True) as sources:
            self._sources = sources
            if self._stop.is_set():
                return
            watched = watch_sources(recognizer, self._gallery, sources, plan=plan, look=look)
            for event in watched:
                recorded = clerk(event) if clerk else []
                views[event.source].tell(event, recorded)


def _wake(waiting: Sequence[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)


def _face(one: Passage, follower: Follower) -> ShownFace:
    state, nearest = follower.state_of(one), one.verdict.nearest
    closest = nearest.closest if nearest is not None else None
    named = closest is not None and state in ("confirmed", "review")
    return ShownFace(state, closest.id if closest is not None and named else None)
