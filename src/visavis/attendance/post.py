"""One request to a web address, by the standard library: no redirects, a time limit, short answers.

Knows no attendance. Raises Unreachable for whatever another try may mend.
"""

import ssl
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request

from visavis.errors import AttendanceError
from visavis.hub.web import offline, plain_opener
from visavis.posts import Posted, Unreachable

TIMEOUT = 30.0  # seconds
MOST_TEXT = 4096  # bytes of an answer that are read


def post_json(url: str, data: bytes, headers: Mapping[str, str]) -> Posted:
    """Post a document. A redirect is an answer like any other: a token follows none.

    Raises Unreachable; AttendanceError in offline mode, and for a certificate that is not valid.
    """
    if variable := offline():
        raise AttendanceError(f"nothing is sent: {variable} is set", mend="unset it first")
    request = Request(url, data=data, headers=dict(headers), method="POST")
    try:
        with plain_opener().open(request, timeout=TIMEOUT) as response:
            text = response.read(MOST_TEXT).decode(errors="replace")
            pause = response.headers.get("Retry-After", "")
            seconds = float(pause) if pause.isdecimal() else None
            return Posted(response.status, text, seconds)
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError) and not isinstance(
            error, HTTPError
        ):
            raise AttendanceError(f"its certificate is not valid: {error.reason}") from error
        raise Unreachable(str(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise Unreachable(str(error)) from error
