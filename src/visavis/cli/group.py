"""visavis people group VERB"""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing

if TYPE_CHECKING:
    from visavis.gallery import Gallery

group = typer.Typer(
    help="Groups of people, by name: whom identify --among searches.", no_args_is_help=True
)

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="Its name; without , and ;")]
Members = Annotated[
    list[str], typer.Argument(metavar="PERSON...", help="Names, your own ids, the gallery's ids.")
]


@group.command("list")
def list_groups(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """Every group, with the number of its people."""
    from visavis.answers.people import groups_json, groups_words
    from visavis.gallery.groups import group_sizes

    sizes = group_sizes(options.gallery_at(gallery, create=False))
    printing.print_answer(groups_json(sizes), groups_words(sizes), json=json)


@group.command("show")
def show_group(
    name: GroupName, gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """Who is in a group, with the number of their photos."""
    from visavis.answers.people import people_words
    from visavis.gallery.groups import group_members

    members = group_members(options.gallery_at(gallery, create=False), name)
    document = {"group": name, "people": [asdict(one) for one in members]}
    printing.print_answer(document, people_words(members), json=json)


@group.command()
def add(
    name: GroupName,
    people: Members,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Put people into a group, which is made by its first."""
    from visavis.gallery.groups import add_to_group

    _regroup(add_to_group, (name, people, gallery), "added", f"added to {name}", json=json)


@group.command()
def remove(
    name: GroupName,
    people: Members,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Take people out of a group. They stay in the gallery; a group of nobody is gone."""
    from visavis.gallery.groups import remove_from_group

    asked, words = (name, people, gallery), f"taken out of {name}"
    _regroup(remove_from_group, asked, "removed", words, json=json)


def _regroup(
    change: "Callable[[Gallery, str, list[str]], list[str]]",
    asked: tuple[str, list[str], str | None],
    key: str,
    words: str,
    *,
    json: bool,
) -> None:
    """Change a group, and tell whom that concerned: in JSON under `key`."""
    from visavis.answers.counts import people_counted

    name, people, folder = asked
    store = options.gallery_at(folder, create=False)
    changed = change(store, name, [store.find(who).id for who in people])
    document = {"group": name, key: [asdict(one) for one in store.people_of(changed).values()]}
    printing.print_answer(document, [f"{people_counted(len(changed))} {words}"], json=json)
