"""visavis embed SOURCE... --out FILE"""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options
from visavis.cli.spread import spread


@spread
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
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Write an embedding for the face in each photo."""
    from visavis.dataset import find_photos
    from visavis.detect import load_detector
    from visavis.embed import load_embedder
    from visavis.embeddings import check_writable, embed_photo, write_table
    from visavis.pack import load_pack

    check_writable(out)
    files, device = load_pack(pack), where.for_many()
    embedder = load_embedder(files, device=device, flip=flip)
    detector = None if aligned else load_detector(files, device=device)
    work = partial(embed_photo, detect=detector, embed=embedder, every=every)
    paths, failures = find_photos(sources), options.Failures()
    photos = options.each(work, paths, failures, label="embedding")
    rows = [face for _, faces in photos for face in faces]
    if rows or not failures.items:
        write_table(out, rows, embedder)
        model = {"dim": embedder.dim, "model": embedder.model}
        summary = {"out": str(out), "faces": len(rows), **model, "errors": failures.items}
        words = f"{len(rows)} embeddings of {embedder.dim} numbers ({embedder.model}): {out}"
        options.print_answer((summary, [words]), json)
    failures.exit(len(paths))
