"""docs/json.md, read: whether a JSON document is as the page says."""

import re
from functools import cache
from typing import Any

from conftest import ROOT

from visavis.cli.plain import with_kind

ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \|", re.MULTILINE)
ALL = "(all of)"
PLAIN = {
    "text": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "count": lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "anything": lambda value: True,
}


@cache
def verbs_documented() -> dict[str, str]:
    """The page's verbs, and what each prints."""
    table = _page().partition("\n## Verbs\n")[2].partition("\n## ")[0]
    return {
        verb: kind for names, kind in ROW.findall(table) for verb in re.findall("`(.+?)`", names)
    }


@cache
def objects() -> dict[str, dict[str, str]]:
    """The page's objects: field to kind, `?` behind a field that may be missing."""
    sections = re.split(r"^### ", _page(), flags=re.MULTILINE)[1:]
    return {section.partition("\n")[0]: _fields(section) for section in sections}


def fields_of(name: str) -> dict[str, str]:
    """An object's fields, and those of the object that it says it has all of."""
    own = objects()[name]
    whole = fields_of(own[ALL]) if ALL in own else {}
    return {**whole, **{field: kind for field, kind in own.items() if field != ALL}}


def _fields(section: str) -> dict[str, str]:
    table = section.partition("\n## ")[0]
    return {field: kind for field, kind in ROW.findall(table) if field not in ("field", "---")}


def _page() -> str:
    return (ROOT / "docs" / "json.md").read_text(encoding="utf-8")


def verb_of(words: list[str]) -> str:
    """The verb of a command line."""
    if words[0] == "evaluate" and words[1] not in ("pairs", "people", "ijb", "wider"):
        words = ["evaluate", *with_kind(words[1:])]
    return next(name for n in (3, 2, 1) if (name := " ".join(words[:n])) in verbs_documented())


def faults(document: Any, kind: str, place: str = "") -> list[str]:
    """Where a document is not what the page says; empty where it is.

    "list of X or null" is a list or null: `or` binds last.
    """
    tried = [_faults(document, one, place) for one in kind.split(" or ")]
    return min(tried, key=len)


def _faults(document: Any, kind: str, place: str) -> list[str]:
    container, _, inner = kind.partition(" of ")
    if container == "list" and inner:
        if not isinstance(document, list):
            return [f"{place}: no list"]
        return [fault for one in document for fault in faults(one, inner, f"{place}[]")]
    if container == "map" and inner:
        if not isinstance(document, dict):
            return [f"{place}: no map"]
        return [
            fault for key, one in document.items() for fault in faults(one, inner, f"{place}{{}}")
        ]
    if kind in PLAIN:
        return [] if PLAIN[kind](document) else [f"{place}: {document!r} is no {kind}"]
    return _object_faults(document, fields_of(kind), place)


def _object_faults(document: Any, fields: dict[str, str], place: str) -> list[str]:
    if not isinstance(document, dict):
        return [f"{place}: {document!r} is no object"]
    kinds = {name.removesuffix("?"): kind for name, kind in fields.items()}
    wrong = [f"{place}.{name}: not on the page" for name in document if name not in kinds]
    wrong += [
        f"{place}.{name}: missing" for name in fields if name[-1] != "?" and name not in document
    ]
    shared = [name for name in document if name in kinds]
    return wrong + [
        one for name in shared for one in faults(document[name], kinds[name], f"{place}.{name}")
    ]


def check_document(words: list[str], document: Any, *, failed: bool) -> None:
    """Assert that a verb printed what the page says; an error's document too where it failed."""
    error = faults(document, "failed")
    if failed and not error:
        return
    verb = verb_of(words)
    wrong = faults(document, verbs_documented()[verb], verb)
    assert not wrong, f"not as docs/json.md says: {wrong}"
