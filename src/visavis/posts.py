"""What is posted to a web address: how it is signed, what came back. Sends nothing itself."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))  # what another try may mend
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Posted:
    """What the other side answered."""

    status: int
    text: str = ""
    retry_after: float | None = None  # seconds


class Unreachable(Exception):
    """Nobody answered: worth another try."""


# URL, body and headers to an answer; raises Unreachable.
Post = Callable[[str, bytes, Mapping[str, str]], Posted]


def signature(secret: str, stamp: str, data: bytes) -> str:
    """What a header says of a body: HMAC-SHA256 over the time, a dot and the body."""
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + data, hashlib.sha256)
    return f"sha256={digest.hexdigest()}"


def signed_headers(secret: str, identity: str, data: bytes) -> dict[str, str]:
    """The headers of a JSON body; whoever has the secret tells by them who sent it and when.
    Without a secret nothing is signed.
    """
    headers = {"Content-Type": "application/json", "Idempotency-Key": identity}
    if secret:
        stamp = str(int(datetime.now(UTC).timestamp()))
        headers["X-Visavis-Timestamp"] = stamp
        headers["X-Visavis-Signature"] = signature(secret, stamp, data)
    return headers
