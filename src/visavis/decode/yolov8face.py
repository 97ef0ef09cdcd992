"""YOLOv8-face's outputs to candidates, in the two ways in which it is exported.

Boxes are distances from the middles of cells to their sides, each the mean of a share for 0 to 15
strides: Li et al., Generalized Focal Loss, 2020. Landmarks are measured from the corners of cells.
"""

from itertools import permutations

import numpy as np

from visavis.decode.boxes import Array, Candidates, Frame, joined, sigmoid
from visavis.decode.decoder import Decoder, OutputShapes, cells
from visavis.runtime import Outputs, Preprocess

STRIDES = (8, 16, 32)
BINS = 16  # shares of a side's length: 0 to 15 strides
SIDES = 4 * BINS
POINTS = 5 * 3  # x, y and whether it can be seen, which is not read
DECODED = 4 + 1 + POINTS  # numbers of a row: centre and size, score, points
RAW = SIDES + 1 + POINTS  # channels of a map


def decode_yolov8face(outputs: Outputs, height: int, width: int, *, min_score: float) -> Candidates:
    """Candidates of one picture of `height` x `width` network pixels.

    outputs: one of (1, 20, A), decoded in the network, in pixels; or for each stride s, in any
    order, raw answers (1, 80, height / s, width / s).
    """
    if len(outputs) == 1:
        return _decoded(outputs[0].reshape(DECODED, -1).T, min_score)
    return joined([_level(output[0], height, width, min_score) for output in outputs])


def _decoded(rows: Array, min_score: float) -> Candidates:
    """(A, 20) rows: centre, size, score, points."""
    faces = rows[rows[:, 4] >= min_score]
    halves = faces[:, 2:4] / 2
    boxes = np.concatenate([faces[:, :2] - halves, faces[:, :2] + halves], axis=1)
    return Candidates(boxes, faces[:, 5:].reshape(-1, 5, 3)[:, :, :2], faces[:, 4])


def _level(maps: Array, height: int, width: int, min_score: float) -> Candidates:
    """(80, rows, columns) raw answers of one stride."""
    maps = maps.reshape(RAW, *maps.shape[1:])
    stride = height // maps.shape[1]
    if (maps.shape[1] * stride, maps.shape[2] * stride) != (height, width):
        raise ValueError("expected a whole number of pixels in each cell: a whole stride")
    scores = sigmoid(maps[SIDES])
    row, column = np.nonzero(scores >= min_score)
    raw = maps[:, row, column].T  # (K, 80)
    corners = np.stack([column, row], axis=1).astype(np.float32)
    sides = _means(raw[:, :SIDES].reshape(-1, 4, BINS))  # (K, 4) left, top, right, bottom
    points = raw[:, SIDES + 1 :].reshape(-1, 5, 3)[:, :, :2]
    middles = corners + 0.5
    boxes = np.concatenate([middles - sides[:, :2], middles + sides[:, 2:]], axis=1)
    return Candidates(boxes * stride, (2 * points + corners[:, None]) * stride, scores[row, column])


def _means(logits: Array) -> Array:
    """(K, 4, 16) logits of shares to the mean of 0 to 15 by them."""
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(
        (shares / shares.sum(axis=-1, keepdims=True)) @ np.arange(BINS, dtype=np.float32)
    )


def _fits(shapes: OutputShapes) -> bool:
    """Rows that the network decoded, or raw maps; of a picture's sides nothing is known."""
    if len(shapes) == 1:
        return len(shapes[0]) == 3 and shapes[0][1] == DECODED
    return len(shapes) == len(STRIDES) and all(
        len(shape) == 4 and shape[1] == RAW for shape in shapes
    )


def _numbers(height: int, width: int) -> set[tuple[int, ...]]:
    """Rows of all strides together; or maps of whole cells, in any order."""
    counts = cells(height, width, STRIDES)
    return {(DECODED * sum(counts),), *permutations(RAW * count for count in counts)}


YOLOV8FACE = Decoder(
    "yolov8face",
    decode_yolov8face,
    _fits,
    _numbers,
    published=Preprocess("rgb", std=(255.0,) * 3),
    frame=Frame(padding=114),
)
