"""The shapes of a detector's outputs: which decoder fits them, and what a manifest may say of them.

A manifest declares its decoder; this checks it, and helps whoever writes one. Runs nothing.
"""

import math
from collections.abc import Sequence
from itertools import permutations

from visavis.errors import PackError
from visavis.pack.manifest import DetectorSpec, check_numbers

Shape = Sequence[int | None]  # None: dynamic

STRIDE = 32  # of every detector's pictures each side is a multiple of this
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
KNOWN = tuple(sorted(set(LAST_DIMENSIONS.values())))
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


def check_network(
    spec: DetectorSpec, shapes: Sequence[Shape], size: tuple[int, int] | None, source: str
) -> None:
    """Whether a network is what a detector's manifest says: outputs of these shapes, for pictures
    of this height and width where it takes no others.

    Raises PackError where it is not, or could answer for no picture.
    """
    check_numbers(spec, source)
    if spec.decoder not in KNOWN:
        raise PackError(f"{source}: unknown decoder {spec.decoder!r}; known: {', '.join(KNOWN)}")
    fitting = decoder_of(shapes)
    if fitting != spec.decoder:
        raise PackError(
            f"{source}: declared for the decoder {spec.decoder}, but its outputs "
            f"fit {fitting or 'none of ' + ', '.join(KNOWN)}: {_listed(shapes)}"
        )
    _check_raw(spec, shapes, source)
    if any(len(shape) > 2 and shape[0] not in (None, 1) for shape in shapes):
        raise PackError(f"{source}: expected a batch of one, got outputs {_listed(shapes)}")
    if size is None:
        return
    if any(side % STRIDE for side in size):
        raise PackError(
            f"{source}: expected a network for sides that are multiples of {STRIDE}, got one for "
            f"{size[0]}x{size[1]}"
        )
    alone = [(1, *shape[1:]) if len(shape) > 2 else shape for shape in shapes]
    whole = [[side for side in shape if side is not None] for shape in alone]
    if [*map(len, whole)] == [*map(len, shapes)]:
        check_answers(whole, *size, source)


def check_answers(shapes: Sequence[Sequence[int]], height: int, width: int, source: str) -> None:
    """Raises PackError for answers that are not as many as one picture of this size calls for."""
    if not fits_picture([math.prod(shape) for shape in shapes], height, width):
        raise PackError(
            f"{source}: a picture of {height}x{width} calls for other answers than "
            f"{_listed(shapes)}: was it exported for another size?"
        )


def fits_picture(sizes: Sequence[int], height: int, width: int) -> bool:
    """Whether a network's outputs have as many numbers each as one picture of this size calls for.

    `sizes` are the outputs' numbers in all, in order, of a network that a decoder fits; the last
    cells of a picture may be cut, but not those of raw maps, which may be in any order.
    """
    cells = [-(-height // stride) * -(-width // stride) for stride in (8, 16, 32, 64, 128)]
    maps = [[48 * cells[level] for level in range(levels)] for levels in (2, 3, 4)]
    wanted: dict[int, list[list[int]]] = {
        1: [[sum(sizes)] for sizes in maps],
        3: [[2 * sum(cells[:3]) * last for last in order] for order in permutations((4, 2, 10))],
        6: [[2 * cell * last for last in (1, 4) for cell in cells[:3]]],
        9: [[2 * cell * last for last in (1, 4, 10) for cell in cells[:3]]],
        10: [[cell * last for last in (1, 4) for cell in cells]],
        12: [[cell * last for last in (1, 1, 4, 10) for cell in cells[:3]]],
        15: [[cell * last for last in (1, 4, 10) for cell in cells]],
    }
    if [*sizes] in wanted.get(len(sizes), []):
        return True
    exact = not (height % (4 << len(sizes)) or width % (4 << len(sizes)))
    return exact and sorted(sizes, reverse=True) in maps


def _check_raw(spec: DetectorSpec, shapes: Sequence[Shape], source: str) -> None:
    """Raises PackError for what is said of raw maps and fits none, or others."""
    said = spec.anchors is not None or spec.squashed_landmarks
    if said and (spec.decoder != "yolov5face" or len(shapes) == 1):
        raise PackError(
            f"{source}: anchors and squashed_landmarks are yolov5face's alone, where its outputs "
            f"are raw, got the {len(shapes)} of a {spec.decoder}"
        )
    if spec.anchors is not None and len(spec.anchors) != len(shapes):
        raise PackError(
            f"{source}: expected anchors for {len(shapes)} strides, got {len(spec.anchors)}"
        )


def _listed(shapes: Sequence[Shape]) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes[:12])
