"""Packs: a folder with a manifest, ONNX files and a calibration. Read, checked, built, listed.

Knows what a manifest may declare and whether files hold it. Knows no place that packs come from,
no project's rules but its own, and nothing of faces.
"""

import os
import re
import shutil
from glob import glob
from pathlib import Path

from visavis.errors import PackError, did_you_mean
from visavis.files import output_errors
from visavis.folders import data_folder
from visavis.pack.default import default_pack
from visavis.pack.manifest import MANIFEST, Pack, read_pack

DEFAULT_PACK = "default"
SOURCES_FOLDER = "sources"  # below packs_folder(): models that are not packs
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
RESERVED = (DEFAULT_PACK, SOURCES_FOLDER)  # names that have a meaning of their own

__all__ = [
    "DEFAULT_PACK",
    "SOURCES_FOLDER",
    "Pack",
    "check_name",
    "installed_packs",
    "load_pack",
    "pack_folder",
    "pack_names",
    "packs_folder",
    "removable",
    "remove_pack",
]


def load_pack(name_or_path: str | Path = DEFAULT_PACK) -> Pack:
    """A pack by the name `visavis pack list` shows, or by its folder. Its files are hashed as they
    are loaded.

    Raises PackError for a name that is not installed, or a manifest that cannot be read.
    """
    if name_or_path == DEFAULT_PACK:
        return read_pack(default_pack())
    # Not Path.is_file: it raises for a folder that may not be looked into.
    if os.path.isfile(Path(name_or_path) / MANIFEST):
        return read_pack(Path(name_or_path))
    known = pack_names()
    if str(name_or_path) in known:
        return read_pack(packs_folder() / name_or_path)
    raise PackError(
        f"no pack {str(name_or_path)!r}: neither a folder with a {MANIFEST} nor one of: "
        f"{', '.join(known)}",
        mend=did_you_mean(str(name_or_path), known),
    )


def pack_names() -> list[str]:
    """The packs that `load_pack` knows by name, the default first."""
    folder = packs_folder()
    # Not Path.glob: it raises where a folder above may not be looked into.
    manifests = glob(f"*/{MANIFEST}", root_dir=folder)
    return [DEFAULT_PACK, *sorted(os.path.dirname(path) for path in manifests)]


def installed_packs() -> dict[str, Pack]:
    """Every pack that `load_pack` knows by name. Raises PackError as it does."""
    return {name: load_pack(name) for name in pack_names()}


def pack_folder(name_or_path: str | Path = DEFAULT_PACK) -> Path:
    """Where a pack lies; of a folder that path itself, be its manifest readable or not.

    Raises PackError for what is neither a folder nor an installed pack.
    """
    if name_or_path != DEFAULT_PACK and Path(name_or_path).is_dir():
        return Path(name_or_path)
    return load_pack(name_or_path).folder


def removable(name: str) -> Path:
    """The folder of an installed pack, or of a pulled model, by its name.

    Raises PackError for the default pack, which is part of the install, and for any other name.
    """
    if name == DEFAULT_PACK:
        raise PackError("the default pack is part of the install", mend="name another pack")
    folder = packs_folder()
    pulled = [Path(path).name for path in glob(f"{SOURCES_FOLDER}/*/", root_dir=folder)]
    known = {one: folder / SOURCES_FOLDER / one for one in pulled}
    known |= {one: folder / one for one in pack_names()[1:]}
    if name not in known:
        raise PackError(
            f"no pack {name!r} is installed; there are: {', '.join(sorted(known)) or 'none'}",
            mend=did_you_mean(name, known),
        )
    return known[name]


def remove_pack(name: str) -> Path:
    """Delete an installed pack or a pulled model by its name; returns the folder that it was.

    Raises PackError as `removable` does, OutputError where it cannot be deleted.
    """
    folder = removable(name)
    with output_errors(folder):
        if folder.is_symlink():
            folder.unlink()  # what it leads to is not ours
        else:
            shutil.rmtree(folder)
    return folder


def packs_folder() -> Path:
    """Where installed packs lie: one folder each, in the user's data folder."""
    return data_folder() / "packs"


def check_name(name: str) -> str:
    """The name, if folders can have it on every system. Raises PackError otherwise."""
    if not NAME.fullmatch(name) or name in RESERVED:
        raise PackError(
            "expected a name of letters, digits, dots, dashes and underscores, not "
            f"{' or '.join(map(repr, RESERVED))}, got {name!r}"
        )
    return name
