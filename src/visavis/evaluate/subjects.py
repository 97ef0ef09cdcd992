"""Packs as what is measured: their models loaded, with what a report says of them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from visavis import __version__
from visavis.detect import load_detector
from visavis.embedder import embedder_device, load_embedder
from visavis.evaluate.run import Subject
from visavis.pack import load_pack
from visavis.pack.calibration import load_calibration
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
    pack, device = load_pack(name), packs.device
    manifest = pack.manifest
    origin = manifest.embedder.origin
    form = manifest.embedder.form(embedder_device(device, manifest.embedder).precision)
    embed = load_embedder(pack, device=device, flip=packs.flip)
    return Subject(
        manifest.name,
        embed,
        settings={
            "licence": origin.licence,
            "training data": origin.training_data,
            "detector": manifest.detector.decoder if packs.align else CROPS,
            "mirrored crop": "added" if packs.flip else "not added",
            "ran on": embed.runs_on,
            "visavis": __version__,
            "date": datetime.now(UTC).date().isoformat(),
        },
        calibration=load_calibration(pack) if manifest.calibration else None,
        bytes=(pack.folder / form.file).stat().st_size,
        detect=load_detector(pack, device=device) if packs.align else None,
    )
