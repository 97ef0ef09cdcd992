"""Folders that get their name when they are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from visavis.errors import PackError
from visavis.files import writing
from visavis.pack.lock import held

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
