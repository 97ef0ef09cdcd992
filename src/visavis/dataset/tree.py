"""A folder or a zip as names and bytes, so that a reader of data sets need not know which it is."""

import hashlib
import os
import zipfile
from collections.abc import Iterable
from glob import glob
from pathlib import Path
from typing import Protocol

from visavis.errors import DatasetError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


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
    """A folder or a zip. Raises DatasetError for anything else."""
    if path.is_dir():
        return FolderTree(path)
    if not path.exists():
        raise DatasetError(f"{path}: no such folder or zip")
    try:
        return ZipTree(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DatasetError(f"{path}: expected a folder or a zip: {error}") from error


class FolderTree:
    """A folder's files; links to folders are not followed."""

    def __init__(self, path: Path) -> None:
        self.source = str(path)
        self._path = path

    def names(self) -> list[str]:
        """Every file, sorted."""
        return sorted(path.relative_to(self._path).as_posix() for path in _files(self._path))

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
    return name.lower().endswith(SUFFIXES) and not Path(name).name.startswith(".")


def find_photos(sources: Iterable[str | Path]) -> list[Path]:
    """The photos of several sources, in order: a file as it is, a folder's pictures, the files that
    match a pattern.

    Raises DatasetError for a folder without pictures and a pattern that matches nothing.
    """
    photos: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            files = sorted(file for file in _files(path) if is_picture(file.name))
        elif path.exists() or not any(sign in str(source) for sign in "*?["):
            # A missing file is an error when it is read, like any bad picture.
            files = [path]
        else:
            matches = (Path(match) for match in sorted(glob(str(source), recursive=True)))
            files = [match for match in matches if match.is_file()]
        if not files:
            raise DatasetError(f"{source}: no pictures here ({', '.join(SUFFIXES)})")
        photos.extend(files)
    return photos


def tree_sha256(tree: Tree, names: Iterable[str]) -> str:
    """A hash of some files' names and bytes, in the order of `names`."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {hashlib.sha256(tree.read(name)).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return [
        Path(root) / name
        for root, _, names in os.walk(folder)
        if not any(part.startswith(".") for part in Path(root).relative_to(folder).parts)
        for name in names
    ]
