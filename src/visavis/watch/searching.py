"""Who is looked for: those who are expected first, then the others. Knows no picture and no rules.

The false positive rate that is asked for is shared by both searches, so that whatever faces are
like, at most so many strangers get a name by either. Where few are expected, each of them is
compared with a larger part of it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import TypeVar

from visavis.gallery import Gallery
from visavis.gallery.people import Among
from visavis.recognizer import Recognizer
from visavis.results import Identification, Nearest
from visavis.types import Embeddings
from visavis.watch.deciding import Rule

SHARE = 0.5  # of the rate, for those who are expected; the rest for everybody
Faced = TypeVar("Faced", Nearest, Identification)
When = tuple[float, str | None]  # seconds, and ISO 8601 of a live source


@dataclass(frozen=True, slots=True)
class Roster:
    """Who is expected at a device, by the gallery's ids."""

    people: frozenset[str]
    others: bool = True  # whether who is not expected is looked for, too


@dataclass(frozen=True, slots=True)
class Duty:
    """What somebody who takes a source's events wants of it."""

    roster: Callable[[When], Roster] | None = None  # who is expected then; None: nobody asks
    every: float = inf  # seconds between two `stays` of a face that is confirmed
    unknown: bool = False  # whether the face of a track that left unknown is told
    crops: bool = False  # whether with its best crop


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

    def ask(rows: list[int], rate: float, among: Among) -> list[Nearest]:
        return recognizer.nearest(embeddings[rows], gallery, false_positive_rate=rate, among=among)

    return expected_first(ask, range(len(embeddings)), rule.each, roster, rule.among)


def expected_first(
    ask: Callable[[list[int], float, Among], list[Faced]],
    rows: Iterable[int],
    rate: float,
    roster: Roster | None,
    among: str | None = None,
) -> list[Faced]:
    """What `ask` answers for rows of faces: of those who are expected, else of all, or of `among`,
    each at its part of the rate.
    """
    rows = list(rows)
    if roster is None or (roster.others and not roster.people):
        return ask(rows, rate, among)
    if not roster.others:
        return ask(rows, rate, roster.people)
    nearest = dict(zip(rows, ask(rows, rate * SHARE, roster.people), strict=True))
    rest = [row for row, near in nearest.items() if not near.matched]
    others = ask(rest, rate * (1 - SHARE), among) if rest else []
    nearest |= zip(rest, others, strict=True)
    return [
        _stated(near, rate * (SHARE if row in rest else 1 - SHARE)) for row, near in nearest.items()
    ]


def _stated(near: Faced, other: float) -> Faced:
    """The answer of one search, stating what both may get wrong: `other` is the other's rate."""
    decision = near.decision
    match = decision.policy.match
    upper = min(1.0, match.false_match_rate_upper + other / decision.comparisons)
    policy = replace(decision.policy, match=replace(match, false_match_rate_upper=upper))
    return replace(near, decision=replace(decision, policy=policy))
