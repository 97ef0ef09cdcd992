"""Folders that get their name when they are whole."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from visavis.errors import OutputError
from visavis.pack.lock import held

WORK = ".partial"  # after the name of the folder that is to be
WHOLE = "whole"


@contextmanager
def landing(final: Path, *, resume: bool = False) -> Iterator[Path]:
    """A folder to fill, which is `final` once the block has ended well: an earlier one goes then.

    What an earlier call left is there again where `resume`, else it is removed. Raises OutputError
    where it cannot be written, DownloadError where another process is at it.
    """
    work = final.with_name(final.name + WORK)
    with held(final.with_name(final.name + ".lock")):
        try:
            if not resume:
                shutil.rmtree(work, ignore_errors=True)
            (work / WHOLE).mkdir(parents=True, exist_ok=True)
            yield work / WHOLE
            _rename(work / WHOLE, final, work / "old")
            shutil.rmtree(work, ignore_errors=True)
        except OSError as error:
            raise OutputError(f"{final}: cannot write: {error.strerror or error}") from error
        finally:
            _tidy(work, resume)


def is_taken(folder: Path) -> bool:
    """Whether there is something of that name: an empty folder is nothing."""
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


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
