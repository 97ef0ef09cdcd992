"""Every page as axe-core sees it, light, dark and on a phone, with names that mean no good."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from conftest import SHARE
from fastapi.routing import APIRoute
from made import ANNA, BERT, CARL, NONE, TWO
from served import Served, made_calibration, made_recognizer, png, served
from test_serve_browser import CHROMIUM, HOSTILE, PASSWORD, browser_of, enrol, sign_in

from visavis.gallery.groups import add_to_group
from visavis.serve.app import ROUTERS, SITE
from visavis.serve.site.wording import LANGUAGES

AXE = importlib.util.find_spec("axe_playwright_python")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(AXE is None, reason="axe-playwright-python is not installed"),
]
PHONE = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "dark", **PHONE},
}
ASK = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => [one.id, one.nodes.slice(0, 3).map((node) => [node.html, node.failureSummary])])
"""
# What Chromium says by itself of a photo that shows nobody, and of what is not there.
SAID = r"Failed to load resource: the server responded with a status of (401|403|404|422) "
# Answered with something else than a page.
NO_PAGES = ("/pages/", "/login/oidc", ".png", "/v1/", "/metrics", "/iclock/")


@pytest.fixture(scope="module")
def site(cache, tmp_path_factory) -> Iterator[Served]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("axe") / "gallery"
        yield stack.enter_context(served(made_recognizer(made_calibration()), folder))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Callable[..., str]:
    """A made photo, as a file to choose."""
    folder = tmp_path_factory.mktemp("photos")

    def photo(level: int, seed: int, **shown: int) -> str:
        path = Path(folder / f"{level} {seed} {shown.get('shows', 0)}.png")
        path.write_bytes(png(level, seed=seed, **shown))
        return str(path)

    return photo


def pages() -> list[str]:
    """The address of every page, from the service's own routes: a new one is looked at too."""
    return sorted(
        route.path
        for router in (*ROUTERS, *SITE)
        for route in router.routes
        if isinstance(route, APIRoute)
        and "GET" in route.methods
        and not any(part in route.path for part in NO_PAGES)
    )


def test_there_are_pages_to_look_at():
    assert {"/", "/people", "/people/{person}", "/settings", "/login"} <= set(pages())


def compare(page: Any, url: str, *files: str) -> None:
    page.goto(f"{url}/")
    for field, file in zip("ab", files, strict=True):
        page.set_input_files(f"#{field}", file)
    page.click("#compare button.main")
    page.wait_for_selector("#result > *")


def identify(page: Any, url: str, *files: str) -> None:
    page.goto(f"{url}/identify")
    page.set_input_files("#images", files)
    page.click("#identify button.main")
    page.wait_for_selector("#answer > *, .verdict")


def make_key(page: Any, url: str) -> None:
    page.goto(f"{url}/settings")
    page.fill("#key-name", HOSTILE[:90])
    page.click("text=Make a key")
    page.wait_for_selector("#result code")


def erase(page: Any, url: str, site: Served) -> None:
    person = site.gallery.add_person("Nobody")
    page.goto(f"{url}/people/{person.id}")
    page.click("text=Delete this person")
    page.check("#sure")
    page.click(".danger button")
    page.wait_for_selector("#result.match")


@pytest.mark.parametrize("look", LOOKS)
def test_axe_has_nothing_serious_to_say_of_any_page(site, photos, look):
    """A part of the pages in each look; all of them in all languages in `make prove`."""
    url = str(site.http.base_url)
    source = (Path(AXE.submodule_search_locations[0]) / "axe.min.js").read_text("utf-8")
    findings: dict[str, Any] = {}
    with browser_of(site, expected=SAID, **LOOKS[look]) as page:

        def judge(name: str, answer: Any = None) -> None:
            if answer is not None and "text/html" not in answer.headers["content-type"]:
                return  # a page that says in JSON that it is for somebody else
            page.evaluate(source)
            if said := page.evaluate(ASK):
                findings[name] = said
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name

        sign_in(page, site, site.key)
        enrol(page, site, HOSTILE, photos(ANNA, 1), photos(ANNA, 2), photos(BERT, 1))
        person = site.gallery.find(HOSTILE).id
        judge("what became of photos")
        add_to_group(site.gallery, HOSTILE[:40], [person])
        if not site.service.users.all():
            site.service.users.add(HOSTILE[:90], PASSWORD, "viewer")
        steps: dict[str, Callable[[], object]] = {
            "one person": lambda: compare(page, url, photos(ANNA, 1), photos(ANNA, 3)),
            "two people": lambda: compare(page, url, photos(ANNA, 1), photos(CARL, 1)),
            "cannot tell": lambda: compare(page, url, photos(ANNA, 1), photos(ANNA, 1, shows=NONE)),
            "identified": lambda: identify(page, url, photos(ANNA, 4), photos(BERT, 4, shows=TWO)),
            "a key": lambda: make_key(page, url),
            "erased": lambda: erase(page, url, site),
        }
        for path in pages():
            # Of what is not here, there is a page that says so.
            address = url + re.sub(r"{.+?}", "0", path.replace("{person}", person))
            steps |= {f"{path} {one}": (lambda a=address, o=one: page.goto(f"{a}?lang={o}"))
                      for one in (LANGUAGES if SHARE >= 1 else LANGUAGES[:1])}  # fmt: skip
        names = list(steps) if SHARE >= 1 else list(steps)[list(LOOKS).index(look) :: len(LOOKS)]
        for name in names:
            judge(name, steps[name]())
        page.goto(f"{url}/?lang=en")
        page.evaluate(source)
        page.evaluate("document.documentElement.removeAttribute('lang')")
        assert [one for one, _ in page.evaluate(ASK)] == ["html-has-lang"]  # axe does look
    site.gallery.delete(person)
    assert findings == {}
