"""Files and folders that are whole or not there at all, one writer at a time, and safe names."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from visavis.errors import DownloadError, OutputError, PackError


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


WORK = ".partial"  # after the name of the folder that is to be
WHOLE = "whole"


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place `final` once the block has ended well, and else is
    gone. Of several at once the first has it.

    Raises OutputError where it cannot be written, or that place is taken by then.
    """
    with writing(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(
            dir=final.parent, prefix=".making-", ignore_cleanup_errors=True
        ) as work:
            whole = Path(work) / final.name  # its own name: what fails in the block says it
            whole.mkdir()
            yield whole
            os.rename(whole, final)


@contextmanager
def landing(final: Path, *, resume: bool = False) -> Iterator[Path]:
    """As `whole_folder`, but an earlier `final` goes then, and one process at a time is at it.

    What an earlier call left is there again where `resume`, else it is removed. Raises OutputError
    where it cannot be written, DownloadError where another process is at it.
    """
    work = final.with_name(final.name + WORK)
    with held(final.with_name(final.name + ".lock")):
        try:
            with writing(final):
                if not resume:
                    shutil.rmtree(work, ignore_errors=True)
                (work / WHOLE).mkdir(parents=True, exist_ok=True)
                yield work / WHOLE
                _rename(work / WHOLE, final, work / "old")
                shutil.rmtree(work, ignore_errors=True)
        finally:
            _tidy(work, resume)


def is_taken(folder: Path) -> bool:
    """Whether there is something of that name: an empty folder is nothing."""
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def refuse_taken(folder: Path) -> None:
    """Raises PackError where there is something of that name, be it an empty folder."""
    if folder.exists() or folder.is_symlink():
        raise PackError(f"{folder}: is there already: delete it first, or choose another name")


def _rename(whole: Path, final: Path, old: Path) -> None:
    shutil.rmtree(old, ignore_errors=True)
    taken = is_taken(final)
    if taken:
        os.rename(final, old)
    try:
        os.rename(whole, final)
    except OSError:
        if taken:
            os.rename(old, final)
        raise


def _tidy(work: Path, resume: bool) -> None:
    """Leave what a later call can go on from, and no empty folder."""
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    for folder in (work / WHOLE, work):
        with suppress(OSError):
            folder.rmdir()


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
