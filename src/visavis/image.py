"""Path, bytes or file object to upright RGB: the only decoder of untrusted bytes.

The first bytes say what format it is, never the name; JPEG, PNG, WebP and BMP are read, no other.
The header is read first: a picture over a limit is refused before one pixel is decoded.
"""

import os
import re
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import BmpImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL import Image as Pillow

from visavis.errors import ImageError
from visavis.types import Image

Source = str | os.PathLike[str] | bytes | IO[bytes]
# What a question can be asked of: a source, an (H, W, 3) uint8 RGB array, or a Pillow picture.
Picture = Source | Image | Pillow.Image

# Pillow's plugins themselves, not PIL.Image.open: no other format can be reached, and only our
# limits apply.
FORMATS: tuple[tuple[bytes, Callable[[IO[bytes]], ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
)
# What those plugins raise on a damaged file.
FAULTS = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError,
    struct.error, zlib.error, Pillow.DecompressionBombError,  # WebP has a limit of its own
)  # fmt: skip
EXIF_ORIENTATION = 0x0112
GREY = 128  # what shows through transparent pixels
# Far more than any camera or editor writes: a file with more is made to keep its reader busy.
MOST_BLOCKS = 20_000  # chunks of a PNG; segments and filling bytes of a JPEG before its pixels
MOST_SCANS = 100  # of a progressive JPEG, each a pass over all pixels; 10 are usual
PIXELS_IN_A_BYTE = 512  # of a JPEG: Huffman's code takes a bit at least for each block of 8x8
SEGMENT = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")  # markers that a length follows, or the end
START_OF_SCAN, END = 0xDA, 0xD9


@dataclass(frozen=True, slots=True)
class Limits:
    """The largest picture that is decoded at all."""

    bytes: int = 100_000_000
    pixels: int = 200_000_000
    side: int = 20_000  # pixels


LIMITS = Limits()


@dataclass(frozen=True, eq=False, slots=True)
class Photo:
    """A picture still encoded; its header is read and within the limits. Decode it small first,
    and in full if needed.
    """

    name: str
    data: bytes
    width: int  # upright
    height: int

    def decode(self, *, max_side: int | None = None) -> Image:
        """Decode to RGB, shrunk so that the longer side is at most `max_side` pixels.

        Raises ImageError for a file that is cut short or damaged.
        """
        try:
            with _open(self.data) as picture:
                orientation = _orientation(picture)
                target = _fit(picture.size, max_side)
                picture.draft(None, target)  # JPEG alone: libjpeg decodes at 1/2, 1/4 or 1/8
                pixels = _rgb(picture)
        except FAULTS as error:
            raise ImageError(
                f"{self.name}: cannot decode: {_reason(error)}", mend="check that the file is whole"
            ) from error
        if pixels.shape[:2] != target[::-1]:
            pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA).astype(
                np.uint8, copy=False
            )
        return np.ascontiguousarray(_upright(pixels, orientation))


def open_photo(source: Source, *, limits: Limits = LIMITS) -> Photo:
    """Read a picture's bytes and header, without decoding it.

    Raises ImageError for what is not a JPEG, PNG, WebP or BMP file, or is over `limits`.
    """
    name, data = _bytes(source, limits)
    if not data:
        raise ImageError(f"{name}: empty, 0 bytes; expected a JPEG, PNG, WebP or BMP picture")
    try:
        with _open(data) as picture:
            width, height = picture.size
            turned = _orientation(picture) >= 5
    except FAULTS as error:
        raise ImageError(
            f"{name}: not a JPEG, PNG, WebP or BMP picture: {_reason(error)}"
        ) from error
    photo = Photo(name, data, *((height, width) if turned else (width, height)))
    _check_size(photo, limits)
    return photo


def read_image(source: Source, *, max_side: int | None = None, limits: Limits = LIMITS) -> Image:
    """Read a picture from a path, bytes or a binary file object: (H, W, 3) uint8 RGB, upright.

    EXIF orientation is applied, 16-bit grey is scaled, transparency is laid on mid-grey, of an
    animation the first frame is taken. With `max_side` the longer side is at most that many pixels.
    Raises ImageError for what is not a whole JPEG, PNG, WebP or BMP file, or is over `limits`.
    """
    return open_photo(source, limits=limits).decode(max_side=max_side)


def check_image(image: object) -> Image:
    """The array itself. Raises ImageError unless it is (H, W, 3) uint8 with at least one pixel."""
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"expected an (H, W, 3) uint8 RGB array, got {type(image).__name__}",
            mend="read_image makes one of a file",
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ImageError(f"expected an (H, W, 3) uint8 RGB array, got {image.shape} {image.dtype}")
    return image


def of_pillow(picture: Pillow.Image) -> Image:
    """The upright RGB pixels of a Pillow picture, as `read_image` gives those of a file.

    Raises ImageError for one that is over the limits, or whose file is damaged.
    """
    if max(picture.size) > LIMITS.side or picture.width * picture.height > LIMITS.pixels:
        raise ImageError(
            f"picture: {picture.width}x{picture.height} pixels are over the limit",
            mend="shrink it first",
        )
    try:
        pixels = _upright(_rgb(picture), _orientation(picture))
    except FAULTS as error:
        raise ImageError(f"picture: cannot decode: {_reason(error)}") from error
    return check_image(np.ascontiguousarray(pixels))


def _bytes(source: Source, limits: Limits) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        name, data = "picture", source
    elif isinstance(source, str | os.PathLike):
        name, data = str(source), _file_bytes(Path(source), limits)
    else:
        name = str(getattr(source, "name", "picture"))
        data = source.read(limits.bytes + 1)
        if not isinstance(data, bytes):
            raise ImageError(
                f"{name}: expected a file opened in binary mode, got {type(data).__name__}"
            )
    if len(data) > limits.bytes:
        raise ImageError(f"{name}: over the limit of {limits.bytes / 1e6:.0f} MB")
    return name, data


def _check_size(photo: Photo, limits: Limits) -> None:
    """Raise ImageError for a picture of no pixel, over a limit, or larger than its bytes can be."""
    size, pixels = f"{photo.width}x{photo.height}", photo.width * photo.height
    if min(photo.width, photo.height) < 1:
        raise ImageError(f"{photo.name}: expected at least one pixel, got {size}")
    if max(photo.width, photo.height) > limits.side or pixels > limits.pixels:
        raise ImageError(
            f"{photo.name}: {size} pixels, the limit is {limits.side} a side "
            f"and {limits.pixels / 1e6:.0f} megapixels",
            mend="shrink it first",
        )
    if photo.data.startswith(FORMATS[0][0]) and pixels > PIXELS_IN_A_BYTE * len(photo.data):
        raise ImageError(
            f"{photo.name}: {size} pixels do not fit in {len(photo.data)} bytes",
            mend="check that the file is whole",
        )


def _file_bytes(path: Path, limits: Limits) -> bytes:
    try:
        # Checked before it is opened: opening a FIFO would wait for ever.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, socket or pipe"
            raise ImageError(f"{path}: expected a picture file, got {kind}")
        if status.st_size > limits.bytes:
            raise ImageError(f"{path}: over the limit of {limits.bytes / 1e6:.0f} MB")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"{path}: cannot read: {_reason(error)}") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    for magic, plugin in FORMATS:
        if data.startswith(magic):
            if plugin is JpegImagePlugin.JpegImageFile:
                _check_jpeg(data)
            if plugin is not PngImagePlugin.PngImageFile:
                return plugin(BytesIO(data))
            exif = _png_exif(data)
            picture = plugin(BytesIO(data))
            # Set, even to None: else Pillow decodes every pixel to look behind them for EXIF.
            picture.info.setdefault("exif", exif)
            return picture
    raise ValueError(f"the first bytes are {data[:8]!r}")


def _check_jpeg(data: bytes) -> None:
    """Refuse a JPEG of so many segments or scans that reading it would take minutes."""
    start, blocks, scans = 2, 0, 0
    while (marker := SEGMENT.search(data, start)) and marker[1][0] != END:
        blocks += 0 if scans else 1 + marker.start() - start
        scans += marker[1][0] == START_OF_SCAN
        if scans > MOST_SCANS or blocks > MOST_BLOCKS:
            raise ValueError(f"over {MOST_SCANS} scans, or over {MOST_BLOCKS} segments")
        start = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")


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


def _orientation(picture: Pillow.Image) -> int:
    try:
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    except FAULTS:  # a damaged EXIF block says nothing about the pixels
        return 1
    return orientation if orientation in range(1, 9) else 1


def _fit(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    shrink = 1.0 if max_side is None else min(1.0, max_side / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def _rgb(picture: Pillow.Image) -> Image:
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it to white
        grey = ((np.asarray(picture, np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        ground = Pillow.new("RGBA", layer.size, (GREY, GREY, GREY, 255))
        picture = Pillow.alpha_composite(ground, layer)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _upright(pixels: Image, orientation: int) -> Image:
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _reason(error: BaseException) -> str:
    return (
        error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    ) or "damaged"
