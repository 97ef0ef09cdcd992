"""The gallery's key, and what it protects: AES-256-GCM, bound to the row it stands in.

The key never lies in the data folder. It comes from $VISAVIS_KEY (64 hexadecimal digits), from the
system's keyring where $VISAVIS_KEY is "keyring", or from a file of the user's configuration folder.
"""

import logging
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from json import JSONEncoder
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from visavis.errors import GalleryKeyError, OutputError
from visavis.files import make_private
from visavis.folders import config_folder

log = logging.getLogger(__name__)

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
ENVIRONMENT = "VISAVIS_KEY"
ELSEWHERE = f"set ${ENVIRONMENT} to the key, or $XDG_CONFIG_HOME to a folder that can be written"
SERVICE = "visavis"
PERSON = "person"
UNGROUPED = 6  # columns of a person's row before that of their groups, the last
_encode = JSONEncoder().encode


class Vault:
    """Encrypts and decrypts with one key; what it opens was sealed for that very place."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)

    def seal(self, data: bytes, *place: str) -> bytes:
        """Nonce and ciphertext; it opens only with the same `place`: gallery, person, row, kind."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, _place(place))

    def open(self, sealed: bytes, *place: str) -> bytes | None:
        """The data; None where a bit is wrong, the row was moved, or another key sealed it."""
        if not isinstance(sealed, bytes):
            return None  # SQLite keeps any type in any column: an altered file may hold text
        try:
            nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return self._cipher.decrypt(nonce, ciphertext, _place(place))
        except (InvalidTag, ValueError):
            return None

    @staticmethod
    def size(plain: int) -> int:
        """Bytes that so many bytes take sealed."""
        return NONCE_BYTES + plain + TAG_BYTES

    @staticmethod
    def plain_size(sealed: int) -> int:
        """Bytes that so many sealed bytes hold."""
        return max(0, sealed - NONCE_BYTES - TAG_BYTES)


@dataclass(frozen=True, slots=True)
class SampleVault:
    """Seals what belongs to a photo of a gallery's person: its crop, and its templates by model."""

    vault: Vault
    gallery: str

    def seal(self, data: bytes, person: str, sample: str, kind: str) -> bytes:
        """Seal a photo's crop, or its template of the model `kind`."""
        return self.vault.seal(data, self.gallery, person, sample, kind)

    def open(self, sealed: bytes, person: str, sample: str, kind: str) -> bytes | None:
        """The data, or None where it is not as it was written for this person and photo."""
        return self.vault.open(sealed, self.gallery, person, sample, kind)


@dataclass(frozen=True, slots=True)
class PersonVault:
    """Seals the row of a gallery's person, together with the audit's entry that changed it last."""

    vault: Vault
    gallery: str

    def seal(self, row: Sequence[str | None], entry: int) -> bytes:
        """A seal over all columns of a row. Raises TypeError for what is no text."""
        return self.vault.seal(b"%d" % entry, self.gallery, PERSON, _text(row))

    def entry(self, row: Sequence[Any], seal: Any) -> int | None:
        """The entry that changed a row last; None where the row is not as it was sealed."""
        try:
            opened = self.vault.open(seal, self.gallery, PERSON, _text(row))
        except TypeError:
            return None  # an altered file may hold bytes where text was
        return None if opened is None else int(opened)


def _text(row: Sequence[Any]) -> str:
    """A row as it is sealed: without the column of groups where it has none, as before there was
    one.
    """
    return _encode(row[:UNGROUPED] if len(row) > UNGROUPED and row[-1] is None else row)


def key_path(gallery: str) -> Path:
    """Where the key of a gallery lies, unless the environment says otherwise.

    Raises GalleryKeyError where the user has no home folder.
    """
    try:
        return config_folder() / "keys" / f"{gallery}.key"
    except OutputError as error:
        raise GalleryKeyError(f"no place for the key: {error.what}", mend=ELSEWHERE) from error


def make_key(gallery: str) -> bytes:
    """A new key, kept where `load_key` finds it. Raises GalleryKeyError where it cannot be kept."""
    declared = os.environ.get(ENVIRONMENT)
    if declared and declared != "keyring":
        return _decoded(declared, f"${ENVIRONMENT}")
    key = secrets.token_bytes(KEY_BYTES)
    if declared:
        _in_keyring("set_password", gallery, key.hex())
        place = "the keyring"
    else:
        path = key_path(gallery)
        write_key(path, key)
        place = str(path)
    log.warning(
        "a new key protects this gallery: %s. Back it up: a lost key loses the gallery", place
    )
    return key


def load_key(gallery: str) -> bytes:
    """The gallery's key. Raises GalleryKeyError, naming where it was looked for."""
    declared = os.environ.get(ENVIRONMENT)
    if declared == "keyring":
        text = _in_keyring("get_password", gallery)
        if text is None:
            raise GalleryKeyError(f"the keyring holds no key for gallery {gallery}")
        return _decoded(text, "the keyring")
    if declared:
        return _decoded(declared, f"${ENVIRONMENT}")
    return read_key(key_path(gallery))


def read_key(path: Path) -> bytes:
    """The key in a file. Raises GalleryKeyError for none, and for one that others may write."""
    try:
        _refuse_shared(path)
        return _decoded(path.read_text(encoding="ascii").strip(), str(path))
    except FileNotFoundError:
        raise GalleryKeyError(
            f"{path}: the gallery's key is missing; without it templates and crops cannot be read",
            mend=f"restore it from your backup, or set ${ENVIRONMENT}",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise GalleryKeyError(f"{path}: the gallery's key cannot be read: {error}") from error


def _refuse_shared(path: Path) -> None:
    """Raise GalleryKeyError for a file, or a folder around it, that others may write."""
    for one in (path, path.parent):
        if os.name == "posix" and one.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise GalleryKeyError(
                f"{one}: others may write here, and put a key of their own in place",
                mend="take that right away (chmod go-w), and look whether the key is yours",
            )


def write_key(path: Path, key: bytes) -> None:
    """Write a new key file, to the disk. Raises GalleryKeyError where it cannot be kept."""
    try:
        make_private(path.parent)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(key.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        what = f"{path}: the new key cannot be kept: {error.strerror}"
        raise GalleryKeyError(what, mend=ELSEWHERE) from error


def _in_keyring(verb: str, *arguments: str) -> Any:
    try:
        keyring = import_module("keyring")
    except ImportError:
        raise GalleryKeyError(
            f"${ENVIRONMENT} is keyring, which needs a package", mend="pip install keyring"
        ) from None
    try:
        return getattr(keyring, verb)(SERVICE, *arguments)
    except keyring.errors.KeyringError as error:
        raise GalleryKeyError(f"the keyring does not answer: {error}") from error


def _decoded(text: str, source: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise GalleryKeyError(f"{source}: expected a key of {2 * KEY_BYTES} hexadecimal digits")
    return key


def _place(place: tuple[str, ...]) -> bytes:
    # The number of parts and their lengths first, so that no two places are alike.
    return (_lengths(*map(len, place)) + "\0".join(place)).encode()


@lru_cache(maxsize=4096)
def _lengths(*lengths: int) -> str:
    """Most places are of few shapes: of a month of punches, that saves a second."""
    return "".join(f"{number}\0" for number in (len(lengths), *lengths))
