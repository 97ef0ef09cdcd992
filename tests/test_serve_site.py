"""The pages without a browser: what each form does, who is refused, what is only text."""

import html
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("httpx")
pytest.importorskip("fastapi")
pytest.importorskip("websockets")

import httpx
from made import ANNA, BERT, CARL, NONE, TWO
from served import Served, made_calibration, made_recognizer, png, served
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from test_serve_imports import zipped
from test_serve_login import csrf, form, visitor
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from visavis.configuration import Configuration
from visavis.document import parse
from visavis.errors import ConfigurationError
from visavis.gallery import Sample, configurations
from visavis.gallery.audit import Entry
from visavis.serve.site import live as site_live
from visavis.serve.site.wording import LANGUAGES
from visavis.serve.who.access import Guard

HOSTILE = "<img src=x onerror=alert(1)>\"'{{7*7}}</script><script>alert(2)</script>"
PLACES = ("/people", "/people/import", "/identify", "/live", "/models", "/settings", "/login", "/")


@pytest.fixture(scope="module")
def running(cache, tmp_path_factory) -> Iterator[Served]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("site") / "gallery"
        made = made_recognizer(made_calibration())
        yield stack.enter_context(served(made, folder, load=lambda _: made))


@pytest.fixture
def site(running) -> Iterator[Served]:
    """The service, with nobody in its gallery."""
    yield running
    running.gallery.delete(*(one.id for one in running.gallery.people()))


@pytest.fixture
def admin(site, monkeypatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr(Guard, "count_login", lambda guard, address: None)
    with visitor(site, site.key) as client:
        client.follow_redirects = True
        yield client


def send(client: httpx.Client, path: str, *photos: bytes, **fields: str) -> httpx.Response:
    """A form of one of the pages."""
    files = [(name, (None, value)) for name, value in {"csrf": csrf(client), **fields}.items()]
    files += [("images", (f"{n}.png", data, "image/png")) for n, data in enumerate(photos)]
    return client.post(path, files=files)


def words(answer: httpx.Response) -> str:
    """A page as its reader has it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.text)).split())


def test_somebody_is_added_with_the_reason_for_each_photo(site, admin):
    answer = send(admin, "/people", png(), png(shows=NONE), b"no photo", name="Anna",
                  keep_crops="true")  # fmt: skip
    said = words(answer)
    assert answer.status_code == 201
    assert "0.png : added" in said
    assert "1.png : not added: no face was found" in said
    assert "2.png : not added: not a photo that can be read" in said
    [person] = site.gallery.people()
    [sample] = site.gallery.samples(person.id)
    crop = admin.get(f"/people/{person.id}/photos/{sample.id}.png")
    assert (crop.headers["content-type"], crop.content) == ("image/png", sample.crop)
    assert admin.get(f"/people/{person.id}/photos/0.png").status_code == 404


def test_whom_no_photo_shows_is_not_added(site, admin):
    answer = send(admin, "/people", png(shows=NONE), png(shows=NONE, seed=2), name="Anna")
    assert (answer.status_code, site.gallery.people()) == (422, [])
    assert "no face was found" in words(answer)


@pytest.mark.slow
def test_where_consent_is_needed_the_forms_ask_for_it(site, admin):
    fields = r'<input type="text" id="[\w-]*consent" name="consent"[^>]* required'
    assert not re.search(fields, admin.get("/people").text)
    site.gallery.requires_consent = True
    try:
        assert re.search(fields, admin.get("/people").text)
        assert re.search(fields, send(admin, "/identify", png()).text)
        assert send(admin, "/people", png(), name="Anna").status_code == 422
        assert send(admin, "/people", png(), name="Anna", consent="signed").status_code == 201
    finally:
        site.gallery.requires_consent = False
    assert [one.consent for one in site.gallery.people()] == ["signed"]


def people(site: Served, *names: str) -> list[str]:
    """Ids of people with a photo each."""
    ids = []
    for number, name in enumerate(names):
        person = site.gallery.add_person(name)
        made = site.service.recognizer.embed.model
        row = [1.0] + [0.0] * (site.service.recognizer.embed.dim - 1)
        templates = {made: np.array(row, np.float32)}
        site.gallery.add_sample(person.id, Sample(f"{number}.png", str(number), {}, templates))
        ids.append(person.id)
    return ids


@pytest.mark.slow
def test_people_are_renamed_grouped_merged_and_erased(site, admin):
    anna, bert = people(site, "Anna", "Bert")
    assert "<h1>Ann</h1>" in send(admin, f"/people/{anna}/rename", name="Ann").text
    send(admin, f"/people/{anna}/groups", group="Staff", change="add")
    assert site.service.person(anna).groups == ("Staff",)
    send(admin, f"/people/{anna}/groups", group="Staff", change="remove")
    assert site.service.person(anna).groups == ()
    send(admin, f"/people/{anna}/merge", other="Bert")
    assert [(one.id, one.samples) for one in site.gallery.people()] == [(anna, 2)]
    photo = site.gallery.samples(anna)[0].id
    send(admin, f"/people/{anna}/photos/{photo}/remove")
    assert site.service.person(anna).samples == 1
    assert send(admin, f"/people/{anna}/erase").status_code == 422
    proof = words(send(admin, f"/people/{anna}/erase", sure="true"))
    assert "Photos erased 1 Templates erased 1 Rows left 0 Files searched and clean yes" in proof
    assert site.gallery.people() == []
    assert admin.get(f"/people/{bert}").status_code == 404


@pytest.mark.slow
def test_what_is_done_is_noted_with_who_did_it(site, admin):
    [anna] = people(site, "Anna")
    send(admin, f"/people/{anna}/rename", name="Ann")
    noted: list[Entry] = [one for one in site.gallery.changes(0) if one.action == "request"]
    key = site.service.keys.all()[0].id
    done = [json.loads(one.details) for one in noted]
    assert (key, "POST", "/people/{person}/rename") in [
        (one["by"], one["method"], one["route"]) for one in done
    ]


@pytest.mark.slow
def test_people_come_a_page_at_a_time_and_are_searched_for(site, admin, monkeypatch):
    monkeypatch.setattr("visavis.serve.site.people.PAGE", 2)
    people(site, "Anna", "Bert", "Carl")
    first = admin.get("/people").text
    more = html.unescape(re.findall(r'rel="next" href="([^"]+)"', first)[0])
    second = admin.get(more).text
    assert [re.findall(r">(\w+)</a></td>", one) for one in (first, second)] == [
        ["Anna", "Bert"], ["Carl"],
    ]  # fmt: skip
    assert re.findall(r">(\w+)</a></td>", admin.get("/people?q=ert").text) == ["Bert"]
    assert admin.get("/people?cursor=x").status_code == 422


IDENTIFIED = [
    (png(ANNA, seed=1), ["1 Anna"], "Similarity 1.00. A match from 0.30 on."),
    pytest.param(png(BERT, seed=1), ["1 Unknown"], "Add as", marks=pytest.mark.slow),
    pytest.param(png(shows=TWO), ["1 Anna", "2 Anna"], "Similarity", marks=pytest.mark.slow),
    pytest.param(png(shows=NONE), [], "No face was found.", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("photo", "names", "said"), IDENTIFIED)
def test_faces_are_named_over_the_picture(site, admin, photo, names, said):
    send(admin, "/people", png(), name="Anna")
    answer = send(admin, "/identify", photo)
    assert re.findall(r"<text[^>]*>([^<]*)</text>", answer.text) == names
    assert said in words(answer)
    assert answer.text.count("data:image/jpeg;base64,") == 1


@pytest.mark.slow
def test_a_photo_that_cannot_be_read_does_not_stop_the_others(site, admin):
    answer = send(admin, "/identify", b"no photo", png())
    assert "A photo is damaged" in words(answer)
    assert answer.text.count("<svg") == 1


@pytest.mark.slow
def test_the_last_enrolment_is_taken_back_after_it_was_shown(site, admin):
    send(admin, "/people", png(), name="Anna")
    send(admin, "/people", png(BERT), name="Bert")
    shown = admin.get("/people/undo")
    assert "1 photos of" in words(shown)
    assert "Bert : 1, who has no other photo" in words(shown)
    (first,) = re.findall(r'name="first" value="(\w+)"', shown.text)
    send(admin, "/people", png(CARL), name="Carl")
    assert send(admin, "/people/undo", first=first, sure="true").status_code == 409
    assert len(site.gallery.people()) == 3
    (first,) = re.findall(r'name="first" value="(\w+)"', admin.get("/people/undo").text)
    assert "is taken back" in words(send(admin, "/people/undo", first=first, sure="true"))
    assert [one.name for one in site.gallery.people()] == ["Anna", "Bert"]
    undone = site.http.post("/v1/people:undo", headers=site.headers()).json()
    assert (undone["photos"], undone["people"]) == (1, ["Bert"])
    site.http.post("/v1/people:undo", headers=site.headers())
    assert site.http.post("/v1/people:undo", headers=site.headers()).status_code == 409
    assert "No enrolment is left" in words(admin.get("/people/undo"))


@pytest.mark.slow
def test_what_is_poor_about_photos_is_told_before_they_are_enrolled(site, admin):
    photos = (png(), png(noise=0), png(shows=NONE), b"no photo")
    said = [one["said"] for one in send(admin, "/people/look", *photos).json()["photos"]]
    assert said[:2] == ["good", "poor: blurred"]
    assert ["No face was found" in said[2], "damaged" in said[3]] == [True, True]
    assert site.gallery.people() == []
    admin.headers["Sec-Fetch-Site"] = "cross-site"
    assert send(admin, "/people/look", png()).status_code == 403


@pytest.mark.slow
def test_a_zip_is_imported_on_the_page_with_a_report_of_each_file(site, admin):
    photos = {"Anna/1.png": png(), f"{HOSTILE[:20]}/2.png": png(BERT), "Carl/n.txt": b"no"}

    def ask(archive: bytes, **fields: str) -> httpx.Response:
        given = [(name, (None, value)) for name, value in {"csrf": csrf(admin), **fields}.items()]
        given += [("archive", ("people.zip", archive, "application/zip"))]
        return admin.post("/people/import", files=given)

    page = ask(zipped(photos), layout="", keep_crops="true")
    assert page.status_code == 200
    end = time.monotonic() + 20
    while "refresh" in page.headers:
        assert time.monotonic() < end
        page = admin.get(page.url)
    said = words(page)
    assert "done" in said
    assert "3 of 3 files, 2 added" in said
    assert "Carl n.txt not added: not a photo that can be read" in said
    assert "<img src" not in page.text
    assert words(admin.get("/people/import")).count("3 of 3 files") == 1
    assert ask(b"no zip").status_code == 422
    assert admin.get("/people/import/none").status_code == 404


@pytest.mark.slow
def test_a_configuration_is_made_active_and_rolled_back(site, admin, monkeypatch):
    monkeypatch.setattr(Configuration, "packs", lambda self: ())
    shape = {"members": [{"pack": "default", "weight": 1.0}]}
    made = parse(Configuration, json.dumps(shape).encode(), "test", ConfigurationError)
    configurations.add_configurations(site.gallery, [made, made])

    def active() -> int:
        return configurations.read_history(site.gallery).active.version

    for version in ("1", "2"):
        assert send(admin, "/models/activate", version=version).status_code == 200
    assert active() == 2
    send(admin, "/models/rollback")
    assert active() == 1
    assert send(admin, "/models/activate", version="3").status_code == 404


class Tags(HTMLParser):
    """What stands in a page that could be run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.runs: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "script" and not (known.get("src") or "").startswith("/pages/"):
            self.runs.append(tag)
        self.runs += [f"{tag} {name}" for name in known if name[:2] == "on" or name == "style"]
        self.runs += [f"{tag} {one}" for one in known.values() if one and "javascript:" in one]


@pytest.mark.parametrize("text", ["<script>1</script>", "<a onclick=1>", "<p style=''>"])
def test_what_could_be_run_is_noticed(text):
    assert Tags(text).runs != []


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_hostile_names_are_text_on_every_page_in_every_language(site, admin, language):
    [person] = people(site, HOSTILE)
    user = site.service.users.add(HOSTILE, "correct horse battery", "viewer")
    key, _ = site.service.keys.make(HOSTILE, "viewer")
    for path in (*PLACES, f"/people/{person}", "/people/0", f"/people?q={HOSTILE}"):
        text = admin.get(path, params=None if "?" in path else {"lang": language}).text
        assert Tags(text).runs == [], path
        assert "<img src=x" not in text
        assert "built-in" not in text
        assert f'<html lang="{language}">' in text
    assert HOSTILE in words(admin.get(f"/people/{person}"))
    site.service.users.remove(user.id)
    site.service.keys.revoke(key.id)


def test_a_chosen_language_is_kept(admin):
    admin.get("/people?lang=de")
    assert '<html lang="de">' in admin.get("/people").text


def live(site: Served, client: httpx.Client, **sent: str):
    """The WebSocket of the live page, as its script opens it."""
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    headers = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{site.port}", **sent}
    return connect(
        f"ws://127.0.0.1:{site.port}/live/pictures",
        additional_headers={name: value for name, value in headers.items() if value},
    )


def test_pictures_are_answered_with_boxes_and_names(site, admin):
    send(admin, "/people", png(), name=HOSTILE)
    with live(site, admin) as socket:
        for _ in range(2):
            socket.send(png(seed=1))
            [face] = json.loads(socket.recv())["faces"]
            assert (face["title"], face["outcome"]) == (HOSTILE, "match")
            assert all(0 <= side <= 1 for side in face["box"])
        socket.send(b"no picture")
        assert json.loads(socket.recv())["faces"] == []


FOREIGN = [
    {"Cookie": ""},
    {"Cookie": "visavis_session=" + "0" * 43},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
]


@pytest.mark.parametrize("sent", FOREIGN, ids=str)
def test_no_other_page_sees_who_is_before_the_camera(site, admin, sent):
    with pytest.raises(InvalidStatus), live(site, admin, **sent):
        pass


@pytest.mark.parametrize(("host", "let_in"), [("localhost", True), ("evil.example", False)])
def test_a_name_that_was_made_to_lead_here_sees_nothing(site, admin, host, let_in):
    """Rebinding: the page's own name is the attacker's, and its origin fits."""
    cookie = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    client = TestClient(site.server.config.app)
    sent = {"Cookie": cookie, "Origin": f"http://{host}"}
    with ExitStack() as stack:
        if not let_in:
            stack.enter_context(pytest.raises(WebSocketDisconnect))
        with client.websocket_connect(f"ws://{host}/live/pictures", headers=sent):
            assert let_in


@pytest.mark.slow
def test_without_the_check_of_who_asks_any_page_would(site, admin, monkeypatch):
    monkeypatch.setattr(site_live, "_may", lambda socket, service: True)
    with live(site, admin, Cookie="", Origin="https://evil.example") as socket:
        socket.send(png())
        assert "faces" in json.loads(socket.recv())


def test_who_signs_out_sees_no_more(site, admin):
    with live(site, admin) as socket:
        admin.post("/logout", files=form(csrf=csrf(admin)))
        socket.send(png())
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv()
        assert ended.value.rcvd.code == site_live.REFUSED


def test_who_sends_no_picture_is_not_waited_for(site, admin, monkeypatch):
    monkeypatch.setattr(site_live, "PATIENCE", 0.05)
    with live(site, admin) as socket:
        with pytest.raises(ConnectionClosed) as ended:
            socket.recv()
        assert ended.value.rcvd.code == site_live.IDLE


def test_a_picture_over_the_limit_ends_the_connection(site, admin):
    with live(site, admin) as socket:
        socket.send(bytes(site_live.FRAME_BYTES + 1))
        with pytest.raises(ConnectionClosed):
            socket.recv()


def test_a_form_may_hold_no_more_photos_than_are_taken(site, admin):
    assert send(admin, "/identify", *[b"x"] * 9).status_code == 400
