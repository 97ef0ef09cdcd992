"""visavis pack list | info | remove | verify. The other verbs have files of their own."""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.build import Out, build, import_models
from visavis.cli.insightface import insightface
from visavis.cli.pull import pull
from visavis.cli.push import push

pack = typer.Typer(help="Models: what is installed, where it comes from.", no_args_is_help=True)

pack.command()(build)
pack.command("import")(import_models)
pack.command()(insightface)
pack.command()(pull)
pack.command()(push)


@pack.command("list")
def list_packs(
    commercial: Annotated[
        bool, typer.Option("--commercial", help="Only those whose models may be used commercially.")
    ] = False,
    json: options.Json = False,
) -> None:
    """The installed packs, what may be done with each, and the models that can be pulled."""
    from visavis.answers import downloads, packs
    from visavis.pack import installed_packs, packs_folder

    rows = [
        packs.listed_json(name, pack.manifest)
        for name, pack in installed_packs().items()
        if not commercial or pack.manifest.commercial == "yes"
    ]
    models = downloads.models_json(commercial_alone=commercial)
    document = {"packs": rows, "models": models, "folder": str(packs_folder())}
    words = [*packs.listed_words(rows), *downloads.models_words(models)]
    printing.print_answer(document, words, json=json)


@pack.command()
def info(name: options.PackArgument = "default", json: options.Json = False) -> None:
    """A pack's models: origin, licence, training data, error rates. Checks every file's hash.

    Also of a model that can be pulled, by its name.
    """
    from visavis.answers import downloads, packs
    from visavis.answers.policies import pack_policies
    from visavis.pack import load_pack

    if published := downloads.published(name):
        printing.print_answer(*published, json=json)
        return
    pack = load_pack(name)
    pack.read_all()
    policies = pack_policies(pack)
    answer = packs.pack_json(pack, policies), packs.pack_words(pack, policies)
    printing.print_answer(*answer, json=json)


@pack.command()
def remove(
    name: Annotated[str, typer.Argument(help="Its name, as pack list shows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    json: options.Json = False,
) -> None:
    """Delete an installed pack, or a model that was pulled. You are asked first."""
    from visavis.pack import removable, remove_pack

    folder = removable(name)
    if not yes:
        printing.confirm(f"Delete {printing.harmless(str(folder))} for good?", json=json)
    remove_pack(name)
    printing.print_answer({"removed": str(folder)}, [f"deleted {folder}"], json=json)


@pack.command("liveness")
def add_liveness(
    name: Annotated[str, typer.Argument(help="What to call the pack.")],
    models: Annotated[Path, typer.Argument(help="The folder of the two MiniFASNet files.")],
    pack: options.PackName = "default",
    out: Out = None,
    json: options.Json = False,
) -> None:
    """Make a pack of another one's models and the pair of networks that tells life from pictures.

    The pair is run first. `visavis pack pull minifasnet` fetches it.
    """
    from visavis.answers import packs
    from visavis.pack.liveness import pack_with_liveness

    made = pack_with_liveness(name, models, pack=pack, folder=out)
    printing.print_answer(packs.made_json(made), packs.made_words(made), json=json)


@pack.command()
def verify(name: options.PackArgument = "default", json: options.Json = False) -> None:
    """Hold everything that a pack's manifest says against its files: hashes, shapes, terms."""
    from visavis.answers import packs
    from visavis.pack import pack_folder
    from visavis.pack.verify import verify_pack

    folder = pack_folder(name)
    findings = verify_pack(folder)
    document = packs.findings_json(folder, findings)
    printing.print_answer(document, packs.findings_words(findings), json=json)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
