"""visavis --version, visavis help VERB"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from visavis import __version__
from visavis.cli import printing


class Verbs(TyperGroup):
    """`visavis help people list` is `visavis people list --help`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The words, with `help` in front turned into an option behind."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


def _show_version(wanted: bool) -> None:
    if wanted:
        printing.print_lines([f"visavis {__version__}"])
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
]
