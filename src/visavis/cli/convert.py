"""visavis convert CHECKPOINT --out FILE.onnx"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """The options of an embedder's conversion: visavis.convert.workflow.ConversionRequest's."""

    family: Annotated[
        str, typer.Option(help="Whose network it is; auto: by the names in the file.")
    ] = "auto"
    opset: Annotated[
        int | None, typer.Option(min=1, max=99, help="ONNX operator set; default: 18.")
    ] = None
    norm_output: Annotated[
        bool, typer.Option("--norm-output", help="Also give the embedding's length, a quality.")
    ] = False
    crops: Annotated[
        Path | None, typer.Option(help="A folder or zip of crops to prove it with, too.")
    ] = None
    int8: Annotated[
        Path | None, typer.Option(help="Write it in int8, calibrated on a folder or zip of crops.")
    ] = None
    preset: Annotated[
        str | None, typer.Option(help="Of int8: performance, the default, or mixed.")
    ] = None
    float16: Annotated[
        bool, typer.Option("--float16", help="Store the weights in half precision.")
    ] = False
    tflite: Annotated[bool, typer.Option("--tflite", help="Write FILE.tflite beside it, too.")] = (
        False
    )
    images: Annotated[
        Path | None, typer.Option(help="Crops by a folder, a zip, or a .bin, to judge it on.")
    ] = None
    pairs: options.PairsList = None
    max_loss: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Points of accuracy that int8 or float16 may cost; default: 0.5.",
        ),
    ] = None


@spread
def convert(
    checkpoint: Annotated[
        Path, typer.Argument(help="Weights as trained, or an .onnx to make smaller.")
    ],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")],
    pixels: options.Pixels,
    wanted: ConversionOptions,
    json: options.Json = False,
) -> None:
    """Turn a checkpoint into an ONNX file that any runtime loads, and prove that it is the same.

    An embedder's, or a detector's (YuNet, RetinaFace, YOLOv5-face n-0.5). Nothing is written where
    it is not the same.
    """
    from visavis.answers.conversion import conversion_json, conversion_words
    from visavis.convert import workflow
    from visavis.convert.form import DeclaredPixels

    request = workflow.ConversionRequest(pixels=DeclaredPixels(**asdict(pixels)), **asdict(wanted))
    progress = printing.progress_bar("embedding")
    conversion = workflow.convert(checkpoint, out, request, progress=progress)
    printing.print_answer(conversion_json(conversion), conversion_words(conversion), json=json)
