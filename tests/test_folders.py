"""A home that is read-only, or none at all: what works, and what each message says to set."""

import os
from pathlib import Path

import pytest
from stranger import UID, run_as_stranger, visavis_as_stranger

from visavis import folders
from visavis.errors import GalleryError, GalleryKeyError, OutputError
from visavis.folders import cache_folder, can_write, config_folder, data_folder
from visavis.gallery import default_gallery
from visavis.gallery.vault import key_path
from visavis.pack import default, load_pack

FOLDERS = {
    "XDG_CACHE_HOME": cache_folder,
    "XDG_DATA_HOME": data_folder,
    "XDG_CONFIG_HOME": config_folder,
}
LONG = "/" + "x" * 300  # no name: looking at it is an error, as below a home that is another's


def no_home(name: str) -> str:
    raise RuntimeError("could not determine the home directory")


def tilde(name: str) -> str:
    """As earlier versions of platformdirs answer."""
    return f"~/.cache/{name}"


@pytest.fixture(params=[no_home, tilde])
def homeless(request, monkeypatch):
    for kind in ("cache", "data", "config"):
        monkeypatch.setattr(folders.platformdirs, f"user_{kind}_dir", request.param)
    monkeypatch.delenv("VISAVIS_GALLERY", raising=False)
    monkeypatch.delenv("VISAVIS_KEY", raising=False)
    default._temporary.cache_clear()


@pytest.fixture
def theirs(tmp_path) -> Path:
    """A folder that the stranger may write."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, UID, UID)
    return folder


@pytest.mark.parametrize(("variable", "find"), FOLDERS.items())
def test_a_variable_moves_each_folder(variable, find, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, str(tmp_path))
    assert find() == tmp_path / "visavis"


@pytest.mark.parametrize(("variable", "find"), FOLDERS.items())
def test_without_a_home_the_variable_is_named(variable, find, homeless):
    with pytest.raises(OutputError, match=rf"no home folder: set \${variable} to a folder"):
        find()


def test_without_a_home_a_gallery_and_its_key_say_which_variable_helps(homeless, monkeypatch):
    with pytest.raises(GalleryError, match=r"or set \$VISAVIS_GALLERY"):
        default_gallery()
    with pytest.raises(GalleryKeyError, match=r"set \$VISAVIS_KEY to the key"):
        key_path("made")
    monkeypatch.setenv("VISAVIS_GALLERY", "/data/people")
    assert default_gallery() == Path("/data/people")


@pytest.mark.pack
def test_without_a_home_the_default_pack_is_made_for_the_process(homeless, caplog):
    folder = load_pack().folder
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert load_pack().folder == folder
    (warning,) = caplog.messages
    assert "made anew for each process" in warning
    assert "set $XDG_CACHE_HOME" in warning


@pytest.mark.pack
@pytest.mark.parametrize("cache", [LONG, "/proc"])
def test_a_cache_that_cannot_be_written_is_no_error(cache, monkeypatch, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert load_pack().manifest.name == "default"
    assert f"{cache}/visavis" in caplog.text


@pytest.mark.parametrize("data", [LONG, "/proc"])
def test_a_data_folder_that_cannot_be_seen_holds_no_packs(data, monkeypatch):
    from visavis.pack import pack_names

    monkeypatch.setenv("XDG_DATA_HOME", data)
    assert pack_names() == ["default"]


@pytest.mark.parametrize("gallery", [LONG, "/proc/people"])
def test_a_gallery_that_cannot_be_made_says_what_to_set(gallery, run):
    code, out, err = run("people", "consent", "--required", "--gallery", gallery)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "set $VISAVIS_GALLERY (--gallery)" in err


@pytest.mark.parametrize(
    ("path", "writable"),
    [("here", True), ("here/not/yet", True), ("file", False), ("file/below", False)],
)
def test_a_folder_can_be_written_or_made(path, writable, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "file").write_bytes(b"")
    assert can_write(tmp_path / path) is writable


def test_a_stranger_cannot_write_what_is_root_s(tmp_path, theirs):
    code = "import sys; from visavis.folders import *; from pathlib import Path\n"
    code += "print(*[can_write(Path(word)) for word in sys.argv[1:]])"
    done = run_as_stranger(code, theirs, theirs / "new", tmp_path / "new", "/new")
    # tmp_path lies in a folder that only its owner may enter: theirs is not reached either.
    assert done.stdout.split()[-2:] == ["False", "False"]


@pytest.mark.pack
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "this user has no home folder"),
        ({"HOME": "/"}, "/.cache/visavis/packs/"),
    ],
)
def test_a_stranger_compares_photos_without_a_cache(settings, said, portraits):
    photos = portraits / "obama.jpg", portraits / "obama2.jpg"
    code, out, err = visavis_as_stranger("verify", *photos, **settings)
    assert (code, out[:5]) == (0, "match")
    assert err.count("\n") == 1
    assert said in err
    assert "set $XDG_CACHE_HOME" in err


@pytest.mark.pack
def test_a_stranger_reads_a_cache_that_somebody_else_made(cache, pack, portraits):
    photos = portraits / "obama.jpg", portraits / "biden.jpg"
    code, out, err = visavis_as_stranger("verify", *photos, XDG_CACHE_HOME=str(cache))
    assert (code, out[:8], err) == (1, "no match", "")


@pytest.mark.pack
def test_a_stranger_without_any_folder_is_told_what_to_set(portraits):
    lost = "import tempfile; tempfile.tempdir = '/proc'\nfrom visavis.cli import main; main()"
    photo = str(portraits / "obama.jpg")
    done = run_as_stranger(lost, "verify", photo, photo)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "cannot make the default pack" in done.stderr
    assert "set $XDG_CACHE_HOME" in done.stderr


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        (["people", "list"], {}, "set $VISAVIS_GALLERY (--gallery)"),
        (["people", "consent", "--required"], {"HOME": "/"}, "set $VISAVIS_GALLERY (--gallery)"),
        (["pack", "info", "other"], {}, "set $XDG_DATA_HOME"),
    ],
)
def test_a_stranger_s_messages_name_the_variable(words, settings, said):
    code, out, err = visavis_as_stranger(*words, **settings)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.pack
def test_a_stranger_enrols_where_two_variables_say(portraits, theirs, cache, pack):
    settings = {"VISAVIS_GALLERY": str(theirs / "people"), "XDG_CACHE_HOME": str(cache)}
    words = ("enroll", "Ann", portraits / "obama.jpg")
    code, out, err = visavis_as_stranger(*words, **settings)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "set $VISAVIS_KEY to the key" in err
    code, out, _ = visavis_as_stranger(*words, VISAVIS_KEY="ab" * 32, **settings)
    assert (code, out.startswith("1 ")) == (0, True)


@pytest.mark.pack
def test_doctor_says_which_folders_can_be_written(cache, pack):
    code, out, err = visavis_as_stranger("doctor", XDG_CACHE_HOME=str(cache), XDG_DATA_HOME="/proc")
    lines = [line for line in out.splitlines() if " folder " in line]
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in lines] == [
        ["absent", "cache"], ["absent", "data"], ["absent", "keys"], ["absent", "gallery"],
    ]  # fmt: skip
    assert "/proc/visavis: cannot be written: set $XDG_DATA_HOME" in lines[1]
    assert "this user has no home folder: set $XDG_CONFIG_HOME" in lines[2]
    assert "set $VISAVIS_GALLERY" in lines[3]
