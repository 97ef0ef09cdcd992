"""The photos that are meant: files, folders of photos, patterns. Reads first bytes, decodes none.

What may show a face and cannot be read (HEIC without its extra, a video, a PDF) stays in the list:
whoever reads it says so, as of any bad photo. What shows none (text) is left out and counted.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from glob import glob
from pathlib import Path

from visavis.dataset.tree import SUFFIXES, walk
from visavis.errors import DatasetError
from visavis.formats import HEAD, READABLE, Kind, kind_of
from visavis.image import ADDRESS, STDIN

log = logging.getLogger(__name__)
SPECIAL = Kind("pipe or device", shows=False)


def find_photos(sources: Iterable[str | Path]) -> list[Path]:
    """The photos of several sources, in order: a file as it is, a folder's photos, the files that
    match a pattern. "-" is a photo on standard input.

    Links to folders are followed, each folder once. What a folder holds beside photos is counted,
    by kind, in a warning of the log. Raises DatasetError for a folder without photos and a pattern
    that matches nothing.
    """
    photos: list[Path] = []
    for source in map(str, sources):
        path = Path(source)
        named = source == STDIN or ADDRESS.match(source) or not _is_pattern(source)
        if path.is_dir():
            files = _in_folder(path)
        elif path.exists() or named:
            # A missing file is an error when it is read, like any bad picture.
            files = [path]
        else:
            files = _matching(path)
        if not files:
            raise DatasetError(f"{source}: no photos here", mend=f"they may be {READABLE}")
        photos.extend(files)
    return photos


def _is_pattern(source: str) -> bool:
    return any(sign in source for sign in "*?[")


def _matching(pattern: Path) -> list[Path]:
    """The files that match. Folders that are there keep their brackets, which are no pattern."""
    parts = pattern.parts
    there = next(
        (Path(*parts[:end]) for end in range(len(parts) - 1, 0, -1) if Path(*parts[:end]).is_dir()),
        Path(),
    )
    rest = pattern.relative_to(there)
    matches = (there / match for match in sorted(_globbed(rest, there)))
    return [match for match in matches if match.is_file()]


def _globbed(pattern: Path, folder: Path) -> list[str]:
    """Names that match; where none does, those in which its brackets are meant as they are."""
    plain = str(pattern).replace("[", "[[]")
    return glob(str(pattern), root_dir=folder, recursive=True) or glob(
        plain, root_dir=folder, recursive=True
    )


def _in_folder(folder: Path) -> list[Path]:
    """A folder's photos, sorted, and a warning of what else is in it."""
    walked = walk(folder)
    photos = [*walked.closed]  # whoever opens one of them says that it cannot be opened
    unread: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for file in (one for one in walked.files if not one.name.startswith(".")):
        # Most photos are known by their names, and not opened twice.
        kind = None if file.suffix.lower() in SUFFIXES else _kind(file)
        if kind is None or kind.shows:
            photos.append(file)
        if kind is not None and not kind.readable:
            (unread if kind.shows else others)[kind.name] += 1
    others["link to a folder that holds it"] += len(walked.above)
    _warn(folder, +unread, +others)
    return sorted(photos)


def _kind(file: Path) -> Kind | None:
    """What a file is; None where it cannot be opened, which is for its reader to say."""
    if not file.is_file():
        # A pipe or a device would be waited for; a link may lead nowhere.
        return None if file.is_symlink() and not file.exists() else SPECIAL
    try:
        with file.open("rb") as opened:
            return kind_of(opened.read(HEAD))
    except OSError:
        return None


def _warn(folder: Path, unread: Counter[str], others: Counter[str]) -> None:
    parts = [
        f"{total} {words} ({', '.join(f'{kind}: {kinds[kind]}' for kind in sorted(kinds))})"
        for kinds, words in ((unread, "cannot be read"), (others, "left out, no photos"))
        if (total := kinds.total())
    ]
    if parts:
        log.warning("%s: %s", folder, "; ".join(parts))
