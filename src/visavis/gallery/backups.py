"""A gallery's backups. Each ends in a seal over all its bytes, so that one that is not whole is
told from one that is: names and times are plain text, and nothing else would notice them changed.
"""

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from visavis.errors import GalleryError
from visavis.gallery.configurations import configuration_damages
from visavis.gallery.gallery import Gallery
from visavis.gallery.places import GalleryPlace, database_at, is_address, place_shown
from visavis.gallery.sqlite import FILE, SqliteDatabase, check_header
from visavis.gallery.vault import Vault, load_key

MAGIC = b"visavis backup 1"
ID_BYTES = 32  # of a gallery's id, hexadecimal
DIGEST_BYTES = 32
SEAL_BYTES = len(MAGIC) + ID_BYTES + Vault.size(DIGEST_BYTES)
CHUNK = 1 << 20


def backup(gallery: Gallery, target: Path, *, replace: bool = False) -> None:
    """Write a whole copy while others write; the key is not in it.

    Raises GalleryError where `target` is there already, unless `replace`; where it cannot be
    written; and for a gallery that is damaged, whose backup would not come back.
    """
    if target.exists() and not replace:
        raise GalleryError(
            f"{target}: is there already", mend="say that it is to be replaced", option="replace"
        )
    if target.resolve() == Path(gallery.where).resolve():
        raise GalleryError(f"{target}: this is the gallery itself", mend="choose another name")
    try:
        with _staging(target) as folder:
            file = folder / FILE
            gallery.database.backup(file)
            _check_whole(folder, str(target))
            with file.open("r+b") as copy:
                digest = _digest(copy, file.stat().st_size)
                copy.write(_seal(gallery, digest))
                copy.flush()
                os.fsync(copy.fileno())
            file.replace(target)
    except OSError as error:
        raise GalleryError(
            f"{target}: cannot write the backup: {error.strerror or error}"
        ) from error


def restore(source: Path, place: GalleryPlace, *, replace: bool = False) -> Gallery:
    """Put a backup in a gallery's place, once it is known to be whole.

    What was there is kept until the backup has opened in its place. Raises GalleryError for a
    backup that is damaged, and where a gallery is there already, unless `replace`; GalleryKeyError
    where the backup's key is not at hand.
    """
    database = database_at(place)
    if database.there() and not replace:
        raise GalleryError(
            f"{place_shown(place)}: a gallery is here already",
            mend="say that it is to be replaced",
            option="replace",
        )
    try:
        with _staging(_beside(place)) as staging:
            _copy_sealed(source, staging / FILE)
            check_header(staging / FILE, str(source))
            _check_whole(staging, str(source))
            with database.replacing(staging / FILE):
                database.prepare(create=False)
                return Gallery(database)
    except OSError as error:
        raise GalleryError(f"{source}: cannot restore: {error.strerror or error}") from error


def _beside(place: GalleryPlace) -> Path:
    """Beside what a copy is staged: its folder, which may be renamed into place; else anywhere."""
    if is_address(place):
        return Path(tempfile.gettempdir()) / "visavis-restore"
    folder = Path(place)
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _staging(beside: Path) -> Iterator[Path]:
    """A folder for its owner alone, beside what is to be written; removed after the block."""
    whole = beside.absolute()
    folder = whole.with_name(f".{whole.name}.{uuid.uuid4().hex}")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_whole(folder: Path, where: str) -> None:
    database = SqliteDatabase(folder)
    with closing(database):
        database.prepare(create=False)
        gallery = Gallery(database)
        damage = gallery.damage() or next(iter(configuration_damages(gallery)), None)
    if damage is not None:
        raise GalleryError(
            f"{where}: the copy is not whole: {damage}",
            mend="erase or enrol anew what is named, or take an earlier backup",
        )


def _seal(gallery: Gallery, digest: bytes) -> bytes:
    sealed = gallery.vault.seal(digest, gallery.id, "backup")
    return MAGIC + gallery.id.encode() + sealed


def _copy_sealed(source: Path, target: Path) -> None:
    """Copy a backup without its seal, to the disk. Raises GalleryError where the seal is wrong."""
    size = source.stat().st_size - SEAL_BYTES
    target.touch(mode=0o600)
    with source.open("rb") as file, target.open("wb") as copy:
        digest = _digest(file, max(0, size), copy)
        seal = file.read()
        os.fsync(copy.fileno())
    _check_seal(seal, digest, source)


def _check_seal(seal: bytes, digest: bytes, source: Path) -> None:
    start = len(MAGIC)
    gallery, sealed = seal[start : start + ID_BYTES], seal[start + ID_BYTES :]
    if seal[:start] != MAGIC or not gallery.isalnum():
        raise GalleryError(
            f"{source}: no backup of a gallery, or its end was cut off",
            mend=f"a file that you copied yourself goes into a folder of its own as {FILE}",
        )
    known = gallery.decode("ascii")
    if Vault(load_key(known)).open(sealed, known, "backup") != digest:
        raise GalleryError(
            f"{source}: this backup is damaged, or of before the key was rotated",
            mend="take another one, or restore it with the old key",
        )


def _digest(file: BinaryIO, size: int, copy: BinaryIO | None = None) -> bytes:
    """The hash of the next so many bytes of a file, which are written to `copy` too."""
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(CHUNK, size))):
        digest.update(block)
        size -= len(block)
        if copy is not None:
            copy.write(block)
    if copy is not None:
        copy.flush()
    return digest.digest()
