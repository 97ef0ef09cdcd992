"""visavis embed SOURCE... --out FILE"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options


def embed(
    sources: Annotated[list[str], typer.Argument(help="Photos, folders of photos, or patterns.")],
    out: Annotated[Path, typer.Option(help="Where to: .npz, .npy or .parquet.")],
    aligned: Annotated[
        bool, typer.Option("--aligned", help="The pictures are 112x112 crops already.")
    ] = False,
    every: Annotated[
        bool, typer.Option("--every", help="Every face of a photo, not only the largest.")
    ] = False,
    flip: Annotated[
        bool, typer.Option(help="Add the mirrored crop: better, twice the time.")
    ] = True,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Write an embedding for the face in each photo."""
    from visavis.dataset import find_photos
    from visavis.detect import load_detector
    from visavis.embed import load_embedder
    from visavis.errors import VisavisError
    from visavis.pack import load_pack
    from visavis.table import EmbeddingTable, check_writable, photo_rows

    check_writable(out)
    where = options.device_of(device, precision, runtime)
    files = load_pack(pack)
    table = EmbeddingTable(load_embedder(files, device=where, flip=flip))
    detector = None if aligned else load_detector(files, device=where)
    paths = find_photos(sources)
    failures = options.Failures()
    for path in options.progress(paths, total=len(paths), label="embedding"):
        try:
            table.add(photo_rows(path, detector, every=every))
        except VisavisError as error:
            failures.add(path, error)
    faces = table.write(out)
    summary = {"out": str(out), "faces": faces, "dim": table.embed.dim, "model": table.embed.model}
    if json:
        options.print_json({**summary, "errors": failures.items})
    else:
        print(f"{faces} embeddings of {table.embed.dim} numbers ({table.embed.model}): {out}")
    failures.exit(len(paths))
