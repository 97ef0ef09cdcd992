"""What watching tells: who was seen from when to when, and what happened to a source.

A sink is called with each event, in order: files are here, attendance and web pages have their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from visavis.gallery import Person
from visavis.liveness.outcome import Liveness
from visavis.types import Crops, Embeddings
from visavis.watch.deciding import TrackState
from visavis.watch.frames import NoticeKind
from visavis.watch.guarding import GateKind

EventKind = Literal["decided", "stays", "left"] | NoticeKind | GateKind


@dataclass(frozen=True, eq=False, slots=True)
class UnknownFace:
    """The face of a track that left unknown. It is for an inbox, and in no answer."""

    template: Embeddings = field(repr=False)  # (1, D), of the track's best looks
    worth: float  # 0..1, of the best one
    crop: Crops | None = field(default=None, repr=False)  # of it, (1, 112, 112, 3), where asked for


@dataclass(frozen=True, slots=True)
class Appearance:
    """One face on its way through a source's picture, from when to when, and who it is."""

    track: int  # counts from 1 in each source
    state: TrackState  # spoof: no sign of life, where it is required
    person: Person | None  # where it is confirmed
    closest: Person | None  # however unlike
    similarity: float | None  # of the fused template and the closest; None: no crop was good enough
    false_positive_rate: float | None  # share of strangers' tracks that are named so
    liveness: Liveness | None  # beside who it is; None where it was not asked for
    looks: int  # crops that were compared
    agreeing: int  # of them, those that match the closest
    sightings: int  # how often the face was found
    start: float  # seconds: of a file since its beginning, of a live source since it was opened
    end: float
    started_at: str | None  # ISO 8601 in UTC, of a live source
    ended_at: str | None
    threshold: float | None = None  # from which on the similarity is a match; None as above
    live_score: float | None = None  # of the networks, its median; None where none looked
    face: UnknownFace | None = None  # with `left`, of nobody, where a duty asks for it


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `decided`, `stays` and `left` have a sighting, the others words.

    `stays` is told where somebody asks for it: a face that is confirmed is still there.
    """

    kind: EventKind
    source: str  # as it may be shown: without a password
    at: float  # seconds, as in a sighting
    sighting: Appearance | None = None
    text: str = ""


Sink = Callable[[Event], None]
