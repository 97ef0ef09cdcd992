"""visavis pack pull: models and packs from elsewhere. No other verb downloads anything."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from visavis.cli import options, printing

if TYPE_CHECKING:
    from visavis.hub.catalogue import Published
    from visavis.hub.download import Received

Wanted = Annotated[
    str, typer.Argument(help="A model's name (docs/models.md), or a pack's folder or URL.")
]
To = Annotated[
    Path | None, typer.Option("--to", help="The folder it becomes; default: one in your packs.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace what is there and differs.")]


def pull(name: Wanted, to: To = None, replace: Replace = False, json: options.Json = False) -> None:
    """Fetch a published model by name, or a pack by its URL; says first what its owners allow."""
    from visavis.answers.downloads import pulled_words
    from visavis.hub.catalogue import CATALOGUE
    from visavis.hub.pull import pull

    quieten_stores()
    published = CATALOGUE.get(name)
    if published:
        _print_terms(name, published, sys.stderr if json else sys.stdout)
    with _bars() as progress:
        folder = pull(name, to=to, replace=replace, progress=progress)
    document = _model(folder, published) if published else _pack(folder, to)
    if json:
        printing.print_json(document)
    else:
        printing.print_lines(pulled_words(document))


def _print_terms(name: str, published: "Published", file: TextIO) -> None:
    from visavis.answers.downloads import terms_words

    printing.print_lines(terms_words(name, published), file=file)
    file.flush()


def quieten_stores() -> None:
    """Keep the stores' own reports, whole tracebacks, off a terminal: an error is one line."""
    for name in ("fsspec", "s3fs", "gcsfs"):
        logging.getLogger(name).addHandler(logging.NullHandler())


def _model(folder: Path, published: "Published") -> dict[str, Any]:
    from visavis.answers.downloads import model_json
    from visavis.hub.pull import read_record

    words = [published.use.format(folder=folder)]
    words += [f"--{name} {value}" for name, value in published.options]
    return model_json(folder, read_record(folder), " ".join(words))


def _pack(folder: Path, to: Path | None) -> dict[str, Any]:
    from visavis.answers.downloads import pulled_json
    from visavis.pack.manifest import read_pack

    next_command = f"visavis pack info {folder if to else folder.name}"
    return pulled_json(folder, read_pack(folder).manifest, next_command)


@contextmanager
def _bars() -> Iterator["Received | None"]:
    """A bar for each file on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    rest = (TransferSpeedColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, *rest, console=Console(stderr=True), transient=True) as display:

        def show(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = display.add_task(file, total=total)
            display.update(tasks[file], completed=done, total=total)

        yield show
