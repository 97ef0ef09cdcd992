"""The plain data that flows between functions. Knows nothing of files, networks or devices."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3) RGB, upright
Crops = NDArray[np.uint8]  # (N, 112, 112, 3) RGB, aligned
Embeddings = NDArray[np.float32]  # (N, D), unit rows; one face is (1, D)


@dataclass(frozen=True, eq=False, slots=True)
class Face:
    """One detected face, in pixels of the picture it was found in."""

    box: NDArray[np.float32]  # (4,) left, top, right, bottom; may reach past the picture's border
    # (5, 2) x, y: eye, eye, nose, mouth corner, mouth corner; viewer's left first
    landmarks: NDArray[np.float32]
    score: float  # 0..1, the detector's certainty

    @property
    def area(self) -> float:
        """Square pixels of the box."""
        width, height = self.box[2:] - self.box[:2]
        return float(width * height)

    @property
    def side(self) -> float:
        """Pixels of the box's shorter side."""
        return float(np.min(self.box[2:] - self.box[:2]))

    @property
    def has_landmarks(self) -> bool:
        """Whether the detector gave any: some find boxes alone."""
        return bool(np.isfinite(self.landmarks).all())

    def scaled(self, x: float, y: float) -> "Face":
        """The same face in a picture `x` times as wide and `y` times as high."""
        if x == y == 1:
            return self
        factor = np.array([x, y], np.float32)
        return Face(self.box * np.tile(factor, 2), self.landmarks * factor, self.score)


LEAST_SIDE = 20.0  # pixels: what a network sees of the smallest face that it finds
CERTAIN = 0.75  # a face of this score is certain enough to be compared, and to be enrolled


class Faces(list[Face]):
    """A picture's faces, largest first, and why there are no more."""

    def __init__(
        self,
        faces: Iterable[Face] = (),
        *,
        doubt: float = 0.0,
        least_side: float = LEAST_SIDE,
        enrol_from: float = CERTAIN,
    ) -> None:
        super().__init__(faces)
        # The best score of what was seen and not taken for a face; 0 where there are faces.
        self.doubt = doubt
        self.least_side = least_side  # pixels of the picture that a face must be wide
        self.enrol_from = enrol_from  # the score from which this detector's faces may be enrolled

    @classmethod
    def of(cls, faces: list[Face]) -> "Faces":
        """What any detector answers: those that answer with a list say no more."""
        return faces if isinstance(faces, cls) else cls(faces)


class Detector(Protocol):
    """A loaded detector: a picture in, its faces out, largest first."""

    def __call__(self, image: Image, /) -> list[Face]: ...


@dataclass(frozen=True, slots=True)
class Part:
    """One network's share of an embedding."""

    model: str  # name@hash
    dim: int  # numbers
    scale: float = 1.0  # length of the share; squares of all shares sum to 1


class Embedder(Protocol):
    """A loaded embedder: aligned crops in, unit embeddings out."""

    @property
    def model(self) -> str:
        """name@hash of weights and preprocessing: embeddings of other models never meet."""

    @property
    def dim(self) -> int:
        """Numbers in an embedding."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """Which networks' numbers it consists of, in order: one, or those of an ensemble."""

    @property
    def margin(self) -> float:
        """With which margin the crops are cut that it takes: visavis.alignment.align."""

    def __call__(self, crops: Crops, /) -> Embeddings: ...
