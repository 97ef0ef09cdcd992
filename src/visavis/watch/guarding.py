"""Signs of life of one track. An outcome of its own: it never changes how alike two faces are."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from visavis.liveness.geometry import FivePoints, judge_turn
from visavis.liveness.networks import LivenessNetworks
from visavis.liveness.outcome import (
    STANDARD_BAND,
    Demand,
    Liveness,
    LivenessBand,
    judge_scores,
    together,
)
from visavis.types import Face, Image

POINTS, SCORES = 100, 15  # the newest of a track that are judged


@dataclass(frozen=True, eq=False, slots=True)
class LiveGuard:
    """What is demanded of the faces of a source, and what judges them.

    Without networks five points judge alone: they see a head that turns, and a photo that does.
    """

    demand: Demand = "off"
    networks: LivenessNetworks | None = None
    band: LivenessBand = STANDARD_BAND


OFF = LiveGuard()


@dataclass(eq=False, slots=True)
class LifeSigns:
    """What was seen of a track so far."""

    points: deque[FivePoints] = field(default_factory=lambda: deque(maxlen=POINTS))
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=SCORES))

    def see(self, image: Image, face: Face, guard: LiveGuard) -> None:
        """Look at the face once more, in the whole frame."""
        if guard.demand == "off":
            return
        if face.has_landmarks:
            self.points.append(face.landmarks)
        if guard.networks is not None:
            self.scores.append(float(guard.networks(image, [face])[0]))

    @property
    def score(self) -> float | None:
        """The median of what the networks said; None where none looked."""
        return float(np.median(self.scores)) if self.scores else None

    def outcome(self, guard: LiveGuard) -> Liveness | None:
        """What they say together; None where nothing is demanded."""
        if guard.demand == "off":
            return None
        return together(judge_scores(self.scores, guard.band), judge_turn(tuple(self.points)))
