"""What cameras see as punches: a track is one sighting, and as long as it goes on it extends it.

Takes the events of `visavis.watch`, and says whom a camera looks for first: those whose shift or
class has its window. Who leaves unknown goes into the inbox. Knows no networks.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

from visavis.attendance.attendance import Attendance
from visavis.attendance.inbox import Inbox
from visavis.attendance.punches import Evidence, Fate, Recorded, Sighting
from visavis.attendance.rosters import Rosters
from visavis.attendance.rules import Terminal
from visavis.attendance.unknown import Stranger
from visavis.enrollment import crop_png
from visavis.errors import AttendanceError, GalleryError, PersonError, VisavisError
from visavis.recognizer import Recognizer
from visavis.watch.events import Appearance, Event, UnknownFace
from visavis.watch.frames import FrameSource
from visavis.watch.searching import Duty, Roster, When

log = logging.getLogger(__name__)

MOST_SILENT = 30.0  # seconds of a face that stays until that is noted


@dataclass(frozen=True, slots=True)
class _Kept:
    """Of which punch a track is a part; of none where the sighting was refused."""

    person: str
    punch: int | None
    turns: bool  # whether they may be on their way back, and it is too soon to say


class CameraClerk:
    """A sink of watching that records who was confirmed. What cannot be written now is kept, and
    tried again with the next event.
    """

    def __init__(
        self, attendance: Attendance, recognizer: Recognizer, began: datetime | None = None
    ) -> None:
        """`began` is when videos begin; cameras know what time it is."""
        self._attendance, self._began = attendance, began
        self._model = recognizer.embed.model
        self._configuration = recognizer.rules.version or None
        self._parts, self._inbox = recognizer.embed.parts, Inbox(attendance)
        # From which similarity two faces are one person: without a calibration nobody can say.
        calibration = recognizer.calibration_of(attendance.gallery)
        alike = recognizer.rules.match_rate(None)
        points = calibration.points
        self._alike = calibration.search_policy(alike).match.threshold if points else None
        self._tracks: dict[tuple[str, int], _Kept] = {}
        self._waiting: list[Event] = []
        self._refused: list[Event] = []  # tried again at the end
        self._reason = ""
        self._rosters = Rosters(attendance)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(failed=error is not None)

    def check(self, sources: Iterable[FrameSource]) -> None:
        """Raise AttendanceError for a video of which nobody says when it began."""
        for source in sources:
            if not source.address.live and self._began is None:
                raise AttendanceError(
                    f"{source.address.shown}: a video does not say when it was",
                    mend="say when it began, as 2026-03-02 08:00",
                    option="began",
                )

    def duty(self, device: str) -> Duty:
        """What is wanted of the source that is this device: `WatchPlan.duty`."""
        every = min(self._attendance.rules.cooldown / 2, MOST_SILENT)
        rules = self._attendance.rules
        # Where the others are not looked for, who is one of them is not said to be unknown.
        others = rules.devices.get(device, Terminal()).others
        keeps = others and bool(rules.retention.unknowns) and self._alike is not None
        return Duty(partial(self._roster, device), max(every, 1.0), keeps, keeps and rules.crops)

    def __call__(self, event: Event) -> list[Recorded]:
        """Record what an event says, and what could not be recorded before; what became of it.

        A face without a sign of life is nobody's presence, even where that is a warning alone.
        """
        sighting = event.sighting
        if sighting is not None and sighting.face is not None:
            self._keep(event.source, sighting, sighting.face)
        if sighting is None or sighting.person is None or sighting.liveness == "spoof":
            return []
        # A later one says the same: while nothing can be written, one is enough.
        waits = any(_track(one) == _track(event) for one in self._waiting)
        if not (waits and event.kind == "stays"):
            self._waiting.append(event)
        return self._flush()

    def close(self, *, failed: bool = False) -> None:
        """Try the last time. Raises AttendanceError where something is left, unless something
        `failed` already.
        """
        self._waiting, self._refused = [*self._refused, *self._waiting], []
        self._flush()
        left = len(self._waiting) + len(self._refused)
        if left and not failed:
            raise AttendanceError(
                f"{left} sightings could not be recorded: {self._reason}",
                mend="record them by hand; they were told all the same",
            )

    def _flush(self) -> list[Recorded]:
        recorded: list[Recorded] = []
        while self._waiting:
            try:
                recorded += self._take(self._waiting[0])
            except GalleryError as error:  # as of a full disk: others would fail, too
                self._note(error)
                break
            except AttendanceError as error:  # as of one person's key: nobody else waits for it
                self._note(error)
                self._refused.append(self._waiting[0])
            del self._waiting[0]
        return recorded

    def _note(self, error: VisavisError) -> None:
        if str(error) != self._reason:
            log.warning("a sighting is kept, and recorded later: %s", error)
        self._reason = str(error)

    def _take(self, event: Event) -> list[Recorded]:
        """Record a track's first sighting; extend the punch that it is by the others."""
        one = event.sighting
        if one is None or one.person is None:
            return []
        track, person = _track(event), one.person.id
        first, last = (one.start, one.started_at), (one.end, one.ended_at)
        known, told = self._tracks.get(track), []
        if known is None or known.person != person:
            told = [self._record(event.source, one, first)]
            known = self._kept(person, told[0])
        elif known.turns:
            made = self._record(event.source, one, last)
            known, told = self._kept(person, made), [made] if made.fate is Fate.PUNCH else []
        self._extend(known, last)
        self._tracks[track] = known
        if event.kind == "left":
            del self._tracks[track]
        return told

    def _record(self, device: str, one: Appearance, when: When) -> Recorded:
        evidence = Evidence(
            self._model,
            one.similarity or 0.0,
            one.threshold or 0.0,
            self._configuration,
            one.live_score,
        )
        person = one.person.id if one.person else ""
        said = Sighting(person, self._moment(when), device, evidence=evidence)
        try:
            return self._attendance.record(said)
        except PersonError as error:  # erased meanwhile
            return Recorded(said, Fate.REFUSED, message=str(error))

    def _kept(self, person: str, recorded: Recorded) -> _Kept:
        """Whoever is seen by the way out just after they came in has not turned round yet: they
        are asked about again, while anybody else's track stays what it was at first.
        """
        turns = False
        if recorded.fate is Fate.TOO_SOON and recorded.punch and recorded.sighting.direction:
            before = self._attendance.punch(recorded.punch).direction
            turns = before not in (None, recorded.sighting.direction)
        return _Kept(person, recorded.punch, turns)

    def _extend(self, known: _Kept, when: When) -> None:
        """Note that somebody was still there then."""
        if known.punch is None:
            return
        try:
            self._attendance.extend(known.punch, self._moment(when))
        except PersonError:
            log.info("punch %d is gone: whoever it was of was erased", known.punch)

    def _keep(self, device: str, one: Appearance, face: UnknownFace) -> None:
        """Put somebody unknown into the inbox. What cannot be kept is said, and lost: it is no
        record of anybody's.
        """
        if self._alike is None:
            return
        sighting = Sighting("", self._moment((one.start, one.started_at)), device)
        crop = None if face.crop is None else crop_png(face.crop)
        stranger = Stranger(sighting, face.template, self._parts, self._alike, face.worth, crop)
        try:
            self._inbox.keep(stranger)
        except (GalleryError, AttendanceError) as error:
            log.warning("somebody unknown is not kept: %s", error)

    def _roster(self, device: str, when: When) -> Roster:
        """Who is expected at a moment, and whether the others are looked for by that device."""
        return self._rosters.of(device, self._moment(when))

    def _moment(self, when: When) -> datetime:
        seconds, said = when
        if said is not None:
            return datetime.fromisoformat(said)
        if self._began is None:
            raise AttendanceError("a video does not say when it was", option="began")
        return self._began + timedelta(seconds=seconds)


def _track(event: Event) -> tuple[str, int]:
    """The track that an event is of."""
    return event.source, event.sighting.track if event.sighting else 0
