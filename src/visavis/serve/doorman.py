"""Before and after every request: an id, whether it is read at all, headers, a line in the log.

A form takes a place at the desk until it is answered. What finds none, and what is meant for
another host, is refused here: before its route is looked for, anything is asked of the gallery, or
any of its body is read.
"""

import json
import logging
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from visavis.serve.limits import MULTIPART
from visavis.serve.refusals import Refusal, envelope
from visavis.serve.who.outside import ProxySettings

log = logging.getLogger("visavis.requests")

# Nothing is loaded from elsewhere, nothing is run that stands in a page, nobody frames it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer a form says it comes from nowhere
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A request that was answered, as the log and the figures have it: nothing personal."""

    request_id: str
    method: str
    route: str  # as it is declared: /v1/people/{person}
    status: int
    seconds: float
    caller: str


@dataclass(frozen=True, slots=True)
class House:
    """What the doorman knows of the service behind the door."""

    is_meant: Callable[[str], bool]  # whether a Host header names this service
    proxy: ProxySettings | None  # whose headers say who somebody is
    place: Callable[[], AbstractContextManager[None]]  # raises Refusal where there is none
    refuse: Callable[[Request, Refusal], Response]
    note: Callable[[Served], None]


class Doorman:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, house: House) -> None:
        self._app, self._house = app, house

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and note that it was."""
        self._strip(scope)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity, started, status = uuid.uuid4().hex, time.monotonic(), 0
        held = ExitStack()
        scope.setdefault("state", {})["id"] = identity

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                held.close()
                message["headers"] = _headers(message["headers"], identity)
            await send(message)

        try:
            with held:
                await self._answer(scope, receive, sending, held)
        except Exception as error:  # noqa: BLE001 a fault of ours ends this request, and no other
            _confess(error, identity)
            if not status:
                fault = Refusal("unexpected", "an unexpected fault", mend="tell the request id")
                answer = JSONResponse(envelope(fault, identity), fault.status)
                await answer(scope, receive, sending)
        self._house.note(_served(scope, identity, status, time.monotonic() - started))

    def _strip(self, scope: Scope) -> None:
        """Take away what only the proxy may say, where it comes from somebody else."""
        proxy = self._house.proxy
        if proxy is None or "headers" not in scope:
            return
        if not proxy.trusts((scope.get("client") or ("",))[0]):
            own = [pair for pair in scope["headers"] if pair[0].lower() not in proxy.headers]
            scope["headers"] = own

    async def _answer(self, scope: Scope, receive: Receive, send: Send, held: ExitStack) -> None:
        try:
            self._let_in(dict(scope["headers"]), held)
        except Refusal as refused:
            answer = self._house.refuse(Request(scope), refused)
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _let_in(self, headers: dict[bytes, bytes], held: ExitStack) -> None:
        """Raise Refusal for a request that is not; a form holds a place."""
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._house.is_meant(host):
            what = "the request is meant for another host"
            raise Refusal("misdirected", what, mend="ask for localhost or 127.0.0.1")
        if headers.get(b"content-type", b"").lower().startswith(MULTIPART.encode()):
            held.enter_context(self._house.place())


def log_served(served: Served) -> None:
    """A line of JSON for a request."""
    log.info(
        json.dumps(
            {
                "request_id": served.request_id,
                "method": served.method,
                "route": served.route,
                "status": served.status,
                "ms": round(1000 * served.seconds, 1),
                "caller": served.caller,
            }
        )
    )


def _headers(own: list[tuple[bytes, bytes]], identity: str) -> list[tuple[bytes, bytes]]:
    known = {name.lower() for name, _ in own}
    added = {**HEADERS, "x-request-id": identity}
    more = [(name.encode(), value.encode()) for name, value in added.items()]
    return [*own, *(pair for pair in more if pair[0] not in known)]


def _served(scope: Scope, identity: str, status: int, seconds: float) -> Served:
    route = getattr(scope.get("route"), "path", "none")
    caller = getattr(scope["state"].get("caller"), "name", "nobody")
    return Served(identity, scope["method"], route, status, seconds, caller)


def _confess(error: Exception, identity: str) -> None:
    """Where a fault happened, without what it says: that may be about somebody."""
    places = [f"{one.filename}:{one.lineno}" for one in traceback.extract_tb(error.__traceback__)]
    log.error("%s: unexpected %s at %s", identity, type(error).__name__, places[-1:])
