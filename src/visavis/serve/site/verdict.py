"""A comparison as the page shows it: in words, on a scale, and drawn. Decides nothing."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow

from visavis.answers.pictures import compared_pictures
from visavis.answers.words import rounded_inverse
from visavis.decision import NO_RATE, Decision
from visavis.errors import VisavisError
from visavis.results import Verification
from visavis.serve.site.wording import written
from visavis.types import Image

SHOWN_SIDE = 640  # pixels of a drawn photo
EDGE = 12  # of the scale's hundred: a value so near to an end is written towards the middle


@dataclass(frozen=True, slots=True)
class Scale:
    """Similarities from 0 to 1 on a line of 100, and what is written on it."""

    at: float
    value: str
    anchor: str  # how the value is written at its place: start, middle or end
    review: float
    review_words: str
    match: float
    match_words: str
    words: str  # for who hears the page


@dataclass(frozen=True, slots=True)
class Drawn:
    """A photo with the face that was compared."""

    source: str  # data:
    alt: str
    poor: str  # what is poor about the face, in words


@dataclass(frozen=True, slots=True)
class PageResult:
    """A result as the page shows it."""

    kind: str  # an outcome, or error
    headline: str
    explained: str
    lines: tuple[str, ...] = ()
    scale: Scale | None = None
    pictures: tuple[Drawn, ...] = ()


def shown_verdict(verification: Verification, texts: Mapping[str, Any]) -> PageResult:
    """A comparison."""
    decision = verification.decision
    measured = decision.policy.match != NO_RATE
    return PageResult(
        decision.outcome,
        texts["outcomes"][decision.outcome],
        texts["explained"][decision.outcome],
        _lines(verification, texts) if measured else (texts["rates"]["none"],),
        _scale(decision, texts) if measured else None,
        _drawn(verification, texts),
    )


def shown_error(error: VisavisError, texts: Mapping[str, Any]) -> PageResult:
    """Why it cannot be told: in the page's language, and as the library says it."""
    words = texts["errors"].get(error.code, texts["errors"]["other"])
    return PageResult("error", texts["failed"], words)


def _lines(verification: Verification, texts: Mapping[str, Any]) -> tuple[str, ...]:
    """What both thresholds mean, and what that was measured on."""
    policy, calibration, rates = (
        verification.decision.policy,
        verification.calibration,
        texts["rates"],
    )
    said = [
        rates[name].format(
            threshold=written(texts, point.threshold, 2),
            strangers=written(texts, rounded_inverse(point.false_match_rate_upper)),
            missed=written(texts, 100 * point.false_non_match_rate, 1),
        )
        for name, point in (("match", policy.match), ("review", policy.review))
    ]
    people, pairs = calibration.people, calibration.different_pairs
    measured = rates["measured"].format(
        dataset=calibration.dataset, people=written(texts, people), pairs=written(texts, pairs)
    )
    return (*said, measured)


def _scale(decision: Decision, texts: Mapping[str, Any]) -> Scale:
    value = written(texts, decision.similarity, 2)
    review = written(texts, decision.policy.review.threshold, 2)
    match = written(texts, decision.policy.match.threshold, 2)
    at = _place(decision.similarity)
    return Scale(
        at,
        value,
        "start" if at < EDGE else "end" if at > 100 - EDGE else "middle",
        _place(decision.policy.review.threshold),
        texts["review_from"].format(value=review),
        _place(decision.policy.match.threshold),
        texts["match_from"].format(value=match),
        words=texts["scale"].format(value=value, review=review, match=match),
    )


def _place(similarity: float) -> float:
    return round(float(np.clip(100 * similarity, 0, 100)), 1)


def _drawn(verification: Verification, texts: Mapping[str, Any]) -> tuple[Drawn, ...]:
    pictures = compared_pictures(verification)
    labels = (texts["first"], texts["second"])
    poor = [
        ", ".join(texts["reasons"][code] for code in quality.reasons)
        for quality in verification.qualities
    ]
    return tuple(
        Drawn(picture_url(picture), label, why)
        for picture, label, why in zip(pictures, labels, poor, strict=True)
    )


def picture_url(image: Image) -> str:
    """A picture, made smaller, as the address of itself."""
    shrink = min(1.0, SHOWN_SIDE / max(image.shape[:2]))
    size = (round(image.shape[1] * shrink) or 1, round(image.shape[0] * shrink) or 1)
    buffer = BytesIO()
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    Pillow.fromarray(small).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
