"""Webhooks: what happened reaches a real server that fails, stalls and refuses, and nobody else."""

import hmac
import json
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from made import ANNA, BERT, CARL
from served import Served, made_calibration, made_recognizer, png, served
from test_serve_cli import serving

from visavis.gallery import Sample, open_gallery
from visavis.posts import Posted, Unreachable
from visavis.serve.hooks import delivery, outbox, sender, webhooks
from visavis.serve.hooks.delivery import Delivery
from visavis.serve.hooks.outbox import HookEvent, Outbox
from visavis.serve.hooks.sender import ForbiddenAddress, Sender, addresses_of, is_public
from visavis.serve.hooks.webhooks import EVENTS, Webhooks, check_url
from visavis.serve.refusals import Refusal

PATIENCE = 10.0  # seconds
MODEL = "fake@0"
COLUMNS = "hook, id, at, due, tries, sealed"


class Receiver:
    """A server of this machine: what it got, and what it answers next (200 by default)."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int | str] = []
        self.path = ""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                receiver.path = self.path
                answer = receiver.answers.pop(0) if receiver.answers else 200
                if answer == "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if answer == "stall":
                    time.sleep(1.5)
                    return
                self.send_response(int(answer))
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                receiver.got.append((dict(self.headers), b"a redirect was followed"))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]

    def wait(self, count: int) -> None:
        """Until so many came."""
        end = time.monotonic() + PATIENCE
        while len(self.got) < count:
            assert time.monotonic() < end, f"{len(self.got)} of {count} came"
            time.sleep(0.01)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    thread = threading.Thread(target=one.server.serve_forever, args=(0.01,))
    thread.start()
    yield one
    one.server.shutdown()
    thread.join()
    one.server.server_close()


def quiet(wanted) -> None:
    """Wait until `wanted()` is true."""
    end = time.monotonic() + PATIENCE
    while not wanted():
        assert time.monotonic() < end
        time.sleep(0.01)


class Office:
    """A gallery's webhooks with their outbox; `sends` posts to a list where no server is given."""

    def __init__(self, gallery) -> None:
        self.gallery = gallery
        self.hooks, self.outbox = Webhooks(gallery, inside=True), Outbox(gallery)
        self.sent: list[dict[str, Any]] = []
        self.answers: list[Posted | Exception] = []

    def post(self, url, data, headers) -> Posted:
        self.sent.append(json.loads(data))
        answer = self.answers.pop(0) if self.answers else Posted(200)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def delivery(self, post=None, pause: float = 0.0) -> Delivery:
        return Delivery(self.hooks, self.outbox, post or self.post, pause=pause)

    def round(self, running: Delivery) -> None:
        """One look, until nobody works."""
        running._look()
        for thread in list(running._working.values()):
            thread.join(PATIENCE)


@pytest.fixture
def office(gallery) -> Office:
    return Office(gallery)


@pytest.fixture
def hook(office):
    return office.hooks.add("http://127.0.0.1:9/hook", EVENTS)


def enrol(gallery, name: str = "Ann") -> str:
    person = gallery.add_person(name, external_id=f"E-{name}").id
    row = np.eye(8, dtype=np.float32)[0]
    gallery.add_sample(person, Sample(f"{name}.jpg", name, {}, {MODEL: row}))
    return person


def test_what_happened_is_told_with_ids_and_the_names_of_now(office, hook):
    ann = enrol(office.gallery)
    office.outbox.put([hook], [HookEvent("match", ann, {"similarity": 0.9}), HookEvent("unknown")])
    office.gallery.rename(ann, "Anne")
    office.round(office.delivery())
    told = [(one["event"], one["person"] and one["person"]["name"]) for one in office.sent]
    assert told == [("match", "Anne"), ("unknown", None), ("enrolled", "Anne")]
    assert office.sent[0]["similarity"] == 0.9
    assert office.sent[0]["person"] == {"id": ann, "name": "Anne", "external_id": "E-Ann"}
    assert office.outbox.waiting() == 0
    office.round(office.delivery())  # a service that starts anew does not tell it again
    assert len(office.sent) == 3


def test_a_webhook_is_told_only_of_what_it_asked_for_and_since_it_is_there(office):
    enrol(office.gallery)
    first = office.hooks.add("http://127.0.0.1:9/a", ["unknown", "erased"])
    other = office.hooks.add("http://127.0.0.1:9/b", ["match"])
    office.outbox.put([first, other], [HookEvent("unknown"), HookEvent("review")])
    office.gallery.delete(office.gallery.find("Ann").id)
    office.round(office.delivery())
    assert [one["event"] for one in office.sent] == ["unknown", "erased"]


def test_the_erased_persons_waiting_events_go_with_them(office, hook, tmp_path):
    ann, bob = enrol(office.gallery), enrol(office.gallery, "Bob")
    office.outbox.put(
        [hook], [HookEvent("match", ann), HookEvent("review", ann), HookEvent("match", bob)]
    )
    with closing(sqlite3.connect(office.gallery.database.path)) as file:
        query = "SELECT sealed FROM webhook_events WHERE person_id = ?"
        sealed = [row[0] for row in file.execute(query, (ann,))]
    office.gallery.delete(ann)
    data = b"".join(path.read_bytes() for path in office.gallery.database.path.parent.iterdir())
    assert len(sealed) == 2
    assert not any(one in data for one in sealed)
    office.round(office.delivery())
    told = [(one["event"], one["person"]["id"]) for one in office.sent]
    assert ("match", ann) not in told
    assert ("erased", ann) in told
    assert ("match", bob) in told
    names = [one["person"]["name"] for one in office.sent if one["person"]["id"] == ann]
    assert set(names) == {None}


def test_a_row_that_is_written_past_the_secret_is_never_sent(office, hook, monkeypatch):
    """Somebody with the file and no key wants the door to open for Bob."""
    ann, bob = enrol(office.gallery), enrol(office.gallery, "Bob")
    office.outbox.put([hook], [HookEvent("match", ann)])

    def edit(statement, *values) -> None:
        with closing(sqlite3.connect(office.gallery.database.path)) as file:
            file.execute(statement, values)
            file.commit()

    edit("UPDATE webhook_events SET person_id = ?", bob)
    document = json.dumps(["match", bob, {}, "2026-01-01"]).encode()
    edit(f"INSERT INTO webhook_events ({COLUMNS}) VALUES (?, 'x', 9e9, 0, 0, ?)", hook.id, document)
    office.round(office.delivery())
    assert [one["person"]["id"] for one in office.sent if one["event"] == "match"] == [ann]

    class Open:
        """A vault that is none."""

        seal = staticmethod(lambda data, *place: data)
        open = staticmethod(lambda data, *place: data)

    monkeypatch.setattr(outbox, "_vault", lambda hook: Open)
    edit(f"INSERT INTO webhook_events ({COLUMNS}) VALUES (?, 'y', 9e9, 0, 0, ?)", hook.id, document)
    office.round(office.delivery())
    assert office.sent[-1]["person"]["id"] == bob


def test_another_process_enrols_and_erases(office, hook):
    other = open_gallery(office.gallery.database.path.parent)
    ann = enrol(other)
    other.delete(ann)
    other.close()
    office.round(office.delivery())
    assert [(one["event"], one["person"]["id"]) for one in office.sent] == [
        ("enrolled", ann), ("erased", ann),
    ]  # fmt: skip


FAILURES = [  # answers in order; how many requests, what is left
    ([Posted(503), Posted(200)], 2, 0),
    ([Unreachable("cut"), Posted(500), Posted(204)], 3, 0),
    ([Posted(429, retry_after=0.0), Posted(200)], 2, 0),
    ([Posted(302), Posted(200)], 2, 0),
    ([Posted(400), Posted(401), Posted(200)], 3, 0),
    ([Posted(410)], 1, 0),
]


@pytest.mark.parametrize(("answers", "count", "left"), FAILURES)
def test_what_is_not_taken_is_tried_again_with_the_same_id(office, hook, answers, count, left):
    office.answers = list(answers)
    office.outbox.put([hook], [HookEvent("unknown")])
    running = office.delivery()
    for _ in range(4):
        office.round(running)
    assert (len(office.sent), office.outbox.waiting()) == (count, left)
    assert len({one["id"] for one in office.sent}) == 1
    gone = office.hooks.one(hook.id).off
    assert gone == ("gone" if answers == [Posted(410)] else "")
    office.outbox.put(office.hooks.all(), [HookEvent("unknown")])
    office.round(running)
    assert len(office.sent) == count + (not gone)


def test_an_event_that_is_refused_does_not_hold_up_the_others(office, hook):
    office.answers = [Posted(422), Posted(200)]
    office.outbox.put(
        [hook], [HookEvent("unknown", None, {"n": 1}), HookEvent("unknown", None, {"n": 2})]
    )
    office.round(office.delivery(pause=60.0))
    assert [one["n"] for one in office.sent] == [1, 2]
    assert office.outbox.waiting() == 1


def test_a_webhook_that_fails_rests_longer_and_longer_and_no_longer_than_an_hour(office, hook):
    running = office.delivery(pause=5.0)
    assert [running._wait(failures, None) for failures in (0, 1, 2, 9, 50)] == [
        5.0, 10.0, 20.0, 2560.0, 3600.0,
    ]  # fmt: skip
    assert [running._wait(0, asked) for asked in (0.0, 30.0, 1e9)] == [5.0, 30.0, 3600.0]
    office.answers = [Posted(503)]
    office.outbox.put([hook], [HookEvent("unknown"), HookEvent("unknown")])
    office.round(running)
    office.round(running)
    assert (len(office.sent), office.outbox.waiting()) == (1, 2)


def test_what_nobody_takes_in_three_days_is_dropped(office, hook, monkeypatch):
    office.outbox.put([hook], [HookEvent("unknown")])
    now = time.time()
    monkeypatch.setattr(outbox.time, "time", lambda: now + outbox.KEPT_SECONDS + 1)
    office.round(office.delivery())
    assert (office.sent, office.outbox.waiting()) == ([], 0)


def test_the_outbox_of_a_dead_webhook_does_not_grow_for_ever(office, hook, monkeypatch):
    monkeypatch.setattr(outbox, "MOST_WAITING", 3)
    office.outbox.put([hook], [HookEvent("unknown", None, {"n": n}) for n in range(5)])
    office.round(office.delivery())
    assert [one["n"] for one in office.sent] == [2, 3, 4]


ADDRESSES = [
    ("8.8.8.8", True), ("2001:4860:4860::8888", True),
    ("127.0.0.1", False), ("127.9.9.9", False), ("0.0.0.0", False), ("::1", False), ("::", False),
    ("10.0.0.1", False), ("172.16.0.1", False), ("192.168.1.1", False), ("100.64.0.1", False),
    ("169.254.169.254", False), ("fe80::1%eth0", False), ("fd00::1", False), ("224.0.0.1", False),
    ("ff02::1", False), ("::ffff:127.0.0.1", False), ("::ffff:10.0.0.1", False),
    ("64:ff9b::7f00:1", False), ("2002:7f00:1::", False), ("255.255.255.255", False),
]  # fmt: skip


@pytest.mark.parametrize(("address", "public"), ADDRESSES)
def test_an_address_is_of_the_open_network_or_not(address, public):
    assert is_public(address) is public


URLS = [
    ("http://example.org/", "expected https"),
    ("ftp://127.0.0.1/", "expected https"),
    ("https://user@127.0.0.1/", "without a user"),
    ("https://", "a web address"),
    ("https://127.0.0.1:99999/", "a web address"),
    ("https://127.0.0.1/ x", "a web address"),
    ("https://127.0.0.1/\r\nHost: x", "a web address"),
    ("https://127.0.0.1/", "to this machine or to a private network"),
    ("https://localhost/", "to this machine or to a private network"),
    ("http://localhost/", "to this machine or to a private network"),
    ("https://[::1]/", "to this machine or to a private network"),
    ("https://2130706433/", "to this machine or to a private network"),
    ("https://0x7f.1/", "to this machine or to a private network"),
    ("https://169.254.169.254/latest/meta-data", "to this machine or to a private network"),
    ("https://10.1.2.3/", "to this machine or to a private network"),
]


@pytest.mark.parametrize(("url", "said"), URLS)
def test_a_webhook_leads_to_nothing_that_only_the_service_reaches(url, said):
    with pytest.raises(Refusal, match=said) as refused:
        check_url(url, inside=False)
    assert refused.value.status == 422


def test_a_name_that_leads_elsewhere_afterwards_is_not_followed(receiver, monkeypatch):
    """DNS rebinding: a name that was public when it was added now leads to this machine."""
    to = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.server.server_port))]
    monkeypatch.setattr(sender.socket, "getaddrinfo", lambda *_, **__: to)
    with pytest.raises(ForbiddenAddress):
        addresses_of("rebound.example", 80, inside=False)
    url = f"http://rebound.example:{receiver.server.server_port}/admin"
    with pytest.raises(Unreachable, match="private network"):
        Sender()(url, b"{}", {})
    assert receiver.got == []
    monkeypatch.setattr(sender, "is_public", lambda text: True)
    assert Sender()(url, b"{}", {}).status == 200  # without the defence the attack succeeds
    assert receiver.path == "/admin"


def test_a_redirect_is_not_followed_and_a_cut_line_is_worth_another_try(receiver):
    send = Sender(inside=True)
    receiver.answers = [302, "cut", 503]
    assert send(receiver.url, b"{}", {}).status == 302
    with pytest.raises(Unreachable):
        send(receiver.url, b"{}", {})
    assert send(receiver.url, b"{}", {}).status == 503
    assert [body for _, body in receiver.got] == [b"{}"] * 3


@pytest.mark.parametrize("name", ["STALL", "PATIENCE"])
def test_who_stalls_is_left(receiver, monkeypatch, name):
    monkeypatch.setattr(sender, name, 0.1)
    receiver.answers = ["stall"]
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        Sender(inside=True)(receiver.url, b"{}", {})
    assert time.monotonic() - begun < 1.0


@pytest.fixture
def hooked(cache, tmp_path, receiver) -> Iterator[tuple[Served, Receiver, str]]:
    """A service that may reach this machine, with a webhook for everything; its secret."""
    made = made_recognizer(made_calibration())
    with served(made, tmp_path / "gallery", webhooks_inside=True) as site:
        answer = site.http.post(
            "/v1/webhooks",
            json={"url": receiver.url, "events": list(EVENTS)},
            headers=site.headers(),
        )
        assert answer.status_code == 201, answer.text
        yield site, receiver, answer.json()["secret"]


def test_a_service_tells_of_searches_enrolments_and_erasures_signed(hooked):
    site, receiver, secret = hooked
    enrolled = site.post("/v1/people", ("images", png(ANNA)), name="Anna").json()["person"]
    receiver.wait(1)
    answer = site.post("/v1/identify", ("images", png(ANNA, seed=1)), ("images", png(CARL)))
    assert answer.status_code == 200
    receiver.wait(3)
    assert [one["event"] for one in receiver.documents] == ["enrolled", "match", "unknown"]
    match = receiver.documents[1]
    assert match["person"] == {"id": enrolled["id"], "name": "Anna", "external_id": None}
    assert match["request"] == answer.headers["x-request-id"]
    face = answer.json()["images"][0]["faces"][0]
    assert {name: match[name] for name in outbox.FIGURES} == {
        name: face[name] for name in outbox.FIGURES
    }
    site.http.delete(f"/v1/people/{enrolled['id']}", headers=site.headers())
    receiver.wait(4)
    assert receiver.documents[3]["person"] == {
        "id": enrolled["id"], "name": None, "external_id": None,
    }  # fmt: skip
    for headers, body in receiver.got:
        said = headers["X-Visavis-Timestamp"].encode() + b"." + body
        digest = hmac.new(secret.encode(), said, sha256).hexdigest()
        assert headers["X-Visavis-Signature"] == f"sha256={digest}"
        assert headers["Idempotency-Key"] == json.loads(body)["id"]
        assert abs(int(headers["X-Visavis-Timestamp"]) - time.time()) < 60
    assert site.gallery.audit_broken_at() is None


@pytest.mark.slow
def test_webhooks_are_listed_tried_and_removed(hooked):
    site, receiver, secret = hooked
    ask = {"headers": site.headers()}
    (listed,) = site.http.get("/v1/webhooks", **ask).json()["webhooks"]
    assert secret not in json.dumps(listed)
    assert (listed["events"], listed["off"]) == (list(EVENTS), "")
    path = f"/v1/webhooks/{listed['id']}"
    receiver.answers = [200, 500]
    tried = [site.http.post(f"{path}:test", **ask).json() for _ in range(2)]
    assert [(one["delivered"], one["status"]) for one in tried] == [(True, 200), (False, 500)]
    assert receiver.documents[0]["event"] == "test"
    assert site.http.get("/v1/webhooks", **ask).json()["webhooks"][0]["last_status"] == 500
    assert site.http.delete(path, **ask).json() == {"removed": listed["id"]}
    assert site.http.delete(path, **ask).status_code == 404
    assert site.http.post(f"{path}:test", **ask).status_code == 404
    count = len(receiver.got)
    site.post("/v1/people", ("images", png(BERT)), name="Bert")
    assert site.service.outbox.waiting() == 0
    assert len(receiver.got) == count


@pytest.mark.slow
def test_a_service_that_was_not_told_to_refuses_inner_addresses(site):
    for url in ("https://127.0.0.1/", "http://127.0.0.1:9/", "https://10.0.0.1/"):
        document = {"url": url, "events": ["match"]}
        answer = site.http.post("/v1/webhooks", json=document, headers=site.headers())
        assert answer.status_code == 422, url
    assert site.service.webhooks.all() == []


def test_there_are_not_too_many_and_none_offline(office, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST_WEBHOOKS", 2)
    for _ in range(2):
        office.hooks.add("http://127.0.0.1:9/", ["match"])
    with pytest.raises(Refusal, match="2 webhooks already"):
        office.hooks.add("http://127.0.0.1:9/", ["match"])
    monkeypatch.setenv("VISAVIS_OFFLINE", "1")
    with pytest.raises(Refusal, match="VISAVIS_OFFLINE is set"):
        office.hooks.add("http://127.0.0.1:9/", ["match"])
    office.outbox.put(office.hooks.all(), [HookEvent("match")])
    office.round(office.delivery())
    assert office.sent == []


def test_stopping_waits_for_what_is_being_sent_and_no_longer(office, hook, monkeypatch):
    monkeypatch.setattr(delivery, "STOPPING", 0.2)
    sending, goes_on = threading.Event(), threading.Event()

    def post(*_: Any) -> Posted:
        sending.set()
        goes_on.wait(PATIENCE)
        return Posted(200)

    running = office.delivery(post)
    office.outbox.put([hook], [HookEvent("unknown")])
    running.start()
    assert sending.wait(PATIENCE)
    begun = time.monotonic()
    running.close()
    assert time.monotonic() - begun < 2.0
    goes_on.set()
    quiet(lambda: not running._working)


@pytest.mark.slow
@pytest.mark.pack
def test_a_killed_service_tells_what_it_had_not_told(cache, tmp_path, portraits, receiver):
    """kill -9 after the answer, before anybody took the event: the next start sends it."""
    folder = tmp_path / "gallery"
    receiver.answers = ["stall"] * 20
    with serving(folder, "--webhooks-inside") as (process, said):
        ask = {"headers": {"Authorization": f"Bearer {said['admin_key']}"}, "timeout": 30}
        hook = {"url": receiver.url, "events": ["match", "unknown"]}
        made = httpx.post(f"{said['url']}/v1/webhooks", json=hook, **ask)
        assert made.status_code == 201
        photo = {"images": ("a.jpg", (portraits / "obama.jpg").read_bytes())}
        answer = httpx.post(f"{said['url']}/v1/identify", files=photo, **ask)
        assert answer.status_code == 200
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    receiver.answers, before = [], len(receiver.got)
    with serving(folder, "--webhooks-inside"):
        receiver.wait(before + 1)
    documents = [one for one in receiver.documents if one["event"] == "unknown"]
    assert {one["request"] for one in documents} == {answer.headers["x-request-id"]}
    assert len({one["id"] for one in documents}) == 1
