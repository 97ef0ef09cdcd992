"""Files that are whole or not there at all, and names that lead nowhere else."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from visavis.errors import OutputError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the system refuses within the block, as an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error


def is_plain(name: str) -> bool:
    """Whether a name that somebody else chose is a file's own, and leads to no other folder."""
    return Path(name).name == name and name not in ("", "..") and "\0" not in name


def write_whole(path: Path, *parts: bytes) -> None:
    """Write a file, or leave what was there: never half of one, whoever reads or writes it now.

    Raises OutputError where it cannot be written.
    """
    staging: Path | None = None
    try:
        with writing(path):
            with NamedTemporaryFile(dir=path.absolute().parent, delete=False) as file:
                staging = Path(file.name)
                file.writelines(parts)
            staging.chmod(0o644)  # a temporary file is its owner's alone
            os.replace(staging, path)
    finally:
        if staging is not None:
            staging.unlink(missing_ok=True)  # there still where writing failed or was interrupted
