"""visavis detect IMAGE..."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visavis.cli import options
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.quality import Quality
    from visavis.recognizer import PhotoFaces


@spread
def detect(
    images: options.Photos,
    draw: Annotated[
        Path | None, typer.Option(help="Draw each photo's faces, in this folder.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score; default: the pack's.")
    ] = None,
    max_faces: Annotated[
        int | None, typer.Option(min=1, help="Of each photo the largest; default: all.")
    ] = None,
    min_size: Annotated[
        float, typer.Option(min=0, help="Pixels of the photo that a face must be wide and high.")
    ] = 0,
    tiled: Annotated[
        bool, typer.Option("--tiled", help="Also search at full resolution, for tiny faces; slow.")
    ] = False,
    pack: options.PackName = "default",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Find the faces in photos: boxes, five points, quality."""
    from visavis.answers import documents, words
    from visavis.answers.pictures import faces_picture
    from visavis.dataset import find_photos
    from visavis.detect import load_detector
    from visavis.draw import write_image
    from visavis.pack import load_pack
    from visavis.recognizer import MAX_SIDE, find_faces

    detector = load_detector(
        load_pack(pack),
        device=where.for_many(),
        min_score=min_score,
        max_faces=max_faces,
        min_size=min_size,
        tiled=tiled,
    )
    paths = find_photos(images)
    found: list[dict[str, Any]] = []
    failures = options.Failures()

    def work(path: Path) -> "tuple[PhotoFaces, list[Quality | None]]":
        photo = find_faces(detector, path, max_side=None if tiled else MAX_SIDE)
        if draw:
            write_image(draw / f"{options.below(path, paths)}.png", faces_picture(photo))
        return photo, [_quality(photo, row) for row in range(len(photo.faces))]

    for _, answer in options.each(work, paths, failures, label="detecting"):
        if json:
            found.append(documents.faces_json(*answer))
        else:
            print("\n".join(words.faces_words(*answer)))
    if json:
        options.print_json({"images": found, "errors": failures.items})
    failures.exit(len(paths))


def _quality(photo: "PhotoFaces", row: int) -> "Quality | None":
    """None for a face that no crop can be cut of: it is shown, and the others with it."""
    from visavis.errors import LandmarkError

    try:
        return photo.quality(row)
    except LandmarkError:
        return None
