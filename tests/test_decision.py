"""Thresholds, policies and their error rates, on a calibration of three points."""

import hashlib
import json
import math
from dataclasses import replace

import pytest

from visavis.alignment import ALIGNMENT
from visavis.decision import (
    POLICIES,
    Decision,
    OperatingPoint,
    Policy,
    decide,
    read_calibration,
    uncalibrated,
)
from visavis.document import to_bytes
from visavis.errors import CalibrationError
from visavis.pack import Pack, manifest
from visavis.pack import calibration as of_packs
from visavis.pack.calibration import load_calibration

MATCH = OperatingPoint(0.5, 1e-4, 2e-4, 0.05)
REVIEW = OperatingPoint(0.4, 1e-3, 2e-3, 0.02)
POLICY = Policy(MATCH, REVIEW)


@pytest.mark.parametrize(
    ("similarity", "outcome"),
    [
        (1.0, "match"),
        (0.5, "match"),
        (0.4999, "review"),
        (0.4, "review"),
        (0.3999, "no_match"),
        (-1.0, "no_match"),
    ],
)
def test_at_or_above_a_threshold(similarity, outcome):
    decision = decide(similarity, POLICY)
    assert (decision.outcome, decision.similarity) == (outcome, similarity)


def test_without_a_looser_point_nothing_is_for_review():
    assert decide(0.4999, Policy(MATCH, MATCH)).outcome == "no_match"


@pytest.mark.parametrize(
    ("comparisons", "expected"), [(0, 0), (1, 2e-4), (2, 4e-4 - 4e-8), (5_000, 0.632157)]
)
def test_the_more_are_compared_with_the_more_often_a_stranger_matches(comparisons, expected):
    decision = decide(0.6, POLICY, comparisons=comparisons)
    assert decision.false_positive_rate == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("rate", "threshold"),
    [(0.5, 0.3), (1e-2, 0.3), (9.9e-3, 0.4), (1e-3, 0.4), (5e-4, 0.5), (1e-4, 0.5)],
)
def test_at_picks_the_loosest_point_whose_upper_rate_is_low_enough(calibration, rate, threshold):
    assert calibration.at(rate).threshold == threshold


@pytest.mark.parametrize("rate", [9e-5, 1e-9])
def test_a_rate_the_data_cannot_show_names_the_strictest_it_can(calibration, rate):
    with pytest.raises(CalibrationError) as caught:
        calibration.at(rate)
    assert str(caught.value) == (
        f"1,000 pairs of 10 people (made) cannot show a false match rate of {rate:g}; "
        "the strictest they support is 1.0e-04: standard is the strictest policy that works"
    )


@pytest.mark.parametrize("rate", [0, 1, -1e-3, 2, float("nan"), float("inf")])
def test_a_rate_lies_between_0_and_1(calibration, rate):
    with pytest.raises(CalibrationError, match="between 0 and 1"):
        calibration.at(rate)


@pytest.mark.parametrize(
    ("policy", "match", "review"),
    [
        ("convenience", 0.4, 0.3),
        ("standard", 0.5, 0.4),
        ("1e-3", 0.4, 0.3),
        ("0.001", 0.4, 0.3),
        (1e-4, 0.5, 0.4),
        (0.3, 0.3, 0.3),  # ten times that would be certain: 0.5 is the loosest that is asked for
    ],
)
def test_a_policy_by_name_or_by_rate(calibration, policy, match, review):
    points = calibration.policy(policy)
    assert (points.match.threshold, points.review.threshold) == (match, review)


def test_a_review_starts_at_a_rate_of_a_half_at_most(calibration):
    even = OperatingPoint(0.1, 0.51, 0.51, 0)
    looser = replace(calibration, points=(even, *calibration.points))
    assert looser.policy(0.3).review.threshold == 0.3


@pytest.mark.parametrize(
    ("rate", "match", "review", "supported"),
    [
        (1e-2, 0.3, 0.3, True),
        (1e-3, 0.4, 0.3, True),
        (1e-4, 0.5, 0.4, True),
        (2e-5, 0.5, 0.5, False),  # ten times that is shown by 0.5 alone
        (1e-9, 0.5, 0.5, False),  # nothing shows it: the strictest, for a review at most
    ],
)
def test_a_search_takes_the_strictest_point_where_none_is_strict_enough(
    calibration, rate, match, review, supported
):
    policy = calibration.search_policy(rate)
    assert (policy.match.threshold, policy.review.threshold) == (match, review)
    assert policy.supported == supported


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("lax", r"unknown policy 'lax'; known: convenience \(0.001\), standard \(0.0001\), strict"),
        ("", "unknown policy ''"),
        ("Strict", "unknown policy 'Strict'"),
        ("strict", "cannot show a false match rate of 1e-05"),
        ("nan", "between 0 and 1"),
        ("0", "between 0 and 1"),
        (1, "between 0 and 1"),
    ],
)
def test_a_policy_that_cannot_be_had(calibration, policy, message):
    with pytest.raises(CalibrationError, match=message):
        calibration.policy(policy)


@pytest.mark.parametrize(
    ("similarity", "rate"),
    [(-1, 1), (0.2999, 1), (0.3, 1e-2), (0.3999, 1e-2), (0.4, 1e-3), (0.5, 1e-4), (1, 1e-4)],
)
def test_the_rate_of_a_similarity_is_that_of_the_point_at_or_below_it(
    calibration, similarity, rate
):
    assert calibration.false_match_rate(similarity) == rate


def test_a_calibration_reads_back_as_it_was_written(calibration, tmp_path):
    path = tmp_path / "calibration.json"
    path.write_bytes(to_bytes(calibration))
    assert read_calibration(path) == calibration


def changed(calibration, **values):
    return json.dumps({**json.loads(to_bytes(calibration)), **values})


def point(**values):
    return {
        "threshold": 0.3,
        "false_match_rate": 0.01,
        "false_match_rate_upper": 0.02,
        "false_non_match_rate": 0.1,
        **values,
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"points": []}, "expected points in order of threshold, at least one"),
        ({"points": [point(threshold=0.5), point()]}, "expected points in order of threshold"),
        ({"points": [point(threshold=float("nan"))]}, r"points\.0\.threshold: .*finite"),
        ({"points": [point(colour="red")]}, r"points\.0\.colour: "),
        ({"points": [{"threshold": 0.3}]}, r"points\.0\.false_match_rate: .*required"),
        ({"slope": float("nan")}, "slope: .*finite"),
        ({"offset": float("inf")}, "offset: .*finite"),
        ({"people": "many"}, "people: .*'many'"),
        ({"points": [point(false_match_rate_upper=1.01)]}, "expected .* from 1e-15 to 1, got 1.01"),
        (
            {"points": [point(false_match_rate_upper=9e-16)]},
            "expected .* from 1e-15 to 1, got 9e-16",
        ),
        ({"points": [point(false_match_rate=-0.01)]}, "expected rates from 0 to 1"),
        ({"points": [point(false_match_rate=1.01)]}, "expected rates from 0 to 1"),
        ({"points": [point(false_non_match_rate=-0.01)]}, "expected rates from 0 to 1"),
        ({"points": [point(false_non_match_rate=1.01)]}, "expected rates from 0 to 1"),
        ({"note": "mine"}, "note: "),
    ],
)
def test_a_wrong_field_is_named(calibration, tmp_path, values, message):
    path = tmp_path / "calibration.json"
    path.write_text(changed(calibration, **values))
    with pytest.raises(CalibrationError, match=rf"calibration\.json: {message}"):
        read_calibration(path)


@pytest.mark.parametrize(("rate", "upper", "missed"), [(0, 1e-15, 0), (1, 1, 1)])
def test_rates_may_reach_their_ends(calibration, tmp_path, rate, upper, missed):
    ends = OperatingPoint(0.3, rate, upper, missed)
    path = tmp_path / "calibration.json"
    path.write_bytes(to_bytes(replace(calibration, points=(ends,))))
    assert read_calibration(path).points == (ends,)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_what_is_no_calibration_is_an_error(tmp_path, data):
    path = tmp_path / "calibration.json"
    path.write_bytes(data)
    with pytest.raises(CalibrationError, match=r"calibration\.json: the document: "):
        read_calibration(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(CalibrationError, match=r"none\.json: cannot read: No such file"):
        read_calibration(tmp_path / "none.json")


def pack_with(pack, folder, calibration):
    """The default pack's manifest in another folder, with another calibration."""
    data = to_bytes(calibration)
    (folder / "calibration.json").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return Pack(folder, replace(pack.manifest, calibration_sha256=digest))


def test_a_calibration_of_another_model_is_refused(pack, calibration, tmp_path):
    with pytest.raises(CalibrationError, match=r"expected a .* sface@\w+, got one of fake@0"):
        load_calibration(pack_with(pack, tmp_path, calibration))


def test_a_calibration_of_an_earlier_way_to_cut_faces_is_refused_and_says_so(
    pack, calibration, tmp_path, monkeypatch
):
    monkeypatch.setattr(of_packs, "ALIGNMENT", ALIGNMENT + 1)
    monkeypatch.setattr(manifest, "ALIGNMENT", ALIGNMENT + 1)
    before = replace(calibration, model=pack.manifest.embedder.model_of(ALIGNMENT))
    with pytest.raises(CalibrationError, match=r"faces were cut in another way.*visavis calibrate"):
        load_calibration(pack_with(pack, tmp_path, before))


def test_a_calibration_of_the_packs_model_is_loaded(pack, calibration, tmp_path):
    mine = replace(calibration, model=pack.manifest.embedder.model)
    assert load_calibration(pack_with(pack, tmp_path, mine)) == mine


def test_a_pack_without_a_calibration_says_how_to_make_one(pack):
    bare = replace(pack, manifest=replace(pack.manifest, calibration=None))
    with pytest.raises(CalibrationError, match="make one with visavis calibrate"):
        load_calibration(bare)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_default_packs_calibration_supports_every_named_policy(pack, policy):
    calibration = load_calibration(pack)
    points = calibration.policy(policy)
    assert points.match.false_match_rate_upper <= POLICIES[policy]
    assert points.review.threshold < points.match.threshold


def test_the_default_packs_rates_fall_as_thresholds_rise(pack):
    points = load_calibration(pack).points
    matches = [point.false_match_rate for point in points]
    assert matches == sorted(matches, reverse=True)
    misses = [point.false_non_match_rate for point in points]
    assert misses == sorted(misses)
    assert all(point.false_match_rate <= point.false_match_rate_upper for point in points)


def test_a_decision_says_of_how_many():
    assert Decision("match", 0.6, POLICY).comparisons == 1


def test_an_extrapolated_point_is_at_most_a_review(calibration):
    beyond = OperatingPoint(0.6, 1e-6, 1e-5, 0.1, extrapolated=True)
    further = replace(calibration, points=(*calibration.points, beyond))
    strict = further.policy("strict")
    assert (strict.match, strict.supported) == (beyond, False)
    assert decide(0.9, strict).outcome == "review"
    assert decide(0.55, strict).outcome == "review"
    assert decide(0.45, strict).outcome == "no_match"
    assert decide(0.9, further.search_policy(1e-5)).outcome == "review"
    assert decide(0.9, further.policy("standard")).outcome == "match"
    with pytest.raises(CalibrationError, match="cannot show"):
        calibration.policy("strict")


@pytest.mark.parametrize(
    ("slope", "rate", "margin"),
    [
        (20, 0.01, math.log(99) / 20),
        (0.5, 0.2, 2 * math.log(4)),
        (0, 0.01, math.inf),  # nobody knows: no difference is enough
        (-1, 0.01, math.inf),
    ],
)
def test_the_least_margin_is_that_of_odds_as_small_as_the_rate(slope, rate, margin):
    """At that margin the odds that it is the other are rate to 1 - rate: 1 to 99, 1 to 4."""
    known = replace(uncalibrated("fake@0"), slope=slope)
    assert known.least_margin(rate) == pytest.approx(margin)


def test_without_a_calibration_no_margin_is_enough():
    assert uncalibrated("fake@0").least_margin(0.01) == math.inf
