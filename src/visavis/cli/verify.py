"""visavis verify A B"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.recognizer import PhotoFaces


def verify(
    a: Annotated[Path, typer.Argument(help="A photo.")],
    b: Annotated[Path, typer.Argument(help="Another.")],
    policy: Annotated[
        str, typer.Option(help="convenience, standard, strict, or a false match rate.")
    ] = "standard",
    face: Annotated[
        str, typer.Option(help="Which face: N in the photo with several, or N,M for both photos.")
    ] = "",
    draw: Annotated[Path | None, typer.Option(help="Draw the comparison here, as .png.")] = None,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Are these two photos of one person? Exit code 0 for a match, 1 otherwise."""
    from visavis.cli import words
    from visavis.recognizer import Recognizer

    recognizer = Recognizer.load(pack, options.device_of(device, precision, runtime))
    photos = (recognizer.faces(a), recognizer.faces(b))
    face_a, face_b = _faces(face, photos)
    found = recognizer.compare(*photos, policy=policy, face_a=face_a, face_b=face_b)
    if draw:
        from visavis.cli.pictures import verdict_picture
        from visavis.draw import write_image

        write_image(draw, verdict_picture(found))
    if json:
        options.print_json(words.verification_json(found))
    else:
        print("\n".join(words.verification_words(found, str(draw) if draw else None)))
    raise typer.Exit(0 if found.decision.outcome == "match" else 1)


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
