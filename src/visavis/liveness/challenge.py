"""Turn left, turn right, come closer: in an order that nobody knows before.

Pure: what is seen of the face is told to it. A recorded video shows the wrong movement, or the
right one at the wrong time; whoever fails five times waits.
"""

import random
from dataclasses import dataclass, replace
from typing import Literal

Task = Literal["left", "right", "closer"]
Challenged = Literal["going on", "passed", "failed"]
TASKS: tuple[Task, ...] = ("left", "right", "closer")
TURN = 20.0  # degrees of yaw, to be seen as a turn; measured to about 10
CLOSER = 1.25  # times as wide as at the beginning
STILL = 10.0  # degrees: within them a face looks ahead, as it must between two tasks
SECONDS = 5.0  # for each task
PAUSE = 2.0  # seconds after a failure before the next challenge
WORDS: dict[Task, str] = {"left": "turn left", "right": "turn right", "closer": "come closer"}
FAILURES, WAIT = 5, 300.0  # after so many failures so many seconds without another try


@dataclass(frozen=True, slots=True)
class Challenge:
    """A row of tasks, and how far it is done."""

    tasks: tuple[Task, ...]
    began: float  # seconds: of the task that is next
    width: float | None = None  # pixels of the face when this task began
    ready: bool = False  # the face has looked ahead since the last task

    @property
    def next(self) -> Task | None:
        """What is to be done now; None when all is."""
        return self.tasks[0] if self.tasks else None

    def is_late(self, at: float) -> bool:
        """Whether the time for the task that is next is over."""
        return bool(self.tasks) and at - self.began > SECONDS

    def see(self, at: float, yaw: float, width: float) -> "tuple[Challenge, Challenged]":
        """The challenge after a face was seen: its yaw in degrees (positive: to the viewer's
        right), and how wide it is in pixels.
        """
        if not self.tasks:
            return self, "passed"
        if self.is_late(at):
            return self, "failed"
        if not self.ready:
            ahead = abs(yaw) <= STILL
            return (replace(self, ready=True, width=width) if ahead else self), "going on"
        if _is_wrong(self.tasks[0], yaw):
            return self, "failed"
        if not _is_done(self.tasks[0], yaw, width, self.width or width):
            return self, "going on"
        rest = Challenge(self.tasks[1:], at)
        return rest, "going on" if rest.tasks else "passed"


def begin_challenge(at: float, chance: random.Random | None = None) -> Challenge:
    """All tasks in an order that nobody can know before."""
    tasks = list(TASKS)
    (chance or random.SystemRandom()).shuffle(tasks)
    return Challenge(tuple(tasks), at)


def _is_done(task: Task, yaw: float, width: float, before: float) -> bool:
    if task == "closer":
        return width >= CLOSER * before
    # A person's left is the viewer's right.
    return yaw >= TURN if task == "left" else yaw <= -TURN


def _is_wrong(task: Task, yaw: float) -> bool:
    """Whether another task is done than the one that was asked for."""
    others = [one for one in ("left", "right") if one != task]
    return any(yaw >= TURN if one == "left" else yaw <= -TURN for one in others)


@dataclass(frozen=True, slots=True)
class Lockout:
    """How often a place was failed at, one after the other, and until when nobody may try."""

    failures: int = 0
    until: float = 0.0  # seconds

    def may_try(self, at: float) -> bool:
        """Whether a challenge may begin."""
        return at >= self.until

    def after(self, challenged: Challenged, at: float) -> "Lockout":
        """The state after a challenge ended."""
        if challenged == "passed":
            return Lockout()
        failures = self.failures + 1
        return Lockout(0, at + WAIT) if failures >= FAILURES else Lockout(failures)


@dataclass(frozen=True, slots=True)
class ChallengeStep:
    """What became of a challenge with a frame, and what is to be done now."""

    challenged: Challenged
    task: Task | None = None  # None: nothing is to be done any more
    text: str = ""  # of a task, to be shown or spoken; of a failure, why


@dataclass(frozen=True, slots=True)
class AskedFace:
    """What a frame shows of whoever was asked."""

    yaw: float  # degrees, positive: to the viewer's right
    width: float  # pixels
    head: bool  # five points showed a head that turned since they were asked: else nobody passes


class Challenger:
    """The challenges of one place, a camera's or a kiosk's: one person at a time, frame by frame.

    Knows no names: whoever calls says whether a frame shows the person who was asked. A frame that
    was not compared with them does not count, so that nobody else can turn in their place.
    """

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance
        self._challenge: Challenge | None = None
        self._next = 0.0  # seconds: before it nobody is asked
        self.lockout = Lockout()

    @property
    def going_on(self) -> bool:
        """Whether somebody is asked just now."""
        return self._challenge is not None

    def may_begin(self, at: float) -> bool:
        """Whether somebody may be asked now."""
        return not self.going_on and at >= self._next and self.lockout.may_try(at)

    def begin(self, at: float) -> ChallengeStep:
        """Ask whoever is there now. Call it where `may_begin` says so."""
        self._challenge = begin_challenge(at, self._chance)
        return self._asked("going on")

    def see(self, at: float, face: AskedFace | None) -> ChallengeStep:
        """A frame of whoever was asked; None where it was not compared with them, or shows somebody
        else, or what was shown before.
        """
        if self._challenge is None:
            return ChallengeStep("failed", text="nobody was asked")
        if face is None or self._challenge.is_late(at):
            late = self._challenge.is_late(at)
            return self.fail(at, "too late") if late else self._asked("going on")
        self._challenge, said = self._challenge.see(at, face.yaw, face.width)
        if said == "failed":
            return self.fail(at, "another movement than the one that was asked for")
        if said == "going on":
            return self._asked(said)
        if not face.head:
            return self.fail(at, "one plane explains all that was seen, as that of a picture")
        self._challenge, self.lockout = None, self.lockout.after("passed", at)
        return ChallengeStep("passed")

    def fail(self, at: float, why: str) -> ChallengeStep:
        """End the challenge: whoever was asked failed, or left before it was done."""
        self._challenge, self._next = None, at + PAUSE
        self.lockout = self.lockout.after("failed", at)
        return ChallengeStep("failed", text=why)

    def _asked(self, said: Challenged) -> ChallengeStep:
        task = self._challenge.next if self._challenge else None
        ready = self._challenge is not None and self._challenge.ready
        words = WORDS[task] if task else ""
        return ChallengeStep(said, task, words if ready else f"look ahead, then {words}")
