"""visavis gallery VERB"""

from typing import Annotated

import typer

from visavis.cli import options, printing

gallery = typer.Typer(help="A gallery as a whole: where it lies.", no_args_is_help=True)


@gallery.command()
def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A folder, or postgresql://...")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Where no gallery is yet.")],
    json: options.Json = False,
) -> None:
    """Copy a gallery from a folder to PostgreSQL, or back; the key stays the same.

    Stopped at any point, run it again: it goes on. Let nobody write to the old one afterwards.
    """
    from visavis.answers.people import copied_json, copied_words
    from visavis.gallery import open_gallery
    from visavis.gallery.copying import copy_gallery
    from visavis.gallery.places import place_shown

    copied = copy_gallery(open_gallery(source, create=False), target)
    place = place_shown(target)
    printing.print_answer(copied_json(copied, place), copied_words(copied, place), json=json)
