"""What is here of a file that is still on its way: TARGET.part, and TARGET.part.json, which says of
which file it is a part.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from visavis.document import parse, to_bytes
from visavis.errors import DownloadError
from visavis.files import write_whole, writing


@dataclass(frozen=True, slots=True)
class Note:
    """Which file a part belongs to."""

    url: str  # redacted
    etag: str | None  # a strong one
    size: int | None
    sha256: str | None  # wanted, or announced by the hub
    commit: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """A file's beginning, beside where the file will be."""

    target: Path

    @property
    def path(self) -> Path:
        """The bytes that are here."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def _note(self) -> Path:
        return self.target.with_name(self.target.name + ".part.json")

    def size(self) -> int:
        """How many bytes are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def note(self) -> Note | None:
        """Which file this is a part of, if that can be read."""
        try:
            return parse(Note, self._note.read_bytes(), str(self._note), DownloadError)
        except (OSError, DownloadError):
            return None

    def keep_note(self, note: Note) -> None:
        """Say which file this is a part of, before any byte of it is written."""
        write_whole(self._note, to_bytes(note))

    def open_at(self, start: int) -> BinaryIO:
        """Open to go on behind the first `start` bytes; what is there beyond them goes."""
        file = self.path.open("r+b" if self.path.exists() else "wb")
        file.truncate(start)
        file.seek(start)
        return file

    def discard(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def name_final(self) -> None:
        """Give the whole file its name. Raises OutputError where that cannot be."""
        with writing(self.target):
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            self._note.unlink(missing_ok=True)
            os.replace(self.path, self.target)


def sha256_of(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
