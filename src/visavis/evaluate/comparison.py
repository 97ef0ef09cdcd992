"""Several models on the same pairs: each beside the best one, and all weighed together."""

from collections.abc import Sequence
from dataclasses import dataclass

from visavis.errors import MismatchError
from visavis.evaluate.run import Run
from visavis.metrics.fusion import Gain, fuse, gains
from visavis.metrics.verification import Result, evaluate

TOGETHER = "together"  # what all models weighed together are called
FAR = 1e-2  # at which gains are stated: lists have a few thousand different pairs


@dataclass(frozen=True, slots=True)
class Together:
    """All models weighed together."""

    result: Result
    weights: list[float]  # one a model, mean over the folds


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one model, or all together, gain over the best single model."""

    name: str
    than: str
    gains: tuple[Gain, ...]


def compare_runs(
    runs: Sequence[Run], *, weights: Sequence[float] | None = None
) -> tuple[Together, list[Comparison]]:
    """Weigh runs over one list of pairs together, and compare each with the most accurate.

    `weights` are one a run; without, they are searched for each fold on the others. Raises
    MismatchError where the runs have other pairs, DatasetError for weights that do not fit.
    """
    first = runs[0]
    if any(len(run.same) != len(first.same) for run in runs):
        raise MismatchError(
            "the packs could not embed the same pictures",
            mend="replace the pictures that were left out",
        )
    fused = fuse([run.similarity for run in runs], first.same, first.fold, weights=weights)
    best = max(runs, key=lambda run: run.about.result.accuracy or 0)
    others = [(run.about.name, run.similarity) for run in runs if run is not best]
    comparisons = [
        Comparison(name, best.about.name, gains(first.pairs, similarity, best.similarity, far=FAR))
        for name, similarity in [*others, (TOGETHER, fused.similarity)]
    ]
    result = evaluate(fused.similarity, first.same, folds=first.fold)
    return Together(result, fused.weights.mean(axis=0).tolist()), comparisons
