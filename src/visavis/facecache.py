"""Faces and embeddings of photos that were looked through before, in a SQLite file of their own.

Kept by what a photo holds (a hash of its bytes), and by the models that found and embedded its
faces; no file's name is kept. What is in it is personal data in plain text: its owner alone may
read it, and deleting the file forgets it all. Knows no people and no thresholds.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis import __version__
from visavis.document import to_bytes
from visavis.errors import OutputError
from visavis.files import make_private, output_errors, write_whole
from visavis.folders import cache_folder
from visavis.pack import Pack
from visavis.types import Embeddings

APPLICATION = 0x76697346  # "visF": in the head of the file
CHUNK = 900  # values in one query
SETTLED = 2.0  # seconds after which a file system's clock shows every change
BOX = 4  # numbers
TABLES = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS faces (
    models TEXT, digest BLOB, boxes BLOB, embeddings BLOB, PRIMARY KEY (models, digest)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (stamp TEXT PRIMARY KEY, digest BLOB) WITHOUT ROWID;
"""


@dataclass(frozen=True, eq=False, slots=True)
class PhotoEmbeddings:
    """Every face of a photo, largest first, as far as a comparison needs it."""

    boxes: NDArray[np.float32]  # (N, 4) in pixels of the photo
    embeddings: Embeddings  # (N, D)


def models_of(pack: Pack, model: str = "") -> str:
    """The models by which a photo's faces are found and embedded: by the pack's detector, and by
    its embedder, unless `model` names another.
    """
    detector = hashlib.sha256(to_bytes(pack.manifest.detector)).hexdigest()[:8]
    return f"{model or pack.manifest.embedder.model} detector@{detector}"


class FaceCache:
    """The faces of photos by their content. Safe from several threads and processes."""

    def __init__(self, models: str, path: Path | None = None) -> None:
        """The cache in a file, made where there is none; default: faces.db in the user's cache.

        Raises OutputError where it cannot be written, or is no such file.
        """
        self.path = cache_folder() / "faces.db" if path is None else path
        # Another version may cut another crop of the same photo.
        self._models, self._lock = f"{models} visavis@{__version__}", Lock()
        if not self.path.exists():
            with output_errors(self.path):
                make_private(self.path.absolute().parent)
            write_whole(self.path, private=True)
        with self._errors():
            self._file = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
            self._prepare()

    def known(self, paths: Sequence[Path]) -> dict[Path, PhotoEmbeddings]:
        """Those of so many files that were looked through, and have not changed since."""
        stamps: dict[str, list[Path]] = {}
        for path in paths:
            if (stamp := file_stamp(path)) is not None:
                stamps.setdefault(stamp, []).append(path)
        known: dict[Path, PhotoEmbeddings] = {}
        names = list(stamps)
        for start in range(0, len(names), CHUNK):
            some = names[start : start + CHUNK]
            marks = ", ".join("?" * len(some))
            query = (
                "SELECT stamp, boxes, embeddings FROM files JOIN faces USING (digest) "
                f"WHERE models = ? AND stamp IN ({marks})"
            )
            for stamp, boxes, embeddings in self._rows(query, [self._models, *some]):
                kept = _opened(boxes, embeddings)
                known.update((path, kept) for path in stamps[stamp])
        return known

    def of_bytes(self, data: bytes) -> PhotoEmbeddings | None:
        """The faces of a photo's bytes, where they were looked through."""
        query = "SELECT boxes, embeddings FROM faces WHERE models = ? AND digest = ?"
        rows = self._rows(query, [self._models, hashlib.sha256(data).digest()])
        return _opened(*rows[0]) if rows else None

    def keep(self, data: bytes, faces: PhotoEmbeddings) -> None:
        """Keep the faces of a photo's bytes."""
        row = (
            self._models,
            hashlib.sha256(data).digest(),
            faces.boxes.astype(np.float32).tobytes(),
            faces.embeddings.astype(np.float32).tobytes(),
        )
        self._write("INSERT OR REPLACE INTO faces VALUES (?, ?, ?, ?)", row)

    def note_file(self, path: Path, stamp: str | None, data: bytes) -> None:
        """Note that a file whose `stamp` was taken before it was read holds these bytes.

        A file that changed a moment ago may change again without another stamp: it is read anew.
        """
        settled = path.stat().st_ctime < time.time() - SETTLED
        if settled and stamp is not None and stamp == file_stamp(path):
            digest = hashlib.sha256(data).digest()
            self._write("INSERT OR REPLACE INTO files VALUES (?, ?)", (stamp, digest))

    def stamp(self, path: Path) -> str | None:
        """What changes with a file: never its name. None for a file that is not there."""
        return file_stamp(path)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def _prepare(self) -> None:
        """Make the tables, and forget what other versions of visavis found."""
        (application,) = self._file.execute("PRAGMA application_id").fetchone()
        (tables,) = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION:
            raise _other_file(self.path)
        self._file.executescript(f"PRAGMA application_id = {APPLICATION}; {TABLES}")
        with self._file:
            old = "DELETE FROM faces WHERE models NOT LIKE ?"
            self._file.execute(old, [f"% visavis@{__version__}"])

    def _rows(self, query: str, values: list[object]) -> list[tuple[Any, ...]]:
        with self._errors(), self._lock, closing(self._file.execute(query, values)) as rows:
            return rows.fetchall()

    def _write(self, query: str, values: tuple[object, ...]) -> None:
        with self._errors(), self._lock, self._file:
            self._file.execute(query, values)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"{self.path}: the cache cannot be used: {error}",
                mend="name another file, or go without a cache",
                option="cache",
            ) from error
        except sqlite3.DatabaseError as error:
            raise _other_file(self.path) from error


def _other_file(path: Path) -> OutputError:
    return OutputError(
        f"{path}: no cache of faces, or a damaged one",
        mend="delete it, or name another file",
        option="cache",
    )


def file_stamp(path: Path) -> str | None:
    """What changes with a file: never its name. None for a file that is not there."""
    # No program can set the time of the last change (ctime) of what it has written.
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return "-".join(f"{part:x}" for part in parts)


def _opened(boxes: bytes, embeddings: bytes) -> PhotoEmbeddings:
    frames = np.frombuffer(boxes, np.float32).reshape(-1, BOX)
    rows = np.frombuffer(embeddings, np.float32)
    return PhotoEmbeddings(frames, rows.reshape(len(frames), -1) if len(frames) else rows[None][:0])
