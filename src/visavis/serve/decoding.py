"""A process that decodes photos, and may do nothing else: it opens no file and no connection.

`python -m visavis.serve.decoding` reads questions on standard input and answers on standard output.
Whatever goes wrong in a decoder happens to this process, and costs one request.
"""

import json
import struct
import sys
from dataclasses import asdict
from typing import IO, Any

import cv2
import numpy as np
from PIL import Image as Pillow

from visavis.errors import ImageError
from visavis.image import Limits, open_photo

if sys.platform != "win32":
    import resource

LENGTHS = struct.Struct(">II")  # bytes of the head, and of what follows it
MEMORY = 2_000_000_000  # bytes of addresses: a photo of 40 megapixels takes half of it
SECONDS = 5  # of the processor, for a photo
STANDARD_FILES = 3  # input, output, errors: no other can be opened
UNLIMITED = Limits(bytes=1 << 40, pixels=1 << 60, side=1 << 40)
TOO_LARGE = "too_large"


def write_message(file: IO[bytes], head: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Send a question or an answer."""
    text = json.dumps(head).encode()
    file.write(LENGTHS.pack(len(text), len(body)))
    file.write(text)
    file.write(body)
    file.flush()


def read_message(file: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """The next question or answer. Raises EOFError where the other process has ended."""
    lengths = file.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        raise EOFError
    text, body = (file.read(length) for length in LENGTHS.unpack(lengths))
    return json.loads(text), body


def answer(question: dict[str, Any], data: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """A photo's size and its pixels (H, W, 3), or why there are none."""
    limits = Limits(**question["limits"])
    nothing = np.empty((0, 0, 3), np.uint8)
    try:
        photo = open_photo(data, limits=UNLIMITED)
        side, pixels = max(photo.width, photo.height), photo.width * photo.height
        if side > limits.side or pixels > limits.pixels:
            what = (
                f"{photo.width}x{photo.height} pixels, the limit is {limits.side} a side and "
                f"{limits.pixels / 1e6:.0f} megapixels"
            )
            return {"code": TOO_LARGE, "what": what, "mend": "shrink it first"}, nothing
        image = photo.decode(max_side=question["max_side"])
    except ImageError as error:
        what = error.what.removeprefix("picture: ")
        return {"code": error.code, "what": what, "mend": error.mend}, nothing
    except MemoryError:
        what = "the photo takes too much memory to be decoded"
        return {"code": ImageError.code, "what": what, "mend": "shrink it first"}, nothing
    return {"width": photo.width, "height": photo.height, "shape": image.shape}, image


def lock_in() -> None:
    """Give up all that decoding does not need: memory, files, connections, processes."""
    cv2.setNumThreads(1)
    Pillow.MAX_IMAGE_PIXELS = None  # the limits are ours, and told
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # nor a thread
        resource.setrlimit(resource.RLIMIT_NOFILE, (STANDARD_FILES, STANDARD_FILES))


def _grant_seconds() -> None:
    """Let the process run for so long more; then the system ends it."""
    if sys.platform != "win32":
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        used = usage.ru_utime + usage.ru_stime
        resource.setrlimit(resource.RLIMIT_CPU, (int(used) + SECONDS + 1, most))


def _warm_up() -> None:
    """Load what a decoder loads at its first photo: later no file can be opened."""
    limits = asdict(UNLIMITED)
    for suffix in (".jpg", ".png", ".webp"):
        _, data = cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))
        for cut in (len(data), len(data) // 2):
            answer({"limits": limits, "max_side": 4}, data.tobytes()[:cut])


def decode_until_closed() -> None:
    """Answer until the other process ends."""
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    _warm_up()
    lock_in()
    write_message(answers, {"ready": True})
    while True:
        try:
            question, data = read_message(questions)
        except EOFError:
            return
        _grant_seconds()
        head, image = answer(question, data)
        write_message(answers, head, image.data.cast("B") if image.size else b"")


if __name__ == "__main__":
    decode_until_closed()
