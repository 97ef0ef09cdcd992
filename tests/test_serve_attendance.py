"""Attendance over HTTP: punches by photo and by hand, reports, corrections, locks, files."""

import json
from contextlib import ExitStack

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from made import BERT, NONE
from made_attendance import RULES, moment, rules
from served import Served, made_calibration, made_recognizer, png, served

from visavis.answers.objections import punch_json
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.corrections import Claim
from visavis.attendance.punches import Reporter, Sighting
from visavis.serve.rest import punches as routes

KIOSK = b"""
[devices.entry]
[devices.back]
[devices.lab]
challenge = true
"""
MARCH = {"month": "2026-03"}


@pytest.fixture(scope="module")
def office(cache, tmp_path_factory) -> Served:
    """A service with rules, Anna (E-1, with a photo) and E-2 to E-4, and a day of punches."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("office") / "gallery"
        site = stack.enter_context(served(made_recognizer(made_calibration()), folder))
        enrolled = site.post("/v1/people", ("images", png()), name="Anna", external_id="E-1")
        assert enrolled.status_code == 201
        for number in (2, 3, 4):
            site.gallery.add_person(f"Person {number}", external_id=f"E-{number}")
        keep_rules(site.gallery, rules(KIOSK))
        attendance = Attendance(site.gallery)
        clocks = ["2026-03-02 08:17", "2026-03-02 17:02", "2026-03-03 08:00"]
        for clock in clocks:
            attendance.record(Sighting("E-1", moment(clock), "hall", source=Reporter.TERMINAL))
        yield site


@pytest.fixture(scope="module")
def kiosk(office) -> dict[str, str]:
    return office.headers("kiosk")


def get(office, path, **query):
    answer = office.http.get(f"/v1/attendance/{path}", params=query, headers=office.headers())
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(office, path, document, headers=None, status=201):
    answer = office.http.post(
        f"/v1/attendance/{path}", json=document, headers=headers or office.headers()
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def punch(office, headers, photo=None, status=201, **fields):
    answer = office.http.post(
        "/v1/attendance/punches",
        files={"image": ("a.png", photo or png())},
        data=fields,
        headers=headers,
    )
    assert answer.status_code == status, answer.text
    return answer.json()


def punches(office) -> int:
    return sum(Attendance(office.gallery).ledger.counts().values())


def forget(office):
    """Let nobody be near a punch before: the others' cooldown is not this test's."""
    office.service._attendance.rules = rules(
        KIOSK, RULES.replace(b"60", b"0").replace(b"120", b"0")
    )


def test_a_kiosk_punches_for_whoever_is_in_the_photo_at_its_own_device(office, kiosk):
    before = punches(office)
    said = punch(office, kiosk)
    assert (said["outcome"], said["person"]["name"]) == ("match", "Anna")
    assert said["similarity"] > said["threshold"]
    sighting = said["sighting"]
    assert (sighting["fate"], sighting["notes"], punches(office)) == ("punch", [], before + 1)
    attendance = Attendance(office.gallery)
    kept = attendance.punch(sighting["punch"])
    assert (kept.device, kept.source, kept.direction) == ("entry", "kiosk", None)
    evidence, crop = attendance.evidence(sighting["punch"])
    assert (evidence["model"], crop) == (office.service.recognizer.embed.model, None)
    assert evidence["similarity"] > evidence["threshold"] > 0
    # Within the cooldown it is seen again, or in the same second said again: no punch of its own.
    again = punch(office, kiosk, png(seed=2), status=200)["sighting"]
    assert again["fate"] in ("seen", "repeated")
    assert punches(office) == before + 1


@pytest.mark.parametrize(
    ("photo", "status", "code"),
    [(png(shows=NONE), 422, "no_face"), (b"no photo", 422, "image")],
)
def test_what_shows_nobody_is_an_error(office, kiosk, photo, status, code):
    assert punch(office, kiosk, photo, status)["error"]["code"] == code


def test_a_stranger_is_not_told_whom_they_are_close_to(office, kiosk):
    said = punch(office, kiosk, png(BERT), status=200)
    assert said == {
        "outcome": "no_match", "person": None, "similarity": None, "threshold": None,
        "sighting": None,
    }  # fmt: skip


def test_a_kiosk_says_no_other_device(office, kiosk):
    said = punch(office, kiosk, status=403, device="back")
    assert said["error"]["message"] == "this key punches for its own device alone"
    operator = office.headers("operator")
    assert punch(office, operator, status=200, device="back")["sighting"]["fate"] != "punch"


def test_without_that_check_a_stolen_kiosk_key_punches_anywhere(office, kiosk, monkeypatch):
    monkeypatch.setattr(routes, "device_of", lambda caller, asked: asked)
    assert punch(office, kiosk, status=200, device="back")["sighting"]["fate"] != "punch"


def test_where_a_challenge_is_asked_for_one_photo_is_not_enough(office, monkeypatch):
    operator = office.headers("operator")
    said = punch(office, operator, status=403, device="lab")
    assert "movements of the head" in said["error"]["message"]
    # Without that check whoever has the kiosk's key passes by a photo.
    monkeypatch.setattr(routes, "check_no_challenge", lambda rules, device: None)
    assert punch(office, operator, status=200, device="lab")["outcome"] == "match"


@pytest.mark.slow
def test_a_punch_that_is_sent_again_is_one(office, kiosk, monkeypatch):
    key = kiosk | {"Idempotency-Key": "8c1f"}
    monkeypatch.setattr(office.service._attendance, "_keeps", False)
    forget(office)
    before = punches(office)
    first = punch(office, key)
    assert punch(office, key) == first
    # The answer was lost, as by a crash between the two: the ledger knows the key by itself.
    monkeypatch.setattr(office.service.once, "_known", lambda identity, request: None)
    again = punch(office, key, status=200)
    assert again["sighting"]["fate"] == "repeated"
    assert punches(office) == before + 1


def test_a_punch_by_hand_names_the_key_that_made_it(office):
    said = {"person": "E-2", "at": "2026-03-05T08:00", "reason": "forgot", "direction": "in"}
    made = post(office, "punches:hand", said)
    assert (made["fate"], made["at"]) == ("punch", "2026-03-05T07:00:00Z")
    kept = Attendance(office.gallery).punch(made["punch"])
    admin = office.service.keys.all()[0]
    assert (kept.actor, kept.reason) == (f"{admin.name} ({admin.id})", "forgot")


BAD_PUNCHES = [
    ({"reason": ""}, "invalid"),
    ({"actor": "somebody else"}, "invalid"),
    ({"person": "E-9"}, "person"),
    ({"at": "yesterday"}, "attendance"),
    ({"at": "2026-03-29T02:30"}, "attendance"),  # the clock skips it
    ({"direction": "up"}, "invalid"),
]


@pytest.mark.parametrize(("wrong", "code"), BAD_PUNCHES, ids=str)
def test_a_bad_punch_by_hand_is_refused(office, wrong, code):
    said = {"person": "E-2", "at": "2026-03-05T09:00", "reason": "forgot"}
    before = punches(office)
    refused = post(office, "punches:hand", said | wrong, status=422)
    assert (refused["error"]["code"], punches(office)) == (code, before)


@pytest.mark.slow
def test_reports_are_those_of_the_command_line(office):
    (day,) = [one for one in get(office, "today", day="2026-03-02")["days"] if one["stays"]]
    assert (day["person_id"], day["late_minutes"], day["hours"]) == ("E-1", 17, 8.75)
    month = get(office, "month", **MARCH)["days"]
    assert {one["person_id"] for one in month} == {"E-1", "E-2", "E-3", "E-4"}
    sheet = get(office, "month", person="E-1", **MARCH)["days"]
    assert {one["person_id"] for one in sheet} == {"E-1"}
    assert len(sheet) == 31
    period = get(office, "days", since="2026-03-02", until="2026-03-03", person="Anna")["days"]
    assert period == sheet[1:3]
    assert [one["date"] for one in get(office, "late", **MARCH)["days"]] == ["2026-03-02"]
    odd = get(office, "exceptions", **MARCH)["days"]
    assert ["auto_closed"] in [one["notes"] for one in odd]
    (maths,) = get(office, "classes", day="2026-03-02")["classes"]
    assert {one["person_id"] for one in maths["roster"]} == {"E-1", "E-2", "E-3"}
    assert set(get(office, "inside")) == {"inside"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("month", {"month": "2026-13"}),
        ("month", {"month": "0001-01"}),
        ("today", {"day": "2026-02-30"}),
        ("today", {"day": "0001-01-01"}),
        ("days", {"since": "2026-03-02", "until": "2026-03-01"}),
        ("days", {"since": "2026-01-01", "until": "2027-02-01"}),
        ("month", {"person": "E-9"}),
        ("export", {"format": "sap"}),
        ("check", {"expect_head": "x"}),
    ],
)
def test_a_question_that_cannot_be_answered_is_said(office, path, query):
    answer = office.http.get(f"/v1/attendance/{path}", params=query, headers=office.headers())
    assert (answer.status_code, "error" in answer.json()) == (422, True)


@pytest.mark.slow
def test_a_correction_and_a_ruling_stand_beside_what_was_said(office):
    made = post(
        office, "punches:hand", {"person": "E-2", "at": "2026-03-09T08:30", "reason": "forgot"}
    )
    where = f"punches/{made['punch']}/corrections"
    moved = post(office, where, {"at": "2026-03-09T08:00", "reason": "the queue"})
    assert (moved["before"]["at"], moved["after"]["at"]) == (
        "2026-03-09T07:30:00Z", "2026-03-09T07:00:00Z",
    )  # fmt: skip
    gone = post(office, where, {"void": True, "reason": "it was her sister"})
    assert gone["after"] is None
    ruled = {"person": "E-2", "status": "leave", "reason": "doctor"}
    post(office, "days/2026-03-09/rulings", ruled)
    (day,) = get(office, "days", since="2026-03-09", until="2026-03-09", person="E-2")["days"]
    assert (day["status"], day["reason"], day["notes"]) == ("leave", "doctor", ["corrected"])
    changes = get(office, "corrections", **MARCH)
    assert [one["number"] for one in changes["corrections"]][-2:] == [
        moved["number"], gone["number"],
    ]  # fmt: skip
    assert changes["rulings"][-1]["after"] == {"status": "leave", "reason": "doctor"}
    assert get(office, "corrections", month="2026-04") == {"corrections": [], "rulings": []}
    post(office, "days/2026-03-09/rulings", {**ruled, "status": "as-punched"})


@pytest.mark.parametrize("change", [{}, {"void": True, "at": "2026-03-02T08:00"}], ids=str)
def test_a_correction_says_one_thing(office, change):
    refused = post(office, "punches/1/corrections", {"reason": "so", **change}, status=422)
    assert "or `void` alone" in refused["error"]["message"]


def test_of_a_punch_that_is_not_there_nothing_is_corrected(office):
    refused = post(office, "punches/99999/corrections", {"reason": "so", "void": True}, status=422)
    assert refused["error"]["message"] == "there is no punch 99999"


@pytest.mark.slow
def test_in_a_locked_period_nothing_is_corrected_until_it_is_opened(office):
    period = {"since": "2026-02-01", "until": "2026-02-28", "reason": "paid"}
    said = {"person": "E-2", "at": "2026-02-05T08:00", "reason": "forgot"}
    locked = post(office, "locks", period)
    refused = post(office, "punches:hand", said, status=422)
    assert refused["error"]["message"] == "2026-02-05 is in a locked period"
    opened = post(office, "locks", {**period, "locked": False, "reason": "a claim"})
    assert get(office, "locks")["locks"] == [locked, opened]
    assert post(office, "punches:hand", said)["fate"] == "punch"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "media", "starts"),
    [
        ("attlog", "text/plain", b"E-1\t2026-03-02 08:17:00"),
        ("csv", "text/csv", b"person"),
        ("days", "text/csv", b"date,person_id"),
        ("frappe", "application/json", b"["),
        ("hikvision", "application/json", b"["),
        ("odoo", "application/json", b"["),
        ("zoho", "application/json", b"{"),
        ("hibob", "application/json", b"["),
        ("json", "application/json", b"["),
        ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", b"PK"),
    ],
)
def test_a_month_is_downloaded_in_every_format_of_the_command_line(office, form, media, starts):
    if form == "xlsx":
        pytest.importorskip("openpyxl")
    answer = office.http.get(
        "/v1/attendance/export", params={"format": form, **MARCH}, headers=office.headers()
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == media
    assert f'filename="{form}-2026-03.' in answer.headers["content-disposition"]
    assert answer.content.lstrip().startswith(starts), answer.content[:80]


def test_the_chain_is_checked_and_an_older_head_is_known(office):
    whole = get(office, "check")
    assert (whole["whole"], whole["damages"]) == (True, [])
    assert get(office, "check", expect_head=whole["head"])["whole"]
    other = f"1-{'0' * 64}"
    assert not get(office, "check", expect_head=other)["whole"]


@pytest.mark.slow
def test_punches_are_listed_as_they_came_and_as_they_count(office):
    said = {"person": "E-3", "at": "2026-03-17T22:00", "direction": "in", "reason": "forgot"}
    number = post(office, "punches:hand", said)["punch"]
    (own,) = get(office, "punches", person="E-3", **MARCH)["punches"]
    assert (own["number"], own["at"], own["source"]) == (number, "2026-03-17T21:00:00Z", "hand")
    attendance = Attendance(office.gallery)
    kept = attendance.punch(number)
    assert own == punch_json(kept, Claim(kept.at, kept.direction), attendance.directory)
    post(office, f"punches/{number}/corrections", {"at": "2026-03-17T21:55", "reason": "so"})
    (moved,) = get(office, "punches", person="E-3", **MARCH)["punches"]
    assert (moved["at"], moved["counts"]["at"]) == (own["at"], "2026-03-17T20:55:00Z")
    post(office, f"punches/{number}/corrections", {"void": True, "reason": "so"})
    assert get(office, "punches", person="E-3", **MARCH)["punches"][0]["counts"] is None
    assert get(office, "punches", person="E-3", month="2026-04")["punches"] == []


@pytest.mark.slow
def test_a_link_is_made_used_answered_and_revoked(office):
    person = office.gallery.find("E-3").id
    link = post(office, f"people/{person}/links", {"days": 7})
    form = {"day": (None, "2026-03-17"), "words": (None, "I was there")}
    assert office.http.post(link["path"], files=form).status_code == 303
    (one,) = get(office, "objections")["objections"]
    assert (one["person_id"], one["words"], one["open"]) == ("E-3", "I was there", True)
    where = f"objections/{one['number']}/settlement"
    settled = post(office, where, {"reason": "corrected"})
    assert (settled["open"], settled["answer"]) == (False, "corrected")
    assert post(office, where, {"reason": "again"}, status=422)["error"]["code"] == "attendance"
    assert get(office, "objections")["objections"] == []
    assert get(office, "objections", open=False)["objections"] == [settled]
    path = f"/v1/attendance/people/{person}/links"
    assert office.http.delete(path, headers=office.headers()).json() == {"revoked": person}
    assert office.http.get(link["path"]).status_code == 404


def test_without_rules_the_question_is_said_to_need_them(site):
    answer = site.http.get("/v1/attendance/today", headers=site.headers())
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "rules")


@pytest.mark.slow
def test_an_erased_persons_kept_answers_go_with_them(office):
    identity = office.gallery.add_person("Cleo", external_id="E-5").id
    key = office.headers("operator") | {"Idempotency-Key": "once"}
    said = {"person": "Cleo", "at": "2026-03-05T08:00", "reason": "Cleo forgot"}
    made = post(office, "punches:hand", said, key)
    assert post(office, "punches:hand", said, key) == made
    proof = office.http.delete(f"/v1/people/{identity}", headers=office.headers()).json()
    assert proof["left"] == 0
    assert post(office, "punches:hand", said, key, status=422)["error"]["code"] == "person"
    assert "Cleo" not in json.dumps(get(office, "month", **MARCH))
