"""Routes about the service itself: whether it works, its models, its keys, its audit."""

import json
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from visavis import __version__
from visavis.answers.packs import listed_json
from visavis.answers.words import policies_words
from visavis.gallery.paging import audit_page
from visavis.pack import installed_packs
from visavis.serve.once import WriteAnswer
from visavis.serve.refusals import busy
from visavis.serve.rest.routes import told
from visavis.serve.rest.shapes import (
    AuditShape,
    HealthShape,
    KeysShape,
    NewKeyShape,
    PacksShape,
    ReadyShape,
    RevokedShape,
    WholeShape,
)
from visavis.serve.service import key_document, service_of, write_once
from visavis.serve.who.access import needs
from visavis.serve.who.keys import PER_MINUTE, Scope

system = APIRouter(prefix="/v1", tags=["service"])

PAGE_OF_AUDIT = 100


class NewKey(BaseModel, extra="forbid"):
    """A key to make."""

    name: str = Field(min_length=1, max_length=100, description="what it is for")
    scope: Scope
    per_minute: int = Field(PER_MINUTE, ge=1, le=1_000_000, description="requests at most")
    device: str = Field("", max_length=100, description="of a kiosk: what it punches for")


@system.get("/health", dependencies=[needs("open")], responses={**told(HealthShape)})
async def health() -> JSONResponse:
    """Whether the process answers."""
    return JSONResponse({"status": "ok", "version": __version__})


@system.get("/ready", dependencies=[needs("open")], responses={**told(ReadyShape)})
def ready(request: Request) -> JSONResponse:
    """Whether requests can be worked on: the gallery answers, and there is room in the queue."""
    service = service_of(request)
    if not service.desk.has_room:
        raise busy("too many requests are waiting")
    service.gallery.audit_head()
    _ = service.recognizer  # the models of a configuration that another process made active
    return JSONResponse({"status": "ready"})


@system.get("/packs", dependencies=[needs("guest")], responses={**told(PacksShape)})
def packs(request: Request) -> JSONResponse:
    """The installed packs, the one that answers here, and what its policies mean."""
    service = service_of(request)
    listed = [listed_json(name, pack.manifest) for name, pack in installed_packs().items()]
    recognizer = service.recognizer
    return JSONResponse(
        {
            "packs": listed,
            "active": service.pack_of(recognizer),
            "model": recognizer.embed.model,
            "policies": policies_words(recognizer.calibration),
        }
    )


@system.get("/audit", dependencies=[needs("admin")], responses={**told(AuditShape, "invalid")})
def audit(
    request: Request,
    after: Annotated[int, Query(ge=0, le=1 << 60)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE_OF_AUDIT,
) -> JSONResponse:
    """What was done, in order: the entries behind number `after`."""
    service = service_of(request)
    service.note(request)
    entries = audit_page(service.gallery, limit, after=after)
    head = service.gallery.audit_head()
    listed = [{**asdict(one), "details": json.loads(one.details)} for one in entries]
    more = entries[-1].seq if entries and entries[-1].seq < head.seq else None
    return JSONResponse({"entries": listed, "head": str(head), "next": more})


@system.get("/audit/check", dependencies=[needs("admin")], responses={**told(WholeShape)})
def check_audit(request: Request) -> JSONResponse:
    """Whether every entry of the audit is as it was written."""
    service = service_of(request)
    service.note(request)
    broken = service.gallery.audit_broken_at()
    return JSONResponse({"whole": broken is None, "broken_at": broken})


@system.get("/keys", dependencies=[needs("admin")], responses={**told(KeysShape)})
def list_keys(request: Request) -> JSONResponse:
    """Every key, without what it takes to use it."""
    service = service_of(request)
    service.note(request)
    return JSONResponse({"keys": [key_document(key) for key in service.keys.all()]})


@system.post(
    "/keys",
    status_code=201,
    dependencies=[needs("admin")],
    responses={**told(NewKeyShape, "invalid", status=201)},
)
def new_api_key(request: Request, new: NewKey) -> JSONResponse:
    """A new key. Its text is told this once; an `Idempotency-Key` is not taken, because it would
    have to be kept.
    """
    service = service_of(request)
    key, text = service.keys.make(new.name, new.scope, new.per_minute, device=new.device)
    service.note(request)
    return JSONResponse({"key": key_document(key), "text": text}, 201)


@system.delete(
    "/keys/{key}",
    dependencies=[needs("admin")],
    responses={**told(RevokedShape, "not_found", "conflict", "invalid")},
)
def revoke_key(request: Request, key: str) -> JSONResponse:
    """A key opens nothing from now on."""
    service = service_of(request)

    def work() -> WriteAnswer:
        service.keys.revoke(key)
        return WriteAnswer({"revoked": key})

    return write_once(request, None, work)
