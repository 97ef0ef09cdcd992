"""visavis embed SOURCE... --out FILE, or --manifest FILE --out FOLDER"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing, shards
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.embeddings import EmbeddedFace
    from visavis.types import Detector, Embedder


@dataclass(frozen=True, slots=True)
class How:
    """Which faces are embedded, and how."""

    aligned: Annotated[
        bool, typer.Option("--aligned", help="The pictures are 112x112 crops already.")
    ] = False
    every: Annotated[
        bool, typer.Option("--every", help="Every face of a photo, not only the largest.")
    ] = False
    flip: Annotated[bool, typer.Option(help="Add the mirrored crop: better, twice the time.")] = (
        True
    )


@spread
def embed(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Photos, folders of photos, or patterns.")
    ] = None,
    *,
    out: Annotated[
        str,
        typer.Option(
            help="Where to: .npz, .npy and lists beside, or .parquet; of a manifest a folder, or "
            "its address in an object store."
        ),
    ],
    how: How,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Embed with this checkpoint; faces are the pack's to find.")
    ] = None,
    family: Annotated[
        str, typer.Option(help="Whose network the checkpoint is; auto: by the names in it.")
    ] = "auto",
    pack: options.PackName = "default",
    sharding: shards.Sharding,
    scanning: options.Scanning,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Write an embedding for the face in each photo. An interrupted call, made again, goes on."""
    sharding.refuse_unheard(sources, checkpoint)
    if sharding.manifest is not None:
        shards.embed_manifest(
            sharding, out, pack, where, **asdict(how), **asdict(scanning), json=json
        )
        return
    own = _network(checkpoint, family, flip=how.flip) if checkpoint else None
    _embed_photos(sources or [], Path(out), own, pack, how, scanning, where, json=json)


def _embed_photos(
    sources: list[str],
    out: Path,
    own: "Embedder | None",
    pack: str,
    how: How,
    scanning: options.Scanning,
    where: options.Where,
    *,
    json: bool,
) -> None:
    from visavis.dataset import find_photos
    from visavis.embeddings import check_writable, embed_all
    from visavis.unfinished import unfinished

    check_writable(out)
    detect, embedder, named = _models(pack, where, scanning, own, how)
    side = scanning.max_side()
    work = partial(embed_all, every=how.every, max_side=side, workers=printing.workers())
    paths, failures = find_photos(sources), printing.Failures()
    with unfinished(out, f"{named} {how} {scanning} {where}") as kept:
        answers = work(paths, detect, embedder, through=kept.through)
        photos = printing.shown(answers, len(paths), failures, label="embedding")
        rows = [face for _, faces in photos for face in faces]
        _write(out, rows, embedder, failures, before=kept.photos, json=json)
    failures.exit(len(paths))


def _write(
    out: Path,
    rows: "list[EmbeddedFace]",
    embed: "Embedder",
    failures: printing.Failures,
    *,
    before: int,
    json: bool,
) -> None:
    """The table, and what came of it; no table where every photo failed."""
    from visavis.answers import documents, words
    from visavis.embeddings import write_table

    written = out if rows or not failures.items else None
    if written:
        write_table(written, rows, embed)
    document = documents.table_json(written, len(rows), embed, failures.items, before=before)
    lines = words.table_words(out, len(rows), embed, before=before) if written else []
    printing.print_answer(document, lines, json=json)


def _network(checkpoint: Path, family: str, *, flip: bool) -> "Embedder":
    """A checkpoint's network, in PyTorch."""
    from visavis.checkpoints.embedder import load_network_embedder

    return load_network_embedder(checkpoint, family=family, flip=flip)


def _models(
    pack: str,
    where: options.Where,
    scanning: options.Scanning,
    own: "Embedder | None",
    how: How,
) -> "tuple[Detector | None, Embedder, str]":
    """The pack's models, with `own` in its embedder's place, and what they are called; no detector
    where pictures are crops already.
    """
    from visavis.detect import load_detector
    from visavis.embedder import choose_models
    from visavis.facecache import models_of

    models, device = choose_models(pack), where.for_many()
    embedder = own or models.together(models.members(device, flip=how.flip))
    named = models_of(models.detector, embedder.model)
    if how.aligned:
        return None, embedder, named
    return load_detector(models.detector, device=device, tiled=scanning.tiled), embedder, named
