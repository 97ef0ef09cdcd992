"""visavis people audit VERB"""

from typing import Annotated

import typer

from visavis.cli import options, printing

audit = typer.Typer(help="What was done to the gallery, in a sealed chain.", no_args_is_help=True)


@audit.command()
def head(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """The last entry's number and hash, to be kept where nobody can alter it."""
    last = options.gallery_at(gallery, create=False).audit_head()
    printing.print_answer({"head": str(last), "entries": last.seq}, [str(last)], json=json)


@audit.command()
def check(
    expect_head: Annotated[
        str | None, typer.Option(help="A head of earlier, as audit head printed it.")
    ] = None,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Whether every entry is as it was written, and a head of earlier is among them."""
    from visavis.gallery.audit import ChainHead

    known = ChainHead.of_text(expect_head) if expect_head is not None else None
    broken = options.gallery_at(gallery, create=False).audit_broken_at(known)
    words = "whole" if broken is None else f"altered: entry {broken} is not as it was written"
    printing.print_answer({"whole": broken is None, "broken_at": broken}, [words], json=json)
    raise typer.Exit(broken is not None)
