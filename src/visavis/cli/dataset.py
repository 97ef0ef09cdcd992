"""visavis dataset align | check | convert | bin make | inspect"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.checkup import CheckedImages
    from visavis.dataset.images import Images
    from visavis.types import Detector, Embedder

dataset = typer.Typer(help="Data sets: pack them, look into them.", no_args_is_help=True)
bins = typer.Typer(help="InsightFace's .bin: pairs of crops in one file.", no_args_is_help=True)
dataset.add_typer(bins, name="bin")


@dataset.command()
@spread
def align(
    source: Annotated[Path, typer.Argument(help="A folder or zip of photos, a folder a person.")],
    out: Annotated[Path, typer.Option(help="Where to: the same folders, of crops.")],
    pack: options.PackName = "default",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Cut the largest face out of each photo, to learn from. Interrupted, it is repeated."""
    from visavis.answers import datasets
    from visavis.detect import load_detector
    from visavis.embedder import choose_models
    from visavis.preparation import align_people

    detect = load_detector(choose_models(pack).detector, device=where.for_many())
    progress = printing.progress_bar("aligning")
    made = align_people(source, out, detect, workers=printing.workers(), progress=progress)
    printing.print_answer(datasets.aligned_json(made), datasets.aligned_words(made), json=json)
    if made.failed:
        raise typer.Exit(3)


@dataset.command()
@spread
def check(
    source: Annotated[Path, typer.Argument(help="Crops by person: a folder, a zip, a .rec.")],
    tested_on: Annotated[
        Path | None, typer.Option(help="The set to test on: who of it is in this one, too?")
    ] = None,
    trained: Annotated[
        Path | None, typer.Option(help="A run on these crops with classes.centres above 1.")
    ] = None,
    pack: options.PackName = "default",
    policy: options.PolicyName = "strict",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Look through crops before learning from them. Exits 1 where something is to be mended."""
    from visavis.answers import datasets
    from visavis.checkup import check_images
    from visavis.dataset.images import open_images

    images = open_images(source)
    others = None if tested_on is None else open_images(tested_on)
    judge, progress = _judge(pack, policy, where), printing.progress_bar("checking")
    checked = check_images(images, *judge, tested_on=others, progress=progress)
    checked = checked if trained is None else _with_spare(checked, trained, images)
    document, lines = datasets.checked_json(checked), datasets.checked_words(checked)
    printing.print_answer(document, lines, json=json)
    if not checked.clean:
        raise typer.Exit(1)


def _with_spare(checked: "CheckedImages", run: Path, images: "Images") -> "CheckedImages":
    """With what the run's spare centres say of the pictures."""
    from visavis.train.spare import spare_pictures

    progress = printing.progress_bar("asking the run")
    return replace(checked, spare=tuple(spare_pictures(run, images, progress=progress)))


def _judge(pack: str, policy: str, where: options.Where) -> "tuple[Embedder, float]":
    """The pack's embedder, and the similarity from which two are one person."""
    from visavis.embedder import choose_models

    models = choose_models(pack)
    threshold = models.calibration().policy(policy).match.threshold
    return models.together(models.members(where.for_many(), flip=False)), threshold


@dataset.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A .rec, or the folder that holds one.")],
    out: Annotated[Path, typer.Option(help="The folder of the Hugging Face data set.")],
    json: options.Json = False,
) -> None:
    """Write labelled pictures as a Hugging Face data set; their bytes stay as they are."""
    from visavis.answers import datasets
    from visavis.dataset.arrow import write_arrow
    from visavis.dataset.images import open_images

    images = open_images(source)
    write_arrow(out, images, progress=printing.progress_bar("writing"))
    written = out, len(images.labels), len(set(images.labels.tolist()))
    printing.print_answer(
        datasets.converted_set_json(*written), datasets.converted_set_words(*written), json=json
    )


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
