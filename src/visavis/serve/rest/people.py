"""Routes about the people of the gallery and their photos."""

import base64
import binascii
import json
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.answers.people import person_json
from visavis.enrollment import UNREADABLE, Candidate, Enrolled, enroll
from visavis.errors import GalleryError, VisavisError
from visavis.gallery import Person
from visavis.gallery.merging import last_merge, merge_people, unmerge
from visavis.gallery.paging import Place, people_page
from visavis.gallery.proof import erase_with_proof
from visavis.gallery.runs import last_run, undo_run
from visavis.serve.forms import Multipart, Upload
from visavis.serve.limits import SERVE_LIMITS
from visavis.serve.once import WriteAnswer
from visavis.serve.refusals import Refusal, status_of
from visavis.serve.rest.kept import MergedShape, UndoneShape, UnmergedShape
from visavis.serve.rest.photos import FaceNumber, PhotoFields
from visavis.serve.rest.routes import response_of, told
from visavis.serve.rest.shapes import (
    EnrolledShape,
    ErasureShape,
    PeopleShape,
    PersonShape,
    PersonShownShape,
    PhotoRemovedShape,
    RefusedPhotosShape,
)
from visavis.serve.service import Service, service_of, write_once
from visavis.serve.who.access import needs

people = APIRouter(prefix="/v1/people", tags=["people"])

# Statuses of photos that are not enrolled, by the reason's code; 422 for the others.
CONFLICTS = {"other_person": 409, "not_compared": 409, "here_already": 200}
PAGE = 50  # people on one
CURSOR = "people cursor"
KeptText = Annotated[str, Field(min_length=1, max_length=10_000)]
ShortText = Annotated[str, Field(min_length=1, max_length=200)]


class EnrollForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """Somebody, with photos that show them."""

    name: ShortText
    images: PhotoFields
    external_id: ShortText | None = None
    consent: KeptText | None = None
    face: FaceNumber = None
    keep_crops: bool = Field(False, description="keep the aligned crops, encrypted")
    anyway: bool = Field(False, description="take photos of poor quality or doubtful likeness too")


class SamplesForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """More photos of somebody."""

    images: PhotoFields
    face: FaceNumber = None
    keep_crops: bool = False
    anyway: bool = False


class PersonChange(BaseModel, extra="forbid"):
    """What is to be another of a person's; what is left out stays."""

    name: ShortText | None = None
    consent: KeptText | None = None


class MergeAsked(BaseModel, extra="forbid"):
    """Who else it is."""

    other: ShortText = Field(description="the id of who is merged into this person")


ENROLL = Multipart(EnrollForm, photos=SERVE_LIMITS.photos)
SAMPLES = Multipart(SamplesForm, photos=SERVE_LIMITS.photos)
ENROLLED = {
    **told(EnrolledShape, "conflict", form=True),
    201: response_of(EnrolledShape, "enrolled"),
    409: response_of(RefusedPhotosShape, "like somebody else"),
    422: response_of(RefusedPhotosShape, "no photo is of use, or a field is wrong"),
}


@people.get("", dependencies=[needs("viewer")], responses={**told(PeopleShape, "invalid")})
def list_everybody(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=500)] = PAGE,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
    q: Annotated[str, Query(max_length=200, description="in the name or your own id")] = "",
) -> JSONResponse:
    """The people of the gallery by name, a page at a time."""
    service = service_of(request)
    after = place_of(service, cursor) if cursor else None
    page, more = people_page(service.gallery, limit, after=after, like=q)
    service.note(request)
    document = {"people": [asdict(one) for one in page], "next": more and cursor_of(service, more)}
    return JSONResponse(document)


@people.post(
    "",
    status_code=201,
    dependencies=[needs("operator")],
    openapi_extra=ENROLL.documented(),
    responses={**ENROLLED},
)
async def enroll_person(
    request: Request, form: Annotated[EnrollForm, Depends(ENROLL)]
) -> JSONResponse:
    """Enrol somebody with photos: each is accepted, or refused with its reason. Whoever has the
    name and your own id already gets the photos.
    """
    service = service_of(request)

    def work() -> WriteAnswer:
        return enrolled_answer(service, request, form, (form.name, form.external_id, form.consent))

    return await service.desk.run(lambda: write_once(request, form, work))


@people.get(
    "/{person}",
    dependencies=[needs("viewer")],
    responses={**told(PersonShownShape, "not_found", "invalid")},
)
def show_person(request: Request, person: str) -> JSONResponse:
    """Somebody, with their photos: quality, models, times. No template is shown."""
    service = service_of(request)
    known = service.person(person)
    service.note(request, known.id)
    return JSONResponse(person_json(known, service.gallery.samples(known.id)))


@people.patch(
    "/{person}",
    dependencies=[needs("operator")],
    responses={**told(PersonShape, "not_found", "invalid", "conflict")},
)
def change_person(request: Request, person: str, change: PersonChange) -> JSONResponse:
    """Another name, or a note of what they agreed to."""
    service = service_of(request)

    def work() -> WriteAnswer:
        known = service.person(person)
        if change.name is not None:
            service.gallery.rename(known.id, change.name)
        if change.consent is not None:
            service.gallery.note_consent(known.id, change.consent)
        return WriteAnswer(asdict(service.person(person)), person=person)

    return write_once(request, change, work)


@people.delete(
    "/{person}",
    dependencies=[needs("admin")],
    responses={**told(ErasureShape, "not_found", "conflict", "invalid")},
)
def erase_person(request: Request, person: str) -> JSONResponse:
    """Erase somebody: name, photos, templates, kept answers. The answer proves it; keep it."""
    service = service_of(request)

    def work() -> WriteAnswer:
        return WriteAnswer(asdict(erase_with_proof(service.gallery, service.person(person).id)))

    return write_once(request, None, work)


@people.post(
    "/{person}/samples",
    status_code=201,
    dependencies=[needs("operator")],
    openapi_extra=SAMPLES.documented(),
    responses={**ENROLLED, **told(EnrolledShape, "not_found")},
)
async def add_samples(
    request: Request, person: str, form: Annotated[SamplesForm, Depends(SAMPLES)]
) -> JSONResponse:
    """More photos of somebody: each is accepted, or refused with its reason."""
    service = service_of(request)

    def work() -> WriteAnswer:
        known = service.person(person)
        return enrolled_answer(service, request, form, (known.name, known.external_id, None))

    return await service.desk.run(lambda: write_once(request, form, work))


@people.delete(
    "/{person}/samples/{sample}",
    dependencies=[needs("operator")],
    responses={**told(PhotoRemovedShape, "not_found", "conflict", "invalid")},
)
def remove_sample(request: Request, person: str, sample: str) -> JSONResponse:
    """Erase one photo of somebody: its crop and templates. The person stays."""
    service = service_of(request)

    def work() -> WriteAnswer:
        known = service.person(person)
        if all(one.id != sample for one in service.gallery.samples(known.id)):
            raise Refusal("not_found", "this person has no photo of this id")
        service.gallery.remove_photos([sample])
        document = {"removed": sample, "person": asdict(service.person(person))}
        return WriteAnswer(document, person=person)

    return write_once(request, None, work)


@people.post(
    "/{person}:merge",
    dependencies=[needs("operator")],
    responses={**told(MergedShape, "not_found", "invalid", "conflict")},
)
def merge_person(request: Request, person: str, asked: MergeAsked) -> JSONResponse:
    """Both are one person: this one gets the photos of the other, who is no longer listed."""
    service = service_of(request)

    def work() -> WriteAnswer:
        kept, other = service.person(person), service.person(asked.other)
        merge_people(service.gallery, kept.id, other.id)
        document = {"merged": asdict(other), "into": asdict(service.person(person))}
        return WriteAnswer(document, person=kept.id)

    return write_once(request, asked, work)


@people.post(
    "/{person}:unmerge",
    dependencies=[needs("operator")],
    responses={**told(UnmergedShape, "not_found", "invalid", "conflict")},
)
def unmerge_person(request: Request, person: str) -> JSONResponse:
    """Take the last merge into this person back."""
    service = service_of(request)

    def work() -> WriteAnswer:
        again = unmerge(service.gallery, last_merge(service.gallery, service.person(person)))
        document = {"unmerged": asdict(again), "from": asdict(service.person(person))}
        return WriteAnswer(document, person=again.id)

    return write_once(request, None, work)


@people.post(
    ":undo", dependencies=[needs("admin")], responses={**told(UndoneShape, "conflict", "invalid")}
)
def undo_enrolment(request: Request) -> JSONResponse:
    """Erase what the last enrolment added: its photos, and people who have no other."""
    service = service_of(request)

    def work() -> WriteAnswer:
        try:
            run = last_run(service.gallery)
        except GalleryError as error:
            service.gallery.audit_head()  # one that is damaged says so
            raise Refusal("conflict", "no enrolment is left to be undone") from error
        erased = undo_run(service.gallery, run)
        return WriteAnswer({"photos": len(run.photos), "people": erased, "at": run.at})

    return write_once(request, None, work)


def enrolled_answer(
    service: Service,
    request: Request,
    form: EnrollForm | SamplesForm,
    who: tuple[str, str | None, str | None],
) -> WriteAnswer:
    """Enrol a form's photos; who it is: name, external id, consent."""
    name, external_id, consent = who
    results: list[Enrolled] = []
    candidates = []
    for upload in form.images:
        try:
            photo = service.photo(upload)
        except VisavisError as error:
            if len(form.images) == 1:
                raise
            results.append(_unreadable(name, upload, error))
        else:
            candidates.append(Candidate(name, photo, external_id, consent, form.face))
    results += enroll(
        service.recognizer,
        service.gallery,
        candidates,
        keep_crops=form.keep_crops,
        anyway=form.anyway,
    )
    return _answer(request, results, service.gallery.known_as(name, external_id))


def _answer(request: Request, results: list[Enrolled], person: Person | None) -> WriteAnswer:
    """201 where a photo was enrolled, else the status of the first one's reason."""
    photos = [asdict(one) for one in results]
    accepted = any(one.accepted for one in results)
    first = results[0]
    status = 201 if accepted else CONFLICTS.get(first.reason, status_of(Refusal("invalid", "")))
    identity = person.id if person else None
    if status in (200, 201):
        document: dict[str, Any] = {"person": person and asdict(person), "photos": photos}
        return WriteAnswer(document, status, identity)
    fault = {"code": first.reason, "message": first.detail, "mend": ""}
    error = {**fault, "request_id": request.state.id}
    return WriteAnswer({"error": error, "photos": photos}, status, identity)


def _unreadable(name: str, upload: Upload, error: VisavisError) -> Enrolled:
    return Enrolled(name, upload.name, False, UNREADABLE, str(error))


def cursor_of(service: Service, place: Place) -> str:
    """A place as a text that shows no name, and that nobody else can make."""
    gallery = service.gallery
    sealed = gallery.vault.seal(json.dumps(place).encode(), gallery.id, CURSOR)
    return base64.urlsafe_b64encode(sealed).decode()


def place_of(service: Service, cursor: str) -> Place:
    gallery = service.gallery
    try:
        sealed = base64.urlsafe_b64decode(cursor.encode())
    except (binascii.Error, UnicodeEncodeError, ValueError):
        sealed = b""
    opened = gallery.vault.open(sealed, gallery.id, CURSOR)
    if opened is None:
        raise Refusal("invalid", "cursor: expected what a page before gave as `next`")
    name, person = json.loads(opened)
    return name, person
