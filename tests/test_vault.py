"""The key and what it seals: one place, one key, every bit."""

import logging
import os
import stat
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from visavis.errors import GalleryError, GalleryKeyError
from visavis.gallery import open_gallery, settings, vault
from visavis.gallery.audit import Audit, head
from visavis.gallery.vault import ENVIRONMENT, Vault, key_path

KEY = bytes(range(32))
PLACE = ("gallery", "person", "sample", "model")
KEYRING = SimpleNamespace(KeyringError=type("KeyringError", (Exception,), {}))


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    return tmp_path / "config"


def test_what_is_sealed_opens_in_its_place_and_never_looks_alike():
    vault = Vault(KEY)
    first, second = vault.seal(b"data", *PLACE), vault.seal(b"data", *PLACE)
    assert first != second
    assert vault.open(first, *PLACE) == vault.open(second, *PLACE) == b"data"
    assert len(first) == Vault.size(4)
    assert Vault.plain_size(len(first)) == 4


@pytest.mark.parametrize(
    "place",
    [
        ("other", "person", "sample", "model"),
        ("gallery", "other", "sample", "model"),
        ("gallery", "person", "other", "model"),
        ("gallery", "person", "sample", "other"),
        ("gallery", "person", "samplemodel"),
        ("gallery", "person", "sample", "mode", "l"),
        ("gallery", "person\0sample", "model"),
        (),
    ],
)
def test_another_place_opens_nothing(place):
    vault = Vault(KEY)
    assert vault.open(vault.seal(b"data", *PLACE), *place) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b"), ("ab", "")),
        (("a\0b",), ("a", "b")),
        (("1", "a"), ("a", "1")),
        (("", ""), ("",)),
        (("2\0a", "b"), ("2", "a\0b")),
    ],
)
def test_no_two_places_are_one(one, other):
    vault = Vault(KEY)
    assert vault.open(vault.seal(b"data", *one), *other) is None


def test_another_key_a_missing_bit_or_too_little_opens_nothing():
    vault = Vault(KEY)
    sealed = vault.seal(b"data", *PLACE)
    assert Vault(bytes(32)).open(sealed, *PLACE) is None
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        assert vault.open(bytes(damaged), *PLACE) is None
    for length in range(len(sealed)):
        assert vault.open(sealed[:length], *PLACE) is None
    assert vault.open("text where bytes were", *PLACE) is None


def test_the_key_file_is_its_owners_alone_and_apart_from_the_data(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "visavis"):
        gallery = open_gallery(tmp_path / "gallery")
        path = key_path(gallery.id)
        open_gallery(tmp_path / "gallery")
    assert path.stat().st_mode & 0o777 == 0o600
    assert tmp_path / "gallery" not in path.parents
    key = bytes.fromhex(path.read_text())
    assert len(key) == 32
    for file in (tmp_path / "gallery").iterdir():
        assert key not in file.read_bytes()
        assert key.hex().encode() not in file.read_bytes()
    (warning,) = [record.message for record in caplog.records]
    assert str(path) in warning
    assert "a lost key loses the gallery" in warning


def test_the_key_is_on_the_disk_before_it_is_used(monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file)) or fsync(file))
    vault.make_key("a" * 32)
    assert (key_path("a" * 32).stat().st_ino, 65) in [(one.st_ino, one.st_size) for one in synced]


def test_a_key_is_never_written_over():
    key = vault.make_key("a" * 32)
    with pytest.raises(GalleryKeyError, match="the new key cannot be kept: File exists"):
        vault.make_key("a" * 32)
    assert vault.load_key("a" * 32) == key


def test_the_folder_of_keys_is_its_owners_alone_whatever_the_umask():
    before = os.umask(0)
    try:
        vault.make_key("a" * 32)
    finally:
        os.umask(before)
    path = key_path("a" * 32)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]


def without(path):
    path.unlink()


def short(path):
    path.write_text("abcd")


def strange(path):
    path.write_bytes(b"\xff\xfe")


def other(path):
    path.write_text("00" * 32)


def folder(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without, "key is missing; without it .* cannot be read: restore it from your backup"),
        (short, "expected a key of 64 hexadecimal digits"),
        (strange, "cannot be read"),
        (folder, "cannot be read"),
        (other, "not the one of this gallery"),
    ],
)
def test_a_key_file_that_is_missing_or_wrong_is_named(tmp_path, damage, said):
    gallery = open_gallery(tmp_path / "gallery")
    damage(key_path(gallery.id))
    with pytest.raises(GalleryKeyError, match=said):
        open_gallery(tmp_path / "gallery")


def opens_with(mode, folder):
    """Whether a gallery opens whose key, or whose keys' folder, has a mode."""
    gallery = open_gallery(folder)
    path = key_path(gallery.id)
    for place, usual in ((path, 0o600), (path.parent, 0o700)):
        place.chmod(usual | mode)
        with suppress(GalleryKeyError):
            open_gallery(folder)
            return True
        place.chmod(usual)
    return False


@pytest.mark.parametrize("mode", [0o020, 0o002, 0o022, 0o077])
def test_a_key_that_others_may_write_is_refused(tmp_path, mode):
    assert not opens_with(mode, tmp_path / "gallery")
    assert opens_with(0o044, tmp_path / "gallery")  # as a backup brings it back
    key_path(open_gallery(tmp_path / "gallery").id).chmod(0o602)
    with pytest.raises(GalleryKeyError, match=r"others may write here.*chmod go-w"):
        open_gallery(tmp_path / "gallery")


def test_the_check_of_the_keys_mode_can_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(vault, "_refuse_shared", lambda _: None)
    assert opens_with(0o022, tmp_path / "gallery")


LOST = (
    "DELETE FROM settings WHERE name = 'gallery_id'",
    "UPDATE settings SET name = 'gallery_iD' WHERE name = 'gallery_id'",  # one bit
    "UPDATE settings SET value = 'text' WHERE name = 'gallery_id'",
    "UPDATE settings SET value = x'ff' WHERE name = 'gallery_id'",
    "UPDATE settings SET value = CAST('../../other' AS BLOB) WHERE name = 'gallery_id'",
    "DELETE FROM settings WHERE name = 'key_check'",
    "DELETE FROM settings",
)


def opened_anew(folder, statement):
    """Whether a gallery of one person opens after a change of its settings, under a new key."""
    gallery = open_gallery(folder)
    gallery.add_person("Ann")
    with gallery.database.writing() as connection:
        connection.exec_driver_sql(statement)
    gallery.close()
    keys = sorted(key_path("x").parent.iterdir())
    with suppress(GalleryError):
        open_gallery(folder).close()
    return sorted(key_path("x").parent.iterdir()) != keys


@pytest.mark.parametrize("statement", LOST)
def test_a_gallery_that_lost_its_id_is_damaged_and_never_new(tmp_path, statement):
    assert not opened_anew(tmp_path / "gallery", statement)
    with pytest.raises(GalleryError, match="its id or its key check cannot be read: restore"):
        open_gallery(tmp_path / "gallery")


@pytest.mark.parametrize("statement", [LOST[0], LOST[1], LOST[-1]])
def test_the_check_of_whatis_new_can_fail(tmp_path, monkeypatch, statement):
    monkeypatch.setattr(settings, "is_new", lambda _: True)
    first = ("make gallery", None, {})
    monkeypatch.setattr(Audit, "begin", lambda one, file: one._append(file, head(file), [first]))
    assert opened_anew(tmp_path / "gallery", statement)


def test_the_environment_gives_the_key_and_no_file_is_made(tmp_path, home, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT, KEY.hex())
    open_gallery(tmp_path / "gallery")
    assert open_gallery(tmp_path / "gallery").people() == []
    assert not home.exists()
    for given, said in (("11" * 32, "not the one of this gallery"), ("11", "64 hexadecimal")):
        monkeypatch.setenv(ENVIRONMENT, given)
        with pytest.raises(GalleryKeyError, match=said):
            open_gallery(tmp_path / "gallery")


@pytest.mark.parametrize("given", ["hello", "00" * 31, "zz" * 32])
def test_no_gallery_is_made_with_a_bad_key(tmp_path, monkeypatch, given):
    monkeypatch.setenv(ENVIRONMENT, given)
    with pytest.raises(GalleryKeyError, match=rf"\${ENVIRONMENT}: expected a key"):
        open_gallery(tmp_path / "gallery")
    monkeypatch.setenv(ENVIRONMENT, KEY.hex())
    assert open_gallery(tmp_path / "gallery").people() == []


def test_a_key_that_cannot_be_kept_makes_no_gallery(tmp_path, home):
    home.write_text("a file where the folder should be")
    with pytest.raises(GalleryKeyError, match="cannot be kept"):
        open_gallery(tmp_path / "gallery")


def test_the_keyring_keeps_the_key(tmp_path, home, monkeypatch):
    kept = {}
    ring = SimpleNamespace(
        set_password=lambda service, name, text: kept.update({(service, name): text}),
        get_password=lambda service, name: kept.get((service, name)),
        errors=KEYRING,
    )
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.setenv(ENVIRONMENT, "keyring")
    gallery = open_gallery(tmp_path / "gallery")
    assert list(kept) == [("visavis", gallery.id)]
    assert open_gallery(tmp_path / "gallery").id == gallery.id
    assert not home.exists()
    kept.clear()
    with pytest.raises(GalleryKeyError, match="the keyring holds no key"):
        open_gallery(tmp_path / "gallery")


def test_a_keyring_that_fails_or_is_not_installed_is_an_error(tmp_path, monkeypatch):
    def locked(*arguments):
        raise KEYRING.KeyringError("locked")

    monkeypatch.setenv(ENVIRONMENT, "keyring")
    monkeypatch.setitem(
        sys.modules, "keyring", SimpleNamespace(set_password=locked, errors=KEYRING)
    )
    with pytest.raises(GalleryKeyError, match="the keyring does not answer: locked"):
        open_gallery(tmp_path / "gallery")
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(GalleryKeyError, match="pip install keyring"):
        open_gallery(tmp_path / "gallery")
