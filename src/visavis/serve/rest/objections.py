"""Routes about people's own view of their days: links to it, what they object to, the answers."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.answers.objections import objection_json
from visavis.attendance.objections import objections_of, settle
from visavis.serve.once import WriteAnswer
from visavis.serve.punching import actor_of
from visavis.serve.rest.dayshapes import (
    LinkShape,
    LinksRevokedShape,
    ObjectionShape,
    ObjectionsShape,
)
from visavis.serve.rest.punches import PunchNumber, Reason
from visavis.serve.rest.routes import told
from visavis.serve.service import service_of, write_once
from visavis.serve.who.access import needs
from visavis.serve.who.links import MOST_DAYS_OF_LINK, OwnLinks

objections = APIRouter(prefix="/v1/attendance", tags=["attendance"])


class Answer(BaseModel, extra="forbid"):
    """What somebody is told of their objection."""

    reason: Reason


class NewLink(BaseModel, extra="forbid"):
    """A link to make."""

    days: Annotated[int, Field(ge=1, le=MOST_DAYS_OF_LINK, description="it is valid for")] = 30


@objections.get(
    "/objections", dependencies=[needs("viewer")], responses={**told(ObjectionsShape, "invalid")}
)
def list_objections(request: Request, open: bool = True) -> JSONResponse:
    """What people object to, the last first; with `open` false, what is settled, too."""
    service = service_of(request)
    attendance = service.attendance()
    service.note(request)
    listed = [one for one in objections_of(attendance) if one.is_open or not open]
    document = [objection_json(one, attendance.directory) for one in listed]
    return JSONResponse({"objections": document})


@objections.post(
    "/objections/{number}/settlement",
    status_code=201,
    dependencies=[needs("operator")],
    responses={**told(ObjectionShape, "conflict", "invalid", status=201)},
)
def settle_objection(request: Request, number: PunchNumber, said: Answer) -> JSONResponse:
    """Answer an objection. It changes no day: correct what was wrong beside it."""
    service = service_of(request)

    def work() -> WriteAnswer:
        attendance = service.attendance()
        made = settle(attendance, number, actor=actor_of(request), reason=said.reason)
        return WriteAnswer(objection_json(made, attendance.directory), 201, made.person)

    return write_once(request, said, work)


@objections.post(
    "/people/{person}/links",
    status_code=201,
    dependencies=[needs("operator")],
    responses={**told(LinkShape, "not_found", "invalid", status=201)},
)
def make_own_link(request: Request, person: str, new: NewLink) -> JSONResponse:
    """A link by which somebody reads their own days. It is told this once; an `Idempotency-Key` is
    not taken, because it would have to be kept.
    """
    service = service_of(request)
    known = service.person(person)
    service.note(request, known.id)
    text = OwnLinks(service.gallery).make(known.id, new.days)
    return JSONResponse({"path": f"/mine/{text}", "days": new.days}, 201)


@objections.delete(
    "/people/{person}/links",
    dependencies=[needs("operator")],
    responses={**told(LinksRevokedShape, "not_found", "conflict", "invalid")},
)
def revoke_own_links(request: Request, person: str) -> JSONResponse:
    """Every link of somebody that was made until now opens nothing."""
    service = service_of(request)

    def work() -> WriteAnswer:
        known = service.person(person)
        OwnLinks(service.gallery).revoke(known.id)
        return WriteAnswer({"revoked": known.id}, person=known.id)

    return write_once(request, None, work)
