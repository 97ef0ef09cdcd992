"""visavis attendance unknown VERB"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.corrections import Why, book_at
from visavis.cli.enroll import ExternalId
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.attendance.inbox import Inbox

unknown = typer.Typer(help="People whom nobody knows, to be named.", no_args_is_help=True)

Unknown = Annotated[
    int, typer.Argument(min=1, max=1 << 53, help="The number of one of its sightings.")
]
Alone = Annotated[
    bool, typer.Option("--alone", help="This sighting, and not all that are like it.")
]


@unknown.command("list")
def list_unknown(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """Everybody unknown: how often seen, from when to when, where, and whom they are like."""
    from visavis.answers.unknown import clusters_json, clusters_words

    inbox = _inbox_at(gallery)
    inbox.relate()
    clusters, directory = inbox.clusters(), inbox.attendance.directory
    words = clusters_words(clusters, directory)
    printing.print_answer(clusters_json(clusters, directory), words, json=json)


@unknown.command()
def show(
    number: Unknown,
    out: Annotated[Path | None, typer.Option(help="Write the best crop here, a PNG.")] = None,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """One unknown person's sightings."""
    from visavis.answers.unknown import unknown_json, unknown_words

    inbox = _inbox_at(gallery)
    cluster, directory = inbox.cluster(number), inbox.attendance.directory
    if out is not None:
        _write_crop(inbox, cluster.best()[0].number, out)
    words = unknown_words(cluster, directory, out)
    printing.print_answer(unknown_json(cluster, directory, out), words, json=json)


@unknown.command()
@spread
def name(
    number: Unknown,
    who: Annotated[str, typer.Argument(help="A name, your own id, or the gallery's id.")],
    why: Why,
    new: Annotated[bool, typer.Option("--new", help="Enrol them by their best crops.")] = False,
    external_id: ExternalId = "",
    consent: Annotated[str, typer.Option(help="With --new: what they agreed to.")] = "",
    alone: Alone = False,
    gallery: options.GalleryFolder = None,
    *,
    json: options.Json = False,
) -> None:
    """Say who somebody unknown is: their punches are back-filled, marked corrected."""
    from visavis.answers.unknown import named_json, named_words

    if (external_id or consent) and not new:
        raise typer.BadParameter("--id and --consent are of somebody --new")
    inbox = _inbox_at(gallery)
    numbers = _meant(inbox, number, alone=alone)
    if new:
        ids = {"external_id": external_id or None, "consent": consent or None}
        named = inbox.enroll(numbers, who, actor=why.who, reason=why.reason, **ids)
    else:
        named = inbox.name(numbers, who, actor=why.who, reason=why.reason)
    printing.print_answer(named_json(named), named_words(named), json=json)


@unknown.command()
@spread
def discard(
    number: Unknown,
    why: Why,
    alone: Alone = False,
    gallery: options.GalleryFolder = None,
    *,
    json: options.Json = False,
) -> None:
    """Remove somebody unknown: their faces and crops are gone, and nobody is named."""
    from visavis.answers.counts import counted

    inbox = _inbox_at(gallery)
    numbers = _meant(inbox, number, alone=alone)
    count = inbox.discard(numbers, actor=why.who, reason=why.reason)
    words = f"{counted(count, 'sighting')} discarded"
    printing.print_answer({"discarded": count}, [words], json=json)


def _inbox_at(gallery: str | None) -> "Inbox":
    from visavis.attendance.inbox import Inbox

    return Inbox(book_at(gallery))


def _meant(inbox: "Inbox", number: int, *, alone: bool) -> list[int]:
    return [number] if alone else inbox.cluster(number).numbers


def _write_crop(inbox: "Inbox", number: int, out: Path) -> None:
    from visavis.errors import AttendanceError
    from visavis.files import write_whole

    crop = inbox.crop(number)
    if crop is None:
        raise AttendanceError(f"no crop of unknown {number} is kept", mend="see crops in the rules")
    write_whole(out, crop, private=True)
