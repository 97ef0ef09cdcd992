"""Which models answer: another configuration decides from the next request on, and none is lost."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

from made import AngleEmbedder
from served import Served, made_calibration, made_recognizer, png, served
from test_choice import made as made_pack

from visavis.cli.options import Recognition
from visavis.configuration import UNCONFIGURED, Configuration
from visavis.errors import ConfigurationError, ModelError
from visavis.gallery import open_gallery
from visavis.gallery.configurations import (
    activate,
    active_configuration,
    add_configurations,
    roll_back,
)
from visavis.recognizer import Recognizer
from visavis.serve.rest.kept import ConfigurationShownShape

DEFAULT = Configuration.of_pack("default")
# Of made photos: a match from 0.5, from 0.3, and one that cannot be loaded.
STRICT, LAX, BROKEN = (
    replace(DEFAULT, policy=policy, author="Ann", description=words)
    for policy, words in (("0.0001", "strict"), ("0.01", "lax"), ("0.001", "broken"))
)
MATCH = {None: 0.5, 1: 0.5, 2: 0.3}


class Loads:
    """Loads made models, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, configuration: Configuration | None) -> Recognizer:
        self.count += 1
        if configuration is not None and configuration.description == "broken":
            raise ModelError("the network is damaged", mend="pull the pack again")
        made = made_recognizer(made_calibration())
        rules = configuration or UNCONFIGURED.configuration
        return replace(made, configured=replace(UNCONFIGURED, configuration=rules))


@pytest.fixture
def loads() -> Loads:
    return Loads()


@pytest.fixture
def switched(cache, tmp_path, loads) -> Iterator[Served]:
    """A service whose gallery has three configurations, none of them active yet."""
    with ExitStack() as stack:
        site = stack.enter_context(served(loads(None), tmp_path / "gallery", load=loads))
        add_configurations(site.gallery, [STRICT, LAX, BROKEN])
        yield site


def threshold(site: Served) -> float:
    """What the answering configuration asks of a match of two photos."""
    answer = site.post("/v1/verify", ("a", png()), ("b", png(seed=1)))
    return float(answer.json()["threshold"])


def ask(site: Served, path: str, scope="admin"):
    return site.http.post(path, headers=site.headers(scope))


def test_an_activated_version_decides_from_the_next_request_on(switched, loads):
    assert threshold(switched) == MATCH[None]
    for version in (2, 1, 2):
        answer = ask(switched, f"/v1/configurations/{version}:activate")
        assert answer.json() == {
            "active": version,
            "stale": {"photos": 0, "people": 0, "models": []},
        }
        assert threshold(switched) == MATCH[version]
    assert ask(switched, "/v1/configurations:rollback").json()["active"] == 1
    assert threshold(switched) == MATCH[1]
    assert loads.count == 5  # at the start, and before each change; never by a question


@pytest.mark.slow
def test_what_another_process_activates_decides_too(switched):
    other = open_gallery(switched.gallery.database.path.parent)
    activate(other, 2)
    assert threshold(switched) == MATCH[2]
    activate(other, 1)
    assert threshold(switched) == MATCH[1]
    roll_back(other)
    assert threshold(switched) == MATCH[2]
    other.close()


@pytest.mark.slow
def test_versions_are_listed_and_shown(switched):
    headers = switched.headers("viewer")
    listed = switched.http.get("/v1/configurations", headers=headers).json()
    assert [one["description"] for one in listed["configurations"]] == ["strict", "lax", "broken"]
    assert listed["active"] is None
    activate(switched.gallery, 2)
    shown = switched.http.get("/v1/configurations/2", headers=headers).json()
    assert ConfigurationShownShape.model_validate(shown, extra="forbid").calibration
    assert (shown["version"], shown["active"], shown["policy"]) == (2, True, "0.01")
    assert shown["models"][0]["pack"] == "default"
    packs = switched.http.get("/v1/packs", headers=headers).json()
    assert packs["active"] == "default"


REFUSED = [
    ("/v1/configurations/4:activate", "admin", 404, "there is no configuration 4"),
    ("/v1/configurations/0:activate", "admin", 422, "greater than or equal to 1"),
    ("/v1/configurations/3:activate", "admin", 409, "the network is damaged"),
    ("/v1/configurations:rollback", "admin", 409, "no configuration was active before"),
    ("/v1/configurations/1:activate", "operator", 403, "admin"),
    ("/v1/configurations:rollback", "viewer", 403, "admin"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("path", "scope", "status", "said"), REFUSED)
def test_what_cannot_be_activated_changes_nothing(switched, path, scope, status, said):
    answer = ask(switched, path, scope)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert active_configuration(switched.gallery) is None
    assert threshold(switched) == MATCH[None]


@pytest.mark.slow
def test_where_a_pack_was_named_no_configuration_is_activated(cache, tmp_path, loads):
    with served(loads(None), tmp_path / "gallery", pack="default") as site:
        add_configurations(site.gallery, [LAX])
        answer = ask(site, "/v1/configurations/1:activate")
        assert answer.status_code == 409
        assert "a pack of its own" in answer.json()["error"]["message"]
        activate(site.gallery, 1)
        assert threshold(site) == MATCH[None]


@pytest.mark.slow
def test_where_another_process_activates_what_cannot_be_loaded_nothing_is_decided(switched):
    """No silent going on with models that should not decide any more; and a way back."""
    activate(switched.gallery, 1)
    activate(switched.gallery, 3)
    answer = switched.post("/v1/verify", ("a", png()), ("b", png(seed=1)))
    assert answer.status_code == 503
    assert switched.http.get("/v1/ready").status_code == 503
    assert ask(switched, "/v1/configurations:rollback").json()["active"] == 1
    assert threshold(switched) == MATCH[1]
    assert switched.http.get("/v1/ready").status_code == 200


class WaitingEmbedder(AngleEmbedder):
    """An embedder that waits where it is told to."""

    def __init__(self) -> None:
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def __call__(self, crops):
        self.begun.set()
        assert self.goes_on.wait(20)
        return super().__call__(crops)


def test_a_request_that_was_begun_ends_by_the_models_it_began_with(cache, tmp_path, loads):
    waits = WaitingEmbedder()
    first = replace(made_recognizer(made_calibration()), embed=waits)
    answers = []
    with served(first, tmp_path / "gallery", load=loads, workers=2) as site:
        add_configurations(site.gallery, [STRICT, LAX])
        thread = threading.Thread(target=lambda: answers.append(threshold(site)))
        thread.start()
        assert waits.begun.wait(20)
        assert ask(site, "/v1/configurations/2:activate").status_code == 200
        assert threshold(site) == MATCH[2]
        assert answers == []
        waits.goes_on.set()
        thread.join(20)
        assert answers == [MATCH[None]]


@pytest.mark.slow
def test_many_requests_load_another_configuration_once(switched, loads):
    activate(switched.gallery, 2)
    answers: list[float] = []
    threads = [
        threading.Thread(target=lambda: answers.append(threshold(switched))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (answers, loads.count) == ([MATCH[2]] * 2, 2)


@pytest.mark.slow
@pytest.mark.pack
def test_a_second_real_pack_decides_from_the_next_request_on(recognizer, pack, tmp_path, portraits):
    """Its model is another one, and a process beside the service makes it active."""
    folder = tmp_path / "gallery"
    second = made_pack(pack, tmp_path / "other", slope=20.0)
    photos = [("a", (portraits / name).read_bytes()) for name in ("obama.jpg", "obama2.jpg")]
    models = Recognition().deciding
    with served(recognizer, folder, load=models) as site:
        (one,) = add_configurations(site.gallery, [Configuration.of_pack(str(second))])
        before = site.http.get("/v1/packs").json()["model"]
        command = [sys.executable, "-m", "visavis", "config", "activate", "1"]
        subprocess.run([*command, "--gallery", str(folder)], check=True, capture_output=True)
        after = site.http.get("/v1/packs").json()
        assert after["model"] != before
        answer = site.post("/v1/verify", photos[0], ("b", photos[1][1]))
        assert answer.json()["model"] == after["model"]
        with pytest.raises(ConfigurationError):
            roll_back(site.gallery)
        assert one.version == 1
