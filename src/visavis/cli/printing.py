"""An answer on stdout, and progress on stderr."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.batch import Progress


def print_answer(document: Any, lines: Iterable[str], *, json: bool) -> None:
    """One JSON document, or lines for people."""
    if json:
        options.print_json(document)
    else:
        print("\n".join(lines))


def progress_bar(label: str) -> "Progress":
    """Progress as the library takes it: names through, with a bar where stderr is a terminal."""

    def shown(names: Iterable[str]) -> Iterable[str]:
        every = list(names)
        return options.progress(every, total=len(every), label=label)

    return shown
