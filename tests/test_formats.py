"""What people's files are by their first bytes, and files that are made to keep a reader busy."""

import re
import struct
import subprocess
import sys
import time
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import AvifImagePlugin, GifImagePlugin, PpmImagePlugin, TiffImagePlugin
from PIL import Image as Pillow

from visavis import formats
from visavis.errors import ImageError
from visavis.formats import kind_of
from visavis.image import Limits, open_photo, read_image

CASES = Path("fixtures/cases")
SIZE = 4  # bytes of a box's length


def box(brand: bytes, *others: bytes) -> bytes:
    """The first box of a file of ISO's family (AVIF, HEIC, MP4), by its brands."""
    body = b"ftyp" + brand + bytes(4) + b"".join(others)
    return struct.pack(">I", SIZE + len(body)) + body + bytes(40)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty"),
        (b"\xff\xd8\xff\xe1", "JPEG"),
        (b"RIFF\0\0\0\0WEBP", "WebP"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
        (b"GIF89a", "GIF"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw file"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
        (box(b"crx "), "a camera's raw file"),
        (b"P6\n2 2\n255\n", "PNM"),
        (b"P1 is what we call it", "PNM"),
        (box(b"avif"), "AVIF"),
        (box(b"avis"), "AVIF"),
        (box(b"mif1", b"miaf", b"avif"), "AVIF"),
        (box(b"mif1", b"miaf", b"heic"), "HEIC"),
        (box(b"heic", b"mif1", b"avif"), "HEIC"),
        (box(b"hevc"), "HEIC"),
        (box(b"isom", b"mp42"), "a video"),
        (box(b"qt  "), "a video"),
        (box(b"M4A "), "sound"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "a video"),
        (b"\x1aE\xdf\xa3\x01\0", "a video"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xff\x0a\xfa\x1f", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"8BPS\0\1", "an editor's own file"),
        (b"PK\3\4\x14\0", "an archive"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'>", "SVG"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"name;photo\nZo\xeb;a.jpg\n", "text"),
        (b"\0\1\2\3", "of an unknown kind"),
    ],
)
def test_a_kind_is_known_by_its_first_bytes(data, name):
    kind = kind_of(data)
    assert kind.name == name
    if kind.open is None:
        with pytest.raises(ImageError, match="no picture that can be read") as refused:
            read_image(data)
        assert refused.value.mend


def saved(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(*rows: list[int], mode: str = "L") -> Pillow.Image:
    return Pillow.fromarray(np.array(rows, {"L": np.uint8, "I;16": np.uint16}[mode]))


FOUR = grey([0, 7, 128, 255])
DEEP = grey([385, 386, 32768, 65535], mode="I;16")  # over 257: 1.498, 1.502, 127.5, 255


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (saved(DEEP, "TIFF"), [1, 2, 128, 255]),
        (b"P5\n4 1\n65535\n" + np.asarray(DEEP).astype(">u2").tobytes(), [1, 2, 128, 255]),
        (b"P2\n4 1\n65535\n385 386 32768 65535\n", [1, 2, 128, 255]),
        (b"P5 # remark\n4 1\n255\n" + bytes([0, 7, 128, 255]), [0, 7, 128, 255]),
        (b"P5\n4 1\n3\n" + bytes([0, 1, 2, 3]), [0, 85, 170, 255]),
        (b"P1\n4 1\n1010\n", [0, 255, 0, 255]),
        (b"P4\n4 1\n" + bytes([0b10100000]), [0, 255, 0, 255]),
        (saved(FOUR, "TIFF", compression="tiff_lzw"), [0, 7, 128, 255]),
        (saved(FOUR, "TIFF", compression="tiff_deflate", big_tiff=True), [0, 7, 128, 255]),
        (saved(FOUR, "GIF", transparency=7), [0, 128, 128, 255]),
    ],
    ids=["tiff16", "pgm16", "pgm16-text", "pgm", "steps", "pbm-text", "pbm", "lzw", "big", "key"],
)  # fmt: skip
def test_every_kind_of_pixel_becomes_rgb(data, expected):
    assert read_image(data).tolist() == [[[value] * 3 for value in expected]]


# 2x3 pixels, each of its own grey, as a camera stores them by EXIF's table.
UPRIGHT = np.array([[0, 40, 80], [120, 160, 200]], np.uint8)
STORED = {1: UPRIGHT, 2: UPRIGHT[:, ::-1], 3: UPRIGHT[::-1, ::-1], 4: UPRIGHT[::-1]} | {
    5: UPRIGHT.T, 6: UPRIGHT.T[::-1], 7: UPRIGHT.T[::-1, ::-1], 8: UPRIGHT.T[:, ::-1]
}  # fmt: skip


@pytest.mark.parametrize("orientation", STORED)
def test_a_tiff_and_an_avif_are_made_upright(orientation):
    stored = np.ascontiguousarray(STORED[orientation])
    tiff = saved(Pillow.fromarray(stored), "TIFF", tiffinfo={274: orientation})
    photo = open_photo(tiff)
    assert (photo.width, photo.height) == (3, 2)
    assert photo.decode()[..., 0].tolist() == UPRIGHT.tolist()
    exif = Pillow.Exif()
    exif[274] = orientation
    blocks = Pillow.fromarray(stored.repeat(16, axis=0).repeat(16, axis=1))
    avif = open_photo(saved(blocks, "AVIF", quality=100, exif=exif))
    assert (avif.width, avif.height) == (48, 32)
    np.testing.assert_allclose(avif.decode()[8::16, 8::16, 0].astype(int), UPRIGHT, atol=3)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_pixels_are_refused(mode):
    with pytest.raises(ImageError, match="32-bit pixels: save it with 8 or 16 bits"):
        read_image(saved(Pillow.new(mode, (2, 2)), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PPM", "AVIF"])
@pytest.mark.parametrize("limits", [Limits(side=63), Limits(pixels=64 * 48 - 1), Limits(bytes=20)])
def test_limits_hold_for_each_format(kind, limits):
    data = saved(Pillow.new("RGB", (64, 48)), kind)
    with pytest.raises(ImageError, match="limit"):
        open_photo(data, limits=limits)


def tiff(*tags: tuple[int, int, int, int]) -> bytes:
    """A TIFF of these tags: number, type, count, value or place."""
    entries = b"".join(struct.pack("<HHLL", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


LONG = 4
SCREEN = b"GIF89a\x04\0\x04\0\0\0\0"
SQUARE = [(256, LONG, 1, 16), (257, LONG, 1, 16)]
# Each keeps its plugin busy for seconds or fills the memory, at a hundredth of the size allowed.
ATTACKS = {
    "gif-remarks": (SCREEN + b"!\xfe" + b"\1x" * 2_000_000 + b"\0;", GifImagePlugin.GifImageFile),
    "gif-filling": (SCREEN + b"x" * 4_000_000 + b";", GifImagePlugin.GifImageFile),
    "pnm-remark": (b"P6 #" + b"x" * 9_000_000, PpmImagePlugin.PpmImageFile),
    "pnm-remarks": (b"P2 900 900 255\n" + b"#\n" * 150_000, PpmImagePlugin.PpmImageFile),
    "pnm-steps": (b"P6 1200 1200 254 " + bytes(4_320_000), PpmImagePlugin.PpmImageFile),
    "tiff-numbers": (
        tiff(*SQUARE, (258, 3, 4_000_000, 8)) + bytes(8_000_000), TiffImagePlugin.TiffImageFile,
    ),
    "tiff-tags": (tiff(*[(tag, 3, 1, 1) for tag in range(60_000)]), TiffImagePlugin.TiffImageFile),
    "tiff-tile": (
        tiff(*SQUARE, (322, LONG, 1, 1 << 15), (323, LONG, 1, 1 << 15)),
        TiffImagePlugin.TiffImageFile,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_a_file_that_is_made_to_be_slow_is_refused_at_once(name):
    data, _ = ATTACKS[name]
    start = time.perf_counter()
    with pytest.raises(ImageError, match=r"over \d+|header of at most"):
        read_image(data)
    assert time.perf_counter() - start < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["gif-remarks", "gif-filling", "pnm-remark", "pnm-remarks", "pnm-steps"]
)
def test_without_its_check_each_format_is_slow(name, monkeypatch):
    data, plugin = ATTACKS[name]
    bare = formats.Kind(name, lambda data: plugin(BytesIO(data)))
    monkeypatch.setattr(formats, "kind_of", lambda data: bare)
    start = time.perf_counter()
    try:
        read_image(data)
    except ImageError:
        pass
    assert time.perf_counter() - start > 0.2


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)


def harmed(compression: str) -> bytes:
    """A TIFF of noise, every 37th byte of its pixels another."""
    picture = Pillow.fromarray(NOISE).convert("1" if compression == "group4" else "L")
    data = bytearray(saved(picture, "TIFF", compression=compression))
    for place in range(200, len(data) - 400, 37):
        data[place] ^= 0x5A
    return bytes(data)


# group4, the fax's, is decoded on past what is wrong.
HARMED = {"tiff_lzw": True, "tiff_deflate": True, "group4": False}
BY_PILLOW = "import io, sys, PIL.Image; PIL.Image.open(io.BytesIO(sys.stdin.buffer.read())).load()"


@pytest.mark.parametrize(("compression", "refused"), HARMED.items())
def test_a_damaged_tiff_is_told_in_the_error_alone(compression, refused, capfd):
    with pytest.raises(ImageError, match="cannot decode") if refused else nullcontext():
        read_image(harmed(compression))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", HARMED)
def test_by_pillow_alone_libtiff_writes_its_own_lines(compression):
    """The day it does not, nothing needs to be silenced."""
    alone = [sys.executable, "-c", BY_PILLOW]
    done = subprocess.run(alone, input=harmed(compression), capture_output=True, check=False)
    assert re.search(rb"(?m)^(tempfile\.tif|ZIPDecode|Fax4Decode): ", done.stderr)


def test_a_raw_file_that_is_a_tiff_is_not_taken_for_its_thumbnail():
    with pytest.raises(ImageError, match="its first picture is a thumbnail, as in a camera's raw"):
        read_image(tiff((254, LONG, 1, 1), *SQUARE))


def heif(data: bytes) -> ModuleType:
    """What the extra brings, as far as the image door uses it: it reads AVIF of the brand heic."""
    module = ModuleType("pillow_heif")
    module.HeifImageFile = lambda file: AvifImagePlugin.AvifImageFile(
        BytesIO(file.read().replace(b"ftypheic", b"ftypavif", 1))
    )
    return module


def test_heic_is_named_without_its_extra_and_read_with_it(data, monkeypatch):
    photo = data / CASES / "IMG_0001.HEIC"
    monkeypatch.setattr(formats, "_has_heif", lambda: False)
    assert not kind_of(photo.read_bytes()).readable
    with pytest.raises(ImageError, match=r"IMG_0001\.HEIC: this is HEIC, which needs") as refused:
        read_image(photo)
    assert "'.[heif]'" in refused.value.mend
    monkeypatch.setattr(formats, "_has_heif", lambda: True)
    monkeypatch.setitem(sys.modules, "pillow_heif", heif(photo.read_bytes()))
    assert kind_of(photo.read_bytes()).readable
    np.testing.assert_array_equal(read_image(photo), read_image(data / CASES / "photo.avif"))
