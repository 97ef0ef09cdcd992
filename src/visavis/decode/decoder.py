"""What a row of the table of decoders holds. Knows no family of networks."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from visavis.decode.boxes import FRAME, Candidates, Frame
from visavis.runtime import Outputs, Preprocess
from visavis.runtime.model import Shape
from visavis.types import CERTAIN

OutputShapes = Sequence[Shape]  # of a network's outputs, in the order of its file


class Decode(Protocol):
    """A network's outputs for one picture to candidates, in pixels of that picture."""

    def __call__(
        self, outputs: Outputs, height: int, width: int, /, *, min_score: float
    ) -> Candidates: ...


def _always(shapes: OutputShapes) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Decoder:
    """All that is known of a family of detection networks whose outputs are read in one way."""

    name: str  # as a manifest declares it
    decode: Decode
    # Whether outputs of these shapes are this family's.
    fits: Callable[[OutputShapes], bool]
    # For a picture of this height and width: how many numbers each output may have, in order. One
    # entry for each form in which the family's networks are exported.
    numbers: Callable[[int, int], Collection[tuple[int, ...]]]
    published: Preprocess  # how those who publish the networks feed them
    # Whether a network that fits gives landmarks.
    landmarks: Callable[[OutputShapes], bool] = _always
    frame: Frame = FRAME  # what its networks were trained to see around a picture
    # From this score a face is upright for certain; 0: turned faces score as high as upright ones.
    sure: float = 0.0
    enrol_from: float = CERTAIN  # from this score a face is certain enough to be enrolled


def last_dimensions(shapes: OutputShapes) -> tuple[int, ...] | None:
    """The numbers of one cell or anchor in each output, 0 where that is dynamic; None where an
    output is no list of cells: (cells, last), or (1, cells, last).
    """
    if not all(len(shape) in (2, 3) for shape in shapes):
        return None
    return tuple(shape[-1] or 0 for shape in shapes)


def cells(height: int, width: int, strides: Sequence[int]) -> list[int]:
    """Cells of a picture at each stride; those at the border may be cut."""
    return [-(-height // stride) * -(-width // stride) for stride in strides]
