"""A pack's thresholds measured on one's own people: on their pictures, or on a gallery's templates.
The numbers are those of visavis.metrics.calibrate.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visavis.batch import Progress
from visavis.configuration import calibration_name
from visavis.dataset import People, apply_exclusions, find_people, open_tree
from visavis.dataset.tree import tree_sha256
from visavis.decision import Calibration, parse_calibration
from visavis.detect import load_detector
from visavis.document import to_bytes
from visavis.embedder import Models
from visavis.errors import CalibrationError, PackError
from visavis.evaluate.protocols import CropSource, embed_people
from visavis.files import write_whole
from visavis.gallery import Gallery
from visavis.metrics.calibrate import calibrate, error_curve
from visavis.pack import load_pack
from visavis.pack.calibration import keep_calibration
from visavis.runtime import Device
from visavis.types import Embeddings

SEARCH_RATE = 1e-2  # false positives, as Recognizer.identify asks for unless told otherwise
GALLERY = "the gallery's own people"  # what a gallery's data is called

KEEP = "let the gallery use the pack's, or take this one nevertheless, for reviews alone"


@dataclass(frozen=True, slots=True)
class CalibrationData:
    """Pictures of people, and what is done with them."""

    images: Path  # a folder or zip with a folder for each person
    name: str = ""  # what to call the data; "": the images' name
    exclude: Path | None = None  # a CSV of known label errors
    align: bool = False  # find a face in each picture first
    skip_bad: bool = False  # leave out bad pictures, and count them


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration, the pictures it could not use, and the file it was written to."""

    calibration: Calibration
    failures: int = 0  # pictures without a face
    skipped: int = 0  # bad pictures
    file: Path | None = None  # None: kept by the gallery
    templates: int = 0  # of the gallery that was measured

    @property
    def decides(self) -> bool:
        """Whether a search among the gallery's templates can end in a match by it."""
        rate = SEARCH_RATE / max(1, self.templates)
        return self.calibration.search_policy(rate).supported


def calibrate_images(
    models: Models,
    data: CalibrationData,
    device: Device,
    *,
    extrapolate: bool = False,
    out: Path | None = None,
    progress: Progress = iter,
) -> Calibrated:
    """Measure models on pictures, and write the calibration into their pack, or to `out`.

    `extrapolate` adds points beyond the data, which are marked. Raises PackError for the default
    pack and for several without `out`, CalibrationError for too little data, DatasetError and
    ImageError for bad data, OutputError where it cannot be written.
    """
    pack = models.packs[0]
    if out is None and len(models.packs) > 1:
        raise PackError(
            f"{models.name}: packs together have no folder that could keep a calibration",
            mend="write it to a file, or calibrate a gallery",
            option="out",
        )
    if out is None and pack.folder == load_pack().folder:
        raise PackError(
            "the default pack keeps its calibration",
            mend="write the new one to a file, calibrate a gallery, or calibrate a copy of the "
            f"pack: cp -r {pack.folder} my-pack",
            option="out",
        )
    tree = open_tree(data.images)
    people = find_people(tree)
    if data.exclude is not None:
        people = apply_exclusions(people, data.exclude)
    source = CropSource(tree, load_detector(models.detector, device=device) if data.align else None)
    embed = models.together(models.members(device))
    kept, embedded = embed_people(source, people, embed, skip_bad=data.skip_bad, progress=progress)
    calibration = calibrate(
        error_curve(embedded.embeddings[embedded.acquired], kept, beyond=extrapolate),
        model=models.model,
        dataset=data.name or data.images.name,
        data_sha256=tree_sha256(tree, kept.pictures),
        people=len(kept.names),
    )
    file = keep_calibration(pack, calibration) if out is None else _write(calibration, out)
    return Calibrated(calibration, embedded.failures, len(embedded.bad), file)


def calibrate_gallery(
    models: Models,
    gallery: Gallery,
    *,
    name: str = "",
    extrapolate: bool = False,
    out: Path | None = None,
    anyway: bool = False,
) -> Calibrated:
    """Measure models on a gallery's templates; the gallery uses the calibration from now on, or it
    is written to `out` and the gallery is left as it is.

    Raises CalibrationError for too little data, and for a calibration by which nobody could ever be
    a match in this gallery, unless `anyway`; OutputError where it cannot be written.
    """
    people, embeddings = _people_of(gallery, models)
    calibration = calibrate(
        error_curve(embeddings, people, beyond=extrapolate),
        model=models.model,
        dataset=name or GALLERY,
        data_sha256=hashlib.sha256(embeddings.tobytes()).hexdigest(),
        people=len(people.names),
    )
    calibrated = Calibrated(calibration, file=out, templates=len(embeddings))
    if out is not None:
        _write(calibration, out)
        return calibrated
    if not calibrated.decides and not anyway:
        raise CalibrationError(_undecided(calibrated), mend=KEEP, option="anyway")
    gallery.keep(calibration_name(calibration.model), to_bytes(calibration))
    return calibrated


def _undecided(calibrated: Calibrated) -> str:
    made, templates = calibrated.calibration, calibrated.templates
    shown = min(point.false_match_rate_upper for point in made.points)
    return (
        f"{made.people:,} people are too few: by their calibration nobody in this gallery would "
        f"ever be a match, because a search among {templates:,} templates asks for a false match "
        f"rate of {SEARCH_RATE / templates:.1e}, and the strictest they support is {shown:.1e}"
    )


def calibration_in(gallery: Gallery, models: Models) -> Calibration:
    """The calibration made of a gallery's own people, where it keeps one; else the models' own."""
    own = gallery.kept(calibration_name(models.model))
    return parse_calibration(own, gallery.where) if own else models.calibration()


def clear_calibration(models: Models, gallery: Gallery) -> bool:
    """Let a gallery use the pack's calibration again; whether it had one of its own."""
    name = calibration_name(models.model)
    own = gallery.kept(name) is not None
    gallery.keep(name, None)
    return own


def _people_of(gallery: Gallery, models: Models) -> tuple[People, Embeddings]:
    """The gallery's templates of the models, and whose each is."""
    templates, _ = gallery.templates(models.parts)
    ends = np.append(templates.starts[1:], len(templates.rows))
    labels = np.repeat(np.arange(len(templates.people)), ends - templates.starts)
    pictures = tuple(map(str, range(len(labels))))
    return People(pictures, labels, tuple(templates.people)), templates.rows


def _write(calibration: Calibration, out: Path) -> Path:
    write_whole(out, to_bytes(calibration))
    return out
