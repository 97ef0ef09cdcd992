"""A file from the web: whole and of the right hash, or not there at all.

An interrupted download resumes where it stopped, in a later call too. Knows nothing of models.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from visavis.document import parse, to_bytes
from visavis.errors import DownloadError, OutputError
from visavis.files import held, output_errors, write_whole
from visavis.hub import web

LARGEST = 8 << 30  # bytes of a file whose size is not known
PAGES = (b"<html", b"<!doctype", b"<?xml")
POINTER = b"version https://git-lfs.github.com/spec/"

# Told of each block: the file's name, bytes that are here, bytes in all if known.
Received = Callable[[str, int, int | None], None]
# Makes the error for a file that differs from what was expected, of words that say how.
Mismatch = Callable[[str], DownloadError]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server."""

    timeout: float = 20.0  # seconds without a byte
    tries: int = 5  # in a row that bring next to nothing
    wait: float = 1.0  # seconds before the second try, doubled before each later one


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was fetched, and from where."""

    url: str  # redacted
    size: int
    sha256: str
    commit: str | None = None  # of the hub's repository
    was_here: bool = False  # whole already, so that no server was asked


@dataclass(frozen=True, slots=True)
class Note:
    """Which file a part belongs to, kept beside the part."""

    url: str  # redacted
    etag: str | None  # a strong one
    size: int | None
    sha256: str | None  # expected, or announced by the hub
    commit: str | None


@dataclass(frozen=True, slots=True)
class PartFile:
    """The beginning of a file that is being downloaded, beside its final place."""

    target: Path

    @property
    def path(self) -> Path:
        """Where the bytes are that came so far."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def _note(self) -> Path:
        return self.target.with_name(self.target.name + ".part.json")

    def size(self) -> int:
        """How many bytes are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def note(self) -> Note | None:
        """Which file this is a part of, or None where that is not known."""
        try:
            return parse(Note, self._note.read_bytes(), str(self._note), DownloadError)
        except (OSError, DownloadError):
            return None

    def keep_note(self, note: Note) -> None:
        """Write down which file this is a part of. Call it before any byte is written."""
        write_whole(self._note, to_bytes(note))

    def open_at(self, start: int) -> BinaryIO:
        """Open to write behind the first `start` bytes; later bytes are dropped."""
        file = self.path.open("r+b" if self.path.exists() else "wb")
        file.truncate(start)
        file.seek(start)
        return file

    def discard(self) -> None:
        """Remove the part and its note."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def name_final(self) -> None:
        """Give the whole file its final name. Raises OutputError where that fails."""
        with output_errors(self.target):
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            self._note.unlink(missing_ok=True)
            os.replace(self.path, self.target)


@dataclass(frozen=True, slots=True)
class _Job:
    """One call of `download`, whatever address is asked."""

    part: PartFile
    size: int | None
    sha256: str | None
    mismatch: Mismatch
    progress: Received | None
    patience: Patience

    def differs(self, url: str, expected: str, came: str) -> DownloadError:
        """The error for a file that is not the expected one."""
        return self.mismatch(
            f"{web.redacted(url)}: not the file that was wanted: wanted {expected}, {came}"
        )


def download(
    urls: Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    mismatch: Mismatch = DownloadError,
    progress: Received | None = None,
    patience: Patience | None = None,
) -> Receipt:
    """Fetch a file from the first of `urls` that has it.

    Raises DownloadError where none has it, and what `mismatch` makes where the file is not of
    `size` and `sha256`; only what a later call can resume from is left then. Raises OutputError
    where it cannot be written.
    """
    job = _Job(PartFile(target), size, sha256, mismatch, progress, patience or Patience())
    if sha256 and target.is_file() and sha256_of(target) == sha256:
        return Receipt(str(target), target.stat().st_size, sha256, was_here=True)
    web.refuse_offline(urls[0])
    failures: list[DownloadError] = []
    with held(target.with_name(target.name + ".lock"), DownloadError):
        for url in urls:
            try:
                return _from(url, job)
            except DownloadError as error:
                log.info("%s", error)
                failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    reasons = "; ".join(map(str, failures))
    raise DownloadError(f"{target.name}: none of {len(failures)} sources has it: {reasons}")


def sha256_of(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from(url: str, job: _Job) -> Receipt:
    """The file from one server. A resumed one that turns out wrong is begun once more."""
    resumed = _keep_part(url, job)
    _fetch(url, job)
    note, size, sha256 = job.part.note(), job.part.size(), sha256_of(job.part.path)
    expected = job.sha256 or (note.sha256 if note else None)
    if sha256 != (expected or sha256) or size != (job.size or size):
        job.part.discard()
        if resumed:
            return _from(url, job)
        raise job.differs(url, _words(job.size, expected), f"found {_words(size, sha256)}")
    job.part.name_final()
    return Receipt(web.redacted(url), size, sha256, note.commit if note else None)


def _fetch(url: str, job: _Job) -> None:
    """Ask for what is missing until the part is whole. Raises DownloadError where that fails."""
    idle, reached = 0, False
    while True:
        before = job.part.size()
        try:
            return _ask_rest(url, job)
        except web.Broken as broken:
            reached = reached or broken.reached
            idle = 0 if job.part.size() - before >= web.LEAST else idle + 1
            if idle >= job.patience.tries or not reached:
                kept = f"; {job.part.size()} bytes are kept for a later try" * bool(job.part.size())
                raise DownloadError(f"{web.redacted(url)}: {broken}{kept}") from broken
            log.info("%s: %s: another try", web.redacted(url), broken)
            time.sleep(_pause(broken, idle, job.patience))


def _pause(broken: web.Broken, idle: int, patience: Patience) -> float:
    """Seconds before the next try: as the server asked, else twice as many each time."""
    if broken.pause is not None:
        return broken.pause
    return min(patience.wait * 2.0 ** max(idle - 1, 0), web.LONGEST_PAUSE)


def _ask_rest(url: str, job: _Job) -> None:
    """One request for what is missing. Raises Broken where another may help."""
    start, note = job.part.size(), job.part.note()
    reply = web.ask(url, _range_headers(url, start, note), timeout=job.patience.timeout)
    with closing(reply.response):
        now = _described(url, reply, job)
        status = reply.response.status
        if status == 416:
            _refuse_range(url, now, start, job)
        elif status == 200:
            # The whole file: the server knows no ranges, or the file has changed.
            _receive(url, reply, 0, now, job)
        elif _range_start(reply) != start or not _fits(now, note):
            job.part.discard()
            raise web.Broken("the file has changed meanwhile", pause=0)
        else:
            _receive(url, reply, start, now, job)


def _range_headers(url: str, start: int, note: Note | None) -> dict[str, str]:
    """What asks for the bytes from `start` on, where a part can be resumed."""
    if not start or note is None or not (note.sha256 or note.etag):
        return {}
    headers = {"Range": f"bytes={start}-"}
    if note.etag and note.url == web.redacted(url):
        headers["If-Range"] = note.etag
    return headers


def _described(url: str, reply: web.Reply, job: _Job) -> Note:
    """What a reply says of the whole file."""
    headers = reply.response.headers
    etag = headers.get("ETag")
    total = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d{1,18})", headers.get("Content-Range", ""))
    length = total[1] if total else headers.get("Content-Length", "")
    if job.sha256 and reply.sha256 not in (None, job.sha256):
        raise job.differs(url, f"sha256 {job.sha256}", f"the hub announces {reply.sha256}")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(f"{web.redacted(url)}: expected the plain file, got a packed one")
    return Note(
        url=web.redacted(url),
        etag=etag if etag and not etag.startswith("W/") else None,
        size=int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None,
        sha256=job.sha256 or reply.sha256,
        commit=reply.commit,
    )


def _fits(now: Note, note: Note | None) -> bool:
    """Whether a range is of the same file as the part."""
    if note is None or now.size not in (None, note.size or now.size):
        return False
    return now.url != note.url or (now.etag, now.sha256) == (note.etag, note.sha256)


def _range_start(reply: web.Reply) -> int | None:
    start = re.match(r"bytes (\d{1,18})-", reply.response.headers.get("Content-Range", ""))
    return int(start[1]) if start else None


def _refuse_range(url: str, now: Note, start: int, job: _Job) -> None:
    """Status 416: nothing is missing, or the part is of another file."""
    if start and now.size == start:
        return
    job.part.discard()
    if not start:
        raise DownloadError(f"{web.redacted(url)}: expected a file, got HTTP 416")
    raise web.Broken("the part that is here does not fit", pause=0)


def _receive(url: str, reply: web.Reply, start: int, now: Note, job: _Job) -> None:
    """Write the body behind the first `start` bytes of the part."""
    body = web.blocks(reply.response, job.patience.timeout)
    # Raises Broken where nothing came of the bytes that were announced.
    first = next(body)
    if not start:
        _refuse_page(url, first, job)
    total = _checked_size(url, now, job)
    try:
        _refuse_full_disk(job, (total or 0) - start)
        job.part.keep_note(replace(now, size=total))
        with job.part.open_at(start) as file:
            for done, block in _bounded(url, chain((first,), body), start, total or LARGEST):
                file.write(block)
                if job.progress:
                    job.progress(job.part.target.name, done, total)
    except DownloadError:
        job.part.discard()
        raise
    except OSError as error:
        why = error.strerror or error
        raise OutputError(
            f"{job.part.path}: cannot write: {why}; the bytes that came are kept"
        ) from error


def _checked_size(url: str, now: Note, job: _Job) -> int | None:
    """The file's size in bytes, if it is known. Raises what `mismatch` makes for a wrong one."""
    total = job.size or now.size
    if now.size not in (None, total) or (total or 0) > max(LARGEST, job.size or 0):
        expected = f"{job.size or f'at most {LARGEST}'} bytes"
        raise job.differs(url, expected, f"the server has {now.size}")
    return total


def _bounded(
    url: str, blocks: Iterable[bytes], start: int, most: int
) -> Iterator[tuple[int, bytes]]:
    """Each block with the bytes that are there after it. Raises DownloadError past `most`."""
    done = start
    for block in blocks:
        done += len(block)
        if done > most:
            raise DownloadError(f"{web.redacted(url)}: more than the {most} bytes announced")
        yield done, block


def _refuse_page(url: str, head: bytes, job: _Job) -> None:
    """Raise DownloadError for what sign-in pages and repositories send in place of a model."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    page = web.redacted(url).split("/resolve/")[0]
    if start.startswith(PAGES):
        job.part.discard()
        raise DownloadError(
            f"{web.redacted(url)}: this is a web page, not a model",
            mend=f"sign in or accept the terms at {page}",
        )
    if start.startswith(POINTER):
        job.part.discard()
        raise DownloadError(
            f"{web.redacted(url)}: this is a Git LFS pointer, not the model itself",
            mend=f"look at {page}",
        )
    if not head:
        raise DownloadError(f"{web.redacted(url)}: expected a model, got an empty file")


def _refuse_full_disk(job: _Job, missing: int) -> None:
    folder = job.part.target.parent
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise OutputError(
            f"{folder}: the disk is full: {missing} bytes are needed, {free} are free"
        )


def _keep_part(url: str, job: _Job) -> bool:
    """Whether there is a part of this very file. A part of another file is removed."""
    note = job.part.note()
    same = note is not None and (
        note.sha256 == job.sha256
        if job.sha256
        else note.url == web.redacted(url) and bool(note.etag or note.sha256)
    )
    if not same or job.part.size() > (job.size or LARGEST):
        job.part.discard()
    return job.part.size() > 0


def _words(size: int | None, sha256: str | None) -> str:
    return " and ".join([f"{size} bytes"] * bool(size) + [f"sha256 {sha256}"] * bool(sha256))
