"""Shapes of what a gallery keeps beside people: groups, configurations, webhooks; as `shapes`."""

from pydantic import BaseModel, Field

from visavis.serve.hooks.webhooks import HookEventKind
from visavis.serve.rest.shapes import Id, ModelName, NamedShape, PersonShape, Time


class GroupSizeShape(BaseModel):
    """A group, and how many people are in it."""

    name: str = Field(examples=["night shift"])
    people: int


class GroupsShape(BaseModel):
    """Every group, by name."""

    groups: list[GroupSizeShape]


class GroupShape(BaseModel):
    """A page of a group's people, by name."""

    group: str
    people: list[PersonShape]
    next: str | None = Field(description="the cursor of the next page; null: this is the last")


class GroupedShape(BaseModel):
    """Who came into a group, as they are now."""

    group: str
    added: list[PersonShape]


class UngroupedShape(BaseModel):
    """Who was taken out of a group, as they are now."""

    group: str
    removed: list[PersonShape]


class ConfiguredPackShape(BaseModel):
    """A member of a configuration."""

    pack: str = Field(description="name or folder", examples=["default"])
    weight: float = Field(description="of its evidence; all sum to 1")
    enabled: bool
    least_quality: dict[str, float] = Field(description="the least that a face must have")


class ConfigurationShape(BaseModel):
    """How people are recognised: a version."""

    members: list[ConfiguredPackShape]
    detector: str = Field(description="whose detector finds the faces; empty: the first member's")
    policy: str
    false_positive_rate: float
    review_factor: float
    least_members: int
    least_margin: float
    cascade: bool
    description: str
    author: str
    at: str
    version: int


class ConfigurationsShape(BaseModel):
    """Every version, from 1, and the one that decides; null where none was activated."""

    configurations: list[ConfigurationShape]
    active: int | None


class MemberStateShape(BaseModel):
    """A member as it is now."""

    pack: str
    model: ModelName | None
    slope: float | None = Field(description="of its calibration")
    fault: str | None = Field(description="why it cannot answer")


class ConfigurationShownShape(BaseModel):
    """A version, and the state of its members."""

    members: list[ConfiguredPackShape]
    detector: str = Field(description="whose detector finds the faces; empty: the first member's")
    policy: str
    false_positive_rate: float
    review_factor: float
    least_members: int
    least_margin: float
    cascade: bool
    description: str
    author: str
    at: str
    version: int
    active: bool
    models: list[MemberStateShape]
    calibration: str | None = Field(description="the data that its error rate was measured on")


class StaleShape(BaseModel):
    """Photos that lack a template of a version's models: they are not seen."""

    photos: int
    people: int
    models: list[ModelName] = Field(description="whose templates these photos have")


class ActivatedShape(BaseModel):
    """The version that decides from now on, and what it does not see."""

    active: int
    stale: StaleShape


class WebhookShape(BaseModel):
    """Where events go, without the secret that signs them."""

    id: str = Field(examples=["5f1c9a02"])
    url: str
    events: list[HookEventKind]
    made_at: Time
    off: str = Field(description="why nothing is sent any more: gone (410); empty: it is sent")
    waiting: int = Field(description="events that are still to be sent")
    last_status: int | None = Field(description="of the last answer; null: there was none")
    last_reason: str = Field(description="why there was none")


class WebhooksShape(BaseModel):
    """Every webhook."""

    webhooks: list[WebhookShape]


class NewWebhookShape(BaseModel):
    """A new webhook: its secret is told this once."""

    webhook: WebhookShape
    secret: str


class WebhookRemovedShape(BaseModel):
    """A webhook to which nothing is sent any more."""

    removed: str


class WebhookTestedShape(BaseModel):
    """What came of an event that was sent as a test."""

    delivered: bool
    status: int | None
    reason: str


class NegativeShape(BaseModel):
    """A face that is not a person."""

    id: Id
    person_id: Id
    added_at: Time


class NegativesShape(BaseModel):
    """The faces that are kept as not being a person."""

    negatives: list[NegativeShape]


class PhotoEffectShape(BaseModel):
    """What a negative does to an enrolled photo of its person."""

    sample: Id
    source: str
    similarity: float | None = Field(description="to their likest other photo; null: no other")
    negative_similarity: float = Field(description="to the face that is not the person")
    lost: bool = Field(description="accepted now, and would not be any more")


class RejectedShape(BaseModel):
    """What keeping a face as not a person's changes, and what was kept; null: nothing."""

    person: NamedShape
    similarity: float
    threshold: float | None
    photos: list[PhotoEffectShape]
    lost: int
    negative: NegativeShape | None


class NegativeRemovedShape(BaseModel):
    """A negative that is gone."""

    removed: NegativeShape


class MergedShape(BaseModel):
    """Two entries that are one person from now on."""

    merged: PersonShape = Field(description="as they were")
    into: PersonShape = Field(description="as they are now")


class UnmergedShape(BaseModel):
    """Who is apart again, with a new id, and who was kept."""

    unmerged: PersonShape
    kept: PersonShape = Field(alias="from")


class UndoneShape(BaseModel):
    """What the last enrolment had added, and is erased."""

    photos: int
    people: list[str] = Field(description="names of people who have no other photo")
    at: Time
