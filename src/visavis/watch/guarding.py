"""Signs of life of one track. An outcome of its own: it never changes how alike two faces are."""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from visavis.errors import SourceError
from visavis.liveness.challenge import WAIT, AskedFace, Challenger, ChallengeStep
from visavis.liveness.freshness import Sameness, ShownBefore
from visavis.liveness.geometry import UNSQUASHED, FivePoints, judge_turn, squash
from visavis.liveness.networks import LivenessNetworks, surroundings
from visavis.liveness.outcome import (
    STANDARD_BAND,
    Demand,
    Liveness,
    LivenessBand,
    judge_scores,
    together,
)
from visavis.quality import pose
from visavis.types import Face, Image
from visavis.watch.address import Address, without_secrets

POINTS, SCORES = 100, 15  # the newest of a track that are judged
STILL = 2.0  # seconds of the very same picture after which a source is said to be frozen
AGAIN = 3  # pictures of a track that were shown before, from which on it is a recording
CLOSE_BY = 1.5  # of the face's box is what is compared with what was shown before

DEMANDS: dict[str, Demand] = {"off": "off", "warn": "warn", "require": "require"}
GateKind = Literal["asked", "answered", "locked", "still", "replayed"]
GateNotice = tuple[GateKind, str]  # what happened, and words


@dataclass(frozen=True, eq=False, slots=True)
class LiveGuard:
    """What is demanded of the faces of a source, and what judges them.

    Without networks five points judge alone: they see a head that turns, and a photo that does.
    With `challenge` nobody is live who has not done what they were asked for.
    """

    demand: Demand = "off"
    networks: LivenessNetworks | None = None
    band: LivenessBand = STANDARD_BAND
    challenge: bool = False


OFF = LiveGuard()


def demands_of(asked: Sequence[str], sources: Sequence[Address]) -> dict[str, Demand]:
    """What is demanded of each source, by its shown name: of all, as `warn`, or of one, as
    `0=require` or `rtsp://door/1=require`; the last one that fits a source holds.

    Raises SourceError for another word, and for a source that is not watched: what is required and
    never asked for would be open.
    """
    demands: dict[str, Demand] = {one.shown: "off" for one in sources}
    for text in asked:
        name, equals, word = text.rpartition("=")
        demand = DEMANDS.get(word)
        meant = [one.shown for one in sources if not equals or name in (one.shown, one.target)]
        if demand is None or not meant:
            known = ", ".join(one.shown for one in sources)
            raise SourceError(
                f"expected off, warn or require, alone or of one of {known}, as in "
                f"{sources[0].shown}=require; got {without_secrets(name) + equals + word}",
                option="liveness",
            )
        demands |= dict.fromkeys(meant, demand)
    return demands


@dataclass(eq=False, slots=True)
class LifeSigns:
    """What was seen of a track so far."""

    points: deque[FivePoints] = field(default_factory=lambda: deque(maxlen=POINTS))
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=SCORES))
    turn: Liveness | None = None  # what the points say; None: to be judged
    passed: bool = False  # the challenge
    again: int = 0  # pictures that were shown before
    sameness: Sameness = "new"  # of the newest picture
    still_since: float | None = None  # seconds: since when the very same picture is shown
    frozen: bool = False  # that was said

    def see(self, image: Image, face: Face, guard: LiveGuard) -> None:
        """Look at the face once more, in the whole frame."""
        if guard.demand == "off":
            return
        if face.has_landmarks:
            self.points.append(face.landmarks)
            self.turn = None
        if guard.networks is not None:
            self.scores.append(float(guard.networks(image, [face])[0]))

    @property
    def score(self) -> float | None:
        """The median of what the networks said; None where none looked."""
        return float(np.median(self.scores)) if self.scores else None

    @property
    def turned(self) -> Liveness:
        """What the five points say."""
        if self.turn is None:
            self.turn = judge_turn(tuple(self.points))
        return self.turn

    def outcome(self, guard: LiveGuard) -> Liveness | None:
        """What they say together; None where nothing is demanded."""
        if guard.demand == "off":
            return None
        if self.again >= AGAIN:
            return "spoof"
        seen = together(judge_scores(self.scores, guard.band), self.turned)
        if not guard.challenge or seen == "spoof":
            return seen
        return "live" if self.passed else "unsure"


class Gate:
    """What one place asks of whoever is to be named there, frame by frame: a camera's, a kiosk's.

    `see` the faces that were compared, then `ask` whoever is known by it; `tick` each frame;
    `left` whoever is gone.
    """

    def __init__(self, guard: LiveGuard, chance: random.Random | None = None) -> None:
        self.guard = guard
        self.challenger = Challenger(chance)
        self._shown = ShownBefore()
        self._asked: LifeSigns | None = None
        self._head = False  # whether five points showed a head since it was asked
        self._yaws: deque[float] = deque(maxlen=3)  # the newest: one alone may be measured wrong
        self._text = ""

    def see(
        self, at: float, image: Image, faces: Sequence[tuple[Face, LifeSigns]]
    ) -> list[GateNotice]:
        """Look at the faces of a frame. A picture that was shown before counts for nothing."""
        if self.guard.demand == "off":
            return []
        pictures = [surroundings(image, face, CLOSE_BY) for face, _ in faces]
        told: list[GateNotice] = []
        for (face, signs), sameness in zip(faces, self._shown.look(pictures), strict=True):
            told += _noted(signs, sameness, at)
            if sameness == "new":
                signs.see(image, face, self.guard)
        return told

    def asks(self, signs: LifeSigns) -> bool:
        """Whether this face is asked just now: each of its frames is to be compared."""
        return self._asked is signs

    def asked_of(self, signs: LifeSigns) -> str:
        """What this face is to do now, in words; "" where nothing is asked of it."""
        return self._text if self.asks(signs) else ""

    def ask(self, at: float, face: Face, signs: LifeSigns) -> list[GateNotice]:
        """A frame of somebody who is known by it: they are asked, or do what they were asked for.

        A challenge begins where none is going on, and this face is not known to live.
        """
        if self.guard.demand == "off" or not self.guard.challenge or not face.has_landmarks:
            return []
        if self.asks(signs):
            # A picture that stands still, or was shown before, is nobody who moves; of one that is
            # squashed as no head is, no yaw is known.
            points = face.landmarks[None].astype(np.float64)
            known = signs.sameness == "new" and squash(points)[0] >= UNSQUASHED
            seen = self._seen(face, signs) if known else None
            return self._answered(self.challenger.see(at, seen), at)
        if signs.passed or signs.again >= AGAIN or not self.challenger.may_begin(at):
            return []
        self._asked, self._head = signs, False
        self._yaws.clear()
        return self._answered(self.challenger.begin(at), at)

    def tick(self, at: float) -> list[GateNotice]:
        """Time passes, also for whoever was asked and is not seen or not known."""
        if self._asked is None:
            return []
        return self._answered(self.challenger.see(at, None), at)

    def left(self, at: float, signs: LifeSigns) -> list[GateNotice]:
        """A face is gone. Who leaves before the challenge is done has failed it."""
        if not self.asks(signs):
            return []
        return self._answered(self.challenger.fail(at, "left before it was done"), at)

    def _seen(self, face: Face, signs: LifeSigns) -> AskedFace:
        self._head |= signs.turned == "live"
        self._yaws.append(pose(face.landmarks)[0])
        width = float(face.box[2] - face.box[0])
        return AskedFace(float(np.median(self._yaws)), width, self._head)

    def _answered(self, asked: ChallengeStep, at: float) -> list[GateNotice]:
        if asked.challenged == "going on":
            news = asked.text != self._text
            self._text = asked.text
            return [("asked", asked.text)] if news else []
        if self._asked is not None:
            self._asked.passed = asked.challenged == "passed"
        self._asked, self._text = None, ""
        if asked.challenged == "passed":
            return [("answered", "passed")]
        told: list[GateNotice] = [("answered", f"failed: {asked.text}")]
        if not self.challenger.lockout.may_try(at):
            told.append(("locked", f"nobody is asked, and nobody passes, for {WAIT:.0f} s"))
        return told


def _noted(signs: LifeSigns, sameness: Sameness, at: float) -> list[GateNotice]:
    """What is to be said of a picture that was shown before: once."""
    signs.sameness = sameness
    if sameness != "still":
        signs.still_since, signs.frozen = None, False
    if sameness == "again":
        signs.again += 1
        text = "pictures that were shown before: a recording that is fed in again"
        return [("replayed", text)] if signs.again == AGAIN else []
    if sameness == "new":
        return []
    since = at if signs.still_since is None else signs.still_since
    news = at - since >= STILL and not signs.frozen
    signs.still_since, signs.frozen = since, signs.frozen or news
    return [("still", f"the very same picture for {STILL:g} s: it stands still")] if news else []
