"""YOLOv5-face's outputs to candidates, in the three ways in which it is exported.

Qi, Tan, Yao, Liu: YOLO5Face: Why Reinventing a Face Detector, 2021. Boxes are measured from the
middles of cells, landmarks from their corners.
"""

from collections.abc import Sequence

import numpy as np

from visavis.decode.boxes import Candidates, Floats, joined, sigmoid
from visavis.runtime import Outputs

Anchors = Sequence[Sequence[tuple[float, float]]]  # of each stride: width and height, in pixels

NUMBERS = 16  # of an anchor: box 4, objectness, landmarks 10, class
EACH = 3  # anchors on a cell
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


def decode_yolov5face(
    outputs: Outputs,
    height: int,
    width: int,
    *,
    min_score: float,
    anchors: Anchors | None = None,
    squashed: bool = False,
) -> Candidates:
    """Candidates of one picture of `height` x `width` network pixels.

    outputs: one of (1, A, 16), decoded in the network; or for each stride s, in any order, raw
    answers (1, 3, height / s, width / s, 16) or (1, 48, height / s, width / s). For raw ones
    `anchors` are those the network was trained with, and `squashed` says that it is of April or May
    2021, whose landmarks go through 8 * sigmoid - 4.
    """
    if len(outputs) == 1:
        return _decoded(outputs[0].reshape(-1, NUMBERS), min_score)
    maps = sorted(map(_as_maps, outputs), key=lambda answers: -answers.shape[1])
    sizes = ANCHORS[len(maps)] if anchors is None else anchors
    return joined(
        [
            _level(answers, _stride(answers, height, width), some, min_score, squashed)
            for answers, some in zip(maps, sizes, strict=True)
        ]
    )


def _decoded(rows: Floats, min_score: float) -> Candidates:
    """(A, 16) rows: centre, size, objectness, points and class, in pixels and shares."""
    scores = rows[:, 4] * rows[:, 15]
    chosen = np.flatnonzero(scores >= min_score)
    faces = rows[chosen]
    return _candidates(faces[:, :2], faces[:, 2:4], faces[:, 5:15], scores[chosen])


def _as_maps(output: Floats) -> Floats:
    """Raw answers of one stride as (3, rows, columns, 16)."""
    maps: Floats = output[0]
    if maps.ndim == 4:
        return maps
    return maps.reshape(EACH, NUMBERS, *maps.shape[1:]).transpose(0, 2, 3, 1)


def _stride(maps: Floats, height: int, width: int) -> int:
    rows, columns = maps.shape[1:3]
    stride: int = height // rows
    if (rows * stride, columns * stride) != (height, width):
        raise ValueError("cells of no whole stride")
    return stride


def _level(
    maps: Floats,
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


def _candidates(centers: Floats, sizes: Floats, points: Floats, scores: Floats) -> Candidates:
    boxes = np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)
    return Candidates(boxes, points.reshape(-1, 5, 2), scores)
