"""visavis train RECIPE [KEY=VALUE...] --out FOLDER"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing

if TYPE_CHECKING:
    from visavis.train.loop import Progressed


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a file.toml.")],
    changes: Annotated[
        list[str] | None, typer.Argument(help="Changes to it, as in rate=0.1 margin.scale=32.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The run's folder.")] = Path("run"),
    data: Annotated[
        Path | None,
        typer.Option(help="Crops by person: a folder, a zip, a .rec, a data set on disk."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the folder's last checkpoint.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(help="Make this pack of the network, calibrated.")
    ] = None,
    calibrate_on: Annotated[
        Path | None, typer.Option(help="Crops by person, of others than those it learns from.")
    ] = None,
    device: options.DeviceName = "auto",
    json: options.Json = False,
) -> None:
    """Train a network. Ctrl-C loses what is not saved; SIGTERM saves first.

    With devices=N it trains in N processes; those that torchrun starts train together, too.
    """
    from visavis.answers.training import trained_json, trained_words
    from visavis.train.export import HeldOut, export_pack
    from visavis.train.loop import with_data
    from visavis.train.recipe import read_recipe
    from visavis.train.together import train_together

    said = with_data(read_recipe(recipe, changes or ()), data)
    held_out = HeldOut.of(said, export, calibrate_on)
    trained = train_together(said, out, device, resume=resume, report=_tell)
    if trained is None:
        return
    pack = export_pack(trained, held_out) if held_out else None
    printing.print_answer(trained_json(trained, pack), trained_words(trained, pack), json=json)


def _tell(line: "Progressed") -> None:
    from visavis.answers.training import line_words

    printing.complain(line_words(line))
