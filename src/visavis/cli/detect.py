"""visavis detect IMAGE..."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.faces import PhotoFaces


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
        float,
        typer.Option(min=0, max=20_000, help="Pixels of the photo that a face is wide and high."),
    ] = 0,
    pack: options.PackName = "default",
    *,
    scanning: options.Scanning,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Find the faces in photos: boxes, five points, quality."""
    from visavis.dataset import find_photos
    from visavis.detect import load_detector
    from visavis.embedder import choose_models
    from visavis.faces import find_faces

    files, device = choose_models(pack).detector, where.for_many()
    detector = load_detector(files, device=device, min_score=min_score, tiled=scanning.tiled)
    side = scanning.max_side()
    find = partial(find_faces, detector, max_faces=max_faces, min_size=min_size, max_side=side)
    paths, failures = find_photos(images), printing.Failures()
    work = partial(_answer, find=find, draw=draw, paths=paths)
    answers = printing.each(work, paths, failures, label="detecting")
    printing.print_images(answers, failures, json=json)
    failures.exit(len(paths))


def _answer(
    path: Path, find: "Callable[[Path], PhotoFaces]", draw: Path | None, paths: list[Path]
) -> printing.PhotoAnswer:
    """A photo's faces; drawn, if that is wanted."""
    from visavis.answers import documents, pictures, words
    from visavis.draw import write_image

    photo = find(path)
    qualities = photo.qualities()
    answer = documents.faces_json(photo, qualities), words.faces_words(photo, qualities)
    if draw:
        drawn = printing.drawing(draw, path, paths)
        write_image(drawn, pictures.faces_picture(photo))
        return printing.with_drawing(answer, drawn)
    return answer
