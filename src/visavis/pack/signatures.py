"""The shapes of a detector's outputs to the name of the decoder that fits them, if one does.

A manifest declares its decoder; this checks it, and helps whoever writes one.
"""

from collections.abc import Sequence
from itertools import permutations

Shape = Sequence[int | None]  # None: dynamic

# Last dimension of each output, in order. One number per cell or anchor is a score, four are a box,
# ten are landmarks; two are background and face; sixteen are all of these and an objectness.
LAST_DIMENSIONS: dict[tuple[int, ...], str] = {
    (1,) * 6 + (4,) * 3 + (10,) * 3: "yunet",
    (1,) * 3 + (4,) * 3: "scrfd",
    (1,) * 3 + (4,) * 3 + (10,) * 3: "scrfd",
    (1,) * 5 + (4,) * 5: "scrfd",
    (1,) * 5 + (4,) * 5 + (10,) * 5: "scrfd",
    **dict.fromkeys(permutations((4, 2, 10)), "retinaface"),  # exporters differ in the order
    (16,): "yolov5face",
}
# YOLOv5-face's raw maps, at two to four strides: rank, axis that tells, and its size.
RAW_MAPS = {5: (4, 16), 4: (1, 48)}  # (N, 3, rows, columns, 16) or (N, 48, rows, columns)


def decoder_of(shapes: Sequence[Shape]) -> str | None:
    """The decoder for a network with outputs of these shapes; None where none fits."""
    ranks = {len(shape) for shape in shapes}
    if len(ranks) == 1 and ranks <= set(RAW_MAPS):
        axis, size = RAW_MAPS[ranks.pop()]
        raw = len(shapes) in (2, 3, 4) and all(shape[axis] == size for shape in shapes)
        return "yolov5face" if raw else None
    if not ranks <= {2, 3}:
        return None
    found = LAST_DIMENSIONS.get(tuple(shape[-1] or 0 for shape in shapes))
    if found == "yolov5face" and ranks != {3}:
        return None  # (N, 16) is an embedding
    return found


def fits_picture(sizes: Sequence[int], height: int, width: int) -> bool:
    """Whether a network's outputs have as many numbers each as one picture of this size calls for.

    `sizes` are the outputs' numbers in all, in order, of a network that a decoder fits; `height`
    and `width` are multiples of 128.
    """
    cells = [(height >> level) * (width >> level) for level in range(3, 8)]
    wanted: dict[int, list[list[int]]] = {
        1: [[48 * sum(cells[:levels])] for levels in (2, 3, 4)],
        2: [[48 * cell for cell in cells[:2]]],
        3: [
            [48 * cell for cell in cells[:3]],
            *([2 * sum(cells[:3]) * last for last in order] for order in permutations((4, 2, 10))),
        ],
        4: [[48 * cell for cell in cells[:4]]],
        6: [[2 * cell * last for last in (1, 4) for cell in cells[:3]]],
        9: [[2 * cell * last for last in (1, 4, 10) for cell in cells[:3]]],
        10: [[cell * last for last in (1, 4) for cell in cells]],
        12: [[cell * last for last in (1, 1, 4, 10) for cell in cells[:3]]],
        15: [[cell * last for last in (1, 4, 10) for cell in cells]],
    }
    return [*sizes] in wanted.get(len(sizes), [])
