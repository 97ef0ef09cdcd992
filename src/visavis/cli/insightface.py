"""visavis pack insightface PACK --name NAME"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options


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
    from visavis.errors import PackError
    from visavis.insightface.write import write_insightface
    from visavis.pack import load_pack

    if (photo is None) != no_proof:
        raise PackError("expected a --photo of a face to prove the folder with, or --no-proof")
    written = write_insightface(
        load_pack(pack),
        name,
        root=root,
        photo=photo,
        detector_from=detector_from,
        extras_from=extras_from,
    )
    if json:
        options.print_json({**asdict(written), "folder": str(written.folder)})
        return
    for note in written.notes:
        print(note)
    print(f"{written.folder}: {', '.join(written.files)}")
    if written.proof is None:
        print("not proved in the insightface package (--no-proof)")
        return
    proof = written.proof
    print(
        f"insightface {proof.version} loads {', '.join(proof.tasks)}; for {proof.faces} faces with "
        f"the same landmarks its embeddings have cosine {proof.cosine:.6f} to ours, or more; its "
        f"own detector finds {proof.found}"
    )
