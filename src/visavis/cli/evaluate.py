"""visavis evaluate [PACK...] --images FOLDER_OR_ZIP"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import evaluations, options


def evaluate(
    packs: Annotated[
        list[str] | None, typer.Argument(help="Packs, by name or folder; several are compared.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="A folder, a zip, or an InsightFace .bin.")
    ] = None,
    pairs: options.PairsList = None,
    protocol: Annotated[
        str | None, typer.Option(help="FF or FP, where the images are CFP's folders.")
    ] = None,
    sample: Annotated[
        int, typer.Option(help="Draw so many pairs of each kind and fold from a folder of people.")
    ] = 0,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="Every pair of a folder of people.")
    ] = False,
    exclude: options.Exclude = None,
    ijb: Annotated[Path | None, typer.Option(help="IJB-B or IJB-C: its meta and images.")] = None,
    wider: Annotated[Path | None, typer.Option(help="WIDER FACE: detection AP.")] = None,
    align: options.Align = False,
    flip: Annotated[bool, typer.Option(help="Add the mirrored crop.")] = True,
    skip_bad: options.SkipBad = False,
    require: Annotated[
        str | None, typer.Option(help="fmr=1e-3,fnmr=1e-2: exit 1 unless the data shows it.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Of several packs, as 0.3,0.7; default: searched.")
    ] = None,
    degrade: Annotated[
        str | None,
        typer.Option(help="all, or of dark,blur,lowres,tilt,mask,occlusion; blur:strong."),
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="A CSV of labels: person or picture, then the labels.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Write every similarity, as CSV.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write what visavis report draws, as .npz.")
    ] = None,
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """How well does a pack tell people apart? Accuracy, TAR at FAR, EER, AUC, each with its data.

    Exit code 1: what --require asks is not shown.
    """
    where = options.device_of(device, precision, runtime)
    names = packs or ["default"]
    if wider is not None:
        evaluations.on_wider(wider, names, where, json=json, skip_bad=skip_bad)
        return
    models = [evaluations.load(name, where, flip=flip, detector=align) for name in names]
    if ijb is not None:
        evaluations.on_ijb(ijb, models, json=json, skip_bad=skip_bad)
        return
    data = evaluations.Data(images, pairs, protocol, sample, exclude, skip_bad)
    further = evaluations.Further(require, weights, degrade, groups, scores, out)
    judge = evaluations.on_all_pairs if all_pairs else evaluations.on_pairs
    if not judge(models, data, further, json=json):
        raise typer.Exit(1)
