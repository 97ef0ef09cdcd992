"""The notebooks run from top to bottom, are short, and hold no output: it could show a face."""

import ast
import json
import os
from pathlib import Path

import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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
    assert {"verify.ipynb", "visualise.ipynb"} <= {path.name for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_short_and_holds_no_output(path):
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert len(found) < 15
    for cell in found:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not cell.get("attachments")
    assert "data:image" not in path.read_text(encoding="utf-8")


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


@pytest.mark.pack
def test_verify_runs(portraits, monkeypatch, capsys):
    shown = run_cells(ROOT / "notebooks" / "verify.ipynb", monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert shown["verification"].decision.outcome == "match"
    assert "standard: obama.jpg and biden.jpg: no_match" in "\n".join(lines)


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
