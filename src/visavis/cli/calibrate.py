"""visavis calibrate PACK --images FOLDER_OR_ZIP --out FILE"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options


def calibrate(
    images: Annotated[Path, typer.Option(help="A folder or zip with a folder for each person.")],
    out: Annotated[Path, typer.Option(help="Where to write the calibration, as .json.")],
    pack: Annotated[str, typer.Argument(help="A pack's name or folder.")] = "default",
    name: Annotated[
        str, typer.Option(help="What to call the data; default: the images' name.")
    ] = "",
    exclude: Annotated[
        Path | None, typer.Option(help="A CSV of label errors: columns a, b, reason.")
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Find and align a face in each picture first.")
    ] = False,
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Measure a pack's thresholds on your people: which similarity means which error rate?"""
    import numpy as np

    from visavis.cli import words
    from visavis.dataset import apply_exclusions, find_people, open_tree, without
    from visavis.dataset.tree import tree_sha256
    from visavis.decide import POLICIES
    from visavis.detect import load_detector
    from visavis.document import to_bytes
    from visavis.embed import load_embedder
    from visavis.errors import CalibrationError
    from visavis.evaluate import calibrate as calibration_of
    from visavis.evaluate import embed_tree, error_curve
    from visavis.files import write_whole
    from visavis.pack import load_pack

    where = options.device_of(device, precision, runtime)
    files = load_pack(pack)
    tree = open_tree(images)
    people = find_people(tree)
    if exclude:
        people = apply_exclusions(people, exclude)
    embedder = load_embedder(files, device=where)
    embedded = embed_tree(
        tree,
        people.pictures,
        embedder,
        detect=load_detector(files, device=where) if align else None,
        watch=lambda names: options.progress(names, total=len(people.pictures), label="embedding"),
    )
    kept = without(
        people, {Path(people.pictures[row]).stem for row in np.flatnonzero(~embedded.acquired)}
    )
    calibration = calibration_of(
        error_curve(embedded.embeddings[embedded.acquired], kept),
        model=embedder.model,
        dataset=name or images.name,
        data_sha256=tree_sha256(tree, kept.pictures),
        people=len(kept.names),
    )
    write_whole(out, to_bytes(calibration))
    found = {}
    for policy, rate in POLICIES.items():
        try:
            found[policy] = words.rate_words(calibration.at(rate))
        except CalibrationError as error:
            found[policy] = str(error)
    failed = int(np.sum(~embedded.acquired))
    if json:
        options.print_json({"out": str(out), "failures_to_acquire": failed, "policies": found})
        return
    print(f"{out}: {calibration.people:,} people, no face found in {failed} pictures")
    for policy, text in found.items():
        print(f"  {policy:<12}{text}")
