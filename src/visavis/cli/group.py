"""visavis people group VERB"""

from dataclasses import asdict
from typing import Annotated

import typer

from visavis.cli import options, printing

group = typer.Typer(
    help="Groups of people, by name: whom identify --among searches.", no_args_is_help=True
)

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="Its name; without , and ;")]
Members = Annotated[
    list[str], typer.Argument(metavar="PERSON...", help="Names, your own ids, the gallery's ids.")
]


@group.command()
def add(
    name: GroupName,
    people: Members,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Put people into a group, which is made by its first."""
    from visavis.answers.counts import people_counted
    from visavis.gallery.groups import add_to_group

    store = options.gallery_at(gallery, create=False)
    added = add_to_group(store, name, [store.find(who).id for who in people])
    document = {"group": name, "added": [asdict(one) for one in store.people_of(added).values()]}
    printing.print_answer(document, [f"{people_counted(len(added))} added to {name}"], json=json)


@group.command()
def remove(
    name: GroupName,
    people: Members,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Take people out of a group. They stay in the gallery; a group of nobody is gone."""
    from visavis.answers.counts import people_counted
    from visavis.gallery.groups import remove_from_group

    store = options.gallery_at(gallery, create=False)
    gone = remove_from_group(store, name, [store.find(who).id for who in people])
    document = {"group": name, "removed": [asdict(one) for one in store.people_of(gone).values()]}
    printing.print_answer(document, [f"{people_counted(len(gone))} taken out of {name}"], json=json)
