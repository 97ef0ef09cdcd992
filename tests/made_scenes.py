"""Scenes made of photos: people who walk through a picture, each on a way that is known.

A person is a row of photos; they change every half second, so that a track is seen as it would be
of somebody who moves their head. Nothing is written but what a test writes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from visavis.image import read_image
from visavis.types import Image

WIDTH, HEIGHT = 640, 360
RATE = 25  # pictures a second
EACH = 0.5  # seconds that one photo of a person is shown
PHOTO = 250  # pixels of lfw_people
# Where somebody is at a time: the middle of the photo, and how large it is; None: nowhere.
Way = Callable[[float], tuple[float, float, float] | None]


@dataclass(frozen=True)
class Actor:
    """Somebody in a scene."""

    name: str
    photos: Sequence[Image]
    way: Way

    def photo(self, at: float) -> Image:
        return self.photos[int(at / EACH) % len(self.photos)]


def standing(x: float, y: float, size: float = 0.8) -> Way:
    """At one place."""
    return lambda at: (x, y, size)


def walking(
    start: tuple[float, float], end: tuple[float, float], seconds: float, size: float = 0.8
) -> Way:
    """From one place to another; gone outside that time."""

    def way(at: float) -> tuple[float, float, float] | None:
        share = at / seconds
        if not 0 <= share <= 1:
            return None
        x, y = (a + (b - a) * share for a, b in zip(start, end, strict=True))
        return x, y, size

    return way


def hidden(way: Way, start: float, end: float) -> Way:
    """The same, behind something in between."""
    return lambda at: None if start <= at < end else way(at)


def photos_of(data: Path, name: str, count: int = 99) -> list[Image]:
    """The photos of a person of lfw_people."""
    folder = data / "data" / "lfw_people" / name
    return [read_image(path) for path in sorted(folder.iterdir())[:count]]


def people_with(data: Path, count: int, photos: int = 4) -> list[str]:
    """The first people of lfw_people who have so many photos."""
    folders = sorted((data / "data" / "lfw_people").iterdir())
    return [path.name for path in folders if len(list(path.iterdir())) >= photos][:count]


def scene(
    actors: Sequence[Actor], seconds: float, *, blur: float = 0.0, rate: int = RATE
) -> Iterator[tuple[float, Image]]:
    """Each picture with its time; later actors stand in front of earlier ones."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    wall = np.stack([across * 90 // WIDTH + 80, down * 80 // HEIGHT + 80, across * 0 + 120], axis=2)
    for number in range(round(seconds * rate)):
        at = number / rate
        canvas = wall.astype(np.uint8)
        for actor in actors:
            place = actor.way(at)
            if place is not None:
                _paste(canvas, actor.photo(at), *place)
        yield at, cv2.GaussianBlur(canvas, (0, 0), blur) if blur else canvas


def _paste(canvas: Image, photo: Image, x: float, y: float, size: float) -> None:
    """The middle of a photo, in an oval."""
    onto = np.array([[size, 0, x - size * PHOTO / 2], [0, size, y - size * PHOTO / 2]])
    laid = cv2.warpAffine(photo, onto, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    axes = round(0.33 * size * PHOTO), round(0.46 * size * PHOTO)
    cv2.ellipse(mask, (round(x), round(y)), axes, 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 3)[..., None]
    canvas[:] = (mask * laid + (1 - mask) * canvas).astype(np.uint8)
