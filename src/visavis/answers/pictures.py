"""Results as pictures: boxes, names and verdicts on the photos themselves. Decides nothing."""

from collections.abc import Sequence

from visavis.answers.words import OUTCOMES, rate_words
from visavis.draw import AMBER, BLUE, GREEN, GREY, RED, Tint, draw_faces, draw_verdict
from visavis.faces import PhotoFaces
from visavis.results import Identification, Verification
from visavis.types import Image

COLORS = {"match": GREEN, "review": AMBER, "no_match": RED}


def faces_picture(photo: PhotoFaces) -> Image:
    """A photo with its faces, numbered as they are listed."""
    labels = [f"{number} · {face.score:.2f}" for number, face in enumerate(photo.faces, start=1)]
    return _drawn(photo, labels, [BLUE] * len(labels))


def identified_picture(photo: PhotoFaces, faces: Sequence[Identification]) -> Image:
    """A photo with a name, or the words no match, on each of its faces, in their order."""
    labels = [f"{_name(face)} {face.decision.similarity:.2f}" for face in faces]
    return _drawn(photo, labels, [COLORS[face.decision.outcome] for face in faces])


def _name(face: Identification) -> str:
    if face.closest is None or face.decision.outcome == "no_match":
        return OUTCOMES["no_match"]
    return face.closest.name if face.matched else f"{face.closest.name}?"


def verdict_picture(verification: Verification) -> Image:
    """A comparison: both photos with their faces, the crops that were compared, the verdict."""
    decision = verification.decision
    color = COLORS[decision.outcome]
    photos = compared_pictures(verification)
    lines = [
        f"{OUTCOMES[decision.outcome]}: similarity {decision.similarity:.2f}",
        *rate_words(decision.policy.match).replace(": ", ";").split(";"),
        f"{verification.calibration.dataset} · {verification.model}",
    ]
    return draw_verdict(photos, list(verification.crops), [line.strip() for line in lines], color)


def compared_pictures(verification: Verification) -> list[Image]:
    """Both photos, with the face that was compared in the colour of the outcome."""
    color = COLORS[verification.decision.outcome]
    return [
        _marked(photo, chosen, color)
        for photo, chosen in zip(verification.photos, verification.chosen, strict=True)
    ]


def _marked(photo: PhotoFaces, chosen: int, color: Tint) -> Image:
    """A photo with its faces numbered, where it has several, and the chosen one in its color."""
    rows = range(len(photo.faces))
    labels = [str(row + 1) if len(rows) > 1 else "" for row in rows]
    return _drawn(photo, labels, [color if row == chosen else GREY for row in rows])


def _drawn(photo: PhotoFaces, labels: Sequence[str], colors: Sequence[Tint]) -> Image:
    faces = [photo.shown(row) for row in range(len(photo.faces))]
    return draw_faces(photo.image, faces, labels, colors=colors)
