"""visavis pack insightface PACK --name NAME"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options, printing


def insightface(
    pack: options.PackArgument,
    name: Annotated[str, typer.Option(help="What FaceAnalysis(name=...) is to load.")],
    root: Annotated[
        Path, typer.Option(help="As FaceAnalysis(root=...): models/NAME is written in it.")
    ] = Path("~/.insightface"),
    photo: Annotated[
        Path | None, typer.Option(help="A photo of a face, to prove the folder with.")
    ] = None,
    no_proof: Annotated[
        bool, typer.Option("--no-proof", help="Do not load the folder in the insightface package.")
    ] = False,
    detector_from: Annotated[
        Path | None, typer.Option(help="Take the detector of this folder, or this ONNX file.")
    ] = None,
    extras_from: Annotated[
        Path | None, typer.Option(help="Take along this folder's landmark and attribute models.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a pack as a folder that the insightface package loads as it is, and prove it there."""
    from visavis.answers import packs
    from visavis.insightface.write import write_insightface
    from visavis.pack import load_pack

    _check_proof(photo, no_proof=no_proof)
    written = write_insightface(
        load_pack(pack),
        name,
        root=root,
        photo=photo,
        detector_from=detector_from,
        extras_from=extras_from,
    )
    printing.print_answer(packs.written_json(written), packs.written_words(written), json=json)


def _check_proof(photo: Path | None, *, no_proof: bool) -> None:
    from visavis.errors import PackError

    if (photo is None) != no_proof:
        raise PackError("expected a --photo of a face to prove the folder with, or --no-proof")
