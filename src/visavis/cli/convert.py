"""visavis convert CHECKPOINT --out FILE.onnx"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import conversions, options
from visavis.cli.converted import show, show_detector


def convert(
    context: typer.Context,
    checkpoint: Annotated[
        Path, typer.Argument(help="Weights as trained, or an .onnx to make smaller.")
    ],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")],
    family: Annotated[
        str, typer.Option(help="Whose network it is; auto: by the names in the file.")
    ] = "auto",
    color: Annotated[
        options.ColorName | None, typer.Option(help="In place of the family's order.")
    ] = None,
    mean: options.Mean = None,
    std: options.Std = None,
    opset: Annotated[int | None, typer.Option(help="ONNX operator set; default: 18.")] = None,
    norm_output: Annotated[
        bool, typer.Option("--norm-output", help="Also give the embedding's length, a quality.")
    ] = False,
    crops: Annotated[
        Path | None, typer.Option(help="A folder or zip of crops to prove it with, too.")
    ] = None,
    int8: Annotated[
        Path | None, typer.Option(help="Write it in int8, calibrated on a folder or zip of crops.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Of int8: performance or mixed.")] = "performance",
    float16: Annotated[
        bool, typer.Option("--float16", help="Store the weights in half precision.")
    ] = False,
    tflite: Annotated[
        bool, typer.Option("--tflite", help="Write FILE.tflite beside it, too.")
    ] = False,
    images: Annotated[
        Path | None, typer.Option(help="Crops by a folder, a zip, or a .bin, to judge it on.")
    ] = None,
    pairs: options.PairsList = None,
    max_loss: Annotated[
        float, typer.Option(help="Points of accuracy that int8 or float16 may cost.")
    ] = 0.5,
    json: options.Json = False,
) -> None:
    """Turn a checkpoint into an ONNX file that any runtime loads, and prove that it is the same.

    An embedder's, or a detector's (YuNet, RetinaFace, YOLOv5-face n-0.5). Nothing is written where
    it is not the same.
    """
    conversions.check_out(out, int8=int8 is not None, float16=float16)
    conversions.check_installed()
    source = conversions.read(checkpoint)
    if conversions.is_detector(source):
        conversions.only_plain(checkpoint, context)
        show_detector(conversions.convert_detector(source, out), json=json)
        return
    given = conversions.Given(family, color, mean, std, crops)
    converted = conversions.convert(source, given, opset=opset, norm_output=norm_output)
    if int8 is not None:
        converted.to_int8(int8, preset)
    if float16:
        converted.to_float16()
    if images is not None:
        converted.judge(images, pairs, max_loss)
    if tflite:
        converted.to_tflite(int8)
    converted.write(out)
    show(converted, out, json=json)
