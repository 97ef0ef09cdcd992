"""Results as words for people. Decides nothing."""

from collections.abc import Sequence
from pathlib import Path

from visavis.answers.counts import counted
from visavis.cautions import EXTRAPOLATED, NO_CALIBRATION, TOO_LARGE
from visavis.decision import NO_RATE, POLICIES, Calibration, Decision, OperatingPoint, Outcome
from visavis.errors import CalibrationError
from visavis.faces import PhotoFaces
from visavis.quality import Quality
from visavis.results import Identification, Verification
from visavis.types import Embedder

OF_GALLERY = (EXTRAPOLATED, TOO_LARGE, NO_CALIBRATION)  # warnings that are no single face's
OUTCOMES: dict[Outcome, str] = {"match": "match", "review": "review", "no_match": "no match"}


def verification_words(verification: Verification, drawn: str | None = None) -> list[str]:
    """The verdict, where it comes from, and what to beware of: a line each."""
    decision, calibration = verification.decision, verification.calibration
    if not calibration.points:
        return [
            f"{OUTCOMES[decision.outcome]:<10}similarity {decision.similarity:.2f}, "
            f"{rate_words(decision.policy.match)}: look yourself",
            f"          {verification.model}{f' · drawn: {drawn}' if drawn else ''}",
            *(f"          beware: {warning}" for warning in verification.warnings),
        ]
    lines = [
        f"{OUTCOMES[decision.outcome]:<10}similarity {decision.similarity:.2f}, "
        f"{rate_words(decision.policy.match)}",
        f"          {calibration.dataset}: {calibration.people:,} people, "
        f"{count_words(calibration.different_pairs)} pairs · {verification.model}",
    ]
    if decision.outcome == "review":
        review = decision.policy.review
        lines.insert(
            1,
            f"          between the review threshold {review.threshold:.2f} "
            f"({one_in(review.false_match_rate_upper)} stranger pairs) and that: look yourself",
        )
    if drawn:
        lines[-1] += f" · drawn: {drawn}"
    return lines + [f"          beware: {warning}" for warning in verification.warnings]


def identification_words(path: str, faces: Sequence[Identification]) -> list[str]:
    """A photo's faces: who each is, and how sure that is. What holds for all: `gallery_words`."""
    lines = [f"{path}: {counted(len(faces), 'face')}"]
    for number, face in enumerate(faces, start=1):
        decision = face.decision
        name = face.closest.name if face.closest else "nobody is enrolled"
        name = f"closest {name}" if decision.outcome == "no_match" and face.closest else name
        line = (
            f"  {number:>3}  {OUTCOMES[decision.outcome]:<9} {name} · "
            f"similarity {decision.similarity:.2f}, {_search_words(decision)}"
        )
        if face.runner_up:
            line += f" · next {face.runner_up[0].name} {face.runner_up[1]:.2f}"
        own = (warning for warning in face.warnings if warning not in OF_GALLERY)
        lines += [line, *(f"       beware: {warning}" for warning in own)]
    return lines


def _search_words(decision: Decision) -> str:
    if decision.policy.match == NO_RATE:
        return rate_words(NO_RATE)
    return (
        f"threshold {decision.policy.match.threshold:.2f}: "
        f"about {one_in(decision.false_positive_rate)} strangers is taken for somebody"
    )


def gallery_words(faces: Sequence[Identification]) -> list[str]:
    """What to beware of with the gallery as a whole, once."""
    warnings = {warning for face in faces for warning in face.warnings}
    return [text for text in OF_GALLERY if text in warnings]


def rate_words(point: OperatingPoint) -> str:
    """A threshold in words, with the error rates measured at it."""
    if point == NO_RATE:
        return "no error rate known"
    return (
        f"threshold {point.threshold:.2f}: about {one_in(point.false_match_rate_upper)} stranger "
        f"pairs passes; {100 * point.false_non_match_rate:.1f} % of same-person pairs are missed"
    )


def policies_words(calibration: Calibration) -> dict[str, str]:
    """What each policy means by a calibration, or why the data cannot show it."""
    policies = {}
    for policy, rate in POLICIES.items():
        try:
            point = calibration.at(rate)
        except CalibrationError as error:
            policies[policy] = str(error)
        else:
            beyond = " · EXTRAPOLATED: at most a review" if point.extrapolated else ""
            policies[policy] = rate_words(point) + beyond
    return policies


def one_in(rate: float) -> str:
    """0.0001 as "1 in 10,000", to two significant digits."""
    return f"1 in {rounded_inverse(rate):,}"


def rounded_inverse(rate: float) -> int:
    """0.0001 as 10,000, to two significant digits."""
    inverse = 1 / rate
    digits = 10 ** max(0, len(str(int(inverse))) - 2)
    rounded: int = round(inverse / digits) * digits
    return rounded


def count_words(number: int) -> str:
    """22,010,000 as "22.0 million"."""
    return f"{number / 1e6:.1f} million" if number >= 1e6 else f"{number:,}"


def faces_words(photo: PhotoFaces, qualities: list[Quality | None]) -> list[str]:
    """A photo's faces: a line for the photo, a line for each face."""
    more = ", and more that are left out" if photo.truncated else ""
    lies = f" · lies turned by {photo.turn} degrees" if photo.turn else ""
    lines = [f"{photo.name}: {counted(len(photo.faces), 'face')}{more}{lies}"]
    for number, (face, quality) in enumerate(zip(photo.faces, qualities, strict=True), start=1):
        left, top, right, bottom = (round(float(value)) for value in face.box)
        lines.append(
            f"  {number:>3}  {right - left}x{bottom - top} at {left},{top} · "
            f"score {face.score:.2f} · {_quality_words(quality)}"
        )
    return lines


def _quality_words(quality: Quality | None) -> str:
    """How sharp, bright and turned a face is, and what speaks against it."""
    if quality is None:
        return "no crop can be cut"
    turned = f"turned {abs(quality.yaw):.0f}°, tilted {abs(quality.roll):.0f}°"
    measures = f"sharpness {quality.sharpness:.0f}, brightness {quality.brightness:.0f}, {turned}"
    reasons = ", ".join(quality.reasons)
    return f"{measures} · {f'poor: {reasons}' if reasons else 'good'}"


def table_words(out: Path, faces: int, embed: Embedder, *, before: int) -> list[str]:
    """What `embed` wrote, in a line, and how many photos an interrupted call had embedded."""
    lines = [f"{counted(faces, 'embedding')} of {embed.dim} numbers ({embed.model}): {out}"]
    gone_on = f"{counted(before, 'photo')} had been embedded by an earlier call"
    return [*lines, gone_on] if before else lines
