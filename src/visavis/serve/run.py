"""From an address to a service that answers there, until it is told to stop."""

import asyncio
import logging
import signal
import socket
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from visavis.errors import ServeError
from visavis.gallery import Gallery
from visavis.recognizer import Recognizer
from visavis.serve.app import make_app
from visavis.serve.limits import SERVE_LIMITS
from visavis.serve.service import ServeSettings, Service
from visavis.serve.site.live import FRAME_BYTES
from visavis.serve.tls import SELF, fingerprint, own_certificate
from visavis.serve.who.access import is_loopback

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 500
STOPPING = 10  # seconds that requests have to end in
HEAD_BYTES = 32_000  # of a request's line and headers
FIRST_KEY = "first admin"


class PatientProtocol(H11Protocol):
    """HTTP over a connection that is closed where it brings no request, or takes no answer."""

    _looked_at: object = None
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look at the connection from time to time."""
        super().connection_made(transport)
        self.loop.call_later(SERVE_LIMITS.patience / 2, self._look)

    def resume_writing(self) -> None:
        """What was sent is read, however slowly."""
        super().resume_writing()
        self._unread = 0

    def _look(self) -> None:
        """Close it where nothing went on since the last look; else look again later."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return
        cycle, unread = self.cycle, self.transport.get_write_buffer_size()
        between = cycle is None or cycle.response_complete
        if unread and unread >= self._unread > 0:
            self.transport.abort()
        elif between and not unread and self._looked_at == (cycle,):
            self.transport.close()
        else:
            self._looked_at, self._unread = (cycle,) if between else None, unread
            self.loop.call_later(SERVE_LIMITS.patience / 2, self._look)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a service listens."""

    host: str = "127.0.0.1"
    port: int = 8420  # 0: any that is free
    tls: str = ""  # "self", a PEM file, or none

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine reaches it."""
        return is_loopback(self.host)

    def certificate(self) -> Path | None:
        """The PEM file with key and certificate. Raises ServeError for what is none."""
        if not self.tls:
            return None
        path = own_certificate(self.host) if self.tls == SELF else Path(self.tls)
        fingerprint(path)
        return path


@dataclass(frozen=True, slots=True)
class Prepared:
    """A service that is about to answer."""

    service: Service
    listening: socket.socket
    url: str
    certificate: Path | None
    new_key: str | None  # the text of an admin's key that was made now


def prepare(
    recognizer: Recognizer,
    gallery: Gallery,
    address: ListenAddress,
    asked: ServeSettings,
    *,
    new_key: bool = False,
) -> Prepared:
    """Everything but the answering: a key where there is none, the address, the processes.

    Raises ServeError for an address that cannot be had, and for one that others reach while there
    is no key.
    """
    service = None
    certificate = address.certificate()
    listening = _listen(address)
    try:
        service = Service(recognizer, gallery, replace(asked, guests=address.is_local))
        text = _first_key(service, address, new_key=new_key)
    except BaseException:
        listening.close()
        if service is not None:
            service.close()
        raise
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = f"{'https' if certificate else 'http'}://{shown}:{port}"
    return Prepared(service, listening, url, certificate, text)


def server_of(prepared: Prepared) -> uvicorn.Server:
    """The server that answers, not yet running."""
    config = uvicorn.Config(
        make_app(prepared.service),
        http=PatientProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="websockets-sansio",
        ws_max_size=FRAME_BYTES,
        ws_per_message_deflate=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=STOPPING,
        ssl_certfile=prepared.certificate,
    )
    server = uvicorn.Server(config)
    prepared.service.stopping = lambda: server.should_exit
    return server


def answer_until_stopped(prepared: Prepared) -> None:
    """Answer. SIGTERM and SIGINT let the requests that were begun end."""
    # After it has stopped, uvicorn gives the signal to whoever handled it before.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server_of(prepared).run(sockets=[prepared.listening])


def _listen(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServeError(
            f"cannot listen at {address.host}, port {address.port}: {reason}",
            mend="choose another",
            option="port",
        ) from error


def _first_key(service: Service, address: ListenAddress, *, new_key: bool) -> str | None:
    """The text of a new admin's key: the first one, or one that was asked for."""
    has_any = bool(service.keys.all())
    if not has_any and not address.is_local and not new_key:
        raise ServeError(
            f"others could reach {address.host}, and there is no key yet",
            mend="have one made, and keep it",
            option="new_key",
        )
    if has_any and not new_key:
        return None
    return service.keys.make(FIRST_KEY, "admin")[1]
