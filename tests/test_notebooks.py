"""The notebooks run from top to bottom, are short, and show what a run shows.

Of people who did not put their portrait in the public domain no picture is kept; others are drawn.
"""

import ast
import base64
import io
import json
import os
import re
import runpy
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PORTRAITS = ("people", "verify")  # they show the portraits of build/photos alone
SHOWN = (*PORTRAITS, "train")  # and it shows drawn people
LARGEST = 60_000  # bytes of a picture
NUMBER = re.compile(r"-?\d+\.\d+")


def cells(path: Path, kind: str) -> list[str]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def run_cells(path: Path, monkeypatch) -> dict[str, object]:
    """What the notebook's names stand for after its last cell."""
    monkeypatch.chdir(path.parent)
    shown: dict[str, object] = {}
    for number, code in enumerate(cells(path, "code"), start=1):
        exec(compile(code, f"{path.name}, code cell {number}", "exec"), shown)
    return shown


def test_the_notebooks_are_these():
    assert {*SHOWN, "visualise"} == {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_short_and_holds_no_output_but_of_portraits(path):
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert len(found) < 15
    for cell in found:
        assert path.stem in SHOWN or not cell.get("outputs")
        assert path.stem in SHOWN or cell.get("execution_count") is None
        assert not cell.get("attachments")
    assert "data:image" not in path.read_text(encoding="utf-8")


def outputs(notebook: dict) -> tuple[str, list[bytes]]:
    """The text that a notebook shows, and its pictures."""
    shown = [one for cell in notebook["cells"] for one in cell.get("outputs", [])]
    texts = ["".join(one.get("text") or one["data"]["text/plain"]) for one in shown]
    data = [one["data"]["image/jpeg"] for one in shown if "image/jpeg" in one.get("data", {})]
    return "\n".join(texts), [base64.b64decode(picture) for picture in data]


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_what_it_shows_is_what_a_run_shows(name, portraits, monkeypatch):
    if name == "train":
        pytest.importorskip("torch", reason="training needs an extra: pip install '.[train]'")
        pytest.importorskip("tensorboard")
    path = ROOT / "notebooks" / f"{name}.ipynb"
    monkeypatch.setenv("VISAVIS_KEY", "")  # the notebook sets it; put back afterwards
    made = runpy.run_path(str(path.with_name("run.py")))["run"](path)
    kept, pictures = outputs(json.loads(path.read_text(encoding="utf-8")))
    now, pictures_now = outputs(made)
    assert NUMBER.sub("N", kept) == NUMBER.sub("N", now), f"python notebooks/run.py {path}"
    numbers = ([float(one) for one in NUMBER.findall(text)] for text in (kept, now))
    assert next(numbers) == pytest.approx(next(numbers), abs=0.02)
    assert [Image.open(io.BytesIO(one)).size for one in pictures] == [
        Image.open(io.BytesIO(one)).size for one in pictures_now
    ]


@pytest.mark.parametrize("name", SHOWN)
def test_its_pictures_are_there_and_small(name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    pictures = outputs(json.loads(path.read_text(encoding="utf-8")))[1]
    assert pictures
    assert all(1_000 < len(picture) < LARGEST for picture in pictures)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_uses_what_is_public(path):
    tree = ast.parse("\n".join(cells(path, "code")))
    names = [
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in (*(node.module or "").split("."), *(alias.name for alias in node.names))
    ]
    assert [name for name in names if name.startswith("_")] == []
    called = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert [name for name in called if name.startswith("_")] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("verify", "standard: obama.jpg and biden.jpg: no_match"),
        ("people", "match, closest Barack Obama"),
        ("people", "no_match, closest Joe Biden"),
        ("people", "['obama.jpg', 'obama2.jpg', 'obama3.jpg']"),
        ("train", "the loss falls: True"),
        ("train", "pairs of one person are closer: True"),
    ],
)
def test_it_shows_the_right_answer(name, words):
    notebook = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert words in outputs(notebook)[0]


@pytest.mark.pack
@pytest.mark.slow
def test_visualise_runs(data, monkeypatch, capsys):
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package, reason="figures need an extra: pip install '.[plots]'")
    monkeypatch.setenv("VISAVIS_DATA", os.fspath(data.resolve()))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    if not (data / "data" / "lfw_aligned_112.zip").is_file():
        pytest.skip(f"no lfw_aligned_112.zip in {data / 'data'}")
    shown = run_cells(ROOT / "notebooks" / "visualise.ipynb", monkeypatch)
    assert "40 people" in capsys.readouterr().out
    assert shown["run"].about.result.eer < 0.02
    assert shown["sheet"].height > 300
