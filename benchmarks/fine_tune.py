"""What fine-tuning foamliu's published network on 120 people changes for people it never names.

    python benchmarks/fine_tune.py [--steps 200] [key=value ...] [--work FOLDER]

The recipe `fine_tune` (its stem and its batch norms' statistics stay) learns the first 120 people
of lfw_people, by name. Before and after are measured on those of LFW's 6,000 pairs that name none
of the 120, one pass a picture; the interval of the gain is of 95 %, over people, and paired: the
same people are drawn for both. Needs $VISAVIS_DATA (default ../shared). No picture leaves the work
folder.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from small import SHARED, split

from visavis.checkpoints.embedder import load_network_embedder
from visavis.convert.judge import gain_words, judge_forms
from visavis.dataset import Pairs, open_pairs
from visavis.evaluate.protocols import CropSource
from visavis.train.loop import LAST, STATE, Workplace, train
from visavis.train.recipe import read_recipe

FOAMLIU = SHARED / "models" / "mobilefacenet_foamliu.pt"


def begin(measure: Callable[[argparse.Namespace, Path], None], steps: int) -> None:
    """Read the words of the command, and measure in its work folder, or in one that is removed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--work", type=Path)
    parser.add_argument("changes", nargs="*")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        measure(asked, (asked.work or Path(made)).absolute())


def measure(asked: argparse.Namespace, work: Path) -> None:
    work.mkdir(exist_ok=True)
    learn, _ = split(work)
    said = [f"data={learn}", f"init={FOAMLIU}", f"steps={asked.steps}", *asked.changes]
    out = work / "fine"
    trained = train(
        read_recipe("fine_tune", said),
        Workplace(out),
        resume=(out / STATE).exists(),
        report=lambda line: print(f"{line.step:>6} loss {line.loss:.3f}", flush=True),
    )
    if trained.stopped:
        raise SystemExit(f"stopped: the same call with --work {work} goes on")
    tree, every = open_pairs(SHARED / "data" / "lfw_aligned_112.zip")
    pairs = without(every, {path.name for path in learn.iterdir()})
    people = len(np.unique(pairs.labels))
    print(f"{len(pairs.same):,} of {len(every.same):,} pairs name none: of {people:,} people")
    nets = [load_network_embedder(path, flip=False) for path in (FOAMLIU, out / LAST)]
    judged = judge_forms(*nets, CropSource(tree), pairs)
    print(f"before {judged.before:.2%}, after {judged.after:.2%}: {gain_words(judged.gain)}")


def without(pairs: Pairs, people: set[str]) -> Pairs:
    """The pairs that name none of these people, and their pictures alone."""
    named = np.array([PurePosixPath(name).parent.name in people for name in pairs.names])
    kept = pairs.keep(~named[pairs.left] & ~named[pairs.right])
    used, rows = np.unique(np.concatenate([kept.left, kept.right]), return_inverse=True)
    left, right = np.split(rows, 2)
    return Pairs(
        tuple(pairs.names[row] for row in used),
        left,
        right,
        kept.same,
        kept.fold,
        kept.lines,
        kept.source,
        kept.labels[used],
    )


if __name__ == "__main__":
    begin(measure, 200)
