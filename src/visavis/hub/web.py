"""One request to a web server: where redirects may lead, and what a status means.

Knows nothing of models or files. Sends no name but its own.
"""

import os
import re
import ssl
import string
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, InvalidURL
from urllib.error import URLError
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from visavis import __version__
from visavis.errors import DownloadError

USER_AGENT = f"visavis/{__version__}"
OFFLINE = ("VISAVIS_OFFLINE", "HF_HUB_OFFLINE")
YES = ("1", "on", "yes", "true")
HOPS = 10  # redirects that are followed
BLOCK = 1 << 18  # bytes read at once
HEAD = 64  # bytes: enough to tell a web page from a model
LEAST = 1 << 14  # bytes: a try that brings fewer, or fewer in its timeout, has failed
LONGEST_PAUSE = 30.0  # seconds, whatever a server asks for
REDIRECTS = (301, 302, 303, 307, 308)
BUSY = (408, 425, 429, 500, 502, 503, 504)
BODY = (200, 206, 416)  # the caller tells these apart
HUB_HEADERS = ("X-Repo-Commit", "X-Linked-ETag")
HUB_SAYS = {
    "RepoNotFound": "no such repository, or it is private",
    "RevisionNotFound": "no such revision in the repository",
    "EntryNotFound": "no such file in the repository",
    "GatedRepo": "its owners want their terms accepted first",
}


class Broken(Exception):
    """A connection that failed, stalled or was cut, or a busy server: worth another try."""

    def __init__(self, why: str, *, reached: bool = True, pause: float | None = None) -> None:
        super().__init__(why)
        self.reached = reached  # whether a server answered at all
        self.pause = pause  # seconds that it asked for


@dataclass(frozen=True, slots=True)
class Reply:
    """A response of status 200, 206 or 416, its body unread."""

    response: HTTPResponse
    commit: str | None  # the hub's name of the version
    sha256: str | None  # of the whole file, as the hub announces it


def hub() -> str:
    """Where the hub is: $HF_ENDPOINT, or huggingface.co."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def offline() -> str | None:
    """The variable that forbids connections, if one is set: VISAVIS_OFFLINE or HF_HUB_OFFLINE."""
    return next((name for name in OFFLINE if os.environ.get(name, "").lower() in YES), None)


def refuse_offline(url: str) -> None:
    """Raise DownloadError in offline mode, before any name is looked up."""
    variable = offline()
    if variable:
        raise DownloadError(
            f"{redacted(url)}: not asked for: {variable} is set", mend="unset it first"
        )


def redacted(url: str) -> str:
    """A URL for people to read: without user, password, query and fragment, which may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return re.sub("[?#].*", "", url).rsplit("@", maxsplit=1)[-1]
    host = parts.netloc.rsplit("@", maxsplit=1)[-1]
    hidden = "?..." if parts.query else ""
    return parts._replace(netloc=host, query="", fragment="").geturl() + hidden


def scrubbed(text: object) -> str:
    """Somebody else's message on one line, every URL in it redacted."""
    return re.sub(r"\w+://\S+", lambda url: redacted(url[0]), " ".join(str(text).split()))


def ask(url: str, headers: Mapping[str, str], *, timeout: float) -> Reply:
    """GET a URL and follow redirects. $HF_TOKEN is sent to the hub itself and to no other host.

    Raises DownloadError where the server refuses, Broken where another try may help.
    """
    refuse_offline(url)
    _refuse_address(url)
    opener, first, heard = plain_opener(), url, dict[str, str]()
    at_home = True
    for _ in range(HOPS + 1):
        sent = {**headers, **(_authorization(url) if at_home else {})}
        response = _open(opener, url, sent, timeout)
        if at_home:
            heard |= {
                name: response.headers[name] for name in HUB_HEADERS if name in response.headers
            }
        if response.status not in REDIRECTS:
            return _reply(url, response, heard)
        with response:
            url = next_hop(url, response.headers.get("Location"))
        at_home = at_home and _origin(url) == _origin(first)
    raise DownloadError(
        f"{redacted(first)}: more than {HOPS} redirects, the last to {redacted(url)}"
    )


def blocks(response: HTTPResponse, timeout: float) -> Iterator[bytes]:
    """The body as it comes; the first block has at least HEAD bytes, if there are so many.

    Raises Broken where it stalls, trickles, or ends before its length.
    """
    head: bytes | None = b""
    try:
        for block in _paced(response, timeout):
            if head is None:
                yield block
            elif len(head := head + block) >= HEAD:
                yield head
                head = None
        if head or (head is not None and not response.length):
            yield head
    except TimeoutError as error:
        raise Broken(f"stalled: nothing came for {timeout:g} s") from error
    except (OSError, HTTPException) as error:
        raise Broken(f"cut: {_reason(error)}") from error
    if response.length:
        raise Broken(f"cut: {response.length} bytes are missing")


def _paced(response: HTTPResponse, timeout: float) -> Iterator[bytes]:
    since, got = time.monotonic(), 0
    while block := response.read1(BLOCK):
        yield block
        got += len(block)
        if time.monotonic() - since > timeout:
            if got < LEAST:
                raise Broken(f"stalled: {got} bytes in {timeout:g} s")
            since, got = time.monotonic(), 0


def next_hop(url: str, location: str | None) -> str:
    """Where a redirect leads. Raises DownloadError where it may not lead."""
    here = redacted(url)
    if not location:
        raise DownloadError(f"{here}: a redirect to nowhere")
    try:
        target = urljoin(url, quote(location, safe=string.punctuation))
        scheme, host = urlsplit(target).scheme, urlsplit(target).hostname
    except ValueError:
        scheme, host = "", None
    if scheme not in ("http", "https") or not host:
        raise DownloadError(f"{here}: a redirect to something that is not a web address")
    if scheme == "http" and url.startswith("https:"):
        raise DownloadError(
            f"{here}: redirected from https to http ({redacted(target)}), where anyone may alter it"
        )
    return target


def _refuse_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        usable = usable and parts.username is None
    except ValueError:
        usable = False
    if not usable:
        raise DownloadError(f"{redacted(url)}: expected http:// or https:// and no user in it")


def plain_opener() -> OpenerDirector:
    """As urllib's own, with the proxies of the environment, but it follows no redirect and raises
    nothing for a status.
    """
    opener = OpenerDirector()
    opener.addheaders = [("User-Agent", USER_AGENT)]
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(context=ssl.create_default_context()),
    ):
        opener.add_handler(handler)
    return opener


def _open(
    opener: OpenerDirector, url: str, headers: Mapping[str, str], timeout: float
) -> HTTPResponse:
    here = redacted(url)
    try:
        response: HTTPResponse = opener.open(Request(url, headers=dict(headers)), timeout=timeout)
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            why = error.reason.verify_message
            raise DownloadError(f"{here}: its certificate is not valid: {why}") from error
        raise Broken(_reason(error.reason), reached=False) from error
    except (InvalidURL, ValueError) as error:
        raise DownloadError(f"{here}: not a usable address") from error
    except (OSError, HTTPException) as error:
        raise Broken(f"no answer: {_reason(error)}") from error
    return response


def _reply(url: str, response: HTTPResponse, heard: Mapping[str, str]) -> Reply:
    """The reply. Raises the error that its status means."""
    if response.status in BODY:
        linked = heard.get("X-Linked-ETag", "").strip('"').lower()
        sha256 = linked if re.fullmatch("[0-9a-f]{64}", linked) else None
        commit = heard.get("X-Repo-Commit", "")
        return Reply(response, commit if re.fullmatch("[0-9a-f]{40}", commit) else None, sha256)
    with response:
        if response.status in BUSY:
            pause = response.headers.get("Retry-After", "")
            seconds = min(float(pause), LONGEST_PAUSE) if pause.isdecimal() else None
            raise Broken(f"the server is busy (HTTP {response.status})", pause=seconds)
        raise _refusal(url, response)


def _refusal(url: str, response: HTTPResponse) -> DownloadError:
    """What a status means, in words. Of a server's own words only the hub's codes are used."""
    here = redacted(url)
    page = here.split("/resolve/")[0]
    why = HUB_SAYS.get(response.headers.get("X-Error-Code", ""))
    status = f"HTTP {response.status}" + (f", {why}" if why else "")
    if response.status in (401, 403):
        mend = f"sign in or accept the terms at {page}; for the hub, set HF_TOKEN"
        return DownloadError(f"{here}: refused ({status})", mend=mend)
    if response.status in (404, 410):
        return DownloadError(f"{here}: not there ({status})", mend=f"look at {page}")
    return DownloadError(f"{here}: expected a file, got {status}")


def _reason(error: object) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return scrubbed(text)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _authorization(url: str) -> dict[str, str]:
    """The user's token, where this is the hub and nobody between can read it."""
    token, parts = os.environ.get("HF_TOKEN", "").strip(), urlsplit(url)
    private = parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")
    if token and private and _origin(url) == _origin(hub()):
        return {"Authorization": f"Bearer {token}"}
    return {}
