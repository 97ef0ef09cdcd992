"""How often living people are refused, and attacks pass: the form of ISO/IEC 30107-3:2023.

Pure numbers, of presentations whose truth is known. Says what was measured, and that nothing else
was: no error in sixty attempts still allows five in a hundred.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visavis.errors import CalibrationError
from visavis.liveness.outcome import LivenessBand, outcome_of
from visavis.metrics.bootstrap import wilson

LEAST_GENUINE = 20  # presentations that a threshold is set from
SPOOF_SHARE = 0.5  # of the threshold of life: below it a face is a spoof


@dataclass(frozen=True, slots=True)
class LivenessScore:
    """One presentation: a photo or a video of one person, or of one attack."""

    name: str
    score: float | None  # the median over its frames; None: no face was found


@dataclass(frozen=True, slots=True)
class Measured:
    """A share, and the 95 % interval that so many trials leave; None where there was none."""

    count: int
    trials: int
    rate: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class SpeciesFigures:
    """One kind of attack."""

    species: str
    apcer: Measured  # attacks that are taken for living people, of those that were judged
    apnrr: Measured  # attacks in which no face was found


@dataclass(frozen=True, slots=True)
class LivenessFigures:
    """What the form asks for, at an operating point that was fixed before."""

    band: LivenessBand
    bpcer: Measured  # living people who are not taken for such, of those that were judged
    bpnrr: Measured  # living people in whom no face was found
    species: tuple[SpeciesFigures, ...]  # by name
    worst: str | None  # the species with the highest APCER, which is the one that is quoted


def measured(count: int, trials: int) -> Measured:
    """A share with its interval."""
    if not trials:
        return Measured(count, 0, None, None, None)
    lower, upper = wilson(count, trials)
    return Measured(count, trials, count / trials, lower, upper)


def band_of(
    genuine: Sequence[LivenessScore], most_refused: float, model: str | None = None
) -> LivenessBand:
    """The strictest threshold at which at most this share of a source's own people is refused.

    Raises CalibrationError for too few of them, or a share that is none.
    """
    if not 0 <= most_refused < 1:
        raise CalibrationError(
            f"expected a share from 0 to below 1, got {most_refused}", option="most_refused"
        )
    scores = np.sort([one.score for one in genuine if one.score is not None])
    if len(scores) < LEAST_GENUINE:
        raise CalibrationError(
            f"expected {LEAST_GENUINE} presentations of living people with a face, got "
            f"{len(scores)}",
            mend="take more photos, or a longer video, with the camera that will be watched",
        )
    live = float(scores[int(most_refused * len(scores))])
    return LivenessBand(live, SPOOF_SHARE * live, model)


def liveness_figures(
    genuine: Sequence[LivenessScore],
    attacks: Mapping[str, Sequence[LivenessScore]],
    band: LivenessBand,
) -> LivenessFigures:
    """The form, of presentations of living people and of attacks by species."""
    scored = [one.score for one in genuine if one.score is not None]
    refused = sum(outcome_of(score, band) != "live" for score in scored)
    species = tuple(_species(name, attacks[name], band) for name in sorted(attacks))
    judged = [one for one in species if one.apcer.rate is not None]
    worst = max(judged, key=lambda one: one.apcer.rate or 0.0, default=None)
    return LivenessFigures(
        band,
        measured(refused, len(scored)),
        measured(len(genuine) - len(scored), len(genuine)),
        species,
        worst.species if worst else None,
    )


def _species(name: str, attacks: Sequence[LivenessScore], band: LivenessBand) -> SpeciesFigures:
    scored = [one.score for one in attacks if one.score is not None]
    passed = sum(outcome_of(score, band) == "live" for score in scored)
    missing = len(attacks) - len(scored)
    return SpeciesFigures(name, measured(passed, len(scored)), measured(missing, len(attacks)))
