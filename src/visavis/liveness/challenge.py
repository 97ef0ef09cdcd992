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
TURN = 18.0  # degrees of yaw, to be seen as a turn; measured to about 10
CLOSER = 1.25  # times as wide as at the beginning
STILL = 10.0  # degrees: within them a face looks ahead, as it must between two tasks
SECONDS = 5.0  # for each task
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

    def see(self, at: float, yaw: float, width: float) -> "tuple[Challenge, Challenged]":
        """The challenge after a face was seen: its yaw in degrees (positive: to the viewer's
        right), and how wide it is in pixels.
        """
        if not self.tasks:
            return self, "passed"
        if at - self.began > SECONDS:
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
