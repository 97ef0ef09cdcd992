"""docs/json.md names every verb, every object and every code of an error.

The fixture `run` holds each document that any test prints against the page.
"""

import re

import pytest
from conftest import ROOT
from documented import PLAIN, faults, fields_of, objects, verb_of, verbs_documented
from verbs import verbs

from visavis import errors

PAGE = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")
# Of the line that lists them, the words in brackets aside.
CODES = set(re.findall("`([a-z_]+)`", PAGE[PAGE.index("\n`usage` (") :].partition("\n\n##")[0]))
WORDS = re.compile(r"\b(?:list of|map of|or)\b")


def kinds() -> set[str]:
    """All that is named as a type."""
    fields = [fields_of(name) for name in objects()]
    every = [*verbs_documented().values(), *(kind for one in fields for kind in one.values())]
    return {word for kind in every for word in WORDS.sub(" ", kind).split()}


def test_the_page_names_every_verb():
    assert set(verbs_documented()) == {verb.name for verb in verbs()}


def test_every_type_is_there_and_is_used():
    named = {kind for one in objects().values() for kind in one.values()} | kinds()
    assert kinds() <= set(objects()) | set(PLAIN)
    assert set(objects()) - named == {"failed"}


def test_the_page_names_every_code():
    raised = {one.code for one in errors.VisavisError.__subclasses__()}
    assert {*raised, errors.VisavisError.code, "usage", "unexpected"} == CODES


@pytest.mark.parametrize(
    ("document", "kind", "wrong"),
    [
        ("a", "text", []),
        (1, "text", [": 1 is no text"]),
        (True, "count", [": True is no count"]),
        (-1, "count", [": -1 is no count"]),
        (0.5, "number", []),
        (None, "number or null", []),
        ([1.0, "a"], "list of number", ["[]: 'a' is no number"]),
        ([[1], [2]], "list of list of number or null", []),
        ({"a": 1}, "map of count", []),
        ([1], "map of count", [": no map"]),
        ({"name": "a", "similarity": 1}, "runner_up", []),
        ({"name": "a"}, "runner_up", [".similarity: missing"]),
        (
            {"name": "a", "similarity": 1, "more": 2},
            "runner_up",
            [".more: not on the page"],
        ),
        (None, "runner_up or null", []),
        ({"error": {"code": "a", "message": "b", "mend": ""}}, "failed", []),
        (
            {"error": {"code": "a", "message": "b", "mend": "", "option": "--c"}},
            "failed",
            [],
        ),
        ({"error": {"code": "a", "message": "b"}}, "failed", [".error.mend: missing"]),
    ],
)
def test_what_is_not_as_the_page_says_is_seen(document, kind, wrong):
    assert faults(document, kind) == wrong


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["detect", "a.jpg", "--json"], "detect"),
        (["people", "audit", "head"], "people audit head"),
        (["people", "list", "--json"], "people list"),
        (["evaluate", "--wider", "a", "--json"], "evaluate wider"),
        (["evaluate", "default", "--images", "a"], "evaluate pairs"),
        (["evaluate", "ijb", "--images", "a"], "evaluate ijb"),
    ],
)
def test_a_verb_is_told_by_its_words(words, verb):
    assert verb_of(words) == verb
