"""A converted network's accuracy on a list of pairs, and what making it smaller costs there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.batch import Progress
from visavis.dataset import Pairs
from visavis.errors import DatasetError, ModelError
from visavis.evaluate.protocols import CropSource, embed_pairs, similarities, verification
from visavis.metrics.fusion import Gain, gains
from visavis.types import Embedder

FAR = 1e-2  # `gains` takes one; accuracy does not depend on it
HUNDRED = 100  # points of accuracy


@dataclass(frozen=True, slots=True)
class Judgement:
    """Accuracy of the float32 network and, if one was made, of the smaller one."""

    pairs: int
    before: float
    after: float | None = None
    gain: Gain | None = None  # in accuracy, with its interval over people; below 0: a loss


def judge_forms(
    before: Embedder,
    after: Embedder | None,
    source: CropSource,
    pairs: Pairs,
    *,
    progress: Progress = iter,
) -> Judgement:
    """Measure both forms of a network on the same pairs; their difference draws the same people
    for both.

    Raises DatasetError for pairs of one fold, and what `embed_pairs` raises.
    """
    if int(pairs.fold.max()) < 1:
        raise DatasetError(f"{pairs.source}: expected at least two folds of pairs, got one")
    accuracy, similarity = _measured(before, source, pairs, progress)
    if after is None:
        return Judgement(len(pairs.same), accuracy)
    smaller, others = _measured(after, source, pairs, progress)
    gain, _ = gains(pairs, others, similarity, far=FAR)
    return Judgement(len(pairs.same), accuracy, smaller, gain)


def refuse_loss(judgement: Judgement, max_loss: float) -> None:
    """Raises ModelError where the smaller network loses more than `max_loss` points of accuracy."""
    if judgement.after is None or judgement.gain is None:
        return
    loss = HUNDRED * (judgement.before - judgement.after)
    if not loss <= max_loss:
        raise ModelError(
            f"the smaller network loses {loss:.2f} points of accuracy on {judgement.pairs:,} "
            f"pairs, at most {max_loss} is allowed: {gain_words(judgement.gain)}; nothing was "
            "written",
            option="max_loss",
        )


def gain_words(gain: Gain) -> str:
    """A gain in points with its interval, and what that says."""
    value, low, high = (HUNDRED * number for number in (gain.value, gain.low, gain.high))
    return f"{value:+.2f} points, 95 % of draws {low:+.2f} to {high:+.2f}: {gain.verdict}"


def _measured(
    embed: Embedder, source: CropSource, pairs: Pairs, progress: Progress
) -> tuple[float, NDArray[np.float64]]:
    kept, embedded = embed_pairs(source, pairs, embed, progress=progress)
    similarity = similarities(kept, embedded)
    return verification(kept, embedded, similarity).accuracy or 0.0, similarity
