"""Who asks, and whether they may: a key's scope, or a guest of this machine's own address."""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from visavis.serve.limits import SERVE_LIMITS
from visavis.serve.refusals import Refusal
from visavis.serve.who.buckets import Buckets
from visavis.serve.who.keys import PER_MINUTE, ROLES, ApiKey, ApiKeys
from visavis.serve.who.outside import OutsideAccount
from visavis.serve.who.users import UserAccount

# What a route asks for. A guest has no key, and is let in only where the service listens on
# loopback alone; what is open is so everywhere.
Needed = Literal["open", "guest", "kiosk", "viewer", "operator", "admin"]
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
FOREIGN = ("cross-site", "same-site")  # as browsers say it of a page of another origin
LADDER: tuple[Needed, ...] = ("open", "guest", *ROLES)
PUNCHING = ("kiosk", "operator", "admin")  # a viewer reads, and writes no punch
LOCAL_NAMES = ("localhost", "localhost.localdomain")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key, somebody who signed in, or nobody in particular."""

    key: ApiKey | None
    user: UserAccount | OutsideAccount | None = None

    @property
    def name(self) -> str:
        """For the audit and the log: the id of a key or a user, never the key."""
        return self.known.id if self.known else "guest"

    @property
    def title(self) -> str:
        """For the page that they see themselves."""
        return self.known.name if self.known else ""

    def may(self, needed: Needed) -> bool:
        """Whether their scope reaches. A kiosk's punches, and reaches nothing else."""
        scope = self.known.scope if self.known else "guest"
        if needed == "kiosk":
            return scope in PUNCHING
        if scope == "kiosk":
            return needed == "open"
        return LADDER.index(scope) >= LADDER.index(needed)

    @property
    def known(self) -> ApiKey | UserAccount | OutsideAccount | None:
        """The key or the user."""
        return self.key or self.user


class Guard:
    """Lets in who may."""

    def __init__(self, keys: ApiKeys, *, guests: bool) -> None:
        self._keys, self._guests = keys, guests
        self._buckets = Buckets()

    def admit(self, request: Request, needed: Needed) -> Caller:
        """Who asks. Raises Refusal: 401 without a key, 403 with too small a scope, 429."""
        address = request.client.host if request.client else ""
        given = request.headers.get("authorization")
        if needed == "open":
            return Caller(None)
        if given is None:
            return self._guest(request, address, needed)
        key = self._key(given, address)
        self._buckets.take(f"key {key.id}", key.per_minute)
        if not Caller(key).may(needed):
            raise Refusal(
                "forbidden",
                f"this needs a key of the scope {needed}; yours is of {key.scope}",
                mend="ask an admin for one",
            )
        return Caller(key)

    def count(self, caller: Caller) -> None:
        """A request of somebody who signed in. Raises Refusal, 429."""
        if caller.known is not None:
            self._buckets.take(f"page {caller.name}", caller.known.per_minute)

    def count_login(self, address: str) -> None:
        """A try to sign in. Raises Refusal, 429."""
        self._buckets.take(f"logins {address}", SERVE_LIMITS.failures)

    def count_terminal(self, address: str) -> None:
        """A serial number that is not allowed. Raises Refusal, 429."""
        self._buckets.take(f"terminals {address}", SERVE_LIMITS.failures)

    def _key(self, given: str, address: str) -> ApiKey:
        scheme, _, text = given.partition(" ")
        key = self._keys.of_text(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            self._buckets.take(f"failures {address}", SERVE_LIMITS.failures)
            raise _unauthorized("this is no key, or it was revoked")
        return key

    def _guest(self, request: Request, address: str, needed: Needed) -> Caller:
        if not self._guests or needed != "guest" or not _is_near(request, address):
            raise _unauthorized("this needs a key")
        self._buckets.take(f"guest {address}", PER_MINUTE)
        return Caller(None)


def needs(needed: Needed) -> Any:
    """What a route depends on: that whoever asks may."""
    return Depends(admission(needed))


def admission(needed: Needed) -> Callable[[Request], Awaitable[None]]:
    """Lets a request in, and notes who it was."""

    async def admit(request: Request) -> None:
        guard: Guard = request.app.state.service.guard
        if "authorization" in request.headers:  # the keys are read from the gallery
            request.state.caller = await run_in_threadpool(guard.admit, request, needed)
        else:
            request.state.caller = guard.admit(request, needed)

    return admit


def caller_of(request: Request) -> Caller:
    """Who was admitted."""
    caller: Caller = request.state.caller
    return caller


def is_loopback(host: str) -> bool:
    """Whether an address or a name is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in LOCAL_NAMES


def is_local_host(header: str) -> bool:
    """Whether a Host header names this machine itself: a page elsewhere whose name was made to
    lead here does not.
    """
    try:
        return is_loopback(urlsplit(f"//{header}").hostname or "")
    except ValueError:
        return False


def _is_near(request: Request, address: str) -> bool:
    """Whether a request comes from this machine, from no proxy and from no other page."""
    headers = request.headers
    origin = headers.get("origin")
    same = origin is None or urlsplit(origin).netloc == headers.get("host")
    foreign = headers.get("sec-fetch-site") in FOREIGN or not same
    proxied = any(name in headers for name in FORWARDED)
    return is_loopback(address) and not foreign and not proxied


def _unauthorized(what: str) -> Refusal:
    mend = "send the header Authorization: Bearer KEY"
    headers = {"WWW-Authenticate": "Bearer"}
    return Refusal("unauthorized", what, mend=mend, headers=headers)
