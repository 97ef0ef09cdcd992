"""visavis embed SOURCE... --out FILE"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.types import Detector, Embedder


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
    checkpoint: Annotated[
        Path | None, typer.Option(help="Embed with this checkpoint; faces are the pack's to find.")
    ] = None,
    family: Annotated[
        str, typer.Option(help="Whose network the checkpoint is; auto: by the names in it.")
    ] = "auto",
    pack: options.PackName = "default",
    *,
    scanning: options.Scanning,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Write an embedding for the face in each photo."""
    from visavis.dataset import find_photos
    from visavis.embeddings import check_writable, embed_all, write_table

    check_writable(out)
    detect, embedder = _models(pack, where, scanning, flip=flip, aligned=aligned)
    models = detect, _network(checkpoint, family, flip=flip) if checkpoint else embedder
    paths, failures, side = find_photos(sources), printing.Failures(), scanning.max_side()
    answers = embed_all(paths, *models, every=every, max_side=side, workers=printing.workers())
    photos = printing.shown(answers, len(paths), failures, label="embedding")
    rows = [face for _, faces in photos for face in faces]
    written = out if rows or not failures.items else None
    if written:
        write_table(written, rows, models[1])
    _show(written, len(rows), models[1], failures, json=json)
    failures.exit(len(paths))


def _show(
    out: Path | None, faces: int, embed: "Embedder", failures: printing.Failures, *, json: bool
) -> None:
    from visavis.answers import documents, words

    document = documents.table_json(out, faces, embed, failures.items)
    lines = words.table_words(out, faces, embed) if out else []
    printing.print_answer(document, lines, json=json)


def _network(checkpoint: Path, family: str, *, flip: bool) -> "Embedder":
    """A checkpoint's network, in PyTorch."""
    from visavis.checkpoints.embedder import load_network_embedder

    return load_network_embedder(checkpoint, family=family, flip=flip)


def _models(
    pack: str, where: options.Where, scanning: options.Scanning, *, flip: bool, aligned: bool
) -> "tuple[Detector | None, Embedder]":
    """The pack's models; no detector where pictures are crops already."""
    from visavis.detect import load_detector
    from visavis.embedder import choose_models

    models, device = choose_models(pack), where.for_many()
    embedder = models.together(models.members(device, flip=flip))
    if aligned:
        return None, embedder
    return load_detector(models.detector, device=device, tiled=scanning.tiled), embedder
