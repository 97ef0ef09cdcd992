"""Images a second of a training step, against a plain PyTorch loop of the published recipe.

    python benchmarks/train.py [--batch 8] [--steps 6] [--rounds 3] [--classes 10572] [--device cpu]
                               [--backbone iresnet50] [--threads N]

Plain is arcface_torch's step: float32, contiguous, ArcFace with its straight-through margin,
cross-entropy, clipping, SGD. On a GPU plain runs under float16 with its scaler, as published. Both
take the same crops from memory. Rounds alternate; the medians count, of the clock and of processor
time, which other work on the machine changes less.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from visavis.convert.crops import made_crops, pixels
from visavis.train.backbones import build_backbone
from visavis.train.classes import ALONE
from visavis.train.learner import Learner
from visavis.train.recipe import read_recipe


class Plain:
    """arcface_torch's loop, without what we add."""

    def __init__(self, recipe, classes: int, device: torch.device) -> None:
        made = build_backbone(recipe)
        self.network, self.preprocess = made.network.to(device), made.preprocess
        self.weight = nn.Parameter(0.01 * torch.randn(classes, recipe.dim, device=device))
        every = [*self.network.parameters(), self.weight]
        moved = [one for one in every if one.requires_grad]
        self.optimizer = torch.optim.SGD(moved, 0.001, momentum=0.9, weight_decay=5e-4)
        self.half = device.type == "cuda"
        self.scaler = torch.amp.GradScaler(enabled=self.half)
        self.device = device

    def step(self, crops: np.ndarray, labels: np.ndarray) -> float:
        self.network.train()
        x = torch.from_numpy(pixels(crops, self.preprocess)).to(self.device)
        target = torch.from_numpy(labels).to(self.device)
        with torch.autocast(self.device.type, torch.float16, enabled=self.half):
            rows = self.network(x)
        cosine = functional.linear(
            functional.normalize(rows.float()), functional.normalize(self.weight)
        )
        cosine = cosine.clamp(-1, 1)
        with torch.no_grad():
            true = torch.arange(len(x), device=self.device), target
            cosine[true] = torch.cos(torch.acos(cosine[true]) + 0.5)
        loss = functional.cross_entropy(64 * cosine, target)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, usual in (("batch", 8), ("steps", 6), ("rounds", 3), ("classes", 10572)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backbone", default="iresnet50")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    device = torch.device(asked.device)
    recipe = read_recipe("arcface_r50_ms1mv2", [f"backbone={asked.backbone}", "batch=8"])
    crops = made_crops(112, 112, count=asked.batch)
    labels = np.arange(asked.batch)
    ways = {
        "float32": recipe,
        "float32, channels last": replace(recipe, channels_last=True),
        "bfloat16, channels last": replace(recipe, channels_last=True, precision="bfloat16"),
    }
    if device.type == "cuda":
        ways["float16, channels last"] = replace(recipe, channels_last=True, precision="float16")
    plain = Plain(recipe, asked.classes, device)
    work: dict[str, Callable[[], float]] = {"plain": lambda: plain.step(crops, labels)}
    for name, said in ways.items():
        learner = Learner(said, build_backbone(said), asked.classes, device, ALONE)
        work[name] = lambda learner=learner: learner.step(0, 1e-3, crops, labels)
    race(work, asked, device)


def race(work: dict[str, Callable[[], float]], asked: argparse.Namespace, device) -> None:
    """Every way in turn, round by round; the first call of each is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    busy: dict[str, list[float]] = {name: [] for name in work}
    for step in work.values():
        step()
    for _ in range(asked.rounds):
        for name, step in work.items():
            started, spent = time.perf_counter(), time.process_time()
            for _ in range(asked.steps):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append((time.perf_counter() - started) / asked.steps)
            busy[name].append((time.process_time() - spent) / asked.steps)
    wall, processor = (
        {name: statistics.median(each) for name, each in one.items()} for one in (seconds, busy)
    )
    for name in work:
        speed = f"{asked.batch / wall[name]:8.1f} images/s"
        clock, work_done = (one["plain"] / one[name] for one in (wall, processor))
        print(f"{name:>24} {speed} {clock:6.2f}x plain, {work_done:.2f}x by processor time")


if __name__ == "__main__":
    main()
