"""What a small net learns of 120 people in minutes, alone and taught; tested on 38 others.

    python benchmarks/small.py [--steps 600] [--every 100] [key=value ...] [--work FOLDER]
                               [--teacher PACK [--weight 32]]

The people are those of lfw_people ($VISAVIS_DATA/data, or ../shared/data), the first 120 by name to
learn from and the last 38 to test on: 10 folds of 130 same and 130 different pairs. Beside the
curve: the net before it has learnt anything, and the crops' pixels by their principal components,
of the people to learn from. With a teacher the same net, recipe and steps are run once more, with
its embeddings to match. Intervals are of 95 %, over people, and paired: the same pairs, so what a
line gains over another. In a FOLDER that stays, a run goes on where it was interrupted. No picture
leaves it.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from visavis.alignment import read_crop
from visavis.checkpoints.checkpoint import load_checkpoint
from visavis.checkpoints.embedder import NetworkEmbedder
from visavis.dataset import find_people, open_tree, sample_pairs
from visavis.detect import load_detector
from visavis.embedder import load_embedder
from visavis.evaluate.protocols import CropSource, embed_pairs, similarities
from visavis.metrics.bootstrap import weighted_means
from visavis.metrics.verification import right_answers
from visavis.pack import load_pack
from visavis.preparation import align_people
from visavis.runtime import Device
from visavis.train.backbones import build_backbone
from visavis.train.loop import LAST, STATE, Workplace, train
from visavis.train.recipe import read_recipe
from visavis.types import Part

SHARED = Path(os.environ.get("VISAVIS_DATA", Path(__file__).parents[2] / "shared"))
LEARNT, COMPONENTS = 120, 128


def split(work: Path) -> tuple[Path, Path]:
    """Crops of the people to learn from, and of those to test on."""
    detect = load_detector(load_pack(), device=Device("cpu"))
    made = align_people(SHARED / "data" / "lfw_people", work / "all", detect, workers=2)
    print(f"aligned {made.crops + made.before}, failed {len(made.failed)}")
    people = sorted(path.name for path in (work / "all").iterdir())
    for folder, names in (("learn", people[:LEARNT]), ("test", people[LEARNT:])):
        (work / folder).mkdir(exist_ok=True)
        for name in names:
            link = work / folder / name
            if not link.exists():
                link.symlink_to(work / "all" / name)
    return work / "learn", work / "test"


class Principal:
    """Pixels by the principal components of other crops, as an embedder."""

    model, dim, margin = "pixels@0", COMPONENTS, 0.0
    parts = (Part(model, dim),)

    def __init__(self, folder: Path) -> None:
        tree = open_tree(folder)
        pixels = np.stack([_small(read_crop(tree.read(name))[None])[0] for name in tree.names()])
        self.mean = pixels.mean(axis=0)
        self.axes = np.linalg.svd(pixels - self.mean, full_matrices=False)[2][:COMPONENTS]

    def __call__(self, crops: np.ndarray, /) -> np.ndarray:
        rows = (_small(crops) - self.mean) @ self.axes.T
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _small(crops: np.ndarray) -> np.ndarray:
    """(N, 3136): grey, 56x56."""
    grey = crops.astype(np.float32).mean(axis=3)
    return grey.reshape(-1, 56, 2, 56, 2).mean(axis=(2, 4)).reshape(len(crops), -1)


class Test:
    """Pairs of people whom nobody has learnt from."""

    def __init__(self, folder: Path) -> None:
        tree = open_tree(folder)
        self.source = CropSource(tree)
        self.pairs = sample_pairs(find_people(tree), pairs=130)

    def right(self, embed) -> np.ndarray:
        pairs, embedded = embed_pairs(self.source, self.pairs, embed)
        return right_answers(similarities(pairs, embedded), pairs.same, pairs.fold)


def shown(name: str, right: np.ndarray, before: np.ndarray, pairs) -> None:
    """What a net gets right, and what it gains over another one."""
    people = np.stack([pairs.labels[pairs.left], pairs.labels[pairs.right]], axis=1)
    gained = right.astype(float) - before.astype(float)
    low, high = np.quantile(weighted_means(gained, people), (0.025, 0.975))
    points = f"{100 * gained.mean():+.1f} points [{100 * low:.1f}, {100 * high:.1f}]"
    print(f"{name:>32} {right.mean():.2%}  {points}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--weight", type=float, default=32.0)
    parser.add_argument("changes", nargs="*")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        measure(asked, (asked.work or Path(made)).absolute())


def measure(asked: argparse.Namespace, work: Path) -> None:
    work.mkdir(exist_ok=True)
    learn, others = split(work)
    test = Test(others)
    said = [f"data={learn}", f"steps={asked.steps}", f"save_every={asked.every}", *asked.changes]
    recipe = read_recipe("small", said)
    new = build_backbone(recipe)
    cpu = torch.device("cpu")
    before = test.right(NetworkEmbedder("new", recipe.dim, new.network, new.preprocess, cpu))
    pixels = test.right(Principal(learn))
    shown("untrained", before, before, test.pairs)
    shown("principal components", pixels, before, test.pairs)
    alone = learnt(work / "small", recipe, test, before, asked.every)
    shown("small over the pixels", alone, pixels, test.pairs)
    if asked.teacher:
        teacher = load_embedder(load_pack(asked.teacher))
        shown("the teacher", test.right(teacher), before, test.pairs)
        taught = replace(recipe, teacher=str(asked.teacher), teacher_weight=asked.weight)
        right = learnt(work / "taught", taught, test, before, asked.every, teacher=teacher)
        shown("taught over small", right, alone, test.pairs)


def learnt(out: Path, recipe, test: Test, before: np.ndarray, every: int, *, teacher=None):
    """Train, or go on; the curve as it goes; what the last weights get right."""

    def right() -> np.ndarray:
        kept = load_checkpoint(out / LAST)
        cpu = torch.device("cpu")
        return test.right(NetworkEmbedder("kept", recipe.dim, kept.network, kept.preprocess, cpu))

    def report(line) -> None:
        speed = f"{line.images_a_second:.0f} images/s"
        print(f"{line.step:>6} loss {line.loss:.3f} {speed}", flush=True)
        if line.step % every == 0:
            shown(f"{out.name} after {line.step} steps", right(), before, test.pairs)

    goes_on = (out / STATE).exists()
    if train(recipe, Workplace(out), resume=goes_on, teacher=teacher, report=report).stopped:
        raise SystemExit(f"stopped: the same call with --work {out.parent} goes on")
    return right()


if __name__ == "__main__":
    main()
