"""Several sources as one stream of frames: files to their end, live ones until they are closed."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from visavis.errors import SourceError, VisavisError
from visavis.watch.address import Address, parse_addresses
from visavis.watch.frames import FrameSource, Notice, Shot
from visavis.watch.live import PATIENCE, LiveSource
from visavis.watch.recorded import Recording

TICK = 0.2  # seconds between two looks at the clock while nothing comes


class Sources:
    """Sources that are open, in the order in which they were named."""

    def __init__(
        self, every: Sequence[FrameSource], news: threading.Event, *, wait: bool = False
    ) -> None:
        self.every, self._wait = tuple(every), wait
        self._news = news
        self._stopped = False
        self._failed: set[int] = set()  # of `every`: those that never gave a frame

    @property
    def addresses(self) -> list[Address]:
        """Where they are, in their order."""
        return [source.address for source in self.every]

    def stop(self) -> None:
        """Let the loop end with the frame that is being looked at. Safe in a signal's handler."""
        self._stopped = True
        self._news.set()

    def __iter__(self) -> Iterator[tuple[FrameSource, Shot | Notice]]:
        """Their frames and notes as they come.

        A file that cannot be read, or a camera that cannot be reached, stops no other. Raises its
        error where none of the sources can, unless they are waited for.
        """
        while waiting := self._waiting():
            self._news.clear()
            came = False
            for source in waiting:
                what = self._taken(source)
                for note in source.notes():
                    yield source, note
                if what is not None:
                    came = True
                    yield source, what
            if not came and all(source.address.live for source in waiting):
                self._news.wait(TICK)

    def _waiting(self) -> list[FrameSource]:
        return [source for source in self.every if not (source.ended or self._stopped)]

    def _taken(self, source: FrameSource) -> Shot | Notice | None:
        """Its frame, or why it has none, said once."""
        place = self.every.index(source)
        try:
            frame = source.take()
            if frame is not None:
                self._failed.discard(place)
            return frame
        except VisavisError as error:
            said = place in self._failed
            self._failed.add(place)
            if len(self._failed) == len(self.every) and not self._wait:
                raise
            return None if said else Notice("failed", str(error), time.monotonic())


@contextmanager
def open_sources(
    texts: Sequence[str],
    *,
    start: float = 0.0,
    end: float | None = None,
    patience: float = PATIENCE,
    wait: bool = False,
) -> Iterator[Sources]:
    """The sources of these names, open within the block; every thread and file is let go after it.

    With `wait`, live ones that are not there yet are waited for.
    A file is read from second `start` to `end`; a live source for `end` seconds. Raises SourceError
    for a name that is no source, before any is opened.
    """
    addresses = parse_addresses(texts)
    if start and any(address.live for address in addresses):
        raise SourceError("expected a start for files alone: a camera begins now", option="start")
    if end is not None and end <= start:
        raise SourceError(f"expected an end after the start, got {start:g} and {end:g}")
    news = threading.Event()
    opened: list[FrameSource] = []
    try:
        for address in addresses:
            opened.append(_opened(address, news, (start, end), patience))
        yield Sources(opened, news, wait=wait)
    finally:
        for source in opened:
            source.close()


def _opened(
    address: Address, news: threading.Event, span: tuple[float, float | None], patience: float
) -> FrameSource:
    if not address.live:
        return Recording(address, *span)
    source = LiveSource(address, news, patience=patience)
    return source if span[1] is None else Timed(source, span[1])


class Timed:
    """A live source that is watched for so many seconds."""

    def __init__(self, source: FrameSource, seconds: float) -> None:
        self._source = source
        self._seconds = seconds
        self._until: float | None = None  # models are loaded meanwhile: it counts from the loop on
        self.address, self.counts = source.address, source.counts

    @property
    def ended(self) -> bool:
        """Whether its time is over."""
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        return time.monotonic() >= self._until

    def take(self) -> Shot | None:
        """As the source's."""
        return self._source.take()

    def notes(self) -> list[Notice]:
        """As the source's."""
        return self._source.notes()

    def close(self) -> None:
        """Close the source."""
        self._source.close()
