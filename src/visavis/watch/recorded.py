"""Videos and folders of pictures: every frame, in order, at its own time."""

from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np

from visavis.dataset import find_photos
from visavis.errors import ImageError, SourceError
from visavis.image import read_image
from visavis.types import Image
from visavis.watch.address import Address
from visavis.watch.frames import Counts, Notice, Shot
from visavis.watch.video import frames_between

FOLDER_RATE = 25.0  # pictures of a folder are shown so many a second


class Recording:
    """A file or a folder, read from second `start` up to `end`."""

    def __init__(self, address: Address, start: float = 0.0, end: float | None = None) -> None:
        self.address = address
        self.counts = Counts()
        self.ended = False
        self._notes: list[Notice] = []
        self._start = self._at = start
        self._given = 0  # frames
        of_kind = pictures_between if address.kind == "folder" else frames_between
        self._frames = of_kind(address, self.counts, start, end)

    def take(self) -> Shot | None:
        """The next frame; None at the end. Raises SourceError for what has no frame at all."""
        self.ended = True
        frame = next(self._frames, None)
        if frame is not None:
            self.ended = False
            self._at, self._given = frame.at, self._given + 1
            return frame
        if not self._given:
            raise self._nothing()
        if self.counts.damaged:
            text = f"{self.counts.damaged} damaged frames were left out"
            self._notes.append(Notice("damaged", text, self._at))
        return None

    def notes(self) -> list[Notice]:
        """What happened since this was asked before."""
        notes, self._notes = self._notes, []
        return notes

    def _nothing(self) -> SourceError:
        """Why there is not one frame."""
        name = self.address.shown
        if self.counts.read or self._start:
            return SourceError(
                f"{name}: nothing is shown from second {self._start:g} on",
                mend="begin earlier",
                option="start",
            )
        return SourceError(f"{name}: no picture in it can be read")

    def close(self) -> None:
        """Let go of the file."""
        self._frames.close()


def pictures_between(
    address: Address, counts: Counts, start: float, end: float | None
) -> Generator[Shot]:
    """A folder's pictures, in the order of their names."""
    for number, path in enumerate(find_photos([address.target])):
        at = number / FOLDER_RATE
        if end is not None and at > end:
            return
        if at < start:
            continue
        image = _read(path)
        if image is None:
            counts.damaged += 1
            continue
        counts.read += 1
        yield Shot(at, partial(np.asarray, image))


def _read(path: Path) -> Image | None:
    try:
        return read_image(path)
    except ImageError:
        return None
