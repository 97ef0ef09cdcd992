"""visavis calibrate PACK --images FOLDER_OR_ZIP, or --gallery FOLDER"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from visavis.calibration import Calibrated
    from visavis.embedder import Models
    from visavis.gallery import Gallery

from visavis.cli import options, printing
from visavis.cli.spread import spread


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """How pictures are read."""

    exclude: options.Exclude = None
    align: options.Align = False
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out bad pictures, and count them.")
    ] = False


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """What the calibration is to be."""

    out: Annotated[
        Path | None, typer.Option(help="Write the calibration here, not into the pack.")
    ] = None
    name: Annotated[str, typer.Option(help="What to call the data; default: the images' name.")] = (
        ""
    )
    extrapolate: Annotated[
        bool,
        typer.Option("--extrapolate", help="Add points beyond the data, marked; never a match."),
    ] = False
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="Keep one by which nobody can be a match in the gallery."),
    ] = False


@spread
def calibrate(
    pack: Annotated[
        str,
        typer.Argument(
            help="A pack's name or folder; A+B, A:0.3+B:0.7: together. Default: the gallery's "
            "active configuration, or the default pack."
        ),
    ] = "",
    images: Annotated[
        Path | None, typer.Option(help="A folder or zip with a folder for each person.")
    ] = None,
    gallery: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Measure the people of this gallery, and use it for them.",
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="With --gallery: use the pack's calibration again.")
    ] = False,
    *,
    chosen: CalibrationOptions,
    pictures: PictureOptions,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Measure a pack's thresholds on your people: which similarity means which error rate?

    The calibration goes into the pack, to --out, or with --gallery into the gallery.
    """
    _refuse_unheard(images, gallery, pictures, chosen, clear=clear)
    if images is not None:
        (models,) = _meant(pack, None)
        _show(_of_images(models, images, pictures, chosen, where), None, json=json)
    elif gallery is not None and clear:
        _clear(pack, gallery, json=json)
    elif gallery is not None:
        _show(_of_gallery(pack, gallery, chosen), gallery, json=json)


def _meant(pack: str, people: "Gallery | None") -> "list[Models]":
    """The packs that are named; without, all groups of the gallery's active configuration."""
    from visavis.embedder import choose_models
    from visavis.pack import DEFAULT_PACK

    configuration = options.configuration_of(pack, people)
    return configuration.groups() if configuration else [choose_models(pack or DEFAULT_PACK)]


def _refuse_unheard(
    images: Path | None,
    gallery: str | None,
    pictures: PictureOptions,
    chosen: CalibrationOptions,
    *,
    clear: bool,
) -> None:
    """Raise CalibrationError for options that would go unheard."""
    from visavis.errors import CalibrationError

    if (images is None) == (gallery is None):
        raise CalibrationError("expected either --images or --gallery: whose people to measure")
    if clear and gallery is None:
        raise CalibrationError("--clear is for a gallery", option="gallery")
    unheard = (_set(pictures) if gallery else []) + (_set(chosen) if clear else [])
    if unheard:
        what = "--clear measures nothing" if clear else "a gallery holds templates, no pictures"
        raise CalibrationError(what, mend=f"leave out {', '.join(unheard)}")


def _set(group: PictureOptions | CalibrationOptions) -> list[str]:
    """The options of a group that are not as they are by default."""
    names = [one.name for one in fields(group) if getattr(group, one.name) != one.default]
    return [f"--{name.replace('_', '-')}" for name in names]


def _of_images(
    models: "Models",
    images: Path,
    pictures: PictureOptions,
    chosen: CalibrationOptions,
    where: options.Where,
) -> "Calibrated":
    from visavis.calibration import CalibrationData, calibrate_images

    return calibrate_images(
        models,
        CalibrationData(images, chosen.name, pictures.exclude, pictures.align, pictures.skip_bad),
        where.for_one(),
        extrapolate=chosen.extrapolate,
        out=chosen.out,
        progress=printing.progress_bar("embedding"),
    )


def _of_gallery(pack: str, place: str, chosen: CalibrationOptions) -> "Calibrated":
    """The calibration of all that answer together; the groups that are left where some do not get
    theirs, too: by these nothing is a match.
    """
    from visavis.calibration import calibrate_gallery

    gallery = options.gallery_at(place, create=False)
    whole, *groups = _meant(pack, gallery)
    options.warn_quarantined(gallery, whole.parts, whole.model)
    made = calibrate_gallery(
        whole,
        gallery,
        name=chosen.name,
        extrapolate=chosen.extrapolate,
        out=chosen.out,
        anyway=chosen.anyway,
    )
    for models in groups if chosen.out is None else []:
        calibrate_gallery(models, gallery, name=chosen.name, anyway=True)
    return made


def _clear(pack: str, place: str, *, json: bool) -> None:
    from visavis.calibration import clear_calibration
    from visavis.gallery.places import place_shown

    gallery = options.gallery_at(place, create=False)
    cleared = [clear_calibration(models, gallery) for models in _meant(pack, gallery)]
    printing.print_answer(
        {"out": place_shown(place), "cleared": any(cleared)},
        [f"{place_shown(place)}: the pack's calibration is used again"],
        json=json,
    )


def _show(calibrated: "Calibrated", gallery: str | None, *, json: bool) -> None:
    from visavis.answers.evaluation import calibrated_json, calibrated_words
    from visavis.gallery.places import place_shown

    written = calibrated.file or (gallery and place_shown(gallery))
    assert written is not None  # what is not kept by a gallery is in a file
    printing.print_answer(
        calibrated_json(calibrated, written), calibrated_words(calibrated, written), json=json
    )
