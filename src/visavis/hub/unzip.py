"""Unpack a zip that may be hostile: only plain files, below one folder, of a bounded size.

Knows nothing of what the files hold.
"""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from visavis.errors import DownloadError, OutputError

MOST_FILES = 64
MOST_BYTES = 4 << 30  # of all files together, unpacked
# Times a zip's size that its files may have: weights hardly shrink, and deflate can reach 1,032.
MOST_GROWTH = 100
BLOCK = 1 << 20
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unzip(archive: Path, folder: Path, *, most_bytes: int = MOST_BYTES) -> list[str]:
    """Unpack into a new folder; returns the names of the files below it.

    A top folder that all files share is left out. Raises DownloadError for a file that is no zip,
    is damaged, unpacks to more than MOST_GROWTH times its size, or holds anything but plain files
    with different names; OutputError where they cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _members(archive, opened, most_bytes)
            for name, member in members.items():
                _unpack(opened, member, folder / name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DownloadError(f"{archive}: the zip is damaged: {error}") from error
    except OSError as error:
        why = error.strerror or error
        raise OutputError(f"{folder}: cannot unpack {archive.name}: {why}") from error
    return sorted(members)


def _members(archive: Path, opened: zipfile.ZipFile, most_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """The files by the names they will have. Raises DownloadError for one that is not allowed."""
    files = [info for info in opened.infolist() if not info.is_dir()]
    size = sum(info.file_size for info in files)
    if not 1 <= len(files) <= MOST_FILES or size > most_bytes:
        raise DownloadError(
            f"{archive}: expected 1 to {MOST_FILES} files of at most {most_bytes} bytes in all, "
            f"got {len(files)} of {size}"
        )
    packed = archive.stat().st_size
    if size > MOST_GROWTH * packed:
        raise DownloadError(
            f"{archive}: expected a zip that unpacks to at most {MOST_GROWTH} times its size, got "
            f"{size:,} bytes from {packed:,}"
        )
    for info in files:
        why = _fault(info)
        if why:
            raise DownloadError(f"{archive}: refused: {why}: {info.filename!r:.80}")
    paths = [PurePosixPath(info.filename) for info in files]
    shared = len({path.parts[0] for path in paths}) == 1 and all(len(p.parts) > 1 for p in paths)
    named = {"/".join(path.parts[shared:]): info for path, info in zip(paths, files, strict=True)}
    if len({name.casefold() for name in named}) != len(files):
        raise DownloadError(f"{archive}: refused: two files of one name")
    return named


def _fault(info: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member, or None."""
    name = info.orig_filename
    parts = name.split("/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    checks = {
        "a name that leads out of the folder": name.startswith("/")
        or any(part in ("", ".", "..") for part in parts),
        "a name that some systems read otherwise": any(c in name for c in '\\:\0*?"<>|')
        or any(part != part.rstrip(". ") for part in parts)
        or not name.isprintable(),
        "not a plain file": kind not in (0, stat.S_IFREG),
        "encrypted": bool(info.flag_bits & 1),
        "packed in an unusual way": info.compress_type not in PACKED,
    }
    return next((why for why, wrong in checks.items() if wrong), None)


def _unpack(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Write one file. zipfile stops at the size that was checked, and checks the CRC then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, path.open("xb") as target:
        while block := source.read(BLOCK):
            target.write(block)
