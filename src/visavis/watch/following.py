"""The faces of one source, followed: found, cut when it is worth it, compared, decided.

The detector looks at the frames it is given; crops are cut and compared as those of photos are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np

from visavis.compare import similarity
from visavis.detect import ScanDetector
from visavis.errors import LandmarkError
from visavis.faces import PhotoFaces, find_faces
from visavis.gallery import Gallery, Person
from visavis.liveness.outcome import is_allowed
from visavis.recognizer import Recognizer
from visavis.results import Nearest
from visavis.types import Crops, Detector, Embeddings, Face, Image
from visavis.watch.deciding import (
    NOTHING,
    Glimpse,
    Rule,
    TrackState,
    TrackVerdict,
    decide_track,
    fused,
    is_news,
    worth_of,
)
from visavis.watch.events import Appearance, Event, EventKind, UnknownFace
from visavis.watch.guarding import OFF, Gate, GateNotice, LifeSigns, LiveGuard
from visavis.watch.searching import NO_DUTY, Duty, When, nearest_first
from visavis.watch.tracks import Box, Track, assign, begin_track, crowded

ABSENT = 2.0  # seconds unseen after which a track has ended
GAP = 0.6  # seconds unseen after which it may be somebody else who is seen
AGAIN = 5.0  # seconds after which a face that is known is looked at again
OTHER = 1e-2  # share of strangers that pass for the one a track has shown so far
REST = 0.25  # sides of a face that somebody may move between two looks that are far apart
NEW = 1.0  # seconds in which a face that has come is looked at more often
REAL = 2  # sightings from which on a track is told: once may be a mistake of the detector

Tell = Callable[[float], When]


@dataclass(eq=False, slots=True)
class Passage:
    """One person's way through the picture, and what is known of who it is."""

    number: int
    began: float  # seconds
    track: Track  # where the face is
    proved: float  # seconds: until then it was certainly one face
    sightings: int = 1
    looks: list[Glimpse] = field(default_factory=list)
    template: Embeddings | None = None  # of its looks
    crop: Crops | None = None  # (1, 112, 112, 3), of the best look, where a duty asks for it
    verdict: TrackVerdict = NOTHING
    signs: LifeSigns = field(default_factory=LifeSigns)
    doubtful: bool = False  # the face may be another's since
    ended: bool = False  # the face turned out to be another's
    told: TrackState = "collecting"
    told_at: float = 0.0  # seconds: when its state was told last


@dataclass(frozen=True, eq=False, slots=True)
class Chosen:
    """A face that is worth to be cut and compared."""

    row: int  # of the picture's faces
    worth: float
    followed: Passage
    counts: bool  # towards who it is; else whether it is the same face is all that is asked


class Follower:
    """Follows the faces of one source."""

    def __init__(
        self,
        recognizer: Recognizer,
        gallery: Gallery,
        rule: Rule,
        source: str,
        tell: Tell = lambda at: (at, None),
        guard: LiveGuard = OFF,
        duty: Duty = NO_DUTY,
    ) -> None:
        self._recognizer, self._gallery, self._rule = recognizer, gallery, rule
        self._source, self._tell, self._guard, self._duty = source, tell, guard, duty
        self.gate = Gate(guard)
        self._scan = without_angles(recognizer.detect)
        self._numbers = count(1)
        self._size: tuple[int, int] | None = None
        self.followed: list[Passage] = []

    def look(self, image: Image, at: float) -> list[Event]:
        """Find the faces of a picture, and tell what is new of their tracks."""
        self._fit(image)
        photo = find_faces(self._scan, image)
        boxes = [face.box for face in photo.faces]
        near = crowded(boxes)
        seen = self._seen(boxes, near, at)
        # While another face is in front of it, a crop may show either.
        alone = [(row, one) for row, one in enumerate(seen) if not near[row]]
        candidates = self._candidates(photo, alone, at)
        owners = self._compare(photo, candidates, at) if candidates else []
        shown = [(photo.faces[one.row], two) for one, two in zip(candidates, owners, strict=True)]
        told = [*self._signs(image, shown, at), *self.gate.tick(at)]
        return [*self._said(told, at), *self._decided(at), *self._stays(at), *self._left(at)]

    def finish(self) -> list[Event]:
        """End all tracks: nothing more will be seen."""
        return self._left(np.inf)

    def is_new(self, at: float) -> bool:
        """Whether a face has just come, and too few crops of it are compared to say who it is; or
        one is doing what it was asked for.
        """
        return any(
            self.gate.asks(one.signs)
            or (len(one.looks) < self._rule.agreeing and at - one.began < NEW)
            for one in self.followed
        )

    def is_settled(self, seconds: float) -> bool:
        """Whether nothing more is to be found out of anybody, and nobody moves far in so many
        seconds: then fewer looks are enough.
        """
        if not self.followed:
            return True
        # After a longer gap it may be somebody else.
        return (
            self._guard.demand == "off"
            and seconds <= GAP
            and all(
                (one.verdict.state == "confirmed" or len(one.looks) >= self._rule.most)
                and not one.doubtful
                and one.track.pace * seconds < REST
                for one in self.followed
            )
        )

    def _fit(self, image: Image) -> None:
        """A source may change its size: tracks stay where they are in the picture."""
        size = image.shape[1], image.shape[0]
        if self._size and self._size != size:
            x, y = size[0] / self._size[0], size[1] / self._size[1]
            for one in self.followed:
                one.track = one.track.scaled(x, y)
        self._size = size

    def _seen(self, boxes: Sequence[Box], near: Sequence[bool], at: float) -> list[Passage]:
        """Whose face each box is; new ones with them."""
        rows = assign([one.track for one in self.followed], boxes, at)
        known = list(self.followed)
        seen = []
        for box, row, is_near in zip(boxes, rows, near, strict=True):
            if row is None:
                one = self._begin(begin_track(box, at))
            else:
                one = known[row]
                one.doubtful |= is_near or at - one.track.seen > GAP
                one.track = one.track.moved(box, at)
                one.sightings += 1
            one.proved = one.proved if one.doubtful else at
            seen.append(one)
        return seen

    def _begin(self, track: Track) -> Passage:
        one = Passage(next(self._numbers), track.seen, track, track.seen)
        self.followed.append(one)
        return one

    def _candidates(
        self, photo: PhotoFaces, alone: Sequence[tuple[int, Passage]], at: float
    ) -> list[Chosen]:
        """The faces that are good enough, and news."""
        candidates = []
        for row, one in alone:
            # Measuring a face takes time, too.
            unproved = self._is_unproved(one)
            due = one.doubtful or unproved or one.verdict.state != "confirmed"
            if not due and at - one.looks[-1].at < AGAIN:
                continue
            worth = _worth(photo, row)
            news = (
                one.doubtful
                or (one.verdict.state == "confirmed" and not unproved)
                or is_news(one.looks, worth, at, self._rule)
            )
            if worth and (news or unproved) and self._suits_all(photo, row):
                candidates.append(Chosen(row, worth, one, news))
        return candidates

    def _is_unproved(self, one: Passage) -> bool:
        """Whether a track may be named, and waits for a sign of life. Each of its looks is compared
        until then: what another face does, held up in its place, is no sign of its life.
        """
        if self._guard.demand == "off" or one.verdict.state == "unknown":
            return False
        return one.signs.outcome(self._guard) != "live"

    def _suits_all(self, photo: PhotoFaces, row: int) -> bool:
        """Whether a face is good enough for all members: crops of a track have to be of one model,
        so what suits some alone is not compared.
        """
        configured = self._recognizer.configured
        if not any(member.least_quality for member in configured.models.values()):
            return True
        crop, plain = self._recognizer.cut(photo, [row])
        return not configured.too_poor(crop, photo.quality(row, plain[0]))

    def _compare(self, photo: PhotoFaces, candidates: Sequence[Chosen], at: float) -> list[Passage]:
        """Cut and embed these faces, settle whose they are, and compare them with the gallery;
        whose they are.
        """
        rows = [one.row for one in candidates]
        embeddings = self._recognizer.embed_faces(photo, rows)
        owners = self._settled([one.followed for one in candidates], embeddings, at)
        changed = []
        nearest = self._nearest(embeddings, at)
        for one, candidate, row in zip(owners, candidates, range(len(rows)), strict=True):
            if len(one.looks) >= self._rule.most or not candidate.counts:
                continue
            if self._duty.crops and candidate.worth > max((x.worth for x in one.looks), default=0):
                one.crop = self._recognizer.cut(photo, [candidate.row])[1]
            one.looks.append(Glimpse(at, candidate.worth, embeddings[row : row + 1], nearest[row]))
            one.template = fused(one.looks)
            changed.append(one)
        templates = [one.template for one in changed if one.template is not None]
        if templates:
            asked = self._nearest(np.concatenate(templates), at)
            for one, closest in zip(changed, asked, strict=True):
                one.verdict = decide_track(one.looks, closest, self._rule)
        return owners

    def _signs(
        self, image: Image, shown: Sequence[tuple[Face, Passage]], at: float
    ) -> list[GateNotice]:
        """Signs of life of the faces that were just compared, and the challenge of whoever is
        confirmed by it, the largest face first.
        """
        told = self.gate.see(at, image, [(face, one.signs) for face, one in shown])
        for face, one in sorted(shown, key=lambda pair: -pair[0].side):
            if one.verdict.state == "confirmed":
                told += self.gate.ask(at, face, one.signs)
        return told

    def _said(self, told: Sequence[GateNotice], at: float) -> list[Event]:
        seconds, _ = self._tell(at)
        return [Event(kind, self._source, seconds, text=text) for kind, text in told]

    def _nearest(self, embeddings: Embeddings, at: float) -> list[Nearest]:
        roster = self._duty.roster(self._tell(at)) if self._duty.roster else None
        return nearest_first(self._recognizer, self._gallery, embeddings, self._rule, roster)

    def _settled(self, owners: list[Passage], embeddings: Embeddings, at: float) -> list[Passage]:
        """Whose crop each is: as it was, or where that does not fit, of the one whom the tracker
        took for them, or somebody's who is new.
        """
        for row, one in enumerate(owners):
            embedding = embeddings[row : row + 1]
            if one.template is not None and not self._fits(one, embedding):
                others = [two for two in self.followed if two.doubtful and two is not one]
                fitting = [two for two in others if self._fits(two, embedding)]
                if fitting:
                    two = max(fitting, key=lambda two: _likeness(two, embedding))
                    one.track, two.track = two.track, one.track
                    owners[row:] = [_other(three, one, two) for three in owners[row:]]
                else:
                    one.ended = True
                    owners[row] = self._begin(replace(one.track, seen=at, sightings=1))
            owners[row].doubtful, owners[row].proved = False, at
        return owners

    def _fits(self, one: Passage, embedding: Embeddings) -> bool:
        """Whether a crop may be of the person that a track has shown so far."""
        calibration = self._recognizer.calibration
        if one.template is None or not calibration.points:
            return one.template is not None
        return _likeness(one, embedding) >= calibration.search_policy(OTHER).match.threshold

    def known(self) -> dict[str, Person]:
        """Of those whom the tracks are closest to, who is in the gallery now, by their ids: the
        name of who was erased goes at once.
        """
        nearest = [one.verdict.nearest for one in self.followed]
        ids = {one.closest.id for one in nearest if one is not None and one.closest is not None}
        return self._gallery.people_of(ids) if ids else {}

    def state_of(self, one: Passage, *, left: bool = False) -> TrackState:
        """What is told of a track: nobody is named before the sign of life that is required. Who
        `left` without one is for a person to look at.
        """
        outcome = one.signs.outcome(self._guard)
        if self._guard.demand != "require":
            return one.verdict.state
        if outcome == "spoof":
            return "spoof"
        if one.verdict.state == "confirmed" and not is_allowed(self._guard.demand, outcome):
            return "review" if left else "collecting"
        return one.verdict.state

    def _decided(self, at: float) -> list[Event]:
        news = [one for one in self.followed if one.told != self.state_of(one)]
        for one in news:
            one.told, one.told_at = self.state_of(one), at
        return [self._event("decided", one, at, self.state_of(one)) for one in news]

    def _stays(self, at: float) -> list[Event]:
        """Those who are confirmed, seen now, and were not told for as long as was asked."""
        due = [
            one
            for one in self.followed
            if one.told == "confirmed"
            and one.track.seen == at
            and at - one.told_at >= self._duty.every
        ]
        for one in due:
            one.told_at = at
        return [self._event("stays", one, at, one.told) for one in due]

    def _left(self, at: float) -> list[Event]:
        """Those whose face was not seen for long, or turned out to be another's."""
        gone = [one for one in self.followed if one.ended or at - one.track.seen > ABSENT]
        self.followed = [one for one in self.followed if one not in gone]
        told = [one for one in gone if one.sightings >= REAL]
        missed = [(one, self.gate.left(one.track.seen, one.signs)) for one in gone]
        return [
            *(event for one, said in missed for event in self._said(said, one.track.seen)),
            *(
                self._event("left", one, min(at, one.track.seen), self.state_of(one, left=True))
                for one in told
            ),
        ]

    def _event(self, kind: EventKind, one: Passage, at: float, state: TrackState) -> Event:
        seconds, _ = self._tell(at)
        sighting = self._sighting(one, state, left=kind == "left")
        return Event(kind, self._source, seconds, sighting)

    def _sighting(self, one: Passage, state: TrackState, *, left: bool) -> Appearance:
        nearest = one.verdict.nearest
        closest = nearest.closest if nearest is not None else None
        if closest is not None and closest.id not in self._gallery.people_of([closest.id]):
            # Erased since: the name goes with the person.
            closest, state = None, "spoof" if state == "spoof" else "unknown"
        decision = nearest.decision if nearest is not None and closest is not None else None
        face = self._unknown_face(one) if left else None
        start, started_at = self._tell(one.began)
        end, ended_at = self._tell(one.proved if one.ended else one.track.seen)
        return Appearance(
            track=one.number,
            state=state,
            person=closest if state == "confirmed" else None,
            closest=closest,
            similarity=decision.similarity if decision is not None else None,
            false_positive_rate=one.verdict.false_positive_rate if nearest is not None else None,
            liveness=one.signs.outcome(self._guard),
            looks=len(one.looks),
            agreeing=one.verdict.agreeing,
            sightings=one.sightings,
            start=start,
            end=end,
            started_at=started_at,
            ended_at=ended_at,
            threshold=decision.policy.match.threshold if decision is not None else None,
            live_score=one.signs.score,
            face=face,
        )

    def _unknown_face(self, one: Passage) -> UnknownFace | None:
        """The face of a track that was like nobody from the first look to the last, and of whom
        nobody was erased meanwhile; None where nobody asks for it.
        """
        if not self._duty.unknown or one.template is None or one.ended:
            return None
        if one.verdict.state != "unknown" or one.signs.outcome(self._guard) == "spoof":
            return None
        return UnknownFace(one.template, max(look.worth for look in one.looks), one.crop)


def without_angles(detect: Detector) -> Detector:
    """The detector for pictures whose upright is known: it does not look which way up they are."""
    return replace(detect, angles=False) if isinstance(detect, ScanDetector) else detect


def _worth(photo: PhotoFaces, row: int) -> float:
    """What a face's crop is worth; 0 where it is not good enough to be compared."""
    try:
        quality = photo.quality(row)
    except LandmarkError:
        return 0.0
    return 0.0 if quality.reasons else worth_of(quality)


def _likeness(one: Passage, embedding: Embeddings) -> float:
    return float(similarity(one.template, embedding)[0, 0]) if one.template is not None else -1.0


def _other(which: Passage, one: Passage, two: Passage) -> Passage:
    """The one for the other, anybody else as they are."""
    return two if which is one else one if which is two else which
