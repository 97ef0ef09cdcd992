"""visavis pack push: a pack to a folder or a store."""

from typing import Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.pull import Replace, quieten_stores

Url = Annotated[str, typer.Argument(help="The folder it becomes: s3://, gs://, file://, a path.")]


def push(
    pack: options.PackArgument, url: Url, replace: Replace = False, json: options.Json = False
) -> None:
    """Copy a pack to a folder or URL, and read it back to be sure."""
    from visavis.hub.push import push

    quieten_stores()
    where = push(pack, url, replace=replace)
    next_command = f"visavis pack pull {where}"
    if json:
        printing.print_json({"url": where, "next": next_command})
    else:
        lines = [f"there    {where}, read back and the same", f"next     {next_command}"]
        printing.print_lines(lines)
