"""What is said of one face or one track: live, spoof, or unsure. Knows no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from visavis.document import parse, to_bytes
from visavis.errors import CalibrationError, MismatchError
from visavis.files import write_whole

Liveness = Literal["live", "spoof", "unsure"]
Demand = Literal["off", "warn", "require"]
LEAST = 3  # scores of a track before it is judged


@dataclass(frozen=True, slots=True)
class LivenessBand:
    """From which score a face is live, and up to which it is none; in between nobody knows.

    0.5 is where the networks think both as likely. The upper one is for a camera's own people to
    set (`visavis.liveness.measure`): of 395 press photos 25 % lie below 0.8.
    """

    live: float = 0.8
    spoof: float = 0.3
    model: str | None = None  # the networks that it was measured with; None: with none

    def __post_init__(self) -> None:
        if not 0 <= self.spoof < self.live <= 1:
            raise CalibrationError(
                f"expected scores from 0 to 1, that of a spoof below that of life, got "
                f"{self.spoof} and {self.live}"
            )

    def check_model(self, model: str) -> None:
        """Raises MismatchError for other networks than those it was measured with."""
        if self.model not in (None, model):
            raise MismatchError(
                f"expected liveness thresholds of {model}, got some of {self.model}",
                mend="measure them again: visavis liveness calibrate",
                option="liveness_band",
            )


STANDARD_BAND = LivenessBand()


def read_band(path: Path) -> LivenessBand:
    """Thresholds of a file. Raises CalibrationError for a file that is none."""
    try:
        return parse(LivenessBand, path.read_bytes(), str(path), CalibrationError)
    except OSError as error:
        raise CalibrationError(f"{path}: cannot read: {error.strerror or error}") from error


def write_band(path: Path, band: LivenessBand) -> None:
    """Write thresholds. Raises OutputError."""
    write_whole(path, to_bytes(band))


def judge_scores(scores: Sequence[float], band: LivenessBand = STANDARD_BAND) -> Liveness:
    """The median of a track's scores, 0..1, held against the band."""
    finite = [score for score in scores if np.isfinite(score)]
    if len(finite) < LEAST:
        return "unsure"
    return outcome_of(float(np.median(finite)), band)


def outcome_of(score: float, band: LivenessBand) -> Liveness:
    """What is said at one score."""
    if score >= band.live:
        return "live"
    return "spoof" if score <= band.spoof else "unsure"


def together(networks: Liveness, geometry: Liveness) -> Liveness:
    """Both say what they see: one that sees a spoof is believed, and one that sees life is where
    the other sees nothing.
    """
    seen = {networks, geometry}
    if "spoof" in seen:
        return "spoof"
    return "live" if "live" in seen else "unsure"


def is_allowed(demand: Demand, outcome: Liveness | None) -> bool:
    """Whether somebody may be named. What was demanded and is missing (None) is refused."""
    return demand != "require" or outcome == "live"
