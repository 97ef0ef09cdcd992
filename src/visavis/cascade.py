"""A cheap first member decides alone where it is far from the threshold, on either side.

The error rates that are asked for are shared out: the first member may use up some of each, all
members together the rest. So what both do is within them, however they depend on each other. Knows
calibrations and decisions; knows no models.
"""

from dataclasses import replace

from visavis.decision import Calibration, Decision, Policy

ACCEPTED = 0.1  # share of the false match rate that the first member's matches may use up
MISSED = 0.25  # what it may miss, as a share of what all members miss at their threshold


def floor(first: Calibration, whole: Policy) -> float:
    """The first member's similarity below which it says no match; -1 where its data shows none."""
    allowed = MISSED * whole.match.false_non_match_rate
    fitting = [point.threshold for point in first.points if point.false_non_match_rate <= allowed]
    return max(fitting, default=-1.0)


def stated(decision: Decision, others: float) -> Decision:
    """A decision that states what the cascade as a whole may get wrong: `others` is the false match
    rate that the other step may use up.
    """
    match = decision.policy.match
    upper = min(1.0, match.false_match_rate_upper + others)
    missed = min(1.0, match.false_non_match_rate * (1 + MISSED))
    point = replace(match, false_match_rate_upper=upper, false_non_match_rate=missed)
    return replace(decision, policy=replace(decision.policy, match=point))
