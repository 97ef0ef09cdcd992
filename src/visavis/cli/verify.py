"""visavis verify A B"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.recognizer import PhotoFaces


def verify(
    a: Annotated[Path, typer.Argument(help="A photo.")],
    b: Annotated[Path | None, typer.Argument(help="Another.")] = None,
    person: Annotated[
        str, typer.Option(help="In place of another photo: somebody of the gallery.")
    ] = "",
    policy: Annotated[
        str, typer.Option(help="convenience, standard, strict, or a false match rate.")
    ] = "standard",
    face: Annotated[
        str, typer.Option(help="Which face: N in the photo with several, or N,M for both photos.")
    ] = "",
    draw: Annotated[Path | None, typer.Option(help="Draw the comparison here, as .png.")] = None,
    gallery: options.GalleryFolder = None,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Are these two photos of one person? Exit code 0 for a match, 1 otherwise."""
    from visavis.answers import documents, words
    from visavis.recognizer import Recognizer

    if (b is None) == (not person):
        raise typer.BadParameter("say another photo, or --person")
    recognizer = Recognizer.load(pack, options.device_of(device, precision, runtime))
    if b is None:
        if draw:
            raise typer.BadParameter("--draw needs two photos")
        known = options.open_gallery(gallery, create=False)
        options.warn_quarantined(known, recognizer.embed.model)
        one = recognizer.verify_person(a, known, known.find(person), policy=policy, face=_one(face))
        _finish(
            one.decision.outcome,
            documents.identification_json(one) if json else None,
            words.identification_words(str(a), [one]),
        )
    photos = (recognizer.faces(a), recognizer.faces(b))
    face_a, face_b = _faces(face, photos)
    found = recognizer.compare(*photos, policy=policy, face_a=face_a, face_b=face_b)
    if draw:
        from visavis.answers.pictures import verdict_picture
        from visavis.draw import write_image

        write_image(draw, verdict_picture(found))
    _finish(
        found.decision.outcome,
        documents.verification_json(found) if json else None,
        words.verification_words(found, str(draw) if draw else None),
    )


def _finish(outcome: str, document: dict[str, Any] | None, lines: list[str]) -> NoReturn:
    """Print the answer, exit by it."""
    if document is None:
        print("\n".join(lines))
    else:
        options.print_json(document)
    raise typer.Exit(0 if outcome == "match" else 1)


def _one(option: str) -> int | None:
    if option and not option.isdecimal():
        raise typer.BadParameter(f"expected N (from 1, largest first), got {option!r}")
    return int(option) if option else None


def _faces(option: str, photos: "tuple[PhotoFaces, PhotoFaces]") -> tuple[int | None, int | None]:
    """The face meant in each photo: --face N speaks of the one photo that shows several."""
    if not option:
        return None, None
    numbers = [number.strip() for number in option.split(",")]
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise typer.BadParameter(f"expected N or N,M (from 1, largest first), got {option!r}")
    if len(numbers) == 2:
        return int(numbers[0]), int(numbers[1])
    several = [len(photo.faces) > 1 for photo in photos]
    if all(several):
        raise typer.BadParameter("both photos show several faces: say N,M, one for each")
    return (None, int(numbers[0])) if several[1] else (int(numbers[0]), None)
