"""visavis pack list | info | verify. The other verbs have files of their own."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options
from visavis.cli.build import build, import_models
from visavis.cli.insightface import insightface
from visavis.cli.pull import pull
from visavis.cli.push import push

if TYPE_CHECKING:
    from visavis.pack import Pack
    from visavis.pack.manifest import Origin

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
    from visavis.pack import load_pack, pack_names, packs_folder

    packs = [(name, load_pack(name).manifest) for name in pack_names()]
    rows = [
        {
            "name": name,
            "detector": manifest.detector.decoder,
            "embedder": manifest.embedder.model,
            "dim": manifest.embedder.dim,
            "commercial": _commercial(manifest.detector.origin, manifest.embedder.origin),
        }
        for name, manifest in packs
    ]
    rows = [row for row in rows if not commercial or row["commercial"] == "yes"]
    if json:
        options.print_json({"packs": rows, "folder": str(packs_folder())})
        return
    width = max((len(str(row["name"])) for row in rows), default=0)
    for row in rows:
        print(
            f"{row['name']:<{width}}  {row['detector']} + {row['embedder']} · "
            f"{row['dim']} numbers · commercial use: {row['commercial']}"
        )


@pack.command()
def info(name: options.PackArgument = "default", json: options.Json = False) -> None:
    """A pack's models: origin, licence, training data, error rates. Checks every file's hash."""
    from visavis.pack import load_pack

    found = load_pack(name)
    manifest = found.manifest
    for spec in (manifest.detector, manifest.embedder):
        found.read(spec.file, spec.sha256)
    rates = _rates(found)
    if json:
        options.print_json({**asdict(manifest), "folder": str(found.folder), "policies": rates})
        return
    print(f"{manifest.name} · format {manifest.format} · {found.folder}")
    for title, what, origin in (
        ("detector", manifest.detector.decoder, manifest.detector.origin),
        ("embedder", manifest.embedder.model, manifest.embedder.origin),
    ):
        print(
            f"{title}  {what}\n  from           {origin.source}\n  licence        {origin.licence}"
        )
        print(f"  trained on     {origin.training_data}\n  commercial use {origin.commercial}")
        print(f"  cite           {origin.citation}")
    for policy, text in rates.items():
        print(f"{policy:<12}  {text}")


@pack.command()
def verify(name: options.PackArgument = "default", json: options.Json = False) -> None:
    """Hold everything that a pack's manifest says against its files: hashes, shapes, terms."""
    from visavis.pack import load_pack
    from visavis.pack.check import verify_pack

    given = name != "default" and Path(name).is_dir()
    folder = Path(name) if given else load_pack(name).folder
    findings = verify_pack(folder)
    failed = any(finding.level == "error" for finding in findings)
    if json:
        options.print_json({"folder": str(folder), "findings": [asdict(f) for f in findings]})
    else:
        for finding in findings:
            print(f"{finding.level:<9}{finding.subject}: {finding.text}")
    if failed:
        raise typer.Exit(1)


def _commercial(*origins: "Origin") -> str:
    """What holds of all: the least that is allowed."""
    return min((origin.commercial for origin in origins), key=["no", "unknown", "yes"].index)


def _rates(found: "Pack") -> dict[str, str]:
    from visavis.answers import words
    from visavis.errors import CalibrationError
    from visavis.pack.calibration import load_calibration

    try:
        return words.policies_words(load_calibration(found))
    except CalibrationError as error:
        return {"thresholds": str(error)}
