"""The first member alone, where it is far from the threshold; the error rate of the whole holds."""

from dataclasses import replace

import numpy as np
import pytest
from test_left_out import GREY, MODELS, WHOLE, Known, recognizer, unit

from visavis.cascade import ACCEPTED, MISSED, cascade_of, floor
from visavis.cautions import decision_cautions
from visavis.configuration import Configuration, ConfiguredPack
from visavis.decision import Calibration, OperatingPoint, decide
from visavis.embedder import Ensemble
from visavis.errors import ConfigurationError
from visavis.results import GallerySearch


def measured(model, *points):
    """A calibration of thresholds, rates at their upper ends, and what is missed."""
    rows = tuple(OperatingPoint(at, rate / 2, rate, missed) for at, rate, missed in points)
    return Calibration(model, "made", "0" * 64, 10, 45, 1000, rows, 20.0, -8.0)


FIRST = ((0.1, 0.1, 0.001), (0.2, 0.05, 0.002), (0.5, 1e-2, 0.03), (0.9, 1e-3, 0.1))
WHOLES = ((0.2, 0.1, 0.001), (0.4, 1e-2, 0.01), (0.6, 9e-3, 0.02), (0.8, 9e-4, 0.05))


@pytest.mark.parametrize(
    ("rate", "least"),
    [
        (1e-2, 0.2),  # all miss 0.01 at 0.4, the first may miss 0.0025 more: at 0.2 it does 0.002
        (9e-3, 0.2),  # 0.005 more
        (1e-3, 0.2),  # 0.0125 more
        (0.1, -1.0),  # 0.00025 more: it always misses 0.001
    ],
)
def test_below_the_floor_the_first_member_says_no(rate, least):
    whole = measured("whole@0", *WHOLES).search_policy(rate)
    assert floor(measured("first@0", *FIRST), whole) == least


@pytest.mark.parametrize(
    ("rate", "similar", "others", "upper"),
    [
        (1e-2, 0.95, 1 - ACCEPTED, 1e-3 + 9e-3),  # what the first shows, and the others' share
        (1e-2, 0.15, 1 - ACCEPTED, 1e-3 + 9e-3),  # of a no, as well
        (1e-3, 0.15, 1 - ACCEPTED, 9e-4),  # the first cannot show 1e-4: it lets nobody pass
    ],
)
def test_a_decision_states_the_rates_of_the_whole_cascade(rate, similar, others, upper):
    first, whole = measured("first@0", *FIRST), measured("whole@0", *WHOLES)
    steps = cascade_of(first, whole, rate, 1)
    decision = decide(similar, first.search_policy(rate * ACCEPTED))
    assert steps.sure(decision)
    told = steps.stated(decision, others)
    match = told.policy.match
    assert match.false_match_rate_upper == pytest.approx(upper)
    # What all members miss at their share, and a quarter of that: by whichever step it was.
    missed = whole.search_policy(rate * (1 - ACCEPTED)).match.false_non_match_rate
    assert match.false_non_match_rate == pytest.approx(missed * (1 + MISSED))
    assert (told.policy.supported, match.extrapolated) == (True, False)
    assert (told.outcome, match.threshold) == (decision.outcome, 0.9)
    assert decision_cautions(told) == ()


@pytest.mark.parametrize(
    ("rate", "comparisons"),
    [
        (9.5e-4, 1),  # all members show 9e-4, but not their share of it
        (1e-2, 0),  # nobody has templates of all members
    ],
)
def test_where_all_members_cannot_show_their_share_there_is_no_cascade(rate, comparisons):
    first, whole = measured("first@0", *FIRST), measured("whole@0", *WHOLES)
    assert cascade_of(first, whole, rate, comparisons) is None


def test_a_first_member_that_shows_no_rate_says_no_match_below_its_last_threshold_alone():
    """Its floor may be above: there it would be a review, for nobody knows how sure it is."""
    first = measured("first@0", (0.3, 0.1, 0.0), (0.6, 0.05, 0.0001), (0.8, 0.04, 0.001))
    steps = cascade_of(first, measured("whole@0", *WHOLES), 1e-2, 1)
    assert steps.floor == 0.8
    bare = first.search_policy(1e-3)
    assert [steps.sure(decide(at, bare)) for at in (0.79, 0.81)] == [True, False]


def test_the_answer_is_a_match_where_only_the_whole_rate_is_shown(cascade):
    """Without a cascade it would be one: so with a cascade it is."""
    made, gallery, seen = cascade
    strict = replace(made.configured.configuration, false_positive_rate=9.5e-4)
    asked = replace(made, configured=replace(made.configured, configuration=strict))
    near = asked._nearest_in_steps(CROPS[:1], GallerySearch(gallery, 9.5e-4))
    assert (near[0].decision.outcome, seen["blue@3"]) == ("match", 1)
    _, decision = asked._compared(CROPS[[0, 0]], 9.5e-4)
    assert decision.outcome == "match"


def test_a_cascade_has_a_first_member_and_others():
    one, two = ConfiguredPack("a", 0.5), ConfiguredPack("b", 0.5)
    assert Configuration((one, two), cascade=True).cascade
    for members in ((replace(one, enabled=False), two), (one, replace(two, enabled=False))):
        with pytest.raises(ConfigurationError, match="a cascade of two members or more"):
            Configuration(members, cascade=True)
    with pytest.raises(ConfigurationError, match="a cascade of two members or more"):
        Configuration((ConfiguredPack("a", 1.0),), cascade=True)


class Counting:
    """An embedder that notes how many crops it saw, and answers with its own rows."""

    def __init__(self, inner, rows, seen):
        self.model, self.dim, self.parts = inner.model, inner.dim, inner.parts
        self.margin = inner.margin
        self.rows, self.seen = rows, seen

    def __call__(self, crops):
        self.seen[self.model] = self.seen.get(self.model, 0) + len(crops)
        return np.stack([self.rows[int(crop[0, 0, 0])] for crop in crops])


# Of four faces: how far red, then green and blue, are turned away from the one who is enrolled.
TURNED = ((0.1, 0.1), (1.5, 0.0), (0.8, 0.1), (0.8, 1.5))
CROPS = np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(112, 1).repeat(112, 2).repeat(3, 3)


@pytest.fixture
def cascade(calibration):
    """A cascade of red, then all; how many crops each saw."""
    seen: dict[str, int] = {}
    rows = {
        model: [unit(turned[min(place, 1)]) for turned in TURNED]
        for place, model in enumerate(MODELS)
    }
    members = tuple(
        replace(one, embed=Counting(one.embed, rows[one.embed.model], seen))
        for one in WHOLE.members
    )
    plain = recognizer(calibration)
    rules = replace(plain.configured.configuration, cascade=True, policy="0.01")
    own = {model: measured(model, *FIRST) for model in MODELS}
    configured = replace(plain.configured, configuration=rules, calibrations=own)
    known = measured(WHOLE.model, *WHOLES)
    made = replace(plain, embed=Ensemble(members), calibration=known, configured=configured)
    return made, Known([(0.0, 0.0, 0.0)], known), seen


def test_faces_far_from_the_threshold_cost_the_first_member_alone(cascade):
    made, gallery, seen = cascade
    near = made._nearest_in_steps(CROPS, GallerySearch(gallery, 1e-2))
    assert [one.decision.outcome for one in near] == ["match", "no_match", "match", "no_match"]
    assert seen == {"red@1": 4 + 2, "green@2": 2, "blue@3": 2}
    # 1e-3 of the first, 9e-3 of all: what was asked for.
    rates = [one.decision.policy.match.false_match_rate_upper for one in near]
    assert rates == pytest.approx([1e-2] * 4)
    assert [one.decision.configuration for one in near] == [5] * 4


def test_all_members_decide_where_nobody_measured_them_together(cascade):
    made, gallery, seen = cascade
    bare = replace(made, calibration=replace(made.calibration, points=()))
    gallery.calibration = replace(gallery.calibration, model="another@0")
    near = bare._nearest_in_steps(CROPS, GallerySearch(gallery, 1e-2))
    assert {one.decision.outcome for one in near} == {"review"}
    assert seen == dict.fromkeys(MODELS, 4)


def test_a_cascade_with_a_member_left_out_is_none(cascade):
    made, _, _ = cascade
    assert made.configured.cascades
    assert not made.without(frozenset({"green@2"})).configured.cascades


@pytest.mark.parametrize(
    ("rows", "outcome", "model", "counts"),
    [
        ((0, 0), "match", "red@1", (2, None)),
        ((0, 1), "no_match", "red@1", (2, None)),
        ((0, 2), "match", WHOLE.model, (4, 2)),
    ],
)
def test_two_crops_are_compared_by_the_first_member_where_it_is_sure(
    cascade, rows, outcome, model, counts
):
    made, _, seen = cascade
    by, decision = made._compared(CROPS[list(rows)], 1e-2)
    assert (decision.outcome, by.embed.model) == (outcome, model)
    assert (seen["red@1"], seen.get("green@2")) == counts
    assert decision.policy.match.false_match_rate_upper == pytest.approx(1e-2, abs=1e-9)


def test_a_verification_names_the_model_that_decided(calibration):
    plain = recognizer(calibration)
    rules = replace(plain.configured.configuration, cascade=True, policy="0.01")
    own = {model: measured(model, *FIRST) for model in MODELS}
    configured = replace(plain.configured, configuration=rules, calibrations=own)
    made = replace(plain, calibration=measured(WHOLE.model, *WHOLES), configured=configured)
    for cascade, model in ((True, "red@1"), (False, WHOLE.model)):
        asked = replace(configured, configuration=replace(rules, cascade=cascade))
        compared = replace(made, configured=asked).verify(GREY, GREY)
        assert (compared.model, compared.calibration.model) == (model, model)
        assert (compared.decision.outcome, compared.decision.configuration) == ("match", 5)


def test_the_whole_error_rate_holds_on_strangers():
    """What both steps let pass, of strangers whose similarities are alike by both: never more than
    each step's share, together at most what was asked for.
    """
    rng = np.random.default_rng(0)
    first = rng.normal(0, 0.2, 200_000)
    whole = 0.8 * first + rng.normal(0, 0.1, 200_000)
    asked = 1e-2
    accepted = np.quantile(first, 1 - ACCEPTED * asked)
    together = np.quantile(whole, 1 - (1 - ACCEPTED) * asked)
    passed = (first >= accepted) | (whole >= together)
    assert 0.9 * asked - 1e-5 <= passed.mean() <= asked + 1e-5
