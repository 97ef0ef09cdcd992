"""What a small net learns of 120 people in minutes, tested on 38 others.

    python benchmarks/small.py [--steps 600] [--every 100] [key=value ...] [--work FOLDER]

The people are those of lfw_people ($VISAVIS_DATA/data, or ../shared/data), the first 120 by name to
learn from and the last 38 to test on: 10 folds of 130 same and 130 different pairs. Beside the
curve: the net before it has learnt anything, and the crops' pixels by their principal components,
of the people to learn from. Intervals are of 95 %, over people. No picture leaves the work folder.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch

from visavis.alignment import read_crop
from visavis.checkpoints.checkpoint import load_checkpoint
from visavis.checkpoints.embedder import NetworkEmbedder
from visavis.dataset import find_people, open_tree, sample_pairs
from visavis.detect import load_detector
from visavis.evaluate.protocols import CropSource, embed_pairs, similarities
from visavis.metrics.bootstrap import weighted_means
from visavis.metrics.verification import right_answers
from visavis.pack import load_pack
from visavis.preparation import align_people
from visavis.runtime import Device
from visavis.train.backbones import build_backbone
from visavis.train.loop import LAST, Place, train
from visavis.train.recipe import read_recipe
from visavis.types import Part

LEARNT, COMPONENTS = 120, 128


def split(work: Path) -> tuple[Path, Path]:
    """Crops of the people to learn from, and of those to test on."""
    shared = Path(os.environ.get("VISAVIS_DATA", Path(__file__).parents[2] / "shared"))
    detect = load_detector(load_pack(), device=Device("cpu"))
    made = align_people(shared / "data" / "lfw_people", work / "all", detect, workers=2)
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
    people = np.stack([pairs.labels[pairs.left], pairs.labels[pairs.right]], axis=1)
    gained = right.astype(float) - before.astype(float)
    drawn = weighted_means(gained, people)
    low, high = np.quantile(drawn, (0.025, 0.975))
    points = 100 * gained.mean()
    print(
        f"{name:>22} {right.mean():.2%}  {points:+.1f} points [{100 * low:.1f}, {100 * high:.1f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--work", type=Path)
    parser.add_argument("changes", nargs="*")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        measure(asked, (asked.work or Path(made)).absolute())


def measure(asked: argparse.Namespace, work: Path) -> None:
    learn, others = split(work)
    test = Test(others)
    steps = f"steps={asked.steps}"
    recipe = read_recipe("small", [f"data={learn}", steps, *asked.changes])
    new = build_backbone(recipe)
    cpu = torch.device("cpu")
    before = test.right(NetworkEmbedder("new", recipe.dim, new.network, new.preprocess, cpu))
    shown("untrained", before, before, test.pairs)
    shown("principal components", test.right(Principal(learn)), before, test.pairs)
    out = work / f"run-{os.getpid()}"

    def report(line) -> None:
        print(
            f"{line.step:>6} loss {line.loss:.3f} {line.images_a_second:.0f} images/s", flush=True
        )
        if line.step % asked.every == 0:
            kept = load_checkpoint(out / LAST)
            embed = NetworkEmbedder("kept", recipe.dim, kept.network, kept.preprocess, cpu)
            shown(f"after {line.step} steps", test.right(embed), before, test.pairs)

    train(recipe, Place(out), report=report)


if __name__ == "__main__":
    main()
