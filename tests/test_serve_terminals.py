"""A terminal over real HTTP: it repeats, reorders, cuts, hangs up, lies about its clock."""

import http.client
import random
import socket
from contextlib import ExitStack
from datetime import timedelta

import pytest

pytest.importorskip("fastapi")

from made_attendance import BERLIN, copy_of, moment, rules
from served import Served, made_calibration, made_recognizer, served

from visavis.attendance import store
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.serve import terminals
from visavis.serve.heard import MOST_HEARD, HeardTerminals
from visavis.serve.who.buckets import Buckets

pytestmark = pytest.mark.slow  # each begins a service
SERIAL = "CJ7A01"
PUSH = f"/iclock/cdata?SN={SERIAL}&table=ATTLOG&Stamp=9999"


@pytest.fixture
def gate(four_people, tmp_path) -> Served:
    """A service that hears one terminal."""
    with ExitStack() as stack:
        copy_of(four_people, tmp_path / "gate").close()
        site = stack.enter_context(served(made_recognizer(made_calibration()), tmp_path / "gate"))
        keep_rules(site.gallery, rules())
        yield site


def line(who, at, status=0) -> bytes:
    return f"{who}\t{at.astimezone(BERLIN):%F %T}\t{status}\t15\t0\t0\t0\n".encode()


def punches(gate) -> list[tuple]:
    attendance = Attendance(gate.gallery)
    with gate.gallery.database.reading() as connection:
        kept = store.punches_in(attendance.ledger, connection, None)
    return sorted(
        (attendance.directory.reference(one.person), one.at, one.direction) for one in kept
    )


def said(gate) -> list[str]:
    answer = gate.http.get("/v1/attendance/terminals", headers=gate.headers()).json()
    return [one["words"] for one in answer["heard"]]


def test_a_terminal_is_told_its_options_and_acknowledged(gate):
    told = gate.http.get(f"/iclock/cdata?SN={SERIAL}&options=all")
    assert (told.status_code, told.text.splitlines()[0]) == (200, f"GET OPTION FROM: {SERIAL}")
    assert told.headers["content-type"].startswith("text/plain")
    assert gate.http.get(f"/iclock/getrequest?SN={SERIAL}").text == "OK\n"
    body = line("E-1", moment("08:00")) + line("E-2", moment("08:01"), 1)
    answer = gate.http.post(PUSH, content=body)
    assert (answer.status_code, answer.text) == (200, "OK: 2\n")
    assert punches(gate) == [("E-1", moment("08:00"), "in"), ("E-2", moment("08:01"), "out")]
    assert said(gate) == []


def test_whom_nobody_knows_and_what_cannot_be_read_is_said(gate):
    body = line("E-9", moment("08:00")) + b"E-1\thalf\n" + line("E-1", moment("09:00"), 9)
    assert gate.http.post(PUSH, content=body).text == "OK: 3\n"
    assert punches(gate) == [("E-1", moment("09:00"), None)]
    (words,) = said(gate)
    for part in ("line 2: expected user", "status 9 is not known", "1 refused", "called 'E-9'"):
        assert part in words


def test_a_clock_ahead_and_one_put_back_are_said(gate):
    ahead = moment("2999-01-01 08:00")
    for at in (ahead, moment("08:00")):
        assert gate.http.post(PUSH, content=line("E-1", at)).status_code == 200
    assert len(punches(gate)) == 2
    assert ("1 with future" in said(gate)[1], "1 with backwards" in said(gate)[0]) == (True, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/iclock/cdata?SN=door&table=ATTLOG", 403),  # it is known, and may not push
        ("/iclock/cdata?SN=CJ7A02&table=ATTLOG", 403),
        ("/iclock/cdata?table=ATTLOG", 403),
        (f"/iclock/other?SN={SERIAL}", 404),
    ],
)
def test_who_is_not_allowed_pushes_nothing(gate, path, status):
    answer = gate.http.post(path, content=line("E-1", moment("08:00")))
    assert (answer.status_code, punches(gate)) == (status, [])


def test_without_the_list_the_strangers_punch_is_kept(gate, monkeypatch):
    assert gate.http.post(PUSH, content=line("E-2", moment("08:00"))).status_code == 200
    monkeypatch.setattr(gate.service.attendance(), "_keeps", False)  # its rules are read by now
    monkeypatch.setattr("visavis.attendance.rules.Terminal.push", True)
    path = "/iclock/cdata?SN=door&table=ATTLOG"
    answer = gate.http.post(path, content=line("E-1", moment("08:00")))
    monkeypatch.undo()
    assert (answer.status_code, len(punches(gate))) == (200, 2)


def test_serial_numbers_are_not_to_be_guessed_by_the_thousand(gate, monkeypatch):
    monkeypatch.setattr(gate.service.guard, "_buckets", Buckets())
    codes = [gate.http.get(f"/iclock/cdata?SN={n}").status_code for n in range(6)]
    assert codes == [403] * 3 + [429] * 3
    assert gate.http.get(f"/iclock/cdata?SN={SERIAL}").status_code == 200


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_push_that_is_too_large_is_refused_before_it_is_read(gate, monkeypatch, declared):
    monkeypatch.setattr(terminals, "MOST_BODY", 100)
    body = line("E-1", moment("08:00")) * 5
    answer = gate.http.post(PUSH, content=body if declared else iter([body]))
    assert (answer.status_code, punches(gate)) == (413, [])


def test_without_rules_no_terminal_is_heard(site):
    assert site.http.get(f"/iclock/cdata?SN={SERIAL}").status_code == 403


def test_what_was_heard_is_bounded():
    heard = HeardTerminals()
    for number in range(MOST_HEARD + 5):
        heard.note(SERIAL, str(number))
    assert len(heard.latest()) == MOST_HEARD
    assert heard.latest()[0].words == str(MOST_HEARD + 4)


def hang_up(gate, body: bytes, sent: int) -> None:
    """Send a part of a push and break the connection off, without waiting for an answer."""
    with socket.create_connection(("127.0.0.1", gate.port)) as wire:
        head = f"POST {PUSH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        wire.sendall(head.encode() + body[:sent])


@pytest.mark.parametrize("seed", range(2))
def test_a_bad_terminal_adds_no_punch_twice_and_loses_none(gate, seed):
    """What was really punched, in pieces: twice, out of order, cut, with answers never read."""
    rng = random.Random(seed)
    start = moment("06:00")
    truth = {
        (f"E-{who}", start + timedelta(minutes=40 * turn + who), turn % 2)
        for who in (1, 2, 3)
        for turn in range(10)
    }
    waiting = [line(*one) for one in sorted(truth)]
    while waiting:
        rng.shuffle(waiting)
        batch = [*waiting[: rng.randint(1, 6)], *rng.choices(waiting, k=2)]
        body, turn = b"".join(batch), rng.random()
        if turn < 0.25:
            hang_up(gate, body, rng.randint(0, len(body)))
            continue
        if turn < 0.4:
            body = body[: rng.randint(1, len(body))]  # its buffer was too short
        wire = http.client.HTTPConnection("127.0.0.1", gate.port, timeout=20)
        wire.request("POST", PUSH, body)
        if turn < 0.6:
            wire.close()  # the answer is lost
            continue
        if wire.getresponse().status == 200:
            whole = {one + b"\n" for one in body.split(b"\n")}
            waiting = [one for one in waiting if one not in whole]
        wire.close()
    assert punches(gate) == sorted((who, at, "out" if way else "in") for who, at, way in truth)
    words = " ".join(said(gate))
    assert "repeated" in words
    assert "broke off" in words or "was cut" in words
    check = gate.http.get("/v1/attendance/check", headers=gate.headers()).json()
    assert (check["whole"], check["damages"]) == (True, [])
