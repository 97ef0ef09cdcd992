"""visavis calibrate PACK --images FOLDER_OR_ZIP, or --gallery FOLDER"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from visavis.dataset import People
    from visavis.decision import Calibration
    from visavis.gallery import Gallery
    from visavis.pack import Pack
    from visavis.types import Embeddings

from visavis.cli import options


def calibrate(
    pack: options.PackArgument = "default",
    images: Annotated[
        Path | None, typer.Option(help="A folder or zip with a folder for each person.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the calibration here, not into the pack.")
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="Measure the people of this gallery, and use it for them from now on."),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="With --gallery: use the pack's calibration again.")
    ] = False,
    name: Annotated[
        str, typer.Option(help="What to call the data; default: the images' name.")
    ] = "",
    exclude: options.Exclude = None,
    extrapolate: Annotated[
        bool,
        typer.Option("--extrapolate", help="Add points beyond the data, marked; never a match."),
    ] = False,
    align: options.Align = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out bad pictures, and count them.")
    ] = False,
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Measure a pack's thresholds on your people: which similarity means which error rate?

    The calibration goes into the pack, to --out, or with --gallery into the gallery.
    """
    from visavis.errors import CalibrationError
    from visavis.pack import load_pack

    files = load_pack(pack)
    if (images is None) == (gallery is None):
        raise CalibrationError("expected either --images or --gallery: whose people to measure")
    if gallery is not None:
        with_gallery = options.open_gallery(gallery, create=False)
        if clear:
            _keep(with_gallery, files, None)
            print(f"{gallery}: the pack's calibration is used again")
            return
        measured = _people_of(with_gallery, files)
    else:
        assert images is not None
        _refuse_default(files, out)
        where = options.device_of(device, precision, runtime)
        measured = _measured(files, images, exclude, align=align, skip_bad=skip_bad, where=where)
    calibration = _calibration(measured, files, name or measured.name, extrapolate=extrapolate)
    if gallery is not None and out is None:
        _keep(with_gallery, files, calibration)
    written = gallery if gallery is not None and out is None else _write(calibration, files, out)
    _print(calibration, measured, written, json=json)


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """Whose similarities make a calibration."""

    name: str
    people: "People"
    embeddings: "Embeddings"
    sha256: str
    failures: int = 0  # pictures without a face
    skipped: int = 0  # bad pictures


def _measured(
    pack: "Pack", images: Path, exclude: Path | None, *, align: bool, skip_bad: bool, where: Any
) -> Measured:
    from visavis.dataset import apply_exclusions, find_people, open_tree
    from visavis.dataset.tree import tree_sha256
    from visavis.detect import load_detector
    from visavis.embed import load_embedder
    from visavis.evaluate.protocols import CropSource, embed_people

    tree = open_tree(images)
    people = find_people(tree)
    if exclude:
        people = apply_exclusions(people, exclude)
    source = CropSource(tree, load_detector(pack, device=where) if align else None)
    embed = load_embedder(pack, device=where)
    watch = options.watch(len(people.pictures), "embedding")
    kept, found = embed_people(source, people, embed, skip_bad=skip_bad, progress=watch)
    return Measured(
        images.name,
        kept,
        found.embeddings[found.acquired],
        tree_sha256(tree, kept.pictures),
        found.failures,
        len(found.bad),
    )


def _people_of(gallery: "Gallery", pack: "Pack") -> Measured:
    """The gallery's templates of the pack's model: the people who are to be told apart."""
    import hashlib

    import numpy as np

    from visavis.dataset import People

    model = pack.manifest.embedder.model
    options.warn_quarantined(gallery, model)
    templates, _ = gallery.templates(model)
    ends = np.append(templates.starts[1:], len(templates.rows))
    labels = np.repeat(np.arange(len(templates.people)), ends - templates.starts)
    people = People(tuple(map(str, range(len(labels)))), labels, tuple(templates.people))
    digest = hashlib.sha256(templates.rows.tobytes()).hexdigest()
    return Measured("the gallery's own people", people, templates.rows, digest)


def _calibration(
    measured: Measured, pack: "Pack", name: str, *, extrapolate: bool
) -> "Calibration":
    from visavis.metrics.calibrate import calibrate as calibration_of
    from visavis.metrics.calibrate import error_curve

    return calibration_of(
        error_curve(measured.embeddings, measured.people, beyond=extrapolate),
        model=pack.manifest.embedder.model,
        dataset=name,
        data_sha256=measured.sha256,
        people=len(measured.people.names),
    )


def _refuse_default(pack: "Pack", out: Path | None) -> None:
    from visavis.errors import PackError
    from visavis.pack import load_pack

    if out is None and pack.folder == load_pack().folder:
        raise PackError(
            "the default pack keeps its calibration: use --out FILE, --gallery, or a copy of it: "
            f"cp -r {pack.folder} my-pack"
        )


def _write(calibration: "Calibration", pack: "Pack", out: Path | None) -> Path:
    from visavis.document import to_bytes
    from visavis.files import write_whole
    from visavis.pack.calibration import keep_calibration

    if out is None:
        return keep_calibration(pack, calibration)
    write_whole(out, to_bytes(calibration))
    return out


def _keep(gallery: "Gallery", pack: "Pack", calibration: "Calibration | None") -> None:
    from visavis.document import to_bytes
    from visavis.recognizer import calibration_name

    document = to_bytes(calibration) if calibration else None
    gallery.keep(calibration_name(pack.manifest.embedder.model), document)


def _print(
    calibration: "Calibration", measured: Measured, written: Path | None, *, json: bool
) -> None:
    from visavis.answers import words

    found = words.policies_words(calibration)
    if json:
        counts = {"failures_to_acquire": measured.failures, "skipped": measured.skipped}
        options.print_json({"out": str(written), **counts, "policies": found})
        return
    print(
        f"{written}: {calibration.people:,} people, {calibration.same_pairs:,} same and "
        f"{calibration.different_pairs:,} different pairs"
    )
    print(f"no face found in {measured.failures} pictures, {measured.skipped} bad ones left out")
    for policy, text in found.items():
        print(f"  {policy:<12}{text}")
