"""What is remembered of photos: by their bytes and models, in a file for its owner alone."""

import os
import sqlite3
import stat
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from visavis.errors import OutputError
from visavis.facecache import FaceCache, PhotoEmbeddings, models_of

OLD, NEW = "a@1 detector@1", "b@2 detector@1"


def faces(count: int, dim: int = 4) -> PhotoEmbeddings:
    values = np.arange(count * 4, dtype=np.float32).reshape(count, 4)
    return PhotoEmbeddings(values, np.eye(max(count, 1), dim, dtype=np.float32)[:count])


def written(path: Path, data: bytes) -> Path:
    """A file with these bytes."""
    path.write_bytes(data)
    return path


@pytest.fixture
def settled(monkeypatch):
    """A clock that is a minute ahead of every file's last change."""
    now = time.time
    monkeypatch.setattr("visavis.facecache.time.time", lambda: now() + 60)


def note(cache: FaceCache, path: Path, kept: PhotoEmbeddings) -> None:
    stamp = cache.stamp(path)
    cache.keep(path.read_bytes(), kept)
    cache.note_file(path, stamp, path.read_bytes())


@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_is_kept_comes_back(tmp_path, settled, count):
    cache = FaceCache(OLD, tmp_path / "faces.db")
    path = written(tmp_path / "a.jpg", b"a")
    note(cache, path, faces(count))
    (kept,) = cache.known([path]).values()
    np.testing.assert_array_equal(kept.boxes, faces(count).boxes)
    if count:
        np.testing.assert_array_equal(kept.embeddings, faces(count).embeddings)
    assert len(kept.embeddings) == count
    cache.close()
    again = FaceCache(OLD, tmp_path / "faces.db")
    assert list(again.known([path])) == [path]
    again.close()


def change(path: Path) -> None:
    path.write_bytes(b"b")


def change_and_hide(path: Path) -> None:
    """As many bytes, and the time of the change set back: what a careless key would miss."""
    before = path.stat()
    path.write_bytes(b"b")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_it(path: Path) -> None:
    other = written(path.with_name("other"), b"b")
    os.replace(other, path)


@pytest.mark.parametrize("how", [change, change_and_hide, replace_it, os.unlink])
def test_a_file_that_changed_is_not_known(tmp_path, settled, how):
    cache = FaceCache(OLD, tmp_path / "faces.db")
    path = written(tmp_path / "a.jpg", b"a")
    note(cache, path, faces(1))
    assert list(cache.known([path])) == [path]
    how(path)
    assert cache.known([path]) == {}
    cache.close()


def test_a_file_that_changed_a_moment_ago_is_read_again(tmp_path):
    cache = FaceCache(OLD, tmp_path / "faces.db")
    path = written(tmp_path / "a.jpg", b"a")
    note(cache, path, faces(1))
    assert cache.known([path]) == {}
    assert cache.of_bytes(b"a") is not None  # but its faces are known by its bytes
    cache.close()


def test_a_copy_or_a_move_is_known_by_its_bytes_and_other_models_know_nothing(tmp_path, settled):
    cache = FaceCache(OLD, tmp_path / "faces.db")
    path = written(tmp_path / "a.jpg", b"a")
    note(cache, path, faces(2))
    moved = path.rename(tmp_path / "b.jpg")
    assert len(cache.of_bytes(moved.read_bytes()).boxes) == 2
    other = FaceCache(NEW, tmp_path / "faces.db")
    assert (other.known([moved]), other.of_bytes(b"a")) == ({}, None)
    other.close()
    cache.close()


def test_no_name_is_kept_and_nobody_else_may_read(tmp_path, settled):
    cache = FaceCache(OLD, tmp_path / "private" / "faces.db")
    note(cache, written(tmp_path / "Zoe-Kaya.jpg", b"a"), faces(1))
    cache.close()
    assert b"Zoe" not in (tmp_path / "private" / "faces.db").read_bytes()
    modes = [
        stat.S_IMODE(path.stat().st_mode)
        for path in (tmp_path / "private", tmp_path / "private" / "faces.db")
    ]
    assert modes == [0o700, 0o600]


def test_what_another_version_found_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("visavis.facecache.__version__", "0")
    cache = FaceCache(OLD, tmp_path / "faces.db")
    cache.keep(b"a", faces(1))
    cache.close()
    monkeypatch.setattr("visavis.facecache.__version__", "1")
    cache = FaceCache("a@1 detector@1 visavis@1", tmp_path / "faces.db")
    (count,) = (
        sqlite3.connect(tmp_path / "faces.db").execute("SELECT count(*) FROM faces").fetchone()
    )
    assert count == 0
    cache.close()


@pytest.mark.pack
def test_all_that_is_said_of_the_models_is_in_the_key(pack):
    key = models_of(pack)
    assert key.startswith(f"{pack.manifest.embedder.model} detector@")
    detector = replace(pack.manifest.detector, min_score=0.9)
    stricter = replace(pack, manifest=replace(pack.manifest, detector=detector))
    assert models_of(stricter) != key


def database_of_another(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE mine (secret TEXT)")
    file.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b"my own notes, not to be lost" * 40), "no cache of faces"),
        (database_of_another, "no cache of faces"),
        (lambda path: path.mkdir(), "the cache cannot be used"),
    ],
)
def test_what_is_no_cache_is_refused_and_left_as_it_is(tmp_path, make, said):
    path = tmp_path / "mine.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(OutputError, match=said) as refused:
        FaceCache(OLD, path)
    assert refused.value.option == "cache"
    assert (path.read_bytes() if path.is_file() else None) == before
