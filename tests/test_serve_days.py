"""The pages of attendance without a browser: what they show, what their forms change."""

import html
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from made_attendance import MONDAY, copy_of, moment, rules
from served import Served, made_calibration, made_recognizer, served
from test_serve_login import csrf, visitor

from visavis.attendance import store
from visavis.attendance.attendance import Attendance, keep_rules
from visavis.attendance.days import DayRecord, Status, Stay
from visavis.attendance.punches import Reporter, Sighting
from visavis.serve.site.plots import columns_of, stay_bars
from visavis.serve.site.wording import LANGUAGES, texts_of

HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}</script><script>alert(2)</script>"
MARCH = {"month": "2026-03"}


@pytest.fixture(scope="module")
def office(four_people, tmp_path_factory) -> Iterator[Served]:
    """A service with rules, four people, one of a hostile name, and two days of punches."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("days") / "gallery"
        copy_of(four_people, folder).close()
        site = stack.enter_context(served(made_recognizer(made_calibration()), folder))
        site.gallery.rename(site.gallery.find("E-4").id, HOSTILE)
        keep_rules(site.gallery, rules())
        attendance = Attendance(site.gallery)
        for who, device, clock in [
            ("E-1", "door", "2026-03-02 08:17"),
            ("E-1", "exit", "2026-03-02 17:00"),
            ("E-2", "door", "2026-03-02 07:58"),
            ("E-4", "door", "2026-03-03 15:00"),
        ]:
            attendance.record(Sighting(who, moment(clock), device, source=Reporter.TERMINAL))
        yield site


@pytest.fixture(scope="module")
def operator(office) -> Iterator[httpx.Client]:
    text = office.service.keys.make("Olga", "operator")[1]
    with visitor(office, text) as client:
        client.follow_redirects = True
        yield client


def words(answer: httpx.Response) -> str:
    """A page as its reader has it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def see(client: httpx.Client, path: str, status: int = 200) -> str:
    answer = client.get(f"/attendance{path}")
    assert answer.status_code == status, answer.text
    return words(answer)


def send(client: httpx.Client, path: str, expected: int = 200, **fields: str) -> str:
    files = [(name, (None, value)) for name, value in {"csrf": csrf(client), **fields}.items()]
    answer = client.post(f"/attendance{path}", files=files)
    assert answer.status_code == expected, answer.text
    return words(answer)


def punch_of(office, who: str) -> int:
    attendance = Attendance(office.gallery)
    person = office.gallery.find(who).id
    with office.gallery.database.reading() as connection:
        return store.punches_in(attendance.ledger, connection, None, [person])[0].number


def test_today_shows_who_came_when_and_how_many(operator):
    said = see(operator, "?day=2026-03-02")
    assert "Today: 2026-03-02" in said
    assert "Person 1 present day 08:17 17:00 8.72 17" in said
    assert "Person 2 present day 07:58 17:00 9.03 closed by rule" in said
    assert "3 present" not in said
    assert "2 present" in said


def test_a_month_is_a_matrix_with_totals_and_a_plot(office, operator):
    answer = operator.get("/attendance/month", params=MARCH)
    said = words(answer)
    assert re.search(r"Person 1 P\* A A A A ", said)
    assert "Total" in said
    assert answer.text.count("<rect") == 31
    assert "2026-03-02: 2" in answer.text
    assert "style=" not in answer.text  # the policy would not have it


def test_what_somebody_is_called_is_text_and_nothing_else(operator):
    for path in ("?day=2026-03-03", "/month?month=2026-03", "/exceptions?month=2026-03"):
        text = operator.get(f"/attendance{path}").text
        assert HOSTILE not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text


@pytest.mark.slow
def test_reports_show_the_late_the_odd_and_nobody(operator):
    assert "Person 1" in see(operator, "/late?month=2026-03")
    odd = see(operator, "/exceptions?month=2026-03")
    assert ("Person 2" in odd, "Person 3" in odd) == (True, False)
    assert see(operator, "/late?month=2025-03").endswith("Nothing here.")
    assert see(operator, "/inside").endswith("Nothing here.")


@pytest.mark.slow
def test_classes_show_who_of_the_roster_was_there(office, operator):
    attendance = Attendance(office.gallery)
    for who, clock in (("E-1", "2026-03-09 10:02"), ("E-3", "2026-03-09 10:20")):
        attendance.record(Sighting(who, moment(clock), "room", source=Reporter.CAMERA))
    said = see(operator, "/classes?day=2026-03-09")
    assert "maths, 10:00–11:00 2 left 1 absent" in said  # noqa: RUF001
    assert "Person 3 left 10:20 10:20 20" in said
    assert see(operator, "/classes?day=2026-03-10").endswith("Nothing here.")


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_view_is_in_every_language(office, operator, language):
    texts = texts_of(language)["attendance"]
    person = office.gallery.find("E-1").id
    paths = ["", "/inside", "/classes", "/month", "/late", "/exceptions", "/corrections", "/locks"]
    for path in [*paths, f"/people/{person}", f"/punches/{punch_of(office, 'E-1')}"]:
        answer = operator.get(f"/attendance{path}", params={"lang": language, "day": "2026-03-02"})
        assert answer.status_code == 200, answer.text
        assert texts["views"]["exceptions"] in answer.text
    operator.cookies.delete("visavis_language")


@pytest.mark.slow
def test_a_correction_is_seen_before_it_is_made_and_superseded_after(office, operator):
    number = punch_of(office, "E-1")
    change = {"at": "2026-03-02 08:00", "reason": "the queue"}
    previewed = send(operator, f"/punches/{number}", step="preview", **change)
    assert "Nothing is changed yet" in previewed
    assert "Before 2026-03-02 08:17 In After 2026-03-02 08:00 In" in previewed
    assert "08:17 17:00 8.72 17" in previewed
    assert "08:00 17:00 9.00" in previewed
    assert "08:17" in see(operator, "?day=2026-03-02")  # it was a preview
    made = send(operator, f"/punches/{number}", step="apply", **change)
    assert re.search(r"Correction \d+ is made", made)
    assert "08:00 17:00 9.00" in see(operator, "?day=2026-03-02")
    listed = see(operator, "/corrections?month=2026-03")
    assert f"Person 1 {number} 2026-03-02 08:17 In 2026-03-02 08:00 In Olga (" in listed
    gone = send(operator, f"/punches/{number}", step="apply", void="true", reason="her sister")
    assert "does not count" in gone
    person = office.gallery.find("E-1").id
    assert "does not count" in see(operator, f"/people/{person}?month=2026-03")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"reason": "so"}, 422),
        ({"reason": "so", "void": "true", "at": "2026-03-02 08:00"}, 422),
        ({"at": "yesterday", "reason": "so"}, 422),
        ({"at": "2026-03-02 08:00", "step": "apply"}, 422),  # without a reason
        ({"at": "2026-03-02 08:00", "reason": "so", "actor": "somebody else"}, 422),
        ({"at": "2026-03-02 08:00", "reason": "so", "csrf": "0"}, 403),
    ],
    ids=str,
)
def test_a_correction_that_cannot_be_is_said(office, operator, fields, status):
    send(operator, f"/punches/{punch_of(office, 'E-2')}", status, **fields)


@pytest.mark.slow
def test_by_hand_a_ruling_and_a_lock(office, operator):
    person = office.gallery.find("E-3").id
    fields = {"at": "2026-03-10 22:00", "direction": "in", "reason": "forgot the badge"}
    said = send(operator, f"/people/{person}/punches", **fields)
    assert re.search(r"2026-03-10 22:00 In .*forgot the badge Olga \(", said)
    ruled = send(operator, f"/people/{person}/rulings", day="2026-03-11", status="leave",
                 reason="doctor")  # fmt: skip
    assert "2026-03-11 leave night" in ruled
    period = {"since": "2026-03-01", "until": "2026-03-31", "reason": "paid"}
    assert "scope admin" in send(operator, "/locks", 403, locked="true", **period)
    with visitor(office, office.key) as admin:
        admin.follow_redirects = True
        assert "2026-03-01 2026-03-31 locked" in send(admin, "/locks", locked="true", **period)
        refused = send(operator, f"/people/{person}/punches", 422, **fields)
        assert "2026-03-10 is in a locked period" in refused
        assert "2026-03-01 2026-03-31 opened" in send(admin, "/locks", locked="false", **period)


@pytest.mark.slow
def test_a_viewer_sees_and_changes_nothing(office):
    text = office.service.keys.make("Vera", "viewer")[1]
    person = office.gallery.find("E-2").id
    with visitor(office, text) as viewer:
        page = viewer.get(f"/attendance/people/{person}", params=MARCH).text
        assert 'method="post" action="/attendance' not in page
        assert "/attendance/punches/" not in page
        send(viewer, f"/punches/{punch_of(office, 'E-2')}", 403, void="true", reason="so")


@pytest.mark.slow
def test_a_month_is_downloaded_as_excel_wants_it(operator):
    answer = operator.get("/attendance/export", params=MARCH)
    assert answer.content.startswith("\ufeffdate,person_id".encode())
    assert 'filename="days-2026-03.csv"' in answer.headers["content-disposition"]


@pytest.mark.slow
def test_without_rules_the_page_says_what_to_do(site):
    with visitor(site, site.key) as admin:
        assert "visavis attendance rules FILE" in see(admin, "")


def stays(*hours: float) -> DayRecord:
    made = [moment("00:00") + timedelta(hours=hour) for hour in hours]
    own = (Stay(made[0], made[1] if len(made) > 1 else None),)
    return DayRecord("p", MONDAY, "day", Status.PRESENT, own, zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("hours", "now", "x", "width"),
    [
        ((6, 12), 20, 24, 24),  # 4 units an hour
        ((22, 30), 40, 88, 32),
        ((22, 34), 40, 88, 32),  # a day is drawn for 30 hours
        ((8,), 10, 32, 8),  # until now
        ((8,), 7, 32, 0.5),  # nobody is gone before they came
        ((8, 8), 9, 32, 0.5),
    ],
)
def test_a_stay_is_drawn_where_it_was(hours, now, x, width):
    (bar,) = stay_bars(stays(*hours), moment("00:00") + timedelta(hours=now))
    assert (bar.x, bar.width) == (x, width)


@pytest.mark.parametrize(
    ("values", "heights"), [([], []), ([0, 0], [0, 0]), ([1, 2, 4], [10, 20, 40])]
)
def test_the_tallest_column_is_as_tall_as_the_drawing(values, heights):
    bars = columns_of(values, map(str, values))
    assert [bar.height for bar in bars] == heights
    assert all(bar.y + bar.height == 40 for bar in bars)
