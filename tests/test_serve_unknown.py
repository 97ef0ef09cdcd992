"""People whom nobody knows, by REST and on their page: listed, named, enrolled, discarded."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from documented import faults
from made_attendance import copy_of, moment, rules
from served import Served, made_calibration, made_recognizer, png, served
from test_inbox import BLUE, stranger
from test_serve_days import see, send
from test_serve_login import visitor

from visavis.attendance import store
from visavis.attendance.attendance import keep_rules
from visavis.serve.rest.unknown import numbers_of

NOW = moment("2026-03-02 12:00")
PICTURE = png()  # of a sighting; any picture will do


@pytest.fixture
def office(four_people, tmp_path) -> Iterator[Served]:
    """Four people, whose faces nobody has; two sightings of one stranger, and one of another."""
    with ExitStack() as stack:
        copy_of(four_people, tmp_path / "gallery").close()
        site = stack.enter_context(
            served(made_recognizer(made_calibration()), tmp_path / "gallery")
        )
        keep_rules(site.gallery, rules())
        seen = (
            stranger("08:00", worth=0.4),
            stranger("09:00", worth=0.8),
            stranger("10:00", BLUE),
        )
        for one in seen:
            assert site.service.inbox().keep(replace(one, crop=PICTURE), now=NOW)
        yield site


def ask(site: Served, path: str = "", status: int = 200, **document):
    where, headers = f"/v1/attendance/unknown{path}", site.headers("operator")
    if path:
        answer = site.http.post(where, json=document, headers=headers)
    else:
        answer = site.http.get(where, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def punched(site: Served, who: str) -> list[tuple[str, str, str]]:
    """When, by which source, and why somebody punched."""
    attendance, person = site.service.attendance(), site.gallery.find(who).id
    with site.gallery.database.reading() as connection:
        made = store.punches_in(attendance.ledger, connection, None, [person])
    return [(f"{one.at:%H:%M}", one.source, one.reason) for one in made]


@pytest.mark.slow
def test_by_rest_they_are_listed_named_enrolled_and_discarded(office):
    listed = ask(office)
    assert faults(listed, "unknown_people") == []
    two, one = listed["unknown"]
    assert (two["number"], two["count"], two["best"], two["crop"]) == (1, 2, 2, True)
    assert (two["first"], two["last"]) == ("2026-03-02T07:00:00Z", "2026-03-02T08:00:00Z")
    assert numbers_of(office.service.inbox(), 2, alone=False) == [1, 2]
    assert (one["number"], one["devices"], one["like"]) == (3, ["kiosk"], None)

    said = ask(office, "/2:name", 201, who="E-2", reason="new glasses", alone=True)
    assert (said["person_id"], [each["fate"] for each in said["recorded"]]) == ("E-2", ["punch"])
    assert punched(office, "E-2") == [("08:00", "inbox", "new glasses")]

    new = {"new": True, "external_id": "E-9", "consent": "on paper"}
    ask(office, "/1:name", 201, who="Zoë", reason="her first day", **new)
    assert office.gallery.find("E-9").consent == "on paper"
    assert punched(office, "Zoë") == [("07:00", "inbox", "her first day")]

    assert ask(office, "/3:discard", reason="the postman") == {"discarded": 1}
    assert ask(office) == {"unknown": []}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "document", "status", "code"),
    [
        ("/9:name", {"who": "E-1", "reason": "so"}, 422, "attendance"),
        ("/9:discard", {"reason": "so"}, 422, "attendance"),
        ("/1:name", {"who": "Nobody", "reason": "so"}, 422, "person"),
        ("/1:name", {"who": "E-1"}, 422, "invalid"),  # no reason
        ("/1:name", {"who": "E-1", "reason": "so", "consent": "yes"}, 422, "invalid"),
        ("/1:discard", {"reason": ""}, 422, "invalid"),
    ],
)
def test_what_cannot_be_is_said_and_all_stay(office, path, document, status, code):
    assert ask(office, path, status, **document)["error"]["code"] == code
    assert [one["count"] for one in ask(office)["unknown"]] == [2, 1]


@pytest.mark.slow
def test_on_the_page_what_was_shown_is_named_and_what_came_since_stays(office):
    olga, victor = (
        office.service.keys.make(n, s)[1] for n, s in (("Olga", "operator"), ("V", "viewer"))
    )
    with visitor(office, victor) as viewer:
        assert "Times seen 2 First seen 2026-03-02 08:00 Last seen 2026-03-02 09:00" in see(
            viewer, "/unknown"
        )
        assert 'action="/attendance/unknown' not in viewer.get("/attendance/unknown").text
        assert viewer.get("/attendance/unknown/2.png").content == PICTURE
        assert viewer.get("/attendance/unknown/9.png").status_code == 422
    with visitor(office, olga) as operator:
        operator.follow_redirects = True
        assert 'name="numbers" value="1,2"' in operator.get("/attendance/unknown").text
        assert office.service.inbox().keep(stranger("11:00"), now=NOW) == 4
        send(operator, "/unknown/name", numbers="1,2", who="E-1", reason="new glasses")
        assert [one[0] for one in punched(office, "E-1")] == ["07:00", "08:00"]
        assert [one.numbers for one in office.service.inbox().clusters()] == [[3], [4]]
        # What is gone meanwhile is not named again.
        send(operator, "/unknown/name", 422, numbers="1,2", who="E-2", reason="so")
        send(operator, "/unknown/name", 422, numbers="1;2", who="E-2", reason="so")
        new = {"new": "true", "external_id": "", "consent": "on paper"}
        send(operator, "/unknown/name", numbers="3", who="Zoë", reason="her first day", **new)
        assert office.gallery.find("Zoë").consent == "on paper"
        assert "Nothing here" in send(
            operator, "/unknown/discard", numbers="4", reason="the postman"
        )


@pytest.mark.slow
def test_who_did_it_is_who_signed_in_and_nobody_else(office):
    """A form that says another actor is no form."""
    text = office.service.keys.make("Olga", "operator")[1]
    with visitor(office, text) as operator:
        send(operator, "/unknown/discard", 422, numbers="3", reason="so", actor="Somebody else")
        send(operator, "/unknown/name", 303, numbers="3", who="E-3", reason="so")
    attendance, person = office.service.attendance(), office.gallery.find("E-3").id
    with office.gallery.database.reading() as connection:
        (punch,) = store.punches_in(attendance.ledger, connection, None, [person])
    assert punch.actor.startswith("Olga (")
