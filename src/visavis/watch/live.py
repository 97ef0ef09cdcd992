"""Cameras and streams: the newest picture wins, and what is lost is looked for until it is back.

Each has a thread of its own, so that one that hangs keeps no other waiting.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import cv2
import numpy as np

from visavis.errors import SourceError
from visavis.types import Image
from visavis.watch.address import Address
from visavis.watch.frames import Counts, Notice, NoticeKind, Shot
from visavis.watch.video import Conversions, stream_pictures

PATIENCE = 5.0  # seconds of silence after which a source is lost
FIRST_WAIT, LONGEST_WAIT = 0.25, 4.0  # seconds between two tries to reach it: each time twice
Connect = Callable[[], AbstractContextManager[Conversions]]


class LiveSource:
    """A camera or stream that is read in a thread until it is closed."""

    def __init__(
        self,
        address: Address,
        news: threading.Event,
        *,
        patience: float = PATIENCE,
        connect: Connect | None = None,
    ) -> None:
        self.address = address
        self.counts = Counts()
        self.ended = False
        self._news = news  # set for each frame, so that whoever waits for any source wakes up
        self._patience = patience
        self._connect = connect or _connection(address, self.counts, patience)
        self._lock = threading.Lock()  # of what follows
        self._newest: Shot | None = None
        self._notes: list[Notice] = []
        self._error: SourceError | None = None  # why it was never reached
        self._reached = self._lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=address.shown, daemon=True)
        self._thread.start()

    def take(self) -> Shot | None:
        """The newest frame, once; None where there is no newer one.

        Raises SourceError where the source was never reached, once for each try.
        """
        with self._lock:
            frame, self._newest = self._newest, None
            error, self._error = self._error, None
        if error is not None:
            raise error
        return frame

    def notes(self) -> list[Notice]:
        """What happened since this was asked before."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes

    def close(self) -> None:
        """Stop reading. What hangs in the network is waited for, as long as it may be silent."""
        self._stop.set()
        self._thread.join(3 * self._patience)
        self.ended = True

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            read = self.counts.read
            try:
                self._read()
                reason = "it ended"
            except SourceError as error:
                reason = error.what.removeprefix(f"{self.address.shown}: ")
                self._failed(error)
            if self._stop.is_set():
                return
            self._missed(reason)
            wait = FIRST_WAIT if self.counts.read > read else min(2 * wait, LONGEST_WAIT)
            # Many cameras that are lost together do not come back together.
            self._stop.wait(wait * random.uniform(0.75, 1.0))

    def _read(self) -> None:
        """Read until the source ends. Raises SourceError where it is lost."""
        with self._connect() as pictures:
            first = True
            for convert in pictures:
                if self._stop.is_set():
                    return
                if first:
                    self._note("connected", "connected")
                first = False
                self._put(Shot(time.monotonic(), convert))

    def _put(self, frame: Shot) -> None:
        with self._lock:
            self.counts.dropped += self._newest is not None
            self._newest, self._reached = frame, True
        self._news.set()

    def _failed(self, error: SourceError) -> None:
        with self._lock:
            self._error = None if self._reached else error
        self._news.set()

    def _missed(self, reason: str) -> None:
        """Say once that it is lost, however often it is tried."""
        if self._reached and not self._lost:
            self.counts.lost += 1
            self._note("lost", reason)

    def _note(self, kind: NoticeKind, text: str) -> None:
        self._lost = kind == "lost"
        with self._lock:
            self._notes.append(Notice(kind, text, time.monotonic()))
        self._news.set()


def _connection(address: Address, counts: Counts, patience: float) -> Connect:
    if address.kind == "camera":
        return partial(camera_pictures, address, counts)
    return partial(stream_pictures, address, counts, patience)


@contextmanager
def camera_pictures(address: Address, counts: Counts) -> Iterator[Conversions]:
    """A camera's pictures. Raises SourceError where it cannot be opened."""
    camera = cv2.VideoCapture(int(address.target))
    try:
        if not camera.isOpened():
            raise SourceError(
                f"{address.shown}: cannot be opened", mend="another program may be using it"
            )
        # Otherwise some drivers hand over what was seen a second ago.
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        yield _grabbed(camera, counts)
    finally:
        camera.release()


def _grabbed(camera: cv2.VideoCapture, counts: Counts) -> Conversions:
    while True:
        taken, picture = camera.read()
        if not taken:
            return
        counts.read += 1
        yield partial(_rgb, np.asarray(picture, np.uint8))


def _rgb(picture: Image) -> Image:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
