"""Count how often a photo with n small faces is decoded: once to be scanned, once more in full.

    python benchmarks/decodes.py [PORTRAIT...]

Portraits are photos with a face each, by default those of build/photos (`make photos`). The photo
of 4000x3000 pixels shows n of them, so small that every face is cut from the photo in full. The
last column times one face after another, each with a decode of its own.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from visavis.detect import load_detector
from visavis.faces import find_faces
from visavis.image import Photo, read_image
from visavis.pack import load_pack
from visavis.types import Detector, Image

COUNTS = (1, 2, 4, 8)
WIDTH, HEIGHT, COLUMNS = 4000, 3000, 4
SIDE, FACE = 700, 260  # pixels of a head and of its face: 83 in the photo as it is scanned


def main() -> None:
    """Exit 1 where a photo is decoded more often than twice."""
    portraits = [Path(name) for name in sys.argv[1:]] or sorted(Path("build/photos").glob("*.jpg"))
    detect = load_detector(load_pack())
    heads = [head(detect, path) for path in portraits]
    print("faces  found  scanned  in full  crops, ms  one by one, ms")
    worst = max(measure(detect, heads, count) for count in COUNTS)
    sys.exit(worst > 2)


def measure(detect: Detector, heads: list[Image], count: int) -> int:
    """Print a line, return the decodes of one photo."""
    data = photo_of(list(islice(cycle(heads), count)))
    with counted() as sizes:
        photo = find_faces(detect, data)
        rows = range(len(photo.faces))
        started = time.perf_counter()
        photo.crops(rows)
        together = time.perf_counter() - started
    started = time.perf_counter()
    for row in rows:
        photo.crops([row])
    alone = time.perf_counter() - started
    full = sizes.count(None)
    print(f"{count:5}  {len(rows):5}  {len(sizes) - full:7}  {full:7}", end="")
    print(f"  {1000 * together:9.0f}  {1000 * alone:14.0f}")
    return len(sizes)


@contextmanager
def counted() -> Iterator[list[int | None]]:
    """The `max_side` of every decode made meanwhile."""
    sizes: list[int | None] = []
    decode = Photo.decode

    def noted(photo: Photo, *, max_side: int | None = None) -> Image:
        sizes.append(max_side)
        return decode(photo, max_side=max_side)

    Photo.decode = noted  # type: ignore[method-assign]
    try:
        yield sizes
    finally:
        Photo.decode = decode  # type: ignore[method-assign]


def head(detect: Detector, path: Path) -> Image:
    """A square of a portrait, its face of FACE pixels in the middle."""
    face = find_faces(detect, path, max_faces=1).faces[0]
    centre, half = (face.box[:2] + face.box[2:]) / 2, face.side * SIDE / FACE / 2
    corners = np.rint([*(centre - half), *(centre + half)])
    square = Pillow.fromarray(read_image(path)).crop(tuple(corners))
    return np.asarray(square.resize((SIDE, SIDE), Pillow.Resampling.LANCZOS))


def photo_of(heads: list[Image]) -> bytes:
    """A JPEG with the heads in rows on grey."""
    canvas = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    for at, pixels in enumerate(heads):
        top, left = 100 + at // COLUMNS * 1000, 100 + at % COLUMNS * 1000
        canvas[top : top + SIDE, left : left + SIDE] = pixels
    buffer = BytesIO()
    Pillow.fromarray(canvas).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
