"""visavis people unmerge"""

from dataclasses import asdict
from typing import Annotated

import typer

from visavis.cli import options, printing


def unmerge(
    who: Annotated[str, typer.Argument(help="Who was kept: a name, your own id, or an id.")],
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Take the last merge into a person back: who was merged has their name and photos again."""
    from visavis.gallery.merging import last_merge, unmerge

    store = options.gallery_at(gallery, create=False)
    kept = store.find(who)
    again = unmerge(store, last_merge(store, kept))
    document = {"unmerged": asdict(again), "from": asdict(store.find(kept.id))}
    printing.print_answer(document, [f"{again.name} is apart from {kept.name} again"], json=json)
