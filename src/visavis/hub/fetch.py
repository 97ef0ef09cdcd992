"""A model of the catalogue into a folder of its own, with source.json: where each file is from."""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from visavis.document import parse, to_bytes
from visavis.errors import DownloadError, PackError
from visavis.files import is_taken, landing, write_whole
from visavis.hub.catalogue import File, Source
from visavis.hub.download import Patience, download, sha256_of
from visavis.hub.pins import Pin, changed_words, keep_pin, read_pins
from visavis.hub.unzip import unzip
from visavis.pack.manifest import Commercial

RECORD = "source.json"
COMMIT = 40  # digits

Watch = Callable[[str, int, int | None], None]  # file, bytes that are here, bytes in all if known


@dataclass(frozen=True, slots=True)
class Download:
    """One file as it came."""

    file: str
    url: str  # the source that had it, redacted
    size: int
    sha256: str
    commit: str | None
    date: str
    trusted: Literal["table", "pin", "first use"]  # why this hash was believed


@dataclass(frozen=True, slots=True)
class Record:
    """source.json: what a folder holds and what may be done with it."""

    name: str
    about: str
    licence: str
    training_data: str
    commercial: Commercial
    citation: str
    preprocessing: str
    downloads: tuple[Download, ...]
    files: dict[str, str]  # name below the folder to SHA-256


def read_record(folder: Path) -> Record:
    """A fetched folder's source.json. Raises PackError where it is none."""
    path = folder / RECORD
    try:
        return parse(Record, path.read_bytes(), str(path), PackError)
    except OSError as error:
        raise PackError(f"{path}: cannot be read: {error.strerror or error}") from error


def is_whole(folder: Path, name: str) -> bool:
    """Whether a folder is that model, every file as it was fetched."""
    try:
        record = read_record(folder)
        return record.name == name and record.files == _hashes(folder, record.files)
    except (PackError, OSError):
        return False


def fetch_source(
    name: str,
    source: Source,
    final: Path,
    *,
    replace: bool = False,
    watch: Watch | None = None,
    patience: Patience | None = None,
) -> None:
    """Fetch a model into `final`: all of it or nothing. A killed call is gone on with.

    Raises PackError where something else is there and `replace` is not said, DownloadError where a
    file cannot be had or is not as it was pinned, OutputError where it cannot be written.
    """
    if is_taken(final) and not replace:
        raise PackError(f"{final}: is there, and is not {name} as it was fetched: --replace")
    with landing(final, resume=True) as folder:
        downloads: list[Download] = []
        revision = _revision(name, source, replace)
        place = folder.parent if source.archive else folder
        for file in source.files:
            fetched = _fetch(name, file, place, revision, replace, (watch, patience))
            downloads.append(fetched)
            revision = fetched.commit or revision
        files = {one.file: one.sha256 for one in downloads}
        if source.archive:
            files = _hashes(folder, _unpacked(place / source.files[0].name, folder))
        _empty(folder, besides=files)
        write_whole(folder / RECORD, to_bytes(_record(name, source, downloads, files)))


def _fetch(
    name: str,
    file: File,
    place: Path,
    revision: str,
    replace: bool,
    manner: tuple[Watch | None, Patience | None],
) -> Download:
    """One file, held against the table's hash or its pin; a new one is pinned."""
    key, (watch, patience) = f"{name}/{file.name}", manner
    pin = read_pins().get(key)
    held = None if replace or file.sha256 else pin
    receipt = download(
        file.urls(revision),
        place / file.name,
        size=held.size if held else file.size,
        sha256=held.sha256 if held else file.sha256,
        reason=changed_words(key, held) if held else "",
        progress=partial(watch, file.name) if watch else None,
        patience=patience,
    )
    if len(revision) == COMMIT and receipt.commit not in (None, revision):
        raise DownloadError(
            f"{receipt.url}: asked for commit {revision}, the hub gave {receipt.commit}"
        )
    today = datetime.now(UTC).date().isoformat()
    if pin is None or pin.sha256 != receipt.sha256:
        pin = Pin(receipt.size, receipt.sha256, receipt.url, today, receipt.commit)
        keep_pin(key, pin)
    return Download(
        file=file.name,
        url=pin.url if receipt.was_here else receipt.url,
        size=receipt.size,
        sha256=receipt.sha256,
        commit=pin.commit if receipt.was_here else receipt.commit,
        date=today,
        trusted="table" if file.sha256 else "pin" if held else "first use",
    )


def _revision(name: str, source: Source, replace: bool) -> str:
    """The version to ask the hub for: the one that was pinned, else the newest."""
    pins = {} if replace else read_pins()
    commits = [
        pin.commit
        for file in source.files
        if not file.sha256 and (pin := pins.get(f"{name}/{file.name}")) and pin.commit
    ]
    return commits[0] if commits else "main"


def _record(name: str, source: Source, downloads: list[Download], files: dict[str, str]) -> Record:
    return Record(
        name=name,
        about=source.about,
        licence=source.licence,
        training_data=source.training_data,
        commercial=source.commercial,
        citation=source.citation,
        preprocessing=source.preprocessing,
        downloads=tuple(downloads),
        files=files,
    )


def _hashes(folder: Path, files: Iterable[str]) -> dict[str, str]:
    return {name: sha256_of(folder / name) for name in files}


def _unpacked(archive: Path, folder: Path) -> list[str]:
    """The names of a zip's files, now in the folder. One that is refused is not kept."""
    _empty(folder)
    try:
        return unzip(archive, folder)
    except DownloadError:
        archive.unlink()
        _empty(folder)
        raise


def _empty(folder: Path, besides: Collection[str] = ()) -> None:
    """Remove what an earlier, killed call left in a folder."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            with suppress(OSError):  # not empty
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in besides:
            path.unlink()
