"""Models and packs from elsewhere: pull by name or URL, push to a URL. Only ever on demand."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from visavis.errors import DownloadError, PackError
from visavis.files import is_plain, is_taken, landing
from visavis.hub.catalogue import SOURCES, Source
from visavis.hub.download import Patience
from visavis.hub.fetch import Watch, fetch_source, is_whole
from visavis.hub.pins import Pin, changed_words, keep_pin, read_pins
from visavis.hub.stores import Store, open_store
from visavis.pack import SOURCES_FOLDER, check_name, load_pack, packs_folder
from visavis.pack.manifest import MANIFEST, Pack, read_pack

MOST_MANIFEST = 1 << 20  # bytes

__all__ = ["SOURCES", "Source", "pull", "push"]


def pull(
    name_or_url: str,
    *,
    to: Path | None = None,
    offline: bool = False,
    replace: bool = False,
    watch: Watch | None = None,
    patience: Patience | None = None,
) -> Path:
    """A model of SOURCES by name, or a pack by its folder or URL (s3://, gs://, file://,
    memory://), copied here: all of it, every hash checked, or nothing. Returns its folder.

    It lies in `to`, else in the packs folder: a model below sources/, a pack under its own name.
    What is there already is checked and not fetched again; what differs is kept unless `replace`.
    Raises PackError for an unknown name or no pack, DownloadError where it cannot be had or is not
    as it was pinned, OutputError where it cannot be written.
    """
    if name_or_url in SOURCES:
        final = (to or packs_folder() / SOURCES_FOLDER / name_or_url).absolute()
        if not replace and is_whole(final, name_or_url):
            return final
        if offline:
            raise DownloadError(f"{name_or_url}: is not here, and was to be had offline")
        source = SOURCES[name_or_url]
        fetch_source(name_or_url, source, final, replace=replace, watch=watch, patience=patience)
        return final
    if "://" not in name_or_url and not Path(name_or_url).is_dir():
        raise PackError(
            f"no model {name_or_url!r}, and no folder of that name; known: {', '.join(SOURCES)}"
        )
    return _pull_pack(open_store(name_or_url, offline=offline), to, replace)


def push(pack: str | Path, url: str, *, replace: bool = False) -> str:
    """Copy a pack to a folder or URL of its own, pack.json last, and read all of it back; the URL.

    Raises PackError where the pack is damaged, or another is there and `replace` is not said;
    DownloadError where it cannot be written there, or comes back otherwise.
    """
    local, store = load_pack(pack), open_store(url)
    manifest = (local.folder / MANIFEST).read_bytes()
    wanted = named_files(local)
    files = {name: local.read(name, sha256) for name, sha256 in wanted.items()}
    there = store.read(MANIFEST, MOST_MANIFEST)
    if there not in (None, manifest) and not replace:
        raise PackError(f"{store.url}: another pack is there: choose another URL, or --replace")
    if there is not None:
        store.remove(MANIFEST)  # else it would name files that are no longer its own
    for name, data in files.items():
        store.write(name, data)
        _check(store, name, wanted[name])
    store.write(MANIFEST, manifest)
    _check(store, MANIFEST, hashlib.sha256(manifest).hexdigest())
    return store.url


def named_files(pack: Pack) -> dict[str, str]:
    """The files that a manifest names, and the SHA-256 of each. Raises PackError for a name that
    leads elsewhere.
    """
    files = dict(_named(asdict(pack.manifest)))
    for name in files:
        if not is_plain(name) or name == MANIFEST or set(name) & set("\\:"):
            raise PackError(f"{pack.folder / MANIFEST}: expected a plain file name, got {name!r}")
    return files


def _pull_pack(store: Store, to: Path | None, replace: bool) -> Path:
    manifest = store.read(MANIFEST, MOST_MANIFEST)
    if manifest is None:
        raise PackError(f"{store.url}: not a pack, it has no {MANIFEST}")
    final = (to or packs_folder() / _name(store)).absolute()
    pin = _pin(store, manifest)
    pinned = read_pins().get(store.url) if store.remote and not replace else None
    if pinned and pinned.sha256 != pin.sha256:
        raise DownloadError(
            f"{store.url}: not the pack that was wanted: found {pin.size} bytes, sha256 "
            f"{pin.sha256} in {MANIFEST}; {changed_words(store.url, pinned)}"
        )
    if _is_here(final, manifest):
        return final
    if is_taken(final) and not replace:
        raise PackError(
            f"{final}: is there, and is another pack: --to another folder, or --replace"
        )
    with landing(final) as folder:
        (folder / MANIFEST).write_bytes(manifest)
        for name, sha256 in named_files(read_pack(folder)).items():
            _check(store, name, sha256, folder / name)
    if store.remote and pinned is None:
        keep_pin(store.url, pin)
    return final


def _check(store: Store, name: str, wanted: str, target: Path | None = None) -> None:
    """Read a store's file, into `target` if that is given. DownloadError where it differs."""
    found = store.sha256(name, target)
    if found != wanted:
        raise DownloadError(
            f"{store.url}/{name}: not the file that was wanted: wanted sha256 {wanted}, "
            f"found {found}"
        )


def _is_here(folder: Path, manifest: bytes) -> bool:
    """Whether a folder is that very pack, and whole."""
    try:
        pack = read_pack(folder)
        for name, sha256 in named_files(pack).items():
            pack.read(name, sha256)
        return (folder / MANIFEST).read_bytes() == manifest
    except (PackError, OSError):
        return False


def _name(store: Store) -> str:
    try:
        return check_name(store.name)
    except PackError as error:
        raise PackError(
            f"{store.url}: {store.name!r} cannot be the name of a pack: --to a folder"
        ) from error


def _pin(store: Store, manifest: bytes) -> Pin:
    date = datetime.now(UTC).date().isoformat()
    return Pin(len(manifest), hashlib.sha256(manifest).hexdigest(), store.url, date)


def _named(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every `file` with its `sha256`, and every `x` with its `x_sha256`, wherever they stand."""
    for key, value in document.items():
        inner = value if isinstance(value, list | tuple) else [value]
        for one in inner:
            if isinstance(one, dict):
                yield from _named(one)
        file = document.get("file" if key == "sha256" else key.removesuffix("_sha256"))
        if key.endswith("sha256") and isinstance(file, str) and isinstance(value, str):
            yield file, value
