"""A file from the web: whole and of the right hash, or not there at all. A later call goes on where
a killed one stopped.
"""

import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from visavis.document import parse, to_bytes
from visavis.errors import DownloadError, OutputError
from visavis.files import held, write_whole, writing
from visavis.hub import web


@dataclass(frozen=True, slots=True)
class Note:
    """Which file a part belongs to."""

    url: str  # redacted
    etag: str | None  # a strong one
    size: int | None
    sha256: str | None  # wanted, or announced by the hub
    commit: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """A file's beginning, beside where the file will be."""

    target: Path

    @property
    def path(self) -> Path:
        """The bytes that are here."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def _note(self) -> Path:
        return self.target.with_name(self.target.name + ".part.json")

    def size(self) -> int:
        """How many bytes are here."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def note(self) -> Note | None:
        """Which file this is a part of, if that can be read."""
        try:
            return parse(Note, self._note.read_bytes(), str(self._note), DownloadError)
        except (OSError, DownloadError):
            return None

    def keep_note(self, note: Note) -> None:
        """Say which file this is a part of, before any byte of it is written."""
        write_whole(self._note, to_bytes(note))

    def open_at(self, start: int) -> BinaryIO:
        """Open to go on behind the first `start` bytes; what is there beyond them goes."""
        file = self.path.open("r+b" if self.path.exists() else "wb")
        file.truncate(start)
        file.seek(start)
        return file

    def discard(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def name_final(self) -> None:
        """Give the whole file its name. Raises OutputError where that cannot be."""
        with writing(self.target):
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
            self._note.unlink(missing_ok=True)
            os.replace(self.path, self.target)


def sha256_of(path: Path) -> str:
    """A file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


LARGEST = 8 << 30  # bytes of a file whose size nobody has named
PAGES = (b"<html", b"<!doctype", b"<?xml")
POINTER = b"version https://git-lfs.github.com/spec/"

Progress = Callable[[int, int | None], None]  # bytes that are here, bytes in all if known

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for."""

    timeout: float = 20.0  # seconds without a byte
    tries: int = 5  # in a row, that bring next to nothing
    wait: float = 1.0  # seconds before the second try, doubled before each later one


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was fetched, and from where."""

    url: str  # redacted
    size: int
    sha256: str
    commit: str | None = None  # of the hub's repository
    was_here: bool = False  # whole, so that nothing was asked for


@dataclass(frozen=True, slots=True)
class _Job:
    part: Part
    size: int | None
    sha256: str | None
    reason: str
    progress: Progress | None
    patience: Patience


def download(
    urls: Sequence[str],
    target: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    reason: str = "",
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> Receipt:
    """Fetch a file from the first of `urls` that has it. `reason` is added to the error where it is
    another than `size` and `sha256` name.

    Raises DownloadError where none has it; nothing is left then but what a later call can go on
    from. Raises OutputError where it cannot be written.
    """
    job = _Job(Part(target), size, sha256, reason, progress, patience or Patience())
    if sha256 and target.is_file() and sha256_of(target) == sha256:
        return Receipt(str(target), target.stat().st_size, sha256, was_here=True)
    web.refuse_offline(urls[0])
    failures: list[DownloadError] = []
    with held(target.with_name(target.name + ".lock")):
        for url in urls:
            try:
                return _from(url, job)
            except DownloadError as error:
                log.info("%s", error)
                failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    told = "; ".join(map(str, failures))
    raise DownloadError(f"{target.name}: none of {len(failures)} sources has it: {told}")


def _from(url: str, job: _Job) -> Receipt:
    """The file from one server. A continued one that is wrong in the end is begun once more."""
    continued = _keep_part(url, job)
    _fetch(url, job)
    note, size, found = job.part.note(), job.part.size(), sha256_of(job.part.path)
    wanted = job.sha256 or (note.sha256 if note else None)
    if found != (wanted or found) or size != (job.size or size):
        job.part.discard()
        if continued:
            return _from(url, job)
        raise _other(url, job, _words(job.size, wanted), f"found {_words(size, found)}")
    job.part.name_final()
    return Receipt(web.redacted(url), size, found, note.commit if note else None)


def _fetch(url: str, job: _Job) -> None:
    """Ask until the part is whole: each time for what is missing."""
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
            pause = min(job.patience.wait * 2 ** max(idle - 1, 0), web.LONGEST_PAUSE)
            log.info("%s: %s: another try", web.redacted(url), broken)
            time.sleep(pause if broken.pause is None else broken.pause)


def _ask_rest(url: str, job: _Job) -> None:
    """One request, for what is missing, and what comes of it."""
    start, note = job.part.size(), job.part.note()
    headers = {}
    if start and note and (note.sha256 or note.etag):
        headers["Range"] = f"bytes={start}-"
        if note.etag and note.url == web.redacted(url):
            headers["If-Range"] = note.etag
    answer = web.ask(url, headers, timeout=job.patience.timeout)
    with closing(answer.response):
        now = _described(url, answer, job)
        if answer.response.status == 416:
            _refuse_range(url, now, start, job)
        elif answer.response.status == 200:  # all of it: ranges are not to be had, or it changed
            _receive(url, answer, 0, now, job)
        elif _range_start(answer) != start or not _fits(now, note):
            job.part.discard()
            raise web.Broken("the file has changed meanwhile", pause=0)
        else:
            _receive(url, answer, start, now, job)


def _described(url: str, answer: web.Answer, job: _Job) -> Note:
    """What an answer says of the whole file."""
    headers = answer.response.headers
    etag = headers.get("ETag")
    total = re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d{1,18})", headers.get("Content-Range", ""))
    length = total[1] if total else headers.get("Content-Length", "")
    announced = job.sha256 or answer.sha256
    if job.sha256 and answer.sha256 not in (None, job.sha256):
        raise _other(url, job, f"sha256 {job.sha256}", f"the hub announces {answer.sha256}")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError(f"{web.redacted(url)}: expected the plain file, got a packed one")
    return Note(
        url=web.redacted(url),
        etag=etag if etag and not etag.startswith("W/") else None,
        size=int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None,
        sha256=announced,
        commit=answer.commit,
    )


def _fits(now: Note, note: Note | None) -> bool:
    """Whether a range is of the file that the part was begun with."""
    if note is None or now.size not in (None, note.size or now.size):
        return False
    return now.url != note.url or (now.etag, now.sha256) == (note.etag, note.sha256)


def _range_start(answer: web.Answer) -> int | None:
    found = re.match(r"bytes (\d{1,18})-", answer.response.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _refuse_range(url: str, now: Note, start: int, job: _Job) -> None:
    """416: nothing is missing, or the part is of another file."""
    if start and now.size == start:
        return
    job.part.discard()
    if not start:
        raise DownloadError(f"{web.redacted(url)}: expected a file, got HTTP 416")
    raise web.Broken("the part that is here does not fit", pause=0)


def _receive(url: str, answer: web.Answer, start: int, now: Note, job: _Job) -> None:
    """Write the body behind the first `start` bytes of the part."""
    body = web.blocks(answer.response, job.patience.timeout)
    first = next(body)  # Broken where nothing came of what was announced
    if not start:
        _refuse_page(url, first, job)
    total = job.size or now.size
    if now.size not in (None, total) or (total or 0) > max(LARGEST, job.size or 0):
        wanted = f"{job.size or f'at most {LARGEST}'} bytes"
        raise _other(url, job, wanted, f"the server has {now.size}")
    try:
        _refuse_full_disk(job, (total or 0) - start)
        job.part.keep_note(replace(now, size=total))
        with job.part.open_at(start) as file:
            for done, block in _bounded(url, first, body, start, total or LARGEST):
                file.write(block)
                if job.progress:
                    job.progress(done, total)
    except DownloadError:
        job.part.discard()
        raise
    except OSError as error:
        why = error.strerror or error
        raise OutputError(f"{job.part.path}: cannot write: {why}; what is here is kept") from error


def _bounded(
    url: str, first: bytes, body: Iterator[bytes], start: int, most: int
) -> Iterator[tuple[int, bytes]]:
    """The blocks, each with the bytes there are after it. Raises DownloadError past `most`."""
    done, block = start, first
    while True:
        done += len(block)
        if done > most:
            raise DownloadError(f"{web.redacted(url)}: more than the {most} bytes announced")
        yield done, block
        try:
            block = next(body)
        except StopIteration:
            return


def _refuse_page(url: str, head: bytes, job: _Job) -> None:
    """What sign-in pages and repositories give in place of a model."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    page = web.redacted(url).split("/resolve/")[0]
    if start.startswith(PAGES):
        job.part.discard()
        raise DownloadError(
            f"{web.redacted(url)}: this is a web page, not a model: sign in or accept the terms at "
            f"{page}"
        )
    if start.startswith(POINTER):
        job.part.discard()
        raise DownloadError(
            f"{web.redacted(url)}: this is a Git LFS pointer, not the model itself: look at {page}"
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
    """Whether there is a part of this very file; one of another is removed."""
    note = job.part.note()
    same = note is not None and (
        note.sha256 == job.sha256
        if job.sha256
        else note.url == web.redacted(url) and bool(note.etag or note.sha256)
    )
    if not same or job.part.size() > (job.size or LARGEST):
        job.part.discard()
    return job.part.size() > 0


def _other(url: str, job: _Job, wanted: str, found: str) -> DownloadError:
    text = f"{web.redacted(url)}: not the file that was wanted: wanted {wanted}, {found}"
    return DownloadError("; ".join(filter(None, (text, job.reason))))


def _words(size: int | None, sha256: str | None) -> str:
    return " and ".join(
        text
        for text in (f"{size} bytes" * bool(size), f"sha256 {sha256 or ''}" * bool(sha256))
        if text
    )
