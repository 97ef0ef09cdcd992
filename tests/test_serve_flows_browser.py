"""In a real browser: a zip imported, a face rejected, a merge taken back, a webhook, a switch."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from served import Served, served
from test_serve_browser import CHROMIUM, HOSTILE, browser_of, camera, enrol, sign_in

from visavis.cli.options import Recognition
from visavis.configuration import Configuration
from visavis.gallery.configurations import add_configurations
from visavis.gallery.negatives import negatives_of

__all__ = ["camera"]  # a fixture
pytestmark = [
    pytest.mark.slow,
    pytest.mark.pack,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def site(recognizer, tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("flows") / "gallery"
    load = Recognition().deciding
    with served(recognizer, folder, load=load, webhooks_inside=True) as running:
        yield running


def zipped(folder: Path, **photos: Path) -> Path:
    """A zip with a folder for each person."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, photo in photos.items():
            archive.write(photo, f"{name}/{photo.name}")
        archive.writestr("Carl/notes.txt", "no photo")
    path = folder / "people.zip"
    path.write_bytes(buffer.getvalue())
    return path


def test_a_zip_is_imported_merged_unmerged_and_a_face_is_kept_as_somebody_else(
    site, portraits, tmp_path
):
    archive = zipped(tmp_path, Barack=portraits / "obama.jpg", Barry=portraits / "obama2.jpg")
    with browser_of(site) as page:
        sign_in(page, site, site.key)
        page.click("text=Many at once")
        page.set_input_files("#archive", archive)
        page.check("#anyway")
        page.click("main form button.main")
        page.wait_for_selector("#result.match")
        report = page.locator("tbody tr").all_inner_texts()
        assert sorted(line.split("\t")[0] for line in report) == ["Barack", "Barry", "Carl"]
        assert sum(line.endswith("\tadded") for line in report) == 2

        page.goto(f"{site.http.base_url}/people")
        page.click("td a:text-is('Barack')")
        page.click("text=Change")
        page.fill("#other", "Barry")
        page.click("button:text-is('Merge')")
        page.wait_for_selector(".crops li:nth-child(2)")
        page.click("text=Change")
        page.click("button:text-is('Take Barry out again')")
        page.wait_for_selector(".crops li:nth-child(2)", state="detached")
        assert [one.name for one in site.gallery.people()] == ["Barack", "Barry"]

        site.gallery.delete(site.gallery.find("Barry").id)
        page.goto(f"{site.http.base_url}/identify")
        page.set_input_files("#images", portraits / "obama3.jpg")
        page.click("#identify button.main")
        page.click(".identified button:text-is('Not Barack')")
        page.wait_for_selector("h1:text-is('Not Barack')")
        assert "0 of the 1 photos of Barack" in page.inner_text("#result")
        assert negatives_of(site.gallery) == []
        page.click("text=Keep that it is somebody else")
        page.wait_for_selector("h1:text-is('Barack')")
        assert len(negatives_of(site.gallery)) == 1
        page.goto(f"{site.http.base_url}/identify")
        page.set_input_files("#images", portraits / "obama3.jpg")
        page.click("#identify button.main")
        page.wait_for_selector(".identified li strong.no_match")

        page.goto(f"{site.http.base_url}/people/undo")
        page.check("#sure")
        page.click("button:text-is('Erase them')")
        page.wait_for_selector("#result.match")
        assert site.gallery.people() == []


def test_a_blurred_face_of_a_group_photo_says_so(site, portraits, tmp_path):
    sharp, other = (
        cv2.resize(cv2.imread(str(portraits / name)), (600, 600))
        for name in ("obama3.jpg", "biden.jpg")
    )
    group = tmp_path / "group.jpg"
    cv2.imwrite(str(group), np.hstack([sharp, cv2.GaussianBlur(other, (0, 0), 9)]))
    with browser_of(site) as page:
        sign_in(page, site, site.key)
        page.goto(f"{site.http.base_url}/identify")
        page.set_input_files("#images", group)
        page.click("#identify button.main")
        page.wait_for_selector(".identified li")
        said = page.locator(".identified li").all_inner_texts()
        assert sorted("blurred" in text for text in said) == [False, True]


def test_a_webhook_is_added_tested_and_removed_and_a_configuration_switched(site):
    default = Configuration.of_pack("default")
    strict = replace(default, policy="strict", description=HOSTILE)
    add_configurations(site.gallery, [default, strict])
    with browser_of(site) as page:
        sign_in(page, site, site.key)
        page.goto(f"{site.http.base_url}/settings")
        page.fill("#webhook-url", "http://127.0.0.1:9/nobody")
        page.check("#event-match")
        page.check("#event-erased")
        page.click("text=Add webhook")
        assert page.inner_text("#result code").startswith("whsec_")
        page.click("button[aria-label^='Test: http']")
        page.wait_for_selector("#result.error")
        page.click("button[aria-label^='Remove: http']")
        page.wait_for_selector("button[aria-label^='Remove: http']", state="detached")
        assert site.service.webhooks.all() == []

        page.goto(f"{site.http.base_url}/models")
        for version in ("1", "2"):
            page.click(f"button[aria-label='Make active: {version}']")
            page.wait_for_selector(f"button[aria-label='Make active: {version}']", state="detached")
        assert site.service.recognizer.rules.policy == "strict"
        page.click("text=Roll back to the one before")
        page.wait_for_selector("button[aria-label='Make active: 2']")
        assert site.service.recognizer.rules.policy == "standard"


def test_somebody_is_added_and_two_photos_are_compared_by_the_camera(site, camera, portraits):
    arguments = (
        "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    )  # fmt: skip

    def taken(zone: str) -> None:
        button = f"[data-drop]:has({zone}) [data-camera]"
        page.click(button)
        page.locator("[data-drop] video").wait_for()
        page.click(button)
        page.locator(f"[data-drop]:has({zone}) [data-previews] img").wait_for()

    with browser_of(site, *arguments) as page:
        taken("#a")
        page.set_input_files("#b", portraits / "obama2.jpg")
        page.click("#compare button.main")
        page.wait_for_selector("#verdict.match")
        sign_in(page, site, site.key)
        page.fill("#name", "Barack")
        taken("#images")
        page.wait_for_selector("[data-previews] li")
        assert page.inner_text("[data-previews] li").endswith(": good")
        page.click("main form[action='/people'] button.main")
        page.wait_for_selector("#result.match")
    site.gallery.delete(site.gallery.find("Barack").id)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_every_new_page_fits_and_every_field_has_its_label(
    site, portraits, tmp_path, scheme, width
):
    archive = zipped(tmp_path, Barack=portraits / "obama.jpg")
    looks = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
    with browser_of(site, **looks) as page:
        sign_in(page, site, site.key)
        enrol(page, site, HOSTILE, portraits / "obama2.jpg")
        page.goto(f"{site.http.base_url}/people/import")
        page.set_input_files("#archive", archive)
        page.click("main form button.main")
        page.wait_for_selector("#result.match")
        done = page.url.removeprefix(str(site.http.base_url))
        for path in ("/", "/people/import", done, "/people/undo", "/settings", "/models"):
            page.goto(f"{site.http.base_url}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            nameless = page.evaluate(
                "[...document.querySelectorAll('input:not([type=hidden]),select,button')].filter("
                "(one) => !one.labels?.length && !one.ariaLabel && !one.textContent.trim())"
                ".map((one) => one.outerHTML)"
            )
            assert nameless == [], path
            name = path.strip("/").replace("/", "-")[:20] or "verify"
            page.screenshot(path=tmp_path / f"{name}-{scheme}-{width}.png", full_page=True)
        page.goto(f"{site.http.base_url}/identify")
        page.set_input_files("#images", portraits / "obama3.jpg")
        page.click("#identify button.main")
        page.click(".identified button:has-text('Not <img')")
        page.wait_for_selector("#result")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"notthem-{scheme}-{width}.png", full_page=True)
    site.gallery.delete(*(one.id for one in site.gallery.people()))
