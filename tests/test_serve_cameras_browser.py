"""The page of a watched camera in a real browser: a clip over HTTP stands for the camera."""

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("av")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from served import served
from test_live import HttpCamera
from test_serve_browser import CHROMIUM, HOSTILE, browser_of, enrol, sign_in

pytestmark = [
    pytest.mark.slow,
    pytest.mark.pack,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture
def camera(portraits):
    """Obama, who moves a little, for as long as anybody looks."""
    face = cv2.resize(cv2.imread(str(portraits / "obama.jpg")), (360, 360))
    pictures = []
    for number in range(60):
        canvas = np.full((360, 480, 3), 90, np.uint8)
        left = 60 + round(20 * np.sin(number / 5))
        canvas[:, left : left + 360] = face
        pictures.append(cv2.imencode(".jpg", canvas)[1].tobytes())
    clip = HttpCamera(pictures * 20)
    yield clip
    clip.shutdown()
    clip.server_close()


def test_a_page_shows_who_is_before_the_camera(camera, recognizer, portraits, tmp_path):
    watch = (f"front door={camera.address}", "hall=rtsp://127.0.0.1:9/a")
    with (
        served(recognizer, tmp_path / "gallery", watch=watch) as site,
        browser_of(site, viewport={"width": 390, "height": 900}) as page,
    ):
        sign_in(page, site, site.key)
        enrol(page, site, HOSTILE, portraits / "obama2.jpg")
        page.click("nav.menu a[href='/cameras']")
        page.wait_for_selector("#faces strong.match")
        assert page.inner_text("#faces") == HOSTILE
        assert page.inner_text("h1") == "Cameras: front door"
        page.locator("#told li", has_text="Connected").wait_for()
        assert page.evaluate("document.querySelector('.stage img').naturalWidth") == 480
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.screenshot(path=tmp_path / "cameras.png", full_page=True)
        page.click("text=hall")
        page.locator("#status", has_text="cannot be reached").wait_for()
        assert "secret" not in page.content()
        page.goto(f"{site.http.base_url}/people")
