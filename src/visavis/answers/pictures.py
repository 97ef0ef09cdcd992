"""What `--draw` draws."""

from collections.abc import Sequence

from visavis.answers.words import OUTCOMES, rate_words
from visavis.draw import AMBER, GREEN, GREY, RED, draw_faces, draw_verdict
from visavis.recognizer import Identification, PhotoFaces, Verification
from visavis.types import Image

COLORS = {"match": GREEN, "review": AMBER, "no_match": RED}


def faces_picture(photo: PhotoFaces) -> Image:
    """A photo with its faces, numbered as they are listed."""
    faces = [face.scaled(*photo.scale) for face in photo.faces]
    labels = [f"{number} · {face.score:.2f}" for number, face in enumerate(faces, start=1)]
    return draw_faces(photo.image, faces, labels)


def identified_picture(photo: PhotoFaces, found: Sequence[Identification]) -> Image:
    """A photo with a name, or a question mark, on each face."""
    faces = [one.face.scaled(*photo.scale) for one in found]
    labels = [
        f"{one.person.name if one.person else 'unknown'}"
        f"{'?' if one.decision.outcome == 'review' else ''} {one.decision.similarity:.2f}"
        for one in found
    ]
    colors = [COLORS[one.decision.outcome] for one in found]
    return draw_faces(photo.image, faces, labels, colors=colors)


def verdict_picture(found: Verification) -> Image:
    """A comparison: both photos with their faces, the crops that were compared, the verdict."""
    decision = found.decision
    color = COLORS[decision.outcome]
    photos = [
        _marked(photo, chosen, color)
        for photo, chosen in zip(found.photos, found.chosen, strict=True)
    ]
    lines = [
        f"{OUTCOMES[decision.outcome]}: similarity {decision.similarity:.2f}",
        *rate_words(decision.policy.match).replace(": ", ";").split(";"),
        f"{found.calibration.dataset} · {found.model}",
    ]
    return draw_verdict(photos, list(found.crops), [line.strip() for line in lines], color)


def _marked(photo: PhotoFaces, chosen: int, color: tuple[int, int, int]) -> Image:
    rows = range(len(photo.faces))
    labels = [str(row + 1) if len(photo.faces) > 1 else "" for row in rows]
    faces = [face.scaled(*photo.scale) for face in photo.faces]
    colors = [color if row == chosen else GREY for row in rows]
    return draw_faces(photo.image, faces, labels, colors=colors)
