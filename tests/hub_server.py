"""A hub, a release page and a mirror on loopback, and every way they can misbehave.

    with Hub() as hub:
        page = hub.add("/r/name/resolve/main/model.onnx", data)
        page.cut = [1000]            # the first answer ends after 1,000 bytes
        download([hub.url + page.path], target)
    hub.asked                        # every request, and how much of a body it got

Speaks the hub's protocol: ETag, X-Repo-Commit, X-Linked-ETag, Range, X-Error-Code, redirects.
"""

import hashlib
import re
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

COMMIT = "c0ffee" * 6 + "c0de"


@dataclass
class Page:
    """One path and what it answers. Lists are used up, one entry a request."""

    path: str
    data: bytes = b""
    etag: str | None = None
    statuses: list[int] = field(default_factory=list)  # answered first, one a request
    status: int = 200
    location: str | None = None  # a redirect there
    code: str | None = None  # X-Error-Code
    commit: str | None = None
    linked: bool = False  # X-Linked-ETag, the sha256 of `data`
    cut: list[int] = field(default_factory=list)  # bytes of the body after which it is cut off
    stall: list[int] = field(default_factory=list)  # bytes of the body after which nothing comes
    trickle: float = 0.0  # seconds between single bytes
    ranges: bool = True  # whether Range is honoured
    wrong_range: bool = False  # 206, but of other bytes
    length: int | str | None = None  # Content-Length, if it is to be a lie
    chunked: bool = False  # no Content-Length at all
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    served: int = 0  # bytes of the body


class Hub:
    """The server, in threads of its own."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.stop = threading.Event()
        handler = type("Bound", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()

    def add(self, path: str, data: bytes = b"", **switches) -> Page:
        switches.setdefault("etag", f'"{hashlib.md5(data).hexdigest()}"')
        self.pages[path] = Page(path, data, **switches)
        return self.pages[path]

    def served(self, path: str | None = None) -> int:
        """Bytes of bodies that went out."""
        return sum(asked.served for asked in self.asked if path in (None, asked.path))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: ClassVar[Hub]

    def log_message(self, *_) -> None:
        pass

    def do_CONNECT(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.close_connection = True
        asked = Asked(self.command, self.path, dict(self.headers))
        self.hub.asked.append(asked)
        page = self.hub.pages.get(re.sub(r"\?.*", "", self.path))
        if page is None:
            page = Page(self.path, b"no such page", status=404)
        with suppress(OSError):
            self._answer(page, asked)

    def _answer(self, page: Page, asked: Asked) -> None:
        status = page.statuses.pop(0) if page.statuses else page.status
        if page.location:
            status = status if status != 200 else 302
        start = self._start(page)
        if status == 200 and start is not None:
            status = 206 if start < len(page.data) else 416
        body = page.data[start or 0 :] if status in (200, 206) else b""
        self.send_response(status)
        self._head(page, status, start, body)
        self.end_headers()
        if status in (200, 206):
            self._body(page, asked, body)

    def _start(self, page: Page) -> int | None:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        fits = self.headers.get("If-Range") in (None, page.etag)
        return int(found[1]) if found and page.ranges and fits else None

    def _head(self, page: Page, status: int, start: int | None, body: bytes) -> None:
        if page.chunked and status in (200, 206):
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(page.length or len(body)))
        if status == 206:
            shown = 0 if page.wrong_range else start
            end = len(page.data)
            self.send_header("Content-Range", f"bytes {shown}-{end - 1}/{end}")
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(page.data)}")
        for name, value in (
            ("Location", page.location),
            ("ETag", page.etag),
            ("X-Error-Code", page.code),
            ("X-Repo-Commit", page.commit),
            ("X-Linked-ETag", f'"{page.sha256}"' if page.linked else None),
            *page.headers.items(),
        ):
            if value:
                self.send_header(name, value)

    def _body(self, page: Page, asked: Asked, body: bytes) -> None:
        cut = page.cut.pop(0) if page.cut else None
        stall = page.stall.pop(0) if page.stall else None
        ends = [end for end in (cut, stall) if end is not None]
        part = body[: min(ends)] if ends else body
        step = 1 if page.trickle else 1 << 16
        for offset in range(0, len(part), step):
            block = part[offset : offset + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if page.chunked else block)
            asked.served += len(block)
            if page.trickle and self.hub.stop.wait(page.trickle):
                return
        if stall is not None:
            self.wfile.flush()
            self.hub.stop.wait(60)
        elif page.chunked and cut is None:
            self.wfile.write(b"0\r\n\r\n")


def wait_until(true, seconds: float = 20.0) -> None:
    """Wait for something another process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
