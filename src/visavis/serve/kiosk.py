"""Somebody before a kiosk: pictures to one decision, a challenge where the rules ask, one punch.

A name is told after the decision alone. One face is followed from the first picture to the punch:
whoever takes another's place begins anew, and a challenge counts for nobody but the face that is
recognised in each part of it. Knows numbers; no picture, no network, no database.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

from visavis.compare import similarity
from visavis.liveness.challenge import STILL, Challenge, Lockout, begin_challenge
from visavis.metrics.detection import Boxes, overlaps
from visavis.results import Nearest
from visavis.types import Crops, Embeddings
from visavis.watch.deciding import (
    STANDARD,
    Glimpse,
    Rule,
    TrackVerdict,
    decide_track,
    fused,
    is_news,
)

KioskState = Literal[
    "waiting", "looking", "task", "unknown", "choose", "punch", "done", "failed", "resting"
]
AWAY = 1.5  # seconds without the face after which somebody else may stand there
APART = 0.2  # overlap of two boxes, below which they are two faces
# Cosine to the visit's own looks, below which a face is another's: strangers are at 0 to 0.15, one
# person who turns the head by 20 degrees is above 0.4.
SAME = 0.25
KioskSearch = Callable[[Embeddings], Nearest]


@dataclass(frozen=True, eq=False, slots=True)
class KioskFrame:
    """The largest face of one picture, as it was measured."""

    at: float  # seconds, by the clock of this machine
    box: Boxes  # (4,)
    yaw: float  # degrees, positive: to the viewer's right
    worth: float  # 0..1
    embedding: Embeddings  # (1, D)
    crop: Crops | None = None  # (1, 112, 112, 3)


@dataclass(frozen=True, eq=False, slots=True)
class KioskStranger:
    """Somebody who stood there and was not recognised."""

    template: Embeddings  # (1, D), of the visit's best looks
    best: KioskFrame


@dataclass(frozen=True, slots=True)
class KioskSaid:
    """What the kiosk shows, and with `punch`, whom it punches for."""

    state: KioskState
    task: str = ""  # left, right, closer, or ahead
    nearest: Nearest | None = None
    visit: str = ""  # of one visit the same: a punch that is sent again is one
    wait: float = 0.0  # seconds until another try
    stranger: KioskStranger | None = None  # told once, when a visit ends unrecognised


@dataclass(eq=False, slots=True)
class KioskVisit:
    """One face before the kiosk."""

    frame: KioskFrame  # the last one
    challenge: Challenge | None
    parts: int = 0  # of the challenge
    looks: list[Glimpse] = field(default_factory=list)
    best: KioskFrame | None = None  # of the looks
    # Whom the looks of each part of the challenge match: by the tasks that were left then.
    matched: dict[int, set[str | None]] = field(default_factory=dict)
    ended: KioskState | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def part(self) -> int:
        """How many tasks are left."""
        return len(self.challenge.tasks) if self.challenge else 0

    def is_other(self, frame: KioskFrame) -> bool:
        """Whether this is not the face that was here."""
        if frame.at - self.frame.at > AWAY:
            return True
        if overlaps(self.frame.box[None], frame.box[None])[0, 0] < APART:
            return True
        own = fused(self.looks) if self.looks else self.frame.embedding
        return float(similarity(own, frame.embedding)[0, 0]) < SAME

    def stood_by(self, person: str) -> bool:
        """Whether every part of the challenge shows this person, and none shows anybody else."""
        seen = [self.matched.get(part, set()) for part in range(1, self.parts + 1)]
        return all(person in names and not names - {person, None} for names in seen)


class Kiosk:
    """One kiosk: who stands before it, and how often challenges failed in a row."""

    def __init__(self, rule: Rule = STANDARD, begin: Callable[[float], Challenge] | None = None):
        self._rule, self._begin = rule, begin or begin_challenge
        self._visit: KioskVisit | None = None
        self._lockout = Lockout()

    def see(
        self,
        frame: KioskFrame | None,
        search: KioskSearch,
        at: float,
        *,
        challenged: bool = False,
        chosen: bool = True,
    ) -> KioskSaid:
        """What to show after a picture; None: there is no face in it.

        `challenged`: movements are asked for first. `chosen`: which way they go is known.
        """
        if not self._lockout.may_try(at):
            return KioskSaid("resting", wait=self._lockout.until - at)
        if frame is None:
            if self._visit is not None and at - self._visit.frame.at > AWAY:
                self._visit = None
            return KioskSaid("waiting")
        visit = self._visit
        if visit is None or visit.is_other(frame):
            challenge = self._begin(at) if challenged else None
            visit = KioskVisit(frame, challenge, len(challenge.tasks) if challenge else 0)
            self._visit = visit
        visit.frame = frame
        if visit.ended:
            return KioskSaid(visit.ended)
        self._look(visit, frame, search)
        return self._asked(visit, frame) or self._decided(visit, frame, search, chosen)

    def done(self, visit: str) -> None:
        """The punch is on disk."""
        if self._visit is not None and self._visit.id == visit:
            self._visit.ended = "done"

    def _look(self, visit: KioskVisit, frame: KioskFrame, search: KioskSearch) -> None:
        """Compare the face with the gallery, where that is news."""
        if visit.challenge is not None and abs(frame.yaw) > STILL:
            return
        # Of the looks that a visit has, each part of a challenge that is still to come keeps one.
        if len(visit.looks) >= self._rule.most - max(visit.part - 1, 0):
            return
        first = visit.challenge is not None and visit.part not in visit.matched
        if first or is_news(visit.looks, frame.worth, frame.at, self._rule):
            near = search(frame.embedding)
            visit.looks.append(Glimpse(frame.at, frame.worth, frame.embedding, near))
            if visit.best is None or frame.worth > visit.best.worth:
                visit.best = frame
            names = visit.matched.setdefault(visit.part, set())
            names.add(near.person.id if near.person else None)

    def _asked(self, visit: KioskVisit, frame: KioskFrame) -> KioskSaid | None:
        """What the challenge asks for; None where it is passed, or there is none."""
        challenge = visit.challenge
        if challenge is None or not challenge.tasks:
            return None
        width = float(frame.box[2] - frame.box[0])
        visit.challenge, outcome = challenge.see(frame.at, frame.yaw, width)
        if outcome == "going on":
            task = visit.challenge.next if visit.challenge.ready else "ahead"
            return KioskSaid("task", task=task or "ahead")
        self._lockout = self._lockout.after(outcome, frame.at)
        if outcome == "failed":
            visit.ended = "failed"
            return KioskSaid("failed")
        return None

    def _decided(
        self, visit: KioskVisit, frame: KioskFrame, search: KioskSearch, chosen: bool
    ) -> KioskSaid:
        if not visit.looks:
            return KioskSaid("looking")
        verdict = decide_track(visit.looks, search(fused(visit.looks)), self._rule)
        person = verdict.nearest.person if verdict.nearest else None
        if verdict.state != "confirmed" or person is None:
            return self._undecided(visit, verdict)
        if not visit.stood_by(person.id):
            visit.ended = "unknown"
            return KioskSaid("unknown")
        if not chosen:
            return KioskSaid("choose", nearest=verdict.nearest, visit=visit.id)
        # Whoever presses a button is who was recognised.
        now = search(frame.embedding).person
        if now is None or now.id != person.id:
            return KioskSaid("looking")
        return KioskSaid("punch", nearest=verdict.nearest, visit=visit.id)

    def _undecided(self, visit: KioskVisit, verdict: TrackVerdict) -> KioskSaid:
        if len(visit.looks) < self._rule.most or visit.best is None:
            return KioskSaid("looking")
        visit.ended = "unknown"
        # Who tried to pass for two people is nobody's stranger.
        stranger = KioskStranger(fused(visit.looks), visit.best)
        told = None if verdict.nearest and verdict.nearest.matched else stranger
        return KioskSaid("unknown", visit=visit.id, stranger=told)


class Kiosks:
    """The kiosks of a service, each by its key. Safe from several threads."""

    def __init__(self) -> None:
        self._kiosks: dict[str, tuple[Kiosk, Lock]] = {}
        self._lock = Lock()

    @contextmanager
    def of(self, key: str) -> Iterator[Kiosk]:
        """A kiosk, for one picture at a time."""
        with self._lock:
            kiosk, lock = self._kiosks.setdefault(key, (Kiosk(), Lock()))
        with lock:
            yield kiosk
