"""A folder or a zip as names and bytes, so that a reader of data sets need not know which it is."""

import hashlib
import os
import zipfile
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from visavis.dataset.embedded import EmbeddedTree, is_shards
from visavis.errors import DatasetError

# Of pictures that Pillow reads. HEIC is not among them: it is known by its first bytes.
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif",
    ".pnm", ".ppm", ".pgm", ".pbm",
)  # fmt: skip
HEIF_SUFFIXES = (".heic", ".heif")


class Tree(Protocol):
    """Files by their name, with forward slashes."""

    @property
    def source(self) -> str:
        """Its place, for messages."""

    def names(self) -> list[str]:
        """Every file, sorted."""

    def read(self, name: str) -> bytes:
        """One file's bytes. Raises DatasetError where it cannot be read."""


def open_tree(path: Path) -> Tree:
    """A folder, a zip, or a folder of shards. Raises DatasetError for anything else."""
    if is_shards(path):
        return EmbeddedTree(path)
    if path.is_dir():
        return FolderTree(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such folder or zip")
    try:
        return ZipTree(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DatasetError(f"{path}: expected a folder or a zip: {error}") from error


class FolderTree:
    """A folder's files; links to folders are followed, each folder once."""

    def __init__(self, path: Path) -> None:
        self.source = str(path)
        self._path = path

    def names(self) -> list[str]:
        """Every file, sorted."""
        files = walk(self._path).files
        return sorted(path.relative_to(self._path).as_posix() for path in files)

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        try:
            return (self._path / name).read_bytes()
        except OSError as error:
            raise DatasetError(f"{self._path / name}: {error.strerror or error}") from error


class ZipTree:
    """A zip's files, read in place: nothing is unpacked."""

    def __init__(self, path: Path) -> None:
        self.source = str(path)
        self._zip = zipfile.ZipFile(path)

    def names(self) -> list[str]:
        """Every file, sorted."""
        return sorted(info.filename for info in self._zip.infolist() if not info.is_dir())

    def read(self, name: str) -> bytes:
        """One file's bytes."""
        try:
            return self._zip.read(name)
        except (KeyError, OSError, zipfile.BadZipFile, RuntimeError) as error:
            raise DatasetError(f"{self.source}: {name}: {error}") from error


def is_picture(name: str) -> bool:
    """Whether a file's name is a picture's: by its suffix, and not hidden."""
    plain = PurePosixPath(name)
    return plain.suffix.lower() in (*SUFFIXES, *HEIF_SUFFIXES) and not plain.name.startswith(".")


def tree_sha256(tree: Tree, names: Iterable[str]) -> str:
    """A hash of some files' names and bytes, in the order of `names`."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {hashlib.sha256(tree.read(name)).hexdigest()}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Walked:
    """What lies below a folder."""

    files: tuple[Path, ...] = ()
    closed: tuple[Path, ...] = ()  # folders that may not be opened
    above: tuple[Path, ...] = ()  # links to a folder in which they lie themselves: not followed


def walk(folder: Path) -> Walked:
    """Every file below a folder, without hidden folders. Links to folders are followed, after the
    folders themselves, and each folder once: a loop of links ends.
    """
    files: list[Path] = []
    closed: list[Path] = []
    above: list[Path] = []
    seen: set[str] = set()
    starts = deque([folder])
    while starts:
        for root, folders, names in os.walk(starts.popleft(), onerror=_noting(closed)):
            real = os.path.realpath(root)
            shown = [] if real in seen else [one for one in sorted(folders) if one[0] != "."]
            folders[:] = shown
            if real not in seen:
                files += (Path(root, name) for name in names)
            seen.add(real)
            for link in filter(os.path.islink, (os.path.join(root, name) for name in shown)):
                up = real.startswith(os.path.join(os.path.realpath(link), ""))
                (above if up else starts).append(Path(link))
    outside = (link for link in above if os.path.realpath(link) not in seen)
    return Walked(tuple(files), tuple(closed), tuple(outside))


def _noting(closed: list[Path]) -> Callable[[OSError], None]:
    return lambda error: closed.append(Path(error.filename))
