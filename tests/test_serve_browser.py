"""The pages in a real browser: people, search, deletion, signing in, the camera."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from served import Served, served  # noqa: E402

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.pack,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PASSWORD = "correct horse battery"
HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}</script><script>alert(2)</script>"
PATIENCE = 20_000  # milliseconds


def wait_until(page: Any, expression: str) -> None:
    """Wait for a line of JavaScript to be true. Playwright's own way evaluates it within the page,
    whose policy forbids that.
    """
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not true in 30 s: {expression}")


@contextmanager
def browser_of(
    site: Served, *more: str, expected: str = "nothing", **options: Any
) -> Iterator[Any]:
    """A page of a browser; nothing else may be said on its console, no policy be broken."""
    said: list[str] = []
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *more])
        context = browser.new_context(**{"locale": "en", **options})
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append("a dialog"), dialog.dismiss()))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " (event) => console.log(`CSP ${event.violatedDirective} ${event.blockedURI}`))"
        )
        page.goto(str(site.http.base_url))
        yield page
        browser.close()
    assert [one for one in said if not re.match(expected, one)] == []


def sign_in(page: Any, site: Served, text: str, name: str = "") -> None:
    page.goto(f"{site.http.base_url}/login?next=/people")
    page.fill("#name", name)
    page.fill("#password", text)
    page.keyboard.press("Enter")
    page.wait_for_selector("form[action='/logout']")


def enrol(page: Any, site: Served, name: str, *photos: Path) -> None:
    page.goto(f"{site.http.base_url}/people")
    page.fill("#name", name)
    page.set_input_files("#images", photos)
    page.locator("[data-previews] img").nth(len(photos) - 1).wait_for()
    page.click("main form[action='/people'] button.main")
    page.wait_for_selector("#result")


@pytest.fixture(scope="module")
def site(recognizer, tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("browser") / "gallery"
    with served(recognizer, folder) as running:
        yield running


def test_somebody_is_enrolled_found_renamed_and_deleted_with_proof(site, portraits):
    with browser_of(site) as page:
        sign_in(page, site, site.key)
        enrol(page, site, HOSTILE, portraits / "obama.jpg", portraits / "obama2.jpg")
        assert page.inner_text("h1") == HOSTILE
        assert page.locator("#result li").all_inner_texts() == [
            "obama.jpg: added", "obama2.jpg: added",
        ]  # fmt: skip
        assert page.locator(".crops img").count() == 2
        width = "document.querySelector('.crops img').naturalWidth"
        wait_until(page, f"{width} === 112")

        page.goto(f"{site.http.base_url}/identify")
        page.set_input_files("#images", portraits / "obama3.jpg")
        page.click("#identify button.main")
        page.wait_for_selector(".identified")
        assert page.locator("svg.drawing text").all_text_contents() == [f"1 {HOSTILE}"]
        assert page.locator("svg.drawing rect.match").count() == 1

        page.click(".identified li a")
        page.click("text=Change")
        page.fill("#name", "Barack")
        page.click("button:text-is('Rename')")
        page.wait_for_selector("h1:text-is('Barack')")
        page.click("text=Delete this person")
        page.check("#sure")
        page.click(".danger button")
        page.wait_for_selector("#result.match")
        rows = dict(zip(page.locator("dt").all_inner_texts(),
                        page.locator("dd").all_inner_texts(), strict=True))  # fmt: skip
        assert (rows["Photos erased"], rows["Rows left"]) == ("2", "0")
        assert rows["Files searched and clean"] == "yes"
        assert site.gallery.people() == []


@pytest.fixture(scope="module")
def together(portraits, tmp_path_factory) -> Path:
    """A photo of two people."""
    one, other = (
        cv2.resize(cv2.imread(str(portraits / name)), (600, 600))
        for name in ("obama3.jpg", "biden.jpg")
    )
    path = tmp_path_factory.mktemp("group") / "group.jpg"
    cv2.imwrite(str(path), np.hstack([one, other]))
    return path


def test_in_a_group_photo_an_unknown_is_one_click_from_enrolment(site, portraits, together):
    with browser_of(site) as page:
        sign_in(page, site, site.key)
        enrol(page, site, "Barack", portraits / "obama.jpg")
        page.goto(f"{site.http.base_url}/identify")
        page.set_input_files("#images", together)
        page.click("#identify button.main")
        page.wait_for_selector(".identified")
        names = page.locator(".identified li strong").all_inner_texts()
        assert sorted(names) == ["Barack", "Unknown"]
        page.fill(f"#enrol-0-{names.index('Unknown') + 1}", "Joe")
        page.keyboard.press("Enter")
        page.wait_for_selector("#result.match")
        assert page.inner_text("h1") == "Joe"
        enrol(page, site, "Joe", portraits / "biden.jpg")
        assert site.gallery.find("Joe").samples == 2
    site.gallery.delete(*(one.id for one in site.gallery.people()))


def test_without_scripts_photos_are_compared_added_and_searched_for(site, portraits):
    with browser_of(site, java_script_enabled=False) as page:
        page.set_input_files("#a", portraits / "obama.jpg")
        page.set_input_files("#b", portraits / "obama2.jpg")
        page.click("#compare button.main")
        page.wait_for_selector("#verdict.match")
        sign_in(page, site, site.key)
        page.fill("#name", "Barack")
        page.set_input_files("#images", portraits / "obama.jpg")
        page.click("main form[action='/people'] button.main")
        page.wait_for_selector("#result.match")
        page.goto(f"{site.http.base_url}/identify")
        page.set_input_files("#images", portraits / "biden.jpg")
        page.click("#identify button.main")
        page.fill("#enrol-0-1", "Joe")
        page.set_input_files("#enrol-0-1-photo", portraits / "biden.jpg")
        page.keyboard.press("Tab")
        page.click(".identified button")
        page.wait_for_selector("h1:text-is('Joe')")
    site.gallery.delete(*(one.id for one in site.gallery.people()))


def test_scopes_login_and_logout(site):
    site.service.users.add("Vera", PASSWORD, "viewer")
    with browser_of(site) as page:
        page.goto(f"{site.http.base_url}/people")
        assert page.url.endswith("/login?next=/people")
        sign_in(page, site, PASSWORD, "Vera")
        assert page.locator("nav.menu a").all_inner_texts() == [
            "Verify", "People", "Identify", "Live", "Attendance", "Models",
        ]  # fmt: skip
        assert page.locator("main form[method=post]").count() == 0
        page.click("text=Sign out")
        page.wait_for_url("**/login")
        page.goto(f"{site.http.base_url}/people")
        assert page.url.endswith("/login?next=/people")


def test_an_admin_makes_users_and_keys(site):
    with browser_of(site) as page:
        sign_in(page, site, site.key)
        page.goto(f"{site.http.base_url}/settings")
        page.fill("#user-name", HOSTILE[:100])
        page.fill("#user-password", PASSWORD)
        page.select_option("#user-scope", "operator")
        page.click("text=Add user")
        page.wait_for_selector("button[aria-label^='Remove: <img']")
        page.fill("#key-name", "the door")
        page.click("text=Make a key")
        key = page.inner_text("#result code")
        headers = {"Authorization": f"Bearer {key}"}
        assert site.http.get("/v1/people", headers=headers).status_code == 200
        page.click("button[aria-label^='Revoke: the door']")
        page.wait_for_selector("button[aria-label^='Revoke: the door']", state="detached")
        assert site.http.get("/v1/people", headers=headers).status_code == 401


@pytest.fixture(scope="module")
def camera(portraits, tmp_path_factory) -> Path:
    """A film of a portrait, as the browser's camera shows it."""
    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    face = cv2.resize(cv2.imread(str(portraits / "obama.jpg")), (480, 480))
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, 80:560] = face
    path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes() * 10)
    return path


def test_the_camera_shows_boxes_and_names(site, portraits, camera):
    arguments = (
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    )  # fmt: skip
    with browser_of(site, *arguments) as page:
        sign_in(page, site, site.key)
        enrol(page, site, HOSTILE, portraits / "obama2.jpg")
        page.goto(f"{site.http.base_url}/live")
        page.click("#switch")
        page.wait_for_selector("#names li")
        assert page.inner_text("#names li") == HOSTILE
        wait_until(page, "/^[1-9]/.test(document.getElementById('rate').textContent)")
        drawn = page.evaluate(
            "(() => { const c = document.querySelector('canvas'); return c.getContext('2d')"
            ".getImageData(0, 0, c.width, c.height).data.some((value) => value > 0) })()"
        )
        assert drawn
        page.click("#switch")
        assert page.locator("#names li").count() == 0
    site.gallery.delete(site.gallery.find(HOSTILE).id)


PAGES = ["/", "/people", "/identify", "/live", "/models", "/settings", "/login"]
LOOKS = [("light", 1200), ("dark", 1200), ("light", 390)]


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_every_page_fits_and_every_field_has_its_label(site, portraits, look, tmp_path):
    scheme, width = look
    with browser_of(site, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        sign_in(page, site, site.key)
        enrol(page, site, HOSTILE, portraits / "obama2.jpg")
        person = page.locator("form[action$='/photos']").get_attribute("action")
        for path in (*PAGES, person.removesuffix("/photos")):
            page.goto(f"{site.http.base_url}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            nameless = page.evaluate(
                "[...document.querySelectorAll('input:not([type=hidden]),select,button')].filter("
                "(one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim())"
                ".map((one) => one.outerHTML)"
            )
            assert nameless == [], path
            name = path.strip("/").replace("/", "-") or "verify"
            page.screenshot(path=tmp_path / f"{name}-{scheme}-{width}.png", full_page=True)
    site.gallery.delete(site.gallery.find(HOSTILE).id)
