"""Several embedders that answer as one: the dot product of two of its rows is their joint evidence.

A member's unit embedding is scaled by sqrt(weight * slope / sum of these), and the members' are
concatenated. The slope is that of the member's calibration: slope * similarity is a log-likelihood
ratio but for a constant, so what is weighed are these ratios, not cosines of unlike spread. Rows
have length 1, as every embedder's: what compares, searches and decides needs to know nothing else.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from visavis.compare import join_parts
from visavis.errors import MismatchError, ModelError
from visavis.types import Crops, Embedder, Embeddings, Part

WEIGHT_TOLERANCE = 0.001  # by which the sum of weights may differ from 1
MOST_MEMBERS = 16


@dataclass(frozen=True, slots=True)
class Member:
    """One embedder of an ensemble."""

    embed: Embedder
    weight: float  # of its log-likelihood ratio, 0..1; those of all members sum to 1
    slope: float  # of its calibration: log-likelihood ratio a unit of similarity

    def __post_init__(self) -> None:
        check_evidence(self.embed.model, self.weight, self.slope)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """An embedder made of several. Members see the crops in turn, in one pass."""

    members: tuple[Member, ...]

    def __post_init__(self) -> None:
        models = [member.embed.model for member in self.members]
        check_members(models, [member.weight for member in self.members])
        check_margins({member.embed.model: member.embed.margin for member in self.members})

    @property
    def parts(self) -> tuple[Part, ...]:
        """Each member's share of an embedding, in order."""
        models = [(member.embed.model, member.embed.dim) for member in self.members]
        return weighed_parts(models, [member.weight * member.slope for member in self.members])

    @property
    def model(self) -> str:
        """The members' names and a hash of what decides a similarity: `model_of_parts`."""
        return model_of_parts(self.parts)

    @property
    def dim(self) -> int:
        """Numbers in an embedding: the members' together."""
        return sum(part.dim for part in self.parts)

    @property
    def margin(self) -> float:
        """With which the crops are cut: the same for all members."""
        return self.members[0].embed.margin

    def __call__(self, crops: Crops, /) -> Embeddings:
        """(N, 112, 112, 3) uint8 RGB crops to (N, dim) float32 unit rows. Raises as its members."""
        return join_parts(
            {member.embed.model: member.embed(crops) for member in self.members}, self.parts
        )

    def without(self, model: str) -> Embedder:
        """What is left where a member is missing: an ensemble under a name of its own, or the one
        member that remains.

        Raises MismatchError for a model that is no member.
        """
        rest = [member for member in self.members if member.embed.model != model]
        if len(rest) == len(self.members):
            raise MismatchError(f"{self.model} has no member {model}")
        if len(rest) == 1:
            return rest[0].embed
        total = sum(member.weight for member in rest)
        return Ensemble(tuple(Member(one.embed, one.weight / total, one.slope) for one in rest))


def check_evidence(model: str, weight: float, slope: float) -> None:
    """Raise ModelError for a weight that is none, and a slope that tells nobody apart."""
    if not 0 < weight <= 1:
        raise ModelError(
            f"{model}: expected a weight above 0 and at most 1, got {weight}",
            mend="leave the member out, or disable it",
        )
    if not 0 < slope < math.inf:
        raise ModelError(
            f"{model}: expected a slope above 0, got {slope}: its calibration "
            "says that it cannot tell people apart"
        )


def check_members(models: Sequence[str], weights: Sequence[float]) -> None:
    """Raise ModelError for too few or too many models, one twice, weights that do not sum to 1."""
    if not 2 <= len(models) <= MOST_MEMBERS:
        raise ModelError(f"expected 2 to {MOST_MEMBERS} models together, got {len(models)}")
    if len(set(models)) < len(models):
        raise ModelError(f"expected each model once, got {', '.join(models)}")
    total = sum(weights)
    if not abs(total - 1) <= WEIGHT_TOLERANCE:
        raise ModelError(f"expected weights that sum to 1, got {total:g}", option="pack")


def check_margins(margins: Mapping[str, float]) -> None:
    """Raise MismatchError for models that cannot share a crop; `margins` are by model."""
    if len(set(margins.values())) > 1:
        each = ", ".join(f"{margin:g} of {model}" for model, margin in margins.items())
        raise MismatchError(
            f"expected models that share a crop, got crops with other margins: {each}",
            option="pack",
        )


def weighed_parts(models: Sequence[tuple[str, int]], evidence: Sequence[float]) -> tuple[Part, ...]:
    """Each model's share of an embedding; `models` are names and numbers, `evidence` weight *
    slope.
    """
    return tuple(
        Part(model, dim, math.sqrt(own / sum(evidence)))
        for (model, dim), own in zip(models, evidence, strict=True)
    )


def model_of_parts(parts: Sequence[Part]) -> str:
    """The parts' names and a hash of what decides a similarity: models, weights, slopes.

    Of the scales six digits count: another order of adding is no other model.
    """
    decisive = [[part.model, f"{part.scale:.6f}"] for part in parts]
    name = "+".join(part.model.rpartition("@")[0] or part.model for part in parts)
    return f"{name}@{hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:8]}"
