"""Does the service's memory stay what it is, however many requests come?

A short part with made networks in every whole test, which notices a photo that is not forgotten;
20 minutes with the default pack in `make prove`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import httpx
from conftest import SHARE, share
from made import ANNA, BERT
from served import png
from test_serve_hostile import memory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc"),
]
ROUNDS = 1000  # in make prove, of some ten requests each
MINUTES = 20
GROWTH = 0.02
Going = Callable[[], bool]


MADE = (sys.executable, str(Path(__file__).parent / "made_service.py"))
REAL = (sys.executable, "-m", "visavis", "serve", "--port", "0", "--json", "--gallery")


@contextmanager
def running(*command: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The process of a service, and what it says of itself."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            lines = iter(process.stdout.readline, "}\n")
            yield process.pid, json.loads("".join(lines) + "}")
        finally:
            process.terminate()


def once_round(client: httpx.Client, same: list[bytes], other: bytes, number: int) -> None:
    """What a service is asked for: a little of all, and what it refuses."""

    def photos(*data: bytes, field: str = "images") -> list:
        return [(field, (f"{place}", one)) for place, one in enumerate(data)]

    pair = [*photos(same[0], field="a"), *photos(same[1], field="b")]
    assert client.post("/v1/verify", files=pair).status_code == 200
    assert client.post("/v1/detect", files=photos(same[0], other)).status_code == 200
    data = {"name": f"Person {number}"}
    made = client.post("/v1/people", data=data, files=photos(same[0]))
    assert made.status_code == 201, made.text
    person = made.json()["person"]["id"]
    assert client.post("/v1/identify", files=photos(same[1], other)).status_code == 200
    assert client.get(f"/v1/people/{person}").status_code == 200
    for page in ("/", "/login", "/metrics", "/v1/openapi.json"):
        assert client.get(page).status_code == 200
    assert client.delete(f"/v1/people/{person}").status_code == 200
    assert client.get(f"/v1/people/{person}").status_code == 404
    assert client.post("/v1/detect", files=photos(b"no photo at all")).status_code == 415
    assert client.post("/v1/verify", files=photos(other, field="a")).status_code == 422


def growth(process: int, said: dict[str, str], photos: list[bytes], going: Going) -> float:
    """By which part the memory grew, from the second quarter of all rounds to the last one: the
    least of each, since what is held for a while counts for nothing.
    """
    *same, other = photos
    headers, sizes = {"Authorization": f"Bearer {said['admin_key']}"}, []
    with httpx.Client(base_url=said["url"], headers=headers, timeout=60) as client:
        for number in count():
            once_round(client, same, other, number)
            sizes.append(memory(process))
            if not going():
                break
    quarter = len(sizes) // 4
    return min(sizes[-quarter:]) / min(sizes[quarter : 2 * quarter]) - 1


def rounds(most: int) -> Going:
    numbers = count(2)
    return lambda: next(numbers) <= most


def made_photos() -> list[bytes]:
    return [png(ANNA), png(ANNA, seed=1), png(BERT)]


@pytest.mark.timeout(3600)
def test_memory_stays_what_it_is(cache, tmp_path):
    with running(*MADE, str(tmp_path / "gallery")) as (process, said):
        assert growth(process, said, made_photos(), rounds(share(ROUNDS))) < GROWTH


@pytest.mark.timeout(600)
def test_a_service_that_forgets_no_photo_is_noticed(cache, tmp_path):
    with running(*MADE, str(tmp_path / "gallery"), "leak") as (process, said):
        assert growth(process, said, made_photos(), rounds(share(ROUNDS))) > GROWTH


@pytest.mark.pack
@pytest.mark.skipif(SHARE < 1, reason=f"{MINUTES} minutes: make prove")
@pytest.mark.timeout(MINUTES * 60 + 600)
def test_memory_stays_what_it_is_for_twenty_minutes(cache, tmp_path, portraits):
    names = ("obama.jpg", "obama2.jpg", "biden.jpg")
    photos = [(portraits / name).read_bytes() for name in names]
    end = time.monotonic() + MINUTES * 60
    with running(*REAL, str(tmp_path / "gallery")) as (process, said):
        assert growth(process, said, photos, lambda: time.monotonic() < end) < GROWTH
