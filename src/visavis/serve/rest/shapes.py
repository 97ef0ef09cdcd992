"""The documents of the service as OpenAPI describes them: the fields of docs/json.md, with types.

They describe and check nothing here: what is answered is what `visavis.answers` makes.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

OutcomeName = Literal["match", "review", "no_match"]
Similarity = Annotated[float, Field(ge=-1, le=1, description="cosine; larger is closer")]
Time = Annotated[str, Field(description="ISO 8601, in UTC", examples=["2026-11-28T09:30:00.000Z"])]
Id = Annotated[str, Field(examples=["3f2b8c1d9e4a4f6b8a7c5d2e1f0a9b8c"])]
FaceBox = Annotated[
    list[float],
    Field(description="left, top, right, bottom, pixels", examples=[[214.0, 108.5, 420.3, 377.9]]),
]
GroupNames = Annotated[list[str], Field(examples=[["night shift"]])]
ModelName = Annotated[str, Field(examples=["sface@0123456789ab"])]


class FaultShape(BaseModel):
    """What went wrong."""

    code: str = Field(description="never changes", examples=["no_face"])
    message: str = Field(description="for people", examples=["a.jpg: no face found"])
    mend: str = Field(description="what to do about it", examples=["a face must be clearly seen"])
    request_id: str = Field(description="to be told when asking for help", examples=["9c0f5b7a"])


class ErrorShape(BaseModel):
    """Every error."""

    error: FaultShape


class FaceShape(BaseModel):
    """A face in pixels of its photo, which is upright."""

    box: FaceBox
    landmarks: list[list[float]] | None = Field(
        description="eyes, nose, corners of the mouth; the viewer's left first"
    )
    score: float = Field(ge=0, le=1, description="the detector's certainty", examples=[0.93])


class QualityShape(BaseModel):
    """What was measured on a face, and the codes of what is poor."""

    score: float
    size: float = Field(description="pixels, the shorter side of the box")
    sharpness: float
    brightness: float
    yaw: float = Field(description="degrees")
    pitch: float
    roll: float
    inside: float = Field(description="share of the box within the photo")
    reasons: list[str] = Field(examples=[["blurred"]])


class DetectedFaceShape(BaseModel):
    """A face and how good it is; null: no crop can be cut."""

    box: FaceBox
    landmarks: list[list[float]] | None
    score: float
    quality: QualityShape | None


class DetectedShape(BaseModel):
    """A photo's faces, largest first."""

    path: str = Field(description="the photo's name", examples=["a.jpg"])
    width: int
    height: int
    turn: int = Field(description="degrees by which the photo lies")
    faces: list[DetectedFaceShape]
    truncated: bool = Field(description="whether there are more faces than are told")


class FailureShape(BaseModel):
    """A photo that failed, and why; the others are not affected."""

    path: str
    code: str
    message: str
    mend: str


class DetectedAllShape(BaseModel):
    """Each photo, or why it could not be read."""

    images: list[DetectedShape]
    errors: list[FailureShape]


class MeasuredShape(BaseModel):
    """What error rates were measured on."""

    dataset: str = Field(examples=["lfw"])
    people: int
    same_pairs: int
    different_pairs: int


class ComparedFaceShape(BaseModel):
    """A face of one of the two photos."""

    photo: str
    turn: int
    chosen: bool = Field(description="whether it is the face that was compared")
    box: FaceBox
    landmarks: list[list[float]] | None
    score: float


class VerificationShape(BaseModel):
    """Two photos compared."""

    outcome: OutcomeName
    similarity: Similarity
    threshold: float | None = Field(description="of a match; null: no error rate is known")
    review_threshold: float | None
    false_match_rate: float | None = Field(description="share of strangers' pairs that pass")
    false_match_rate_upper: float | None = Field(description="end of its 95 % interval")
    false_non_match_rate: float | None = Field(description="share of same pairs that are missed")
    model: ModelName
    calibration: MeasuredShape | None
    faces: list[ComparedFaceShape]
    quality: list[QualityShape]
    warnings: list[str]


class NamedShape(BaseModel):
    """Somebody of the gallery."""

    id: Id
    name: str = Field(examples=["Ada Lovelace"])


class RunnerUpShape(BaseModel):
    """Whoever is next closest."""

    name: str
    similarity: Similarity


class IdentifiedFaceShape(BaseModel):
    """A face, and who it may be."""

    box: FaceBox
    landmarks: list[list[float]] | None
    score: float
    outcome: OutcomeName
    person: NamedShape | None = Field(description="of a match alone")
    closest: NamedShape | None = Field(description="however unlike")
    similarity: float
    threshold: float | None
    false_positive_rate: float | None = Field(description="share of strangers taken for anybody")
    runner_up: RunnerUpShape | None
    margin: float
    warnings: list[str]


class IdentifiedShape(BaseModel):
    """A photo and who is in it."""

    path: str
    faces: list[IdentifiedFaceShape]


class IdentifiedAllShape(BaseModel):
    """Each photo, or why it could not be read."""

    images: list[IdentifiedShape]
    errors: list[FailureShape]


class EmbeddedShape(BaseModel):
    """The embeddings of a photo's faces, largest first: unit vectors."""

    model: ModelName
    dim: int
    faces: list[FaceShape]
    embeddings: list[list[float]]


class PersonShape(BaseModel):
    """Somebody of the gallery; `samples` is the number of their photos."""

    id: Id
    name: str = Field(examples=["Ada Lovelace"])
    external_id: str | None = Field(examples=["E-1017"])
    consent: str | None
    added_at: Time
    seen_at: str | None
    samples: int
    groups: GroupNames


class PeopleShape(BaseModel):
    """A page of people, by name."""

    people: list[PersonShape]
    next: str | None = Field(description="the cursor of the next page; null: this is the last")


class SampleShape(BaseModel):
    """A photo that was enrolled."""

    id: Id
    person_id: Id
    source: str = Field(examples=["ada.jpg"])
    source_sha256: str
    quality: QualityShape | dict[str, Any] | None
    added_at: Time
    models: list[ModelName]
    crop: bool


class PersonShownShape(BaseModel):
    """Somebody, with their photos."""

    id: Id
    name: str
    external_id: str | None
    consent: str | None
    added_at: Time
    seen_at: str | None
    samples: list[SampleShape]
    groups: GroupNames


class EnrolledPhotoShape(BaseModel):
    """What became of a photo."""

    name: str
    photo: str
    accepted: bool
    reason: str = Field(description="code of a refusal", examples=["blurred"])
    detail: str


class EnrolledShape(BaseModel):
    """What became of each photo, and whom they show; null: nothing was enrolled."""

    person: PersonShape | None
    photos: list[EnrolledPhotoShape]


class RefusedPhotosShape(BaseModel):
    """No photo was enrolled, and why none was; `photos` where they were looked at."""

    error: FaultShape
    photos: list[EnrolledPhotoShape] = Field(default=[])


class ErasureShape(BaseModel):
    """The proof of an erasure: what was erased, what is left, the audit's entry."""

    person: Id
    photos: int = Field(description="erased")
    templates: int = Field(description="erased, of all models")
    left: int = Field(description="rows of the person that are still there: 0")
    files_clean: bool = Field(
        description="whether no trace is left in unused parts of the files; false: they are "
        "written anew when the gallery is next opened"
    )
    beyond: list[str] = Field(description="what the erasure does not reach")
    entry: int = Field(description="number of the audit's entry")
    head: str = Field(description="the audit's head: keep it where nobody can alter it")
    at: Time


class PhotoRemovedShape(BaseModel):
    """A photo that was erased; its person stays."""

    removed: Id
    person: PersonShape


class EntryShape(BaseModel):
    """An entry of the audit."""

    seq: int
    at: Time
    action: str = Field(examples=["enroll"])
    person: str | None
    details: dict[str, Any]


class AuditShape(BaseModel):
    """Entries of the audit, in order, and its head."""

    entries: list[EntryShape]
    head: str
    next: int | None = Field(description="ask for what is after this; null: these are the last")


class WholeShape(BaseModel):
    """Whether every entry of the audit is as it was written."""

    whole: bool
    broken_at: int | None


class PackShape(BaseModel):
    """A pack that is installed."""

    name: str = Field(examples=["default"])
    detector: str = Field(examples=["yunet"])
    embedder: ModelName
    dim: int
    commercial: str = Field(description="yes, no or unknown", examples=["yes"])


class PacksShape(BaseModel):
    """The packs that are installed, the one that answers here, and what its policies mean."""

    packs: list[PackShape]
    active: str = Field(examples=["default"])
    model: ModelName
    policies: dict[str, str] = Field(description="in words, by policy")


class HealthShape(BaseModel):
    """That the process answers."""

    status: Literal["ok"]
    version: str


class ReadyShape(BaseModel):
    """That models and gallery are loaded."""

    status: Literal["ready"]


class KeyShape(BaseModel):
    """A key, without what it takes to use it."""

    id: str = Field(examples=["5f1c9a02"])
    name: str
    scope: Literal["kiosk", "viewer", "operator", "admin"]
    per_minute: int
    device: str = Field(description="of a kiosk: what it punches for; else empty")
    made_at: Time


class KeysShape(BaseModel):
    """Every key."""

    keys: list[KeyShape]


class NewKeyShape(BaseModel):
    """A new key: its text is told this once."""

    key: KeyShape
    text: str = Field(examples=["visavis_5f1c9a02_..."])


class RevokedShape(BaseModel):
    """A key that opens nothing any more."""

    revoked: str


class JobFaultShape(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    mend: str
    request_id: str = Field(description="the job's id")


class JobShape(BaseModel):
    """An import, and how far it is."""

    id: Id
    state: Literal["waiting", "running", "done", "failed", "interrupted"]
    by: str = Field(description="the id of the key that began it")
    at: Time
    total: int = Field(description="files")
    done: int
    accepted: int
    refused: int
    error: JobFaultShape | None


class JobsShape(BaseModel):
    """The last imports, the newest first."""

    jobs: list[JobShape]


class JobFileShape(BaseModel):
    """What became of a file; those of people who were erased are gone."""

    number: int
    name: str
    photo: str
    accepted: bool
    reason: str
    detail: str = Field(description="empty: it may name somebody else")


class JobShownShape(BaseModel):
    """An import, and what became of its files."""

    id: Id
    state: Literal["waiting", "running", "done", "failed", "interrupted"]
    by: str
    at: Time
    total: int
    done: int
    accepted: int
    refused: int
    error: JobFaultShape | None
    files: list[JobFileShape]
    next: int | None = Field(description="ask for what is after this; null: these are the last")
