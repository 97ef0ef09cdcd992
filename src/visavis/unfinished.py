"""What a long call has embedded so far, in parts beside the file that it will write.

A call that was interrupted, even killed, goes on when it is made again. The parts are personal data
in plain text, as the file will be: their owner alone may read them, and they go when the call has
ended. Knows photos by path and stamp. Knows no models.
"""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any
from zipfile import BadZipFile

import numpy as np

from visavis.embeddings import EmbeddedFace, Work
from visavis.errors import MismatchError, OutputError
from visavis.facecache import file_stamp
from visavis.files import held, make_private, output_errors, write_whole

PARTS = ".partial"  # behind the name of the file that will be written
PART = 256  # faces in a part: a kill loses no more
COLUMNS = ("said", "stamps", "paths", "boxes", "scores", "embeddings")


@contextmanager
def unfinished(out: Path, said: str) -> Iterator["Unfinished"]:
    """What an earlier call has embedded for `out`, and what this one adds; gone when the block
    ends, kept where it fails.

    `said` is all that the embeddings follow from: models and options. Raises MismatchError where
    the earlier call's were others, OutputError where another process is writing the same, and for
    parts that cannot be read or written.
    """
    folder = out.with_name(out.name + PARTS)
    with held(folder.with_name(f"{folder.name}.lock")):
        with closing(Unfinished(folder, said)) as kept:
            yield kept
        if folder.is_dir():
            with output_errors(folder):
                shutil.rmtree(folder)


class Unfinished:
    """The faces of photos by path and stamp, in a folder. Safe from several threads."""

    def __init__(self, folder: Path, said: str) -> None:
        """Raises MismatchError where they were made of another `said`, OutputError for a part that
        cannot be read.
        """
        self._folder, self._said = folder, said
        self._known: dict[tuple[str, str], list[EmbeddedFace]] = {}
        self._new: list[tuple[str, EmbeddedFace]] = []  # with the photo's stamp
        self._lock, self._parts = Lock(), 0
        for part in sorted(folder.glob("*.npz")):
            self._read(part)
            self._parts += 1
        self.photos = len(self._known)  # that an earlier call has embedded

    def through(self, work: Work) -> Work:
        """`work` of what is not known; a photo that has changed since is embedded anew."""

        def call(path: Path) -> list[EmbeddedFace]:
            stamp = file_stamp(path)
            if stamp is None:
                return work(path)
            if (known := self._known.get((str(path), stamp))) is not None:
                return known
            faces = work(path)
            with self._lock:
                self._new += [(stamp, face) for face in faces]
                if len(self._new) >= PART:
                    self._write()
            return faces

        return call

    def close(self) -> None:
        """Keep what is in no part yet."""
        with self._lock:
            if self._new:
                self._write()

    def _write(self) -> None:
        stamps, faces = zip(*self._new, strict=True)
        columns: dict[str, Any] = {
            "said": np.array(self._said),
            "stamps": np.array(stamps),
            "paths": np.array([face.path for face in faces]),
            "boxes": np.array([face.box for face in faces], np.float32),
            "scores": np.array([face.score for face in faces]),
            "embeddings": np.concatenate([face.embedding for face in faces]),
        }
        file = BytesIO()
        np.savez(file, **columns)
        with output_errors(self._folder):
            make_private(self._folder)
        write_whole(self._folder / f"{self._parts:06}.npz", file.getvalue(), private=True)
        self._new, self._parts = [], self._parts + 1

    def _read(self, part: Path) -> None:
        try:
            file = np.load(BytesIO(part.read_bytes()), allow_pickle=False)
            said, stamps, paths, boxes, scores, rows = (file[name] for name in COLUMNS)
        except (OSError, ValueError, LookupError, EOFError, BadZipFile) as error:
            raise OutputError(
                f"{part}: cannot be read: {error}", mend="delete its folder, and begin anew"
            ) from error
        if str(said) != self._said:
            raise MismatchError(
                f"{self._folder}: an interrupted call had other models or options",
                mend="make that call again, or delete the folder",
            )
        for row, (stamp, path) in enumerate(zip(stamps.tolist(), paths.tolist(), strict=True)):
            face = EmbeddedFace(path, boxes[row], float(scores[row]), rows[row : row + 1])
            self._known.setdefault((path, stamp), []).append(face)
