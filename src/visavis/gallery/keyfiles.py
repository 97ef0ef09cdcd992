"""The files of a gallery's key while it is exchanged: at any moment one of two opens the gallery.

The new key waits beside the old one, on the disk, before anything is sealed with it. Once the
gallery is sealed with it, it takes the old one's place, and the old one another name: at the end
of the exchange, or by the next opening where that was stopped. Knows nothing of what keys seal.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visavis.errors import GalleryError, GalleryKeyError
from visavis.files import held
from visavis.gallery.vault import (
    ELSEWHERE,
    ENVIRONMENT,
    KEY_BYTES,
    key_path,
    read_key,
    write_key,
)


@contextmanager
def exchanging(gallery: str) -> Iterator[None]:
    """Exchange the key of a gallery, one process at a time. Raises GalleryError for the others.

    Raises GalleryKeyError where the key is in no file.
    """
    declared = os.environ.get(ENVIRONMENT)
    if declared:
        holder = "the keyring" if declared == "keyring" else f"${ENVIRONMENT}"
        raise GalleryKeyError(
            f"the gallery's key comes from {holder}, where visavis does not exchange it",
            mend=f"write it to {key_path(gallery)} (chmod 600), unset ${ENVIRONMENT}, rotate the "
            f"key, then take the new one from that file to {holder}",
        )
    with held(key_path(gallery).with_suffix(".lock"), GalleryError):
        yield


def new_key(gallery: str) -> bytes:
    """The key that waits, made where there is none. Raises GalleryKeyError."""
    waiting = waiting_key(gallery)
    if waiting is None:
        waiting = secrets.token_bytes(KEY_BYTES)
        _write(_waiting(gallery), waiting)
    return waiting


def waiting_key(gallery: str) -> bytes | None:
    """The new key of an exchange that has not ended; None where there is none."""
    if os.environ.get(ENVIRONMENT) or not _waiting(gallery).exists():
        return None
    try:
        return read_key(_waiting(gallery))
    except GalleryKeyError:
        if _waiting(gallery).exists():
            raise
        return None  # another process has ended the exchange meanwhile


def put_in_place(gallery: str, old: bytes) -> Path:
    """Give the key that waits the place of the old one; where that one is kept from now on.

    To be called while `exchanging`. Raises GalleryKeyError where the files cannot be written.
    """
    kept = key_path(gallery).with_name(f"{gallery}-{_fingerprint(old)}.key")
    if _waiting(gallery).exists():  # else it is in place already
        _write(kept, old)
        with _key_errors(kept):
            _waiting(gallery).replace(key_path(gallery))
            _to_disk(kept.parent)
    return kept


def _waiting(gallery: str) -> Path:
    return key_path(gallery).with_suffix(".key.new")


def _fingerprint(key: bytes) -> str:
    """A name for a key, from which nobody learns it."""
    return hashlib.sha256(b"visavis key " + key).hexdigest()[:16]


def _write(path: Path, key: bytes) -> None:
    """Write a key file whole: half a key would lose the gallery."""
    partial = path.with_name(f"{path.name}.partial")
    with _key_errors(path):
        partial.unlink(missing_ok=True)
        write_key(partial, key)
        partial.replace(path)
        _to_disk(path.parent)


def _to_disk(folder: Path) -> None:
    """Let new names in a folder outlive a power cut."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _key_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{path}: the key cannot be kept: {error.strerror}"
        raise GalleryKeyError(what, mend=ELSEWHERE) from error
