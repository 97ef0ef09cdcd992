"""A punch: somebody was at a device at a moment. What is said of it, and which ones are repeats.

Plain data and pure functions. Knows no database; a person is an id, or what another system calls
them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from visavis.attendance.days import BY_HAND, CORRECTED, Mark
from visavis.attendance.rules import Direction, Rules
from visavis.errors import AttendanceError

CLOCK, FUTURE, BACKWARDS, SERVER_CLOCK = "clock", "future", "backwards", "server_clock"
LATE_ARRIVAL = "after_lock"  # it came when its period was locked, and does not count


class Reporter(StrEnum):
    """Who says that somebody was there."""

    CAMERA = "camera"
    KIOSK = "kiosk"
    REST = "rest"
    HAND = "hand"  # a person, who gives a reason
    FILE = "file"
    TERMINAL = "terminal"
    INBOX = "inbox"  # somebody who was unknown then, and named afterwards, with a reason


LIVE = frozenset((Reporter.CAMERA, Reporter.KIOSK, Reporter.REST))
AFTERWARDS = frozenset((Reporter.HAND, Reporter.FILE, Reporter.INBOX))  # in any order


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a camera took somebody for who they are. `crop` is kept where the rules say so."""

    model: str
    similarity: float
    threshold: float
    configuration: int | None = None  # the version of the gallery's
    liveness: float | None = None
    crop: bytes | None = None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Somebody at a device, as it is said: by a camera, a terminal, a file, a person."""

    person: str
    at: datetime  # by the device's clock, with its zone
    device: str = ""
    direction: Direction | None = None
    source: Reporter = Reporter.CAMERA
    offset: float = 0.0  # seconds that the device's clock is ahead, where that is known
    evidence: Evidence | None = None
    key: str = ""  # of the device's own, as a track's id: said twice, it is one
    actor: str = ""
    reason: str = ""
    zone: str = ""  # of the clock on the wall there, where it is written for others

    @property
    def true_at(self) -> datetime:
        """The moment, the clock's offset taken off, to the second."""
        return (self.at - timedelta(seconds=self.offset)).replace(microsecond=0)

    def token(self, person: str) -> str:
        """What is the same when the same is said again."""
        way = self.direction or ""
        own = self.key or f"{int(self.true_at.timestamp())} {way}"
        return "\0".join((self.device, person, own))


@dataclass(frozen=True, slots=True)
class Punch:
    """A sighting that was kept. Nothing of it is ever changed."""

    number: int  # in the ledger
    person: str  # the gallery's id
    at: datetime  # UTC
    device: str
    direction: Direction | None
    zone: str  # of the device's site
    source: Reporter
    offset: float
    received: datetime  # UTC, by the clock of this machine
    notes: tuple[str, ...] = ()
    actor: str = ""
    reason: str = ""
    seen: datetime | None = None  # the last sighting that was no punch of its own

    @property
    def until(self) -> datetime:
        """When they were seen there for the last time."""
        return max(self.at, self.seen or self.at)

    @property
    def mark(self) -> Mark:
        """The punch as a day counts it."""
        by_hand = self.source is Reporter.HAND
        notes = (BY_HAND,) if by_hand else self.notes
        return Mark(self.at, self.direction, self.number, self.device, notes)


class Fate(StrEnum):
    """What became of a sighting."""

    PUNCH = "punch"
    SEEN = "seen"  # by the same device within its cooldown
    TOO_SOON = "too_soon"  # at another device, or the other way, within the gap
    REPEATED = "repeated"  # the very same was said before
    REFUSED = "refused"  # nobody has that name, and the like


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a sighting, and of which punch it is a part."""

    sighting: Sighting
    fate: Fate
    punch: int | None = None
    notes: tuple[str, ...] = ()
    message: str = ""


def check_sighting(sighting: Sighting) -> None:
    """Raise AttendanceError for a time without a zone, and for a hand without a name or reason."""
    if sighting.at.tzinfo is None:
        raise AttendanceError(f"expected a time with its zone, got {sighting.at.isoformat(' ')}")
    if sighting.source in (Reporter.HAND, Reporter.INBOX):
        check_reason(sighting.actor, sighting.reason)
    if not -1e6 < sighting.offset < 1e6:
        raise AttendanceError(f"expected a clock's offset in seconds, got {sighting.offset}")


def check_reason(actor: str, reason: str) -> None:
    """Raise AttendanceError where nobody says who did something by hand, or why."""
    for text, option in ((actor, "actor"), (reason, "reason")):
        if not text.strip():
            raise AttendanceError(
                "what is done by hand needs who does it and why",
                mend=f"say the {option}",
                option=option,
            )


def fate_of(sighting: Sighting, near: Iterable[Punch], rules: Rules) -> tuple[Fate, Punch | None]:
    """Whether a sighting is a punch of its own, or a part of one of those `near`: of one person.

    A device sees somebody once while they stand there: its cooldown runs from when it saw them
    last. Nobody turns round, or comes by another device, within the gap after a punch.
    """
    if sighting.source is Reporter.HAND:
        return Fate.PUNCH, None
    at = sighting.true_at
    cooldown, gap = timedelta(seconds=rules.cooldown), timedelta(seconds=rules.gap)
    for punch in sorted(near, key=lambda punch: abs(punch.at - at)):
        turned = None not in (punch.direction, sighting.direction) and (
            punch.direction != sighting.direction
        )
        if punch.device == sighting.device and not turned:
            if punch.at - cooldown < at < punch.until + cooldown:
                return Fate.SEEN, punch
        elif abs(punch.at - at) < gap:
            return Fate.TOO_SOON, punch
    return Fate.PUNCH, None


def directed(sighting: Sighting, rules: Rules) -> Sighting:
    """The sighting with the direction of its device, where it has none itself."""
    terminal = rules.devices.get(sighting.device)
    if sighting.direction is None and terminal and terminal.direction:
        return replace(sighting, direction=terminal.direction)
    return sighting


def as_allowed(sighting: Sighting, rules: Rules) -> Sighting:
    """The sighting without its picture, where the rules keep none."""
    if sighting.evidence is None or rules.crops:
        return sighting
    return replace(sighting, evidence=replace(sighting.evidence, crop=None))


def clock_notes(
    sighting: Sighting, received: datetime, rules: Rules, *, before: datetime | None = None
) -> list[str]:
    """What is odd about the clocks: the device's, and with `before`, the last it said, its order;
    and that somebody was named afterwards.

    A device whose clock is put back says times before those that it said last.
    """
    tolerance = timedelta(seconds=rules.clock_tolerance)
    notes = []
    if abs(sighting.offset) > rules.clock_tolerance:
        notes.append(CLOCK)
    if sighting.true_at > received + tolerance:
        notes.append(FUTURE)
    if before is not None and sighting.at < before - tolerance:
        notes.append(BACKWARDS)
    if sighting.source is Reporter.INBOX:
        notes.append(CORRECTED)
    return notes
