"""Made runs: random embeddings about a centre for each person, flat colours for crops."""

from dataclasses import replace
from itertools import combinations

import numpy as np

from visavis.decision import Calibration, OperatingPoint
from visavis.evaluate.run import About, Run
from visavis.metrics.verification import FAILED, evaluate, worst_pairs

POINTS = tuple(
    OperatingPoint(threshold, rate / 2, rate, missed)
    for threshold, rate, missed in ((0.3, 1e-2, 0.01), (0.4, 1e-3, 0.02), (0.5, 1e-4, 0.05))
)
CALIBRATION = Calibration("fake@0", "made", "0" * 64, 10, 45, 1000, POINTS, 20.0, -8.0)
HISTORY = {"loss": [3.0, 2.0, 1.5], "accuracy": [0.2, 0.5, 0.6]}
NAMES = ("Anna", "Bert", "Carl", "Dora", "Emil", "Fritz")


def made_run(
    name: str = "made",
    *,
    people: tuple[str, ...] = NAMES,
    pictures: int = 4,
    failed: tuple[int, ...] = (),
    seed: int = 0,
    spread: float = 0.2,
) -> Run:
    """All pairs of a few people's pictures; no face is found in the pictures `failed`."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(people)), pictures)
    rows = random.normal(size=(len(people), 16))[labels]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows + spread * random.normal(size=rows.shape)
    acquired = ~np.isin(np.arange(len(labels)), failed)
    rows = acquired[:, None] * rows / np.linalg.norm(rows, axis=1, keepdims=True)
    left, right = (
        np.array(ends) for ends in zip(*combinations(range(len(labels)), 2), strict=True)
    )
    measures = random.uniform(20, 200, (len(labels), 5)).astype(np.float32)
    measures[~acquired] = np.nan
    embeddings = rows.astype(np.float32)
    similarity = np.einsum("pd,pd->p", embeddings[left], embeddings[right], dtype=np.float64)
    similarity[~(acquired[left] & acquired[right])] = FAILED
    same = labels[left] == labels[right]
    worst = np.concatenate(worst_pairs(similarity, same, most=3))
    shown = np.unique(np.concatenate([left[worst], right[worst]]))
    about = About(
        name,
        {"model": "fake@0", "data set": "made"},
        evaluate(similarity, same, folds=None, failures=len(failed)),
        [f"{people[label]}/{people[label]}_{row:04d}.jpg" for row, label in enumerate(labels)],
        list(people),
        bytes=5_000_000,
        milliseconds=4.25,
        calibration=CALIBRATION,
        history=HISTORY,
    )
    colors = (shown[:, None] * (40, 90, 160) % 256).astype(np.uint8)
    crops = np.broadcast_to(colors[:, None, None], (len(shown), 112, 112, 3)).copy()
    arrays = (embeddings, acquired, labels, measures, left, right, same, np.zeros_like(left))
    return Run(about, *arrays, similarity, shown, crops)


def bare_run() -> Run:
    """A run that says only what it must."""
    run = made_run("bare")
    about = replace(
        run.about,
        settings={},
        people=[],
        bytes=None,
        milliseconds=None,
        calibration=None,
        history={},
    )
    return replace(
        run,
        about=about,
        labels=np.full_like(run.labels, -1),
        measures=np.full_like(run.measures, np.nan),
        shown=run.shown[:0],
        crops=run.crops[:0],
    )


def changed(run: Run, **words: object) -> Run:
    """The run with some of its words changed."""
    return replace(run, about=replace(run.about, **words))
