"""One picture through a detection network at several scales or in tiles, merged into faces.

What is the same for every decoder is here; what differs is the decoder.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from visavis.detect.boxes import Candidates, joined, letterbox, nms, tiles
from visavis.errors import ModelError
from visavis.image import check_image
from visavis.runtime import Outputs, Pictures
from visavis.types import Face, Image

# Longer side of the picture as the network sees it. At 640 small faces are found; a face that fills
# the picture is then larger than any the network was trained on, and is found at the small scale.
SCALES = (640, 224)
TILE = 640  # pixels
TILE_OVERLAP = (
    128  # pixels: a face up to this size lies whole in one tile, larger ones are found at SCALES
)
MOST_CANDIDATES = 5000


class Decoder(Protocol):
    """A network's outputs for one picture to candidates, in pixels of that picture."""

    def __call__(
        self, outputs: Outputs, height: int, width: int, /, *, min_score: float
    ) -> Candidates: ...


@dataclass(frozen=True, slots=True)
class ScanDetector:
    """A detector: scales or tiles, one network call each, one merge."""

    model: Callable[[Pictures], Outputs]
    decode: Decoder
    min_score: float
    max_overlap: float
    tiled: bool = False

    def __call__(self, image: Image, /) -> list[Face]:
        """Faces of an (H, W, 3) uint8 RGB image, largest first; boxes may reach past its border.

        Raises ImageError for any other array, ModelError where the network answers with NaN.
        """
        found = joined(list(self._passes(check_image(image))))
        found = found[(-found.scores).argsort(kind="stable")[:MOST_CANDIDATES]]
        found = found[nms(found.boxes, found.scores, max_overlap=self.max_overlap)]
        faces = [
            Face(box, landmarks, float(score))
            for box, landmarks, score in zip(
                found.boxes, found.landmarks, found.scores, strict=True
            )
        ]
        return sorted(faces, key=lambda face: -face.area)

    def _passes(self, image: Image) -> Iterator[Candidates]:
        height, width = image.shape[:2]
        for longest in SCALES:
            # The small scale has nothing to add to a picture that is as small as that already.
            if longest == SCALES[0] or max(height, width) > longest:
                yield self._look(image, longest)
        if self.tiled and max(height, width) > TILE:
            for left, top in tiles(height, width, side=TILE, overlap=TILE_OVERLAP):
                part = image[top : top + TILE, left : left + TILE]
                yield self._look(part, TILE).placed(1.0, left, top)

    def _look(self, image: Image, longest: int) -> Candidates:
        canvas, scale = letterbox(image, longest)
        outputs = self.model(canvas[None])
        try:
            found = self.decode(outputs, *canvas.shape[:2], min_score=self.min_score)
        except (IndexError, ValueError) as error:
            shapes = ", ".join(str(values.shape) for values in outputs)
            raise ModelError(f"the detector's answers do not fit together: {shapes}") from error
        if not all(np.isfinite(values).all() for values in (*outputs, found.boxes)):
            raise ModelError("the detector answered with NaN or infinity; its file is damaged")
        return found.placed(scale)
