"""visavis detect IMAGE..."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from visavis.cli import options


def detect(
    images: Annotated[list[str], typer.Argument(help="Photos, folders of photos, or patterns.")],
    draw: Annotated[
        Path | None, typer.Option(help="Draw each photo's faces, in this folder.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least score; default: the pack's.")
    ] = None,
    tiled: Annotated[
        bool, typer.Option("--tiled", help="Also search at full resolution, for tiny faces; slow.")
    ] = False,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Find the faces in photos: boxes, five points, quality."""
    from visavis.cli import words
    from visavis.dataset import find_photos
    from visavis.detect import load_detector
    from visavis.errors import VisavisError
    from visavis.pack import load_pack
    from visavis.recognizer import MAX_SIDE, find_faces

    where = options.device_of(device, precision, runtime)
    detector = load_detector(load_pack(pack), device=where, min_score=min_score, tiled=tiled)
    paths = find_photos(images)
    found: list[dict[str, Any]] = []
    failures = options.Failures()
    for path in options.progress(paths, total=len(paths), label="detecting"):
        try:
            photo = find_faces(detector, path, max_side=None if tiled else MAX_SIDE)
            qualities = [photo.quality(row) for row in range(len(photo.faces))]
        except VisavisError as error:
            failures.add(path, error)
            continue
        if draw:
            from visavis.cli.pictures import faces_picture
            from visavis.draw import write_image

            write_image(draw / f"{_below(path, paths)}.png", faces_picture(photo))
        if json:
            found.append(words.faces_json(photo, qualities))
        else:
            print("\n".join(words.faces_words(photo, qualities)))
    if json:
        options.print_json({"images": found, "errors": failures.items})
    failures.exit(len(paths))


def _below(path: Path, paths: list[Path]) -> Path:
    """The path below the folder all share, so that two photos of one name do not meet."""
    shared = os.path.commonpath([other.absolute().parent for other in paths])
    return path.absolute().relative_to(shared)
