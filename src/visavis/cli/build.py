"""visavis pack build | import: models of your own, and other projects', to packs"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NewType

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from visavis.pack import Pack
    from visavis.pack.build import DetectorPart, Given

NAME = typer.Argument(help="What to call the pack.")
OUT = typer.Option(help="Write this folder; default: the installed packs, under its name.")
DETECTOR = typer.Option(help="A pack whose detector to take, or a detector's ONNX file.")
COLOR = typer.Option(help="Order of the input's channels; default: as the file's metadata says.")
EMBEDDER_NAME = typer.Option(help="The embedder's name in its identity; default: its family.")
SOURCE = typer.Option(help="Where the embedder comes from, in words.")
LICENCE = typer.Option(help="Of the embedder's weights: an SPDX identifier, or the terms.")
TRAINING_DATA = typer.Option(help="What the embedder was trained on.")
COMMERCIAL = typer.Option(help="May the embedder be used commercially?")
CITATION = typer.Option(help="The publication to cite for the embedder.")
Sides = NewType("Sides", tuple[int, int])  # its own type, as options.Three is


def sides(text: str) -> Sides:
    """Height and width, as in 112x96."""
    found = text.lower().split("x")
    if len(found) != 2 or not all(side.isdecimal() and len(side) < 5 for side in found):
        raise typer.BadParameter(f"expected HEIGHTxWIDTH, as in 112x96, got {text!r}")
    return Sides((int(found[0]), int(found[1])))


Size = Annotated[
    Sides | None,
    typer.Option(
        parser=sides, metavar="HEIGHTxWIDTH", help="What the embedder was trained at, as in 112x96."
    ),
]


def build(
    name: Annotated[str, NAME],
    embedder: Annotated[Path, typer.Option(help="The embedder's ONNX file.")],
    detector: Annotated[str, DETECTOR] = "default",
    calibration: Annotated[
        Path | None, typer.Option(help="A file that visavis calibrate wrote for this embedder.")
    ] = None,
    out: Annotated[Path | None, OUT] = None,
    color: Annotated[options.Color | None, COLOR] = None,
    mean: options.Mean = None,
    std: options.Std = None,
    size: Size = None,
    embedder_name: Annotated[str | None, EMBEDDER_NAME] = None,
    source: Annotated[str | None, SOURCE] = None,
    licence: Annotated[str | None, LICENCE] = None,
    training_data: Annotated[str | None, TRAINING_DATA] = None,
    commercial: Annotated[options.Commercial | None, COMMERCIAL] = None,
    citation: Annotated[str | None, CITATION] = None,
    decoder: options.Decoder = None,
    detector_color: options.DetectorColor = None,
    detector_mean: options.Mean = None,
    detector_std: options.Std = None,
    detector_anchors: options.DetectorAnchors = None,
    detector_squashed: options.DetectorSquashed = None,
    detector_padding: options.DetectorPadding = None,
    detector_licence: options.DetectorLicence = None,
    detector_commercial: options.DetectorCommercial = None,
    json: options.Json = False,
) -> None:
    """Make a pack of an embedder's ONNX file and a detector. Both are run first.

    What `visavis convert` wrote says itself how it wants its pixels; for other files say it:
    --color, --mean, --std.
    """
    from visavis.pack import packs_folder
    from visavis.pack.build import Given, build_pack, detector_part, embedder_part

    given = Given(
        name=embedder_name,
        color=color,
        mean=mean,
        std=std,
        size=size,
        source=source,
        licence=licence,
        training_data=training_data,
        commercial=commercial,
        citation=citation,
    )
    said = Given(
        color=detector_color,
        mean=detector_mean,
        std=detector_std,
        decoder=decoder,
        anchors=detector_anchors,
        squashed_landmarks=detector_squashed,
        padding=detector_padding,
        licence=detector_licence,
        commercial=detector_commercial,
    )
    pack = build_pack(
        out or packs_folder() / name,
        name=name,
        embedder=embedder_part(embedder, given),
        detector=_detector(detector, said, detector_part),
        calibration=calibration,
    )
    _report(pack, [], json)


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
    out: Annotated[Path | None, OUT] = None,
    color: Annotated[options.Color | None, COLOR] = None,
    mean: options.Mean = None,
    std: options.Std = None,
    size: Size = None,
    source: Annotated[str | None, SOURCE] = None,
    licence: Annotated[str | None, LICENCE] = None,
    training_data: Annotated[str | None, TRAINING_DATA] = None,
    commercial: Annotated[options.Commercial | None, COMMERCIAL] = None,
    citation: Annotated[str | None, CITATION] = None,
    decoder: options.Decoder = None,
    detector_color: options.DetectorColor = None,
    detector_mean: options.Mean = None,
    detector_std: options.Std = None,
    detector_anchors: options.DetectorAnchors = None,
    detector_squashed: options.DetectorSquashed = None,
    detector_padding: options.DetectorPadding = None,
    detector_licence: options.DetectorLicence = None,
    detector_commercial: options.DetectorCommercial = None,
    json: options.Json = False,
) -> None:
    """Make a pack of another project's models: an InsightFace folder or zip, or one ONNX file.

    A lone detector gets the default pack's embedder. Detectors are fed as their family is
    published, unless their file or --detector-color and the others say otherwise.
    """
    from visavis.insightface.read import foreign_detector, import_pack
    from visavis.pack import packs_folder
    from visavis.pack.build import Given

    given = Given(
        color=color,
        mean=mean,
        std=std,
        size=size,
        source=source,
        licence=licence,
        training_data=training_data,
        commercial=commercial,
        citation=citation,
    )
    said = Given(
        color=detector_color,
        mean=detector_mean,
        std=detector_std,
        decoder=decoder,
        anchors=detector_anchors,
        squashed_landmarks=detector_squashed,
        padding=detector_padding,
        licence=detector_licence,
        commercial=detector_commercial,
    )
    name = name or models.stem.lstrip(".")
    imported = import_pack(
        models,
        out or packs_folder() / name,
        name=name,
        given=given,
        detector=said if detector is None else _detector(detector, said, foreign_detector),
    )
    _report(imported.pack, list(imported.notes), json)


def _report(pack: "Pack", notes: list[str], json: bool) -> None:
    manifest = pack.manifest
    if json:
        document = {
            "folder": str(pack.folder),
            "name": manifest.name,
            "model": manifest.embedder.model,
            "dim": manifest.embedder.dim,
            "detector": manifest.detector.decoder,
            "commercial": [p.origin.commercial for p in (manifest.detector, manifest.embedder)],
            "notes": notes,
        }
        options.print_json(document)
        return
    for note in notes:
        print(note)
    height, width = manifest.embedder.size
    print(
        f"{manifest.name} · {manifest.detector.decoder} + {manifest.embedder.model} · "
        f"{height}x{width} · {manifest.embedder.dim} numbers · {pack.folder}"
    )
    if manifest.calibration is None:
        print(f"no threshold has an error rate yet: visavis calibrate {manifest.name} --images ...")


def _detector(
    detector: str, said: "Given", part: "Callable[[Path, Given], DetectorPart]"
) -> "DetectorPart":
    """Of a pack, or of a file, of which something may be said."""
    from visavis.errors import PackError
    from visavis.pack import load_pack
    from visavis.pack.build import NOTHING, detector_of

    path = Path(detector)
    if path.suffix == ".onnx" and path.is_file():
        return part(path, said)
    found = detector_of(load_pack(detector))
    if said != NOTHING:
        raise PackError(
            f"{detector}: a pack's detector, which says itself how it is read: --decoder and "
            "--detector-... are said of an ONNX file"
        )
    return found
