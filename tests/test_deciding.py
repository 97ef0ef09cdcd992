"""Crops to a decision: how many must agree, and what a stranger's chance is."""

from dataclasses import replace

import numpy as np
import pytest

from visavis.decision import Decision, OperatingPoint, Policy
from visavis.errors import CalibrationError
from visavis.gallery import Person
from visavis.quality import Quality
from visavis.recognizer import Nearest
from visavis.watch.deciding import Glimpse, Rule, decide_track, fused, is_news, worth_of

ANN, BEN = (
    Person(one, one.title(), external_id=None, consent=None, added_at="", seen_at=None, samples=1)
    for one in ("ann", "ben")
)
POINT = OperatingPoint(0.4, 1e-3, 1e-3, 0.01)
POLICY = Policy(POINT, replace(POINT, threshold=0.3))
RULE = Rule(agreeing=3, most=12)


def near(person: Person | None, outcome: str = "match") -> Nearest:
    return Nearest(Decision(outcome, 0.5, POLICY, comparisons=10), person, None)


def looks_of(*seen: Nearest) -> list[Glimpse]:
    row = np.array([[1.0, 0.0]], np.float32)
    return [Glimpse(float(at), 0.5, row, one) for at, one in enumerate(seen)]


YES, PERHAPS, NO = near(ANN), near(ANN, "review"), near(ANN, "no_match")
OTHER = near(BEN)


@pytest.mark.parametrize(
    ("seen", "of_all", "state"),
    [
        ([YES], YES, "collecting"),
        ([YES, YES], YES, "collecting"),
        ([YES, YES, YES], YES, "confirmed"),
        ([YES, NO, YES, PERHAPS, YES], YES, "confirmed"),
        # too few agree
        ([YES, YES, NO], YES, "review"),
        ([NO, NO, NO], YES, "review"),
        ([NO, NO, NO], PERHAPS, "review"),
        ([YES, NO, NO], NO, "review"),
        ([NO, NO, NO], NO, "unknown"),
        ([PERHAPS, PERHAPS, PERHAPS], NO, "unknown"),
        # the fused template says no, or somebody else
        ([YES, YES, YES], PERHAPS, "review"),
        ([YES, YES, YES], OTHER, "review"),
        # as many match somebody else
        ([YES, YES, YES, OTHER, OTHER, OTHER], YES, "review"),
        ([YES, YES, YES, OTHER, OTHER], YES, "confirmed"),
        # nobody is in the gallery any more
        ([YES, YES, YES], near(None, "no_match"), "review"),
    ],
)
def test_a_track_is_decided(seen, of_all, state):
    assert decide_track(looks_of(*seen), of_all, RULE).state == state


def test_a_track_without_a_crop_is_not_decided():
    verdict = decide_track([], None, RULE)
    assert (verdict.state, verdict.looks, verdict.false_positive_rate) == ("collecting", 0, 0.0)


def test_the_rate_is_shared_by_the_crops_and_divided_by_those_that_must_agree():
    """12 crops at 1e-3 each, 3 of which must pass: 12 x 1e-3 / 3."""
    assert Rule(1e-2, agreeing=3, most=12).each == pytest.approx(2.5e-3)
    verdict = decide_track(looks_of(YES, YES, YES), YES, RULE)
    of_one = 1 - (1 - 1e-3) ** 10  # ten templates
    assert verdict.false_positive_rate == pytest.approx(of_one * 12 / 3)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_strangers_are_named_no_more_often_than_was_asked(alike):
    """However alike a track's crops are: each passes for itself, all together, or in between."""
    rng = np.random.default_rng(7)
    rule = Rule(0.2, agreeing=3, most=12)
    together = rng.random((20_000, 12)) < alike
    each = rng.random((20_000, 12)) < rule.each
    shared = rng.random((20_000, 1)) < rule.each
    passed = np.where(together, shared, each).sum(axis=1)
    assert (passed >= rule.agreeing).mean() <= rule.false_positive_rate


def test_one_crop_that_is_enough_would_break_the_promise():
    """The attack: at the rate of one photo, twelve tries are twelve chances."""
    rng = np.random.default_rng(7)
    passed = (rng.random((20_000, 12)) < 0.2).sum(axis=1)
    assert (passed >= 1).mean() > 0.9


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(CalibrationError, match="expected a false positive rate between 0 and 1"):
        Rule(rate)


@pytest.mark.parametrize("agreeing", [0, 13])
def test_more_crops_than_there_are_cannot_agree(agreeing):
    with pytest.raises(CalibrationError, match="expected 1 to 12 agreeing crops"):
        Rule(agreeing=agreeing)


@pytest.mark.parametrize(
    ("count", "worth", "at", "expected"),
    [
        (0, 0.1, 0.0, True),
        (2, 0.1, 2.0, True),  # too few to agree
        (3, 0.5, 2.1, False),  # nothing new: 0.1 s after the last one, and as good
        (3, 0.5, 2.5, True),  # later
        (3, 0.61, 2.1, True),  # better by 1.2
        (12, 0.9, 99.0, False),  # all were spent
    ],
)
def test_only_new_or_better_crops_are_compared(count, worth, at, expected):
    assert is_news(looks_of(*[YES] * count), worth, at, RULE) == expected


def test_the_template_is_of_the_best_crops_by_their_worth():
    rows = np.eye(7, dtype=np.float32)
    looks = [
        Glimpse(0.0, worth / 10, rows[n : n + 1], YES)
        for n, worth in enumerate([1, 5, 4, 3, 2, 6, 1])
    ]
    template = fused(looks)[0]
    assert (template[[0, 6]] == 0).all()
    assert np.linalg.norm(template) == pytest.approx(1)
    assert (template / template[4]).tolist() == pytest.approx([0, 2.5, 2, 1.5, 1, 3, 0])


@pytest.mark.parametrize(
    ("size", "sharpness", "yaw", "expected"),
    [
        (112, 200, 0, 0.9),
        (300, 999, 0, 0.9),
        (28, 200, 0, 0.45),
        (112, 50, 0, 0.45),
        (112, 200, 60, 0.45),
    ],
)
def test_a_crop_is_worth_what_can_be_seen_in_it(size, sharpness, yaw, expected):
    quality = Quality(0.9, size, sharpness, 120, yaw, 0, 0, 1, reasons=())
    assert worth_of(quality) == pytest.approx(expected)
