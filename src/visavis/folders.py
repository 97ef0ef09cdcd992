"""Where visavis keeps what is its own: the user's folders for cache, data and configuration.

Knows which variable moves each of them. Does not know what lies in them.
"""

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs

from visavis.errors import OutputError


def cache_folder() -> Path:
    """What can be made again. Raises OutputError where the user has no home folder."""
    return _own(platformdirs.user_cache_dir, "XDG_CACHE_HOME")


def data_folder() -> Path:
    """Packs, galleries and pins. Raises OutputError where the user has no home folder."""
    return _own(platformdirs.user_data_dir, "XDG_DATA_HOME")


def config_folder() -> Path:
    """Keys. Raises OutputError where the user has no home folder."""
    return _own(platformdirs.user_config_dir, "XDG_CONFIG_HOME")


def can_write(folder: Path) -> bool:
    """Whether this process may write in a folder, or may make it where it is not there yet."""
    # Not Path.exists: it raises where a folder above may not be looked into.
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def _own(find: Callable[[str], str], variable: str) -> Path:
    try:
        folder = Path(find("visavis"))
    except RuntimeError as error:
        raise _homeless(variable) from error
    # Earlier versions of platformdirs give "~/.cache" as it is.
    if not folder.is_absolute():
        raise _homeless(variable)
    return folder


def _homeless(variable: str) -> OutputError:
    return OutputError(
        "this user has no home folder", mend=f"set ${variable} to a folder that can be written"
    )
