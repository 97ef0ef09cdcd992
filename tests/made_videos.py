"""Videos made for tests: plain pictures whose colour says their number, and where each one is."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from visavis.types import Image

av = pytest.importorskip("av")

STEP = 8  # of a plain picture's grey a frame: coding does not blur one into the next


def plain(number: int, width: int = 64, height: int = 48) -> Image:
    """A grey picture that says its number."""
    return np.full((height, width, 3), STEP * (number % 30) + 8, np.uint8)


def number_of(image: Image) -> int:
    """The number that a plain picture says."""
    return round((float(image.mean()) - 8) / STEP)


def write_video(
    path: Path,
    images: Iterable[Image],
    *,
    rate: int = 25,
    times: Iterable[float] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """A video of these pictures, at `times` in seconds or evenly."""
    pictures = list(images)
    shown = [n / rate for n in range(len(pictures))] if times is None else list(times)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate, options=options or {"preset": "ultrafast"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for image, at in zip(pictures, shown, strict=True):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = round(1000 * at), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def turned_video(path: Path, source: Path, quarters: int, height: int, width: int) -> Path:
    """A copy of an MP4 marked as lying: to be shown turned clockwise by so many quarters."""
    one = 1 << 16
    matrices = {
        1: (0, one, 0, -one, 0, 0, height * one, 0, 1 << 30),
        2: (-one, 0, 0, 0, -one, 0, width * one, height * one, 1 << 30),
    }
    data = bytearray(source.read_bytes())
    upright = np.array([one, 0, 0, 0, one, 0, 0, 0, 1 << 30], ">i4").tobytes()
    place = data.find(upright, data.find(b"tkhd"))
    assert place > 0
    data[place : place + 36] = np.array(matrices[quarters], ">i4").tobytes()
    path.write_bytes(data)
    return path
