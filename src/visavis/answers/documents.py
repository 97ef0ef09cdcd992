"""Results as plain data, for JSON. Decides nothing."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from visavis.decision import NO_RATE, Decision
from visavis.faces import PhotoFaces
from visavis.quality import Quality
from visavis.results import Identification, Verification
from visavis.types import Embedder, Face


def face_json(face: Face) -> dict[str, Any]:
    """A face in pixels of its photo."""
    return {
        "box": [round(float(value), 1) for value in face.box],
        "landmarks": _points(face) if face.has_landmarks else None,
        "score": round(face.score, 4),
    }


def _points(face: Face) -> list[list[float]]:
    return [[round(float(value), 1) for value in point] for point in face.landmarks]


def quality_json(quality: Quality) -> dict[str, Any]:
    """Measures, rounded to what they are good for, and reason codes."""
    measures = asdict(quality)
    rounded = {k: round(v, 3) for k, v in measures.items() if isinstance(v, float)}
    return {**rounded, "reasons": list(quality.reasons)}


def verification_json(verification: Verification) -> dict[str, Any]:
    """The decision, its error rates, the faces it rests on, and warnings."""
    decision, calibration = verification.decision, verification.calibration
    return {
        "outcome": decision.outcome,
        "similarity": round(decision.similarity, 4),
        **_rates_json(decision),
        **_configuration_json(decision),
        "model": verification.model,
        "calibration": {
            "dataset": calibration.dataset,
            "people": calibration.people,
            "same_pairs": calibration.same_pairs,
            "different_pairs": calibration.different_pairs,
        }
        if calibration.points
        else None,
        "faces": [
            {"photo": photo.name, "turn": photo.turn, "chosen": row == chosen, **face_json(face)}
            for photo, chosen in zip(verification.photos, verification.chosen, strict=True)
            for row, face in enumerate(photo.faces)
        ],
        "quality": [quality_json(quality) for quality in verification.qualities],
        "warnings": list(verification.warnings),
    }


def _rates_json(decision: Decision) -> dict[str, float | None]:
    """The thresholds and what was measured at them; null where nothing was."""
    match = decision.policy.match
    rates = {
        "threshold": match.threshold,
        "review_threshold": decision.policy.review.threshold,
        "false_match_rate": match.false_match_rate,
        "false_match_rate_upper": match.false_match_rate_upper,
        "false_non_match_rate": match.false_non_match_rate,
    }
    return {key: None if match == NO_RATE else value for key, value in rates.items()}


def _configuration_json(decision: Decision) -> dict[str, Any]:
    return {"configuration": decision.configuration, "left_out": list(decision.left_out)}


def identification_json(identification: Identification) -> dict[str, Any]:
    """A face, who it may be, and how sure that is."""
    decision = identification.decision
    person, runner_up = identification.person, identification.runner_up
    closest = identification.closest
    unmeasured = decision.policy.match == NO_RATE
    return {
        **face_json(identification.face),
        "outcome": decision.outcome,
        "person": person and {"id": person.id, "name": person.name},
        "closest": closest and {"id": closest.id, "name": closest.name},
        "similarity": round(decision.similarity, 4),
        "threshold": None if unmeasured else decision.policy.match.threshold,
        "false_positive_rate": None if unmeasured else decision.false_positive_rate,
        "runner_up": runner_up
        and {"name": runner_up[0].name, "similarity": round(runner_up[1], 4)},
        "margin": round(identification.margin, 4),
        **_configuration_json(decision),
        "warnings": list(identification.warnings),
    }


def faces_json(photo: PhotoFaces, qualities: list[Quality | None]) -> dict[str, Any]:
    """A photo's faces and how good each is; null for a face that no crop can be cut of."""
    faces = [
        {**face_json(face), "quality": quality and quality_json(quality)}
        for face, quality in zip(photo.faces, qualities, strict=True)
    ]
    return {
        "path": photo.name,
        "width": photo.width,
        "height": photo.height,
        "turn": photo.turn,
        "faces": faces,
        "truncated": photo.truncated,
    }


def table_json(
    out: Path | None,
    faces: int,
    embed: Embedder,
    errors: Sequence[dict[str, str]],
    *,
    before: int,
) -> dict[str, Any]:
    """What `embed` wrote, null where no photo gave a face, and the photos that failed; `before`
    are those that an interrupted call had embedded.
    """
    made = {"out": out and str(out), "faces": faces, "dim": embed.dim, "model": embed.model}
    return {**made, "before": before, "errors": list(errors)}
