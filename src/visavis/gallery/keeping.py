"""Indexes that follow their gallery without being asked: who was erased is soon in no memory.

A search asks for what was changed before it looks; this is for a process that nobody asks anything.
"""

import logging
from threading import Event, Thread
from typing import Self

from visavis.errors import GalleryError
from visavis.gallery.gallery import Gallery

log = logging.getLogger(__name__)

EVERY = 0.5  # seconds between two looks, where nothing wakes it


class KeptUp:
    """Brings a gallery's indexes up to date, within a second of any process's change."""

    def __init__(self, gallery: Gallery) -> None:
        """Begin at once, in a thread of its own."""
        self._gallery, self._stopping = gallery, Event()
        self._away = False
        self._thread = Thread(target=self._run, name="visavis-kept-up", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._gallery.catch_up()
                self._gallery.database.wait(EVERY, self._stopping)
                self._away = False
            except GalleryError as error:
                if not self._away:  # said once, not twice a second
                    log.warning("what others change is not followed now: %s", error)
                self._away = True
                self._stopping.wait(EVERY)
