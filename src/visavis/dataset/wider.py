"""WIDER FACE's validation set: its official ground truth (.mat) and pictures.

Knows nothing of detectors, and measures nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.tree import Tree, open_tree
from visavis.errors import DatasetError

LEVELS = ("easy", "medium", "hard")
# Where the official archives put the ground truth, below the folder they are unpacked into.
TRUTH = (".", "ground_truth", "eval_tools/ground_truth", "wider_face_split")
PICTURES = "WIDER_val/images"


@dataclass(frozen=True, eq=False, slots=True)
class Wider:
    """N pictures, their K faces each, and which faces each level counts; it ignores the others."""

    tree: Tree  # the pictures
    names: tuple[str, ...]  # (N,) <event>/<file>.jpg
    boxes: tuple[NDArray[np.float64], ...]  # (N,) of (K, 4): left, top, right, bottom, pixels
    counted: dict[str, tuple[NDArray[np.bool_], ...]]  # by level: (N,) of (K,)


def read_wider(folder: Path) -> Wider:
    """Read the ground truth of a folder with WIDER_val/images and the four official .mat files.

    The files, wider_face_val.mat and wider_{easy,medium,hard}_val.mat, lie in the folder itself or
    where their archives put them. Raises DatasetError for a file or picture that is missing, for
    one that cannot be read, and where scipy, which reads them, is not installed.
    """
    truth = _truth(folder)
    tree = open_tree(folder / PICTURES)
    names, boxes = _faces(truth / "wider_face_val.mat")
    missing = sorted(set(names) - set(tree.names()))
    if missing:
        raise DatasetError(f"{tree.source}: no picture {missing[0]}; {len(missing)} are missing")
    counted = {level: _counted(truth / f"wider_{level}_val.mat", names, boxes) for level in LEVELS}
    return Wider(tree, names, boxes, counted)


def _truth(folder: Path) -> Path:
    for place in TRUTH:
        if (folder / place / "wider_easy_val.mat").is_file():
            return folder / place
    raise DatasetError(
        f"{folder}: expected wider_easy_val.mat here or in {', '.join(TRUTH[1:])}",
        mend="it is in the evaluation tools of the data set's site",
    )


def _load(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        raise DatasetError(
            f"{path}: reading it needs a package that is missing", mend="pip install '.[plots]'"
        ) from None
    try:
        variables = loadmat(path, variable_names=names)
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        raise DatasetError(f"{path}: expected MATLAB's format: {error}") from error
    if missing := set(names) - set(variables):
        raise DatasetError(f"{path}: expected {', '.join(names)}; no {', '.join(sorted(missing))}")
    return {name: variables[name] for name in names}


def _faces(path: Path) -> tuple[tuple[str, ...], tuple[NDArray[np.float64], ...]]:
    """Names and boxes of the pictures."""
    truth = _load(path, ("event_list", "file_list", "face_bbx_list"))
    events = [_word(event) for event in _cells(truth["event_list"])]
    files = [[_word(file) for file in _cells(cell)] for cell in _cells(truth["file_list"])]
    try:
        boxes = [[_corners(cell) for cell in _cells(one)] for one in _cells(truth["face_bbx_list"])]
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{path}: expected boxes of four numbers: {error}") from error
    if len(events) != len(files) or [len(one) for one in files] != [len(one) for one in boxes]:
        raise DatasetError(
            f"{path}: expected files and boxes of {len(events)} events, as many of each, "
            f"got {sum(map(len, files))} and {sum(map(len, boxes))} of {len(files)}"
        )
    names = (f"{event}/{file}.jpg" for event, of in zip(events, files, strict=True) for file in of)
    return tuple(names), tuple(chain.from_iterable(boxes))


def _counted(
    path: Path, names: tuple[str, ...], boxes: tuple[NDArray[np.float64], ...]
) -> tuple[NDArray[np.bool_], ...]:
    """Which faces a level counts: the file lists them by their number, from 1."""
    events = _cells(_load(path, ("gt_list",))["gt_list"])
    try:
        lists = [np.asarray(cell, np.intp).ravel() for event in events for cell in _cells(event)]
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{path}: expected lists of faces by number: {error}") from error
    if len(lists) != len(names):
        raise DatasetError(f"{path}: expected faces of {len(names)} pictures, got {len(lists)}")
    for name, faces, numbers in zip(names, boxes, lists, strict=True):
        if len(numbers) and not (numbers.min() >= 1 and numbers.max() <= len(faces)):
            raise DatasetError(
                f"{path}: {name}: expected faces from 1 to {len(faces)}, got {numbers.tolist()}"
            )
    return tuple(
        np.isin(np.arange(1, len(faces) + 1), numbers)
        for faces, numbers in zip(boxes, lists, strict=True)
    )


def _corners(cell: Any) -> NDArray[np.float64]:
    """(K, 4) left, top, right, bottom, from MATLAB's left, top, width, height."""
    boxes = np.asarray(cell, np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def _cells(array: Any) -> Iterator[Any]:
    """The cells of a MATLAB cell array, whatever its shape."""
    return iter(np.asarray(array).ravel())


def _word(cell: Any) -> str:
    """A string, in however many cells it is wrapped."""
    while isinstance(cell, np.ndarray) and cell.size:
        cell = cell.ravel()[0]
    return str(cell)
