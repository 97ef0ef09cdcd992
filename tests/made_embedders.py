"""Small networks with random weights, as checkpoints: what conversion is tested with."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from visavis.checkpoints.checkpoint import Checkpoint
from visavis.checkpoints.families import FAMILIES
from visavis.runtime import Preprocess
from visavis.types import Crops

FAMILY = FAMILIES["magface"]  # BGR, 0..1: an exporter that forgot either would show


class Small(nn.Module):
    """A residual block with PReLU and batch norm, an embedding of 16 numbers."""

    def __init__(self, size: tuple[int, int] = (112, 112)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, stride=4, padding=2)
        self.norm = nn.BatchNorm2d(8)
        self.slope = nn.PReLU(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.pool = nn.AvgPool2d(4)
        self.embed = nn.Linear(8 * (size[0] // 16) * (size[1] // 16), 16)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.stem(pixels)  # (N, 8, 28, 28)
        x = x + self.inner(self.slope(self.norm(x)))
        return self.embed(torch.flatten(self.pool(x), 1))


class OneBatch(Small):
    """It takes two crops and no other number."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward(pixels).view(2, 16)


class Different(Small):
    """What is traced is not what it computes."""

    def forward(self, pixels: Tensor) -> Tensor:
        embedding = super().forward(pixels)
        if torch.compiler.is_exporting():
            return embedding + 0.1 * torch.arange(16)
        return embedding


class Named(Small):
    """Its first nodes are a subtraction and a multiplication, as normalisation would be."""

    def forward(self, pixels: Tensor) -> Tensor:
        return super().forward((pixels - 0.5) * 2)


def made_checkpoint(
    network: nn.Module | None = None, preprocess: Preprocess = FAMILY.preprocess
) -> Checkpoint:
    """A network as if it had been read from small.pth."""
    torch.manual_seed(0)
    network = (Small() if network is None else network).eval()
    for buffer in network.buffers():
        if buffer.ndim:  # running means and variances of a network that has seen something
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return Checkpoint(network, FAMILY, preprocess, 112, 112, "small.pth", "ab" * 32, {})


def faces(count: int = 24, seed: int = 1) -> Crops:
    """Crops with large and small structure; nobody's face."""
    rng = np.random.default_rng(seed)
    crops = np.zeros((count, 112, 112, 3))
    for cells in (4, 14, 56):
        patches = rng.integers(0, 86, (count, cells, cells, 3))
        crops += patches.repeat(112 // cells, axis=1).repeat(112 // cells, axis=2)
    return crops.astype(np.uint8)


def write_crops(folder: Path, count: int = 24) -> Path:
    """A folder of crops, to calibrate with."""
    folder.mkdir()
    for row, crop in enumerate(faces(count)):
        Image.fromarray(crop).save(folder / f"{row:02d}.png")
    return folder


def write_people(folder: Path) -> Path:
    """Twenty people, two alike crops each, and a list of 40 pairs in ten folds."""
    folder.mkdir()
    rng = np.random.default_rng(2)
    lines = []
    for person, crop in enumerate(faces(20, seed=3)):
        for picture in "ab":
            noisy = np.clip(crop + rng.normal(0, 4, crop.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"{person}{picture}.png")
        lines += [f"{person}a {person}b 1", f"{person}a {(person + 1) % 20}b 0"]
    (folder / "pairs.txt").write_text("\n".join(lines))
    return folder
