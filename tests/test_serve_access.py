"""Who may: every route against every scope and none; keys, guests, limits, addresses."""

import re
import socket

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from fastapi.routing import APIRoute
from served import Served, made_calibration, made_recognizer, png

from visavis.errors import GalleryError, ServeError
from visavis.gallery import open_gallery
from visavis.gallery.settings import KEPT, read_setting, write_setting
from visavis.serve import service
from visavis.serve.app import ROUTERS
from visavis.serve.refusals import Refusal
from visavis.serve.run import ListenAddress, prepare
from visavis.serve.service import ServeSettings
from visavis.serve.who import access
from visavis.serve.who.access import is_local_host, is_loopback
from visavis.serve.who.buckets import MOST_BUCKETS, Buckets
from visavis.serve.who.keys import DOCUMENT, ApiKeys

# The least that each route asks for. A route that is not here fails the test.
LEAST = {
    ("GET", "/v1/health"): "open",
    ("GET", "/v1/ready"): "open",
    ("GET", "/v1/openapi.json"): "guest",
    ("GET", "/v1/packs"): "guest",
    ("GET", "/metrics"): "guest",
    ("GET", "/"): "guest",
    ("POST", "/"): "guest",
    ("GET", "/pages/{name}"): "open",
    ("POST", "/v1/detect"): "guest",
    ("POST", "/v1/verify"): "guest",
    ("POST", "/v1/identify"): "viewer",
    ("GET", "/v1/people"): "viewer",
    ("POST", "/v1/people:import"): "operator",
    ("GET", "/v1/groups"): "viewer",
    ("GET", "/v1/groups/{group:path}"): "viewer",
    ("POST", "/v1/groups:add"): "operator",
    ("POST", "/v1/groups:remove"): "operator",
    ("GET", "/v1/configurations"): "viewer",
    ("GET", "/v1/configurations/{version}"): "viewer",
    ("POST", "/v1/configurations/{version}:activate"): "admin",
    ("POST", "/v1/configurations:rollback"): "admin",
    ("GET", "/v1/jobs"): "operator",
    ("GET", "/v1/jobs/{job}"): "operator",
    ("POST", "/v1/people"): "operator",
    ("GET", "/v1/people/{person}"): "viewer",
    ("PATCH", "/v1/people/{person}"): "operator",
    ("DELETE", "/v1/people/{person}"): "admin",
    ("POST", "/v1/people/{person}/verify"): "viewer",
    ("POST", "/v1/people/{person}/samples"): "operator",
    ("DELETE", "/v1/people/{person}/samples/{sample}"): "operator",
    ("POST", "/v1/people:undo"): "admin",
    ("POST", "/v1/people/{person}:merge"): "operator",
    ("POST", "/v1/people/{person}:unmerge"): "operator",
    ("GET", "/v1/people/{person}/negatives"): "viewer",
    ("POST", "/v1/people/{person}/negatives"): "operator",
    ("DELETE", "/v1/people/{person}/negatives/{negative}"): "operator",
    ("POST", "/v1/embed"): "admin",
    ("GET", "/v1/audit"): "admin",
    ("GET", "/v1/audit/check"): "admin",
    ("GET", "/v1/webhooks"): "admin",
    ("POST", "/v1/webhooks"): "admin",
    ("DELETE", "/v1/webhooks/{webhook}"): "admin",
    ("POST", "/v1/webhooks/{webhook}:test"): "admin",
    ("GET", "/v1/keys"): "admin",
    ("POST", "/v1/keys"): "admin",
    ("DELETE", "/v1/keys/{key}"): "admin",
    ("POST", "/v1/attendance/punches"): "kiosk",
    ("POST", "/v1/attendance/punches:hand"): "operator",
    ("POST", "/v1/attendance/punches/{number}/corrections"): "operator",
    ("POST", "/v1/attendance/days/{day}/rulings"): "operator",
    ("POST", "/v1/attendance/locks"): "admin",
    ("GET", "/v1/attendance/locks"): "viewer",
    ("GET", "/v1/attendance/today"): "viewer",
    ("GET", "/v1/attendance/days"): "viewer",
    ("GET", "/v1/attendance/month"): "viewer",
    ("GET", "/v1/attendance/late"): "viewer",
    ("GET", "/v1/attendance/exceptions"): "viewer",
    ("GET", "/v1/attendance/inside"): "viewer",
    ("GET", "/v1/attendance/classes"): "viewer",
    ("GET", "/v1/attendance/corrections"): "viewer",
    ("GET", "/v1/attendance/export"): "viewer",
    ("GET", "/v1/attendance/check"): "admin",
    ("GET", "/v1/attendance/terminals"): "viewer",
    ("GET", "/v1/attendance/punches"): "viewer",
    ("GET", "/v1/attendance/objections"): "viewer",
    ("POST", "/v1/attendance/objections/{number}/settlement"): "operator",
    ("GET", "/v1/attendance/unknown"): "viewer",
    ("POST", "/v1/attendance/unknown/{number}:name"): "operator",
    ("POST", "/v1/attendance/unknown/{number}:discard"): "operator",
    ("POST", "/v1/attendance/people/{person}/links"): "operator",
    ("DELETE", "/v1/attendance/people/{person}/links"): "operator",
    ("GET", "/mine/{link}"): "open",  # and then the link decides
    ("POST", "/mine/{link}"): "open",
    ("GET", "/kiosk"): "open",
    ("GET", "/kiosk/device"): "kiosk",
    ("POST", "/kiosk/pictures"): "kiosk",
    ("GET", "/iclock/{page:path}"): "open",  # and then the serial number decides
    ("POST", "/iclock/{page:path}"): "open",
}
# What each scope reaches. A kiosk punches and does nothing else; a viewer reads and does not punch.
REACHED = {
    "kiosk": {"open", "kiosk"},
    "viewer": {"open", "guest", "viewer"},
    "operator": {"open", "guest", "viewer", "kiosk", "operator"},
    "admin": {"open", "guest", "viewer", "kiosk", "operator", "admin"},
}


@pytest.fixture(scope="module")
def headers(site) -> dict[str | None, dict[str, str]]:
    """What is sent by whoever has a key of each scope, and by whoever has none."""
    return {scope: site.headers(scope) for scope in (None, *REACHED)}


def routes(site: Served) -> set[tuple[str, str]]:
    app = site.server.config.app
    return {
        (method, route.path)
        for route in [*app.routes, *(one for router in ROUTERS for one in router.routes)]
        if isinstance(route, APIRoute)
        for method in route.methods
    }


def test_every_route_says_who_may(site):
    assert routes(site) == set(LEAST)


@pytest.mark.parametrize(
    "guests", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["loopback", "beyond"]
)
@pytest.mark.parametrize(("method", "path"), LEAST)
def test_every_route_against_every_scope_and_none(site, headers, monkeypatch, method, path, guests):
    monkeypatch.setattr(site.service.guard, "_guests", guests)
    nobody = {"open", "guest"} if guests else {"open"}
    for scope, sent in headers.items():
        # Without a form nobody gets further than the form: 401 and 403 come before.
        answer = site.http.request(method, re.sub(r"{\w+(:path)?}", "0", path), headers=sent)
        allowed = LEAST[method, path] in REACHED.get(scope, nobody)
        refused = 401 if scope is None else 403
        said = answer.json().get("error", {}) if "json" in answer.headers["content-type"] else {}
        if allowed:
            off = path == "/v1/embed" and said.get("code") == "forbidden"
            off |= (answer.status_code, answer.text) == (403, "unknown device\n")
            assert answer.status_code not in (401, 403) or off, (scope, answer.text)
        else:
            assert (answer.status_code, set(said)) == (
                refused, {"code", "message", "mend", "request_id"},
            )  # fmt: skip


FOREIGN = [  # what a request of another page, or one that a proxy passed on, says of itself
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"X-Forwarded-For": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"Via": "1.1 proxy"},
]


@pytest.mark.parametrize("sent", FOREIGN, ids=lambda sent: next(iter(sent)))
def test_a_guests_rights_are_for_no_other_page_and_no_proxy(site, sent):
    assert site.http.get("/v1/packs").status_code == 200
    assert site.http.get("/v1/packs", headers=sent).status_code == 401
    assert site.http.get("/v1/packs", headers={**sent, **site.headers()}).status_code == 200


def test_the_attack_succeeds_on_a_service_without_that_defence(site, monkeypatch):
    monkeypatch.setattr(access, "_is_near", lambda request, address: True)
    for sent in FOREIGN:
        assert site.http.get("/v1/packs", headers=sent).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ""])
def test_a_name_that_was_made_to_lead_here_is_refused(site, host):
    """DNS rebinding: a page of evil.example reads what it asks 127.0.0.1 for under that name."""
    answer = site.http.get("/v1/packs", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["code"] == "misdirected"


def test_without_that_defence_a_rebound_name_is_answered(site, monkeypatch):
    monkeypatch.setattr(service, "is_local_host", lambda header: True)
    assert site.http.get("/v1/packs", headers={"Host": "evil.example"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True), ("127.0.0.1:8420", True), ("localhost:1", True), ("[::1]:8420", True),
        ("127.9.9.9", True), ("192.168.1.2", False), ("0.0.0.0", False), ("[::1", False),
        ("example.com", False), ("localhost@evil.example", False),
    ],
)  # fmt: skip
def test_a_host_is_this_machine_or_not(host, local):
    assert is_local_host(host) is local


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])
def test_what_others_reach_is_not_loopback(host):
    assert is_loopback(host) is False


def test_beyond_this_machine_a_key_comes_first(cache, tmp_path):
    gallery = open_gallery(tmp_path / "gallery")
    recognizer = made_recognizer(made_calibration())
    settings = ServeSettings(workers=1)
    with pytest.raises(ServeError, match="there is no key yet") as refused:
        prepare(recognizer, gallery, ListenAddress("0.0.0.0", 0), settings)
    assert refused.value.option == "new_key"


def test_an_address_that_is_taken_is_said(cache, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = ListenAddress(port=taken.getsockname()[1])
        with pytest.raises(ServeError, match=r"cannot listen at 127\.0\.0\.1"):
            prepare(None, None, address, ServeSettings(workers=1))


BAD_KEYS = [
    "Bearer", "Bearer x", "Basic YTpi", "bearer visavis_00000000_" + "A" * 43,
    "Bearer " + "x" * 9000, "Bearer \xe4\xf6",
]  # fmt: skip


@pytest.mark.parametrize("sent", BAD_KEYS)
def test_what_is_no_key_opens_nothing(site, sent, monkeypatch):
    monkeypatch.setattr(site.service.guard, "_buckets", Buckets())
    answer = site.http.get("/v1/people", headers=[(b"authorization", sent.encode("latin-1"))])
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(("scope", "device"), [("kiosk", ""), ("viewer", "entry")])
def test_a_kiosks_key_is_bound_to_a_device_and_no_other_is(site, scope, device):
    wrong = {"name": "door", "scope": scope, "device": device}
    answer = site.http.post("/v1/keys", json=wrong, headers=site.headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


def test_a_kiosks_key_signs_in_to_no_page(site):
    key = site.headers("kiosk")["Authorization"].removeprefix("Bearer ")
    answer = site.http.post("/login", files={"password": (None, key)})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


def test_many_wrong_keys_are_refused_and_a_right_one_is_not(site, monkeypatch):
    monkeypatch.setattr(site.service.guard, "_buckets", Buckets())
    wrong = {"Authorization": "Bearer x"}
    codes = [site.http.get("/v1/people", headers=wrong).status_code for _ in range(8)]
    assert codes == [401] * 3 + [429] * 5
    assert site.http.get("/v1/people", headers=site.headers()).status_code == 200


def test_a_revoked_key_opens_nothing_at_once_and_the_last_admin_stays(site):
    made = site.http.post(
        "/v1/keys", json={"name": "door", "scope": "viewer"}, headers=site.headers()
    ).json()
    key = {"Authorization": f"Bearer {made['text']}"}
    assert site.http.get("/v1/people", headers=key).status_code == 200
    path = f"/v1/keys/{made['key']['id']}"
    assert site.http.delete(path, headers=site.headers()).status_code == 200
    assert site.http.get("/v1/people", headers=key).status_code == 401
    assert site.http.delete(path, headers=site.headers()).status_code == 404
    (admin,) = [one for one in site.service.keys.all() if one.scope == "admin"]
    last = site.http.delete(f"/v1/keys/{admin.id}", headers=site.headers())
    assert (last.status_code, last.json()["error"]["code"]) == (409, "conflict")


def test_a_key_is_kept_as_a_hash_alone_and_told_once(site):
    made = site.http.post(
        "/v1/keys", json={"name": "door", "scope": "viewer"}, headers=site.headers()
    ).json()
    listed = site.http.get("/v1/keys", headers=site.headers()).text
    secret = made["text"].rpartition("_")[2]
    assert secret not in listed
    folder = site.gallery.database.path.parent
    assert not [path for path in folder.iterdir() if secret.encode() in path.read_bytes()]


def test_a_key_that_is_written_past_the_gallerys_key_opens_nothing(gallery):
    """Whoever may write the file, and has not its key, puts an admin's hash of their own there."""
    keys = ApiKeys(gallery)
    keys.make("first", "admin")
    with gallery.database.writing() as connection:
        row = read_setting(connection, KEPT + DOCUMENT)
        assert row is not None
        write_setting(gallery.database, connection, KEPT + DOCUMENT, b'[{"scope":"admin"}]')
    with pytest.raises(GalleryError, match="the API keys were altered"):
        keys.all()


def test_a_bucket_empties_and_fills():
    clock = [0.0]
    buckets = Buckets(lambda: clock[0])
    for _ in range(10):  # 60 a minute: one a second, and ten seconds' worth at once
        buckets.take("a", 60)
    with pytest.raises(Refusal) as refused:
        buckets.take("a", 60)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "2"})
    buckets.take("b", 60)
    clock[0] += 1
    buckets.take("a", 60)
    for number in range(MOST_BUCKETS):
        buckets.take(f"other {number}", 60)
    assert len(buckets._filled) == MOST_BUCKETS


def test_a_keys_own_limit_holds(site):
    text = site.service.keys.make("slow", "viewer", per_minute=12)[1]
    key = {"Authorization": f"Bearer {text}"}
    answers = [site.http.get("/v1/people", headers=key) for _ in range(4)]
    assert [one.status_code for one in answers] == [200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) <= 6


def test_an_answer_says_what_a_browser_may_do_with_it(site):
    sent = site.http.get("/v1/health").headers
    assert "default-src 'none'" in sent["content-security-policy"]
    assert "unsafe" not in sent["content-security-policy"]
    assert (sent["x-frame-options"], sent["cache-control"]) == ("DENY", "no-store")
    assert "server" not in sent


def test_photos_of_a_key_are_compared_too(site):
    answer = site.post("/v1/verify", ("a", png()), ("b", png(seed=1)))
    assert answer.json()["outcome"] == "match"
