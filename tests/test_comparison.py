"""Several runs on the same pairs: which is the best, and what is stated of the others."""

from dataclasses import replace

import numpy as np
import pytest
from made_runs import made_run

from visavis.errors import MismatchError
from visavis.evaluate.comparison import TOGETHER, compare_runs
from visavis.metrics.fusion import fuse, gains
from visavis.metrics.verification import evaluate


def folded(name, *, seed, accuracy, **more):
    """A made run whose pairs are in two folds, every other pair in the second."""
    run = made_run(name, seed=seed, **more)
    fold = np.arange(len(run.same)) % 2
    result = replace(run.about.result, accuracy=accuracy)
    return replace(run, fold=fold, about=replace(run.about, result=result))


RUNS = [
    folded("good", seed=0, accuracy=0.99, spread=0.5),
    folded("best", seed=1, accuracy=0.995, spread=0.5),
    folded("bad", seed=2, accuracy=0.9, spread=0.9),
]


def test_each_is_set_beside_the_most_accurate():
    together, comparisons = compare_runs(RUNS)
    assert [(one.name, one.than) for one in comparisons] == [
        ("good", "best"),
        ("bad", "best"),
        (TOGETHER, "best"),
    ]
    best = RUNS[1].similarity
    assert comparisons[1].gains == gains(RUNS[0].pairs, RUNS[2].similarity, best, far=1e-2)
    fused = fuse([run.similarity for run in RUNS], RUNS[0].same, RUNS[0].fold)
    assert together.result == evaluate(fused.similarity, RUNS[0].same, folds=RUNS[0].fold)
    assert together.weights == pytest.approx(fused.weights.mean(axis=0))


def test_weights_may_be_fixed():
    together, _ = compare_runs(RUNS, weights=(1, 1, 2))
    assert together.weights == pytest.approx([0.25, 0.25, 0.5])


def test_runs_over_other_pairs_are_not_compared():
    with pytest.raises(MismatchError, match="could not embed the same pictures"):
        compare_runs([RUNS[0], folded("less", seed=1, accuracy=0.9, pictures=3)])
