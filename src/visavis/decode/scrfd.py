"""SCRFD's 6, 9, 10 or 15 outputs to candidates. Anchor points lie on the corners of cells.

Guo, Deng, Lattas, Zafeiriou: Sample and Computation Redistribution for Efficient Face Detection,
2021. Without landmarks (6 and 10 outputs) a face's landmarks are NaN: it can be shown, not aligned.
"""

from dataclasses import dataclass

import numpy as np

from visavis.decode.boxes import Array, Candidates, joined
from visavis.decode.decoder import Decoder, OutputShapes, cells, last_dimensions
from visavis.runtime import Outputs, Preprocess


@dataclass(frozen=True, slots=True)
class ScrfdLayout:
    """What the number of outputs says."""

    strides: tuple[int, ...]
    anchors: int  # on each cell
    landmarks: bool

    @property
    def kinds(self) -> tuple[int, ...]:
        """Numbers of an anchor: score, box and, where there are any, landmarks."""
        return (1, 4, 10) if self.landmarks else (1, 4)


LAYOUTS = {
    6: ScrfdLayout((8, 16, 32), 2, landmarks=False),
    9: ScrfdLayout((8, 16, 32), 2, landmarks=True),
    10: ScrfdLayout((8, 16, 32, 64, 128), 1, landmarks=False),
    15: ScrfdLayout((8, 16, 32, 64, 128), 1, landmarks=True),
}


def decode_scrfd(outputs: Outputs, height: int, width: int, *, min_score: float) -> Candidates:
    """Candidates of one picture of `height` x `width` network pixels; the last cells may be cut.

    outputs: for all strides scores in 0..1, then for all boxes as distances to left, top, right and
    bottom, then for all five points as offsets, in strides. Each is (A, 1), (A, 4), (A, 10), or has
    a batch axis of 1 in front, with A = cells * anchors, cells row by row.
    """
    layout = LAYOUTS[len(outputs)]
    flat = [output.reshape(-1, output.shape[-1]) for output in outputs]
    levels = len(layout.strides)
    return joined(
        [
            _level(flat[level::levels], stride, height, width, layout.anchors, min_score)
            for level, stride in enumerate(layout.strides)
        ]
    )


def _level(
    arrays: list[Array], stride: int, height: int, width: int, anchors: int, min_score: float
) -> Candidates:
    columns = -(-width // stride)
    if {len(array) for array in arrays} != {-(-height // stride) * columns * anchors}:
        raise ValueError("expected as many answers as there are anchors")
    scores = arrays[0][:, 0]
    rows = np.flatnonzero(scores >= min_score)
    places = rows // anchors
    points = np.stack([places % columns, places // columns], axis=1).astype(np.float32)  # (K, 2)
    left_top, right_bottom = arrays[1][rows, :2], arrays[1][rows, 2:]
    landmarks = np.full((len(rows), 5, 2), np.nan, np.float32)
    if len(arrays) == 3:
        landmarks = points[:, None] + arrays[2][rows].reshape(-1, 5, 2)
    boxes = np.concatenate([points - left_top, points + right_bottom], axis=1)
    return Candidates(boxes * stride, landmarks * stride, scores[rows])


def _fits(shapes: OutputShapes) -> bool:
    layout = LAYOUTS.get(len(shapes))
    if layout is None:
        return False
    return last_dimensions(shapes) == tuple(kind for kind in layout.kinds for _ in layout.strides)


def _numbers(height: int, width: int) -> list[tuple[int, ...]]:
    return [
        tuple(
            layout.anchors * kind * count
            for kind in layout.kinds
            for count in cells(height, width, layout.strides)
        )
        for layout in LAYOUTS.values()
    ]


def _landmarks(shapes: OutputShapes) -> bool:
    return LAYOUTS[len(shapes)].landmarks


SCRFD = Decoder(
    "scrfd",
    decode_scrfd,
    _fits,
    _numbers,
    published=Preprocess("rgb", (127.5,) * 3, (128.0,) * 3),
    landmarks=_landmarks,
)
