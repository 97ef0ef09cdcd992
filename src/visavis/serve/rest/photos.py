"""Routes about photos: faces, two photos compared, who is in them, embeddings."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.answers.documents import face_json, faces_json, identification_json, verification_json
from visavis.errors import VisavisError
from visavis.results import Identification, Verification
from visavis.serve.forms import Multipart, PhotoField, Upload
from visavis.serve.limits import SERVE_LIMITS
from visavis.serve.refusals import Refusal
from visavis.serve.rest.routes import told
from visavis.serve.rest.shapes import (
    DetectedAllShape,
    EmbeddedShape,
    IdentifiedAllShape,
    IdentifiedFaceShape,
    VerificationShape,
)
from visavis.serve.service import Service, failure_of, service_of
from visavis.serve.who.access import needs

photos = APIRouter(prefix="/v1", tags=["photos"])

PhotoFields = Annotated[
    list[PhotoField], Field(min_length=1, max_length=SERVE_LIMITS.photos, description="photos")
]
PolicyField = Annotated[
    str,
    Field(max_length=30, description="convenience, standard, strict, or a false match rate"),
]
GroupField = Annotated[str, Field(min_length=1, max_length=200)]
FaceNumber = Annotated[
    int | None,
    Field(ge=1, le=SERVE_LIMITS.faces, description="which face is meant: from 1, largest first"),
]


class DetectForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """Photos to find faces in."""

    images: PhotoFields


class VerifyForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """Two photos, and how sure to be."""

    a: PhotoField
    b: PhotoField
    policy: PolicyField | None = None  # the configuration's, or standard
    face_a: FaceNumber = None
    face_b: FaceNumber = None

    def compared(self, service: Service) -> Verification:
        """The answer. Raises Refusal, and as `Recognizer.verify`."""
        recognizer = service.recognizer
        return recognizer.compare(
            service.faces(self.a, recognizer),
            service.faces(self.b, recognizer),
            policy=self.policy,
            face_a=self.face_a,
            face_b=self.face_b,
        )


class IdentifyForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """Photos to search the gallery for."""

    images: PhotoFields
    false_positive_rate: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share of strangers that may be taken for anybody at all; without one, the "
        "configuration's, or 0.01",
    )
    among: GroupField | None = Field(None, description="search the people of this group alone")


class EmbedForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """A photo to make embeddings of."""

    image: PhotoField


class VerifyPersonForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """A photo to compare with somebody of the gallery."""

    image: PhotoField
    policy: PolicyField | None = None  # the configuration's, or standard
    face: FaceNumber = None


DETECT = Multipart(DetectForm, photos=SERVE_LIMITS.photos)
VERIFY = Multipart(VerifyForm, photos=2)
IDENTIFY = Multipart(IdentifyForm, photos=SERVE_LIMITS.photos)
EMBED = Multipart(EmbedForm, photos=1)
VERIFY_PERSON = Multipart(VerifyPersonForm, photos=1)


@photos.post(
    "/detect",
    dependencies=[needs("guest")],
    openapi_extra=DETECT.documented(),
    responses={**told(DetectedAllShape, form=True)},
)
async def detect(request: Request, form: Annotated[DetectForm, Depends(DETECT)]) -> JSONResponse:
    """Every face of each photo: box, landmarks, score, quality. Nothing is kept."""
    service = service_of(request)

    def one(upload: Upload) -> dict[str, Any]:
        photo = service.faces(upload, service.recognizer)
        return faces_json(photo, photo.qualities())

    return await _each(service, form.images, one)


@photos.post(
    "/verify",
    dependencies=[needs("guest")],
    openapi_extra=VERIFY.documented(),
    responses={**told(VerificationShape, form=True)},
)
async def verify(request: Request, form: Annotated[VerifyForm, Depends(VERIFY)]) -> JSONResponse:
    """Are these two photos of one person? The decision with its error rates. Nothing is kept."""
    service = service_of(request)

    def compare() -> dict[str, Any]:
        return verification_json(form.compared(service))

    return JSONResponse(await service.desk.run(compare))


@photos.post(
    "/identify",
    dependencies=[needs("viewer")],
    openapi_extra=IDENTIFY.documented(),
    responses={**told(IdentifiedAllShape, "conflict", form=True)},
)
async def identify(
    request: Request, form: Annotated[IdentifyForm, Depends(IDENTIFY)]
) -> JSONResponse:
    """Who is in these photos? Every face: box, decision, runner-up. Whoever is matched is noted as
    seen; the photos are not kept.
    """
    service = service_of(request)
    seen: list[Identification] = []

    def one(upload: Upload) -> dict[str, Any]:
        recognizer = service.recognizer
        faces = recognizer.search(
            service.faces(upload, recognizer),
            service.gallery,
            false_positive_rate=form.false_positive_rate,
            among=form.among,
        )
        seen.extend(faces)
        return {"path": upload.name, "faces": [identification_json(face) for face in faces]}

    answer = await _each(service, form.images, one)
    await service.desk.run(partial(service.saw, request, seen))
    await service.desk.run(partial(service.note, request))
    return answer


@photos.post(
    "/people/{person}/verify",
    tags=["people"],
    dependencies=[needs("viewer")],
    openapi_extra=VERIFY_PERSON.documented(),
    responses={**told(IdentifiedFaceShape, "not_found", form=True)},
)
async def verify_person(
    request: Request, person: str, form: Annotated[VerifyPersonForm, Depends(VERIFY_PERSON)]
) -> JSONResponse:
    """Is this photo of that person? Compared with their templates and no one else's."""
    service = service_of(request)

    def compare() -> dict[str, Any]:
        known = service.person(person)
        photo = service.photo(form.image)
        compared = service.recognizer.verify_person(
            photo, service.gallery, known, policy=form.policy, face=form.face
        )
        service.note(request, known.id)
        return identification_json(compared)

    return JSONResponse(await service.desk.run(compare))


@photos.post(
    "/embed",
    dependencies=[needs("admin")],
    openapi_extra=EMBED.documented(),
    responses={**told(EmbeddedShape, form=True)},
)
async def embed(request: Request, form: Annotated[EmbedForm, Depends(EMBED)]) -> JSONResponse:
    """The embeddings of a photo's faces: biometric data. Off unless the service was started with
    embeddings.
    """
    service = service_of(request)
    if not service.asked.embeddings:
        what = "embeddings are not given out by this service"
        raise Refusal("forbidden", what, mend="start it with embeddings switched on")

    def made() -> dict[str, Any]:
        recognizer = service.recognizer
        photo, embedder = service.faces(form.image, recognizer), recognizer.embed
        rows = recognizer.embed_faces(photo, range(len(photo.faces)))
        service.note(request)
        return {
            "model": embedder.model,
            "dim": embedder.dim,
            "faces": [face_json(face) for face in photo.faces],
            "embeddings": rows.tolist(),
        }

    return JSONResponse(await service.desk.run(made))


async def _each(
    service: Service, uploads: Sequence[Upload], one: Callable[[Upload], dict[str, Any]]
) -> JSONResponse:
    """Each photo with its answer; what failed is listed. The error itself, where all did."""
    images: list[dict[str, Any]] = []
    errors: list[tuple[Upload, VisavisError]] = []

    def work() -> None:
        for upload in uploads:
            try:
                images.append(one(upload))
            except VisavisError as error:
                errors.append((upload, error))

    await service.desk.run(work)
    if not images:
        raise errors[0][1]
    listed = [failure_of(upload, error) for upload, error in errors]
    return JSONResponse({"images": images, "errors": listed})
