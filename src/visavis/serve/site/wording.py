"""What a page says, in each language: one file of texts for each."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

ENGLISH = "en"
LANGUAGES = (ENGLISH, "de", "fr", "es")
WISH = re.compile(r"\s*([a-z]{2,3})(?:-[\w-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", re.ASCII)


@cache
def texts_of(language: str) -> Mapping[str, Any]:
    """The texts of a language, by name."""
    file = files("visavis.serve.site") / "texts" / f"{language}.json"
    texts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return texts


def language_of(asked: str | None, wished: str) -> str:
    """The language that was asked for, or the one of a browser's Accept-Language that is here."""
    if asked in LANGUAGES:
        return str(asked)
    wishes = [WISH.fullmatch(part) for part in wished.lower().split(",")[:20]]
    weighed = [(float(one[2] or 1), one[1]) for one in wishes if one and one[1] in LANGUAGES]
    return max(weighed, key=lambda one: one[0], default=(0.0, ENGLISH))[1]


def written(texts: Mapping[str, Any], number: float, digits: int = 0) -> str:
    """A number as a language writes it."""
    text = f"{number:,.{digits}f}"
    signs = {",": texts["thousands"], ".": texts["decimal"]}
    return "".join(signs.get(sign, sign) for sign in text)
