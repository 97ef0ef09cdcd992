"""Which packs recognise people, what each weighs, and by which rules: one value with a version.

Knows packs and loads their models. Knows no gallery, no photos and no people.
"""

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.decision import (
    REVIEW_FACTOR,
    Calibration,
    Decision,
    parse_calibration,
    policy_rate,
    uncalibrated,
)
from visavis.document import parse
from visavis.embedder import Ensemble, ModelEmbedder, Models, load_embedder, named_packs
from visavis.embedder.ensemble import MOST_MEMBERS, WEIGHT_TOLERANCE, check_evidence
from visavis.errors import (
    CalibrationError,
    ConfigurationError,
    EmbeddingError,
    ModelError,
    PackError,
    VisavisError,
)
from visavis.pack import DEFAULT_PACK, Pack, load_pack
from visavis.pack.calibration import load_calibration
from visavis.pack.manifest import MANIFEST
from visavis.quality import Quality
from visavis.runtime import Device
from visavis.types import Crops, Embedder

log = logging.getLogger(__name__)

LENGTH = "length"  # of a model's embedding, where that means quality
MEASURES_OF_QUALITY = ("score", "size", "sharpness", "inside", LENGTH)  # of which more is better
POLICY, FALSE_POSITIVE_RATE = "standard", 1e-2  # where no configuration says another
MOST_FACTOR = 1000.0
MOST_LEFT_OUT = 2  # members whose absence a calibration is made for
MOST_TEXT = 2000
TRIED_WITH = np.random.default_rng(0).integers(0, 256, (1, 112, 112, 3), np.uint8)
UNUSABLE = (PackError, ModelError, CalibrationError, EmbeddingError)


@dataclass(frozen=True, slots=True)
class ConfiguredPack:
    """A member: a pack, and when it answers."""

    pack: str  # name or folder
    weight: float  # of its log-likelihood ratio, above 0 and at most 1
    enabled: bool = True
    # A measure of visavis.quality, or the length of its own embedding, to the least of it that a
    # face must have, or the member is left out for that face.
    least_quality: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.pack or not 0 < self.weight <= 1:
            raise ConfigurationError(
                f"expected a pack with a weight above 0 and at most 1, got {self.pack!r} with "
                f"{self.weight}",
                mend="disable a member that is to be left out",
            )
        unknown = sorted(set(self.least_quality) - set(MEASURES_OF_QUALITY))
        if unknown or not all(0 <= least < math.inf for least in self.least_quality.values()):
            raise ConfigurationError(
                f"{self.pack}: expected a least quality of at least 0 by "
                f"{', '.join(MEASURES_OF_QUALITY)}; got {dict(self.least_quality)}"
            )

    def answers_for(self, *qualities: Quality) -> bool:
        """Whether all these faces are good enough for it."""
        return all(
            getattr(quality, measure) >= least
            for quality in qualities
            for measure, least in self.least_quality.items()
            if measure != LENGTH
        )


@dataclass(frozen=True, slots=True)
class Configuration:
    """How people are recognised. A gallery gives it its version, its author and its time."""

    members: tuple[ConfiguredPack, ...]
    detector: str = ""  # the pack whose detector finds the faces; "": the first member
    policy: str = POLICY  # of a comparison of two photos
    false_positive_rate: float = FALSE_POSITIVE_RATE  # of a search
    review_factor: float = REVIEW_FACTOR  # a match at so many times the rate is a review
    least_members: int = 1  # that must answer
    least_margin: float = 0.0  # of similarity to the runner-up; below it a match is a review
    cascade: bool = False  # the first member decides alone where it is far from the threshold
    description: str = ""
    author: str = ""
    at: str = ""  # UTC, ISO 8601
    version: int = 0  # 0: no gallery keeps it

    def __post_init__(self) -> None:
        names = [member.pack for member in self.members]
        if not 1 <= len(names) <= MOST_MEMBERS or len(set(names)) < len(names):
            raise ConfigurationError(
                f"expected 1 to {MOST_MEMBERS} packs, each once, got {', '.join(names) or 'none'}"
            )
        total = sum(member.weight for member in self.members)
        if not abs(total - 1) <= WEIGHT_TOLERANCE:
            raise ConfigurationError(f"expected weights that sum to 1, got {total:g}")
        enabled = sum(member.enabled for member in self.members)
        if not 1 <= self.least_members <= enabled:
            raise ConfigurationError(
                f"expected least_members from 1 to {enabled}, the members that are enabled, got "
                f"{self.least_members}"
            )
        if self.cascade and (enabled < 2 or not self.members[0].enabled):
            raise ConfigurationError(
                "expected a cascade of two members or more, of which the first is enabled"
            )
        self._check_rules()

    @classmethod
    def of_pack(cls, name: str = DEFAULT_PACK) -> "Configuration":
        """The packs that a name stands for, as `choose_models` reads it: all must answer."""
        members = tuple(ConfiguredPack(pack, weight) for pack, weight in named_packs(name))
        return cls(members, least_members=len(members))

    @property
    def detecting_pack(self) -> str:
        """The pack whose detector finds the faces."""
        return self.detector or self.members[0].pack

    def match_rate(self, policy: str | float | None = None) -> float:
        """The false match rate of a policy; None: its own. Raises CalibrationError."""
        return policy_rate(self.policy if policy is None else policy)

    def search_rate(self, rate: float | None = None) -> float:
        """The false positive rate of a search; None: its own. Raises CalibrationError."""
        asked = self.false_positive_rate if rate is None else rate
        if not 0 < asked < 1:
            raise CalibrationError(f"expected a false positive rate between 0 and 1, got {asked}")
        return asked

    def packs(self) -> tuple[Pack, ...]:
        """Its members' packs, all of them. Raises PackError for one that is not there, the
        detector's too, ModelError for two of one model, MismatchError for models that cannot share
        a crop.
        """
        load_pack(self.detecting_pack)
        packs = tuple(load_pack(member.pack) for member in self.members)
        return Models(packs, tuple(member.weight for member in self.members)).packs

    def anywhere(self) -> "Configuration":
        """Itself with the whole paths of packs that are folders: they are meant from anywhere."""
        members = tuple(replace(one, pack=_whole_path(one.pack)) for one in self.members)
        return replace(self, members=members, detector=_whole_path(self.detector))

    def models(self) -> Models:
        """Its enabled packs with their shares of the weights, none of them loaded.

        Raises PackError for one that is not there.
        """
        enabled = [member for member in self.members if member.enabled]
        total = sum(member.weight for member in enabled)
        packs = tuple(load_pack(member.pack) for member in enabled)
        return Models(packs, tuple(member.weight / total for member in enabled))

    def groups(self) -> list[Models]:
        """Those who may have to answer together: all that are enabled, then all without one of
        them, without two. A lone pack has a calibration of its own, and is none of these.

        Raises PackError for a pack that is not there.
        """
        whole = self.models()
        count = len(whole.packs)
        least = max(2, self.least_members, count - MOST_LEFT_OUT)
        return [whole] + [
            whole.only(rows)
            for size in range(count - 1, least - 1, -1)
            for rows in combinations(range(count), size)
        ]

    def calibration(self, kept: Callable[[str], bytes | None]) -> Calibration | None:
        """What says the error rate of its members: the one that a gallery has kept of them
        together, or a lone pack's own; None where nobody measured any, or a member is at fault.
        """
        try:
            models = self.models()
            own = kept(calibration_name(models.model))
            known = parse_calibration(own, "gallery") if own else models.calibration()
        except UNUSABLE:
            return None
        return known if known.points else None

    def states(self) -> "list[MemberState]":
        """What can be said of each member without loading it."""
        return [_state(member) for member in self.members]

    def _check_rules(self) -> None:
        self.match_rate()
        self.search_rate()
        words = (self.description, self.author, self.at)
        checks: list[tuple[str, object, str, bool]] = [
            (
                "review_factor",
                self.review_factor,
                f"from 1 to {MOST_FACTOR:g}",
                1 <= self.review_factor <= MOST_FACTOR,
            ),
            ("least_margin", self.least_margin, "from 0 to 2", 0 <= self.least_margin <= 2),
            ("version", self.version, "0 or more", self.version >= 0),
            (
                "description, author",
                max(map(len, words)),
                f"at most {MOST_TEXT} letters",
                max(map(len, words)) <= MOST_TEXT,
            ),
            # Half of a surrogate pair, as a file's odd name is read, cannot be written.
            ("description, author", "half a letter", "text", all(map(_is_text, words))),
        ]
        for name, got, expected, fits in checks:
            if not fits:
                raise ConfigurationError(f"{name}: expected {expected}, got {got}")


@dataclass(frozen=True, slots=True)
class MemberState:
    """A member, the model that it stands for now, and what its weight is multiplied by."""

    member: ConfiguredPack
    model: str = ""
    slope: float | None = None  # of its pack's calibration
    fault: str = ""  # why it cannot answer


def _state(member: ConfiguredPack) -> MemberState:
    try:
        pack = load_pack(member.pack)
    except PackError as error:
        return MemberState(member, fault=str(error))
    model = pack.manifest.embedder.model
    try:
        slope = load_calibration(pack).slope
        check_evidence(model, member.weight, slope)
        return MemberState(member, model, slope)
    except UNUSABLE as error:
        return MemberState(member, model, fault=str(error))


def _whole_path(pack: str) -> str:
    """Of a pack's folder, as `load_pack` tells it from a name."""
    is_folder = pack not in ("", DEFAULT_PACK) and os.path.isfile(Path(pack) / MANIFEST)
    return str(Path(pack).absolute()) if is_folder else pack


def _is_text(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


def calibration_name(model: str) -> str:
    """Under which a gallery keeps its own calibration of a model."""
    return f"calibration {model}"


def parse_configuration(data: bytes, source: str) -> Configuration:
    """A configuration from its JSON. Raises ConfigurationError naming the wrong field."""
    try:
        return parse(Configuration, data, "configuration", ConfigurationError)
    except VisavisError as error:  # of a field, or of a value that cannot be
        raise error.at(source) from error


@dataclass(frozen=True, slots=True)
class Configured:
    """A configuration whose members are loaded: which of them answer, and what that limits."""

    configuration: Configuration
    models: Mapping[str, ConfiguredPack]  # the members that are loaded, by their model
    calibrations: Mapping[str, Calibration]  # each loaded member's own, by its model
    left_out: tuple[str, ...] = ()  # the packs that do not answer
    # What measures the (N,) lengths of crops' embeddings, by the models that are asked for them.
    lengths: Mapping[str, Callable[[Crops], NDArray[np.float32]]] = field(default_factory=dict)

    def decided(self, decision: Decision) -> Decision:
        """A decision with the version, and a review at most where a member does not answer."""
        outcome = decision.outcome
        if self.left_out and outcome == "match":
            outcome = "review"
        version = self.configuration.version or None
        return replace(decision, outcome=outcome, configuration=version, left_out=self.left_out)

    def too_poor(self, crops: Crops, *qualities: Quality) -> frozenset[str]:
        """The models of the members that these faces (N, 112, 112, 3) are not good enough for."""
        return frozenset(
            model
            for model, member in self.models.items()
            if not member.answers_for(*qualities) or self._too_short(model, crops)
        )

    def _too_short(self, model: str, crops: Crops) -> bool:
        measure = self.lengths.get(model)
        least = self.models[model].least_quality.get(LENGTH, 0.0)
        return measure is not None and not bool((measure(crops) >= least).all())  # NaN is not

    @property
    def cascades(self) -> bool:
        """Whether the first member is asked first: it is not where somebody is left out."""
        return self.configuration.cascade and not self.left_out and len(self.models) > 1

    def first(self, embed: Embedder) -> "tuple[Embedder, Calibration, Configured]":
        """The first member alone, as `without` gives what is left."""
        assert isinstance(embed, Ensemble)
        alone = embed.members[0].embed
        model = alone.model
        return alone, self.calibrations[model], replace(self, models={model: self.models[model]})

    def enough_without(self, models: Iterable[str]) -> bool:
        """Whether as many members as must answer are left."""
        left = set(self.models) - set(models)
        return left == set(self.models) or len(left) >= self.configuration.least_members

    def without(
        self, embed: Embedder, models: frozenset[str]
    ) -> "tuple[Embedder, Calibration, Configured]":
        """The embedder that is left without these models, the calibration that comes with it, and
        what it is configured as.

        Raises ConfigurationError where fewer members are left than must answer.
        """
        packs = [self.models[model].pack for model in sorted(models)]
        if not self.enough_without(models):
            raise ConfigurationError(
                f"expected {self.configuration.least_members} members to answer, and for this "
                f"face {len(self.models) - len(models)} can: it is not good enough for "
                f"{', '.join(packs)}",
                mend="take a better photo",
            )
        for model in models:
            assert isinstance(embed, Ensemble)  # of one member nothing can be left out
            embed = embed.without(model)
        calibration = self.calibrations.get(embed.model, uncalibrated(embed.model))
        kept = {model: one for model, one in self.models.items() if model not in models}
        left = replace(self, models=kept, left_out=(*self.left_out, *packs))
        return embed, calibration, left


# What a pack's own thresholds decide.
UNCONFIGURED = Configured(Configuration((ConfiguredPack(DEFAULT_PACK, 1.0),)), {}, {})


@dataclass(frozen=True, slots=True)
class LoadedMembers:
    """What of a configuration could be loaded."""

    models: Models
    embedders: tuple[ModelEmbedder, ...]
    configured: Configured

    @property
    def embed(self) -> Embedder:
        """The members as one embedder."""
        return self.models.together(self.embedders)


def load_members(
    configuration: Configuration, device: str | Device = "auto", *, flip: bool = True
) -> LoadedMembers:
    """The enabled members that are there, are whole and answer; others are named in the log.

    Raises ConfigurationError where fewer are left than must answer, DeviceError for a device that
    this machine does not have.
    """
    usable: list[tuple[ConfiguredPack, Pack, ModelEmbedder]] = []
    left_out = [member.pack for member in configuration.members if not member.enabled]
    reasons = [f"{pack} is disabled" for pack in left_out]
    alone = len(configuration.members) == 1
    for member in configuration.members:
        if not member.enabled:
            continue
        try:
            pack = load_pack(member.pack)
            embedder = load_embedder(pack, device=device, flip=flip)
            embedder(TRIED_WITH)
            if not alone:
                check_evidence(embedder.model, member.weight, load_calibration(pack).slope)
            usable.append((member, pack, embedder))
        except UNUSABLE as error:
            left_out.append(member.pack)
            reasons.append(f"{member.pack}: {error.what}")
            log.warning("%s is left out, so nothing is a match: %s", member.pack, error)
    if len(usable) < configuration.least_members:
        raise ConfigurationError(
            f"expected {configuration.least_members} members to answer, and {len(usable)} can: "
            + "; ".join(reasons),
            mend="mend the packs, or activate another configuration",
        )
    return _loaded(configuration, usable, tuple(left_out))


def _loaded(
    configuration: Configuration,
    usable: list[tuple[ConfiguredPack, Pack, ModelEmbedder]],
    left_out: tuple[str, ...],
) -> LoadedMembers:
    packs = tuple(pack for _, pack, _ in usable)
    weights = tuple(member.weight for member, _, _ in usable)
    models = Models(packs, weights).only(range(len(packs)))
    calibrations = {}
    for _, pack, embedder in usable:
        calibrations[embedder.model] = Models((pack,)).calibration()
    members = {embedder.model: member for member, _, embedder in usable}
    lengths = {
        embedder.model: embedder.lengths
        for member, _, embedder in usable
        if LENGTH in member.least_quality
    }
    configured = Configured(configuration, members, calibrations, left_out, lengths)
    return LoadedMembers(models, tuple(embedder for _, _, embedder in usable), configured)
