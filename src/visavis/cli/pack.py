"""visavis pack list | info"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.pack import Pack
    from visavis.pack.manifest import Origin

pack = typer.Typer(help="Models: what is installed, where it comes from.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A pack's name or folder.")]


@pack.command("list")
def list_packs(json: options.Json = False) -> None:
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
    if json:
        options.print_json({"packs": rows, "folder": str(packs_folder())})
        return
    for row in rows:
        print(
            f"{row['name']:<12}{row['detector']} + {row['embedder']} · {row['dim']} numbers · "
            f"commercial use: {row['commercial']}"
        )


@pack.command()
def info(name: Name = "default", json: options.Json = False) -> None:
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


def _commercial(*origins: "Origin") -> str:
    """What holds of all: the least that is allowed."""
    return min((origin.commercial for origin in origins), key=["no", "unknown", "yes"].index)


def _rates(found: "Pack") -> dict[str, str]:
    from visavis.cli import words
    from visavis.decide import load_calibration
    from visavis.errors import CalibrationError

    try:
        return words.policies_words(load_calibration(found))
    except CalibrationError as error:
        return {"thresholds": str(error)}
