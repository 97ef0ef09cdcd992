"""One process at a time: a lock that the system gives back, however its holder ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from visavis.errors import DownloadError
from visavis.files import writing


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file, made for it and removed after.

    Raises DownloadError where another process holds it, OutputError where it cannot be made.
    """
    file = _held(path)
    try:
        yield
    finally:
        with suppress(OSError):  # on Windows an open file cannot be removed
            path.unlink()
        os.close(file)


def _held(path: Path) -> int:
    while True:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(file)
        except OSError as error:
            os.close(file)
            raise DownloadError(
                f"{path}: another process is at it: wait until it has ended"
            ) from error
        if _is_at(file, path):
            return file
        os.close(file)  # its last holder has removed it: a lock on it keeps nobody out


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
