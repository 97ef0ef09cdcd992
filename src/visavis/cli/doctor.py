"""visavis doctor"""

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread


@spread
def doctor(
    pack: options.PackName = "default", *, where: options.Where, json: options.Json = False
) -> None:
    """What works here, how fast, and what to install for what does not."""
    from visavis.answers.installation import examination_json, examination_words
    from visavis.doctor import examine

    examination = examine(pack, where.for_one())
    printing.print_answer(examination_json(examination), examination_words(examination), json=json)
    raise typer.Exit(0 if examination.healthy else 1)
