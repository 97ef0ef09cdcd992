"""A network of PyTorch as an embedder, with no conversion between: to predict with, to measure."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from visavis.checkpoints.checkpoint import load_checkpoint
from visavis.embedder import at_size
from visavis.embedder.model import unit
from visavis.pack.manifest import CROP
from visavis.runtime import Preprocess
from visavis.types import Crops, Embeddings, Part

BATCH = 32  # crops in one call
HASH = 8  # digits of a file's hash in a model's name


@dataclass(frozen=True, slots=True)
class NetworkEmbedder:
    """A network as an embedder; with `flip` the mirrored crop's embedding is added."""

    model: str
    dim: int
    network: nn.Module
    preprocess: Preprocess
    device: torch.device
    size: tuple[int, int] = CROP  # height and width of what it takes
    flip: bool = True
    margin: float = 0.0

    @property
    def parts(self) -> tuple[Part, ...]:
        """The network alone."""
        return (Part(self.model, self.dim),)

    def __call__(self, crops: Crops, /) -> Embeddings:
        """(N, 112, 112, 3) crops to (N, dim) unit rows.

        Raises EmbeddingError for an embedding that is not finite.
        """
        self.network.eval()
        rows = np.empty((len(crops), self.dim), np.float32)
        for start in range(0, len(crops), BATCH):
            part = slice(start, start + BATCH)
            rows[part] = self._raw(np.ascontiguousarray(at_size(crops[part], self.size)))
        return unit(rows)

    @torch.inference_mode()
    def _raw(self, crops: Crops) -> Embeddings:
        x = to_pixels(crops, self.preprocess, self.device)
        rows = self.network(x)
        if self.flip:
            rows = rows + self.network(x.flip(3))
        return np.asarray(rows.float().cpu().numpy())


def to_pixels(crops: Crops, preprocess: Preprocess, device: torch.device) -> Tensor:
    """(N, H, W, 3) crops as (N, 3, H, W) on a device, in the order and range of a family."""
    x = torch.tensor(crops, device=device).permute(0, 3, 1, 2).float()
    x = x.flip(1) if preprocess.color == "bgr" else x
    mean, std = (torch.tensor(one, device=device) for one in (preprocess.mean, preprocess.std))
    return (x - mean[:, None, None]) / std[:, None, None]


def load_network_embedder(
    source: Path, *, family: str = "auto", device: str = "cpu", flip: bool = True
) -> NetworkEmbedder:
    """Any checkpoint that `load_checkpoint` reads, ready to be called with crops.

    Raises what `load_checkpoint` raises.
    """
    read = load_checkpoint(source, family=family)
    network, where = read.network.to(device), torch.device(device)
    size = read.height, read.width
    with torch.inference_mode():
        dim = network(torch.zeros(1, 3, *size, device=where)).shape[1]
    name = f"{read.family.name}@{read.sha256[:HASH]}"
    return NetworkEmbedder(name, dim, network, read.preprocess, where, size, flip)
