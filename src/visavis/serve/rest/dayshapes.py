"""The documents of attendance as OpenAPI describes them: the fields of docs/json.md, with types."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from visavis.attendance.moments import FIRST_YEAR, LAST_YEAR
from visavis.serve.rest.shapes import Id, NamedShape, OutcomeName, Similarity

CalendarDay = Annotated[
    date,
    Field(ge=date(FIRST_YEAR, 1, 1), le=date(LAST_YEAR, 12, 31), examples=["2026-03-02"]),
]
DateText = Annotated[str, Field(description="ISO 8601", examples=["2026-03-02"])]
MomentText = Annotated[str, Field(description="in UTC", examples=["2026-03-02T07:04:00Z"])]
Reference = Annotated[str, Field(description="your own id, or the name where there is none")]
StatusName = Literal["present", "half", "absent", "open", "pending", "holiday", "leave", "off"]
DirectionName = Literal["in", "out", "break_out", "break_in", "overtime_in", "overtime_out"]
FateName = Literal["punch", "seen", "too_soon", "repeated", "refused"]


class DayShape(BaseModel):
    """What a shift of somebody's day was, or a day on which none was due."""

    date: DateText = Field(description="of a shift over midnight, that of its start")
    person_id: Reference
    name: str
    zone: str = Field(examples=["Europe/Berlin"])
    shift: str
    status: StatusName
    stays: list[dict[Literal["in", "out"], MomentText | None]]
    hours: float
    late_minutes: int
    early_minutes: int
    notes: list[str] = Field(examples=[["corrected"]])
    reason: str
    punches: list[int]


class DaysShape(BaseModel):
    """Days of a period."""

    days: list[DayShape]


class PresentShape(BaseModel):
    """Somebody who is in the building."""

    person_id: Reference
    name: str
    since: MomentText
    seen: MomentText = Field(description="for the last time")
    device: str


class InsideShape(BaseModel):
    """Who is in the building."""

    inside: list[PresentShape]


class AttendeeShape(BaseModel):
    """Somebody of a class's roster."""

    person_id: Reference
    name: str
    status: Literal["present", "late", "left", "absent", "excused", "pending"]
    first: MomentText | None
    last: MomentText | None
    late_minutes: int


class ClassShape(BaseModel):
    """A class with its roster."""

    course: str
    start: MomentText
    end: MomentText
    roster: list[AttendeeShape]


class ClassesShape(BaseModel):
    """A day's classes."""

    classes: list[ClassShape]


class SightingShape(BaseModel):
    """What became of somebody who was seen."""

    fate: FateName
    punch: int | None = Field(description="the punch that it is, or is a part of")
    person: Id
    at: MomentText
    notes: list[str]
    message: str


class PunchedShape(BaseModel):
    """Whom a photo shows, and what became of it."""

    outcome: OutcomeName
    person: NamedShape | None = Field(description="of a match alone")
    similarity: Similarity | None = Field(description="of a match alone")
    threshold: float | None
    sighting: SightingShape | None


class ClaimShape(BaseModel):
    """What a punch says."""

    at: MomentText
    direction: DirectionName | None


class CorrectionShape(BaseModel):
    """What somebody said of a punch afterwards."""

    number: int
    punch: int
    person_id: Reference
    name: str
    before: ClaimShape
    after: ClaimShape | None = Field(description="null: it does not count")
    actor: str = Field(description="the key or the user that said so")
    reason: str


class RuledShape(BaseModel):
    """What a day was said to be."""

    status: StatusName
    reason: str


class RulingShape(BaseModel):
    """What somebody said a day was."""

    number: int
    date: DateText
    person_id: Reference
    name: str
    before: RuledShape | None
    after: RuledShape | None = Field(description="null: as it was punched")
    actor: str


class ChangesShape(BaseModel):
    """What was changed of a month."""

    corrections: list[CorrectionShape]
    rulings: list[RulingShape]


class LockShape(BaseModel):
    """A period that was locked, or opened."""

    number: int
    locked: bool
    since: DateText
    until: DateText
    actor: str
    reason: str


class LocksShape(BaseModel):
    """Every lock and every opening, in order."""

    locks: list[LockShape]


class ChainShape(BaseModel):
    """Whether the ledger of attendance is as it was written."""

    whole: bool
    damages: list[str]
    head: str | None = Field(description="of its chain: kept elsewhere, it tells an older file")


class OddPushShape(BaseModel):
    """Something odd that a terminal sent."""

    at: MomentText
    serial: str
    words: str = Field(examples=["line 3: expected user, time, device and status"])


class HeardShape(BaseModel):
    """What terminals sent that is odd."""

    heard: list[OddPushShape]


class PunchRecordShape(BaseModel):
    """A punch as it came, and what it says now."""

    number: int
    person_id: Reference
    name: str
    at: MomentText
    direction: DirectionName | None
    counts: ClaimShape | None = Field(description="after all corrections; null: it does not count")
    device: str
    zone: str
    source: Literal["camera", "kiosk", "rest", "hand", "file", "terminal", "inbox"]
    received: MomentText
    notes: list[str]
    actor: str = Field(description="of a punch by hand: who made it")
    reason: str


class PunchRecordsShape(BaseModel):
    """The punches of a month."""

    punches: list[PunchRecordShape]


class ObjectionShape(BaseModel):
    """That a day is not as it was, in the words of whose day it is."""

    number: int
    person_id: Reference
    name: str
    date: DateText
    words: str
    made: MomentText
    open: bool
    answer: str
    actor: str = Field(description="who settled it")


class ObjectionsShape(BaseModel):
    """What people object to."""

    objections: list[ObjectionShape]


class LinkShape(BaseModel):
    """A link to somebody's own page."""

    path: str = Field(description="behind the address of the service")
    days: int


class LinksRevokedShape(BaseModel):
    """Whose links open nothing any more."""

    revoked: Id


class LikeShape(BaseModel):
    """Whom somebody unknown is like."""

    person_id: Reference
    name: str


class UnknownShape(BaseModel):
    """Sightings that are alike, of somebody whom nobody knows."""

    number: int = Field(description="the lowest of its sightings' numbers")
    count: int
    first: MomentText
    last: MomentText
    devices: list[str]
    best: int = Field(description="the number of its best sighting")
    crop: bool = Field(description="whether a picture of that is kept")
    like: LikeShape | None


class UnknownsShape(BaseModel):
    """Everybody unknown."""

    unknown: list[UnknownShape]


class NamedUnknownShape(BaseModel):
    """Who somebody unknown was, and what became of each sighting."""

    person_id: Reference
    name: str
    recorded: list[SightingShape]


class DiscardedShape(BaseModel):
    """How many sightings were removed."""

    discarded: int
