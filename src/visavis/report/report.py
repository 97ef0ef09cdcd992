"""Runs as files to read: a page that compares them, its figures as PNG with their numbers as JSON,
and the tables of the embedding projector.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from visavis.batch import Progress
from visavis.errors import OutputError
from visavis.evaluate.run import Run
from visavis.files import write_whole
from visavis.report.page import FigureFile, page


def write_report(runs: Sequence[Run], out: Path, *, progress: Progress = iter) -> list[Path]:
    """Write the page, and a folder beside it with the figures and their numbers; returns the files.

    The same runs give the same bytes. Raises OutputError where that cannot be written, or where
    matplotlib or scikit-learn is missing.
    """
    runs = _told_apart(runs)
    figures = _figures(runs, progress)
    folder = out.with_name(f"{out.stem}_figures")
    _make(folder)
    written = []
    for figure in (one for drawn in figures.values() for one in drawn):
        for suffix, data in ((".png", figure.png), (".json", figure.data)):
            write_whole(folder / f"{figure.name}{suffix}", data)
            written.append(folder / f"{figure.name}{suffix}")
    write_whole(out, page(runs, figures).encode(errors="replace"))
    return [out, *written]


def write_projectors(runs: Sequence[Run], folder: Path) -> list[Path]:
    """`write_projector` into the folder for one run, into numbered ones in it for several."""
    if len(runs) == 1:
        return write_projector(runs[0], folder)
    return [
        path
        for number, run in enumerate(runs, start=1)
        for path in write_projector(run, folder / str(number))
    ]


def write_projector(run: Run, folder: Path) -> list[Path]:
    """Write vecs.tsv and meta.tsv, a line for each face, as the embedding projector reads them.

    Raises OutputError where that cannot be written.
    """
    _make(folder)
    rows = np.flatnonzero(run.acquired)
    vectors = io.StringIO()
    np.savetxt(vectors, run.embeddings[rows], fmt="%.6g", delimiter="\t")
    lines = ["person\tpicture"]
    for row in rows:
        person = run.about.people[run.labels[row]] if run.labels[row] >= 0 else ""
        cells = (" ".join(cell.split()) for cell in (person, run.about.names[row]))
        lines.append("\t".join(cells))
    paths = [folder / "vecs.tsv", folder / "meta.tsv"]
    texts = (vectors.getvalue(), "\n".join(lines) + "\n")
    for path, text in zip(paths, texts, strict=True):
        write_whole(path, text.encode(errors="replace"))
    return paths


def _figures(runs: Sequence[Run], progress: Progress) -> dict[str, list[FigureFile]]:
    """Every section's figures, by its key."""
    try:
        from visavis.report import figures as draw
    except ImportError as error:
        raise OutputError(f"report needs {error.name}", mend='pip install ".[plots]"') from error
    together: dict[str, Callable[[Sequence[Run]], Any]] = {
        "roc": draw.roc_curves,
        "det": draw.det_curves,
        "accuracy": draw.accuracy_by_threshold,
        "errors": draw.rates_by_threshold,
        "discard": draw.discard,
        "reliability": draw.reliability_plot,
        "training": draw.histories,
    }
    each: dict[str, Callable[[Run], Any]] = {
        "similarities": draw.histogram,
        "distances": draw.strips,
        "people": draw.people_scatter,
        "confused": draw.confused_people,
        "false-matches": draw.worst_false_matches,
        "false-non-matches": draw.worst_false_non_matches,
    }
    drawn = {key: [("", figure(runs))] for key, figure in together.items()}
    drawn |= {key: [(run.about.name, figure(run)) for run in runs] for key, figure in each.items()}
    drawn["carried"] = [
        (f"{runs[0].about.name}, then {run.about.name}", draw.train_against_test(runs[0], run))
        for run in runs[1:]
    ]

    def finished(key: str, number: int, caption: str, figure: Any) -> FigureFile:
        name = f"{key}-{number}" if key in each or key == "carried" else key
        numbers = {"caption": caption, "panels": _drawn(figure)}
        return FigureFile(name, caption, draw.png(figure), json.dumps(numbers).encode())

    return {
        key: [
            finished(key, number, caption, figure)
            for number, (caption, figure) in enumerate(drawn[key], start=1)
            if figure is not None
        ]
        for key in progress(drawn)
    }


def _drawn(figure: Any) -> list[dict[str, Any]]:
    """What each panel of a figure shows, as numbers and words."""
    return [
        {
            "title": panel.get_title(),
            "x": panel.get_xlabel(),
            "y": panel.get_ylabel(),
            "ticks": [text.get_text() for text in panel.get_yticklabels()] if bars else [],
            "words": [text.get_text() for text in panel.texts],
            "lines": [_series(line, line.get_xydata()) for line in panel.get_lines()],
            "points": [_series(cloud, cloud.get_offsets()) for cloud in panel.collections],
            "bars": bars,
            "counts": [_steps(patch) for patch in panel.patches if hasattr(patch, "get_data")],
        }
        for panel in figure.axes
        for bars in [[_numbers(getattr(bar, "datavalues", [])) for bar in panel.containers]]
    ]


def _series(artist: Any, points: Any) -> dict[str, Any]:
    return {"label": artist.get_label(), "points": _numbers(np.asarray(points, np.float64))}


def _steps(patch: Any) -> dict[str, Any]:
    values, edges, _ = patch.get_data()
    return {"label": patch.get_label(), "values": _numbers(values), "edges": _numbers(edges)}


def _numbers(values: Any) -> Any:
    """Numbers to six digits, and None for a number that is not finite."""
    if np.ndim(values):
        return [_numbers(value) for value in values]
    return float(f"{values:.6g}") if np.isfinite(values) else None


def _told_apart(runs: Sequence[Run]) -> list[Run]:
    """The runs, numbered where several have one name."""
    names = Counter(run.about.name for run in runs)
    numbers = {name: count(1) for name in names}
    return [
        replace(run, about=replace(run.about, name=f"{name} ({next(numbers[name])})"))
        if names[name] > 1
        else run
        for run in runs
        for name in (run.about.name,)
    ]


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error
