"""visavis train RECIPE [KEY=VALUE...] --out FOLDER"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing

if TYPE_CHECKING:
    from visavis.train.loop import Trained
    from visavis.train.recipe import Recipe
    from visavis.types import Embedder


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

    Started by torchrun, its processes train together.
    """
    from visavis.answers.training import trained_json, trained_words
    from visavis.train.export import HeldOut, export_pack
    from visavis.train.loop import with_data
    from visavis.train.recipe import read_recipe

    said = with_data(read_recipe(recipe, changes or ()), data)
    held_out = HeldOut.of(said, export, calibrate_on)
    trained = _run(said, out, device, resume=resume)
    if trained is None:
        return
    pack = export_pack(trained, held_out) if held_out else None
    printing.print_answer(trained_json(trained, pack), trained_words(trained, pack), json=json)


def _run(recipe: "Recipe", out: Path, device: str, *, resume: bool) -> "Trained | None":
    """The run; None in a process that helps another one."""
    from visavis.answers.training import line_words
    from visavis.train.loop import Workplace, torch_device, torchrun, train

    with torchrun() as processes:
        place = Workplace(out, torch_device(device), processes)
        trained = train(
            recipe,
            place,
            resume=resume,
            teacher=_teacher(recipe.teacher),
            report=lambda line: printing.complain(line_words(line)),
        )
    return trained if place.writes else None


def _teacher(pack: str) -> "Embedder | None":
    """The pack whose embeddings are to be matched, if one is named."""
    from visavis.embedder import choose_models
    from visavis.runtime import Device

    if not pack:
        return None
    models = choose_models(pack)
    return models.together(models.members(Device("auto"), flip=True))
