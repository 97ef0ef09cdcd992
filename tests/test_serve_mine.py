"""Somebody's own page by a link: read-only, expiring, revocable; and what they object to."""

import base64
import html
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from made_attendance import copy_of, moment, rules
from served import Served, made_calibration, made_recognizer, served
from test_serve_login import csrf, visitor

from visavis.attendance import objections
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.objections import object_to, objections_of, settle
from visavis.attendance.punches import Reporter, Sighting
from visavis.attendance.whole import ledger_damages
from visavis.errors import AttendanceError
from visavis.gallery import open_gallery
from visavis.gallery.proof import erase_with_proof
from visavis.gallery.rotation import rotate_key
from visavis.serve.refusals import Refusal
from visavis.serve.who.links import LINKS, OwnLinks

MONDAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def test_a_link_is_of_one_person_until_its_time_is_over(gallery):
    clock = [NOW]
    links = OwnLinks(gallery, lambda: clock[0])
    text = links.make("p1", 30)
    assert links.person(text) == "p1"
    assert "p1" not in base64.urlsafe_b64decode(text + "==").decode("latin-1")
    clock[0] += timedelta(days=30) - timedelta(seconds=1)
    assert links.person(text) == "p1"
    clock[0] += timedelta(seconds=1)
    with pytest.raises(Refusal, match="its time is over"):
        links.person(text)


def test_a_revoked_link_opens_nothing_and_others_do(gallery):
    clock = [NOW]
    links = OwnLinks(gallery, lambda: clock[0])
    old, other = links.make("p1", 30), links.make("p2", 30)
    clock[0] += timedelta(hours=1)
    links.revoke("p1")
    with pytest.raises(Refusal):
        links.person(old)
    clock[0] += timedelta(seconds=1)
    assert (links.person(other), links.person(links.make("p1", 30))) == ("p2", "p1")


def forged(gallery) -> list[str]:
    """What somebody without the gallery's key can send."""
    said = json.dumps(["p1", NOW.timestamp(), NOW.timestamp() + 9e9]).encode()
    own = OwnLinks(gallery, lambda: NOW).make("p1", 30)
    cursor = gallery.vault.seal(said, gallery.id, "people cursor")  # sealed for something else
    cut, turned = own[:-4], own[:-6] + own[-1] + own[-5:]
    plain = [base64.urlsafe_b64encode(one).decode() for one in (said, cursor)]
    return ["", "x", "0" * 5000, "\xe4", cut, turned, *plain]


def test_nobody_else_makes_a_link(gallery):
    links = OwnLinks(gallery, lambda: NOW)
    for text in forged(gallery):
        with pytest.raises(Refusal, match="not valid"):
            links.person(text)


def test_without_the_seal_a_forged_link_opens_somebody_elses_page(gallery, monkeypatch):
    monkeypatch.setattr(type(gallery.vault), "open", lambda vault, sealed, *place: sealed)
    plain = base64.urlsafe_b64encode(json.dumps(["p1", 0.5, 9e9]).encode()).decode()
    assert OwnLinks(gallery, lambda: NOW).person(plain) == "p1"


def test_an_objection_waits_until_somebody_settles_it(attendance):
    person = attendance.directory.find("E-1").id
    made = object_to(attendance, person, MONDAY, " I was there at 8 ")
    assert (made.words, made.is_open) == ("I was there at 8", True)
    assert objections_of(attendance) == [made]
    settled = settle(attendance, made.number, actor="Olga", reason="corrected")
    assert (settled.is_open, settled.answer, settled.actor) == (False, "corrected", "Olga")
    assert objections_of(attendance, [attendance.directory.find("E-2").id]) == []
    with pytest.raises(AttendanceError, match="no open objection"):
        settle(attendance, made.number, actor="Olga", reason="again")
    assert ledger_damages(attendance.ledger) == []


def test_an_objection_needs_words_an_answer_a_reason_and_there_are_not_endless_ones(
    attendance, monkeypatch
):
    monkeypatch.setattr(objections, "MOST_OPEN", 1)
    person = attendance.directory.find("E-1").id
    with pytest.raises(AttendanceError, match="needs words"):
        object_to(attendance, person, MONDAY, " ")
    made = object_to(attendance, person, MONDAY, "so")
    with pytest.raises(AttendanceError, match="1 objections wait"):
        object_to(attendance, person, MONDAY, "so")
    with pytest.raises(AttendanceError, match="who does it and why"):
        settle(attendance, made.number, actor="Olga", reason="")


@pytest.mark.slow
def test_an_objection_goes_with_its_person(attendance):
    person = attendance.directory.find("E-1").id
    object_to(attendance, person, MONDAY, "a private matter of mine")
    assert erase_with_proof(attendance.gallery, person).left == 0
    assert objections_of(attendance) == []
    assert ledger_damages(attendance.ledger) == []


@pytest.fixture(scope="module")
def office(four_people, tmp_path_factory) -> Iterator[Served]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("mine") / "gallery"
        copy_of(four_people, folder).close()
        site = stack.enter_context(served(made_recognizer(made_calibration()), folder))
        keep_rules(site.gallery, rules())
        attendance = Attendance(site.gallery)
        for who, clock in [("E-1", "2026-03-02 08:17"), ("E-2", "2026-03-02 07:13")]:
            attendance.record(Sighting(who, moment(clock), "door", source=Reporter.TERMINAL))
        yield site


@pytest.fixture(scope="module")
def operator(office) -> Iterator[httpx.Client]:
    text = office.service.keys.make("Olga", "operator")[1]
    with visitor(office, text) as client:
        client.follow_redirects = True
        yield client


def words(answer: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def send(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    sent = {"csrf": csrf(client), **fields}
    return client.post(path, files=[(name, (None, value)) for name, value in sent.items()])


def link_of(operator, person: str) -> str:
    page = send(operator, f"/attendance/people/{person}/links", days="7").text
    return httpx.URL(page.partition("<code>")[2].partition("</code>")[0]).path


@pytest.mark.slow
def test_an_employee_reads_their_own_days_objects_and_is_answered(office, operator):
    person = office.gallery.find("E-1").id
    path = link_of(operator, person)
    with httpx.Client(base_url=office.http.base_url, follow_redirects=True) as employee:
        own = employee.get(path, params={"month": "2026-03"})
        said = words(own)
        assert ("Person 1: 2026-03" in said, "08:17" in said) == (True, True)
        assert ("07:13" in said, "Person 2" in said) == (False, False)
        assert "/attendance/people" not in own.text
        form = {"day": (None, "2026-03-02"), "words": (None, "<b>I was there</b> at 8")}
        after = employee.post(path, files=form)
        assert "2026-03-02 : <b>I was there</b> at 8 Somebody will look at it." in words(after)
        assert "<b>I was" not in after.text
        assert "08:17" in words(after)  # an objection changes nothing
        listed = operator.get("/attendance/exceptions", params={"month": "2026-03"})
        assert "Person 1, 2026-03-02 : <b>I was there</b> at 8" in words(listed)
        number = re.search(r"/attendance/objections/(\d+)", listed.text)[1]
        settled = send(operator, f"/attendance/objections/{number}", reason="it is corrected")
        assert "I was there" not in words(settled)
        again = employee.get(path, params={"month": "2026-03"})
        assert "Answer: it is corrected" in words(again)


@pytest.mark.slow
def test_a_link_ends_when_it_is_revoked_and_when_its_person_is_erased(office, operator):
    person = office.gallery.find("E-2").id
    path = link_of(operator, person)
    assert office.http.get(path).status_code == 200
    send(operator, f"/attendance/people/{person}/links", revoke="true")
    refused = office.http.get(path)
    assert (refused.status_code, "ask for a new one" in refused.text) == (404, True)
    again = link_of(operator, person)
    assert office.http.get(again).status_code == 200
    office.gallery.delete(person)
    assert office.http.get(again).status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"day": "2026-03-02"}, {}, 422),
        ({"day": "2026-03-02", "words": " "}, {}, 422),
        ({"day": "no day", "words": "so"}, {}, 422),
        ({"day": "2026-03-02", "words": "x" * 2001}, {}, 422),
        ({"day": "2026-03-02", "words": "so"}, {"Origin": "https://evil.example"}, 403),
    ],
    ids=str,
)
def test_an_objection_that_cannot_be_is_a_page_that_says_so(
    office, operator, fields, headers, status
):
    path = link_of(operator, office.gallery.find("E-3").id)
    files = {name: (None, value) for name, value in fields.items()}
    answer = office.http.post(path, files=files, headers=headers)
    assert (answer.status_code, answer.text.startswith("<!doctype html>")) == (status, True)


def test_what_is_no_link_opens_nothing(site):
    for text in ("x", "visavis_5f1c9a02_told-once", LINKS):
        assert site.http.get(f"/mine/{text}").status_code == 404
        assert site.http.post(f"/mine/{text}", files={"a": (None, "")}).status_code == 404


@pytest.mark.slow
def test_a_link_ends_when_the_gallerys_key_is_rotated(gallery):
    folder = gallery.database.path.parent
    text = OwnLinks(gallery, lambda: NOW).make("p1", 30)
    rotate_key(gallery)
    gallery.close()
    again = open_gallery(folder)
    with pytest.raises(Refusal, match="not valid"):
        OwnLinks(again, lambda: NOW).person(text)
    again.close()
