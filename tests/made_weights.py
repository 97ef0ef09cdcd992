"""Networks' weights and pictures by the recipe of the fixtures, and checkpoints made of them."""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from visavis.runtime import Preprocess


@dataclass(frozen=True)
class Fixture:
    """What was read off an original network."""

    name: str
    keys: dict[str, tuple[str, tuple[int, ...]]]  # in order: data type and shape
    preprocess: Preprocess
    height: int
    width: int


def read_fixture(folder: Path, name: str) -> Fixture:
    said = json.loads((folder / f"{name}.json").read_text())
    keys = {key: (kind, tuple(shape)) for key, (kind, shape) in said["keys"].items()}
    wants = said["input"]
    preprocess = Preprocess(wants["colour"], tuple(wants["mean"]), tuple(wants["std"]))
    return Fixture(name, keys, preprocess, wants["height"], wants["width"])


def made_weights(keys: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, torch.Tensor]:
    return {key: made_tensor(key, shape) for key, (_, shape) in keys.items()}


def made_tensor(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    numbers = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("running_mean"):
        numbers = 0.05 * numbers
    elif key.endswith("running_var"):
        numbers = 1 + 0.1 * np.abs(numbers)
    elif key.endswith("bias"):
        numbers = 0.05 * numbers
    elif key.endswith("weight") and len(shape) == 1:
        numbers = 0.5 + 0.1 * numbers
    elif key.endswith("weight") and len(shape) > 1:
        numbers = numbers * np.sqrt(2 / np.prod(shape[1:]))
    else:
        numbers = 0.02 * numbers
    return torch.from_numpy(np.asarray(numbers, np.float32))


def made_pixels(preprocess: Preprocess, height: int, width: int) -> torch.Tensor:
    """(2, 3, H, W), of the two pictures that the originals were asked about."""
    pictures = np.random.default_rng(7).integers(0, 256, (2, 112, 112, 3), dtype=np.uint8)
    pictures = pictures[:, :height, :width]
    if preprocess.color == "bgr":
        pictures = pictures[..., ::-1]
    values = (pictures - np.array(preprocess.mean)) / np.array(preprocess.std)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32))


def zeros(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A state dict of this network (built on the meta device), small as a file: float16."""
    return {
        key: torch.zeros(
            tensor.shape, dtype=torch.float16 if tensor.is_floating_point() else torch.int64
        )
        for key, tensor in network.state_dict().items()
    }
