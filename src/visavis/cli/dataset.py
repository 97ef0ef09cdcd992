"""visavis dataset bin make | inspect"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.types import Detector

dataset = typer.Typer(help="Data sets: pack them, look into them.", no_args_is_help=True)
bins = typer.Typer(help="InsightFace's .bin: pairs of crops in one file.", no_args_is_help=True)
dataset.add_typer(bins, name="bin")


@bins.command()
@spread
def make(
    out: Annotated[Path, typer.Argument(help="The .bin to write.")],
    images: Annotated[Path, typer.Option(help="A folder or zip of pictures, or a .bin.")],
    pairs: options.PairsList = None,
    protocol: Annotated[str | None, typer.Option(help="FF or FP: of CFP's own folder.")] = None,
    align: options.Align = False,
    skip_bad: options.SkipBad = False,
    pack: options.PackName = "default",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Pack a pairs list. Crops keep their bytes; with --align they become PNG, without loss."""
    from visavis.answers import datasets
    from visavis.dataset.verification import make_bin

    packed = make_bin(
        out,
        images,
        _crop(align, pack, where),
        pairs=pairs,
        protocol=protocol,
        skip_bad=skip_bad,
        progress=printing.progress_bar("packing"),
    )
    made = out, packed, out.stat().st_size
    printing.print_answer(datasets.bin_json(*made), datasets.bin_words(*made), json=json)


@bins.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A .bin.")],
    json: options.Json = False,
) -> None:
    """What a .bin holds. Exits 1 where a picture in it cannot be decoded."""
    from visavis.answers import datasets
    from visavis.dataset.bin import inspect_bin

    contents = inspect_bin(file, progress=printing.progress_bar("decoding"))
    document = datasets.contents_json(file, contents)
    printing.print_answer(document, datasets.contents_words(file, contents), json=json)
    if contents.undecodable:
        raise typer.Exit(1)


def _crop(align: bool, pack: str, where: options.Where) -> Callable[[bytes], bytes]:
    """A crop as it is, or an aligner with the pack's detector."""
    from visavis.dataset.bin import as_it_is
    from visavis.detect import load_detector
    from visavis.embedder import choose_models

    if not align:
        return as_it_is
    return _aligner(load_detector(choose_models(pack).detector, device=where.for_one()))


def _aligner(detect: "Detector") -> Callable[[bytes], bytes]:
    """An encoded picture to its largest face's crop, as PNG."""
    import cv2

    from visavis.errors import NoFaceError
    from visavis.faces import find_faces

    def crop(data: bytes) -> bytes:
        photo = find_faces(detect, data, max_faces=1)
        crops = photo.crops(range(len(photo.faces)), detect)
        if not len(crops):
            raise NoFaceError("no face found; --skip-bad leaves its pairs out")
        return bytes(cv2.imencode(".png", cv2.cvtColor(crops[0], cv2.COLOR_RGB2BGR))[1])

    return crop
