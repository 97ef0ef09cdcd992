"""One value says which packs recognise people, what each weighs, and by which rules."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from visavis.configuration import Configuration, ConfiguredPack, parse_configuration
from visavis.document import to_bytes
from visavis.errors import CalibrationError, ConfigurationError, PackError

A, B, C = ConfiguredPack("a", 0.3), ConfiguredPack("b", 0.4), ConfiguredPack("c", 0.3)
THREE = Configuration((A, B, C), description="three", author="Ann", least_members=2)


@pytest.mark.parametrize(
    ("change", "error", "what"),
    [
        ({"members": ()}, ConfigurationError, "expected 1 to 16 packs, each once, got none"),
        ({"members": (A, B, A)}, ConfigurationError, "each once, got a, b, a"),
        ({"members": (A, B)}, ConfigurationError, "expected weights that sum to 1, got 0.7"),
        (
            {"members": (A, B, replace(C, weight=0.302))},
            ConfigurationError,
            "expected weights that sum to 1, got 1.002",
        ),
        ({"least_members": 0}, ConfigurationError, "expected least_members from 1 to 3"),
        ({"least_members": 4}, ConfigurationError, "expected least_members from 1 to 3"),
        (
            {"members": (replace(A, enabled=False), B, C), "least_members": 3},
            ConfigurationError,
            "from 1 to 2, the members that are enabled, got 3",
        ),
        ({"policy": "lax"}, CalibrationError, "unknown policy 'lax'"),
        ({"false_positive_rate": 0.0}, CalibrationError, "between 0 and 1, got 0"),
        ({"false_positive_rate": float("nan")}, CalibrationError, "between 0 and 1, got nan"),
        ({"review_factor": 0.5}, ConfigurationError, "review_factor: expected from 1 to 1000"),
        ({"least_margin": 2.1}, ConfigurationError, "least_margin: expected from 0 to 2, got 2.1"),
        ({"version": -1}, ConfigurationError, "version: expected 0 or more, got -1"),
        ({"author": "x" * 2001}, ConfigurationError, "expected at most 2000 letters, got 2001"),
    ],
)
def test_what_cannot_be_is_refused(change, error, what):
    with pytest.raises(error, match=what):
        replace(THREE, **change)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"pack": ""}, "expected a pack with a weight"),
        ({"weight": 0.0}, "above 0 and at most 1, got 'a' with 0"),
        ({"weight": 1.5}, "above 0 and at most 1, got 'a' with 1.5"),
        ({"weight": float("nan")}, "above 0 and at most 1"),
        (
            {"least_quality": {"beauty": 1.0}},
            "by score, size, sharpness, inside, length; got {'beauty'",
        ),
        ({"least_quality": {"size": -1.0}}, "a: expected a least quality of at least 0"),
        ({"least_quality": {"size": float("inf")}}, "a: expected a least quality"),
    ],
)
def test_a_member_that_cannot_be_is_refused(change, what):
    with pytest.raises(ConfigurationError, match=what):
        replace(A, **change)


def test_weights_may_be_rounded():
    assert len(Configuration((replace(A, weight=0.333), replace(B, weight=0.6675))).members) == 2


def test_a_configuration_is_its_document():
    poor = replace(A, enabled=True, least_quality={"size": 60.0, "sharpness": 40.0})
    for one in (THREE, replace(THREE, members=(poor, B, C), version=7, at="2026-01-01T00:00:00")):
        assert parse_configuration(to_bytes(one), "made") == one


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b'"weight": 0.4', b'"weight": 0.5', "^made: expected weights that sum to 1, got 1.1"),
        (
            b'"weight": 0.4',
            b'"weight": "much"',
            "^made: configuration: members.1.weight: Input should be a valid",
        ),
        (b'"policy": "standard"', b'"policy": "lax"', "made: unknown policy 'lax'"),
        (b'"author"', b'"owner"', "^made: configuration: owner: Unexpected keyword argument"),
        (b"{", b"", "^made: configuration: the document"),
    ],
)
def test_a_damaged_document_is_refused_with_its_field(old, new, what):
    with pytest.raises((ConfigurationError, CalibrationError), match=what):
        parse_configuration(to_bytes(THREE).replace(old, new, 1), "made")


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("default", [("default", 1.0)]),
        ("a+b", [("a", 0.5), ("b", 0.5)]),
        ("a:0.3+b:0.7", [("a", 0.3), ("b", 0.7)]),
    ],
)
def test_a_packs_name_is_a_configuration(name, members):
    made = Configuration.of_pack(name)
    assert [(one.pack, one.weight) for one in made.members] == members
    assert (made.least_members, made.detecting_pack) == (len(members), members[0][0])
    assert (made.match_rate(), made.search_rate()) == (1e-4, 1e-2)
    assert (made.match_rate("strict"), made.search_rate(0.1)) == (1e-5, 0.1)


@pytest.mark.parametrize(
    "named",
    [
        Configuration.of_pack("default+nosuch"),
        replace(Configuration.of_pack("default"), detector="nosuch"),
    ],
)
def test_an_unknown_pack_is_named(named):
    with pytest.raises(PackError, match="no pack 'nosuch'"):
        named.packs()


def test_the_groups_that_may_have_to_answer(monkeypatch):
    def pack(name):
        embedder = SimpleNamespace(model=name, margin=0.0)
        return SimpleNamespace(manifest=SimpleNamespace(name=name, embedder=embedder))

    monkeypatch.setattr("visavis.configuration.load_pack", pack)
    four = (A, B, replace(C, weight=0.2), ConfiguredPack("d", 0.1))

    def groups(**changes):
        made = Configuration(four, **changes).groups()
        return [one.name.replace("+", "") for one in made], [one.weights for one in made]

    names, weights = groups()
    assert names == ["abcd", "abc", "abd", "acd", "bcd", "ab", "ac", "ad", "bc", "bd", "cd"]
    assert weights[3] == pytest.approx((0.5, 1 / 3, 1 / 6))
    assert groups(least_members=3)[0] == names[:5]
    assert groups(least_members=4)[0] == names[:1]
    disabled = (replace(A, enabled=False), *four[1:])
    assert [one.name for one in Configuration(disabled).groups()] == ["b+c+d", "b+c", "b+d", "c+d"]
