"""Files are whole or not there at all."""

import os
import stat
from pathlib import Path

import pytest

from visavis.errors import OutputError
from visavis.files import is_plain, make_private, safe_stem, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("parts", "content"), [((), b""), ((b"one",), b"one"), ((b"one", b"", b"\0two"), b"one\0two")]
)
def test_parts_are_written_one_behind_the_other(parts, content, tmp_path):
    write_whole(tmp_path / "out.bin", *parts)
    assert (tmp_path / "out.bin").read_bytes() == content
    assert names(tmp_path) == ["out.bin"]


def test_a_written_file_is_readable_by_all(tmp_path):
    write_whole(tmp_path / "out.bin", b"x")
    assert stat.S_IMODE((tmp_path / "out.bin").stat().st_mode) == 0o644


def test_a_private_file_and_folder_are_their_owners_alone(tmp_path):
    umask = os.umask(0)
    try:
        for _ in range(2):
            make_private(tmp_path / "deep" / "folder")
            write_whole(tmp_path / "deep" / "folder" / "out.bin", b"x", private=True)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "deep" / "folder").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "deep" / "folder" / "out.bin").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        make_private(tmp_path / "deep" / "folder" / "out.bin")


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("Zoë Kaya", "Zoë Kaya"),
        ("a/b\\c:d", "a_b_c_d"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "_"),
        ("", "_"),
        (" .hidden. ", "hidden"),
        ("con", "_con"),
        ("Com1.old", "_Com1.old"),
        ("console", "console"),
        ("a\0b\nc", "a_b_c"),
        ("a\ud800b", "a_b"),
        ("王" * 200, "王" * 50),
        ("é" * 200, "é" * 75),
        ("a" + "王" * 200, "a" + "王" * 49),  # no sign is cut in two
    ],
)
def test_a_name_makes_a_safe_and_short_file_name(tmp_path, text, stem):
    assert safe_stem(text) == stem
    assert is_plain(f"{stem} {stem[:30]}.npy")
    (tmp_path / f"{stem}.npy").touch()


def test_a_file_is_replaced_and_never_written_into(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"a long old content")
    with path.open("rb") as reader:
        write_whole(path, b"new")
        assert reader.read() == b"a long old content"  # whoever reads now reads the old one whole
    assert path.read_bytes() == b"new"


def test_a_name_without_a_folder_is_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_whole(Path("out.bin"), b"x")
    assert names(tmp_path) == ["out.bin"]


def test_a_missing_folder_is_an_error(tmp_path):
    path = tmp_path / "missing" / "out.bin"
    with pytest.raises(OutputError, match=f"{path}: cannot write: No such file or directory"):
        write_whole(path, b"x")
    assert names(tmp_path) == []


def test_a_folder_in_the_way_is_an_error(tmp_path):
    (tmp_path / "out.bin").mkdir()
    with pytest.raises(OutputError, match=r"out\.bin: cannot write: Is a directory"):
        write_whole(tmp_path / "out.bin", b"x")
    assert names(tmp_path) == ["out.bin"]


@pytest.mark.parametrize("step", ["replace", "chmod"])
def test_the_old_content_stays_where_writing_fails(step, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["out.bin"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, a disk that is full")
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def on_a_full_disk(**options):
        file = real(**options)
        os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
        return file

    from visavis import files

    real = files.NamedTemporaryFile
    monkeypatch.setattr(files, "NamedTemporaryFile", on_a_full_disk)
    (tmp_path / "out.bin").write_bytes(b"old")
    with pytest.raises(OutputError, match="No space left on device"):
        write_whole(tmp_path / "out.bin", b"new")
    assert (tmp_path / "out.bin").read_bytes() == b"old"
    assert names(tmp_path) == ["out.bin"]
