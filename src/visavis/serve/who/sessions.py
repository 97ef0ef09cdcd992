"""Sessions of people who signed in: in memory, ended by time, by signing out, by a restart."""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal

from visavis.serve.refusals import Refusal
from visavis.serve.who.outside import OutsideAccount

IDLE, LONGEST = 30 * 60.0, 12 * 3600.0  # seconds without a request; altogether
OUTSIDE = 3600.0  # altogether, of who signed in elsewhere: what they may is asked for again there
MOST_SESSIONS = 1000  # the longest unused ends
TRIES, REST = 5, 15 * 60  # wrong passwords in a row for a name, and seconds that it rests then
MOST_NAMES = 10_000

# Who signed in by a password, by a key, at a provider, at a proxy.
AccountKind = Literal["user", "key", "oidc", "proxy"]


@dataclass(eq=False, slots=True)
class Session:
    """Somebody who signed in. What they may is looked up anew, but for who did so elsewhere."""

    kind: AccountKind
    account: str  # its id
    begun: float
    used: float
    outside: OutsideAccount | None = None
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def longest(self) -> float:
        """Seconds that it lasts at most."""
        return OUTSIDE if self.kind == "oidc" else LONGEST

    def check(self, csrf: object) -> None:
        """Raise Refusal for a form that is not of this session's pages."""
        if not isinstance(csrf, str) or not hmac.compare_digest(csrf.encode(), self.csrf.encode()):
            what = "the form is not of this session"
            raise Refusal("forbidden", what, mend="open the page again")


class Sessions:
    """Who is signed in, by a hash of what their cookie holds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._open: OrderedDict[str, Session] = OrderedDict()

    def begin(self, kind: AccountKind, account: str, outside: OutsideAccount | None = None) -> str:
        """A new session: the text for its cookie, which nobody chose."""
        text, moment = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            self._open[_hash(text)] = Session(kind, account, moment, moment, outside)
            if len(self._open) > MOST_SESSIONS:
                self._open.popitem(last=False)
        return text

    def of_text(self, text: str) -> Session | None:
        """The session of a cookie; None where there is none, or its time is over."""
        moment, name = self._clock(), _hash(text)
        with self._lock:
            session = self._open.get(name)
            if session is None:
                return None
            if moment - session.used > IDLE or moment - session.begun > session.longest:
                del self._open[name]
                return None
            session.used = moment
            self._open.move_to_end(name)
            return session

    def end(self, text: str) -> None:
        """Sign out."""
        with self._lock:
            self._open.pop(_hash(text), None)


class RestingNames:
    """Names for which too many wrong passwords came: they rest, whether anybody has them or not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._tried: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def take(self, name: str) -> None:
        """A try, counted before it is looked at. Raises Refusal, 429, while the name rests."""
        with self._lock:
            moment = self._clock()
            tries, last = self._tried.get(name, (0, moment))
            if moment - last >= REST:
                tries = 0
            if tries >= TRIES:
                seconds = str(int(REST - (moment - last)) + 1)
                raise Refusal(
                    "too_many",
                    "too many wrong passwords for this name",
                    mend=f"try again in {seconds} s",
                    headers={"Retry-After": seconds},
                )
            self._tried[name] = (tries + 1, moment)
            self._tried.move_to_end(name)
            if len(self._tried) > MOST_NAMES:
                self._tried.popitem(last=False)

    def passed(self, name: str) -> None:
        """The password was right: those that were wrong before are forgotten."""
        with self._lock:
            self._tried.pop(name, None)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
