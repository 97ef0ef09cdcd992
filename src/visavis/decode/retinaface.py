"""RetinaFace's three outputs to candidates: the PyTorch family, mobilenet 0.25 to resnets.

Deng, Guo, Ververas, Kotsia, Zafeiriou: RetinaFace: Single-shot Multi-level Face Localisation in the
Wild, 2020. Priors lie on the middles of cells.
"""

from itertools import permutations

import numpy as np

from visavis.decode.boxes import Array, Candidates, sigmoid
from visavis.decode.decoder import Decoder, OutputShapes, cells, last_dimensions
from visavis.runtime import Outputs, Preprocess

PRIORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}  # stride to sides of squares, in pixels
# The published "variances": centres and points, and logarithms of sizes, are multiplied by these.
CENTRE, SIZE = 0.1, 0.2
# The outputs are told apart by their last dimensions; exporters differ in the order.
BOX, CLASSES, POINTS = 4, 2, 10
ORDERS = tuple(permutations((BOX, CLASSES, POINTS)))
SUM_TOLERANCE = 0.05  # of two shares that sum to 1: bfloat16 rounds


def decode_retinaface(outputs: Outputs, height: int, width: int, *, min_score: float) -> Candidates:
    """Candidates of one picture of `height` x `width` network pixels; the last cells may be cut.

    outputs, in any order, with P = 2 * cells, by stride 8, 16, 32, then cells row by row: offsets
    and log sizes (1, P, 4), background and face (1, P, 2), points (1, P, 10). Background and face
    are shares that sum to 1, or logits.
    """
    by_last = {output.shape[-1]: output.reshape(-1, output.shape[-1]) for output in outputs}
    scores = _scores(by_last[CLASSES])
    rows = np.flatnonzero(scores >= min_score)
    places = [_places(height, width, stride) for stride in PRIORS]
    if not len(scores) == len(by_last[BOX]) == len(by_last[POINTS]) == sum(map(len, places)):
        raise ValueError("expected as many answers as there are priors")
    priors = np.concatenate(places)[rows]  # (K, 3) centre x, y and side
    centers, sides = priors[:, :2], priors[:, 2:]
    box, points = by_last[BOX][rows], by_last[POINTS][rows].reshape(-1, 5, 2)
    middles = centers + CENTRE * box[:, :2] * sides
    halves = np.exp(SIZE * box[:, 2:]) * sides / 2
    return Candidates(
        np.concatenate([middles - halves, middles + halves], axis=1),
        centers[:, None] + CENTRE * points * sides[:, None],
        scores[rows],
    )


def _scores(classes: Array) -> Array:
    """(P, 2) shares or logits of background and face to (P,) shares of face."""
    if np.abs(classes.sum(axis=1) - 1).max(initial=0) <= SUM_TOLERANCE and classes.min() >= 0:
        return classes[:, 1]
    return sigmoid(classes[:, 1] - classes[:, 0])  # the softmax of two numbers


def _places(height: int, width: int, stride: int) -> Array:
    """(P, 3) priors of one stride: centre x, y and side, in pixels."""
    columns, rows = -(-width // stride), -(-height // stride)
    y, x, side = np.meshgrid(
        (np.arange(rows) + 0.5) * stride,
        (np.arange(columns) + 0.5) * stride,
        PRIORS[stride],
        indexing="ij",
    )
    return np.stack([x, y, side], axis=-1, dtype=np.float32).reshape(-1, 3)


def _fits(shapes: OutputShapes) -> bool:
    return last_dimensions(shapes) in ORDERS


def _numbers(height: int, width: int) -> list[tuple[int, ...]]:
    priors = 2 * sum(cells(height, width, tuple(PRIORS)))
    return [tuple(priors * last for last in order) for order in ORDERS]


RETINAFACE = Decoder(
    "retinaface",
    decode_retinaface,
    _fits,
    _numbers,
    published=Preprocess("bgr", mean=(104.0, 117.0, 123.0)),
)
