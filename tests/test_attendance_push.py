"""The outbox: in order, none twice, none lost; slow servers, refusals, signatures."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from made_attendance import copy_of, moment, people_of_four, rules

from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.post import post_json
from visavis.attendance.punches import Sighting
from visavis.attendance.push import (
    FRAPPE,
    SAME,
    PushTarget,
    push_punches,
)
from visavis.attendance.rules import Direction
from visavis.errors import AttendanceError
from visavis.posts import Posted, Unreachable, signature

SITE = PushTarget("frappe", "https://hr.example.org/", token="token a:b")
HOOK = PushTarget("webhook", "https://example.org/hook", secret="s3cret")
WHY = {"actor": "HR", "reason": "wrong"}


@pytest.fixture(scope="module")
def made(cache, tmp_path_factory):
    folder = people_of_four(tmp_path_factory.mktemp("attendance") / "gallery")
    gallery = copy_of(folder, folder.with_name("punches"))
    keep_rules(gallery, rules())
    attendance = Attendance(gallery)
    for who, clock, way in (
        ("E-1", "08:00", "in"),
        ("E-2", "08:30", None),
        ("E-1", "17:00", "out"),
    ):
        attendance.record(Sighting(who, moment(clock), "kiosk", Direction(way) if way else None))
    gallery.close()
    return folder.with_name("punches")


@pytest.fixture
def attendance(made, tmp_path):
    gallery = copy_of(made, tmp_path / "gallery")
    yield Attendance(gallery)
    gallery.close()


class Server:
    """Answers as it is told, then 200; notes what it got. Time passes only when somebody sleeps."""

    def __init__(self, *answers):
        self.answers, self.got, self.slept, self.now = list(answers), [], [], 0.0

    def __call__(self, url, data, headers):
        self.got.append((url, json.loads(data), headers, data))
        answer = self.answers.pop(0) if self.answers else Posted(200)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def push(self, attendance, target):
        return push_punches(attendance, target, self, sleep=self.sleep, clock=lambda: self.now)


def test_frappe_gets_each_punch_once_in_order(attendance):
    server = Server()
    assert server.push(attendance, SITE).delivered == 3
    assert {url for url, *_ in server.got} == {f"https://hr.example.org{FRAPPE}"}
    assert [(body["employee_field_value"], body["timestamp"], body["log_type"])
            for _, body, *_ in server.got] == [
        ("E-1", "2026-03-02 08:00:00.000000", "IN"),
        ("E-2", "2026-03-02 08:30:00.000000", ""),
        ("E-1", "2026-03-02 17:00:00.000000", "OUT"),
    ]  # fmt: skip
    assert {headers["Authorization"] for *_, headers, _ in server.got} == {"token a:b"}
    assert server.push(attendance, SITE).delivered == 0
    attendance.record(Sighting("E-2", moment("17:00"), "kiosk"))
    assert server.push(attendance, SITE).delivered == 1
    assert server.push(attendance, HOOK).delivered == 4  # each target has its own place


def test_what_does_not_count_is_not_sent_and_what_was_moved_as_it_is_now(attendance):
    attendance.void(1, **WHY)
    attendance.move(2, at=moment("09:00"), **WHY)
    server = Server()
    server.push(attendance, SITE)
    assert [body["timestamp"][11:16] for _, body, *_ in server.got] == ["09:00", "17:00"]


@pytest.mark.parametrize(
    ("answers", "delivered", "repeated", "refused", "left", "slept"),
    [
        ([Posted(503), Posted(429, retry_after=7.0)], 3, 0, [], 0, [2.0, 7.0]),
        ([Unreachable("no route")], 3, 0, [], 0, [2.0]),
        ([Posted(503)] * 5, 0, 0, [], 3, [2.0, 4.0, 8.0, 16.0]),
        ([Posted(200), *[Unreachable("cut")] * 5], 1, 0, [], 2, [2.0, 4.0, 8.0, 16.0]),
        ([Posted(429, retry_after=1e9)], 3, 0, [], 0, [300.0]),
        ([Posted(417, f"This employee {SAME}")], 2, 1, [], 0, []),
        ([Posted(404, "no employee")], 2, 0, [(1, "HTTP 404: no employee")], 0, []),
        ([Posted(302)], 2, 0, [(1, "HTTP 302: ")], 0, []),  # a token follows no redirect
    ],
)
def test_what_an_answer_means(attendance, answers, delivered, repeated, refused, left, slept):
    server = Server(*answers)
    pushed = server.push(attendance, PushTarget("frappe", SITE.url, rate=6000))
    assert (pushed.delivered, pushed.repeated, pushed.refused, pushed.left) == (
        delivered, repeated, refused, left,
    )  # fmt: skip
    assert [seconds for seconds in server.slept if seconds > 0.01] == slept
    assert Server().push(attendance, SITE).delivered == left


def test_no_more_is_sent_in_a_minute_than_is_allowed(attendance):
    server = Server()
    server.push(attendance, PushTarget("frappe", SITE.url, rate=10))
    assert server.slept == [0.0, 6.0, 6.0]


def test_who_is_stopped_after_a_delivery_sends_it_once_more_with_the_same_key(attendance):
    class Killed(BaseException):
        pass

    server = Server()

    def post(*arguments):
        server(*arguments)
        if len(server.got) == 2:
            raise Killed  # it arrived, and nobody noted it

    with pytest.raises(Killed):
        push_punches(attendance, SITE, lambda *words: post(*words) or Posted(200),
                     sleep=lambda _: None)  # fmt: skip
    server.push(attendance, SITE)
    keys = [headers["Idempotency-Key"] for *_, headers, _ in server.got]
    assert keys == ["punch-1", "punch-2", "punch-2", "punch-3"]


def test_a_webhook_gets_punches_and_corrections_signed(attendance):
    attendance.void(1, **WHY)
    server = Server()
    server.push(attendance, HOOK)
    assert [(body["kind"], body["number"]) for _, body, *_ in server.got] == [
        ("punch", 1), ("punch", 2), ("punch", 3), ("correction", 4),
    ]  # fmt: skip
    _, body, headers, data = server.got[-1]
    assert (body["punch"], body["after"], body["actor"]) == (1, None, "HR")
    stamp = headers["X-Visavis-Timestamp"]
    assert headers["X-Visavis-Signature"] == signature("s3cret", stamp, data)
    assert signature("s3cret", stamp, data + b" ") != signature("s3cret", stamp, data)


def test_a_signature_is_the_hmac_that_others_compute():
    """openssl: printf '1.{}' | openssl dgst -sha256 -hmac key"""
    assert signature("key", "1", b"{}") == (
        "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"
    )


@pytest.mark.parametrize(
    "target",
    [
        PushTarget("frappe", "http://hr.example.org"),
        PushTarget("frappe", "https://me:pass@hr.example.org"),
        PushTarget("webhook", "file:///etc/passwd"),
        PushTarget("webhook", "https://"),
        PushTarget("webhook", "https://example.org", rate=0),
    ],
)
def test_times_of_people_are_sent_in_the_clear_to_nobody(attendance, target):
    server = Server()
    with pytest.raises(AttendanceError, match="expected"):
        server.push(attendance, target)
    assert server.got == []


def test_an_outbox_that_was_altered_is_said(attendance):
    Server().push(attendance, SITE)
    with attendance.gallery.database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE settings SET value = x'00' WHERE name LIKE 'attendance outbox%'"
        )
    with pytest.raises(AttendanceError, match=r"the outbox of frappe .* was altered"):
        Server().push(attendance, SITE)


@pytest.fixture
def web():
    """A server on this machine that says 201, or to /busy 503, or redirects."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response({"/busy": 503, "/moved": 302}.get(self.path, 201))
            self.send_header("Retry-After", "3")
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"said")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("path", "status"), [("/ok", 201), ("/busy", 503), ("/moved", 302)])
def test_a_request_is_posted_and_follows_no_redirect(web, path, status):
    address, got = web
    answer = post_json(address + path, b"{}", {"Authorization": "x"})
    assert (answer.status, answer.text, answer.retry_after) == (status, "said", 3.0)
    assert got == [(path, b"{}")]


def test_nobody_there_is_worth_another_try(monkeypatch):
    with pytest.raises(Unreachable):
        post_json("http://127.0.0.1:9/", b"{}", {})
    monkeypatch.setenv("VISAVIS_OFFLINE", "1")
    with pytest.raises(AttendanceError, match="VISAVIS_OFFLINE is set"):
        post_json("http://127.0.0.1:9/", b"{}", {})


@pytest.mark.slow
def test_the_verb_pushes(run, made, tmp_path, web):
    copy_of(made, tmp_path / "gallery").close()
    address, got = web
    words = ("attendance", "push", "webhook", address, "--rate", "6000", "--gallery",
             tmp_path / "gallery")  # fmt: skip
    assert run(*words) == (0, "3 delivered, 0 were there already\n", "")
    code, out, _ = run(*words, "--json")
    assert (code, json.loads(out)["delivered"], len(got)) == (0, 0, 3)
