"""Errors as HTTP tells them: one envelope, and a status for each code."""

import logging
from collections.abc import Mapping
from typing import Any

from visavis.errors import VisavisError
from visavis.gallery.database import FULL

log = logging.getLogger(__name__)

# Statuses of what HTTP itself refuses, by code.
REFUSED = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "not_allowed": 405,
    "timeout": 408,
    "conflict": 409,
    "too_large": 413,
    "unsupported": 415,
    "misdirected": 421,
    "invalid": 422,
    "too_many": 429,
    "unexpected": 500,
    "busy": 503,
}
# Statuses of the library's errors, by code.
STATUSES = {
    "image": 422,
    "no_face": 422,
    "ambiguous_face": 422,
    "landmarks": 422,
    "embedding": 422,
    "mismatch": 409,
    "calibration": 422,
    "person": 422,
    "dataset": 422,
    "source": 422,
    "rules": 422,
    "attendance": 422,
    "configuration": 503,
    "checkpoint": 422,
    "pack": 503,
    "download": 503,
    "model": 503,
    "device": 503,
    "gallery": 503,
    "gallery_key": 503,
    "output": 507,
    "serve": 503,
    "error": 500,
}
OURS = 500  # from here on it is the service's own fault, and its details are for its log alone
UNAVAILABLE = "the service cannot answer this now"


class Refusal(VisavisError):
    """What HTTP refuses: its code is a row of REFUSED."""

    def __init__(
        self, code: str, what: str, *, mend: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, mend=mend)
        self.code = code
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        """The status it is answered with."""
        return REFUSED[self.code]


def busy(what: str, seconds: int = 1) -> Refusal:
    """That the service has too much to do, and when to ask again."""
    headers = {"Retry-After": str(seconds)}
    return Refusal("busy", what, mend=f"ask again in {seconds} s", headers=headers)


def status_of(error: VisavisError) -> int:
    """The status that an error is answered with."""
    if isinstance(error, Refusal):
        return error.status
    if error.code == "gallery" and FULL in error.what:
        return 507
    return STATUSES[error.code]


def envelope(error: VisavisError, request_id: str) -> dict[str, Any]:
    """An error as a document. What is the service's own fault shows none of its paths."""
    hidden = status_of(error) >= OURS and not isinstance(error, Refusal)
    if hidden:
        log.error("%s: %s: %s", request_id, error.code, error.what)
    what, mend = (UNAVAILABLE, "ask whoever runs it") if hidden else (error.what, error.mend)
    said = {"code": error.code, "message": what, "mend": mend, "request_id": request_id}
    return {"error": said}
