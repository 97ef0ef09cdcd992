"""What is to be known of an answer: poor faces, other faces, error rates that nobody measured."""

from typing import TYPE_CHECKING

from visavis.decision import NOT_COMPARED, UNMEASURED, Decision
from visavis.faces import PhotoFaces
from visavis.quality import REASONS, Quality

if TYPE_CHECKING:  # it takes half of the time of all imports, and two photos need none
    from visavis.gallery import Person

TOO_LARGE = "so large a gallery needs a rate that the calibration cannot show"
NO_CALIBRATION = "no error rate is known: make a calibration with visavis calibrate"
EXTRAPOLATED = "the threshold is extrapolated beyond what the calibration's data measures"
POOR = "the face is too poor for the members that must answer: it was not compared"


def search_cautions(quality: Quality, decision: Decision) -> tuple[str, ...]:
    """What speaks against a face that was searched for, and what is known of the error rate."""
    warnings, policy = [REASONS[reason] for reason in quality.reasons], decision.policy
    if not policy.supported and not policy.match.extrapolated:
        warnings.append(TOO_LARGE)
    return (*warnings, *decision_cautions(decision))


def decision_cautions(decision: Decision) -> tuple[str, ...]:
    """Whether the error rate is known, and which packs did not answer."""
    policy, words = decision.policy, []
    if policy == NOT_COMPARED:
        words.append(POOR)
    elif policy == UNMEASURED:
        words.append(NO_CALIBRATION)
    elif policy.match.extrapolated:
        words.append(EXTRAPOLATED)
    if decision.left_out:
        words.append(f"without {', '.join(decision.left_out)} the answer is a review at most")
    return tuple(words)


def torn_cautions(
    decision: Decision, closest: "Person | None", runner_up: "tuple[Person, float] | None"
) -> tuple[str, ...]:
    """Whether it is a review because two people are alike enough."""
    policy = decision.policy
    enough = policy.supported and decision.similarity >= policy.match.threshold
    if closest is None or runner_up is None or decision.matched or not enough:
        return ()
    if decision.left_out:  # that is why
        return ()
    names = f"{closest.name} and {runner_up[0].name}"
    if runner_up[1] < policy.match.threshold:
        return (f"{names} are too near each other to say which of them it is",)
    return (f"{names} are both alike enough, and too near each other to say which of them it is",)


def photo_cautions(photo: PhotoFaces, chosen: int, quality: Quality) -> tuple[str, ...]:
    """What speaks against the face that was compared, and that the photo has others."""
    warnings = [f"{photo.name}: {REASONS[reason]} ({reason})" for reason in quality.reasons]
    if photo.turn:
        warnings.append(f"{photo.name}: lies turned by {photo.turn} degrees, looked at upright")
    count = len(photo.faces)
    if count > 1 or photo.truncated:
        faces = f"more faces than {count}" if photo.truncated else f"{count} faces"
        warnings.append(f"{photo.name}: {faces}, number {chosen + 1} was compared")
    return tuple(warnings)
