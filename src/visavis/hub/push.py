"""A pack to a folder or URL of its own, read back to be sure."""

import hashlib
from pathlib import Path

from visavis.errors import PackError
from visavis.hub.stores import open_store
from visavis.pack import load_pack
from visavis.pack.manifest import MANIFEST


def push(pack: str | Path, url: str, *, replace: bool = False) -> str:
    """Copy a pack to a folder or URL, pack.json last, and read all of it back; returns the URL.

    Raises PackError where the pack is damaged, or another pack is there and `replace` is False;
    DownloadError where it cannot be written there, or comes back different.
    """
    local, store = load_pack(pack), open_store(url)
    manifest = (local.folder / MANIFEST).read_bytes()
    hashes = local.files()
    files = {name: local.read(name, sha256) for name, sha256 in hashes.items()}
    present = store.read(MANIFEST)
    if present not in (None, manifest) and not replace:
        raise PackError(
            f"{store.url}: another pack is there",
            mend="choose another URL, or replace it",
            option="replace",
        )
    if present is not None:
        # Until the new files are there, this manifest would name files that are not its own.
        store.remove(MANIFEST)
    for name, data in files.items():
        store.write(name, data)
        store.check(name, hashes[name])
    store.write(MANIFEST, manifest)
    store.check(MANIFEST, hashlib.sha256(manifest).hexdigest())
    return store.url
