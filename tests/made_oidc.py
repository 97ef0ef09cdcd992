"""A provider of OpenID Connect that really listens on this machine, and lies when told to."""

import base64
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, Header, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "visavis", "a secret:of two parts"
Sign = Callable[[dict[str, Any]], str]


@dataclass
class MadeProvider:
    """Whoever is sent to it is let in at once, as `claims` say."""

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)  # beyond, or instead of, what is right
    key: RSAKey = field(default_factory=lambda: new_key("one"))
    sign: Sign | None = None
    asks: bool = False  # with a page of its own, and a link to click
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def token(self, nonce: str) -> str:
        moment = int(time.time())
        right = {"iss": self.issuer, "aud": CLIENT, "sub": "1", "iat": moment, "exp": moment + 60}
        said = {**right, "nonce": nonce, "groups": ["guards"], "name": "Ada", **self.claims}
        claims = {name: value for name, value in said.items() if value is not None}
        return (self.sign or self.signed)(claims)

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def described() -> dict[str, str]:
            places = {"authorization_endpoint": "authorize", "token_endpoint": "token"}
            places["jwks_uri"] = "keys"
            urls = {name: f"{self.issuer}/{path}" for name, path in places.items()}
            return {"issuer": self.issuer, **urls}

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            return {"keys": [self.key.as_dict(private=False)]}

        @app.get("/authorize")
        def authorize(request: Request) -> Response:
            asked = dict(request.query_params)
            code = secrets.token_urlsafe(8)
            self.codes[code] = asked
            back = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
            where = f"{asked['redirect_uri']}?{back}"
            if self.asks:
                return HTMLResponse(
                    f'<link rel="icon" href="data:,"><a href="{escape(where)}">in</a>'
                )
            return RedirectResponse(where, 303)

        @app.post("/token")
        def token(
            code: Annotated[str, Form()],
            redirect_uri: Annotated[str, Form()],
            code_verifier: Annotated[str, Form()],
            authorization: Annotated[str, Header()] = "",
        ) -> JSONResponse:
            asked = self.codes.pop(code, None)
            digest = hashlib.sha256(code_verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            pair = base64.b64encode(b"visavis:a%20secret%3Aof%20two%20parts").decode()
            if (
                asked is None
                or authorization != f"Basic {pair}"
                or (asked["redirect_uri"], asked["response_type"]) != (redirect_uri, "code")
                or (asked["code_challenge"], asked["code_challenge_method"]) != (challenge, "S256")
            ):
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse({"id_token": self.token(asked["nonce"]), "token_type": "Bearer"})

        return app


def new_key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


@contextmanager
def made_provider() -> Iterator[MadeProvider]:
    """A provider, for the block."""
    provider = MadeProvider()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        provider.issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(provider.app(), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield provider
        finally:
            server.should_exit = True
            thread.join(20)
