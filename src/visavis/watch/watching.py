"""Sources to events: the loop that takes frames, looks at those it can afford, and tells."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from visavis.gallery import Gallery
from visavis.recognizer import Recognizer
from visavis.watch.deciding import STANDARD, Rule
from visavis.watch.events import Event
from visavis.watch.following import Follower
from visavis.watch.frames import FrameSource, Notice, NoticeKind, Shot
from visavis.watch.guarding import OFF, LiveGuard
from visavis.watch.searching import NO_DUTY, Duty, When
from visavis.watch.sources import Sources
from visavis.watch.stillness import FROZEN, Stillness

log = logging.getLogger(__name__)

EVERY = 0.1  # seconds between two looks for faces while there are any
IDLE, HURRY = 2.0, 0.5  # times as long: while nothing is to be found out; one has just come
JUMP = 2.0  # seconds by which the clock is off before that is said

# Called with each frame, looked at or not, and the faces that are followed.
ShotLook = Callable[[FrameSource, Shot, Follower], None]


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """How sources are watched."""

    rule: Rule = STANDARD
    every: float = EVERY  # seconds between two looks for faces; twice as long where all are known
    guard: LiveGuard = OFF
    guards: Mapping[str, LiveGuard] = field(default_factory=dict)  # of sources, as they are shown

    duty: Callable[[str], Duty] = lambda source: NO_DUTY  # of a source, as it is shown

    def guard_of(self, source: FrameSource) -> LiveGuard:
        """What is demanded of the faces of a source."""
        return self.guards.get(source.address.shown, self.guard)


PLAN = WatchPlan()


@dataclass(slots=True)
class Clock:
    """The time of a source: of a file its own, of a live one what the clocks on the wall say."""

    live: bool
    began: float = field(default_factory=time.monotonic)
    offset: float = field(default_factory=lambda: time.time() - time.monotonic())

    def tell(self, at: float) -> When:
        """Seconds since the beginning; and of a live source when that was, by the clock of now."""
        if not self.live:
            return at, None
        when = datetime.fromtimestamp(at + self._offset(), UTC)
        return at - self.began, when.isoformat(timespec="milliseconds")

    def jump(self) -> float:
        """Seconds by which the wall's clock was set since this was asked, where that is many."""
        jump = self._offset() - self.offset
        if not self.live or abs(jump) < JUMP:
            return 0.0
        self.offset += jump
        return jump

    def _offset(self) -> float:
        return time.time() - time.monotonic()


@dataclass(slots=True)
class Watched:
    """A source with the faces followed in it."""

    source: FrameSource
    follower: Follower
    clock: Clock
    every: float
    due: float = 0.0  # the time of the next look
    at: float = 0.0  # of the newest frame
    size: tuple[int, int] | None = None
    still: Stillness = field(default_factory=Stillness)

    def see(self, shot: Shot, look: ShotLook | None) -> Iterator[Event]:
        """Look at a frame where that is due, and tell what is new."""
        if jump := self.clock.jump():
            way = "forward" if jump > 0 else "back"
            yield self._noticed("clock", f"the clock was set {way} by {abs(jump):.0f} s", shot.at)
        if shot.at < self.at - JUMP:
            yield self._noticed("clock", f"its time jumps back to {shot.at:.1f} s", shot.at)
            yield from self.follower.finish()
            self.due = shot.at
        self.at = shot.at
        if shot.at >= self.due:
            yield from self._sized(shot)
            yield from self._stilled(shot)
            if not self.still.frozen:
                yield from self.follower.look(shot.image, shot.at)
            # A frame may come a moment before it is due.
            self.due = shot.at + self._pace(shot.at) * self.every - 1e-3
        if look is not None:
            look(self.source, shot, self.follower)

    def tell(self, notice: Notice) -> Event:
        """A source's notice as an event."""
        at = notice.at - self.clock.began if self.clock.live else notice.at
        return Event(notice.kind, self.source.address.shown, at, text=notice.text)

    def _pace(self, at: float) -> float:
        """Times as long as usual until the next look."""
        if self.follower.is_settled(IDLE * self.every):
            return IDLE
        return HURRY if self.follower.is_new(at) else 1.0

    def _sized(self, shot: Shot) -> Iterator[Event]:
        size = shot.image.shape[1], shot.image.shape[0]
        if self.size not in (None, size):
            yield self._noticed("size", f"the picture is {size[0]}x{size[1]} now", shot.at)
        self.size = size

    def _stilled(self, shot: Shot) -> Iterator[Event]:
        """Say that a live source stands still, or moves again. Who is in a picture that stands
        still is not there now: their tracks end, and nobody is looked for.
        """
        change = self.still.see(shot.image, shot.at) if self.clock.live else None
        if change is None:
            return
        text = f"the same picture for {FROZEN:g} s" if change == "frozen" else "it moves again"
        log.warning("%s: %s: %s", self.source.address.shown, change, text)
        yield self._noticed(change, text, shot.at)
        yield from self.follower.finish()

    def _noticed(self, kind: NoticeKind, text: str, at: float) -> Event:
        return self.tell(Notice(kind, text, at))


def watch_sources(
    recognizer: Recognizer,
    gallery: Gallery,
    sources: Sources,
    *,
    plan: WatchPlan = PLAN,
    look: ShotLook | None = None,
) -> Iterator[Event]:
    """Who is seen: an event for each decision, for each face that left, for what happens to a
    source. `look` is called with each frame.

    `sources.stop()` ends it with what was seen so far. Whoever was named is noted as seen when they
    leave. Raises the error of the sources where none of them can be read, PersonError for a group
    of nobody.
    """
    gallery.index(recognizer.embed.parts, plan.rule.among)
    follow = partial(Follower, recognizer, gallery, plan.rule)
    watched = {id(source): _watched(source, plan, follow) for source in sources.every}
    for event in _events(sources, watched, look):
        sighting = event.sighting
        if event.kind == "left" and sighting and sighting.person:
            gallery.note_seen([sighting.person.id])
        yield event


def _events(
    sources: Sources, watched: dict[int, Watched], look: ShotLook | None
) -> Iterator[Event]:
    for source, what in sources:
        one = watched[id(source)]
        if isinstance(what, Notice):
            yield one.tell(what)
        else:
            yield from one.see(what, look)
    for one in watched.values():
        yield from one.follower.finish()


def _watched(source: FrameSource, plan: WatchPlan, follow: Callable[..., Follower]) -> Watched:
    clock = Clock(source.address.live)
    shown = source.address.shown
    follower = follow(shown, tell=clock.tell, guard=plan.guard_of(source), duty=plan.duty(shown))
    return Watched(source, follower, clock, plan.every)
