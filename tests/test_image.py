"""Pictures built here, pixel by pixel, and what they must decode to."""

import os
import struct
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, StringIO, TextIOWrapper

import numpy as np
import pytest
from PIL import Image as Pillow

from visavis import image
from visavis.errors import ImageError
from visavis.image import Limits, check_image, of_pillow, open_photo, read_image

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PIXELS = (np.arange(48 * 64 * 3) % 251).astype(np.uint8).reshape(48, 64, 3)
# Every pixel differs from the others, so that each of the eight orientations does too.
UPRIGHT = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 14
FLAT = np.full((16, 32, 3), 90, np.uint8)
MAGIC = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n", "WEBP": b"RIFF", "BMP": b"BM"}
MORE = ("GIF", "TIFF", "PPM", "AVIF")
# So that a lossy format keeps a picture of one colour as it is.
EXACT = {"AVIF": {"quality": 100, "subsampling": "4:4:4"}}


def encoded(pixels, kind="PNG", *, mode=None, **options):
    picture = pixels if isinstance(pixels, Pillow.Image) else Pillow.fromarray(np.array(pixels))
    buffer = BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
    return buffer.getvalue()


def row(*pixels):
    return np.array([pixels], np.uint8)


def exif(orientation):
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def black_png(side):
    """A whole black PNG of `side` x `side`, a multiple of 100: one deflated piece, repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes(100 * (3 * side + 1))) + packer.flush(zlib.Z_FULL_FLUSH)
    adler = (side * (3 * side + 1) % 65521 << 16) | 1
    pixels = b"\x78\xda" + piece * (side // 100) + b"\x03\0" + adler.to_bytes(4, "big")
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return MAGIC["PNG"] + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", [*MAGIC, *MORE])
def test_a_format_is_known_by_its_content(kind, tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(FLAT, kind, **EXACT.get(kind, {})))
    np.testing.assert_array_equal(read_image(path), FLAT)


def test_paths_bytes_and_files_are_one(tmp_path):
    data = encoded(PIXELS)
    path = tmp_path / "bücher 照片.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        for source in (path, str(path), data, BytesIO(data), file):
            np.testing.assert_array_equal(read_image(source), PIXELS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        *((magic, "cannot|can be read") for magic in MAGIC.values()),
        (b"\xff\0", "this is of an unknown kind, no picture that can be read: b'.xff.x00'"),
        (b"this is no picture", "this is text, no picture that can be read: expected a photo"),
    ],
    ids=[*MAGIC, "byte", "text"],
)  # fmt: skip
def test_what_is_no_picture_is_refused(data, message, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=rf"photo\.jpg: .*({message})"):
        read_image(path)


def turned(orientation):
    """UPRIGHT as a camera stores it with this EXIF orientation, by the table of the standard."""
    transposed = UPRIGHT.transpose(1, 0, 2)
    return [
        UPRIGHT, UPRIGHT[:, ::-1], UPRIGHT[::-1, ::-1], UPRIGHT[::-1],
        transposed, transposed[::-1], transposed[::-1, ::-1], transposed[:, ::-1],
    ][orientation - 1]  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_made_upright(orientation):
    stored = turned(orientation)
    photo = open_photo(encoded(stored, exif=exif(orientation)))
    np.testing.assert_array_equal(photo.decode(), UPRIGHT)
    assert (photo.width, photo.height) == (3, 2)
    blocks = stored.repeat(16, axis=0).repeat(16, axis=1)
    jpeg = encoded(blocks, "JPEG", quality=100, subsampling=0, exif=exif(orientation))
    np.testing.assert_allclose(read_image(jpeg)[8::16, 8::16].astype(int), UPRIGHT, atol=2)


def test_an_orientation_behind_the_pixels_counts():
    data, block = encoded(turned(6)), exif(6).removeprefix(b"Exif\0\0")
    photo = open_photo(data[:-12] + chunk(b"eXIf", block) + data[-12:])
    assert (photo.width, photo.height) == (3, 2)
    np.testing.assert_array_equal(photo.decode(), UPRIGHT)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "block",
    [b"Exif\0\0", b"Exif\0\0no", b"Exif\0\0II*\0\xff\xff\xff\xff", exif(6)[:-8], exif(0), exif(9)],
)
def test_a_damaged_orientation_is_passed_over(kind, block):
    data = encoded(FLAT, kind, exif=block)
    np.testing.assert_array_equal(read_image(data), FLAT)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (encoded(row(0, 7, 255)), [(0, 0, 0), (7, 7, 7), (255, 255, 255)]),
        (encoded(row(0, 255), mode="1"), [(0, 0, 0), (255, 255, 255)]),
        # 16-bit grey over 257: 385 / 257 = 1.498, 386 / 257 = 1.502
        (encoded(np.array([[385, 386, 32768, 65535]], np.uint16)), [(v,) * 3 for v in
         (1, 2, 128, 255)]),
        # (255 * 128 + 128 * 127) / 255 = 191.7, (128 * 127) / 255 = 63.7
        (encoded(row((*RED, 0), (*RED, 128), (*RED, 255))), [(128,) * 3, (192, 64, 64), RED]),
        (encoded(row((*RED, 0), (*RED, 255)), "WEBP", lossless=True), [(128,) * 3, RED]),
        # (200 * 128 + 128 * 127) / 255 = 164.1
        (encoded(row((200, 0), (200, 128))), [(128,) * 3, (164,) * 3]),
        (encoded(row(RED, BLUE), transparency=RED), [(128,) * 3, BLUE]),
        (encoded(row(7, 9), transparency=7), [(128,) * 3, (9,) * 3]),
    ],
    ids=["grey", "1-bit", "16-bit", "rgba", "webp-alpha", "grey-alpha", "rgb-key", "grey-key"],
)  # fmt: skip
def test_every_kind_of_pixel_becomes_rgb(data, expected):
    np.testing.assert_array_equal(read_image(data), row(*expected))


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({}, (10, 20, 30)),
        ({"transparency": 0}, (128, 128, 128)),
        # half way between the colour and 128: (10 * 128 + 128 * 127) / 255 = 68.8
        ({"transparency": b"\x80\xff"}, (69, 74, 79)),
    ],
)
def test_a_palette_is_looked_up(options, first):
    picture = Pillow.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    np.testing.assert_array_equal(
        read_image(encoded(picture, **options)), row(first, (200, 100, 50))
    )


@pytest.mark.parametrize(
    ("ink", "expected"),
    [((0, 255, 255, 0), RED), ((255, 0, 255, 0), GREEN), ((0, 0, 0, 128), (127, 127, 127))],
)
def test_a_cmyk_jpeg_is_not_inverted(ink, expected):
    data = encoded(Pillow.new("CMYK", (16, 16), ink), "JPEG", quality=100)
    assert b"Adobe" in data  # the mark of inverted ink
    np.testing.assert_array_equal(read_image(data), np.full((16, 16, 3), expected))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {}), ("AVIF", EXACT["AVIF"]), ("TIFF", {})],
)
def test_an_animation_is_its_first_picture(kind, options):
    first, *rest = (Pillow.new("RGB", (8, 8), color) for color in (RED, BLUE))
    data = encoded(first, kind, save_all=True, append_images=rest, duration=100, **options)
    with Pillow.open(BytesIO(data)) as picture:
        assert picture.n_frames == 2
    np.testing.assert_allclose(read_image(data).astype(int), np.full((8, 8, 3), RED), atol=1)


@pytest.mark.parametrize(
    ("width", "height", "max_side", "expected"),
    [
        (400, 200, 100, (50, 100)),
        (200, 400, 100, (100, 50)),
        (333, 100, 111, (33, 111)),
        (1000, 2, 10, (1, 10)),  # never less than a pixel
        (2, 1000, 10, (10, 1)),
        (40, 20, 100, (20, 40)),  # never larger
        (40, 20, 40, (20, 40)),
    ],
)
@pytest.mark.parametrize("kind", [*MAGIC, *MORE])
def test_a_picture_is_decoded_small(kind, width, height, max_side, expected):
    data = encoded(Pillow.new("RGB", (width, height), (90, 90, 90)), kind)
    np.testing.assert_array_equal(read_image(data, max_side=max_side), np.full((*expected, 3), 90))


def test_a_small_picture_has_the_same_colours_in_place():
    halves = np.concatenate([np.full((160, 160, 3), RED), np.full((160, 160, 3), BLUE)], axis=1)
    data = encoded(halves.astype(np.uint8), "JPEG", quality=100, subsampling=0, exif=exif(3))
    small = read_image(data, max_side=80)  # (40, 80, 3), turned by half: red is on the right
    np.testing.assert_allclose(small[:, :38], np.full((40, 38, 3), BLUE), atol=3)
    np.testing.assert_allclose(small[:, 42:], np.full((40, 38, 3), RED), atol=3)


def test_a_small_pictures_pixel_is_the_mean_of_its_area():
    columns = np.tile(np.uint8([0, 0, 0, 160]), 2)  # the mean of each four is 40
    pixels = np.broadcast_to(columns[None, :, None], (8, 8, 3))
    np.testing.assert_array_equal(read_image(encoded(pixels), max_side=2), np.full((2, 2, 3), 40))


def test_a_huge_picture_is_refused_before_it_is_decoded():
    assert read_image(black_png(200)).sum() == 0  # such a file is a whole one
    data = black_png(30_000)  # 2.6 MB that would be 2.7 GB
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ImageError, match="30000x30000 pixels, the limit is 20000 a side"):
        read_image(data)
    assert time.perf_counter() - start < 0.1  # decoding takes ten seconds and more
    assert tracemalloc.get_traced_memory()[1] < 3 * len(data)
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(side=63), "64x48 pixels, the limit is 63 a side"),
        (Limits(pixels=48 * 64 - 1), "64x48 pixels"),
        (Limits(bytes=50), "over the limit"),
    ],
)
def test_limits_hold(limits, message, tmp_path):
    data = encoded(PIXELS)
    (tmp_path / "a.png").write_bytes(data)
    for source in (tmp_path / "a.png", data, BytesIO(data)):
        with pytest.raises(ImageError, match=message):
            open_photo(source, limits=limits)


class Endless:
    """A file that never ends: it notes how much is read."""

    name = "endless"

    def __init__(self) -> None:
        self.asked = []

    def read(self, size=-1):
        self.asked.append(size)
        return bytes(1000)


def test_no_more_is_read_than_the_limit(tmp_path, monkeypatch):
    endless = Endless()
    with pytest.raises(ImageError, match="endless: over the limit"):
        open_photo(endless, limits=Limits(bytes=100))
    assert endless.asked == [101]  # one more than the limit tells that there is more
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(101)
    monkeypatch.setattr(type(path), "read_bytes", lambda path: pytest.fail("it was read"))
    with pytest.raises(ImageError, match="over the limit"):
        open_photo(path, limits=Limits(bytes=100))


SCAN, COMMENT = b"\xff\xda\0\2", b"\xff\xfe\0\2"


def jpeg(scans=0, comments=0, filling=0):
    return b"\xff\xd8" + COMMENT * comments + b"\xff" * filling + SCAN * scans + b"\xff\xd9"


def png(chunks):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return MAGIC["PNG"] + head + chunk(b"teXt", b"a\0") * (chunks - 2) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "refused"),
    [
        (jpeg(scans=100), False),
        (jpeg(scans=101), True),
        (jpeg(comments=19_999, scans=1), False),
        (jpeg(comments=20_000, scans=1), True),
        (jpeg(comments=9_999, filling=10_000, scans=1), False),
        (jpeg(comments=10_000, filling=10_000, scans=1), True),
        (png(20_000), False),
        (png(20_001), True),
    ],
    ids=range(8),
)
def test_a_file_of_more_parts_than_any_camera_writes_is_refused_at_once(data, refused):
    """None of them holds a pixel: what is within the limits is refused for that, if at all."""
    try:
        open_photo(data)
        said = ""
    except ImageError as error:
        said = str(error)
    assert ("over 100 scans" in said or "over 20000" in said) == refused


@pytest.mark.parametrize(("extra", "fits"), [(0, True), (1, False)])
def test_a_jpeg_cannot_hold_more_pixels_than_its_bytes_can(extra, fits):
    """A byte holds 512 pixels at most."""
    data = encoded(np.zeros((8, 8, 3), np.uint8), "JPEG")
    place = data.index(b"\xff\xc0") + 5
    width = 512 * len(data) // 64 + extra
    grown = data[:place] + struct.pack(">HH", 64, width) + data[place + 4 :]
    if fits:
        assert open_photo(grown).width == width
    else:
        with pytest.raises(ImageError, match="pixels do not fit in"):
            open_photo(grown)


def test_a_picture_at_the_limits_is_read(tmp_path):
    data = encoded(PIXELS)
    (tmp_path / "a.png").write_bytes(data)
    limits = Limits(bytes=len(data), pixels=48 * 64, side=64)
    for source in (tmp_path / "a.png", data, BytesIO(data)):
        assert read_image(source, limits=limits).shape == (48, 64, 3)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
@pytest.mark.parametrize("kind", [*MAGIC, *MORE])
def test_a_truncated_picture_is_refused(kind, share):
    data = encoded(np.random.default_rng(1).integers(0, 256, (120, 120, 3), np.uint8), kind)
    with pytest.raises(ImageError):
        read_image(data[: int(len(data) * share)])


def test_a_png_with_one_wrong_bit_is_refused():
    data = encoded(PIXELS)
    for byte in (16, 30, data.index(b"IDAT") + 40, len(data) - 16, len(data) - 1):
        damaged = data[:byte] + bytes([data[byte] ^ 1]) + data[byte + 1 :]
        with pytest.raises(ImageError, match="PNG that cannot be read"):
            read_image(damaged)


@pytest.mark.parametrize(
    ("name", "message"),
    [(".", "got a directory"), ("none", "no such file"), ("a\0b", "cannot read: embedded null")],
)
def test_what_is_no_file_is_refused(name, message, tmp_path):
    with pytest.raises(ImageError, match=message):
        read_image(tmp_path / name)


@pytest.mark.parametrize(
    ("source", "message"),
    [(b"", "picture: this is empty"), (StringIO("text"), "opened in binary mode, got str")],
)
def test_what_holds_no_bytes_is_refused(source, message):
    with pytest.raises(ImageError, match=message):
        read_image(source)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with ThreadPoolExecutor() as pool, pytest.raises(ImageError, match="socket or pipe"):
        pool.submit(read_image, tmp_path / "pipe.jpg").result(timeout=5)


@pytest.mark.parametrize(
    ("image", "got", "mend"),
    [
        (np.zeros((4, 5, 3), np.float32), "(4, 5, 3) float32", "(255 * image).astype(np.uint8)"),
        (np.full((4, 5, 3), np.nan), "(4, 5, 3) float64", "np.uint8 holds 0..255"),
        (np.zeros((4, 5, 3), np.uint16), "(4, 5, 3) uint16", "scale it to 0..255"),
        (np.zeros((4, 5), np.uint8), "(4, 5) uint8", "cv2.COLOR_GRAY2RGB"),
        (np.zeros((4, 5, 1), np.uint8), "(4, 5, 1) uint8", "cv2.COLOR_GRAY2RGB"),
        (np.zeros((4, 5, 4), np.uint8), "(4, 5, 4) uint8", "cv2.COLOR_BGRA2RGB"),
        (np.zeros((3, 40, 50), np.uint8), "(3, 40, 50) uint8", "image.transpose(1, 2, 0)"),
        (np.zeros((2, 4, 5, 3), np.uint8), "(2, 4, 5, 3) uint8", "one picture at a time"),
        (np.zeros((0, 5, 3), np.uint8), "(0, 5, 3) uint8", ""),
        ([[[0, 0, 0]]], "list", "read_image makes one"),
        (None, "None", "cv2.imread gives None for what it cannot read"),
    ],
)
def test_an_array_that_is_no_picture_says_what_to_do(image, got, mend):
    with pytest.raises(ImageError) as refused:
        check_image(image)
    assert refused.value.what == f"expected an (H, W, 3) uint8 RGB array, got {got}"
    assert mend in refused.value.mend
    if not isinstance(image, np.ndarray):
        with pytest.raises(ImageError, match=got):  # what imread gives may come by this door too
            open_photo(image)


def test_a_picture_is_passed_on_itself():
    assert check_image(PIXELS) is PIXELS


def test_standard_input_is_read_as_far_as_a_file_may_go(monkeypatch):
    """As many bytes as are allowed are a whole picture; one more is over the limit."""
    data = encoded(FLAT)
    for most in (len(data), len(data) - 1):
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(data)))
        if most == len(data):
            assert read_image("-", limits=Limits(bytes=most)).shape == FLAT.shape
        else:
            with pytest.raises(ImageError, match="standard input: over the limit"):
                read_image("-", limits=Limits(bytes=most))


def test_a_grey_array_of_three_rows_is_grey():
    with pytest.raises(ImageError, match="GRAY2RGB"):
        check_image(np.zeros((3, 100), np.uint8))


@pytest.mark.parametrize(
    ("size", "fits"), [((10, 5), True), ((5, 10), True), ((11, 1), False), ((10, 6), False)]
)
def test_a_pillow_picture_is_held_to_the_limits(monkeypatch, size, fits):
    monkeypatch.setattr(image, "LIMITS", Limits(side=10, pixels=50))
    if fits:
        assert of_pillow(Pillow.new("RGB", size)).shape == (size[1], size[0], 3)
    else:
        with pytest.raises(ImageError, match=f"{size[0]}x{size[1]} pixels are over the limit"):
            of_pillow(Pillow.new("RGB", size))
