"""One request to a webhook's address: no redirect, no proxy, a time limit, and to public addresses.

Whoever names an address must not have the service ask for what only it can reach: a name is looked
up once, what it leads to is looked at, and the connection is made to that very address.
"""

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from threading import Timer
from urllib.parse import urlsplit, urlunsplit

from visavis.posts import Posted, Unreachable

STALL = 10.0  # seconds without a byte
PATIENCE = 15.0  # seconds for a whole answer
# They lead to IPv4 addresses by way of a gateway, private ones too.
TRANSLATED = tuple(ipaddress.ip_network(one) for one in ("64:ff9b::/96", "2002::/16", "2001::/32"))
SocketAddress = tuple[socket.AddressFamily, str, int]


class ForbiddenAddress(OSError):
    """A name leads to this machine or to a private network."""


def is_public(text: str) -> bool:
    """Whether an IP address is one of the open network."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in TRANSLATED):
            return False
        address = address.ipv4_mapped or address
    return address.is_global and not address.is_multicast


def addresses_of(host: str, port: int, *, inside: bool) -> list[SocketAddress]:
    """Where a name leads. Raises ForbiddenAddress where one of these is not public, unless
    `inside`; OSError where the name leads nowhere.
    """
    try:
        known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OSError(f"{host} leads nowhere: {error}") from error
    addresses: list[SocketAddress] = [(family, str(to[0]), port) for family, *_, to in known]
    if not inside and not all(is_public(text) for _, text, _ in addresses):
        raise ForbiddenAddress(f"{host} leads to this machine or to a private network")
    return addresses


class Sender:
    """Posts to webhooks, as `Post` has it."""

    def __init__(self, *, inside: bool = False) -> None:
        self._inside = inside

    def __call__(self, url: str, data: bytes, headers: Mapping[str, str]) -> Posted:
        """The answer; its text is not read. Raises Unreachable."""
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        try:
            with closing(HTTPConnection(host, port)) as connection:
                connection.sock = plain = self._connected(host, port)
                ends = Timer(PATIENCE, _cut, [plain])
                ends.start()
                try:
                    if secure:
                        context = ssl.create_default_context()
                        connection.sock = context.wrap_socket(plain, server_hostname=host)
                        ends.args = [connection.sock]
                    connection.request("POST", target, body=data, headers=dict(headers))
                    answer = connection.getresponse()
                finally:
                    ends.cancel()
                pause = answer.headers.get("Retry-After", "")
                seconds = float(pause) if pause.isascii() and pause.isdecimal() else None
                return Posted(answer.status, retry_after=seconds)
        except (OSError, HTTPException) as error:
            raise Unreachable(str(error) or type(error).__name__) from error

    def _connected(self, host: str, port: int) -> socket.socket:
        failed: OSError = OSError(f"{host} leads nowhere")
        for _, address, _ in addresses_of(host, port, inside=self._inside):
            try:
                return socket.create_connection((address, port), timeout=STALL)
            except OSError as error:
                failed = error
        raise failed


def _cut(connection: socket.socket) -> None:
    """End a connection that another thread waits for."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
