"""A model of the catalogue by its name, or a pack by its folder or URL: copied here on demand.

A model lies in a folder of its own with source.json, which says where each file came from.
"""

import hashlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from visavis.document import parse, to_bytes
from visavis.errors import DownloadError, PackError
from visavis.files import is_taken, replacing_folder, write_whole
from visavis.hub.catalogue import CATALOGUE, File, Published
from visavis.hub.download import Patience, Received, download, sha256_of
from visavis.hub.pins import Pin, keep_pin, pin_error, read_pins
from visavis.hub.stores import Store, open_store
from visavis.hub.unzip import unzip
from visavis.pack import SOURCES_FOLDER, check_name, packs_folder
from visavis.pack.manifest import MANIFEST, Commercial, read_pack

RECORD = "source.json"
COMMIT_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Download:
    """One file as it came."""

    file: str
    url: str  # the address that had it, redacted
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


@dataclass(frozen=True, slots=True)
class _Order:
    """A model to fetch, and how."""

    name: str
    published: Published
    replace: bool
    progress: Received | None
    patience: Patience | None

    def key(self, file: File) -> str:
        """The file's key among the pins."""
        return f"{self.name}/{file.name}"


def pull(
    name_or_url: str,
    *,
    to: Path | None = None,
    offline: bool = False,
    replace: bool = False,
    progress: Received | None = None,
    patience: Patience | None = None,
) -> Path:
    """Copy a model of CATALOGUE by its name, or a pack by its folder or URL (s3://, gs://, file://,
    memory://): all of it, every hash checked, or nothing. Returns the folder here.

    That is `to`, else a folder below the packs folder: sources/ holds models, and a pack keeps its
    own name. What is here and the same is not fetched again; what differs stays unless `replace`.
    Raises PackError for an unknown name or no pack, DownloadError where it cannot be fetched or
    differs from its pin, OutputError where it cannot be written.
    """
    if name_or_url in CATALOGUE:
        order = _Order(name_or_url, CATALOGUE[name_or_url], replace, progress, patience)
        final = (to or packs_folder() / SOURCES_FOLDER / name_or_url).absolute()
        _pull_model(order, final, offline)
        return final
    if "://" not in name_or_url and not Path(name_or_url).is_dir():
        raise PackError(
            f"no model {name_or_url!r}, and no folder of that name; known: {', '.join(CATALOGUE)}"
        )
    return _pull_pack(open_store(name_or_url, offline=offline), to, replace)


def read_record(folder: Path) -> Record:
    """A pulled model's source.json. Raises PackError where it is missing or damaged."""
    path = folder / RECORD
    try:
        return parse(Record, path.read_bytes(), str(path), PackError)
    except OSError as error:
        raise PackError(f"{path}: cannot be read: {error.strerror or error}") from error


def _pull_model(order: _Order, final: Path, offline: bool) -> None:
    """Fetch a model into `final`: all of it or nothing. An interrupted call is resumed."""
    name, published = order.name, order.published
    if not order.replace and _has_model(final, name):
        return
    if offline:
        raise DownloadError(f"{name}: is not here, and offline nothing is fetched")
    if is_taken(final) and not order.replace:
        raise PackError(
            f"{final}: is there, and is not {name} as it was fetched",
            mend="choose another folder, or replace it",
            option="replace",
        )
    with replacing_folder(final, DownloadError, resume=True) as folder:
        downloads: list[Download] = []
        revision = _pinned_revision(order)
        place = folder.parent if published.archive else folder
        for file in published.files:
            fetched = _fetch_file(order, file, place, revision)
            downloads.append(fetched)
            revision = fetched.commit or revision
        files = {one.file: one.sha256 for one in downloads}
        if published.archive:
            files = _hashes(folder, _unpack(place / published.files[0].name, folder))
        _clear(folder, keep=files)
        write_whole(folder / RECORD, to_bytes(_record(order, downloads, files)))


def _has_model(folder: Path, name: str) -> bool:
    """Whether a folder is that model, every file as it was fetched."""
    try:
        record = read_record(folder)
        return record.name == name and record.files == _hashes(folder, record.files)
    except (PackError, OSError):
        return False


def _pinned_revision(order: _Order) -> str:
    """The version to ask the hub for: the one that was pinned, else the newest."""
    pins = {} if order.replace else read_pins()
    commits = [
        pin.commit
        for file in order.published.files
        if not file.sha256 and (pin := pins.get(order.key(file))) and pin.commit
    ]
    return commits[0] if commits else "main"


def _fetch_file(order: _Order, file: File, place: Path, revision: str) -> Download:
    """Fetch one file and check it against the catalogue's hash or its pin; pin it if it is new."""
    key = order.key(file)
    pin = read_pins().get(key)
    expected = None if order.replace or file.sha256 else pin
    receipt = download(
        file.urls(revision),
        place / file.name,
        size=expected.size if expected else file.size,
        sha256=expected.sha256 if expected else file.sha256,
        mismatch=partial(pin_error, key=key, pin=expected) if expected else DownloadError,
        progress=order.progress,
        patience=order.patience,
    )
    if len(revision) == COMMIT_DIGITS and receipt.commit not in (None, revision):
        raise DownloadError(
            f"{receipt.url}: asked for commit {revision}, the hub gave {receipt.commit}"
        )
    if pin is None or pin.sha256 != receipt.sha256:
        pin = Pin(receipt.size, receipt.sha256, receipt.url, _today(), receipt.commit)
        keep_pin(key, pin)
    return Download(
        file=file.name,
        url=pin.url if receipt.was_here else receipt.url,
        size=receipt.size,
        sha256=receipt.sha256,
        commit=pin.commit if receipt.was_here else receipt.commit,
        date=_today(),
        trusted="table" if file.sha256 else "pin" if expected else "first use",
    )


def _record(order: _Order, downloads: list[Download], files: dict[str, str]) -> Record:
    published = order.published
    return Record(
        name=order.name,
        about=published.about,
        licence=published.licence,
        training_data=published.training_data,
        commercial=published.commercial,
        citation=published.citation,
        preprocessing=published.preprocessing,
        downloads=tuple(downloads),
        files=files,
    )


def _hashes(folder: Path, files: Iterable[str]) -> dict[str, str]:
    return {name: sha256_of(folder / name) for name in files}


def _unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack a zip into the folder; the names of its files. A zip that is refused is removed."""
    _clear(folder)
    try:
        return unzip(archive, folder)
    except DownloadError:
        archive.unlink()
        _clear(folder)
        raise


def _clear(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove what an earlier, interrupted call left in a folder."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            # One that is not empty stays.
            with suppress(OSError):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in keep:
            path.unlink()


def _pull_pack(store: Store, to: Path | None, replace: bool) -> Path:
    manifest = store.read(MANIFEST)
    if manifest is None:
        raise PackError(f"{store.url}: not a pack, it has no {MANIFEST}")
    final = (to or packs_folder() / _pack_name(store)).absolute()
    pin = Pin(len(manifest), hashlib.sha256(manifest).hexdigest(), store.url, _today())
    pinned = read_pins().get(store.url) if store.remote and not replace else None
    if pinned and pinned.sha256 != pin.sha256:
        what = (
            f"{store.url}: not the pack that was wanted: found {pin.size} bytes, "
            f"sha256 {pin.sha256} in {MANIFEST}"
        )
        raise pin_error(what, key=store.url, pin=pinned)
    if _has_pack(final, manifest):
        return final
    if is_taken(final) and not replace:
        raise PackError(
            f"{final}: is there, and is another pack",
            mend="choose another folder, or replace it",
            option="replace",
        )
    with replacing_folder(final, DownloadError) as folder:
        (folder / MANIFEST).write_bytes(manifest)
        for name, sha256 in read_pack(folder).files().items():
            store.check(name, sha256, folder / name)
    if store.remote and pinned is None:
        keep_pin(store.url, pin)
    return final


def _has_pack(folder: Path, manifest: bytes) -> bool:
    """Whether a folder is that very pack, and whole."""
    try:
        pack = read_pack(folder)
        for name, sha256 in pack.files().items():
            pack.read(name, sha256)
        return (folder / MANIFEST).read_bytes() == manifest
    except (PackError, OSError):
        return False


def _pack_name(store: Store) -> str:
    try:
        return check_name(store.name)
    except PackError as error:
        raise PackError(
            f"{store.url}: {store.name!r} cannot be the name of a pack",
            mend="choose a folder for it",
            option="to",
        ) from error


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
