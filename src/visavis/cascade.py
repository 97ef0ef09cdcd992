"""A cheap first member decides alone where it is far from the threshold, on either side.

The error rates that are asked for are shared out: the first member may use up some of each, all
members together the rest. So what both do is within them, however they depend on each other. Knows
calibrations and decisions; knows no models.
"""

from dataclasses import dataclass, replace

from visavis.decision import Calibration, Decision, Policy

ACCEPTED = 0.1  # share of the false match rate that the first member's matches may use up
MISSED = 0.25  # what it may miss, as a share of what all members miss at their threshold


@dataclass(frozen=True, slots=True)
class Cascade:
    """How both steps keep to what is asked for."""

    rate: float  # of strangers, in all comparisons, that both steps together may let pass
    floor: float  # similarity by the first member below which it says no match
    missed: float  # share of one person's pairs that both steps together may miss

    def sure(self, first: Decision) -> bool:
        """Whether the first member's decision stands, and nobody else is asked."""
        return first.matched or first.similarity < min(self.floor, first.policy.match.threshold)

    def stated(self, decision: Decision, others: float) -> Decision:
        """A step's decision, stating what the cascade as a whole may get wrong: `others` is the
        share of the rate that the other step may use up.
        """
        match = decision.policy.match
        # What nothing passes as a match lets no stranger pass.
        own = match.false_match_rate_upper if decision.policy.supported else 0.0
        upper = min(1.0, own + others * self.rate / decision.comparisons)
        point = replace(
            match,
            false_match_rate_upper=upper,
            false_non_match_rate=self.missed,
            extrapolated=False,
        )
        return replace(decision, policy=replace(decision.policy, match=point, supported=True))


def cascade_of(
    first: Calibration, whole: Calibration, rate: float, comparisons: int
) -> Cascade | None:
    """The cascade of a first member and all, in so many comparisons by all; None where nobody
    measured all together, or their data cannot show their share of the rate.
    """
    if not whole.points or not comparisons:
        return None
    policy = whole.search_policy(rate * (1 - ACCEPTED) / comparisons)
    missed = min(1.0, policy.match.false_non_match_rate * (1 + MISSED))
    return Cascade(rate, floor(first, policy), missed) if policy.supported else None


def floor(first: Calibration, whole: Policy) -> float:
    """The first member's similarity below which it says no match; -1 where its data shows none."""
    allowed = MISSED * whole.match.false_non_match_rate
    fitting = [point.threshold for point in first.points if point.false_non_match_rate <= allowed]
    return max(fitting, default=-1.0)
