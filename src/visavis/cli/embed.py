"""visavis embed SOURCE... --out FILE"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options


def embed(
    sources: options.Photos,
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
    from visavis.embeddings import Row, check_writable, embed_photo, write_table
    from visavis.pack import load_pack

    check_writable(out)
    where = options.device_of(device, precision, runtime).for_many()
    files = load_pack(pack)
    embedder = load_embedder(files, device=where, flip=flip)
    detector = None if aligned else load_detector(files, device=where)
    paths = find_photos(sources)
    rows: list[Row] = []
    failures = options.Failures()

    def work(path: Path) -> list[Row]:
        return embed_photo(path, detector, embedder, every=every)

    for _, found in options.each(work, paths, failures, label="embedding"):
        rows += found
    if failures.items and not rows:
        failures.exit(len(paths))
    write_table(out, rows, embedder)
    summary = {"out": str(out), "faces": len(rows), "dim": embedder.dim, "model": embedder.model}
    if json:
        options.print_json({**summary, "errors": failures.items})
    else:
        print(f"{len(rows)} embeddings of {embedder.dim} numbers ({embedder.model}): {out}")
    failures.exit(len(paths))
