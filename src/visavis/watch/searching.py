"""Who is looked for: those who are expected first, then the others. Knows no picture and no rules.

The false positive rate that is asked for is shared by both searches, so that whatever faces are
like, at most so many strangers get a name by either. Where few are expected, each of them is
compared with a larger part of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from visavis.gallery import Gallery
from visavis.recognizer import Recognizer
from visavis.results import Nearest
from visavis.types import Embeddings
from visavis.watch.deciding import Rule

SHARE = 0.5  # of the rate, for those who are expected; the rest for everybody
When = tuple[float, str | None]  # seconds, and ISO 8601 of a live source


@dataclass(frozen=True, slots=True)
class Roster:
    """Who is expected before a camera, by the gallery's ids."""

    people: frozenset[str]
    others: bool = True  # whether who is not expected is looked for, too


@dataclass(frozen=True, slots=True)
class Duty:
    """What somebody who takes a source's events wants of it."""

    roster: Callable[[When], Roster] | None = None  # who is expected then; None: nobody asks
    every: float = inf  # seconds between two `stays` of a face that is confirmed


NO_DUTY = Duty()


def nearest_first(
    recognizer: Recognizer,
    gallery: Gallery,
    embeddings: Embeddings,
    rule: Rule,
    roster: Roster | None,
) -> list[Nearest]:
    """Who is closest to each embedding (N, D): of those who are expected, else of all.

    Raises as `Recognizer.nearest`.
    """

    def ask(rows: Embeddings, share: float, among: frozenset[str] | str | None) -> list[Nearest]:
        return recognizer.nearest(rows, gallery, false_positive_rate=rule.each * share, among=among)

    if roster is None or (roster.others and not roster.people):
        return ask(embeddings, 1.0, rule.among)
    if not roster.others:
        return ask(embeddings, 1.0, roster.people)
    nearest = ask(embeddings, SHARE, roster.people)
    rest = [row for row, near in enumerate(nearest) if not near.matched]
    others = ask(embeddings[rest], 1 - SHARE, rule.among) if rest else []
    for row, near in zip(rest, others, strict=True):
        nearest[row] = near
    return [
        _stated(near, rule.each * (SHARE if row in rest else 1 - SHARE))
        for row, near in enumerate(nearest)
    ]


def _stated(near: Nearest, other: float) -> Nearest:
    """The answer of one search, stating what both may get wrong: `other` is the other's rate."""
    decision = near.decision
    match = decision.policy.match
    upper = min(1.0, match.false_match_rate_upper + other / decision.comparisons)
    policy = replace(decision.policy, match=replace(match, false_match_rate_upper=upper))
    return replace(near, decision=replace(decision, policy=policy))
