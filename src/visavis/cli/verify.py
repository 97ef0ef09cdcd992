"""visavis verify A B"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NewType

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.decision import Outcome
    from visavis.faces import PhotoFaces
    from visavis.gallery import Gallery
    from visavis.recognizer import Recognizer

DIGITS = 6  # of a face's number: no photo shows a million
# One number or two, from 1. A type of its own: for a tuple typer would take two words.
FaceNumbers = NewType("FaceNumbers", tuple[int, ...])


def face_numbers(text: str) -> FaceNumbers:
    """N, or N,M."""
    words = [word.strip() for word in text.split(",") if text]
    numbers = [int(word) for word in words if word.isdecimal() and len(word) <= DIGITS]
    if len(words) > 2 or len(numbers) < len(words) or not all(numbers):
        raise typer.BadParameter(f"expected N or N,M (from 1, largest first), got {text!r}")
    return FaceNumbers(tuple(numbers))


FaceOption = Annotated[
    FaceNumbers | None,
    typer.Option(
        parser=face_numbers,
        metavar="N[,M]",
        help="Which face: N in the photo with several, or N,M for both photos.",
    ),
]


@spread
def verify(
    a: Annotated[Path, typer.Argument(help="A photo.")],
    b: Annotated[Path | None, typer.Argument(help="Another.")] = None,
    person: Annotated[
        str, typer.Option(help="In place of another photo: somebody of the gallery.")
    ] = "",
    anywhere: Annotated[
        bool, typer.Option("--any", help="A is a portrait: is the person anywhere in B?")
    ] = False,
    policy: Annotated[
        str,
        typer.Option(
            callback=options.policy_or_none,
            help="convenience, standard, strict, or a false match rate; default: standard, or the "
            "configuration's.",
        ),
    ] = "",
    face: FaceOption = None,
    draw: Annotated[Path | None, typer.Option(help="Draw the comparison here, as .png.")] = None,
    gallery: options.GalleryFolder = None,
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """Are these two photos of one person? Exit code 0 for a match, 1 otherwise."""

    _check_question(b, person, draw, anywhere=anywhere)
    people = None if b else options.gallery_at(gallery, create=False)
    recognizer = models.for_one(people)
    policy = policy or recognizer.rules.policy
    if people is not None:
        outcome, answer = _person(recognizer, a, people, person, policy, face or ())
    elif b is not None and anywhere:
        outcome, answer = _anywhere(recognizer, a, b, policy, face or ())
    elif b is not None:
        outcome, answer = _photos(recognizer, a, b, policy, face or (), draw)
    printing.print_answer(*answer, json=json)
    raise typer.Exit(0 if outcome == "match" else 1)


def _check_question(b: Path | None, person: str, draw: Path | None, *, anywhere: bool) -> None:
    if (b is None) == (not person):
        raise typer.BadParameter("expected another photo, or --person")
    if draw and (b is None or anywhere):
        raise typer.BadParameter("--draw needs two photos, and one face of each")
    if anywhere and b is None:
        raise typer.BadParameter("--any needs a portrait and a group photo")


def _one_number(numbers: tuple[int, ...]) -> int | None:
    if len(numbers) > 1:
        raise typer.BadParameter(f"expected N (from 1, largest first), got {len(numbers)} numbers")
    return numbers[0] if numbers else None


def _anywhere(
    recognizer: "Recognizer", portrait: Path, group: Path, policy: str, numbers: tuple[int, ...]
) -> "tuple[Outcome, printing.PhotoAnswer]":
    """A portrait compared with every face of a group photo."""
    from visavis.answers.presence import presence_json, presence_words
    from visavis.presence import verify_any

    face = _one_number(numbers)
    presence = verify_any(recognizer, portrait, group, policy=policy, face=face)
    return presence.decision.outcome, (presence_json(presence), presence_words(presence))


def _photos(
    recognizer: "Recognizer",
    a: Path,
    b: Path,
    policy: str,
    numbers: tuple[int, ...],
    draw: Path | None,
) -> "tuple[Outcome, printing.PhotoAnswer]":
    """Two photos compared, and the comparison drawn where `draw` says."""
    from visavis.answers import documents, words

    photos = (recognizer.faces(a), recognizer.faces(b))
    face_a, face_b = _meant(numbers, photos)
    verification = recognizer.compare(*photos, policy=policy, face_a=face_a, face_b=face_b)
    if draw:
        from visavis.answers.pictures import verdict_picture
        from visavis.draw import write_image

        write_image(draw, verdict_picture(verification))
    lines = words.verification_words(verification, str(draw) if draw else None)
    return verification.decision.outcome, (documents.verification_json(verification), lines)


def _person(
    recognizer: "Recognizer",
    photo: Path,
    gallery: "Gallery",
    name: str,
    policy: str,
    numbers: tuple[int, ...],
) -> "tuple[Outcome, printing.PhotoAnswer]":
    """A photo compared with somebody of the gallery."""
    from visavis.answers import documents, words

    face = _one_number(numbers)
    options.warn_quarantined(gallery, recognizer.embed.parts, recognizer.embed.model)
    person = gallery.find(name)
    answer = recognizer.verify_person(photo, gallery, person, policy=policy, face=face)
    lines = words.identification_words(str(photo), [answer])
    lines += [f"beware: {text}" for text in words.gallery_words([answer])]
    return answer.decision.outcome, (documents.identification_json(answer), lines)


def _meant(
    numbers: tuple[int, ...], photos: "tuple[PhotoFaces, PhotoFaces]"
) -> tuple[int | None, int | None]:
    """The face meant in each photo: a single number is about the one photo that shows several."""
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    if not numbers:
        return None, None
    several = [len(photo.faces) > 1 for photo in photos]
    if all(several):
        raise typer.BadParameter("both photos show several faces: expected N,M, one for each")
    return (None, numbers[0]) if several[1] else (numbers[0], None)
