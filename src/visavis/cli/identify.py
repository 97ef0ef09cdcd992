"""visavis identify IMAGE..."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.gallery import Gallery
    from visavis.recognizer import Identification


def identify(
    images: options.Photos,
    draw: Annotated[Path | None, typer.Option(help="Draw each photo, in this folder.")] = None,
    false_positive_rate: Annotated[
        float, typer.Option(help="Share of strangers that may be taken for anybody at all.")
    ] = 1e-2,
    gallery: options.GalleryFolder = None,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Who is in these photos? Every face: match, review or no match, with the runner-up."""
    from visavis.answers import documents, words
    from visavis.answers.pictures import identified_picture
    from visavis.dataset import find_photos
    from visavis.draw import write_image
    from visavis.recognizer import Recognizer

    where = options.device_of(device, precision, runtime).for_many()
    recognizer = Recognizer.load(pack, where)
    people = options.open_gallery(gallery, create=False)
    options.warn_quarantined(people, recognizer.embed.model)
    paths = find_photos(images)
    found: list[dict[str, Any]] = []
    failures = options.Failures()
    noting = True

    def work(path: Path) -> "tuple[Identification, ...]":
        photo = recognizer.faces(path)
        faces = recognizer.search(photo, people, false_positive_rate=false_positive_rate)
        if draw:
            write_image(
                draw / f"{options.below(path, paths)}.png", identified_picture(photo, faces)
            )
        return faces

    for path, faces in options.each(work, paths, failures, label="identifying"):
        noting = noting and _note_seen(people, faces)
        if json:
            entry = [documents.identification_json(face) for face in faces]
            found.append({"path": str(path), "faces": entry})
        else:
            print("\n".join(words.identification_words(str(path), faces)))
    if json:
        options.print_json({"images": found, "errors": failures.items})
    failures.exit(len(paths))


def _note_seen(people: "Gallery", faces: "Iterable[Identification]") -> bool:
    """Keep who was recognised from being pruned; a gallery that is only read answers all the same.

    Says so on stderr where it cannot be noted.
    """
    from visavis.errors import GalleryError

    matched = [face.person for face in faces if face.decision.outcome == "match"]
    try:
        for person in {person.id for person in matched if person}:
            people.seen(person)
    except GalleryError as error:
        print(f"visavis: cannot note who was seen: {error}", file=sys.stderr)
        return False
    return True
