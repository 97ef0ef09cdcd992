"""Folders by their address, through fsspec: on disk, in S3, in Google Cloud Storage, in memory.

fsspec, s3fs and gcsfs are the extra `hub`, and are imported nowhere else.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from visavis.errors import DownloadError
from visavis.files import output_errors
from visavis.hub.web import redacted, refuse_offline, scrubbed

BLOCK = 1 << 20
LARGEST = 8 << 30  # bytes of one file
SMALL = 1 << 20  # bytes of a file that is read at once, as pack.json is
LOCAL = ("", "file", "local", "memory")
PROTOCOLS = (*LOCAL, "s3", "s3a", "gs", "gcs")
NEEDS = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
# What these libraries raise besides OSError. Only loaded modules are asked, so none gets loaded.
FAULTS = (
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"),
)
# A server that is gone is an error after seconds.
S3 = {"config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 2}}}


@dataclass(frozen=True, slots=True)
class Store:
    """A folder that files are read from and written to by name."""

    files: Any  # an fsspec file system
    root: str
    url: str  # redacted
    remote: bool  # not on this machine

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.root.rstrip("/").rsplit("/", maxsplit=1)[-1]

    def names(self) -> list[str]:
        """The files in the folder itself; none where there is no such folder yet."""
        with self._errors(""):
            try:
                listed = self.files.ls(self.root, detail=True)
            except FileNotFoundError:
                return []
        return [str(one["name"]).rsplit("/", 1)[-1] for one in listed if one["type"] == "file"]

    def read(self, name: str, most: int = SMALL) -> bytes | None:
        """A small file, or None where there is none. Raises DownloadError for a larger one."""
        with self._errors(name):
            try:
                if not self.files.exists(f"{self.root}/{name}"):
                    return None
                with self.files.open(f"{self.root}/{name}", "rb") as file:
                    data: bytes = file.read(most + 1)
            except FileNotFoundError:
                return None
        if len(data) > most:
            raise DownloadError(f"{self.url}/{name}: expected at most {most} bytes")
        return data

    def sha256(self, name: str, target: Path | None = None) -> str:
        """Read a file, into `target` if there is one; returns its SHA-256.

        Raises DownloadError where it cannot be read, OutputError where it cannot be written.
        """
        digest, size = hashlib.sha256(), 0
        with open(target or os.devnull, "wb") as out:
            for block in self._blocks(name):
                digest.update(block)
                size += len(block)
                if size > LARGEST:
                    raise DownloadError(f"{self.url}/{name}: more than {LARGEST} bytes")
                with output_errors(Path(out.name)):
                    out.write(block)
        return digest.hexdigest()

    def check(self, name: str, expected: str, target: Path | None = None) -> None:
        """Read a file, into `target` if there is one. Raises DownloadError for another SHA-256."""
        sha256 = self.sha256(name, target)
        if sha256 != expected:
            raise DownloadError(
                f"{self.url}/{name}: not the file that was wanted: wanted sha256 {expected}, "
                f"found {sha256}"
            )

    def write(self, name: str, data: bytes) -> None:
        """Write a file. Raises DownloadError where the store refuses it."""
        with self._errors(name):
            self.files.pipe_file(f"{self.root}/{name}", data)

    def remove(self, name: str) -> None:
        """Remove a file, which must exist. Raises DownloadError."""
        with self._errors(name):
            self.files.rm_file(f"{self.root}/{name}")

    def _blocks(self, name: str) -> Iterator[bytes]:
        with self._errors(name), self.files.open(f"{self.root}/{name}", "rb") as file:
            while block := file.read(BLOCK):
                yield block

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Raise what fails in the block as a DownloadError that names the file and no secret."""
        try:
            yield
        except _faults() as error:
            why = scrubbed(getattr(error, "strerror", None) or error) or type(error).__name__
            raise DownloadError(f"{self.url}/{name}: {type(error).__name__}: {why:.300}") from error


def open_store(url: str | Path, *, offline: bool = False) -> Store:
    """The folder at a URL of fsspec (file://, memory://, s3://, gs://), or a folder's path.

    Credentials are those of the environment. Raises DownloadError for another kind of URL, in
    offline mode for another machine's, and where the extra `hub` is not installed.
    """
    text = str(url)
    protocol = urlsplit(text).scheme if "://" in text else ""
    if protocol not in PROTOCOLS or "::" in text:
        raise DownloadError(
            f"{redacted(text)}: expected a folder, or one of "
            f"{', '.join(f'{known}://' for known in PROTOCOLS if known)}"
        )
    remote = protocol not in LOCAL
    if remote and offline:
        raise DownloadError(f"{redacted(text)}: is elsewhere, and offline nothing is fetched")
    if remote:
        refuse_offline(text)
    try:
        files, root = _file_system(text, protocol)
    except ImportError as error:
        package = error.name or NEEDS.get(protocol, "fsspec")
        raise DownloadError(
            f"{redacted(text)}: needs {package}", mend="pip install '.[hub]'"
        ) from error
    except _faults() as error:
        raise DownloadError(f"{redacted(text)}: cannot be opened: {scrubbed(error)}") from error
    return Store(files, root.rstrip("/"), redacted(text).rstrip("/"), remote)


def _file_system(url: str, protocol: str) -> tuple[Any, str]:
    import fsspec

    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if protocol in ("s3", "s3a"):
        options |= S3
    elif protocol in ("gs", "gcs") and os.environ.get("STORAGE_EMULATOR_HOST"):
        return _emulated(url, options)
    elif protocol in LOCAL:
        options = {"auto_mkdir": True} if protocol != "memory" else {}
    files, root = fsspec.url_to_fs(url, **options)
    return files, str(root)


def _emulated(url: str, options: dict[str, Any]) -> tuple[Any, str]:
    """Google Cloud Storage by its plain class. The other one asks over gRPC what kind of bucket it
    is; no emulator answers, and that takes a minute.
    """
    # gcsfs reads this when it is imported.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    from gcsfs.core import GCSFileSystem

    return GCSFileSystem(token="anon", **options), str(GCSFileSystem._strip_protocol(url))


def _faults() -> tuple[type[Exception], ...]:
    faults = (getattr(sys.modules.get(module), name, None) for module, name in FAULTS)
    return (OSError, ValueError, *(fault for fault in faults if fault is not None))
