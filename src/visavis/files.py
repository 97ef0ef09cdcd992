"""Files and folders that are whole or not there at all, and locks that let one process write.

Knows nothing of what the files hold.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory

from visavis.errors import OutputError, VisavisError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WORK = ".partial"  # behind the name of the folder that is being made
WHOLE = "whole"  # in the work folder: what takes the final place
ODD = frozenset('<>:"/\\|?*')  # in no name of a file, on one system or another
STEM_BYTES = 150  # most file systems take names of 255
DEVICES = re.compile("con|prn|aux|nul|(com|lpt)[0-9]", re.IGNORECASE)
OLD = "old"  # in the work folder: what had the final place


def is_plain(name: str) -> bool:
    """Whether a name from elsewhere is a file's own name, and leads to no other folder."""
    return Path(name).name == name and name not in ("", "..") and "\0" not in name


def safe_stem(text: str) -> str:
    """A text as the first part of a file's name: on any system, short, and never another folder."""
    plain = "".join(sign if sign.isprintable() and sign not in ODD else "_" for sign in text)
    short = plain.encode(errors="replace")[:STEM_BYTES].decode(errors="ignore")
    # Windows drops dots and spaces at the end, and takes CON for a device.
    stem = short.strip(" .") or "_"
    return f"_{stem}" if DEVICES.fullmatch(stem.partition(".")[0]) else stem


def is_taken(folder: Path) -> bool:
    """Whether something has that name already: an empty folder does not count."""
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def refuse_taken(folder: Path, error: type[VisavisError] = OutputError) -> None:
    """Raise `error` where something has that name already, even an empty folder."""
    if folder.exists() or folder.is_symlink():
        raise error(f"{folder}: is there already", mend="delete it first, or choose another name")


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Raise what the system refuses within the block as an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error


def write_whole(path: Path, *parts: bytes, private: bool = False) -> None:
    """Write a file, or leave the earlier one: nobody ever reads half of it.

    With `private` its owner alone may read it. Raises OutputError where it cannot be written.
    """
    staging: Path | None = None
    try:
        with output_errors(path):
            with NamedTemporaryFile(dir=path.absolute().parent, delete=False) as file:
                staging = Path(file.name)
                file.writelines(parts)
            # A temporary file may be read by its owner alone.
            staging.chmod(0o600 if private else 0o644)
            os.replace(staging, path)
    finally:
        if staging is not None:
            # It is still there where writing failed or was interrupted.
            staging.unlink(missing_ok=True)


def make_private(folder: Path) -> None:
    """Make a folder that its owner alone may enter; one that is there stays as it is.

    Raises OSError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:  # another process may be making it, too
        if not folder.is_dir():
            raise


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A new folder to fill: it gets the name `final` when the block ends, and is removed if the
    block fails. When several processes race, the first one wins.

    Raises OutputError where it cannot be written, or something has that name by then.
    """
    with output_errors(final):
        final.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(
            dir=final.parent, prefix=".making-", ignore_cleanup_errors=True
        ) as work:
            # It has the final folder's own name, so that errors in the block show it.
            whole = Path(work) / final.name
            whole.mkdir()
            yield whole
            os.rename(whole, final)


@contextmanager
def replacing_folder(
    final: Path, error: type[VisavisError] = OutputError, *, resume: bool = False
) -> Iterator[Path]:
    """As `whole_folder`, but it replaces an earlier `final`, and other processes are kept out.

    With `resume` the folder still holds what an interrupted call left in it, else it is empty.
    Raises OutputError where it cannot be written, `error` where another process is writing it.
    """
    work = final.with_name(final.name + WORK)
    with held(final.with_name(final.name + ".lock"), error):
        try:
            with output_errors(final):
                if not resume:
                    shutil.rmtree(work, ignore_errors=True)
                (work / WHOLE).mkdir(parents=True, exist_ok=True)
                yield work / WHOLE
                _put_in_place(work, final)
                shutil.rmtree(work, ignore_errors=True)
        finally:
            _tidy(work, resume)


def _put_in_place(work: Path, final: Path) -> None:
    """Rename the whole folder to `final`. An earlier `final` comes back where that fails."""
    whole, old = work / WHOLE, work / OLD
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
    """Leave what a later call can resume from, and no empty folder."""
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    for folder in (work / WHOLE, work):
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def held(path: Path, error: type[VisavisError] = OutputError) -> Iterator[None]:
    """Hold a lock file, which is made for this block and removed after it.

    Raises `error` where another process holds it, OutputError where it cannot be made.
    """
    file = _take(path, error)
    try:
        yield
    finally:
        # On Windows an open file cannot be removed.
        with suppress(OSError):
            path.unlink()
        os.close(file)


def _take(path: Path, error: type[VisavisError]) -> int:
    while True:
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(file)
        except OSError as fault:
            os.close(file)
            raise error(
                f"{path}: another process is writing this",
                mend="wait until it has ended, then try again",
            ) from fault
        if _is_at(file, path):
            return file
        # Its last holder has removed it meanwhile: a lock on it would keep nobody out.
        os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: int) -> None:
    """Raises OSError where another process has locked it."""
    if sys.platform == "win32":
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
