"""In which photos somebody is, as a JSON document and in words."""

from collections.abc import Sequence
from typing import Any

from visavis.answers.words import OUTCOMES, one_in
from visavis.presence import PhotoSearch, Presence


def presence_json(presence: Presence) -> dict[str, Any]:
    """A photo, and the face in it that is likest to the portrait."""
    decision = presence.decision
    return {
        "path": presence.photo,
        "outcome": decision.outcome,
        "similarity": round(decision.similarity, 4) if presence.face else None,
        "face": presence.face,
        "threshold": decision.policy.match.threshold,
        "false_positive_rate": decision.false_positive_rate,
        "similarities": [round(value, 4) for value in presence.similarities],
    }


def presence_words(presence: Presence) -> list[str]:
    """The verdict on a group photo, and how like each face is."""
    decision, faces = presence.decision, presence.similarities
    counted = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    lines = [
        f"{OUTCOMES[decision.outcome]:<10}similarity {decision.similarity:.2f}, face "
        f"{presence.face} of {counted}; threshold {decision.policy.match.threshold:.2f}: about "
        f"{one_in(decision.false_positive_rate)} such photos of strangers passes"
    ]
    if not decision.policy.supported:
        lines.append("          beware: so many faces need a rate that the calibration cannot show")
    for number, value in enumerate(faces, start=1):
        lines.append(f"  {number:>3}  similarity {value:.2f}")
    return lines


def search_json(
    search: PhotoSearch, errors: Sequence[dict[str, str]], *, every: bool
) -> dict[str, Any]:
    """The document of `find`: the photos that show the person or may show them, or every one."""
    return {
        "photos": [presence_json(one) for one in _listed(search, every=every)],
        "looked_through": len(search.photos),
        "matches": len(search.matches),
        "expected_wrong": round(search.expected_wrong, 6),
        "errors": list(errors),
    }


def search_words(search: PhotoSearch, *, every: bool) -> list[str]:
    """The photos, likest first: a line each; and how many there are."""
    lines = []
    for one in _listed(search, every=every):
        face = f" · face {one.face} of {len(one.similarities)}" if len(one.similarities) > 1 else ""
        alike = f"{one.decision.similarity:5.2f}" if one.face else "no face"
        lines.append(f"{OUTCOMES[one.decision.outcome]:<10}{alike}  {one.photo}{face}")
    reviews = sum(one.decision.outcome == "review" for one in search.photos)
    return [
        *lines,
        f"{len(search.matches)} of {len(search.photos)} photos show them, {reviews} to look at; "
        f"of so many photos of strangers about {search.expected_wrong:.2g} would pass",
    ]


def _listed(search: PhotoSearch, *, every: bool) -> list[Presence]:
    return [one for one in search.photos if every or one.decision.outcome != "no_match"]
