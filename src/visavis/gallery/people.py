"""A person and their photos as a gallery knows them, and the names and texts that they may have."""

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.errors import PersonError

MOST_NAME = 200  # characters
MOST_CONSENT = 10_000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the gallery."""

    id: str
    name: str  # NFC
    external_id: str | None
    consent: str | None  # what they agreed to, in words
    added_at: str
    seen_at: str | None
    samples: int


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """One photo of a person, as it is about to be stored."""

    source: str  # file name, for people to read
    source_sha256: str
    quality: dict[str, Any]
    templates: dict[str, NDArray[np.float32]]  # model to (D,) embedding
    crop: bytes | None = None  # PNG


def clean_name(name: str) -> str:
    """A name as it is stored: NFC, trimmed. Raises PersonError for an empty or unprintable one."""
    clean = normal_name(name)
    check_text(clean, MOST_NAME)
    return clean


def normal_name(name: str) -> str:
    """NFC, trimmed: what names are compared by."""
    return unicodedata.normalize("NFC", name).strip()


def check_text(text: str, most: int) -> None:
    """Raises PersonError for a text that is empty, unprintable or longer than `most`."""
    # Controls, halves of a pair, line and paragraph separators.
    bad = [sign for sign in text if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")]
    if not text or len(text) > most or bad:
        what = f"with the control character {bad[0]!r}" if bad else f"of {len(text)} characters"
        raise PersonError(f"expected 1 to {most} printable characters, got a text {what}")
