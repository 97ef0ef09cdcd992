"""Results as plain data, for JSON. Decides nothing."""

from dataclasses import asdict
from typing import Any

from visavis.quality import Quality
from visavis.recognizer import Identification, PhotoFaces, Verification
from visavis.types import Face


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


def verification_json(found: Verification) -> dict[str, Any]:
    """All that `verify --json` prints."""
    decision, calibration = found.decision, found.calibration
    match = decision.policy.match
    return {
        "outcome": decision.outcome,
        "similarity": round(decision.similarity, 4),
        "threshold": match.threshold,
        "review_threshold": decision.policy.review.threshold,
        "false_match_rate": match.false_match_rate,
        "false_match_rate_upper": match.false_match_rate_upper,
        "false_non_match_rate": match.false_non_match_rate,
        "model": found.model,
        "calibration": {
            "dataset": calibration.dataset,
            "people": calibration.people,
            "same_pairs": calibration.same_pairs,
            "different_pairs": calibration.different_pairs,
        },
        "faces": [
            {"photo": photo.name, "chosen": row == chosen, **face_json(face)}
            for photo, chosen in zip(found.photos, found.chosen, strict=True)
            for row, face in enumerate(photo.faces)
        ],
        "quality": [quality_json(quality) for quality in found.qualities],
        "warnings": list(found.warnings),
    }


def identification_json(found: Identification) -> dict[str, Any]:
    """A face's entry in `identify --json`."""
    decision = found.decision
    runner_up = found.runner_up
    return {
        **face_json(found.face),
        "outcome": decision.outcome,
        "person": found.person and {"id": found.person.id, "name": found.person.name},
        "similarity": round(decision.similarity, 4),
        "threshold": decision.policy.match.threshold,
        "false_positive_rate": decision.false_positive_rate,
        "runner_up": runner_up
        and {"name": runner_up[0].name, "similarity": round(runner_up[1], 4)},
        "margin": round(found.margin, 4),
        "warnings": list(found.warnings),
    }


def faces_json(photo: PhotoFaces, qualities: list[Quality | None]) -> dict[str, Any]:
    """A photo's entry in `detect --json`."""
    faces = [
        {**face_json(face), "quality": quality and quality_json(quality)}
        for face, quality in zip(photo.faces, qualities, strict=True)
    ]
    return {
        "path": photo.name,
        "width": photo.width,
        "height": photo.height,
        "faces": faces,
        "truncated": photo.truncated,
    }
