"""Signing in elsewhere: at a provider of OpenID Connect, at a proxy; what liars get."""

import base64
import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("joserfc")

import httpx
from joserfc import jwt
from made_oidc import CLIENT, SECRET, MadeProvider, made_provider, new_key
from served import Served, made_calibration, made_recognizer, served

from visavis.errors import ServeError
from visavis.serve.doorman import Doorman
from visavis.serve.who import oidc
from visavis.serve.who.buckets import Buckets
from visavis.serve.who.oidc import PATIENCE, REFRESH, OidcLogin
from visavis.serve.who.outside import (
    OidcSettings,
    OutsideSettings,
    ProxySettings,
    account_of,
    read_outside,
)
from visavis.serve.who.sessions import IDLE, OUTSIDE, Sessions

URL = "http://localhost:8420"
SCOPES = {"guards": "operator", "chiefs": "admin", "readers": "viewer"}
PROXY = ProxySettings(["127.0.0.1"], SCOPES)
BACK = "/login/oidc/back"


@pytest.fixture(scope="module")
def provider() -> Iterator[MadeProvider]:
    with made_provider() as running:
        yield running


@pytest.fixture(scope="module")
def site(cache, provider, tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret").write_text(SECRET + "\n")
    there = OidcSettings(provider.issuer, CLIENT, SCOPES, secret_file=str(folder / "secret"))
    outside = OutsideSettings(URL, there, PROXY)
    with ExitStack() as stack:
        recognizer = made_recognizer(made_calibration())
        yield stack.enter_context(served(recognizer, folder / "gallery", outside=outside))


@pytest.fixture
def honest(site, provider, monkeypatch) -> MadeProvider:
    """The provider, as it was, and a service that nobody has tried to enter."""
    monkeypatch.setattr(site.service.guard, "_buckets", Buckets(lambda: time.monotonic() * 1000))
    monkeypatch.setattr(provider, "claims", {})
    monkeypatch.setattr(provider, "sign", None)
    monkeypatch.setattr(provider, "key", provider.key)
    return provider


@pytest.fixture
def browser(site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.http.base_url, timeout=20) as client:
        yield client


def there_and_back(browser: httpx.Client, after: str = "/people") -> str:
    """The address to which the provider sends somebody back."""
    sent = browser.get("/login/oidc", params={"next": after})
    assert sent.status_code == 303, sent.text
    return httpx.get(sent.headers["location"]).headers["location"].removeprefix(URL)


def is_in(browser: httpx.Client) -> bool:
    return browser.get("/people").status_code == 200


def test_somebody_signs_in_at_the_provider(site, honest, browser):
    assert 'href="/login/oidc?next=/people"' in browser.get("/login?next=/people").text
    answer = browser.get(there_and_back(browser))
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/people"' in answer.text
    assert "Ada" in browser.get("/people").text
    assert browser.get("/settings").status_code == 403  # an operator
    assert b"Ada" not in site.gallery.database.path.read_bytes()


@pytest.mark.parametrize(
    ("groups", "scope"),
    [
        (["readers"], "viewer"), (["readers", "chiefs", "guards"], "admin"), ([], None),
        (["nobody"], None), (["Chiefs"], None), ("chiefs", "admin"), (None, None), (7, None),
        ([{"chiefs": 1}], None), ("chiefs,guards", None),
    ],
)  # fmt: skip
def test_who_may_what_by_their_groups(site, honest, browser, groups, scope):
    honest.claims = {"groups": groups}
    answer = browser.get(there_and_back(browser))
    sessions = site.service.sessions
    session = sessions.of_text(browser.cookies.get("visavis_session", ""))
    assert (session.outside.scope if session else None) == scope
    if scope is None:
        assert (answer.status_code, "none of your groups" in answer.text) == (403, True)


def test_an_address_that_nobody_checked_gives_no_scope(site, honest, browser, monkeypatch):
    settings = replace(
        site.service.asked.outside.oidc, claim="email", scopes={"ada@example.org": "admin"}
    )
    monkeypatch.setattr(site.service, "oidc", OidcLogin(settings, URL + BACK))
    for verified, status in ((None, 403), (False, 403), ("true", 403), (True, 200)):
        honest.claims = {"email": "ada@example.org", "email_verified": verified}
        assert browser.get(there_and_back(browser)).status_code == status


def part(document: dict) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def unsigned(claims: dict) -> str:
    return f"{part({'alg': 'none'})}.{part(claims)}."


def by_public_key(provider: MadeProvider):
    """HS256 with the public key for a secret: it holds where the key's kind is not looked at."""

    def sign(claims: dict) -> str:
        text = f"{part({'alg': 'HS256', 'kid': provider.key.kid})}.{part(claims)}"
        mac = hmac.digest(provider.key.as_pem(private=False), text.encode(), hashlib.sha256)
        return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"

    return sign


def by_own_key(kid: str, **more: object):
    def sign(claims: dict) -> str:
        key = new_key(kid)
        brought = {"jwk": key.as_dict(private=False)} if more else {}
        return jwt.encode({"alg": "RS256", "kid": kid, **brought}, claims, key)

    return sign


def changed(provider: MadeProvider):
    """A signature that was right for other groups."""

    def sign(claims: dict) -> str:
        head, _, signature = provider.signed(claims).split(".")
        return f"{head}.{part({**claims, 'groups': ['chiefs']})}.{signature}"

    return sign


NOW = int(time.time())
FALSE_CLAIMS = {
    "another nonce": {"nonce": "x"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "wiki"},
    "several audiences, none says for whom": {"aud": ["wiki", CLIENT]},
    "another's, with us among the audience": {"aud": ["wiki", CLIENT], "azp": "wiki"},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": NOW - 120},
    "without an end": {"exp": None},
    "of tomorrow": {"iat": NOW + 86_400},
    "of nobody": {"sub": None},
}
FALSE_SIGNATURES = {
    "none at all": lambda provider: unsigned,
    "HS256 with the public key": by_public_key,
    "another key of the same name": lambda provider: by_own_key("one"),
    "an unknown key": lambda provider: by_own_key("two"),
    "a key that the token brings along": lambda provider: by_own_key("one", brought=True),
    "of other claims": changed,
    "no token": lambda provider: lambda claims: "x.y.z",
}


@pytest.mark.parametrize("claims", FALSE_CLAIMS.values(), ids=FALSE_CLAIMS)
def test_a_token_that_says_what_is_wrong_lets_nobody_in(site, honest, browser, claims):
    honest.claims = claims
    assert browser.get(there_and_back(browser)).status_code == 403
    assert not is_in(browser)


@pytest.mark.parametrize("sign", FALSE_SIGNATURES.values(), ids=FALSE_SIGNATURES)
def test_a_token_with_a_false_signature_lets_nobody_in(site, honest, browser, sign):
    honest.sign = sign(honest)
    assert browser.get(there_and_back(browser)).status_code == 403
    assert not is_in(browser)


@pytest.mark.parametrize("name", ["another nonce", "another audience", "expired", "another issuer"])
def test_without_those_checks_such_a_token_lets_somebody_in(
    site, honest, browser, monkeypatch, name
):
    monkeypatch.setattr(oidc.jwt.JWTClaimsRegistry, "validate", lambda *_: None)
    honest.claims = FALSE_CLAIMS[name] | {"azp": CLIENT}
    assert browser.get(there_and_back(browser)).status_code == 200
    assert is_in(browser)


def test_an_answer_counts_once(site, honest, browser):
    back = there_and_back(browser)
    kept = dict(browser.cookies)
    assert browser.get(back).status_code == 200
    browser.cookies.clear()
    browser.cookies.update(kept)
    assert browser.get(back).status_code == 403
    assert not is_in(browser)


def test_a_code_counts_once(site, honest, browser):
    first = parse_qs(urlsplit(there_and_back(browser)).query)
    browser.get(BACK, params={"code": first["code"][0], "state": first["state"][0]})
    browser.cookies.clear()
    state = parse_qs(urlsplit(there_and_back(browser)).query)["state"][0]
    again = browser.get(BACK, params={"code": first["code"][0], "state": state})
    assert (again.status_code, is_in(browser)) == (403, False)


def test_an_answer_is_for_the_browser_that_began(site, honest, browser):
    """Whoever is led to an answer of an attacker's sign-in would be in as the attacker."""
    back = there_and_back(browser)
    with httpx.Client(base_url=site.http.base_url) as victim:
        assert victim.get(back).status_code == 403
        there_and_back(victim)  # with a state of its own
        assert victim.get(back).status_code == 403
        assert not is_in(victim)


def test_without_that_check_a_victim_is_in_as_the_attacker(site, honest, browser, monkeypatch):
    monkeypatch.setattr(oidc.secrets, "compare_digest", lambda a, b: True)
    back = there_and_back(browser)
    with httpx.Client(base_url=site.http.base_url) as victim:
        assert victim.get(back).status_code == 200


@pytest.mark.parametrize(
    "changes", [{"state": "x"}, {"state": "é"}, {"code": ""}, {"iss": "https://evil.example"}]
)
def test_an_answer_that_is_altered_lets_nobody_in(site, honest, browser, changes):
    query = parse_qs(urlsplit(there_and_back(browser)).query)
    altered = {name: values[0] for name, values in query.items()} | changes
    assert browser.get(BACK, params=altered).status_code == 403
    assert not is_in(browser)


def test_a_sign_in_that_takes_too_long_is_over(site, honest, browser, monkeypatch):
    back = there_and_back(browser)
    monkeypatch.setattr(site.service.oidc, "_clock", lambda: time.monotonic() + PATIENCE)
    assert browser.get(back).status_code == 403


def test_the_providers_new_key_is_fetched(site, honest, browser, monkeypatch):
    assert browser.get(there_and_back(browser)).status_code == 200
    honest.key = new_key("next")
    assert browser.get(there_and_back(browser)).status_code == 403  # looked at a moment ago
    monkeypatch.setattr(site.service.oidc, "_clock", lambda: time.monotonic() + REFRESH + 1)
    assert browser.get(there_and_back(browser)).status_code == 200


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:1", "the provider's own, longer"])
def test_a_provider_that_cannot_be_asked_is_said(site, honest, browser, monkeypatch, issuer):
    named = issuer if issuer.startswith("http") else f"{honest.issuer}/"
    settings = replace(site.service.asked.outside.oidc, issuer=named)
    monkeypatch.setattr(site.service, "oidc", OidcLogin(settings, URL + BACK))
    answer = browser.get("/login/oidc")
    assert (answer.status_code, "the provider cannot be asked" in answer.text) == (503, True)


def test_a_session_from_elsewhere_ends_after_an_hour():
    moment = 0.0
    sessions = Sessions(lambda: moment)
    account = account_of("here", "1", "Ada", ["guards"], SCOPES)
    text = sessions.begin("oidc", account.id, account)
    for moment in (IDLE, OUTSIDE):  # noqa: B007 the clock reads it
        assert sessions.of_text(text) is not None
    moment = OUTSIDE + 1
    assert sessions.of_text(text) is None


def test_where_browsers_come_by_https_a_cookie_is_of_this_host(site, honest, browser, monkeypatch):
    outside = replace(site.service.asked.outside, url="https://faces.example.org")
    monkeypatch.setattr(site.service, "asked", replace(site.service.asked, outside=outside))
    answer = browser.get("/login/oidc")
    assert answer.headers["set-cookie"].startswith("__Host-visavis_oidc=")
    assert "Secure" in answer.headers["set-cookie"]
    named = browser.get("/login", headers={"Host": "faces.example.org"})
    assert named.status_code == 200
    assert browser.get("/login", headers={"Host": "evil.example"}).status_code == 421
    origin = {"Host": "faces.example.org", "Origin": "https://faces.example.org"}
    form = {"password": (None, site.key)}
    assert browser.post("/login", files=form, headers=origin).status_code == 303
    origin["Origin"] = "https://evil.example"
    assert browser.post("/login", files=form, headers=origin).status_code == 403


NAMED = {"Remote-User": "ada", "Remote-Groups": "readers, chiefs"}


def test_the_proxy_names_somebody(site, browser):
    assert browser.get("/people").headers["location"] == "/login?next=/people"
    answer = browser.get("/login?next=/people", headers=NAMED)
    assert 'content="0;url=/people"' in answer.text
    assert browser.get("/settings", headers=NAMED).status_code == 200
    # Without the header, and with another's, the session is nobody's.
    for other in ({}, NAMED | {"Remote-User": "eve"}, NAMED | {"Remote-Groups": "nobody"}):
        assert browser.get("/settings", headers=other).status_code == 303
    lower = NAMED | {"Remote-Groups": "readers"}
    assert browser.get("/settings", headers=lower).status_code == 403


@pytest.mark.parametrize(
    "sent",
    [
        [("Remote-User", "eve"), ("Remote-User", "ada"), ("Remote-Groups", "chiefs")],
        [("Remote-User", "ada"), ("Remote-Groups", "chiefs"), ("Remote-Groups", "readers")],
        [("Remote-User", ""), ("Remote-Groups", "chiefs")],
        [("Remote-User", "ada")],
        [("Remote_User", "ada"), ("Remote_Groups", "chiefs")],
    ],
)
def test_what_the_proxy_did_not_say_by_itself_names_nobody(site, browser, sent):
    assert "refresh" not in browser.get("/login", headers=sent).text


FAR = replace(PROXY, addresses=["10.1.2.3", "fd00::/8"])


def strip(scope, proxy=FAR):
    """What the doorman does to a request that is not of the proxy at another address."""
    return STRIP(SimpleNamespace(_house=SimpleNamespace(proxy=proxy)), scope)


STRIP = Doorman._strip


def test_a_forged_header_from_another_address_is_not_read(site, browser, monkeypatch):
    monkeypatch.setattr(Doorman, "_strip", lambda door, scope: strip(scope))
    for name in ("Remote-User", "remote-user", "REMOTE-USER"):
        sent = {name: "ada", "Remote-Groups": "chiefs"}
        assert "refresh" not in browser.get("/login", headers=sent).text
    assert browser.get("/settings", headers=NAMED).status_code == 303


def test_without_the_strip_a_forged_header_makes_an_admin(site, browser, monkeypatch):
    monkeypatch.setattr(Doorman, "_strip", lambda door, scope: None)
    far = replace(site.service.asked.outside, proxy=FAR)
    monkeypatch.setattr(site.service, "asked", replace(site.service.asked, outside=far))
    assert "refresh" in browser.get("/login", headers=NAMED).text
    assert browser.get("/settings", headers=NAMED).status_code == 200


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.1.2.4", False), ("fd00::5", True),
        ("fe80::5", False), ("", False), ("10.1.2.3.evil.example", False), ("127.0.0.1", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_whose_headers_are_read(address, trusted, kind):
    sent = [(b"Remote-User", b"ada"), (b"remote-groups", b"chiefs"), (b"host", b"localhost")]
    scope = {"type": kind, "client": (address, 1), "headers": sent}
    assert FAR.trusts(address) is trusted
    strip(scope)
    assert scope["headers"] == (sent if trusted else sent[2:])


def test_no_guest_where_people_sign_in_elsewhere(site, browser):
    """A proxy on this machine that says nothing of whom it passes on would make everybody one."""
    assert browser.get("/v1/packs").status_code == 401
    assert browser.get("/", headers={"Accept": "text/html"}).status_code == 303


GOOD = """
url = "https://faces.example.org"
[oidc]
issuer = "https://login.example.org/realms/staff"
client_id = "visavis"
scopes = { guards = "operator" }
[proxy]
addresses = ["10.0.0.7"]
scopes = { chiefs = "admin" }
"""
BAD = [
    ("", "url: Field required"),
    ('url = "https://a.example"', "expected [oidc] or [proxy], got neither"),
    (GOOD.replace("https://faces", "http://faces"), "url: expected an address with https"),
    (GOOD.replace(".org\"", ".org/faces\"", 1), "url: expected no path"),
    (GOOD.replace("https://login", "http://login"), "oidc.issuer: expected an address with https"),
    (GOOD.replace('"operator"', '"root"'), "oidc.scopes.guards: "),
    (GOOD.replace("client_id", "client"), "oidc.client_id: Field required"),
    (GOOD.replace("10.0.0.7", "0.0.0.0/0"), "0.0.0.0/0 is everybody"),
    (GOOD.replace("10.0.0.7", "::/0"), "::/0 is everybody"),
    (GOOD.replace("10.0.0.7", "proxy"), "'proxy' does not appear to be an IPv4 or IPv6"),
    (GOOD + 'user = "Remote User"\n', "expected the name of a header, got 'Remote User'"),
    ("url = ", "expected settings as TOML"),
]  # fmt: skip


def test_settings_are_read(tmp_path):
    path = tmp_path / "access.toml"
    path.write_text(GOOD)
    settings = read_outside(path)
    assert (settings.host, settings.oidc.claim) == ("faces.example.org", "groups")
    assert settings.proxy.headers == {b"remote-user", b"remote-groups"}


@pytest.mark.parametrize(("text", "what"), BAD)
def test_settings_that_cannot_be_are_refused(tmp_path, text, what):
    path = tmp_path / "access.toml"
    path.write_text(text)
    with pytest.raises(ServeError) as refused:
        read_outside(path)
    assert what in refused.value.what
    assert (refused.value.option, refused.value.what.startswith(str(path))) == ("access", True)


def test_a_secret_that_is_not_there_is_said(tmp_path):
    settings = OidcSettings("https://a.example", CLIENT, SCOPES, secret_file=str(tmp_path / "no"))
    with pytest.raises(ServeError, match=r"oidc\.secret_file: cannot read"):
        OidcLogin(settings, URL + BACK)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_is_in_after_the_provider_led_it_back(cache, provider, monkeypatch, tmp_path):
    """The provider is another site: a redirect from there would not take the new cookie along."""
    pytest.importorskip("playwright.sync_api")
    from test_serve_browser import browser_of

    monkeypatch.setattr(provider, "asks", True)
    (tmp_path / "secret").write_text(SECRET)
    there = OidcSettings(provider.issuer, CLIENT, SCOPES, secret_file=str(tmp_path / "secret"))
    with served(
        made_recognizer(made_calibration()),
        Path(tmp_path / "gallery"),
        outside=OutsideSettings(URL, there),
    ) as site:
        url = f"http://localhost:{site.port}"
        site.service.oidc = OidcLogin(there, url + BACK)
        site.http.base_url = httpx.URL(f"{url}/login?next=/people")
        with browser_of(site) as page:
            page.click("a[href^='/login/oidc']")
            page.click("text=in")
            page.wait_for_url(f"{url}/people")
            assert page.inner_text("form[action='/logout'] span") == "Ada"
