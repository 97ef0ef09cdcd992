"""docs/json.md names every verb, every object and every code of an error.

The fixture `run` holds each document that any test prints against the page.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from documented import PLAIN, faults, fields_of, objects, verb_of, verbs_documented
from verbs import verbs

from visavis import errors
from visavis.answers.downloads import model_json, pulled_json
from visavis.answers.installation import examination_json
from visavis.answers.packs import written_json
from visavis.doctor import Check, Examination, StageTime
from visavis.hub.pull import Download, Record
from visavis.insightface.proof import Proof
from visavis.insightface.write import Written

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


DOWNLOAD = Download("a.onnx", "https://example.org/a", 3, "0" * 64, None, "2026-01-01", "pin")
RECORD = Record("a", "b", "MIT", "c", "yes", "d", "e", (DOWNLOAD,), {"a.onnx": "0" * 64})
EXAMINATION = Examination((Check("python", "ok", "3.11"),), (StageTime("decode", 1.5, "pillow"),))
PROOF = Proof("0.7.3", 1, 0.999, 1, ("detection",))
WRITTEN = Written(Path("a"), ("a.onnx",), ("as it is",), 1.0, PROOF)


@pytest.mark.parametrize(
    ("verb", "document"),
    [
        ("pack pull", model_json(Path("a"), RECORD, "visavis pack info a")),
        ("doctor", examination_json(EXAMINATION)),
        ("pack insightface", written_json(WRITTEN)),
        ("pack insightface", written_json(replace(WRITTEN, proof=None))),
    ],
)
def test_what_few_machines_can_print_is_as_the_page_says(verb, document):
    """As it is printed: a tuple is a list."""
    printed = json.loads(json.dumps(document))
    assert faults(printed, verbs_documented()[verb]) == []


@pytest.mark.pack
def test_a_pulled_pack_is_as_the_page_says(pack):
    document = pulled_json(pack.folder, pack.manifest, "visavis pack info a")
    assert faults(document, "pulled") == []
    assert faults(document, verbs_documented()["pack pull"]) == []


def test_pushing_says_where_and_what_next(monkeypatch, run):
    monkeypatch.setattr("visavis.hub.push.push", lambda *words, **named: "s3://bucket/a")
    assert run("pack", "push", "a", "s3://bucket", "--json")[0] == 0
