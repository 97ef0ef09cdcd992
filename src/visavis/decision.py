"""A similarity to a decision that carries its error rate. Knows nothing of pictures or models."""

import bisect
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from visavis.document import parse
from visavis.errors import CalibrationError

# False match rates by name: the share of pairs of strangers that may pass.
POLICIES = {"convenience": 1e-3, "standard": 1e-4, "strict": 1e-5}
LEAST_RATE = 1e-15  # no data set has enough pairs to show a lower one
# What is no match, but would be one at ten times the rate, is for a person to look at.
REVIEW_FACTOR = 10

Outcome = Literal["match", "review", "no_match"]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One threshold and the error rates measured at it."""

    threshold: float  # similarity at or above it is a match
    false_match_rate: float  # share of different pairs at or above it
    false_match_rate_upper: float  # end of its 95 % interval, by bootstrap over people
    false_non_match_rate: float  # share of same pairs below it
    extrapolated: bool = False  # beyond what the data supports


@dataclass(frozen=True, slots=True)
class Policy:
    """The points from which on a pair is a match, and from which on a person looks at it."""

    match: OperatingPoint
    review: OperatingPoint
    supported: bool = True  # whether the data shows the rate asked for; else nothing is a match


# Without a calibration no similarity is enough, and every answer is for a person to look at.
NO_RATE = OperatingPoint(2.0, 1.0, 1.0, 1.0, extrapolated=True)
UNMEASURED = Policy(NO_RATE, replace(NO_RATE, threshold=-1.0), supported=False)
NOT_COMPARED = Policy(NO_RATE, NO_RATE, supported=False)  # and no answer is for anybody to look at


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of one model and their error rates on one data set."""

    model: str  # name@hash, as Embedder.model
    dataset: str
    data_sha256: str  # of the images' names and bytes
    people: int
    same_pairs: int
    different_pairs: int
    points: tuple[OperatingPoint, ...]  # by threshold, loosest first
    slope: float  # log-likelihood ratio of "same" = slope * similarity + offset
    offset: float

    def known(self) -> "Calibration":
        """Itself. Raises CalibrationError where nothing was measured (`uncalibrated`)."""
        if not self.points:
            raise CalibrationError(
                f"{self.model} has no calibration, so no threshold has an error rate",
                mend="make one with visavis calibrate, or name a file that has one",
                option="calibration",
            )
        return self

    def at(self, rate: float) -> OperatingPoint:
        """The loosest point whose false match rate is at most `rate` at its interval's upper end.

        Raises CalibrationError, naming the strictest rate supported, where the data cannot show
        `rate`.
        """
        _checked(rate)
        for point in self.known().points:
            if point.false_match_rate_upper <= rate:
                return point
        strictest = min(point.false_match_rate_upper for point in self.points)
        works = [name for name, least in POLICIES.items() if least >= strictest]
        raise CalibrationError(
            f"{self.different_pairs:,} pairs of {self.people:,} people ({self.dataset}) cannot "
            f"show a false match rate of {rate:g}; the strictest they support is {strictest:.1e}",
            mend=f"{works[-1]} is the strictest policy that works" if works else "no policy works",
        )

    def policy(self, policy: str | float, review_factor: float = REVIEW_FACTOR) -> Policy:
        """A policy by name (convenience, standard, strict) or by false match rate ("1e-4" or 1e-4).

        What would be a match at `review_factor` times the rate is a review. At an extrapolated
        point the answer is a review at most.
        Raises CalibrationError for an unknown name, or a rate that the data cannot show.
        """
        rate = policy_rate(policy)
        match = self.at(rate)
        review = self.at(min(review_factor * rate, 0.5))
        return Policy(match, review, supported=not match.extrapolated)

    def search_policy(self, rate: float, review_factor: float = REVIEW_FACTOR) -> Policy:
        """The policy for a search, with `rate` for each comparison.

        Where the data cannot show that rate it is the strictest point, and a review at most.
        """
        strictest = min(self.known().points, key=lambda point: point.false_match_rate_upper)

        def within(rate: float) -> OperatingPoint | None:
            return next((p for p in self.points if p.false_match_rate_upper <= rate), None)

        match, review = within(rate), within(review_factor * rate)
        shown = match is not None and not match.extrapolated
        return Policy(match or strictest, review or strictest, supported=shown)

    def most_comparisons(self, rate: float) -> int:
        """Among how many templates a search at `rate` can say match; 0: the data shows no rate."""
        shown = [p.false_match_rate_upper for p in self.points if not p.extrapolated]
        return int(_checked(rate) / min(shown)) if shown else 0

    def least_margin(self, rate: float) -> float:
        """How much closer the one of two people must be, so that the odds are `rate` that it is the
        other: what the logistic calibration's slope makes of a difference of similarities.
        """
        return math.log((1 - rate) / rate) / self.slope if self.slope > 0 else math.inf

    def false_match_rate(self, similarity: float) -> float:
        """The upper bound of the rate at which strangers reach `similarity`.

        It is that of the next looser point; 1 below the loosest.
        """
        place = bisect.bisect_right([point.threshold for point in self.points], similarity)
        return self.points[place - 1].false_match_rate_upper if place else 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, on what, and how often that is wrong. It is true for a match alone."""

    outcome: Outcome
    similarity: float
    policy: Policy
    comparisons: int = 1  # how many strangers the probe had a chance to be taken for
    configuration: int | None = None  # the version of the gallery's that decided, if one did
    left_out: tuple[str, ...] = ()  # its packs that did not answer: it is a review at most

    def __bool__(self) -> bool:
        return self.matched

    @property
    def matched(self) -> bool:
        """Whether it is a match: a review is none until a person has looked."""
        return self.outcome == "match"

    @property
    def false_positive_rate(self) -> float:
        """Share of strangers that may be taken for anybody at all, in so many comparisons."""
        rate = self.policy.match.false_match_rate_upper
        return -math.expm1(self.comparisons * math.log1p(-rate))


def policy_rate(policy: str | float) -> float:
    """The false match rate a policy stands for.

    Raises CalibrationError for an unknown name, and for a number that is no rate.
    """
    if policy in POLICIES:
        return POLICIES[str(policy)]
    try:
        rate = float(policy)
    except ValueError:
        names = ", ".join(f"{name} ({rate:g})" for name, rate in POLICIES.items())
        raise CalibrationError(
            f"unknown policy {policy!r}; known: {names}, or a false match rate such as 1e-4"
        ) from None
    return _checked(rate)


def _checked(rate: float) -> float:
    if not 0 < rate < 1:
        raise CalibrationError(f"expected a false match rate between 0 and 1, got {rate}")
    return rate


def decide(similarity: float, policy: Policy, *, comparisons: int = 1) -> Decision:
    """Match at or above the policy's threshold; below it review or no match."""
    outcome: Outcome = "no_match"
    if similarity >= policy.match.threshold:
        outcome = "match" if policy.supported else "review"
    elif similarity >= policy.review.threshold:
        outcome = "review"
    return Decision(outcome, similarity, policy, comparisons)


def uncalibrated(model: str) -> Calibration:
    """What stands for the calibration of a model that nobody has measured: it has no points."""
    return Calibration(model, "no calibration", "", 0, 0, 0, (), 0.0, 0.0)


def read_calibration(path: Path) -> Calibration:
    """A calibration file as `visavis calibrate` writes it.

    Raises CalibrationError naming the wrong field.
    """
    try:
        return parse_calibration(path.read_bytes(), str(path))
    except OSError as error:
        raise CalibrationError(f"{path}: cannot read: {error.strerror or error}") from error


def parse_calibration(data: bytes, source: str) -> Calibration:
    """A calibration from its bytes. Raises CalibrationError naming the wrong field."""
    calibration = parse(Calibration, data, source, CalibrationError)
    thresholds = [point.threshold for point in calibration.points]
    if not thresholds or thresholds != sorted(thresholds):
        raise CalibrationError(f"{source}: expected points in order of threshold, at least one")
    for point in calibration.points:
        if not LEAST_RATE <= point.false_match_rate_upper <= 1:
            raise CalibrationError(
                f"{source}: expected false_match_rate_upper from {LEAST_RATE:g} to 1, "
                f"got {point.false_match_rate_upper:g}"
            )
        if not 0 <= point.false_match_rate <= 1 or not 0 <= point.false_non_match_rate <= 1:
            raise CalibrationError(
                f"{source}: expected rates from 0 to 1 at the threshold {point.threshold:g}"
            )
    return calibration
