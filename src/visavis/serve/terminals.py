"""The receiver of terminals that push (iClock, ADMS): plain text on routes of its own.

A terminal has no key: the rules name the serial numbers that are heard. Whoever reaches this and
knows one can push punches, so it belongs into a network of its own.
"""

import logging
from datetime import UTC, datetime

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.requests import ClientDisconnect

from visavis.attendance.iclock import (
    MOST_BODY,
    TerminalAnswer,
    TerminalRequest,
    answer_terminal,
    receive,
)
from visavis.errors import RulesError
from visavis.serve.forms import CLOSE, bounded
from visavis.serve.heard import odd_words
from visavis.serve.refusals import Refusal
from visavis.serve.service import Service, service_of
from visavis.serve.who.access import needs

log = logging.getLogger(__name__)

terminals = APIRouter(include_in_schema=False)

REFUSED = (403, 404)  # known before a body is read
UNKNOWN = TerminalAnswer(403, "unknown device\n")


@terminals.get("/iclock/{page:path}", dependencies=[needs("open")])
@terminals.post("/iclock/{page:path}", dependencies=[needs("open")])
async def hear_terminal(request: Request) -> Response:
    """Answer a terminal. Its punches are on disk before it is told that they are."""
    service = service_of(request)
    asked = TerminalRequest(request.method, request.url.path, dict(request.query_params))
    answer = await service.desk.run(lambda: _at_the_door(service, request, asked))
    if answer.status in REFUSED:
        return PlainTextResponse(answer.text, answer.status, headers=CLOSE)
    body = await _body(request)
    heard = TerminalRequest(asked.method, asked.path, asked.query, body)
    answer = await service.desk.run(lambda: _received(service, heard))
    return PlainTextResponse(answer.text, answer.status)


def _at_the_door(service: Service, request: Request, asked: TerminalRequest) -> TerminalAnswer:
    """What it would be told without a body. Raises Refusal, 429, for many unknown numbers."""
    try:
        attendance = service.attendance()
    except RulesError:  # nobody keeps attendance here
        answer = UNKNOWN
    else:
        answer = answer_terminal(asked, attendance.rules, datetime.now(UTC))
    if answer.status == UNKNOWN.status:
        service.guard.count_terminal(request.client.host if request.client else "")
        log.warning("a terminal that is not allowed asks")
    return answer


async def _body(request: Request) -> bytes:
    """What it sends. Raises Refusal where that is too much, too slow, or breaks off."""
    service = service_of(request)
    length = request.headers.get("content-length", "")
    declared = int(length) if length.isdecimal() else MOST_BODY
    if declared > MOST_BODY:
        what = f"the request is over the limit of {MOST_BODY / 1e6:.1f} MB"
        raise Refusal("too_large", what, headers=CLOSE)
    with service.bodies.holding(declared):
        try:
            chunks = [chunk async for chunk in bounded(request.stream(), MOST_BODY, service.limits)]
        except ClientDisconnect as error:
            serial = request.query_params.get("SN", "")
            service.heard.note(serial, "a push broke off; the terminal will send it again")
            raise Refusal("bad_request", "the request broke off", headers=CLOSE) from error
    return b"".join(chunks)


def _received(service: Service, heard: TerminalRequest) -> TerminalAnswer:
    answer, recorded = receive(service.attendance(), heard)
    serial = heard.query.get("SN", "")
    words = "; ".join(part for part in (answer.said, odd_words(recorded)) if part)
    if words:
        service.heard.note(serial, words)
        log.warning("terminal %s: something is odd: see the exceptions of attendance", serial)
    return answer
