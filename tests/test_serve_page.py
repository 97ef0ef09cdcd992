"""The page for two photos: what it says in each language, and what it lets nobody do."""

import base64
import json
import re
import shutil
from dataclasses import replace

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from made import ANNA, BERT, NONE, TWO
from served import Served, made_calibration, made_recognizer, png, served

from visavis.decision import OperatingPoint, uncalibrated
from visavis.quality import REASONS
from visavis.recognizer import Recognizer
from visavis.serve.site.verdict import _place, shown_verdict
from visavis.serve.site.wording import LANGUAGES, language_of, texts_of, written


def compared(site: Served, a: bytes, b: bytes, language: str = "en", **fields: str):
    files = {"a": ("a.png", a), "b": ("b.png", b)}
    return site.http.post(f"/?lang={language}", files=files, data=fields)


def names(texts, place: str = "") -> set[str]:
    """The names of all texts, with those they stand in."""
    if not isinstance(texts, dict):
        return {place}
    return {name for key, value in texts.items() for name in names(value, f"{place}/{key}")}


def blanks(texts) -> list[str]:
    """What is filled in, in the order of the names."""
    return [re.findall(r"{(\w+)}", str(texts))] if not isinstance(texts, dict) else [
        sorted(re.findall(r"{(\w+)}", json.dumps(value))) for _, value in sorted(texts.items())
    ]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_everything(language):
    english, texts = texts_of("en"), texts_of(language)
    assert names(texts) == names(english)
    assert blanks(texts) == blanks(english)
    assert set(texts["reasons"]) == set(REASONS)


@pytest.mark.parametrize(
    ("asked", "wished", "language"),
    [
        (None, "", "en"),
        ("de", "fr", "de"),
        ("xx", "fr-CH, fr;q=0.9, en;q=0.8", "fr"),
        (None, "pl, es;q=0.5, de;q=0.7", "de"),
        (None, "de;q=0, *;q=1", "de"),
        (None, "," * 5000, "en"),
        (None, "en;q=x, \u0661", "en"),
    ],
)
def test_a_language_is_the_one_that_is_wished_for(asked, wished, language):
    assert language_of(asked, wished) == language


@pytest.mark.parametrize(
    ("language", "number", "digits", "text"),
    [
        ("en", 21964035, 0, "21,964,035"),
        ("de", 0.4325, 2, "0,43"),
        ("de", 11000, 0, "11.000"),
        ("fr", 11000, 0, "11\u202f000"),
        ("es", 1.67, 1, "1,7"),
    ],
)
def test_a_number_is_written_as_the_language_has_it(language, number, digits, text):
    assert written(texts_of(language), number, digits) == text


VERDICTS = [
    (ANNA, ANNA, "en", "Yes: one person", "1 in 10,000 pairs of strangers"),
    (ANNA, 95, "de", "Unsicher: sehen Sie selbst nach", "1 von 1.000 Paaren Fremder"),
    (ANNA, BERT, "fr", "Pas de correspondance", "0,50"),
    (ANNA, ANNA, "es", "Sí: la misma persona", "1.000 pares de extraños"),
]


@pytest.mark.parametrize(("a", "b", "language", "headline", "said"), VERDICTS)
def test_the_verdict_is_said_in_words_with_its_error_rates(site, a, b, language, headline, said):
    answer = compared(site, png(a), png(b, seed=1), language, face_a="", face_b="")
    assert answer.status_code == 200
    assert f"<h2>{headline}</h2>" in answer.text
    assert said in answer.text
    assert answer.text.count("data:image/jpeg;base64,") == 2
    assert f'<html lang="{language}">' in answer.text


FAULTS = [
    (png(shows=NONE), 422, "no_face"),
    (png(shows=TWO), 422, "ambiguous_face"),
    (b"", 422, "image"),
    (b"GIF89a" + bytes(20), 415, "unsupported"),
    (png()[:500], 422, "image"),
]


@pytest.mark.parametrize(("photo", "status", "code"), FAULTS)
def test_why_it_cannot_be_told_is_said_in_the_language(site, photo, status, code):
    answer = compared(site, png(), photo, "de")
    assert answer.status_code == status
    assert texts_of("de")["errors"][code] in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_a_photo_that_was_not_chosen_is_asked_for(site):
    body = b""
    for field, name, data in (("a", "a.png", png()), ("b", "", b"")):
        head = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
        body += b"--xx\r\n" + head.encode() + b"\r\n\r\n" + data + b"\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=xx"}
    answer = site.http.post("/?lang=en", content=body + b"--xx--\r\n", headers=kind)
    assert (answer.status_code, texts_of("en")["errors"]["invalid"] in answer.text) == (422, True)


def test_a_face_that_is_named_is_compared(site):
    answer = compared(site, png(), png(shows=TWO), face_b="2")
    assert (answer.status_code, "<h2>" in answer.text) == (200, True)


@pytest.mark.parametrize("language", ['"><script>', "de<b>", "../en"])
def test_what_is_asked_for_is_not_repeated(site, language):
    text = site.http.get("/", params={"lang": language}).text
    assert language not in text
    assert '<html lang="en">' in text


def test_nothing_that_stands_in_the_page_is_run_and_nothing_is_loaded_from_elsewhere(site):
    text = compared(site, png(), png()).text
    assert re.findall(r"<script(?! src=\"/pages/)", text) == []
    assert re.findall(r"\s(?:style|on\w+)=", text) == []
    assert re.findall(r"(?:src|href|action)=\"(?!/|\?|#|data:)", text) == []
    for name in ("verify.css", "site.css", "site.js"):
        file = site.http.get(f"/pages/{name}")
        assert (file.status_code, "http" in file.text) == (200, False)
    assert site.http.get("/pages/verify.html").status_code == 404
    assert site.http.get("/pages/..%2fapp.py").status_code == 404


def test_every_field_has_its_label(site):
    text = site.http.get("/").text
    fields = re.findall(r"<(?:input|select)[^>]* id=\"(\w+)\"", text)
    assert set(fields) == set(re.findall(r"<label for=\"(\w+)\"", text))
    assert len(fields) == 5


@pytest.mark.parametrize(("similarity", "place"), [(-1, 0), (0, 0), (0.4325, 43.2), (1.2, 100)])
def test_a_similarity_has_its_place_on_the_scale(similarity, place):
    assert _place(similarity) == pytest.approx(place, abs=0.06)


def test_without_a_calibration_nothing_is_claimed(tmp_path):
    from io import BytesIO

    made = made_recognizer(made_calibration())
    bare = Recognizer(made.detect, made.embed, uncalibrated(made.embed.model))
    shown = shown_verdict(bare.verify(BytesIO(png()), BytesIO(png())), texts_of("en"))
    assert (shown.kind, shown.scale) == ("review", None)
    assert shown.lines == (texts_of("en")["rates"]["none"],)


def test_nothing_is_stored(site):
    folder = site.gallery.database.path.parent
    before = {path.name: path.stat().st_size for path in folder.iterdir()}
    compared(site, png(), png(seed=3))
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == before


ARGUMENTS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
@pytest.mark.parametrize("language", ["en", "de"])
def test_two_photos_are_compared_in_a_browser_by_keyboard(
    recognizer, tmp_path, portraits, language
):
    playwright = pytest.importorskip("playwright.sync_api")
    said: list[str] = []
    with served(recognizer, tmp_path / "gallery") as site, playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(locale=language, viewport={"width": 390, "height": 800})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(str(site.http.base_url))
        page.set_input_files("#a", portraits / "obama.jpg")
        page.set_input_files("#b", portraits / "obama2.jpg")
        page.locator("[data-previews] img").nth(1).wait_for(timeout=30_000)
        page.locator("#policy").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_selector("#verdict.match", timeout=30_000)
        assert page.inner_text("#verdict h2") == texts_of(language)["outcomes"]["match"]
        assert page.evaluate("document.activeElement.id") == "verdict"
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        browser.close()
    assert said == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_the_page_works_without_scripts(site, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    (tmp_path / "a.png").write_bytes(png())
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(java_script_enabled=False)
        page.goto(str(site.http.base_url))
        for field in ("#a", "#b"):
            page.set_input_files(field, tmp_path / "a.png")
        page.click("button[type=submit]")
        page.wait_for_selector("#verdict.match", timeout=30_000)
        browser.close()


GIVEN = """async ([how, encoded]) => {
  const bytes = Uint8Array.from(atob(encoded), (sign) => sign.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], "given.png", { type: "image/png" }));
  const zone = document.querySelectorAll("[data-drop]")[how === "drop" ? 1 : 0];
  const event = how === "drop"
    ? new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true })
    : new ClipboardEvent("paste", { clipboardData: carried, bubbles: true, cancelable: true });
  (how === "drop" ? zone : document).dispatchEvent(event);
}"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_photos_are_dropped_and_pasted_in_a_browser(site):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page()
        page.goto(str(site.http.base_url))
        for how in ("drop", "paste"):
            page.evaluate(GIVEN, [how, base64.b64encode(png()).decode()])
        page.locator("[data-previews] img").nth(1).wait_for(timeout=30_000)
        page.click("button[type=submit]")
        page.wait_for_selector("#verdict.match", timeout=30_000)
        with pytest.raises(playwright.TimeoutError):
            page.wait_for_selector(".verdict.error", timeout=100)
        browser.close()


def test_rates_are_those_of_the_decision(site):
    """Both thresholds with their own rates: 0.5 at 1e-4, 0.4 at 1e-3."""
    made = made_calibration()
    assert [point.threshold for point in made.points[1:]] == [0.4, 0.5]
    text = compared(site, png(), png(seed=1)).text
    assert "From 0.50 on: about 1 in 10,000 pairs of strangers passes, 5.0 %" in text
    assert "From 0.40 on: about 1 in 1,000 pairs of strangers passes;" in text
    assert replace(made.points[0], threshold=0.3) == OperatingPoint(0.3, 5e-3, 1e-2, 0.01)
