"""visavis pack list | info | verify. The other verbs have files of their own."""

from typing import Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.build import build, import_models
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
    """The installed packs, and what may be done with each."""
    from visavis.answers import packs
    from visavis.pack import installed_packs, packs_folder

    rows = [
        packs.listed_json(name, pack.manifest)
        for name, pack in installed_packs().items()
        if not commercial or pack.manifest.commercial == "yes"
    ]
    document = {"packs": rows, "folder": str(packs_folder())}
    printing.print_answer(document, packs.listed_words(rows), json=json)


@pack.command()
def info(name: options.PackArgument = "default", json: options.Json = False) -> None:
    """A pack's models: origin, licence, training data, error rates. Checks every file's hash."""
    from visavis.answers import packs
    from visavis.answers.policies import pack_policies
    from visavis.pack import load_pack

    pack = load_pack(name)
    pack.read_all()
    policies = pack_policies(pack)
    answer = packs.pack_json(pack, policies), packs.pack_words(pack, policies)
    printing.print_answer(*answer, json=json)


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
