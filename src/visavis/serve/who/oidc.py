"""Signing in by OpenID Connect: authorization code with PKCE, state and nonce.

Knows one provider, and nothing of pages. What is asked of it goes over https, to the addresses that
it names itself under its own issuer; what it says is taken only with its signature.
"""

import base64
import hashlib
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, urlencode
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from visavis.errors import ServeError
from visavis.serve.refusals import Refusal
from visavis.serve.who.outside import OidcSettings, OutsideAccount, account_of

# Signatures of a private key. With HS256 whoever knows the public key could sign, and "none" is no
# signature.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT = 10  # seconds that the provider has for an answer
MOST_BYTES = 1_000_000  # of an answer
PATIENCE = 600.0  # seconds that somebody may take to sign in there
MOST_BEGUN = 1000  # sign-ins at once; the oldest is forgotten
LEEWAY = 60  # seconds that two clocks may be apart
REFRESH = 60.0  # seconds between two looks at the provider's keys


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A sign-in that is under way: what must come back, and where to go afterwards."""

    nonce: str
    verifier: str  # of PKCE: only who began can take the code
    begun: float
    after: str


@dataclass(frozen=True, slots=True)
class Provider:
    """What a provider says of itself."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


class OidcLogin:
    """Sign-ins at a provider."""

    def __init__(
        self, settings: OidcSettings, back: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._back, self._clock = settings, back, clock
        self._secret = _secret_of(settings)
        self._lock = Lock()
        self._begun: OrderedDict[str, BegunSignIn] = OrderedDict()
        self._provider: Provider | None = None
        self._keys: tuple[KeySet, float] | None = None

    def begin(self, after: str) -> tuple[str, str]:
        """The address to send somebody to, and the state that must come back with them."""
        provider = self._known_provider()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        with self._lock:
            self._begun[state] = BegunSignIn(nonce, verifier, self._clock(), after)
            while len(self._begun) > MOST_BEGUN:
                self._begun.popitem(last=False)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._back,
            "scope": self._settings.ask,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge.rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in provider.authorization_endpoint else "?"
        return f"{provider.authorization_endpoint}{joint}{urlencode(asked)}", state

    def finish(self, answer: Mapping[str, str], state: str) -> tuple[OutsideAccount, str]:
        """Who came back, and where to go; `state` is what their browser kept.

        Raises Refusal, 403: for what was not begun here and by this browser, for a code or a token
        that does not hold, and for somebody of none of the groups.
        """
        begun = self._taken(answer.get("state", ""), state)
        if answer.get("iss", self._settings.issuer) != self._settings.issuer:
            raise _refused("another provider answered")
        if not answer.get("code"):
            raise _refused("the provider let nobody in")
        claims = self._claims(self._redeemed(answer["code"], begun), begun.nonce)
        account = _account(self._settings, claims)
        if account is None:
            what = "you are signed in, and none of your groups may use this service"
            raise Refusal("forbidden", what, mend="ask whoever runs it for a group")
        return account, begun.after

    def _taken(self, state: str, kept: str) -> BegunSignIn:
        """The sign-in of this state: once, by the browser that began it, and not too late."""
        with self._lock:
            begun = self._begun.pop(state, None) if state.isascii() else None
        same = begun is not None and secrets.compare_digest(state.encode(), kept.encode())
        if begun is None or not same or self._clock() - begun.begun > PATIENCE:
            raise _refused("this sign-in was not begun here, or is over")
        return begun

    def _redeemed(self, code: str, begun: BegunSignIn) -> str:
        """The ID token for a code."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "client_id": self._settings.client_id,
            "code_verifier": begun.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if self._secret:
            pair = f"{quote(self._settings.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        url = self._known_provider().token_endpoint
        token = _asked(Request(url, urlencode(form).encode(), headers)).get("id_token")
        if not isinstance(token, str):
            raise _refused("the provider gave no ID token for the code")
        return token

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        """What a token says. Raises Refusal where it is not this provider's, or not for this."""
        issuer, client = self._settings.issuer, self._settings.client_id
        rules = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = dict(self._opened(token).claims)
            rules.validate(claims)
        except (JoseError, ValueError) as error:
            raise _refused(f"the provider's token does not hold: {type(error).__name__}") from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else client) != client:
            raise _refused("the provider's token is for another service")
        return claims

    def _opened(self, token: str) -> jwt.Token:
        """A token whose signature holds; the provider may have a new key since the last look."""
        keys = self._known_keys(renew=False)
        try:
            return jwt.decode(token, keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            renewed = self._known_keys(renew=True)
            if renewed is keys:
                raise
            return jwt.decode(token, renewed, algorithms=ALGORITHMS)

    def _known_keys(self, *, renew: bool) -> KeySet:
        if self._keys is None or (renew and self._clock() - self._keys[1] > REFRESH):
            document = _asked(Request(self._known_provider().jwks_uri))
            try:
                keys = KeySet.import_key_set(document)  # type: ignore[arg-type]
            except (JoseError, ValueError, KeyError, TypeError) as error:
                raise _unreachable("its keys cannot be read") from error
            self._keys = (keys, self._clock())
        return self._keys[0]

    def _known_provider(self) -> Provider:
        if self._provider is None:
            issuer = self._settings.issuer
            document = _asked(Request(f"{issuer.rstrip('/')}{DISCOVERY}"))
            if document.get("issuer") != issuer:
                raise _unreachable(f"it calls itself {document.get('issuer')!r:.100}")
            values = {name: document.get(name) for name in Provider.__slots__}
            for name, url in values.items():
                if not isinstance(url, str) or url.partition(":")[0] != issuer.partition(":")[0]:
                    raise _unreachable(f"its {name} is {url!r:.100}")
            self._provider = Provider(**values)  # type: ignore[arg-type]
        return self._provider


def _account(settings: OidcSettings, claims: Mapping[str, Any]) -> OutsideAccount | None:
    said = claims.get(settings.claim)
    groups = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    if settings.claim == "email" and claims.get("email_verified") is not True:
        groups = []  # an address that anybody may write for themselves
    name = next(
        (claims[one] for one in ("name", "preferred_username", "email") if claims.get(one)), ""
    )
    named = [group for group in groups if isinstance(group, str)]
    return account_of(settings.issuer, str(claims["sub"]), str(name)[:200], named, settings.scopes)


def _secret_of(settings: OidcSettings) -> str:
    if not settings.secret_file:
        return ""
    try:
        return Path(settings.secret_file).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        what = f"oidc.secret_file: cannot read {settings.secret_file}: {error}"
        raise ServeError(what, option="access") from error


def _asked(request: Request) -> dict[str, Any]:
    """What the provider answers, as JSON; no redirect is followed. Raises Refusal, 503, and 403
    where it refuses.
    """
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    try:
        with opener.open(request, timeout=TIMEOUT) as response:
            status, data = response.status, response.read(MOST_BYTES)
    except (OSError, HTTPException) as error:
        raise _unreachable(type(error).__name__) from error
    if 400 <= status < 500:
        raise _refused("the provider refuses the sign-in")
    try:
        document = json.loads(data)
    except ValueError as error:
        raise _unreachable("it answers no JSON") from error
    if status != 200 or not isinstance(document, dict):
        raise _unreachable(f"it answers with status {status}")
    return document


def _refused(what: str) -> Refusal:
    return Refusal("forbidden", what, mend="sign in again")


def _unreachable(why: str) -> Refusal:
    what = f"the provider cannot be asked: {why}"
    return Refusal("busy", what, mend="try again later, or sign in with a password")
