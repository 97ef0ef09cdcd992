"""visavis identify IMAGE..."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.faces import PhotoFaces
    from visavis.gallery import Gallery
    from visavis.identification import Answered, Look
    from visavis.recognizer import Recognizer
    from visavis.results import Identification


@spread
def identify(
    images: options.Photos,
    draw: Annotated[Path | None, typer.Option(help="Draw each photo, in this folder.")] = None,
    false_positive_rate: Annotated[
        float | None,
        typer.Option(
            callback=options.between_0_and_1,
            help="Share of strangers that may be taken for anybody at all; default: 0.01, or the "
            "configuration's.",
        ),
    ] = None,
    among: Annotated[
        str | None, typer.Option(help="Search the people of this group alone.")
    ] = None,
    gallery: options.GalleryFolder = None,
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """Who is in these photos? Every face: match, review or no match, with the runner-up."""
    from visavis.dataset import find_photos
    from visavis.identification import identify_photos

    recognizer, people = _ready(models, gallery, among)
    paths = find_photos(images)
    answers = identify_photos(
        recognizer,
        people,
        paths,
        false_positive_rate=false_positive_rate,
        among=among,
        workers=printing.workers(),
        look=_drawer(draw, paths),
    )
    _show_all(answers, paths, draw, json=json)


def _ready(
    models: options.Recognition, gallery: str | None, among: str | None
) -> "tuple[Recognizer, Gallery]":
    people = options.gallery_at(gallery, create=False)
    recognizer = models.for_many(people)
    if not len(people.index(recognizer.embed.parts, among)):
        recognizer.unseen(people)  # raises where nobody could ever be found
    options.warn_quarantined(people, recognizer.embed.parts, recognizer.embed.model, among)
    return recognizer, people


def _show_all(
    answers: "Iterable[Answered]", paths: list[Path], draw: Path | None, *, json: bool
) -> None:
    """Print each photo's faces as soon as they are known, or all in one document. What holds for
    the gallery is said once.
    """
    from visavis.answers.words import gallery_words

    failures = printing.Failures()
    of_gallery: set[str] = set()

    def described() -> Iterator[tuple[Path, printing.PhotoAnswer]]:
        for path, faces in printing.shown(answers, len(paths), failures, label="identifying"):
            of_gallery.update(gallery_words(faces))
            answer = _answer(path, faces)
            yield (
                path,
                printing.with_drawing(answer, printing.drawing(draw, path, paths))
                if draw
                else answer,
            )

    printing.print_images(described(), failures, json=json)
    if not json:
        printing.print_lines(f"beware: {text}" for text in sorted(of_gallery))
    failures.exit(len(paths))


def _answer(path: Path, faces: "tuple[Identification, ...]") -> printing.PhotoAnswer:
    from visavis.answers import documents, words

    entry = [documents.identification_json(face) for face in faces]
    return {"path": str(path), "faces": entry}, words.identification_words(str(path), faces)


def _drawer(folder: Path | None, paths: list[Path]) -> "Look":
    """What draws each photo into a folder, where there is one."""

    def draw(path: Path, photo: "PhotoFaces", faces: "tuple[Identification, ...]") -> None:
        from visavis.answers.pictures import identified_picture
        from visavis.draw import write_image

        if folder is not None:
            picture = identified_picture(photo, faces)
            write_image(printing.drawing(folder, path, paths), picture)

    return draw
