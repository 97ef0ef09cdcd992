"""Crops to prove and calibrate a network with, at its own size. Knows no network."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import SIZE, read_crop
from visavis.dataset import open_tree
from visavis.dataset.tree import is_picture
from visavis.embedder import at_size
from visavis.errors import DatasetError, ImageError
from visavis.runtime import Preprocess
from visavis.types import Crops

MOST = 300  # crops read of a folder: more calibrate no better and take longer


def made_crops(height: int, width: int, *, count: int = 8, seed: int = 0) -> Crops:
    """(count, height, width, 3) crops of noise, every other one smooth, the first two black and
    white.
    """
    rng = np.random.default_rng(seed)
    crops = rng.integers(0, 256, (count, height, width, 3), np.uint8)
    for crop in crops[::2]:
        corners = rng.uniform(0, 255, (2, 2, 3))
        down, right = np.linspace(0, 1, height), np.linspace(0, 1, width)
        rows = np.stack([1 - down, down], axis=1) @ corners.reshape(2, 6)  # (H, 6)
        columns = np.stack([1 - right, right], axis=1)  # (W, 2)
        crop[:] = np.einsum("hvc,wv->hwc", rows.reshape(height, 2, 3), columns)
    crops[:1], crops[1:2] = 0, 255
    return crops


def read_crops(path: Path, height: int, width: int, *, most: int = MOST) -> Crops:
    """(N, height, width, 3) of a folder's or zip's 112x112 pictures, as `at_size` makes them: at
    most `most` of them, spread evenly over all.

    Raises DatasetError for a folder without pictures, ImageError for a picture that cannot be
    decoded or is of another size.
    """
    tree = open_tree(path)
    names = [name for name in tree.names() if is_picture(name)]
    if not names:
        raise DatasetError(f"{path}: expected pictures of {SIZE}x{SIZE}, found none")
    chosen = np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)
    crops = np.empty((len(chosen), SIZE, SIZE, 3), np.uint8)
    for crop, name in zip(crops, (names[row] for row in chosen), strict=True):
        try:
            crop[:] = read_crop(tree.read(name))
        except ImageError as error:
            raise error.at(f"{name} of {tree.source}") from error
    return at_size(crops, (height, width))


def pixels(crops: Crops, preprocess: Preprocess) -> NDArray[np.float32]:
    """(N, 3, H, W) as a network takes them: colour order, mean and std of its family."""
    ordered = crops[..., ::-1] if preprocess.color == "bgr" else crops
    mean, std = np.array(preprocess.mean, np.float32), np.array(preprocess.std, np.float32)
    normal = (ordered.astype(np.float32) - mean) / std
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))
