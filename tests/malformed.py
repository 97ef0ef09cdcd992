"""Pictures that are malformed or odd, each built here, and what must become of them.

The numbers are those of the project's list of malformed inputs. Rows 9 to 13, 15 to 22 and the
animated WebP of 25 are pictures like any other: tests/test_image.py holds their pixels.
"""

import gzip
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from test_image import FLAT, MAGIC, black_png, chunk, encoded

MEGABYTES = 256  # that an answer may take
NO_PICTURE, DAMAGED = "no picture that can be read", "that cannot be read"
CUT = "cannot decode"
HTML = b"<!DOCTYPE html><html><body>404 Not Found</body></html>"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass(frozen=True, slots=True)
class Row:
    """One input, and its answer."""

    number: int
    name: str
    build: Callable[[], bytes]
    said: str = ""  # of the error; none: it is read
    shape: tuple[int, int] = (0, 0)  # of what is read, at most 1280 a side
    large: bool = False

    def __str__(self) -> str:
        return f"{self.number}-{self.name}"

    @property
    def seconds(self) -> float:
        """How long the answer may take."""
        return 2.0 if self.large else 0.25


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call took."""

    seconds: float
    megabytes: float  # resident memory beyond what it was before, at its highest


def can_measure_memory() -> bool:
    """Whether this system can forget the highest memory so far: Linux alone."""
    return CLEAR.exists()


def measured(work: Callable[[], object]) -> Cost:
    """Call it; the second time if the first was slow: the machine may have had other work."""
    cost = _measured(work)
    return cost if cost.seconds < 0.2 else replace(cost, seconds=_measured(work).seconds)


def _measured(work: Callable[[], object]) -> Cost:
    before = _highest(forget=True)
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return Cost(seconds, _highest() - before)


def _highest(*, forget: bool = False) -> float:
    if not can_measure_memory():
        return 0.0
    if forget:
        CLEAR.write_text("5")
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@cache
def noise(height: int = 240, width: int = 320) -> np.ndarray:
    """Every pixel another colour."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@cache
def jpeg(**options: object) -> bytes:
    """A whole JPEG of noise, 320 x 240."""
    return encoded(noise(), "JPEG", quality=90, **options)


@cache
def png() -> bytes:
    """A whole PNG of noise, 320 x 240; the header ends at byte 33."""
    return encoded(noise(), "PNG")


def cut(data: bytes, share: float) -> bytes:
    """The first part of a file."""
    return data[: int(len(data) * share)]


def sized(height: int, width: int) -> bytes:
    """The JPEG of 320 x 240 that says it had other dimensions."""
    start = jpeg().index(b"\xff\xc0") + 5
    return jpeg()[:start] + struct.pack(">HH", height, width) + jpeg()[start + 4 :]


def overwritten(marker: bytes, offset: int, new: bytes) -> bytes:
    """The JPEG with other bytes behind a marker."""
    start = jpeg().index(marker) + offset
    return jpeg()[:start] + new + jpeg()[start + len(new) :]


def scans(count: int) -> bytes:
    """A progressive JPEG of 2000 x 2000 whose last scan comes again and again."""
    data = encoded(Pillow.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def with_chunks(*chunks: bytes) -> bytes:
    """The PNG with these between its header and its pixels."""
    return png()[:33] + b"".join(chunks) + png()[33:]


def bare_png(width: int, height: int) -> bytes:
    """A PNG of this size without a pixel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return MAGIC["PNG"] + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def interlaced() -> bytes:
    """An 8 x 8 grey PNG in the seven passes of Adam7, a byte for each row's filter."""
    passes = [(1, 1), (1, 1), (1, 2), (2, 2), (2, 4), (4, 4), (4, 8)]  # rows, columns
    rows = b"".join((b"\0" + b"\x5a" * columns) * height for height, columns in passes)
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return MAGIC["PNG"] + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def bmp(width: int, height: int, *, bits: int = 24, packed: int = 0, body: bytes = b"") -> bytes:
    """A BMP that says it has these dimensions."""
    palette = bytes(1024) if bits == 8 else b""
    start = 54 + len(palette)
    size = (40, width, height, 1, bits, packed, len(body), 0, 0, len(palette) // 4, 0)
    head = b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start)
    return head + struct.pack("<IiiHHIIiiII", *size) + palette + body


def box_header(brand: bytes) -> bytes:
    """The first box of a HEIC or AVIF file."""
    return struct.pack(">I", 24) + b"ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(200)


def zipped() -> bytes:
    """A zip archive, or a Java one."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Main-Class: A")
    return buffer.getvalue()


@cache
def forty_megapixels() -> bytes:
    """16 MB of JPEG, 8000 x 5000."""
    pixels = np.tile(noise(), (21, 25, 1))[:5000]
    return encoded(pixels, "JPEG", quality=50)


@cache
def bomb_text() -> bytes:
    """200 MB of one letter, deflated."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(b"a" * 1_000_000) for _ in range(200)) + packer.flush()


def drawing() -> bytes:
    """A house."""
    canvas = np.full((400, 400, 3), 255, np.uint8)
    canvas[200:380, 100:300] = (200, 80, 60)
    canvas[300:380, 180:220] = (60, 40, 20)
    for row in range(100):
        canvas[100 + row, 200 - row : 200 + row] = (90, 90, 90)
    return encoded(canvas)


def solid(width: int, height: int, value: int = 0) -> bytes:
    """A PNG of one grey."""
    return encoded(Pillow.new("RGB", (width, height), (value,) * 3))


def other_formats() -> dict[str, bytes]:
    """Pictures and papers that are none of the formats that are read."""
    picture = Pillow.fromarray(FLAT)
    written = {kind: encoded(picture, kind) for kind in ("PDF", "EPS", "ICO")}
    svg = b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"
    return written | {
        "SVG": svg,
        "SVGZ": gzip.compress(svg),
        "PSD": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 16, 32, 8, 3) + bytes(600),
        "FITS": b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
        "FPX": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600),
        "HTML": HTML,
    }


QUARTER, SMALL = (240, 320), (8, 8)
PICTURES = [
    Row(1, "empty", lambda: b"", "this is empty"),
    Row(2, "one byte", lambda: b"\xff", NO_PICTURE),
    *(Row(3, f"{kind} magic", lambda kind=kind: MAGIC[kind],
          NO_PICTURE if kind == "WEBP" else DAMAGED) for kind in MAGIC),
    *(Row(4, f"cut at {share}", lambda share=share: cut(jpeg(), share), CUT) for share in
      (0.3, 0.7, 0.99)),
    Row(7, "JPEG that says 190 MP", lambda: sized(10_000, 19_000), "do not fit in"),
    Row(7, "JPEG that says 65535", lambda: sized(65_535, 65_535), "the limit is 20000 a side"),
    Row(7, "JPEG without width", lambda: sized(240, 0), DAMAGED),
    # What a decoder cannot know: the rest is grey, as in a photo cut short and closed.
    Row(7, "JPEG that says twice the height", lambda: sized(480, 320), shape=(480, 320)),
    Row(7, "Huffman", lambda: overwritten(b"\xff\xc4", 5, b"\xff" * 16), CUT),
    Row(7, "quantisation number", lambda: overwritten(b"\xff\xdb", 4, b"\x0f"), CUT),
    Row(7, "no quantisation", lambda: jpeg().replace(b"\xff\xdb", b"\xff\xfe"), CUT),
    Row(8, "3000 scans", lambda: scans(3000), "over 100 scans"),
    Row(8, "80 scans", lambda: scans(80), shape=(1280, 1280), large=True),
    Row(8, "million segments", lambda: jpeg()[:2] + b"\xff\xfe\0\2" * 10**6 + jpeg()[2:],
        "over 20000 segments"),
    Row(8, "megabytes of filling", lambda: jpeg()[:2] + b"\xff" * 4 * 10**6 + jpeg()[2:],
        "over 20000 segments"),
    Row(8, "BMP of pieces of one pixel",
        lambda: bmp(9000, 9000, bits=8, packed=1, body=b"\1\0" * 500_000), CUT, large=True),
    Row(14, "interlaced", interlaced, shape=SMALL),
    Row(14, "chunk after the end", lambda: png() + chunk(b"tEXt", b"a\0b"), shape=QUARTER),
    Row(14, "million chunks", lambda: with_chunks(chunk(b"abCd", b"") * 10**6), "20000 chunks"),
    Row(14, "without pixels", lambda: bare_png(9, 9), CUT),
    Row(23, "1 MB EXIF", lambda: with_chunks(chunk(b"eXIf", b"II*\0" + b"\7" * 10**6)),
        shape=QUARTER),
    Row(23, "full EXIF", lambda: jpeg(exif=b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 65_000),
        shape=QUARTER),
    Row(23, "XMP bomb", lambda: with_chunks(
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb_text())), DAMAGED, large=True),
    Row(23, "text bomb", lambda: with_chunks(chunk(b"zTXt", b"a\0\0" + bomb_text())), DAMAGED,
        large=True),
    *(Row(24, f"{kind} with a broken profile",
          lambda kind=kind: encoded(noise(), kind, icc_profile=b"Display P3?" * 99),
          shape=QUARTER) for kind in ("JPEG", "PNG", "WEBP")),
    Row(26, "HEIC", lambda: box_header(b"heic"), "this is HEIC, which needs a package"),
    Row(26, "AVIF", lambda: box_header(b"avif"), DAMAGED),
    *(Row(27, name, lambda data=data: data, NO_PICTURE) for name, data in other_formats().items()),
    Row(27, "GIFAR", lambda: encoded(FLAT, "GIF") + zipped(), shape=(16, 32)),
    Row(28, "JPEG and zip", lambda: jpeg() + zipped(), shape=QUARTER),
    Row(28, "HTML in a comment", lambda: jpeg(comment=b"<script>alert(1)</script>"),
        shape=QUARTER),
    Row(29, "1x1", lambda: solid(1, 1), shape=(1, 1)),
    Row(29, "1x10000", lambda: solid(1, 10_000), shape=(1280, 1)),
    Row(29, "10x10", lambda: solid(10, 10), shape=(10, 10)),
    Row(30, "no width", lambda: bare_png(0, 9), DAMAGED),
    Row(30, "negative width", lambda: bmp(-5, 5, body=bytes(100)), "the limit is"),
    Row(31, "30000x30000", lambda: black_png(30_000), "30000x30000 pixels, the limit is"),
    Row(32, "WebP over Pillow's limit", lambda: webp_header(16_383, 16_383), "limit"),
    Row(33, "40 MP", forty_megapixels, shape=(800, 1280), large=True),
    Row(36, "drawing", drawing, shape=(400, 400)),
    Row(36, "noise", png, shape=QUARTER),
    Row(36, "black", lambda: solid(640, 480), shape=(480, 640)),
    Row(36, "white", lambda: solid(640, 480, 255), shape=(480, 640)),
]  # fmt: skip


def webp_header(width: int, height: int) -> bytes:
    """A lossless WebP of this size, whose pixels are missing."""
    size = struct.pack("<I", (width - 1) | (height - 1) << 14)
    body = b"VP8L" + struct.pack("<I", 105) + b"\x2f" + size + bytes(101)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
