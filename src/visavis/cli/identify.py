"""visavis identify IMAGE..."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.faces import PhotoFaces
    from visavis.gallery import Gallery
    from visavis.identification import Answered, Look
    from visavis.recognizer import Identification, Recognizer


@spread
def identify(
    images: options.Photos,
    draw: Annotated[Path | None, typer.Option(help="Draw each photo, in this folder.")] = None,
    false_positive_rate: Annotated[
        float,
        typer.Option(
            callback=options.between_0_and_1,
            help="Share of strangers that may be taken for anybody at all.",
        ),
    ] = 1e-2,
    gallery: options.GalleryFolder = None,
    pack: options.PackName = "default",
    *,
    scanning: options.Scanning,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Who is in these photos? Every face: match, review or no match, with the runner-up."""
    from visavis.dataset import find_photos
    from visavis.identification import identify_photos

    recognizer, people = _ready(pack, where, gallery, scanning)
    paths = find_photos(images)
    answers = identify_photos(
        recognizer,
        people,
        paths,
        false_positive_rate=false_positive_rate,
        workers=printing.workers(),
        look=_drawer(draw, paths),
    )
    _show_all(answers, len(paths), json=json)


def _ready(
    pack: str, where: options.Where, gallery: Path | None, scanning: options.Scanning
) -> "tuple[Recognizer, Gallery]":
    from visavis.recognizer import Recognizer

    recognizer = Recognizer.load(pack, where.for_many(), tiled=scanning.tiled)
    people = options.gallery_at(gallery, create=False)
    options.warn_quarantined(people, recognizer.embed.model)
    return recognizer, people


def _show_all(answers: "Iterable[Answered]", total: int, *, json: bool) -> None:
    failures = printing.Failures()
    documents: list[dict[str, Any]] = []
    for path, faces in printing.shown(answers, total, failures, label="identifying"):
        documents += _show(path, faces, json=json)
    if json:
        printing.print_json({"images": documents, "errors": failures.items})
    failures.exit(total)


def _show(path: Path, faces: "tuple[Identification, ...]", *, json: bool) -> list[dict[str, Any]]:
    """Print a photo's faces as soon as they are known, or keep them for the one document."""
    from visavis.answers import documents, words

    if json:
        entry = [documents.identification_json(face) for face in faces]
        return [{"path": str(path), "faces": entry}]
    printing.print_lines(words.identification_words(str(path), faces))
    return []


def _drawer(folder: Path | None, paths: list[Path]) -> "Look":
    """What draws each photo into a folder, where there is one."""

    def draw(path: Path, photo: "PhotoFaces", faces: "tuple[Identification, ...]") -> None:
        from visavis.answers.pictures import identified_picture
        from visavis.draw import write_image

        if folder is not None:
            picture = identified_picture(photo, faces)
            write_image(printing.drawing(folder, path, paths), picture)

    return draw
