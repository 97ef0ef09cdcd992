"""Packs as what is measured: their models loaded, with what a report says of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from visavis import __version__
from visavis.detect import load_detector
from visavis.embedder import choose_models, embedder_device
from visavis.evaluate.run import Subject
from visavis.runtime import Device

CROPS = "none: the pictures are crops"


@dataclass(frozen=True, slots=True)
class Packs:
    """Which packs are measured, and how their models run."""

    names: tuple[str | Path, ...] = ("default",)
    device: Device = field(default_factory=Device)
    flip: bool = True  # add the mirrored crop's embedding
    align: bool = False  # find a face in each picture first; without, the pictures are crops


def load_subjects(packs: Packs) -> list[Subject]:
    """Each pack's embedder, and its detector where pictures are to be aligned.

    Raises PackError for a pack that is missing or damaged, DeviceError for a device that is not
    here.
    """
    return [_load_subject(name, packs) for name in packs.names]


def _load_subject(name: str | Path, packs: Packs) -> Subject:
    models, device = choose_models(name), packs.device
    specs = [pack.manifest.embedder for pack in models.packs]
    members = models.members(device, flip=packs.flip)
    forms = [spec.form(embedder_device(device, spec).precision).file for spec in specs]
    files = [pack.folder / file for pack, file in zip(models.packs, forms, strict=True)]
    calibration = models.calibration()
    return Subject(
        models.name,
        models.together(members),
        settings={
            "licence": _once(spec.origin.licence for spec in specs),
            "training data": _once(spec.origin.training_data for spec in specs),
            "detector": models.detector.manifest.detector.decoder if packs.align else CROPS,
            "mirrored crop": "added" if packs.flip else "not added",
            "ran on": _once(member.runs_on for member in members),
            "visavis": __version__,
            "date": datetime.now(UTC).date().isoformat(),
        },
        calibration=calibration if calibration.points else None,
        bytes=sum(file.stat().st_size for file in files),
        detect=load_detector(models.detector, device=device) if packs.align else None,
    )


def _once(texts: Iterable[str]) -> str:
    """What is said of each model, each thing once."""
    return "; ".join(dict.fromkeys(texts))
