"""Signing in: whom it lets in, and what forged cookies, other pages and guesses get."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

pytest.importorskip("httpx")
pytest.importorskip("fastapi")
pytest.importorskip("argon2")

import httpx
from argon2 import PasswordHasher
from fastapi.routing import APIRoute
from served import Served, made_calibration, made_recognizer, png, served

from visavis.errors import GalleryError
from visavis.gallery.settings import KEPT, write_setting
from visavis.serve.app import SITE
from visavis.serve.refusals import Refusal
from visavis.serve.site import visits
from visavis.serve.site.login import local_path
from visavis.serve.who import users
from visavis.serve.who.access import Guard
from visavis.serve.who.buckets import Buckets
from visavis.serve.who.sessions import IDLE, LONGEST, REST, TRIES, RestingNames, Session, Sessions
from visavis.serve.who.users import USERS

PASSWORD = "correct horse battery"
SCOPES = ("viewer", "operator", "admin")
# The least that each page asks for; a page that is not here fails the test.
LEAST = {
    ("GET", "/login"): "open",
    ("POST", "/login"): "open",
    ("GET", "/login/oidc"): "open",
    ("GET", "/login/oidc/back"): "open",
    ("POST", "/logout"): "viewer",
    ("GET", "/people"): "viewer",
    ("POST", "/people"): "operator",
    ("GET", "/people/{person}"): "viewer",
    ("GET", "/people/{person}/photos/{sample}.png"): "viewer",
    ("POST", "/people/{person}/photos"): "operator",
    ("POST", "/people/{person}/photos/{sample}/remove"): "operator",
    ("POST", "/people/{person}/rename"): "operator",
    ("POST", "/people/{person}/merge"): "operator",
    ("POST", "/people/{person}/unmerge"): "operator",
    ("POST", "/people/{person}/groups"): "operator",
    ("POST", "/people/{person}/erase"): "admin",
    ("POST", "/people/{person}/negatives"): "operator",
    ("POST", "/people/{person}/negatives/keep"): "operator",
    ("POST", "/people/{person}/negatives/{negative}/remove"): "operator",
    ("POST", "/people/look"): "operator",
    ("GET", "/people/undo"): "admin",
    ("POST", "/people/undo"): "admin",
    ("GET", "/people/import"): "operator",
    ("POST", "/people/import"): "operator",
    ("GET", "/people/import/{job}"): "operator",
    ("GET", "/identify"): "viewer",
    ("POST", "/identify"): "viewer",
    ("GET", "/live"): "viewer",
    ("GET", "/cameras"): "viewer",
    ("GET", "/cameras/{number}"): "viewer",
    ("GET", "/cameras/{number}/pictures"): "viewer",
    ("GET", "/cameras/{number}/events"): "viewer",
    ("GET", "/models"): "viewer",
    ("POST", "/models/activate"): "admin",
    ("POST", "/models/rollback"): "admin",
    ("GET", "/settings"): "admin",
    ("POST", "/settings/keys"): "admin",
    ("POST", "/settings/kiosks"): "admin",
    ("POST", "/settings/keys/{key}/revoke"): "admin",
    ("POST", "/settings/users"): "admin",
    ("POST", "/settings/webhooks"): "admin",
    ("POST", "/settings/webhooks/{webhook}/test"): "admin",
    ("POST", "/settings/webhooks/{webhook}/remove"): "admin",
    ("POST", "/settings/users/{user}/remove"): "admin",
    ("GET", "/attendance"): "viewer",
    ("GET", "/attendance/inside"): "viewer",
    ("GET", "/attendance/month"): "viewer",
    ("GET", "/attendance/classes"): "viewer",
    ("GET", "/attendance/people/{person}"): "viewer",
    ("GET", "/attendance/late"): "viewer",
    ("GET", "/attendance/exceptions"): "viewer",
    ("GET", "/attendance/corrections"): "viewer",
    ("GET", "/attendance/locks"): "viewer",
    ("GET", "/attendance/export"): "viewer",
    ("GET", "/attendance/punches/{number}"): "operator",
    ("POST", "/attendance/punches/{number}"): "operator",
    ("POST", "/attendance/people/{person}/punches"): "operator",
    ("POST", "/attendance/people/{person}/rulings"): "operator",
    ("POST", "/attendance/locks"): "admin",
    ("POST", "/attendance/people/{person}/links"): "operator",
    ("POST", "/attendance/objections/{number}"): "operator",
    ("GET", "/attendance/unknown"): "viewer",
    ("GET", "/attendance/unknown/{number}.png"): "viewer",
    ("POST", "/attendance/unknown/name"): "operator",
    ("POST", "/attendance/unknown/discard"): "operator",
}


@pytest.fixture(autouse=True)
def quick_hash(monkeypatch):
    """A hash that takes no time: what is shown here does not depend on how long it takes."""
    monkeypatch.setattr(users, "HASHER", PasswordHasher(1, 8, 1))
    users._nobodys.cache_clear()
    yield
    users._nobodys.cache_clear()


@pytest.fixture(scope="module")
def site(cache, tmp_path_factory) -> Served:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("login") / "gallery"
        yield stack.enter_context(served(made_recognizer(made_calibration()), folder))


@pytest.fixture
def calm(site, monkeypatch) -> Served:
    """The service, as if nobody had tried to sign in before."""
    monkeypatch.setattr(site.service, "lockout", RestingNames())
    monkeypatch.setattr(site.service.guard, "_buckets", Buckets())
    monkeypatch.setattr(Guard, "count_login", lambda guard, address: None)
    return site


def form(**fields: str) -> dict[str, tuple[None, str]]:
    """A form as a browser sends it."""
    return {name: (None, value) for name, value in fields.items()}


@contextmanager
def visitor(site: Served, text: str = "", name: str = "") -> Iterator[httpx.Client]:
    """A browser; signed in where it has a password or a key."""
    with httpx.Client(base_url=site.http.base_url, timeout=20) as client:
        if text:
            answer = client.post("/login", files=form(name=name, password=text))
            assert answer.status_code == 303, answer.text
        yield client


def csrf(client: httpx.Client) -> str:
    """What this session's forms hold."""
    return re.findall(r'name="csrf" value="([\w-]+)"', client.get("/people").text)[0]


@pytest.fixture
def admin(calm) -> Iterator[httpx.Client]:
    with visitor(calm, calm.key) as client:
        yield client


def test_a_user_signs_in_and_out(calm):
    user = calm.service.users.add("Ada", PASSWORD, "viewer")
    with visitor(calm, PASSWORD, "Ada") as client:
        assert client.get("/people").status_code == 200
        token, cookie = csrf(client), dict(client.cookies)
        answer = client.post("/logout", files=form(csrf=token))
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        client.cookies.update(cookie)
        assert client.get("/people").headers["location"] == "/login?next=/people"
    calm.service.users.remove(user.id)


def test_the_cookie_is_for_this_page_alone(calm):
    answer = calm.http.post("/login", files=form(password=calm.key))
    assert re.fullmatch(
        r"visavis_session=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=strict",
        answer.headers["set-cookie"],
    )
    calm.http.cookies.clear()


def test_under_tls_the_cookie_is_secure_and_of_this_host(calm):
    from starlette.testclient import TestClient

    app = calm.server.config.app
    client = TestClient(app, base_url="https://localhost", follow_redirects=False)
    answer = client.post("/login", files=form(password=calm.key))
    said = answer.headers["set-cookie"]
    assert said.startswith("__Host-visavis=")
    assert {"Secure", "HttpOnly", "SameSite=strict", "Path=/"} <= set(said.split("; "))
    assert "Domain" not in said


@pytest.fixture(scope="module")
def signed_in(site) -> Iterator[dict[str | None, httpx.Client]]:
    """A browser of nobody, and one of each scope."""
    with ExitStack() as stack:
        browsers = {None: stack.enter_context(visitor(site))}
        for scope in SCOPES:
            text = site.service.keys.make("page", scope)[1]
            browsers[scope] = stack.enter_context(visitor(site, text))
        yield browsers


@pytest.mark.slow
@pytest.mark.parametrize("page", LEAST, ids=" ".join)
def test_every_page_against_every_scope_and_none(calm, signed_in, page):
    method, path = page[0], re.sub(r"{\w+}", "0", page[1])
    least = LEAST[page]
    for scope, browser in signed_in.items():
        answer = browser.request(method, path)
        if least == "open":
            assert answer.status_code in (200, 404, 415)  # 404: nobody signs in elsewhere
        elif scope is None:
            assert answer.headers["location"].startswith("/login?next=/")
        elif SCOPES.index(scope) < SCOPES.index(least):
            assert (answer.status_code, least in answer.text) == (403, True)
        else:
            # A form that is none is refused, and so is whom nobody has ever seen.
            # No rules are kept here (422).
            fine = (415, 422) if method == "POST" else (200, 404, 422)
            assert answer.status_code in fine, answer.text


def test_every_page_says_who_may():
    assert set(LEAST) == {
        (method, route.path)
        for router in SITE
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }


FORGED = ["", "x", "visavis", "0" * 43, "../../etc", "' or 1=1 --"]


@pytest.mark.parametrize("cookie", FORGED)
def test_a_forged_cookie_lets_nobody_in(calm, cookie):
    with visitor(calm, calm.key):
        sent = {"Cookie": f"visavis_session={cookie}"}
        assert calm.http.get("/people", headers=sent).status_code == 303


def test_a_cookie_is_no_key_of_the_interface(calm, admin):
    """A form of another page reaches /v1 with no right that a cookie gives."""
    assert admin.get("/people").status_code == 200
    assert admin.get("/v1/people").status_code == 401
    assert admin.delete("/v1/people/0").status_code == 401


def attack(client: httpx.Client, **sent: str) -> int:
    """The status of a form that adds a user, from wherever."""
    fields = form(name="Eve", password=PASSWORD, scope="admin", **sent)
    return client.post("/settings/users", files=fields).status_code


@pytest.mark.parametrize("sent", [{}, {"csrf": ""}, {"csrf": "x" * 43}, {"csrf": "é"}])
def test_a_form_without_the_sessions_token_does_nothing(calm, admin, sent):
    assert attack(admin, **sent) == 403
    assert calm.service.users.all() == []


def test_the_token_of_another_session_does_nothing(calm, admin):
    with visitor(calm, calm.key) as other:
        assert attack(admin, csrf=csrf(other)) == 403
    assert calm.service.users.all() == []


def test_without_the_check_of_the_token_the_attack_succeeds(calm, admin, monkeypatch):
    monkeypatch.setattr(Session, "check", lambda session, csrf: None)
    assert attack(admin) == 303
    assert [one.name for one in calm.service.users.all()] == ["Eve"]
    calm.service.users.remove(calm.service.users.all()[0].id)


FOREIGN = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}]


@pytest.mark.parametrize("headers", FOREIGN, ids=lambda one: next(iter(one.values())))
@pytest.mark.parametrize("path", ["/settings/users", "/login"])
def test_a_form_of_another_page_does_nothing(calm, admin, headers, path):
    """Not even with the token; and nobody is signed in as somebody else."""
    fields = form(csrf=csrf(admin), name="Eve", password=PASSWORD, scope="admin")
    assert admin.post(path, files=fields, headers=headers).status_code == 403
    assert calm.service.users.all() == []


@pytest.mark.slow
def test_without_the_check_of_the_origin_a_stolen_token_would_do(calm, admin, monkeypatch):
    monkeypatch.setattr(visits, "is_foreign", lambda request: False)
    fields = form(csrf=csrf(admin), name="Eve", password=PASSWORD, scope="admin")
    sent = admin.post("/settings/users", files=fields, headers=FOREIGN[0])
    assert sent.status_code == 303
    calm.service.users.remove(calm.service.users.all()[0].id)


def test_a_session_that_somebody_chose_is_not_used(calm):
    """Fixation: the attacker's cookie is in the browser before its user signs in."""
    chosen = "attackers" + "0" * 34
    with visitor(calm) as victim, visitor(calm) as attacker:
        victim.cookies.set("visavis_session", chosen)
        answer = victim.post("/login", files=form(password=calm.key))
        assert chosen not in answer.headers["set-cookie"]
        attacker.cookies.set("visavis_session", chosen)
        assert attacker.get("/people").status_code == 303


def test_signing_in_again_ends_the_session_before(calm, admin):
    cookie = dict(admin.cookies)
    admin.post("/login", files=form(password=calm.key))
    with visitor(calm) as old:
        old.cookies.update(cookie)
        assert old.get("/people").status_code == 303


@pytest.mark.slow
def test_where_sessions_could_be_chosen_the_attack_succeeds(calm, monkeypatch):
    monkeypatch.setattr("visavis.serve.who.sessions.secrets.token_urlsafe", lambda size: "chosen")
    with visitor(calm, calm.key), visitor(calm) as attacker:
        attacker.cookies.set("visavis_session", "chosen")
        assert attacker.get("/people").status_code == 200


def guess(site: Served, name: str, password: str) -> int:
    return site.http.post("/login", files=form(name=name, password=password)).status_code


@pytest.mark.parametrize("name", ["Ada", "Nobody"])
def test_a_name_rests_after_wrong_passwords_whether_anybody_has_it(calm, name):
    user = calm.service.users.add("Ada", PASSWORD, "viewer")
    tried = [guess(calm, name, "wrong") for _ in range(TRIES)]
    assert (tried, guess(calm, name, PASSWORD)) == ([401] * TRIES, 429)
    calm.service.users.remove(user.id)


@pytest.mark.parametrize("name", ["Ada", "Nobody"])
def test_a_name_that_nobody_has_is_hashed_for_as_one_that_somebody_has(calm, monkeypatch, name):
    """How long it takes does not say who is a user."""
    user = calm.service.users.add("Ada", PASSWORD, "viewer")
    hasher, hashed = users.HASHER, []

    class Counting:
        hash = staticmethod(hasher.hash)

        @staticmethod
        def verify(known: str, password: str) -> bool:
            hashed.append(known.rsplit("$", 2)[0])
            return hasher.verify(known, password)

    monkeypatch.setattr(users, "HASHER", Counting)
    assert calm.service.users.of_password(name, "wrong") is None
    assert hashed == [user.argon2.rsplit("$", 2)[0]]
    calm.service.users.remove(user.id)


@pytest.mark.slow
def test_without_the_rest_a_password_is_guessed(calm, monkeypatch):
    user = calm.service.users.add("Ada", PASSWORD, "viewer")
    monkeypatch.setattr(RestingNames, "take", lambda lockout, name: None)
    for _ in range(TRIES):
        guess(calm, "Ada", "wrong")
    assert guess(calm, "Ada", PASSWORD) == 303
    calm.service.users.remove(user.id)


def test_tries_from_one_address_are_limited(site, monkeypatch):
    """Twenty a minute, and at most those of ten seconds at once: three."""
    monkeypatch.setattr(site.service.guard, "_buckets", Buckets(lambda: 0.0))
    statuses = [guess(site, "", f"guess {number}") for number in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_a_rest_ends_and_a_right_password_forgets_the_wrong_ones():
    moment = 0.0
    lockout = RestingNames(lambda: moment)
    for _ in range(TRIES):
        lockout.take("Ada")
    with pytest.raises(Refusal):
        lockout.take("Ada")
    moment = REST
    lockout.take("Ada")
    lockout.passed("Ada")
    for _ in range(TRIES):
        lockout.take("Ada")


@pytest.mark.parametrize(
    ("used", "asked", "there"),
    [
        ([], IDLE, True),
        ([], IDLE + 1, False),
        ([IDLE], 2 * IDLE, True),
        ([n * IDLE for n in range(1, 25)], LONGEST + 1, False),
    ],
)
def test_a_session_ends_by_time(used, asked, there):
    moment = 0.0
    sessions = Sessions(lambda: moment)
    text = sessions.begin("user", "1")
    for moment in used:  # noqa: B007 the clock reads it
        sessions.of_text(text)
    moment = asked
    assert (sessions.of_text(text) is not None) == there


@pytest.mark.parametrize("gone", ["user", "key"])
def test_who_is_removed_is_so_at_the_next_request(calm, gone):
    service = calm.service
    if gone == "user":
        user, text, name = service.users.add("Ada", PASSWORD, "admin"), PASSWORD, "Ada"
    else:
        (key, text), name = service.keys.make("page", "viewer"), ""
    with visitor(calm, text, name) as client:
        assert client.get("/people").status_code == 200
        service.users.remove(user.id) if gone == "user" else service.keys.revoke(key.id)
        assert client.get("/people").status_code == 303


@pytest.mark.parametrize(
    ("name", "password", "code"),
    [("Ada", PASSWORD, "conflict"), ("Bob", "short", "invalid"), ("Bob", "x" * 201, "invalid")],
)
def test_a_user_that_cannot_be_is_refused(calm, name, password, code):
    user = calm.service.users.add("Ada", PASSWORD, "viewer")
    with pytest.raises(Refusal) as refused:
        calm.service.users.add(name, password, "viewer")
    assert refused.value.code == code
    calm.service.users.remove(user.id)


def test_a_user_written_past_the_key_lets_nobody_in(calm):
    gallery = calm.gallery
    user = calm.service.users.add("Ada", PASSWORD, "viewer")
    with gallery.database.writing() as connection:
        write_setting(gallery.database, connection, KEPT + USERS, b"[]")
    with pytest.raises(GalleryError, match="users were altered"):
        calm.service.users.all()
    with gallery.database.writing() as connection:
        write_setting(gallery.database, connection, KEPT + USERS, None)
    assert user.argon2.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/people?q=1", "/people?q=1"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("", "/"),
    ],
)
def test_after_signing_in_nobody_is_led_elsewhere(path, kept):
    assert local_path(path) == kept


@pytest.mark.slow
def test_beyond_this_machine_verify_is_for_whoever_signed_in(calm, monkeypatch):
    monkeypatch.setattr(calm.service.guard, "_guests", False)
    html = {"Accept": "text/html"}
    assert calm.http.get("/", headers=html).headers["location"] == "/login?next=/"
    with visitor(calm, calm.key) as client:
        assert client.get("/").status_code == 200
        files = {"a": ("a.png", png()), "b": ("b.png", png())}
        assert client.post("/", files=files).status_code == 200
