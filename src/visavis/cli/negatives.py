"""visavis people reject, and what is done with the negatives it keeps"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.rejection import Rejection

NotWho = Annotated[str, typer.Argument(help="Who it is not: a name, your own id, or an id.")]


@spread
def reject(
    who: NotWho,
    photo: Annotated[Path, typer.Argument(help="A photo of the face that is not them.")],
    face: Annotated[
        int | None, typer.Option(min=1, help="Which face of the photo: 1 is the largest.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Keep nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    gallery: options.GalleryFolder = None,
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """This face is not that person: keep that, after showing what it would change."""
    from visavis.answers.people import rejection_json
    from visavis.rejection import keep_rejection, rejection_of

    store = options.gallery_at(gallery, create=False)
    recognizer = models.for_one(store)
    rejection = rejection_of(recognizer, store, store.find(who), photo, face)
    if not dry_run and not yes:
        _ask(rejection, json=json)
    negative = None if dry_run else keep_rejection(store, rejection)
    lines = _lines(rejection, kept=negative is not None)
    printing.print_answer(rejection_json(rejection, negative), lines, json=json)


def negatives(
    who: Annotated[str, typer.Argument(help="Of one person; default: everybody's.")] = "",
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """The faces that are kept as not being somebody."""
    from visavis.gallery.negatives import negatives_of

    store = options.gallery_at(gallery, create=False)
    kept = negatives_of(store, store.find(who).id if who else None)
    people = store.people_of(one.person_id for one in kept)
    names = {one.id: one.name for one in people.values()}
    lines = [f"{one.id}  not {names.get(one.person_id, '')}  {one.added_at[:19]}" for one in kept]
    document = {"negatives": [asdict(one) for one in kept]}
    printing.print_answer(document, lines or ["no negatives"], json=json)


def remove_negative(
    negative: Annotated[str, typer.Argument(help="Its id, as people negatives has it.")],
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Forget that a face is not somebody: they may be named by it again."""
    from visavis.gallery.negatives import find_negative, remove_negative

    store = options.gallery_at(gallery, create=False)
    removed = find_negative(store, negative)
    remove_negative(store, removed)
    printing.print_answer({"removed": asdict(removed)}, [f"removed {removed.id}"], json=json)


def _ask(rejection: "Rejection", *, json: bool) -> None:
    name = printing.harmless(rejection.person.name)
    if not json:
        printing.print_lines(_lines(rejection, kept=False))
    printing.confirm(f"Keep that this face is not {name}?", json=json)


def _lines(rejection: "Rejection", *, kept: bool) -> list[str]:
    from visavis.answers.people import rejection_words

    return rejection_words(rejection, kept=kept)
