"""Who signs in elsewhere: the settings for it, and what somebody may by the groups they are in.

Knows no provider and no request: it says whom to trust, and for what.
"""

import hashlib
import ipaddress
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from visavis.document import parse
from visavis.errors import ServeError
from visavis.serve.who.keys import PER_MINUTE, ROLES, Role

LOCAL = ("localhost", "127.0.0.1", "::1")
HEADER = re.compile(r"[A-Za-z0-9-]+")
Scopes = Mapping[str, Role]  # by group


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """A provider of OpenID Connect, and which of its groups may what."""

    issuer: str
    client_id: str
    scopes: dict[str, Role]
    claim: str = "groups"  # of the ID token: where the groups stand
    secret_file: str = ""  # holds the client's secret; none: a public client
    ask: str = "openid profile email"  # what is asked of the provider


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """A proxy that signs people in and names them in headers, and which groups may what."""

    addresses: list[str]  # its own, or networks: no other's headers are read
    scopes: dict[str, Role]
    user: str = "Remote-User"
    groups: str = "Remote-Groups"
    separator: str = ","

    @property
    def headers(self) -> frozenset[bytes]:
        """The names of its headers, as they arrive."""
        return frozenset(name.lower().encode() for name in (self.user, self.groups))

    def trusts(self, address: str) -> bool:
        """Whether this is the proxy, by the address that the connection comes from."""
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        plain = getattr(known, "ipv4_mapped", None) or known
        return any(plain in ipaddress.ip_network(network) for network in self.addresses)


@dataclass(frozen=True, slots=True)
class OutsideSettings:
    """Where people sign in instead of here."""

    url: str  # under which browsers reach the service: https://faces.example.org
    oidc: OidcSettings | None = None
    proxy: ProxySettings | None = None

    @property
    def host(self) -> str:
        """What browsers send as Host."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class OutsideAccount:
    """Somebody who signed in elsewhere."""

    id: str  # for the audit and the log: it names nobody
    name: str
    scope: Role
    per_minute: int = PER_MINUTE


def account_of(
    where: str, subject: str, name: str, groups: Iterable[str], scopes: Scopes
) -> OutsideAccount | None:
    """Somebody with the most that their groups allow; None where that is nothing."""
    allowed = [scopes[group] for group in groups if group in scopes]
    if not allowed:
        return None
    identity = hashlib.sha256(json.dumps([where, subject]).encode()).hexdigest()[:12]
    return OutsideAccount(f"outside-{identity}", name, max(allowed, key=ROLES.index))


def read_outside(path: Path) -> OutsideSettings:
    """The settings of a TOML file. Raises ServeError, which names the field."""
    try:
        document = json.dumps(tomllib.loads(path.read_text("utf-8")), default=str)
    except (OSError, ValueError) as error:
        raise ServeError(f"{path}: expected settings as TOML: {error}", option="access") from error
    try:
        settings = parse(OutsideSettings, document.encode(), str(path), ServeError)
        _check(settings)
    except ServeError as error:
        what = error.what if error.what.startswith(str(path)) else f"{path}: {error.what}"
        raise ServeError(what, mend=error.mend, option="access") from error
    return settings


def _check(settings: OutsideSettings) -> None:
    if settings.oidc is None and settings.proxy is None:
        raise ServeError("expected [oidc] or [proxy], got neither")
    _check_url("url", settings.url)
    if urlsplit(settings.url).path not in ("", "/"):
        raise ServeError(f"url: expected no path, got {settings.url}")
    if settings.oidc is not None:
        _check_url("oidc.issuer", settings.oidc.issuer)
    if settings.proxy is not None:
        _check_proxy(settings.proxy)


def _check_url(field: str, url: str) -> None:
    """Raise ServeError for an address over which somebody between could read what is secret."""
    parts = urlsplit(url)
    plain = parts.scheme == "http" and parts.hostname in LOCAL
    if not parts.hostname or (parts.scheme != "https" and not plain) or parts.query:
        raise ServeError(f"{field}: expected an address with https, got {url!r}")


def _check_proxy(proxy: ProxySettings) -> None:
    for network in proxy.addresses:
        try:
            everybody = ipaddress.ip_network(network).prefixlen == 0
        except ValueError as error:
            raise ServeError(f"proxy.addresses: {error}") from error
        if everybody:
            what = f"proxy.addresses: {network} is everybody, and everybody could be an admin"
            raise ServeError(what, mend="name the proxy's own address")
    for name in (proxy.user, proxy.groups):
        if not HEADER.fullmatch(name):
            raise ServeError(f"proxy: expected the name of a header, got {name!r}")
