"""The shapes of a detector's outputs to the name of the decoder that fits them, if one does.

A manifest declares its decoder; this checks it, and helps whoever writes one.
"""

from collections.abc import Sequence

Shape = Sequence[int | None]  # None: dynamic

# Last dimension of each output, in order. One number per cell or anchor is a score, four are a box,
# ten are landmarks.
LAST_DIMENSIONS: dict[tuple[int, ...], str] = {
    (1,) * 6 + (4,) * 3 + (10,) * 3: "yunet",
    (1,) * 3 + (4,) * 3: "scrfd",
    (1,) * 3 + (4,) * 3 + (10,) * 3: "scrfd",
    (1,) * 5 + (4,) * 5: "scrfd",
    (1,) * 5 + (4,) * 5 + (10,) * 5: "scrfd",
}


def decoder_of(shapes: Sequence[Shape]) -> str | None:
    """The decoder for a network with outputs of these shapes; None where none fits."""
    if not all(len(shape) in (2, 3) for shape in shapes):
        return None
    return LAST_DIMENSIONS.get(tuple(shape[-1] or 0 for shape in shapes))
