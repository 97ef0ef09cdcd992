"""What a verb prints: answers on stdout, errors and progress on stderr."""

import json as jsons
import logging
import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import typer

from visavis.errors import OutputError, VisavisError

if TYPE_CHECKING:
    from visavis.batch import Progress as BatchProgress

T = TypeVar("T")
# One photo's answer: its JSON document, and its lines of words.
PhotoAnswer = tuple[dict[str, Any], list[str]]

# They turn the rest of a line around: "photo\u202egpj.exe" shows as "photoexe.jpg".
REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
PATIENCE = 1.0  # seconds that must be left for progress to be shown


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error as it is told: one line for people, and the same words for machines."""

    code: str
    message: str
    mend: str = ""
    option: str = ""  # that mends it, as the command line spells it

    def __str__(self) -> str:
        text = f"{self.message}: {self.mend}" if self.mend else self.message
        return f"{text} ({self.option})" if self.option and self.option not in text else text

    def document(self) -> dict[str, str]:
        """Its fields, `option` where there is one."""
        said = {"code": self.code, "message": self.message, "mend": self.mend}
        return {**said, "option": self.option} if self.option else said


class Failures:
    """The items of a batch that failed, and why; the others are not affected."""

    def __init__(self) -> None:
        self.items: list[dict[str, str]] = []

    def add(self, path: Path, error: VisavisError) -> None:
        """Keep an item and its error, and print the error on stderr."""
        reason = complaint(error)
        self.items.append({"path": str(path), "error": str(reason), **reason.document()})
        complain(str(reason))

    def exit(self, items: int) -> None:
        """Exit 2 where the one item failed, 3 where some of a batch did."""
        if self.items:
            raise typer.Exit(2 if items == 1 else 3)


def complaint(error: VisavisError) -> Complaint:
    """What is wrong and how to mend it, in one line, with the name of the option that mends it."""
    option = f"--{error.option.replace('_', '-')}" if error.option else ""
    return Complaint(error.code, one_line(error.what), one_line(error.mend), option)


def one_line(text: str) -> str:
    """The words of a text, a space between them."""
    return " ".join(text.split())


def wants_json(words: Iterable[str]) -> bool:
    """Whether a command line asks for JSON. What stands behind a bare `--` is no option."""
    return "--json" in takewhile(lambda word: word != "--", words)


def tell(reason: Complaint, *, json: bool) -> None:
    """An error in one line on stderr; for a machine also as the one document on stdout, if that
    can be written.
    """
    if json:
        with suppress(OutputError, BrokenPipeError):
            print_json({"error": reason.document()})
    complain(str(reason))


def harmless(text: str) -> str:
    """The text with what would steer a terminal, or reorder its line, written as an escape.

    Names of files and of people are anybody's: "\\x1b[2J" must not clear the screen.
    """
    return "".join(
        sign.encode("unicode_escape").decode() if _steers(sign) else sign for sign in text
    )


def _steers(sign: str) -> bool:
    # Controls, halves of a pair, line and paragraph separators; but not the joiners (Cf), without
    # which Persian and Hindi names are not as they are written.
    return sign in REORDERING or unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")


def print_lines(lines: Iterable[str], file: TextIO | None = None) -> None:
    """Lines for people, on stdout unless `file` says otherwise; each stays one line."""
    with _named_errors():
        for text in lines:
            print(harmless(text), file=file)


def complain(text: str) -> None:
    """One line on stderr, if that can be written."""
    with suppress(OSError):
        print(f"visavis: {harmless(text)}", file=sys.stderr)


def prepare_streams() -> None:
    """Let stdout and stderr escape what their encoding lacks, and be there where they are closed:
    no answer fails because of its letters.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def confirm(question: str, *, json: bool) -> None:
    """Ask, and end with exit code 1 for a no. A machine is not asked: it must have said --yes."""
    if json:
        raise typer.BadParameter(f"{question} With --json nobody is asked: say --yes")
    typer.confirm(question, abort=True)


def flush() -> int:
    """Write what stdout still holds: 0. Raises OutputError for a full disk, BrokenPipeError."""
    try:
        with _named_errors():
            sys.stdout.flush()
    except (OutputError, BrokenPipeError):
        # Python would try once more as it ends, and exit with a code of its own.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise
    return 0


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        # Without its number: typer ends EPIPE with exit code 1, which means "no match".
        raise BrokenPipeError("nobody reads the output") from error
    except OSError as error:
        raise OutputError(f"the output cannot be written: {error.strerror}") from error


@contextmanager
def log_on_stderr() -> Iterator[None]:
    """Show the library's warnings as this command line shows errors."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("visavis: %(message)s"))
    handler.addFilter(_harmlessly)
    log = logging.getLogger("visavis")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


@contextmanager
def requests_on_stderr() -> Iterator[None]:
    """Show a line of JSON for each request that a service answers, and nothing else of it."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("visavis.requests")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = True


def _harmlessly(record: logging.LogRecord) -> bool:
    record.msg, record.args = harmless(record.getMessage()), ()
    return True


def print_json(document: Any) -> None:
    """One JSON document on stdout; escaped as JSON has it where stdout's encoding lacks a sign."""
    text = jsons.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = jsons.dumps(document, indent=2, allow_nan=False)
    with _named_errors():
        print(text)


def print_answer(document: Any, lines: Iterable[str], *, json: bool) -> None:
    """One answer on stdout: its JSON document, or its lines for people."""
    if json:
        print_json(document)
        return
    print_lines(lines)


def print_images(
    answers: Iterable[tuple[Path, PhotoAnswer]], failures: Failures, *, json: bool
) -> None:
    """Each photo's lines as they come, or all documents in one, with what failed."""
    images: list[dict[str, Any]] = []
    for _, (document, lines) in answers:
        if json:
            images.append(document)
        else:
            print_lines(lines)
    if json:
        print_json({"images": images, "errors": failures.items})


def below(path: Path, paths: list[Path]) -> Path:
    """The path below the folder that all share, so that two photos of one name stay apart."""
    shared = os.path.commonpath([other.absolute().parent for other in paths])
    return path.absolute().relative_to(shared)


def drawing(folder: Path, path: Path, paths: list[Path]) -> Path:
    """Where one of many photos is drawn."""
    return folder / f"{below(path, paths)}.png"


def with_drawing(answer: PhotoAnswer, drawn: Path) -> PhotoAnswer:
    """A photo's answer that says where its picture is."""
    document, lines = answer
    return {**document, "drawn": str(drawn)}, [f"{lines[0]} · drawn: {drawn}", *lines[1:]]


def workers() -> int:
    """How many photos are worked on at once: two a core, so that one decodes while one infers."""
    from visavis.runtime import cores

    return 2 * cores()


def each(
    work: Callable[[Path], T], paths: list[Path], failures: Failures, *, label: str
) -> Iterator[tuple[Path, T]]:
    """Each photo with its answer, in order, several worked on at once, with a bar.

    A photo that fails is added to `failures` and left out.
    """
    from visavis.batch import in_order

    answers = in_order(work, paths, workers=workers())
    yield from shown(answers, len(paths), failures, label=label)


def shown(
    answers: Iterable[tuple[Path, T | VisavisError]],
    total: int,
    failures: Failures,
    *,
    label: str,
) -> Iterator[tuple[Path, T]]:
    """Each photo with its answer, with a bar. Those that failed are noted and left out."""
    for path, answer in progress(answers, total=total, label=label):
        if isinstance(answer, VisavisError):
            failures.add(path, answer)
        else:
            yield path, answer


def progress(items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
    """The items, with a bar on stderr if that is a terminal and more than a second is left; never
    with --json.
    """
    if not sys.stderr.isatty() or wants_json(sys.argv[1:]):
        yield from items
        return
    yield from _with_bar(items, total, label)


def progress_bar(label: str) -> "BatchProgress":
    """`progress` as a function of names, for a library function that goes through them."""

    def through(names: Iterable[str]) -> Iterable[str]:
        every = list(names)
        return progress(every, total=len(every), label=label)

    return through


def _with_bar(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    display = Progress(*columns, console=Console(stderr=True), transient=True)
    task = display.add_task(label, total=total)
    started, shown = time.perf_counter(), False
    try:
        for done, item in enumerate(items):
            yield item
            ahead = (time.perf_counter() - started) / (done + 1) * (total - done - 1)
            if not shown and ahead > PATIENCE:
                display.start()
                shown = True
            display.update(task, completed=done + 1)
    finally:
        display.stop()
