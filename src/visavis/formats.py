"""What a file is by its first bytes: a picture, with the way to open it, or what else people bring.

Pillow's plugins are called themselves, not PIL.Image.open: no other format can be reached, and only
our limits apply. Each format's header is checked before the plugin sees it. Knows no path.
"""

import ctypes
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import BytesIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)
from PIL import Image as Pillow

from visavis.errors import ImageError

Opener = Callable[[bytes], ImageFile.ImageFile]

# What Pillow's plugins raise on a damaged file.
FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    RuntimeError, struct.error, zlib.error, Pillow.DecompressionBombError,  # their own limit
)  # fmt: skip
HEAD = 512  # bytes that say what a file is
HEIF = "pillow_heif"  # brought by the extra heif
# Far more than any camera or editor writes: a file with more is made to keep its reader busy.
MOST_BLOCKS = 20_000  # chunks of a PNG; of a JPEG and a GIF segments before the pixels
MOST_SCANS = 100  # of a progressive JPEG, each a pass over all pixels; 10 are usual
MOST_TAGS = 1000  # of a TIFF
MOST_NUMBERS = 100_000  # of one tag of a TIFF: each becomes a Python number
MOST_TILE = 1 << 24  # pixels of a TIFF's tile, which is held whole
MOST_HEADER = 1000  # bytes of a PNM's, comments included
MOST_SLOW = 4_000_000  # bytes of a PNM that Pillow reads number by number, in Python
SEGMENT = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # markers that a length follows, or the end
START_OF_SCAN, END = 0xDA, 0xD9
GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"  # between the words of a PNM's header
PNM = re.compile(rb"P[14]" + 2 * (GAP + rb"\d+") + rb"|(P[2356])" + 3 * (GAP + rb"(\d+)"))
BYTES, ASCII, SHORT, UNDEFINED = 1, 2, 3, 7  # types of a TIFF's tags
SUBFILE, TILE_WIDTH, TILE_LENGTH = 254, 322, 323  # tags of a TIFF


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is: a picture, if `open` is there, and may be read as far as `readable` says."""

    name: str
    open: Opener | None = None
    mend: str = "save it as JPEG or PNG first"
    shows: bool = True  # whether it could show a face at all

    @property
    def readable(self) -> bool:
        """Whether this installation can read it."""
        return self.open is not None and (self.open is not _open_heif or _has_heif())


def kind_of(data: bytes) -> Kind:
    """What a file is by its first bytes, at least HEAD of them if it has so many."""
    head = data[:HEAD]
    for pattern, kind in KINDS:
        if re.match(pattern, head, re.DOTALL):
            return kind
    return TEXT if _is_text(head) else UNKNOWN


def open_picture(data: bytes) -> ImageFile.ImageFile:
    """A picture whose header is read; `FAULTS` where that is damaged or made to be slow.

    Raises ImageError for what is no picture, or needs an extra.
    """
    kind = kind_of(data)
    if kind.open is None:
        what = f"this is {kind.name}, no picture that can be read"
        raise ImageError(what if kind is not UNKNOWN else f"{what}: {data[:8]!r}", mend=kind.mend)
    return kind.open(data)


def _open_jpeg(data: bytes) -> ImageFile.ImageFile:
    """Refuse a JPEG of so many segments or scans that reading it would take minutes."""
    start, blocks, scans = 2, 0, 0
    while (marker := SEGMENT.search(data, start)) and marker[1][0] != END:
        blocks += 0 if scans else 1 + marker.start() - start
        scans += marker[1][0] == START_OF_SCAN
        if scans > MOST_SCANS or blocks > MOST_BLOCKS:
            raise ValueError(f"over {MOST_SCANS} scans, or over {MOST_BLOCKS} segments")
        start = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return JpegImagePlugin.JpegImageFile(BytesIO(data))


def _open_png(data: bytes) -> ImageFile.ImageFile:
    exif = _png_exif(data)
    picture = PngImagePlugin.PngImageFile(BytesIO(data))
    # Set, even to None: else Pillow decodes every pixel to look behind them for EXIF.
    picture.info.setdefault("exif", exif)
    return picture


def _png_exif(data: bytes) -> bytes | None:
    """A PNG's EXIF block, wherever it stands. Checks the checksums of all blocks, because Pillow
    skips those of the pixels.
    """
    start, kind, exif, chunks = 8, b"", None, 0
    while kind != b"IEND":
        chunks += 1
        if chunks > MOST_BLOCKS:
            raise ValueError(f"over {MOST_BLOCKS} chunks")
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        kind, block = data[start + 4 : start + 8], data[start + 4 : end]
        if data[end : end + 4] != zlib.crc32(block).to_bytes(4, "big"):
            raise ValueError("the PNG is damaged or cut short")
        exif = block[4:] if kind == b"eXIf" else exif
        start = end + 4
    return exif


def _open_gif(data: bytes) -> ImageFile.ImageFile:
    """Refuse a GIF with so many blocks before its first picture that reading it takes minutes."""
    flags = data[10]
    at, blocks = 13 + (3 << (flags & 7) + 1 if flags & 128 else 0), 0
    while data[at] != ord(","):
        blocks += 1
        if data[at] == ord("!"):
            at += 2
            while length := data[at]:
                at, blocks = at + 1 + length, blocks + 1
                if blocks > MOST_BLOCKS:
                    break
        if blocks > MOST_BLOCKS:
            raise ValueError(f"over {MOST_BLOCKS} blocks before the first picture")
        at += 1
    return GifImagePlugin.GifImageFile(BytesIO(data))


def _open_tiff(data: bytes) -> ImageFile.ImageFile:
    """Refuse a TIFF whose tags would fill the memory, and one that begins with a thumbnail."""
    order, big = ("<" if data[:2] == b"II" else ">"), 43 in data[2:4]
    (start,) = struct.unpack_from(order + ("Q" if big else "L"), data, 8 if big else 4)
    (tags,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    if tags > MOST_TAGS:
        raise ValueError(f"over {MOST_TAGS} tags")
    entry, inline = struct.Struct(order + ("HHQ" if big else "HHL")), "Q" if big else "L"
    width, values = entry.size + (8 if big else 4), {}
    for place in range(start + (8 if big else 2), start + (8 if big else 2) + tags * width, width):
        tag, form, count = entry.unpack_from(data, place)
        if form not in (BYTES, ASCII, UNDEFINED) and count > MOST_NUMBERS:
            raise ValueError(f"over {MOST_NUMBERS} numbers in tag {tag}")
        form = order + ("H" if form == SHORT else inline)
        (values[tag],) = struct.unpack_from(form, data, place + entry.size)
    if values.get(SUBFILE, 0) & 1:
        raise ValueError("its first picture is a thumbnail, as in a camera's raw file")
    if values.get(TILE_WIDTH, 0) * values.get(TILE_LENGTH, 0) > MOST_TILE:
        raise ValueError(f"tiles of over {MOST_TILE} pixels")
    _silence_libtiff()
    return TiffImagePlugin.TiffImageFile(BytesIO(data))


@cache
def _silence_libtiff() -> None:
    """Stop libtiff's own lines on stderr about damaged files, in this process: what it cannot
    decode Pillow raises. Where Pillow shows no such function of libtiff, the lines stay.
    """
    library = ctypes.CDLL(_imaging.__file__)  # loaded already, and libtiff with it
    for handler in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if hasattr(library, handler):
            getattr(library, handler)(None)


def _open_pnm(data: bytes) -> ImageFile.ImageFile:
    """Refuse a PNM that Pillow, which reads some of them in Python, would read for minutes."""
    header = PNM.match(data[:MOST_HEADER])
    if header is None:
        raise ValueError(f"expected a header of at most {MOST_HEADER} bytes")
    most = header[4] or b"1"
    fast = data[1] in b"456" and (most in (b"1", b"255") or (data[1] in b"5" and most == b"65535"))
    if not fast and (len(data) > MOST_SLOW or b"#" in data[header.end() :]):
        raise ValueError(
            f"a text, or {most.decode()} steps, over {MOST_SLOW} bytes or with remarks"
        )
    return PpmImagePlugin.PpmImageFile(BytesIO(data))


def _open_heif(data: bytes) -> ImageFile.ImageFile:
    if not _has_heif():
        raise ImageError(
            "this is HEIC, which needs a package that is not installed",
            mend="pip install '.[heif]', or save the photo as JPEG",
        )
    import pillow_heif

    picture: ImageFile.ImageFile = pillow_heif.HeifImageFile(BytesIO(data))
    return picture


def _has_heif() -> bool:
    return find_spec(HEIF) is not None


def _is_text(head: bytes) -> bool:
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", head)


RAW = Kind("a camera's raw file")
VIDEO = Kind("a video", mend="save a still picture of it first")
ARCHIVE = Kind("an archive", mend="unpack it first", shows=False)
TEXT = Kind("text", mend="expected a photo", shows=False)
UNKNOWN = Kind("of an unknown kind", mend="expected a photo", shows=False)

# The first pattern that fits says what a file is.
KINDS: tuple[tuple[bytes, Kind], ...] = (
    (rb"$", Kind("empty", mend="check that it was copied whole", shows=False)),
    (rb"\xff\xd8\xff", Kind("JPEG", _open_jpeg)),
    (rb"\x89PNG\r\n\x1a\n", Kind("PNG", _open_png)),
    (rb"RIFF.{4}WEBP", Kind("WebP", lambda data: WebPImagePlugin.WebPImageFile(BytesIO(data)))),
    (rb"GIF8[79]a", Kind("GIF", _open_gif)),
    (rb"II[*]\0.{4}CR|IIR[OS]|MMOR|IIU\0|FUJIFILMCCD-RAW|.{4}ftypcrx", RAW),
    (rb"II[*+]\0|MM\0[*+]", Kind("TIFF", _open_tiff)),
    (rb"P[1-6][\s#]", Kind("PNM", _open_pnm)),
    (
        rb".{4}ftyp(avi[fs]|m(if|sf)1.{4}(.{4}){0,20}?avi[fs])",
        Kind("AVIF", lambda data: AvifImagePlugin.AvifImageFile(BytesIO(data))),
    ),
    (rb".{4}ftyp(hei[cxms]|hev[cxms]|m(if|sf)1)", Kind("HEIC", _open_heif)),
    (rb"RIFF.{4}AVI |.{4}(moov|mdat|wide)|\x1aE\xdf\xa3|\0\0\x01[\xb3\xba]|FLV\x01|0&\xb2u", VIDEO),
    (rb".{4}ftypM4[AB]|RIFF.{4}WAVE|ID3|fLaC|OggS", Kind("sound", shows=False)),
    (rb".{4}ftyp", VIDEO),
    (rb"BM", Kind("BMP", lambda data: BmpImagePlugin.BmpImageFile(BytesIO(data)))),
    (rb"%PDF-", Kind("PDF", mend="save its pages as pictures first")),
    (rb"\xff\x0a|\0{3}\x0cJXL ", Kind("JPEG XL")),
    (rb"\0{3}\x0cjP  |\xff\x4f\xff\x51", Kind("JPEG 2000")),
    (rb"8BPS|gimp xcf", Kind("an editor's own file")),
    (rb"PK\x03\x04|PK\x05\x06|\x1f\x8b|Rar!|7z\xbc\xaf", ARCHIVE),
    (rb"version https://git-lfs", Kind("a pointer of Git LFS", mend="fetch it: git lfs pull")),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml.*)?<svg", Kind("SVG")),
    (
        rb"(\xef\xbb\xbf)?\s*(?i:<!doctype html|<html)",
        Kind("a web page", mend="download the photo itself", shows=False),
    ),
)
READABLE = ", ".join(kind.name for _, kind in KINDS if kind.open is not None)
