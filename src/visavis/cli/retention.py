"""visavis attendance retention"""

from typing import Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.corrections import Why, book_at
from visavis.cli.people import Yes
from visavis.cli.spread import spread


@spread
def retention(
    why: Why,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what, remove nothing.")] = False,
    yes: Yes = False,
    gallery: options.GalleryFolder = None,
    *,
    json: options.Json = False,
) -> None:
    """Remove what the rules keep no longer. You are asked first."""
    from visavis.answers.retention import due_json, due_words
    from visavis.attendance.retention import due, remove_due

    book = book_at(gallery)
    gone = due(book)
    if not dry_run and any(one.count for one in gone):
        if not yes:
            printing.confirm(f"{'; '.join(due_words(gone))}. Remove that for good?", json=json)
        gone = remove_due(book, actor=why.who, reason=why.reason or "retention")
    words = due_words(gone) or ["the rules keep everything"]
    printing.print_answer(due_json(gone, done=not dry_run), words, json=json)
