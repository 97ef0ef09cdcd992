"""SCRFD's 6, 9, 10 or 15 outputs to candidates. Anchor points lie on the corners of cells.

Guo, Deng, Lattas, Zafeiriou: Sample and Computation Redistribution for Efficient Face Detection,
2021. Without landmarks (6 and 10 outputs) a face's landmarks are NaN: it can be shown, not aligned.
"""

from dataclasses import dataclass

import numpy as np

from visavis.decode.boxes import Candidates, Floats, joined
from visavis.runtime import Outputs


@dataclass(frozen=True, slots=True)
class Layout:
    """What the number of outputs says."""

    levels: int  # strides 8, 16, 32 and so on
    anchors: int  # on each cell
    landmarks: bool


LAYOUTS = {
    6: Layout(3, 2, landmarks=False),
    9: Layout(3, 2, landmarks=True),
    10: Layout(5, 1, landmarks=False),
    15: Layout(5, 1, landmarks=True),
}


def decode_scrfd(outputs: Outputs, height: int, width: int, *, min_score: float) -> Candidates:
    """Candidates of one picture of `height` x `width` network pixels; the last cells may be cut.

    outputs: for all strides scores in 0..1, then for all boxes as distances to left, top, right and
    bottom, then for all five points as offsets, in strides. Each is (A, 1), (A, 4), (A, 10), or has
    a batch axis of 1 in front, with A = cells * anchors, cells row by row.
    """
    layout = LAYOUTS[len(outputs)]
    flat = [output.reshape(-1, output.shape[-1]) for output in outputs]
    groups = [flat[start :: layout.levels] for start in range(layout.levels)]
    return joined(
        [
            _level(group, 8 << level, height, width, layout.anchors, min_score)
            for level, group in enumerate(groups)
        ]
    )


def _level(
    arrays: list[Floats], stride: int, height: int, width: int, anchors: int, min_score: float
) -> Candidates:
    columns = -(-width // stride)
    if {len(array) for array in arrays} != {-(-height // stride) * columns * anchors}:
        raise ValueError("not so many answers as there are anchors")
    scores = arrays[0][:, 0]
    rows = np.flatnonzero(scores >= min_score)
    cells = rows // anchors
    points = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)  # (K, 2)
    left_top, right_bottom = arrays[1][rows, :2], arrays[1][rows, 2:]
    landmarks = np.full((len(rows), 5, 2), np.nan, np.float32)
    if len(arrays) == 3:
        landmarks = points[:, None] + arrays[2][rows].reshape(-1, 5, 2)
    boxes = np.concatenate([points - left_top, points + right_bottom], axis=1)
    return Candidates(boxes * stride, landmarks * stride, scores[rows])
