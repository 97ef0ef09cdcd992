"""visavis find PORTRAIT IMAGE..."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.facecache import FaceCache
    from visavis.presence import PhotoSearch


@dataclass(frozen=True, slots=True)
class Remembering:
    """Where the faces of photos that were looked through are kept."""

    cache: Annotated[
        Path | None,
        typer.Option(help="Remember photos' faces in this file; default: in your cache folder."),
    ] = None
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Remember nothing, and look through every photo.")
    ] = False

    def opened(self, models: options.Recognition) -> "FaceCache | None":
        """The cache of what these models see; None if there is to be none."""
        from visavis.embedder import choose_models
        from visavis.facecache import FaceCache, models_of
        from visavis.pack import DEFAULT_PACK

        if self.no_cache and self.cache:
            raise typer.BadParameter("expected --cache or --no-cache, got both")
        chosen = choose_models(models.pack or DEFAULT_PACK)
        seen_by = models_of(chosen.detector, chosen.model) + (" tiled" if models.tiled else "")
        return None if self.no_cache else FaceCache(seen_by, self.cache)


@spread
def find(
    portrait: Annotated[Path, typer.Argument(help="A photo of the person.")],
    images: options.Photos,
    remembering: Remembering,
    policy: options.PolicyName = "standard",
    face: Annotated[
        int | None, typer.Option(min=1, help="Which face of the portrait: from 1, largest first.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List every photo, however unlike.")] = False,
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """Which of these photos show this person? The likest first. Exit code 1 where none does."""
    from visavis.dataset import find_photos
    from visavis.presence import find_in_photos, portrait_embedding

    paths, cache = find_photos(images), remembering.opened(models)
    recognizer = models.for_many()
    search = find_in_photos(
        recognizer,
        portrait_embedding(recognizer, portrait, face),
        paths,
        policy=policy,
        cache=cache,
        workers=printing.workers(),
        progress=printing.progress_bar("looking through"),
    )
    _show(search, len(paths), every=every, json=json)


def _show(search: "PhotoSearch", total: int, *, every: bool, json: bool) -> None:
    from visavis.answers.presence import search_json, search_words

    failures = printing.Failures()
    for path, error in search.failures:
        failures.add(path, error)
    document = search_json(search, failures.items, every=every)
    printing.print_answer(document, search_words(search, every=every), json=json)
    failures.exit(total)
    raise typer.Exit(0 if search.matches else 1)
