"""A terminal that repeats, reorders, cuts and lies about its clock: no duplicate, all is said."""

import random
from datetime import timedelta

import pytest
from made_attendance import moment, rules

from visavis.attendance import iclock
from visavis.attendance.iclock import TerminalRequest, answer_terminal, receive
from visavis.errors import GalleryError

SERIAL = "CJ7A01"
NOW = moment("20:00")
ATTLOG = {"SN": SERIAL, "table": "ATTLOG", "Stamp": "9999"}


def post(body, query=ATTLOG):
    return TerminalRequest("POST", "/iclock/cdata", query, body)


def line(who, clock, status=0):
    day = clock if "-" in clock else f"2026-03-02 {clock}"
    return f"{who}\t{day}\t{status}\t15\t0\t0\t0\n".encode()


def punches(attendance):
    with attendance.gallery.database.reading() as connection:
        return [
            (row.person, row.at, row.body.get("direction"))
            for row in attendance.ledger.rows(connection, ["punch"])
        ]


def test_a_terminal_is_told_to_send_everything_in_the_hours_of_its_zone():
    request = TerminalRequest("GET", "/iclock/cdata", {"SN": SERIAL, "options": "all"})
    answer = answer_terminal(request, rules(), NOW)
    assert answer.status == 200
    first, *lines = answer.text.splitlines()
    assert first == f"GET OPTION FROM: {SERIAL}"
    assert {one.partition("=")[0] for one in lines} == {
        "Stamp", "ATTLOGStamp", "ErrorDelay", "Delay", "TransTimes", "TransInterval", "TransFlag",
        "TimeZone", "Realtime", "Encrypt",
    }  # fmt: skip
    assert "TimeZone=1" in lines  # hours, and no minutes
    summer = answer_terminal(request, rules(), moment("2026-07-01 12:00"))
    assert "TimeZone=2" in summer.text.splitlines()


@pytest.mark.parametrize(
    ("method", "path", "query", "status", "text"),
    [
        ("GET", "/iclock/getrequest", {"SN": SERIAL}, 200, "OK\n"),
        ("POST", "/iclock/devicecmd", {"SN": SERIAL}, 200, "OK\n"),
        ("POST", "/iclock/cdata", {"SN": SERIAL, "table": "OPERLOG"}, 200, "OK: 0\n"),
        ("GET", "/iclock/other", {"SN": SERIAL}, 404, "no such page\n"),
        ("GET", "/iclock/cdata", {"SN": "CJ7A02"}, 403, "unknown device\n"),
        ("GET", "/iclock/cdata", {}, 403, "unknown device\n"),
        ("GET", "/iclock/cdata", {"SN": "door"}, 403, "unknown device\n"),  # known, but not to push
    ],
)
def test_what_a_terminal_is_answered(method, path, query, status, text):
    answer = answer_terminal(TerminalRequest(method, path, query), rules(), NOW)
    assert (answer.status, answer.text) == (status, text)


def test_a_serial_number_that_is_not_allowed_pushes_nothing(attendance, monkeypatch):
    stranger = {**ATTLOG, "SN": "door"}
    answer, recorded = receive(attendance, post(line("E-1", "08:00:00"), stranger), now=NOW)
    assert (answer.status, recorded, punches(attendance)) == (403, [], [])
    assert "refused: terminal 'door'" in answer.said
    # Without the list, the attacker's punch is kept.
    monkeypatch.setattr("visavis.attendance.rules.Terminal.push", True)
    answer, recorded = receive(attendance, post(line("E-1", "08:00:00"), stranger), now=NOW)
    assert (answer.status, len(punches(attendance))) == (200, 1)


def test_punches_are_kept_before_they_are_acknowledged(attendance, monkeypatch):
    def full(*_, **__):
        raise GalleryError("the disk is full")

    monkeypatch.setattr(attendance, "record_all", full)
    with pytest.raises(GalleryError, match="the disk is full"):
        receive(attendance, post(line("E-1", "08:00:00")))


@pytest.mark.parametrize(
    ("body", "status", "kept", "said"),
    [
        (line("E-1", "08:17:00"), 200, 1, ""),
        (line("E-1", "08:17:00", 255), 200, 1, ""),
        (line("E-1", "08:17:00", 9), 200, 1, "status 9 is not known: kept without direction"),
        (line("E-1", "08:17:00") + b"E-1\t2026-03-02 17:", 400, 1, "line 2 was cut"),
        (line("E-1", "08:17:00") + b"E-1\thalf\n", 200, 1, "line 2: expected user"),
        (line("E-1", "08:17:00")[:-1], 200, 1, ""),  # no line break, and whole
        (b"E-1\t2026-03-02 17:00:00\t2", 400, 0, "line 1 was cut"),  # of a 255
        (b"\xff\n", 400, 0, "expected UTF-8"),
        (b"", 200, 0, ""),
        (line("E-1", "19:00:00"), 200, 1, "hour_off: is its clock in another zone?"),
        (line("E-1", "18:00:30"), 200, 1, "hour_off"),
        (line("E-1", "18:30:00"), 200, 1, ""),  # it was without a network for a while
    ],
)
def test_what_is_odd_is_said(attendance, body, status, kept, said):
    answer, recorded = receive(attendance, post(body), now=NOW)
    assert (answer.status, len(punches(attendance)), len(recorded)) == (status, kept, kept)
    assert said in answer.said
    assert bool(said) == bool(answer.said)


def test_more_than_a_terminal_holds_is_refused(monkeypatch):
    monkeypatch.setattr(iclock, "MOST_BODY", 10)
    assert answer_terminal(post(line("E-1", "08:00:00")), rules(), NOW).status == 413


def test_a_clock_two_hours_back_and_one_in_the_future_are_said(attendance):
    bodies = (line("E-1", "12:00:00"), line("E-2", "09:59:00"), line("E-3", "21:30:00"))
    notes = [receive(attendance, post(body), now=NOW)[1][0].notes for body in bodies]
    assert notes == [(), ("backwards",), ("future",)]
    assert len(punches(attendance)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_bad_terminal_adds_no_punch_twice_and_loses_none(attendance, seed):
    """What was really punched, sent in pieces, some of them twice, out of order, cut, late."""
    rng = random.Random(seed)
    truth = {
        (f"E-{who}", moment("06:00") + timedelta(minutes=40 * turn + who), turn % 2)
        for who in (1, 2, 3)
        for turn in range(14)
    }
    waiting = [line(who, f"{at.astimezone(moment('06:00').tzinfo) + timedelta(hours=1):%F %T}", way)
               for who, at, way in truth]  # fmt: skip
    said = []
    while waiting:
        rng.shuffle(waiting)
        size = rng.randint(1, 5)
        batch = [*waiting[:size], *rng.choices(waiting, k=2)]
        body = b"".join(batch)
        if rng.random() < 0.4:
            body = body[: rng.randint(1, len(body))]  # cut
        answer, recorded = receive(attendance, post(body), now=NOW)
        said += [answer.said, *(one.fate for one in recorded)]
        if answer.status == 200 and rng.random() < 0.7:  # else the answer is lost
            whole = {one + b"\n" for one in body.split(b"\n")}
            waiting = [one for one in waiting if one not in whole]
    ids = {f"E-{who}": attendance.gallery.find(f"E-{who}").id for who in (1, 2, 3)}
    assert sorted(punches(attendance)) == sorted(
        (ids[who], at, "out" if way else "in") for who, at, way in truth
    )
    assert said.count("punch") == len(truth)
    assert said.count("repeated") > 0
    assert attendance.ledger.counts()
