"""YOLOv5-face's outputs to candidates, in the three ways in which it is exported.

Qi, Tan, Yao, Liu: YOLO5Face: Why Reinventing a Face Detector, 2021. Boxes are measured from the
middles of cells, landmarks from their corners.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations

import numpy as np

from visavis.decode.boxes import Array, Candidates, Frame, joined, sigmoid
from visavis.decode.decoder import Decode, Decoder, OutputShapes, cells, last_dimensions
from visavis.runtime import Outputs, Preprocess

Anchors = tuple[tuple[tuple[float, float], ...], ...]  # of each stride: width, height in pixels

NUMBERS = 16  # of an anchor: box 4, objectness, landmarks 10, class
EACH = 3  # anchors on a cell
# Raw maps are told by an axis and its size, by rank: (N, 3, rows, columns, 16) or (N, 48, rows,
# columns).
RAW_MAPS = {5: (4, NUMBERS), 4: (1, EACH * NUMBERS)}
# By the number of strides: BlazeFace's two, P5's three, P6's four.
ANCHORS: dict[int, Anchors] = {
    2: (((5, 6), (10, 13), (21, 26)), ((55, 72), (225, 304), (438, 553))),
    3: (
        ((4, 5), (8, 10), (13, 16)),
        ((23, 29), (43, 55), (73, 105)),
        ((146, 217), (231, 300), (335, 433)),
    ),
    4: (
        ((6, 7), (9, 11), (13, 16)),
        ((18, 23), (26, 33), (37, 47)),
        ((54, 67), (77, 104), (112, 154)),
        ((174, 238), (258, 355), (445, 568)),
    ),
}


@dataclass(frozen=True, slots=True)
class RawOutputs:
    """How a network with raw outputs was trained. One that decodes its answers needs none of it."""

    anchors: Anchors | None = None  # by rising stride; None: the published ones
    squashed: bool = False  # of April or May 2021: its landmarks go through 8 * sigmoid - 4


AS_PUBLISHED = RawOutputs()


def decode_yolov5face(
    outputs: Outputs,
    height: int,
    width: int,
    *,
    min_score: float,
    raw: RawOutputs = AS_PUBLISHED,
) -> Candidates:
    """Candidates of one picture of `height` x `width` network pixels.

    outputs: one of (1, A, 16), decoded in the network; or for each stride s, in any order, raw
    answers (1, 3, height / s, width / s, 16) or (1, 48, height / s, width / s), which are read as
    `raw` says.
    """
    if len(outputs) == 1:
        return _decoded(outputs[0].reshape(-1, NUMBERS), min_score)
    maps = sorted(map(_as_maps, outputs), key=lambda answers: -answers.shape[1])
    anchors = ANCHORS[len(maps)] if raw.anchors is None else raw.anchors
    return joined(
        [
            _level(answers, _stride(answers, height, width), sizes, min_score, raw.squashed)
            for answers, sizes in zip(maps, anchors, strict=True)
        ]
    )


def decode_as(raw: RawOutputs) -> Decode:
    """The decoder of a network that was trained in this way."""
    return partial(decode_yolov5face, raw=raw)


def _decoded(rows: Array, min_score: float) -> Candidates:
    """(A, 16) rows: centre, size, objectness, points and class, in pixels and shares."""
    scores = rows[:, 4] * rows[:, 15]
    chosen = np.flatnonzero(scores >= min_score)
    faces = rows[chosen]
    return _candidates(faces[:, :2], faces[:, 2:4], faces[:, 5:15], scores[chosen])


def _as_maps(output: Array) -> Array:
    """Raw answers of one stride as (3, rows, columns, 16)."""
    maps: Array = output[0]
    if maps.ndim == 4:
        return maps
    return maps.reshape(EACH, NUMBERS, *maps.shape[1:]).transpose(0, 2, 3, 1)


def _stride(maps: Array, height: int, width: int) -> int:
    rows, columns = maps.shape[1:3]
    stride: int = height // rows
    if (rows * stride, columns * stride) != (height, width):
        raise ValueError("expected a whole number of pixels in each cell: a whole stride")
    return stride


def _level(
    maps: Array,
    stride: int,
    anchors: Sequence[tuple[float, float]],
    min_score: float,
    squashed: bool,
) -> Candidates:
    scores = sigmoid(maps[..., 4]) * sigmoid(maps[..., 15])  # (3, rows, columns)
    anchor, row, column = np.nonzero(scores >= min_score)
    raw = maps[anchor, row, column]  # (K, 16)
    corners = stride * np.stack([column, row], axis=1).astype(np.float32)
    sizes = np.array(anchors, np.float32)[anchor]
    box, points = sigmoid(raw[:, :4]), raw[:, 5:15].reshape(-1, 5, 2)
    if squashed:
        points = 8 * sigmoid(points) - 4
    return _candidates(
        corners + (2 * box[:, :2] - 0.5) * stride,
        (2 * box[:, 2:]) ** 2 * sizes,
        corners[:, None] + points * sizes[:, None],
        scores[anchor, row, column],
    )


def _candidates(centers: Array, sizes: Array, points: Array, scores: Array) -> Candidates:
    boxes = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    return Candidates(boxes, points.reshape(-1, 5, 2), scores)


def _fits(shapes: OutputShapes) -> bool:
    """Rows that the network decoded, or raw maps; (N, 16) is an embedding."""
    ranks = {len(shape) for shape in shapes}
    if ranks == {3}:
        return last_dimensions(shapes) == (NUMBERS,)
    if len(shapes) not in ANCHORS or len(ranks) != 1:
        return False
    axis, size = RAW_MAPS.get(ranks.pop(), (0, 0))
    return bool(size) and all(shape[axis] == size for shape in shapes)


def _numbers(height: int, width: int) -> set[tuple[int, ...]]:
    """Rows of all strides together; or maps of whole cells, in any order."""
    allowed: set[tuple[int, ...]] = set()
    for levels in ANCHORS:
        strides = [8 << level for level in range(levels)]
        maps = [EACH * NUMBERS * count for count in cells(height, width, strides)]
        allowed.add((sum(maps),))
        if height % strides[-1] == 0 and width % strides[-1] == 0:
            allowed.update(permutations(maps))
    return allowed


YOLOV5FACE = Decoder(
    "yolov5face",
    decode_yolov5face,
    _fits,
    _numbers,
    published=Preprocess("rgb", std=(255.0,) * 3),
    frame=Frame(multiple=64, padding=114),
)
