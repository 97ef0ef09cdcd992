"""A trained network to a pack that verifies at once: converted, calibrated, with its data card.

Refused without people that it has not learnt from: thresholds that are measured on the training
people say how well it remembers, not how well it recognises. Knows no loop.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from visavis.calibration import CalibrationData, calibrate_images
from visavis.convert.workflow import ConversionRequest, convert
from visavis.dataset import find_people, open_tree
from visavis.dataset.images import Images, TreeImages, open_images
from visavis.embedder import choose_models
from visavis.errors import CalibrationError
from visavis.files import refuse_taken, whole_folder, write_whole
from visavis.pack import Pack, load_pack
from visavis.pack.build import build_pack
from visavis.pack.declaration import Declaration, Declared
from visavis.runtime import Device
from visavis.train.loop import Trained
from visavis.train.recipe import Recipe, resolved

CARD = "data-card.md"
LICENCE = "whoever trained it says"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The pack that is wanted, and the people to calibrate it on."""

    pack: Path
    people: Path

    @classmethod
    def of(cls, recipe: Recipe, pack: Path | None, people: Path | None) -> Self | None:
        """What is wanted, checked before training; None where no pack is.

        Raises CalibrationError without people, and where some are among those it learns from.
        """
        if pack is None:
            if people is not None:
                raise CalibrationError(
                    "people to calibrate on are for a pack", mend="name it", option="export"
                )
            return None
        if people is None:
            raise CalibrationError(
                "a pack needs thresholds, measured on people that it has not learnt from",
                mend="name a folder of their crops",
                option="calibrate_on",
            )
        refuse_taken(pack)
        _refuse_learnt(open_images(Path(recipe.data)), people)
        return cls(pack, people)


def export_pack(trained: Trained, wanted: HeldOut) -> Pack:
    """Make the pack: whole or not at all.

    Raises what conversion, building and calibration raise.
    """
    name = wanted.pack.name
    card = _card(trained, wanted.people)
    with TemporaryDirectory() as work, whole_folder(wanted.pack) as whole:
        onnx = Path(work) / f"{name}.onnx"
        convert(trained.weights, onnx, ConversionRequest(crops=wanted.people))
        declared = Declared(name=name, licence=LICENCE)
        made = Path(work) / name
        build_pack(name, onnx, declaration=Declaration(declared, Declared()), folder=made)
        calibrate_images(choose_models(made), CalibrationData(wanted.people), Device("cpu"))
        write_whole(made / CARD, card.encode())
        for file in made.iterdir():
            file.replace(whole / file.name)
    return load_pack(wanted.pack)


def _refuse_learnt(images: Images, people: Path) -> None:
    """By name, where the training data have names; pictures of one person under two names are
    found by visavis dataset check.
    """
    held = set(find_people(open_tree(people)).names)
    learnt = set(images.names) if isinstance(images, TreeImages) else set()
    if both := sorted(held & learnt):
        raise CalibrationError(
            f"{people}: {len(both)} of its people are among those it learns from: "
            f"{', '.join(both[:5])}",
            mend="calibrate on people that the training data do not have",
            option="calibrate_on",
        )


def _card(trained: Trained, people: Path) -> str:
    """What the network has learnt from, and how: beside it, for whoever uses it."""
    measured = "not measured" if trained.accuracy is None else f"{trained.accuracy:.2%}"
    return "\n".join(
        [
            "# Data card",
            "",
            f"- learnt from: {trained.recipe.data}: {trained.images:,} pictures of "
            f"{trained.classes:,} people; {trained.skipped:,} could not be read",
            f"- steps: {trained.step:,} of {trained.steps:,}",
            f"- accuracy on the pairs of the recipe: {measured}",
            f"- thresholds measured on: {people}, none of whose people it learnt from by name",
            f"- licence of the weights: {LICENCE}; that of the training data may bind them",
            "",
            "## Recipe",
            "",
            "```toml",
            resolved(trained.recipe).decode().rstrip(),
            "```",
            "",
        ]
    )
