"""Routes about people whom nobody knows: listed, named, discarded."""

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis.answers.unknown import clusters_json, named_json
from visavis.attendance.inbox import Inbox, Named
from visavis.serve.once import WriteAnswer
from visavis.serve.punching import actor_of
from visavis.serve.refusals import Refusal
from visavis.serve.rest.dayshapes import DiscardedShape, NamedUnknownShape, UnknownsShape
from visavis.serve.rest.people import KeptText, ShortText
from visavis.serve.rest.punches import PunchNumber, Reason
from visavis.serve.rest.routes import told
from visavis.serve.service import service_of, write_once
from visavis.serve.who.access import needs

unknowns = APIRouter(prefix="/v1/attendance/unknown", tags=["attendance"])

OneAlone = Annotated[bool, Field(description="this sighting, and not all that are like it")]


class NameAsked(BaseModel, extra="forbid"):
    """Who somebody unknown is: somebody of the gallery, or, `new`, somebody to be enrolled."""

    who: ShortText = Field(
        description="by id, by your own id, or by name; of somebody new the name"
    )
    reason: Reason
    new: bool = False
    external_id: ShortText | None = Field(None, description="of somebody new: your own id")
    consent: KeptText | None = Field(None, description="of somebody new: what they agreed to")
    alone: OneAlone = False


class DiscardAsked(BaseModel, extra="forbid"):
    """Why nobody is to be named by a face."""

    reason: Reason
    alone: OneAlone = False


@unknowns.get("", dependencies=[needs("viewer")], responses={**told(UnknownsShape, "invalid")})
def list_unknowns(request: Request) -> JSONResponse:
    """Everybody unknown, the most often seen first: how often, from when to when, where, and whom
    they are like. A `number` stands for all that are alike.
    """
    service = service_of(request)
    inbox = service.inbox()
    service.note(request)
    inbox.relate()
    return JSONResponse(clusters_json(inbox.clusters(), inbox.attendance.directory))


@unknowns.post(
    "/{number}:name",
    status_code=201,
    dependencies=[needs("operator")],
    responses={**told(NamedUnknownShape, "conflict", "invalid", status=201)},
)
def name_unknown(request: Request, number: PunchNumber, asked: NameAsked) -> JSONResponse:
    """Say who somebody unknown is: their punches are back-filled, marked corrected."""
    service = service_of(request)

    def work() -> WriteAnswer:
        inbox = service.inbox()
        named = named_by(inbox, numbers_of(inbox, number, alone=asked.alone), asked, request)
        return WriteAnswer(named_json(named), 201, named.person.id)

    return write_once(request, asked, work)


@unknowns.post(
    "/{number}:discard",
    dependencies=[needs("operator")],
    responses={**told(DiscardedShape, "conflict", "invalid")},
)
def discard_unknown(request: Request, number: PunchNumber, asked: DiscardAsked) -> JSONResponse:
    """Remove somebody unknown: their faces and crops are gone, and nobody is named."""
    service = service_of(request)

    def work() -> WriteAnswer:
        inbox = service.inbox()
        numbers = numbers_of(inbox, number, alone=asked.alone)
        count = inbox.discard(numbers, actor=actor_of(request), reason=asked.reason)
        return WriteAnswer({"discarded": count})

    return write_once(request, asked, work)


def numbers_of(inbox: Inbox, number: int, *, alone: bool) -> list[int]:
    """The sightings that a number stands for. Raises AttendanceError where there is none."""
    return [number] if alone else inbox.cluster(number).numbers


def named_by(inbox: Inbox, numbers: list[int], asked: NameAsked, request: Request) -> Named:
    """Name sightings as was asked. Raises Refusal, AttendanceError, PersonError."""
    actor = actor_of(request)
    if asked.new:
        return inbox.enroll(
            numbers,
            asked.who,
            actor=actor,
            reason=asked.reason,
            external_id=asked.external_id,
            consent=asked.consent,
        )
    if asked.external_id or asked.consent:
        raise Refusal("invalid", "external_id and consent are of somebody new", mend="say new")
    return inbox.name(numbers, asked.who, actor=actor, reason=asked.reason)
