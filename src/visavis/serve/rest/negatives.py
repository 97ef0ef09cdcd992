"""Routes about faces that are not somebody: what keeping one changes, kept, listed, removed."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from visavis.answers.people import rejection_json
from visavis.gallery.negatives import Negative, negatives_of, remove_negative
from visavis.rejection import keep_rejection, rejection_of
from visavis.serve.forms import Multipart, PhotoField
from visavis.serve.once import WriteAnswer
from visavis.serve.refusals import Refusal
from visavis.serve.rest.kept import NegativeRemovedShape, NegativesShape, RejectedShape
from visavis.serve.rest.photos import FaceNumber
from visavis.serve.rest.routes import told
from visavis.serve.service import Service, service_of, write_once
from visavis.serve.who.access import needs

negatives = APIRouter(prefix="/v1/people/{person}/negatives", tags=["people"])


class RejectForm(BaseModel, extra="forbid", arbitrary_types_allowed=True):
    """A photo of a face that is not the person."""

    image: PhotoField
    face: FaceNumber = None
    dry_run: bool = False  # only tell what it would change


REJECT = Multipart(RejectForm, photos=1)


@negatives.get(
    "", dependencies=[needs("viewer")], responses={**told(NegativesShape, "not_found", "invalid")}
)
def list_negatives(request: Request, person: str) -> JSONResponse:
    """The faces that are kept as not being this person."""
    service = service_of(request)
    known = service.person(person)
    service.note(request, known.id)
    listed = [asdict(one) for one in negatives_of(service.gallery, known.id)]
    return JSONResponse({"negatives": listed})


@negatives.post(
    "",
    dependencies=[needs("operator")],
    openapi_extra=REJECT.documented(),
    responses={**told(RejectedShape, "not_found", "conflict", form=True)},
)
async def reject_face(
    request: Request, person: str, form: Annotated[RejectForm, Depends(REJECT)]
) -> JSONResponse:
    """Keep that this face is not this person, so that it does not match again; with what that
    changes: which of their photos are accepted now, and would not be any more.
    """
    service = service_of(request)

    def work() -> WriteAnswer:
        known, photo = service.person(person), service.photo(form.image)
        rejection = rejection_of(service.recognizer, service.gallery, known, photo, form.face)
        negative = None if form.dry_run else keep_rejection(service.gallery, rejection)
        return WriteAnswer(rejection_json(rejection, negative), person=known.id)

    return await service.desk.run(lambda: write_once(request, form, work))


@negatives.delete(
    "/{negative}",
    dependencies=[needs("operator")],
    responses={**told(NegativeRemovedShape, "not_found", "conflict", "invalid")},
)
def forget_negative(request: Request, person: str, negative: str) -> JSONResponse:
    """They may be named by that face again."""
    service = service_of(request)

    def work() -> WriteAnswer:
        removed = negative_of(service, person, negative)
        remove_negative(service.gallery, removed)
        return WriteAnswer({"removed": asdict(removed)}, person=person)

    return write_once(request, None, work)


def negative_of(service: Service, person: str, negative: str) -> Negative:
    """A person's negative by its id. Raises Refusal, 404."""
    known = service.person(person)
    for one in negatives_of(service.gallery, known.id):
        if one.id == negative:
            return one
    raise Refusal("not_found", "this person has no negative of this id")
