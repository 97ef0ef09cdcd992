"""visavis pack build | import: models of your own, and other projects', to packs"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NewType

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.pack.declaration import Declaration

# A type of its own: for a tuple typer would take two words.
Sides = NewType("Sides", tuple[int, int])
Out = Annotated[
    Path | None,
    typer.Option(help="Write this folder; default: the installed packs, under its name."),
]


def sides(text: str) -> Sides:
    """Height and width, as in 112x96."""
    parts = text.lower().split("x")
    numbers = [int(part) for part in parts if part.isdecimal() and len(part) < 5]
    if len(parts) != 2 or len(numbers) != 2 or not min(numbers):
        raise typer.BadParameter(f"expected HEIGHTxWIDTH, as in 112x96, got {text!r}")
    return Sides((numbers[0], numbers[1]))


@dataclass(frozen=True, slots=True)
class Declares:
    """What is declared of networks whose files do not say it: options of build and import."""

    says: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            help="A TOML file that declares what the networks' files do not say; options come "
            "before it. docs/pack-format.md lists its keys.",
        ),
    ] = None
    color: Annotated[
        options.ColorName | None,
        typer.Option(help="Order of the embedder's channels; default: as its file says."),
    ] = None
    mean: options.Mean = None
    std: options.Std = None
    size: Annotated[
        Sides | None,
        typer.Option(
            parser=sides,
            metavar="HEIGHTxWIDTH",
            help="What the embedder was trained at, as in 112x96.",
        ),
    ] = None
    margin: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="What the embedder is shown around a crop, as a share of its side; FaceNet and "
            "its like take some.",
        ),
    ] = None
    licence: Annotated[
        str | None,
        typer.Option(help="Of the embedder's weights: an SPDX identifier, or the terms."),
    ] = None
    commercial: Annotated[
        Literal["yes", "no", "unknown"] | None,
        typer.Option(help="May the embedder be used commercially?"),
    ] = None
    decoder: Annotated[
        str | None,
        typer.Option(help="How the detector's outputs become faces; default: the one that fits."),
    ] = None

    def declaration(self) -> "Declaration":
        """As the library wants it."""
        from visavis.pack.declaration import (
            NOTHING_DECLARED,
            Declaration,
            Declared,
            read_declaration,
        )

        embedder = Declared(
            color=self.color,
            mean=self.mean,
            std=self.std,
            size=self.size,
            margin=self.margin,
            licence=self.licence,
            commercial=self.commercial,
        )
        file = NOTHING_DECLARED if self.says is None else read_declaration(self.says)
        return Declaration(embedder, Declared(decoder=self.decoder)).over(file)


@spread
def build(
    name: Annotated[str, typer.Argument(help="What to call the pack.")],
    embedder: Annotated[Path, typer.Option(help="The embedder's ONNX file.")],
    detector: Annotated[
        str, typer.Option(help="A pack whose detector to take, or a detector's ONNX file.")
    ] = "default",
    calibration: Annotated[
        Path | None, typer.Option(help="A file that visavis calibrate wrote for this embedder.")
    ] = None,
    out: Out = None,
    *,
    declares: Declares,
    json: options.Json = False,
) -> None:
    """Make a pack of an embedder's ONNX file and a detector. Both are run first.

    What `visavis convert` wrote says itself how it wants its pixels; for other files declare it:
    --color, --mean, --std, or --says and a file.
    """
    from visavis.answers import packs
    from visavis.pack.build import build_pack

    made = build_pack(
        name,
        embedder,
        detector=detector,
        declaration=declares.declaration(),
        calibration=calibration,
        folder=out,
    )
    pack, notes = made.pack, made.notes
    printing.print_answer(packs.made_json(pack, notes), packs.made_words(pack, notes), json=json)


@spread
def import_models(
    models: Annotated[Path, typer.Argument(help="An InsightFace folder or zip, or one ONNX file.")],
    name: Annotated[
        str, typer.Option(help="What to call the pack; default: as the source is called.")
    ] = "",
    detector: Annotated[
        str | None,
        typer.Option(
            help="A pack whose detector to take, or a detector's ONNX file; default: the "
            "source's, or the default pack's."
        ),
    ] = None,
    out: Out = None,
    *,
    declares: Declares,
    json: options.Json = False,
) -> None:
    """Make a pack of another project's models: an InsightFace folder or zip, or one ONNX file.

    A lone detector gets the default pack's embedder. Detectors are fed as their family is
    published, unless their file or --says declares otherwise.
    """
    from visavis.answers import packs
    from visavis.insightface.read import import_pack

    imported = import_pack(
        models, name=name, detector=detector, declaration=declares.declaration(), folder=out
    )
    pack, notes = imported.pack, imported.notes
    printing.print_answer(packs.made_json(pack, notes), packs.made_words(pack, notes), json=json)
