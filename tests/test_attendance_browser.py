"""Attendance in a real browser: a kiosk before a camera, today, a month, a correction, a link."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from made_attendance import moment, rules  # noqa: E402
from served import Served, served  # noqa: E402
from test_serve_browser import CHROMIUM, HOSTILE, LOOKS, browser_of, sign_in, wait_until  # noqa: E402

from visavis.attendance import store  # noqa: E402
from visavis.attendance.attendance import Attendance, keep_rules  # noqa: E402
from visavis.attendance.punches import Punch, Reporter, Sighting  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.pack,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
SIZE = (480, 640)


@pytest.fixture(scope="module")
def office(recognizer, portraits, tmp_path_factory) -> Iterator[Served]:
    """A service with one enrolled person and three by name, and a month of punches."""
    folder = tmp_path_factory.mktemp("office") / "gallery"
    with served(recognizer, folder) as site:
        photo = (portraits / "obama2.jpg").read_bytes()
        site.post("/v1/people", ("images", photo), name="Barack", external_id="E-1")
        for number, name in ((2, "Zoë"), (3, HOSTILE), (4, "Nobody")):
            site.gallery.add_person(name, external_id=f"E-{number}")
        keep_rules(site.gallery, rules(b"[devices.hall]\n[devices.lab]\nchallenge = true\n"))
        attendance = Attendance(site.gallery)
        for day in range(2, 14):
            came = moment(f"2026-03-{day:02d} 08:00") + timedelta(minutes=day)
            for who, at, device in (("E-2", came, "door"),
                                    ("E-2", came + timedelta(hours=9), "exit"),
                                    ("E-3", came + timedelta(hours=13), "door")):  # fmt: skip
                attendance.record(Sighting(who, at, device, source=Reporter.TERMINAL))
        yield site


def camera_of(folder: Path, *photos: Path) -> Path:
    """A film of portraits, one after the other, as the browser's camera shows it over and over."""
    frames = bytearray()
    for photo in photos:
        picture = np.zeros((*SIZE, 3), np.uint8)
        picture[:, 80:560] = cv2.resize(cv2.imread(str(photo)), (480, 480))
        frames += cv2.imencode(".jpg", picture)[1].tobytes() * 40
    path = folder / "camera.mjpeg"
    path.write_bytes(bytes(frames))
    return path


def camera_arguments(film: Path) -> tuple[str, ...]:
    return (
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )  # fmt: skip


def punches(site: Served, device: str) -> list[Punch]:
    attendance = Attendance(site.gallery)
    with site.gallery.database.reading() as connection:
        kept = store.punches_in(attendance.ledger, connection, None)
    return [one for one in kept if one.device == device]


def kiosk_link(page: Any, site: Served, device: str) -> str:
    sign_in(page, site, site.key)
    page.goto(f"{site.http.base_url}/settings")
    page.fill("#kiosk-device", device)
    page.locator("form[action='/settings/kiosks'] button").click()
    link = page.inner_text("#result code")
    page.click("text=Sign out")
    page.wait_for_url("**/login")
    return str(link)


def state(page: Any, name: str) -> None:
    page.wait_for_selector(f"#kiosk[data-state={name}]")


def test_a_kiosk_punches_once_for_who_stands_there(office, portraits, tmp_path):
    film = camera_of(tmp_path, portraits / "obama.jpg")
    with browser_of(office, *camera_arguments(film)) as page:
        names = []
        page.on("response", lambda answer: answer.url.endswith("/pictures")
                and names.append(answer.json()["title"]))  # fmt: skip
        page.goto(kiosk_link(page, office, "door"))
        state(page, "done")
        assert page.inner_text("#title") == "Barack"
        assert page.inner_text("#line").startswith("In ")
        assert page.inner_text("#device") == "door"
        assert page.url.endswith("/kiosk")  # its key is off the address
        assert not page.locator("#ways").is_visible()
        before = names.index("Barack")
        assert before >= 2  # three looks had to agree
        page.wait_for_timeout(1500)
        page.reload()  # and it is known after a restart of the browser's page, too
        wait_until(page, "document.getElementById('device').textContent === 'door'")
        state(page, "done")
    (punch,) = punches(office, "door")[-1:]
    assert (punch.direction, punch.source) == ("in", Reporter.KIOSK)
    assert len([one for one in punches(office, "door") if one.source is Reporter.KIOSK]) == 1
    assert datetime.now(UTC) - punch.at < timedelta(minutes=2)


def test_a_kiosk_without_a_direction_waits_for_a_button(office, portraits, tmp_path):
    film = camera_of(tmp_path, portraits / "obama.jpg")
    phone = {"width": 390, "height": 844}
    with browser_of(office, *camera_arguments(film), viewport=phone) as page:
        page.goto(kiosk_link(page, office, "hall"))
        state(page, "choose")
        assert page.inner_text("#title") == "Barack"
        assert punches(office, "hall") == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click("button[value=out]")
        state(page, "done")
        page.screenshot(path=tmp_path / "kiosk-done.png")
    fates = [one.direction for one in punches(office, "hall")]
    assert fates in ([], ["out"])  # within the gap after the door's it is no punch of its own


def test_a_photo_that_holds_still_and_a_stranger_punch_nothing(office, portraits, tmp_path):
    film = camera_of(tmp_path, portraits / "biden.jpg")
    with browser_of(office, *camera_arguments(film)) as page:
        page.goto(kiosk_link(page, office, "lab"))
        state(page, "task")  # a movement of the head
        state(page, "failed")
        page.goto(kiosk_link(page, office, "hall"))
        state(page, "unknown")
        assert page.inner_text("#title") == "Not recognised"
    assert punches(office, "lab") == []


def test_today_a_month_and_a_correction_with_its_preview(office):
    with browser_of(office) as page:
        sign_in(page, office, office.key)
        page.click("nav.menu a:text-is('Attendance')")
        page.fill("#day", "2026-03-10")
        page.click("form.when button")
        row = page.locator("table.days tbody tr", has_text="Zoë")
        assert row.locator("td.kind").inner_text() == "present"
        assert row.locator("svg.stays rect").count() == 1
        assert row.locator("svg.stays").get_attribute("aria-label").startswith("Zoë: there from")
        page.click("nav.views a:text-is('Month')")
        page.fill("#month", "2026-03")
        page.click("form.when button")
        assert page.locator("table.matrix tbody tr").count() == 4
        assert page.locator("svg.columns rect").count() == 31
        page.click("table.matrix a:text-is('Zoë')")
        page.locator("main table a", has_text="Correct").nth(0).click()
        page.fill("#at", "2026-03-02 07:55")
        page.fill("#reason", "the queue at the door")
        page.click("button:text-is('Preview')")
        page.wait_for_selector("#result")
        tables = page.locator("#result table")
        assert ["08:02" in tables.nth(0).inner_text(), "07:55" in tables.nth(1).inner_text()] == [
            True, True,
        ]  # fmt: skip
        page.click("button:text-is('Correct it')")
        page.wait_for_selector("#result.match")
        page.click("nav.views a:text-is('Corrections')")
        page.fill("#month", "2026-03")
        page.click("form.when button")
        said = page.inner_text("main table")
        for part in ("2026-03-02 08:02 In", "2026-03-02 07:55 In", "the queue at the door"):
            assert part in said


def test_without_scripts_a_month_is_chosen_and_a_day_is_ruled(office):
    person = office.gallery.find("E-4").id
    with browser_of(office, java_script_enabled=False) as page:
        sign_in(page, office, office.key)
        page.goto(f"{office.http.base_url}/attendance/people/{person}?month=2026-03")
        page.click("summary:text-is('Say what the day was')")
        page.fill("#day", "2026-03-04")
        page.select_option("#status", "leave")
        page.fill("#day-reason", "doctor")
        page.locator("form[action$='/rulings'] button").click()
        page.wait_for_selector("td.kind.leave")


def test_an_employee_objects_by_their_link_and_is_answered(office):
    person = office.gallery.find("E-2").id
    with browser_of(office) as page:
        sign_in(page, office, office.key)
        page.goto(f"{office.http.base_url}/attendance/people/{person}")
        page.click("summary:text-is('Make a link for their own page')")
        page.locator("form[action$='/links'] button.main").click()
        link = page.inner_text("#result code")
        page.click("text=Sign out")
        page.goto(f"{link}?month=2026-03")
        assert page.inner_text("h1") == "Zoë: 2026-03"
        assert HOSTILE not in page.inner_text("body")
        assert page.locator("main form[method=post]").count() == 1
        page.fill("input#day", "2026-03-05")
        page.fill("#words", HOSTILE)
        page.click("button:text-is('Object')")
        page.wait_for_selector(".objections li")
        assert HOSTILE in page.inner_text(".objections")
        sign_in(page, office, office.key)
        page.goto(f"{office.http.base_url}/attendance/exceptions")
        assert HOSTILE in page.inner_text(".verdict")
        page.locator(".verdict input[type=text]").fill("it is right now")
        page.click("button:text-is('Settle')")
        page.goto(link)
        assert "it is right now" in page.inner_text(".objections")


VIEWS = (
    "?day=2026-03-10", "/inside", "/classes?day=2026-03-09", "/month?month=2026-03",
    "/late?month=2026-03", "/exceptions?month=2026-03", "/corrections?month=2026-03", "/locks",
    "/unknown",
)  # fmt: skip


@pytest.mark.parametrize("look", LOOKS[1:], ids=str)
def test_every_page_fits_and_every_field_has_its_label(office, look, tmp_path):
    scheme, width = look
    person = office.gallery.find("E-3").id
    shown = punches(office, "door")[0].number
    own = office.service.keys.make("look", "operator")[1]
    with browser_of(office, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        sign_in(page, office, own)
        page.goto(f"{office.http.base_url}/attendance/people/{person}?month=2026-03")
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        page.locator("form[action$='/links'] button.main").click()
        link = page.inner_text("#result code").removeprefix(str(office.http.base_url))
        paths = [f"/attendance{one}" for one in (*VIEWS, f"/punches/{shown}",
                                                 f"/people/{person}?month=2026-03")]  # fmt: skip
        for number, path in enumerate([*paths, f"{link}?month=2026-03", "/kiosk"]):
            page.goto(f"{office.http.base_url}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            nameless = page.evaluate(
                "[...document.querySelectorAll('input:not([type=hidden]),select,button,textarea')]"
                ".filter((one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim())"
                ".map((one) => one.outerHTML)"
            )
            assert nameless == [], path
            if path == "/kiosk":
                state(page, "fault")
                assert page.inner_text("#title").startswith("This link is not valid")
            page.screenshot(path=tmp_path / f"{number}-{scheme}-{width}.png", full_page=True)
