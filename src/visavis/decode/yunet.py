"""YuNet's twelve outputs to candidates. Cells have no anchors; positions count from their corners.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, 2023.
"""

import numpy as np

from visavis.decode.boxes import Candidates, joined
from visavis.decode.decoder import Decoder, OutputShapes, cells, last_dimensions
from visavis.runtime import Outputs, Preprocess

STRIDES = (8, 16, 32)
KINDS = (1, 1, 4, 10)  # numbers of a cell: class score, objectness, box, landmarks


def decode_yunet(outputs: Outputs, height: int, width: int, *, min_score: float) -> Candidates:
    """Candidates of one picture of `height` x `width` network pixels.

    outputs, each for strides 8, 16, 32 with C = (height / stride) * (width / stride) cells, row by
    row: class scores and objectness (1, C, 1) in 0..1, boxes (1, C, 4), landmarks (1, C, 10).
    """
    levels = [outputs[level :: len(STRIDES)] for level in range(len(STRIDES))]
    return joined(
        [
            _level(arrays, stride, height // stride, width // stride, min_score)
            for arrays, stride in zip(levels, STRIDES, strict=True)
        ]
    )


def _level(arrays: Outputs, stride: int, lines: int, columns: int, min_score: float) -> Candidates:
    if {array.shape[1] for array in arrays} != {lines * columns}:
        raise ValueError("expected as many answers as there are cells")
    class_scores, objectness, boxes, landmarks = arrays
    scores = np.sqrt(np.clip(class_scores[0, :, 0], 0, 1) * np.clip(objectness[0, :, 0], 0, 1))
    rows = np.flatnonzero(scores >= min_score)
    corners = np.stack([rows % columns, rows // columns], axis=1).astype(np.float32)  # (K, 2)
    box = boxes[0, rows]  # (K, 4) centre in strides from the cell, log of the size in strides
    points = landmarks[0, rows].reshape(-1, 5, 2)  # (K, 5, 2)
    centers = (corners + box[:, :2]) * stride
    halves = np.exp(box[:, 2:]) * stride / 2
    return Candidates(
        np.concatenate([centers - halves, centers + halves], axis=1),
        (corners[:, None] + points) * stride,
        scores[rows],
    )


def _fits(shapes: OutputShapes) -> bool:
    return last_dimensions(shapes) == tuple(kind for kind in KINDS for _ in STRIDES)


def _numbers(height: int, width: int) -> list[tuple[int, ...]]:
    counts = cells(height, width, STRIDES)
    return [tuple(kind * count for kind in KINDS for count in counts)]


# Of 790 photos of lfw_people (250x250) 777 score 0.92 or more, all 0.91; upside down at most
# 0.905, of 60 others 0.918. Where the faces are 60 pixels wide, the least is 0.85; a raised hand
# scored 0.78.
YUNET = Decoder(
    "yunet",
    decode_yunet,
    _fits,
    _numbers,
    published=Preprocess("bgr"),
    sure=0.92,
    enrol_from=0.82,
)
