"""What was seen of one track to a decision. Pure: knows no picture and no network.

The error rate of a template that is fused from many crops is not that of one photo, and no data
here measures it. So single crops decide, each compared as one photo is: if a stranger is compared
`most` times at a rate r, about `most` x r of the comparisons pass at most, and whoever must pass
`agreeing` times does so in at most `most` x r / `agreeing` of all tracks (Markov's inequality),
however alike the crops are. The fused template may say no, and for a review; never yes alone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from visavis.errors import CalibrationError
from visavis.quality import Quality
from visavis.results import Nearest
from visavis.types import Embeddings

TrackState = Literal["collecting", "confirmed", "review", "unknown", "spoof"]
BEST = 5  # crops that a fused template is made of
LARGE, SHARP = 112.0, 200.0  # from here on a crop is not worth more
NEWER = 0.5  # seconds after which a crop is news
BETTER = 1.2  # times as good as the best one: news at once


@dataclass(frozen=True, slots=True)
class Rule:
    """When a track is decided."""

    false_positive_rate: float = 1e-2  # share of strangers' tracks that may get anybody's name
    agreeing: int = 3  # crops that must match one person
    most: int = 12  # crops of a track that are compared with the gallery
    among: str | None = None  # the group of people that is searched alone

    def __post_init__(self) -> None:
        if not 0 < self.false_positive_rate < 1:
            raise CalibrationError(
                f"expected a false positive rate between 0 and 1, got {self.false_positive_rate}"
            )
        if not 1 <= self.agreeing <= self.most:
            raise CalibrationError(
                f"expected 1 to {self.most} agreeing crops, got {self.agreeing}", option="agreeing"
            )

    @property
    def each(self) -> float:
        """The false positive rate that each crop is compared at."""
        return self.false_positive_rate * self.agreeing / self.most


STANDARD = Rule()


@dataclass(frozen=True, eq=False, slots=True)
class Glimpse:
    """One crop of a track that was compared with the gallery."""

    at: float  # seconds
    worth: float  # 0..1
    embedding: Embeddings  # (1, D)
    nearest: Nearest


@dataclass(frozen=True, slots=True)
class TrackVerdict:
    """Who a track is, as far as that is known."""

    state: TrackState
    nearest: Nearest | None  # of the fused template; None where no crop was good enough
    agreeing: int  # crops that match the one who is closest
    looks: int  # crops that were compared
    false_positive_rate: float  # share of strangers' tracks that are named at these thresholds


NOTHING = TrackVerdict("collecting", None, 0, 0, 0.0)


def worth_of(quality: Quality) -> float:
    """How much a crop is worth: large, sharp, from the front, and certain."""
    large = min(quality.size / LARGE, 1.0)
    sharp = min(quality.sharpness / SHARP, 1.0)
    front = np.cos(np.radians(quality.yaw)) * np.cos(np.radians(quality.pitch))
    return float(np.sqrt(large * sharp) * max(front, 0.0) * quality.score)


def is_news(looks: Sequence[Glimpse], worth: float, at: float, rule: Rule) -> bool:
    """Whether another crop is to be compared: the first ones, a better one, or one of later on."""
    if len(looks) < rule.agreeing:
        return True
    if len(looks) >= rule.most:
        return False
    best = max(look.worth for look in looks)
    return worth >= BETTER * best or at - looks[-1].at >= NEWER


def fused(looks: Sequence[Glimpse]) -> Embeddings:
    """The template (1, D) of the best crops, each as much as it is worth."""
    best = sorted(looks, key=lambda look: -look.worth)[:BEST]
    mean = sum(look.worth * look.embedding for look in best)
    return np.asarray(mean / np.linalg.norm(mean), np.float32)


def decide_track(looks: Sequence[Glimpse], nearest: Nearest | None, rule: Rule) -> TrackVerdict:
    """Who the track is. `nearest` is of the fused template, asked for now: whoever was erased
    meanwhile is not named.
    """
    if nearest is None:
        return NOTHING
    votes = Counter(look.nearest.person.id for look in looks if look.nearest.person is not None)
    closest = nearest.closest.id if nearest.closest else None
    agreeing = votes[closest] if closest else 0
    state: TrackState = "unknown"
    if len(looks) < rule.agreeing:
        state = "collecting"
    elif nearest.matched and agreeing >= rule.agreeing and not _torn(votes, closest, rule):
        state = "confirmed"
    elif votes or nearest.decision.outcome != "no_match":
        state = "review"
    rate = nearest.decision.false_positive_rate * rule.most / rule.agreeing
    return TrackVerdict(state, nearest, agreeing, len(looks), min(rate, 1.0))


def _torn(votes: Counter[str], closest: str | None, rule: Rule) -> bool:
    """Whether as many crops as are needed match somebody else."""
    return any(count >= rule.agreeing for who, count in votes.items() if who != closest)
