"""Boxes, landmarks and words on a picture. Opens no window and reads no file."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from visavis.errors import LandmarkError, OutputError
from visavis.files import write_whole
from visavis.image import check_image
from visavis.types import Face, Image

GREEN, AMBER, RED, BLUE = (46, 160, 67), (230, 150, 20), (215, 58, 73), (66, 135, 245)
GREY = (150, 150, 150)
WHITE, INK = (255, 255, 255), (24, 26, 30)
ENCODINGS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Tint = tuple[int, int, int]  # red, green and blue, 0..255

MARGIN = 12  # pixels
SHEET_HEIGHT = 480  # pixels of a photo on a sheet


def draw_faces(
    image: Image,
    faces: Sequence[Face],
    labels: Sequence[str],
    *,
    colors: Sequence[Tint] | None = None,
) -> Image:
    """The picture with a box, five points and a label for each face; faces in its pixels.

    Raises LandmarkError for a box that is not finite.
    """
    canvas = Pillow.fromarray(check_image(image))
    brush = ImageDraw.Draw(canvas)
    unit = max(canvas.size) / 400  # a line's width
    font = ImageFont.load_default(max(12.0, 9 * unit))
    tints = colors or [BLUE] * len(faces)
    for face, label, tint in zip(faces, labels, tints, strict=True):
        left, top, right, bottom = _corners(face, canvas.size)
        brush.rectangle((left, top, right, bottom), outline=tint, width=max(2, round(unit)))
        for x, y in face.landmarks if face.has_landmarks else ():
            brush.ellipse((x - unit, y - unit, x + unit, y + unit), fill=tint)
        if label:
            _tag(canvas, (left, top), label, font, tint)
    return np.asarray(canvas)


def draw_verdict(
    photos: Sequence[Image],
    crops: Sequence[Image],
    words: Sequence[str],
    color: Tint,
) -> Image:
    """One sheet: annotated photos side by side, the two crops compared, and the verdict."""
    row = _row([_to_height(photo, SHEET_HEIGHT) for photo in photos])
    compared = _row([_to_height(crop, 2 * 112) for crop in crops])
    font, small = ImageFont.load_default(30), ImageFont.load_default(19)
    text_width = max(small.getlength(line) for line in words)
    width = max(row.shape[1], round(compared.shape[1] + text_width) + 4 * MARGIN)
    canvas = Pillow.new("RGB", (width, row.shape[0] + compared.shape[0] + 2 * MARGIN), WHITE)
    canvas.paste(Pillow.fromarray(row), (0, 0))
    canvas.paste(Pillow.fromarray(compared), (0, row.shape[0] + MARGIN))
    brush = ImageDraw.Draw(canvas)
    left, top = compared.shape[1] + 2 * MARGIN, row.shape[0] + 3 * MARGIN
    brush.text((left, top), words[0], fill=color, font=font)
    for number, line in enumerate(words[1:]):
        brush.text((left, top + 52 + 28 * number), line, fill=INK, font=small)
    return np.asarray(canvas)


def write_image(path: Path, image: Image, *, private: bool = False) -> None:
    """Write a picture in the format that its suffix names, and make its folder.

    Raises OutputError for another suffix, or where it cannot be written.
    """
    encoding = ENCODINGS.get(path.suffix.lower())
    if encoding is None:
        raise OutputError(f"{path}: expected a name in {', '.join(ENCODINGS)}")
    buffer = BytesIO()
    Pillow.fromarray(image).save(buffer, encoding)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot make this folder: {error.strerror}") from error
    write_whole(path, buffer.getvalue(), private=private)


def _corners(face: Face, size: tuple[int, int]) -> list[float]:
    """The box with its corners in order, cut off far beyond the picture: each pixel takes time."""
    if not np.isfinite(face.box).all():
        raise LandmarkError(f"expected a finite box, got {face.box.tolist()}")
    box = np.sort(face.box.reshape(2, 2), axis=0).clip(-max(size), 2 * max(size))
    return [float(value) for value in box.ravel()]


def _tag(
    canvas: Pillow.Image,
    corner: tuple[float, float],
    label: str,
    font: Font,
    tint: Tint,
) -> None:
    """A label above a corner, moved and shortened so that all of it is within the picture; none
    where the corner is right of it or below.
    """
    if corner[0] >= canvas.width or corner[1] >= canvas.height:
        return
    brush = ImageDraw.Draw(canvas)
    label = _shortened(brush, label, font, canvas.width - 8)
    left, top, right, bottom = brush.textbbox((0, 0), label, font=font)
    width, height = right - left + 8, bottom - top + 6
    x = max(0.0, min(corner[0], canvas.width - 1 - width))
    y = max(0.0, corner[1] - height)
    brush.rectangle((x, y, x + width, y + height), fill=tint)
    brush.text((x + 4 - left, y + 3 - top), label, fill=WHITE, font=font)


def _shortened(brush: ImageDraw.ImageDraw, label: str, font: Font, width: float) -> str:
    """The label with a shorter name where it is too wide; the number at its end stays."""
    name, _, number = label.rpartition(" ")
    while name and brush.textbbox((0, 0), label, font=font)[2] > width:
        name = name[:-1]
        label = f"{name}… {number}"
    return label


def _to_height(image: Image, height: int) -> Image:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return resized.astype(np.uint8, copy=False)


def _row(images: Sequence[Image]) -> Image:
    gap = np.full((images[0].shape[0], MARGIN, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, gap)]
    return np.concatenate(parts[:-1], axis=1)
