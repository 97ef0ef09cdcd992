"""Not this person, by REST and on the pages: shown before it is kept, kept, listed, removed."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from documented import faults
from made import ANNA, BERT
from served import Served, made_calibration, made_recognizer, png, served
from test_serve_login import csrf, visitor
from test_serve_site import send, words

from visavis.gallery.negatives import negatives_of
from visavis.serve.rest.negatives import negative_of
from visavis.serve.site import negatives as pages
from visavis.serve.who.access import Guard

LIKE = png(ANNA + 10, seed=4)  # alike enough to be taken for Anna


@pytest.fixture(scope="module")
def running(cache, tmp_path_factory) -> Iterator[Served]:
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("negatives") / "gallery"
        yield stack.enter_context(served(made_recognizer(made_calibration()), folder))


@pytest.fixture
def anna(running) -> Iterator[str]:
    """The id of Anna, who has two photos."""
    photos = [("images", png(ANNA)), ("images", png(ANNA + 14, seed=1))]
    answer = running.post("/v1/people", *photos, name="Anna", anyway="true")
    yield answer.json()["person"]["id"]
    running.gallery.delete(*(one.id for one in running.gallery.people()))


def named(site: Served) -> str | None:
    answer = site.post("/v1/identify", ("images", LIKE)).json()
    person = answer["images"][0]["faces"][0]["person"]
    return person and person["name"]


def test_a_face_that_is_rejected_by_rest_is_not_named_so_again(running, anna):
    path = f"/v1/people/{anna}/negatives"
    shown = running.post(path, ("image", LIKE), dry_run="true").json()
    assert faults(shown, "rejected") == []
    assert (shown["negative"], shown["lost"], named(running)) == (None, 2, "Anna")
    kept = running.post(path, ("image", LIKE)).json()["negative"]
    assert named(running) is None
    ask = {"headers": running.headers()}
    assert running.http.get(path, **ask).json() == {"negatives": [kept]}
    assert negative_of(running.service, anna, kept["id"]).person_id == anna
    assert running.http.delete(f"{path}/{kept['id']}", **ask).json() == {"removed": kept}
    assert named(running) == "Anna"
    assert running.http.delete(f"{path}/{kept['id']}", **ask).status_code == 404
    assert running.post("/v1/people/none/negatives", ("image", LIKE)).status_code == 404


@pytest.fixture
def admin(running, monkeypatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr(Guard, "count_login", lambda guard, address: None)
    with visitor(running, running.key) as client:
        client.follow_redirects = True
        yield client


@pytest.mark.slow
def test_on_the_pages_it_is_shown_and_then_kept(running, anna, admin):
    page = send(admin, "/identify", LIKE)
    assert "Not Anna" in words(page)
    page = send(admin, f"/people/{anna}/negatives", LIKE, face="1")
    assert "2 of the 2 photos of Anna are accepted now" in words(page)
    assert (named(running), negatives_of(running.gallery)) == ("Anna", [])
    (sealed,) = re.findall(r'name="sealed" value="([^"]+)"', page.text)
    page = send(admin, f"/people/{anna}/negatives/keep", sealed=sealed)
    assert "Faces that are not this person" in words(page)
    assert named(running) is None
    (negative,) = negatives_of(running.gallery)
    send(admin, f"/people/{anna}/negatives/{negative.id}/remove")
    assert named(running) == "Anna"


@pytest.mark.slow
def test_what_is_kept_is_what_was_shown_and_of_that_person(running, anna, admin, monkeypatch):
    """Whoever may change Anna cannot have made templates kept, nor those that were shown for her
    kept for Bert.
    """
    answer = running.post("/v1/people", ("images", png(BERT)), name="Bert")
    bert = answer.json()["person"]["id"]
    page = send(admin, f"/people/{anna}/negatives", LIKE, face="1")
    (sealed,) = re.findall(r'name="sealed" value="([^"]+)"', page.text)
    for person, text in ((bert, sealed), (anna, "e30="), (anna, "no base64"), (anna, "é")):
        answer = send(admin, f"/people/{person}/negatives/keep", sealed=text)
        assert answer.status_code == 422, text
    assert negatives_of(running.gallery) == []

    class Open:
        """A vault that is none."""

        open = staticmethod(lambda data, *place: b"{}")

    monkeypatch.setattr(running.service.gallery, "vault", Open)
    assert pages._opened(running.service, anna, "e30=") == {}


@pytest.mark.slow
def test_the_page_says_what_is_poor_about_a_face(running, admin):
    page = send(admin, "/identify", png(ANNA, noise=0))
    assert "This face is poor: blurred. A better photo is recognised better." in words(page)
    assert csrf(admin)
