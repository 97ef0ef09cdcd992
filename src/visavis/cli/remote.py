"""visavis pack pull | push: models and packs from elsewhere, and to it. Nothing else downloads."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.hub.catalogue import Source
    from visavis.hub.fetch import Record

Wanted = Annotated[
    str, typer.Argument(help="A model's name (docs/models.md), or a pack's folder or URL.")
]
To = Annotated[
    Path | None, typer.Option("--to", help="The folder it becomes; default: in your packs.")
]
Url = Annotated[str, typer.Argument(help="The folder it becomes: s3://, gs://, file://, a path.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Take the place of what is there and differs.")
]


def pull(name: Wanted, to: To = None, replace: Replace = False, json: options.Json = False) -> None:
    """Fetch a published model by name, or a pack by its URL; says first what its owners allow."""
    from visavis.hub import sources

    _quieten()
    source = sources.SOURCES.get(name)
    if source:
        print(_terms(name, source), file=sys.stderr if json else sys.stdout, flush=True)
    with _bars() as watch:
        folder = sources.pull(name, to=to, replace=replace, watch=watch)
    report = _fetched(folder, source) if source else _pulled(folder, to)
    if json:
        options.print_json(report)
        return
    for line in report.pop("notes"):
        print(line)
    print(f"here     {report['folder']}\nnext     {report['next']}")


def push(
    pack: options.PackArgument, url: Url, replace: Replace = False, json: options.Json = False
) -> None:
    """Copy a pack to a folder or URL, and read it back to be sure."""
    from visavis.hub import sources

    _quieten()
    where = sources.push(pack, url, replace=replace)
    if json:
        options.print_json({"url": where, "next": f"visavis pack pull {where}"})
        return
    print(f"there    {where}, read back and the same\nnext     visavis pack pull {where}")


def _quieten() -> None:
    """Keep the stores' own reports, whole tracebacks, off a terminal: an error is one line."""
    for name in ("fsspec", "s3fs", "gcsfs"):
        logging.getLogger(name).addHandler(logging.NullHandler())


def _terms(name: str, source: "Source") -> str:
    """What a user should know before anything is fetched."""
    size = sum(file.size or 0 for file in source.files) / 1e6
    rows = {
        name: source.about,
        "licence": source.licence,
        "trained on": source.training_data,
        "commercial use": source.commercial,
        "cite": source.citation,
        "size": f"{size:.1f} MB" if size else "not known before it is asked for",
    }
    return "\n".join(f"{key:<16}{value}" for key, value in rows.items())


def _fetched(folder: Path, source: "Source") -> dict[str, Any]:
    from dataclasses import asdict

    from visavis.hub.fetch import read_record

    record = read_record(folder)
    return asdict(record) | {
        "folder": str(folder),
        "next": source.use.format(folder=folder),
        "notes": _notes(record),
    }


def _notes(record: "Record") -> list[str]:
    """Where each file came from, and why it was believed."""
    why = {
        "table": "as this visavis expects",
        "pin": "as it was pinned",
        "first use": "not known before: trusted now, and pinned for every later time",
    }
    return [
        f"{one.file}: {one.url}\n         {one.size} bytes, sha256 {one.sha256}: {why[one.trusted]}"
        for one in record.downloads
    ]


def _pulled(folder: Path, to: Path | None) -> dict[str, Any]:
    from visavis.pack.manifest import read_pack

    manifest = read_pack(folder).manifest
    origins = {"detector": manifest.detector.origin, "embedder": manifest.embedder.origin}
    return {
        "name": manifest.name,
        "embedder": manifest.embedder.model,
        "folder": str(folder),
        "next": f"visavis pack info {folder if to else folder.name}",
        "notes": [
            f"{part}: {origin.source} · {origin.licence} · commercial use: {origin.commercial}"
            for part, origin in origins.items()
        ],
    }


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int | None], None] | None]:
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
    with Progress(*columns, *rest, console=Console(stderr=True), transient=True) as progress:

        def watch(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = progress.add_task(file, total=total)
            progress.update(tasks[file], completed=done, total=total)

        yield watch
