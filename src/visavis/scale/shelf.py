"""Where photos come from and shards go: folders of this machine, and object stores."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from visavis.errors import ImageError
from visavis.files import output_errors, write_whole
from visavis.hub.stores import Store, open_store
from visavis.image import LIMITS


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder that whole files are put into: on this machine, or at an address."""

    place: str
    store: Store | None = field(default=None, repr=False)  # None: a folder of this machine

    def names(self) -> list[str]:
        """The files that are there. Raises DownloadError, OutputError."""
        if self.store is not None:
            return self.store.names()
        with output_errors(Path(self.place)):
            return [path.name for path in Path(self.place).iterdir()]

    def read(self, name: str) -> bytes | None:
        """A small file, or None where there is none. Raises DownloadError, OutputError."""
        if self.store is not None:
            return self.store.read(name)
        path = Path(self.place) / name
        with output_errors(path):
            return path.read_bytes() if path.exists() else None

    def write(self, name: str, data: bytes) -> None:
        """Put a file there, whole or not at all. Raises DownloadError, OutputError."""
        if self.store is not None:
            self.store.write(name, data)
        else:
            write_whole(Path(self.place) / name, data)


def open_shelf(place: str) -> Shelf:
    """The folder, made where there is none, or the address in an object store.

    Raises OutputError, DownloadError.
    """
    if is_url(place):
        store = open_store(place)
        return Shelf(store.url, store)
    with output_errors(Path(place)):
        Path(place).mkdir(parents=True, exist_ok=True)
    return Shelf(place)


def is_url(place: str) -> bool:
    """Whether it is of an object store, and no path."""
    return "://" in place


def photo_at(path: str, base: Path) -> Path | bytes:
    """What a manifest's path stands for: a file, from `base` on, or the bytes at an address.

    Raises ImageError where nothing is there, DownloadError where the store cannot say.
    """
    if not is_url(path):
        return base / path
    parts = urlsplit(path)
    data = _bucket(f"{parts.scheme}://{parts.netloc}").read(parts.path.lstrip("/"), LIMITS.bytes)
    if data is None:
        raise ImageError(f"{path}: no such file")
    return data


@cache
def _bucket(address: str) -> Store:
    return open_store(address)
