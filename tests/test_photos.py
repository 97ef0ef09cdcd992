"""Folders as people bring them: every photo is read by its content, and nothing goes unsaid."""

import json
import os
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Pillow

from visavis.dataset import find_photos, open_tree
from visavis.dataset.tree import walk
from visavis.errors import DatasetError, ImageError
from visavis.image import open_photo
from visavis.recognizer import Recognizer

GREY = Pillow.new("RGB", (40, 30), (90, 90, 90))
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"
PDF = b"%PDF-1.7\n"
# What each file of a folder holds, and what becomes of it: read, failed (and why), or left out.
FILES = {
    "a.jpg": ("JPEG", "read"),
    "b.jfif": ("JPEG", "read"),
    "c.JPE": ("JPEG", "read"),
    "d": ("JPEG", "read"),
    "e.jpg_large": ("PNG", "read"),
    "f.tif": ("TIFF", "read"),
    "g.gif": ("GIF", "read"),
    "h.avif": ("AVIF", "read"),
    "i.pgm": ("PPM", "read"),
    "j.bmp": ("BMP", "read"),
    "k.webp": ("WEBP", "read"),
    "l.heic.jpg": ("WEBP", "read"),
    "m.HEIC": (HEIC, "this is HEIC"),
    "n.jpg": (HEIC, "this is HEIC"),
    "o.mp4": (VIDEO, "this is a video"),
    "p.pdf": (PDF, "this is PDF"),
    "q.jpg": (b"<html><body>403", "this is a web page"),
    "r.jpg": (b"", "this is empty"),
    "s.cr2": (b"II*\0\x10\0\0\0CR\2\0", "this is a camera's raw file"),
    "t.txt": (b"notes", "left out"),
    "u.json": (b'{"title": "a.jpg"}', "left out"),
    "Thumbs.db": (b"\xd0\xcf\x11\xe0\0\0", "left out"),
    ".DS_Store": (b"\0\0\0\1Bud1", "left out"),
    "._a.jpg": (b"\0\5\x16\7", "left out"),
}


def contents(kind: str | bytes) -> bytes:
    if isinstance(kind, bytes):
        return kind
    buffer = BytesIO()
    GREY.save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path) -> Path:
    photos = tmp_path / "photos [2019]"
    (photos / "below").mkdir(parents=True)
    for name, (kind, _) in FILES.items():
        (photos / "below" / name).write_bytes(contents(kind))
    return photos


@pytest.mark.parametrize("name", FILES)
def test_each_file_of_a_folder_is_read_refused_or_left_out(name, folder):
    path, fate = folder / "below" / name, FILES[name][1]
    listed = path in find_photos([folder])
    assert listed is (fate != "left out")
    if fate == "read":
        photo = open_photo(path)
        assert (photo.width, photo.height) == (40, 30)
    elif listed:
        with pytest.raises(ImageError, match=fate):
            open_photo(path)


def test_what_a_folder_holds_beside_photos_is_counted_by_kind(folder, caplog):
    find_photos([folder])
    (warning,) = caplog.messages
    assert warning == (
        f"{folder}: 4 cannot be read (HEIC: 1, PDF: 1, a camera's raw file: 1, a video: 1); "
        "3 left out, no photos (of an unknown kind: 1, text: 2)"
    )


class Nobody:
    """A detector that finds no face."""

    def __call__(self, image, /):
        return []


@pytest.fixture
def no_models(monkeypatch):
    monkeypatch.setattr("visavis.detect.load_detector", lambda *args, **options: Nobody())


@pytest.mark.pack
def test_a_batch_with_what_cannot_be_read_ends_in_3(folder, no_models, run):
    code, out, err = run("detect", folder, "--json")
    answer = json.loads(out)
    read = [name for name, (_, fate) in FILES.items() if fate == "read"]
    assert [Path(image["path"]).name for image in answer["images"]] == sorted(read)
    failed = [name for name, (_, fate) in FILES.items() if fate.startswith("this is")]
    assert [Path(error["path"]).name for error in answer["errors"]] == sorted(failed)
    assert code == 3
    assert "(HEIC: 1, PDF: 1, a camera" in err


@pytest.mark.pack
@pytest.mark.slow
def test_nine_photos_of_nine_formats_are_enrolled_or_refused(tmp_path, portraits, run):
    photo = Pillow.open(portraits / "obama.jpg")
    for kind in ("JPEG", "PNG", "TIFF", "GIF", "PPM", "AVIF", "WEBP"):
        photo.convert("RGB").save(tmp_path / kind, kind)
    for name, data in (("IMG_1.HEIC", HEIC), ("clip.mov", VIDEO)):
        (tmp_path / name).write_bytes(data)
    words = ("enroll", "Ann", tmp_path, "--gallery", tmp_path / "gallery", "--json")
    code, out, _ = run(*words)
    photos = json.loads(out)["photos"]
    assert (code, len(photos)) == (3, 9)
    assert {Path(one["photo"]).name for one in photos if one["reason"] == "unreadable"} == {
        "IMG_1.HEIC",
        "clip.mov",
    }


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("photos [2019]/below/*.jpg", ["a.jpg", "l.heic.jpg", "n.jpg", "q.jpg", "r.jpg"]),
        ("photos [2019]/**/[ab].*", ["a.jpg", "b.jfif"]),
        ("photos [[]2019]/below/a.*", ["a.jpg"]),
        ("photos*/below/a.jpg", ["a.jpg"]),
        ("photos [2019]/below/x[1]*.jpg", ["x[1].jpg"]),
    ],
)
def test_brackets_of_a_folder_that_is_there_are_no_pattern(pattern, names, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    if "x[1]" in pattern:
        (folder / "below" / "x[1].jpg").touch()
    assert [path.name for path in find_photos([pattern])] == names
    absolute = find_photos([folder.parent / pattern])
    assert [path.name for path in absolute] == names


@pytest.mark.parametrize(
    ("links", "names", "left"),
    [
        ({}, ["one/a.jpg", "two/b.jpg"], []),
        ({"two/more": "elsewhere"}, ["one/a.jpg", "two/b.jpg", "two/more/c.jpg"], []),
        # Reached twice, read once: the folder itself comes before links to it.
        ({"also": "people/one"}, ["one/a.jpg", "two/b.jpg"], []),
        ({"x": "elsewhere", "y": "elsewhere"}, ["one/a.jpg", "two/b.jpg", "x/c.jpg"], []),
        ({"one/loop": "people"}, ["one/a.jpg", "two/b.jpg"], []),
        ({"one/up": ""}, ["one/a.jpg", "two/b.jpg"], ["one/up"]),
        ({"dead": "gone"}, ["dead", "one/a.jpg", "two/b.jpg"], []),
        ({"two/d.jpg": "elsewhere/c.jpg"}, ["one/a.jpg", "two/b.jpg", "two/d.jpg"], []),
    ],
)
@pytest.mark.timeout(20)
def test_links_to_folders_are_followed_once_each_or_named(links, names, left, tmp_path, caplog):
    people = tmp_path / "people"
    for name in ("people/one/a.jpg", "people/two/b.jpg", "elsewhere/c.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.symlink(tmp_path / "elsewhere", tmp_path / "elsewhere" / "itself")
    for link, target in links.items():
        os.symlink(tmp_path / target, people / link)
    assert [path.relative_to(people).as_posix() for path in find_photos([people])] == names
    assert open_tree(people).names() == names
    assert [path.relative_to(people).as_posix() for path in walk(people).above] == left
    assert ["link to a folder that holds it: 1" in text for text in caplog.messages] == [
        True
    ] * len(left)


def test_a_folder_that_may_not_be_opened_is_an_item_that_fails(folder, monkeypatch):
    """As any user but root would have it."""
    closed = folder / "below"
    scandir = os.scandir

    def refusing(path):
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert find_photos([folder]) == [closed]
    with pytest.raises(ImageError, match="got a directory that may not be opened"):
        open_photo(closed)


def test_a_pipe_in_a_folder_is_not_waited_for(folder):
    os.mkfifo(folder / "below" / "pipe")
    assert folder / "below" / "pipe" not in find_photos([folder])


ADDRESSED = "this is an address, and nothing is fetched: save the photo, and name its file"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("https://example.org/a.jpg", f"https://example.org/a.jpg: {ADDRESSED}"),
        ("http://example.org/a.jpg?size=[1]*", f"http://example.org/a.jpg?size=[1]*: {ADDRESSED}"),
        ("s3://bucket/a.jpg", f"s3://bucket/a.jpg: {ADDRESSED}"),
        ("file:///home/ann/a.jpg", f"file://home/ann/a.jpg: {ADDRESSED}"),
        (
            "clip.mp4",
            "clip.mp4: this is a video, no picture that can be read: save a still picture",
        ),
        ("scan.pdf", "scan.pdf: this is PDF, no picture that can be read: save its pages as"),
        ("IMG_1.heic", "IMG_1.heic: this is HEIC, which needs a package that is not installed"),
        ("gone.jpg", "gone.jpg: no such file"),
        ("*.tiff", "*.tiff: no photos here: they may be JPEG, PNG, WebP, GIF, TIFF, PNM, AVIF"),
    ],
)
@pytest.mark.pack
def test_what_is_no_photo_gets_its_own_words(word, said, tmp_path, monkeypatch, no_models, run):
    monkeypatch.chdir(tmp_path)
    for name, data in (("clip.mp4", VIDEO), ("scan.pdf", PDF), ("IMG_1.heic", HEIC)):
        Path(name).write_bytes(data)
    code, out, err = run("detect", word)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"visavis: {said}")


class Stdin:
    """Standard input: a terminal, or what was sent."""

    def __init__(self, data: bytes | None) -> None:
        self.buffer = BytesIO(data or b"")
        self.isatty = lambda: data is None


@pytest.mark.parametrize(
    ("sent", "code", "said"),
    [
        (contents("JPEG"), 0, "standard input: 0 faces"),
        (b"", 2, "visavis: standard input: this is empty"),
        (VIDEO, 2, "visavis: standard input: this is a video"),
        (None, 2, "visavis: -: expected a photo on standard input: send one: < photo.jpg"),
    ],
)
@pytest.mark.pack
def test_a_dash_is_one_photo_on_standard_input(sent, code, said, monkeypatch, no_models, run):
    monkeypatch.setattr("sys.stdin", Stdin(sent))
    done, out, err = run("detect", "-")
    assert done == code
    assert (out + err).startswith(said)


@pytest.mark.pack
@pytest.mark.slow
def test_verify_takes_a_dash_and_refuses_an_address(portraits, recognizer, monkeypatch, run):
    monkeypatch.setattr(Recognizer, "load", lambda *args, **named: recognizer)
    monkeypatch.setattr("sys.stdin", Stdin((portraits / "obama.jpg").read_bytes()))
    assert run("verify", "-", portraits / "obama2.jpg")[0] == 0
    code, _, err = run("verify", "https://example.org/a.jpg", portraits / "obama.jpg")
    assert (code, err) == (2, f"visavis: https://example.org/a.jpg: {ADDRESSED}\n")


def test_a_folder_without_photos_says_what_photos_may_be(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DatasetError, match="no photos here: they may be JPEG, PNG, WebP, GIF"):
        find_photos([tmp_path])
