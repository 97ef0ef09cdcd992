"""Path, bytes or file object to upright RGB: the only decoder of untrusted bytes.

The first bytes say what format it is, never the name (`formats`). The header is read first: a
picture over a limit is refused before one pixel is decoded.
"""

import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import PpmImagePlugin, TiffImagePlugin

from visavis.errors import ImageError
from visavis.formats import FAULTS, kind_of, open_picture
from visavis.types import Image

Source = str | os.PathLike[str] | bytes | IO[bytes]
# What a question can be asked of: a source, an (H, W, 3) uint8 RGB array, or a Pillow picture.
Picture = Source | Image | Pillow.Image

EXIF_ORIENTATION = 0x0112
GREY = 128  # what shows through transparent pixels
PIXELS_IN_A_BYTE = 512  # of a JPEG: Huffman's code takes a bit at least for each block of 8x8
STDIN = "-"
ADDRESS = re.compile("([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)  # not C:/, which is a drive

ARRAY = "an (H, W, 3) uint8 RGB array"


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
    # What decodes it in place of this process, at most so many pixels a side: it is not trusted.
    elsewhere: Callable[[int | None], Image] | None = None

    def decode(self, *, max_side: int | None = None) -> Image:
        """Decode to RGB, shrunk so that the longer side is at most `max_side` pixels.

        Raises ImageError for a file that is cut short or damaged.
        """
        if self.elsewhere is not None:
            return self.elsewhere(max_side)
        try:
            picture = open_picture(self.data)
        except FAULTS as error:
            raise _undecodable(self.name, error) from error
        return _decode(self.name, picture, max_side)


def open_photo(source: Source, *, limits: Limits = LIMITS) -> Photo:
    """Read a picture's bytes and header, without decoding it. The path "-" is standard input.

    Raises ImageError for what is no picture that can be read, or is over `limits`.
    """
    return _open(source, limits)[0]


def read_image(source: Source, *, max_side: int | None = None, limits: Limits = LIMITS) -> Image:
    """Read a picture from a path, bytes or a binary file object: (H, W, 3) uint8 RGB, upright.

    EXIF orientation is applied, 16-bit grey is scaled, transparency is laid on mid-grey, of several
    frames the first is taken. With `max_side` the longer side is at most that many pixels.
    Raises ImageError for what is no whole picture that can be read, or is over `limits`.
    """
    # Not by open_photo, whose header would be read twice: of a small picture that is a third.
    photo, picture = _open(source, limits)
    return _decode(photo.name, picture, max_side)


def check_image(image: object) -> Image:
    """The array itself. Raises ImageError unless it is (H, W, 3) uint8 with at least one pixel."""
    if not isinstance(image, np.ndarray):
        came = "None" if image is None else type(image).__name__
        mend = "cv2.imread gives None for what it cannot read; read_image says why"
        raise ImageError(
            f"expected {ARRAY}, got {came}",
            mend=mend if image is None else "read_image makes one of a file",
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ImageError(f"expected {ARRAY}, got {image.shape} {image.dtype}", mend=_convert(image))
    return image


def _convert(image: NDArray[Any]) -> str:
    """How an array of another form becomes a picture, as a `mend`."""
    channels = image.shape[-1] if image.ndim == 3 else image.ndim
    mends = (
        (not image.size, ""),
        (image.ndim == 4, "give one picture at a time"),
        (channels > 4 and image.shape[0] == 3, "turn its axes: image.transpose(1, 2, 0)"),
        (image.dtype.kind == "f", "np.uint8 holds 0..255: (255 * image).astype(np.uint8) of 0..1"),
        (image.dtype != np.uint8, "scale it to 0..255, then image.astype(np.uint8)"),
        (image.ndim == 2 or channels == 1, "cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)"),
        (channels == 4, "cv2.cvtColor(image, cv2.COLOR_BGRA2RGB), of RGBA cv2.COLOR_RGBA2RGB"),
    )
    return next((mend for fits, mend in mends if fits), "")


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


def _open(source: Source, limits: Limits) -> tuple[Photo, Pillow.Image]:
    """A picture whose header is read and within the limits, and what decodes it."""
    name, data = _bytes(source, limits)
    try:
        picture = open_picture(data)
        width, height = picture.size
        turned = _orientation(picture) >= 5
    except FAULTS as error:
        what = f"{name}: {kind_of(data).name} that cannot be read: {_reason(error)}"
        raise ImageError(what, mend="check that the file is whole") from error
    except ImageError as error:
        raise error.at(name) from error
    photo = Photo(name, data, *((height, width) if turned else (width, height)))
    _check_size(photo, limits)
    return photo, picture


def _decode(name: str, picture: Pillow.Image, max_side: int | None) -> Image:
    """Its upright pixels, shrunk to `max_side`."""
    try:
        with picture:
            orientation = _orientation(picture)
            target = _fit(picture.size, max_side)
            picture.draft(None, target)  # JPEG alone: libjpeg decodes at 1/2, 1/4 or 1/8
            pixels = _rgb(picture)
    except FAULTS as error:
        raise _undecodable(name, error) from error
    if pixels.shape[:2] != target[::-1]:
        pixels = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA).astype(
            np.uint8, copy=False
        )
    return np.ascontiguousarray(_upright(pixels, orientation))


def _undecodable(name: str, error: BaseException) -> ImageError:
    return ImageError(
        f"{name}: cannot decode: {_reason(error)}", mend="check that the file is whole"
    )


def _bytes(source: Source, limits: Limits) -> tuple[str, bytes]:
    if isinstance(source, bytes):
        name, data = "picture", source
    elif isinstance(source, str | os.PathLike):
        name, data = _named_bytes(os.fspath(source), limits)
    else:
        name = str(getattr(source, "name", "picture"))
        if not hasattr(source, "read"):
            check_image(source)  # says what came, and what to do
        data = source.read(limits.bytes + 1)
        if not isinstance(data, bytes):
            raise ImageError(
                f"{name}: expected a file opened in binary mode, got {type(data).__name__}"
            )
    if len(data) > limits.bytes:
        raise ImageError(f"{name}: over the limit of {limits.bytes / 1e6:.0f} MB")
    return name, data


def _named_bytes(name: str, limits: Limits) -> tuple[str, bytes]:
    """What a path names, with the words to name it by."""
    if name == STDIN:
        if sys.stdin is None or sys.stdin.isatty():
            raise ImageError("-: expected a photo on standard input", mend="send one: < photo.jpg")
        return "standard input", sys.stdin.buffer.read(limits.bytes + 1)
    address = ADDRESS.match(name)
    if address and not os.path.lexists(name):
        # A Path has lost a slash of it.
        raise ImageError(
            f"{address[1]}://{name[address.end() :]}: this is an address, and nothing is fetched",
            mend="save the photo, and name its file",
        )
    return name, _file_bytes(Path(name), limits)


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
    if kind_of(photo.data).name == "JPEG" and pixels > PIXELS_IN_A_BYTE * len(photo.data):
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
            opened = kind == "a directory" and not os.access(path, os.R_OK | os.X_OK)
            closed = " that may not be opened" if opened else ""
            raise ImageError(f"{path}: expected a picture file, got {kind}{closed}")
        if status.st_size > limits.bytes:
            raise ImageError(f"{path}: over the limit of {limits.bytes / 1e6:.0f} MB")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"{path}: cannot read: {_reason(error)}") from error


def _orientation(picture: Pillow.Image) -> int:
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return 1  # Pillow turns its pixels itself
    try:
        orientation = picture.getexif().get(EXIF_ORIENTATION, 1)
    except FAULTS:  # a damaged EXIF block says nothing about the pixels
        return 1
    return orientation if orientation in range(1, 9) else 1


def _fit(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    shrink = 1.0 if max_side is None else min(1.0, max_side / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))


def _rgb(picture: Pillow.Image) -> Image:
    deep = picture.mode == "I" and isinstance(picture, PpmImagePlugin.PpmImageFile)
    if picture.mode.startswith("I;16") or deep:
        # Pillow's own conversion would clip it to white.
        grey = ((np.asarray(picture, np.uint32) + 128) // 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.mode in ("I", "F"):
        raise ValueError("32-bit pixels: save it with 8 or 16 bits")
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
