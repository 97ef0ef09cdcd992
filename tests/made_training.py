"""People made of noise, a network that learns them in a second, and runs of it."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from visavis.train import backbones
from visavis.train.heads import MarginOptions
from visavis.train.loop import Workplace, train
from visavis.train.recipe import Recipe

SMALLEST = {
    "backbone": "tiny",
    "dim": 4,
    "batch": 6,
    "steps": 6,
    "rate": 0.05,
    "margin": MarginOptions(scale=8, margin=0.2),
    "schedule": "step",
    "save_every": 2,
    "log_every": 1,
    "evaluate_every": 3,
}


class Tiny(nn.Module):
    """(N, 3, 112, 112) to (N, dim), with a norm and a dropout as the large ones have."""

    def __init__(self, dim: int, drop: float = 0.2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 16, 16)
        self.norm, self.drop = nn.BatchNorm2d(4), nn.Dropout(drop)
        self.fc = nn.Linear(4 * 49, dim)

    def forward(self, crops):
        return self.fc(self.drop(self.norm(self.conv(crops)).relu().flatten(1)))


backbones.BACKBONES["tiny"] = backbones.Layout("arcface_torch", Tiny)
# Dropout draws for each process's rows anew: two processes are one without it.
backbones.BACKBONES["steady"] = backbones.Layout("arcface_torch", partial(Tiny, drop=0.0))


def people(folder: Path, *, people: int = 4, each: int = 4) -> Path:
    """Folders of people, each of a colour with noise on it."""
    random = np.random.default_rng(0)
    for person in range(people):
        (folder / f"person{person}").mkdir(parents=True)
        colour = random.integers(60, 190, 3)
        for picture in range(each):
            pixels = np.clip(colour + random.normal(0, 25, (112, 112, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"person{person}" / f"{picture:04d}.png")
    return folder


def recipe(data: Path, **changes) -> Recipe:
    return Recipe(**{**SMALLEST, "data": str(data), **changes})


def run(data: Path, out: Path, *, resume=False, report=lambda line: None, **changes):
    torch.set_num_threads(1)
    return train(recipe(data, **changes), Workplace(out), resume=resume, report=report)


def weights(out: Path) -> dict[str, torch.Tensor]:
    state = torch.load(out / "last.pt", weights_only=True)
    return {**state["network"], "classes": state["weight"]}


def same(first: Path, second: Path) -> bool:
    """Whether two runs' weights are equal to the last bit."""
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(ours[key].equal(theirs[key]) for key in ours)
