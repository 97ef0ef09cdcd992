"""Which models a name stands for: a pack's, or those of several packs that answer as one.

`A+B` are packs of equal weight, `A:0.3+B:0.7` of these weights. The first one's detector finds the
faces. What is asked of the choice loads no network until an embedder is asked for.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visavis.decision import Calibration, read_calibration, uncalibrated
from visavis.embedder.ensemble import (
    Ensemble,
    Member,
    check_evidence,
    check_margins,
    check_members,
    model_of_parts,
    weighed_parts,
)
from visavis.embedder.model import ModelEmbedder, load_embedder
from visavis.errors import CalibrationError, PackError
from visavis.pack import DEFAULT_PACK, Pack, load_pack
from visavis.pack.calibration import calibration_for, load_calibration
from visavis.runtime import Device
from visavis.types import Embedder, Part

WEIGHED = re.compile(r"(?P<name>.+?)(?::(?P<weight>[0-9]*\.?[0-9]+))?", re.DOTALL)
SYNTAX = "write A+B for packs of equal weight, or A:0.3+B:0.7"


@dataclass(frozen=True, slots=True)
class Models:
    """A pack's models, or several packs' that answer as one."""

    packs: tuple[Pack, ...]
    weights: tuple[float, ...] = (1.0,)  # of the packs' log-likelihood ratios; they sum to 1

    def __post_init__(self) -> None:
        specs = [pack.manifest.embedder for pack in self.packs]
        if len(specs) > 1:
            check_members([spec.model for spec in specs], self.weights)
            check_margins({spec.model: spec.margin for spec in specs})

    @property
    def detector(self) -> Pack:
        """The pack whose detector finds the faces."""
        return self.packs[0]

    @property
    def name(self) -> str:
        """The packs' names, with + between them."""
        return "+".join(pack.manifest.name for pack in self.packs)

    @property
    def parts(self) -> tuple[Part, ...]:
        """As the embedder's.

        Raises CalibrationError for one of several without a calibration, ModelError for one whose
        calibration or weight is worth nothing.
        """
        specs = [pack.manifest.embedder for pack in self.packs]
        if len(specs) == 1:
            return (Part(specs[0].model, specs[0].dim),)
        slopes = self._slopes()
        for spec, weight, slope in zip(specs, self.weights, slopes, strict=True):
            check_evidence(spec.model, weight, slope)
        models = [(spec.model, spec.dim) for spec in specs]
        pairs = zip(self.weights, slopes, strict=True)
        return weighed_parts(models, [weight * slope for weight, slope in pairs])

    @property
    def model(self) -> str:
        """As the embedder's. Raises as `parts`."""
        return self.parts[0].model if len(self.packs) == 1 else model_of_parts(self.parts)

    def only(self, rows: Sequence[int]) -> "Models":
        """Some of the packs, by their places; their weights sum to 1."""
        total = sum(self.weights[row] for row in rows)
        weights = tuple(self.weights[row] / total for row in rows)
        return Models(tuple(self.packs[row] for row in rows), weights)

    def members(
        self, device: str | Device = "auto", *, flip: bool = True
    ) -> tuple[ModelEmbedder, ...]:
        """Each pack's embedder, as `load_embedder` gives it."""
        return tuple(load_embedder(pack, device=device, flip=flip) for pack in self.packs)

    def together(self, members: tuple[ModelEmbedder, ...]) -> Embedder:
        """The members as one embedder. Raises CalibrationError, ModelError as `parts`."""
        if len(members) == 1:
            return members[0]
        weighed = zip(members, self.weights, self._slopes(), strict=True)
        return Ensemble(tuple(Member(*member) for member in weighed))

    def calibration(self, file: Path | None = None) -> Calibration:
        """The calibration in `file`, else a lone pack's own, else one without points.

        Raises CalibrationError for one that cannot be read, or is another model's.
        """
        if len(self.packs) == 1:
            return calibration_for(self.packs[0], file)
        if file is None:
            return uncalibrated(self.model)
        calibration = read_calibration(file)
        if calibration.model != self.model:
            raise CalibrationError(
                f"{file}: expected a calibration of {self.model}, got one of {calibration.model}",
                mend="calibrate these packs together: their weights and own calibrations count",
            )
        return calibration

    def _slopes(self) -> list[float]:
        return [load_calibration(pack).slope for pack in self.packs]


def choose_models(name: str | Path = DEFAULT_PACK) -> Models:
    """The models that a pack's name or folder stands for, or several with + between them.

    A folder that is there is a pack, whatever its name. Raises PackError for a pack that is not
    there, and for weights that are none; ModelError for weights that do not sum to 1, MismatchError
    for models that cannot share a crop.
    """
    text = str(name)
    if "+" not in text or os.path.isdir(name):
        return Models((load_pack(name),))
    named = named_packs(text)
    packs = tuple(load_pack(pack) for pack, _ in named)
    weights = tuple(weight for _, weight in named)
    return Models(packs, weights)


def named_packs(text: str) -> list[tuple[str, float]]:
    """The packs that a name stands for, with their weights: as `choose_models`, loading none.

    Raises PackError for weights that are none.
    """
    if "+" not in text or os.path.isdir(text):
        return [(text, 1.0)]
    members = [WEIGHED.fullmatch(member) for member in text.split("+")]
    names = [member["name"] for member in members if member]
    weights = [float(member["weight"]) for member in members if member and member["weight"]]
    if len(names) < len(members) or len(weights) not in (0, len(names)):
        raise PackError(
            f"{text}: expected a name in each place, and a weight for each pack or for none",
            mend=SYNTAX,
            option="pack",
        )
    return list(zip(names, weights or [1 / len(names)] * len(names), strict=True))
