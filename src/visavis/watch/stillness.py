"""Whether a live source gives the same picture again and again: then it shows nothing that is now.

A sensor trembles, so two pictures of one are never the same. Knows no faces.
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from visavis.types import Image

FROZEN = 10.0  # seconds of the same picture after which a source stands still
STEP = 8  # every so many pixels are compared


@dataclass(slots=True)
class Stillness:
    """The last picture, and since when it is the same."""

    frozen: bool = False
    _sample: Image = field(default_factory=lambda: np.empty((0, 0, 3), np.uint8))
    _since: float = 0.0  # seconds

    def see(self, image: Image, at: float) -> Literal["frozen", "moving"] | None:
        """Look at the next picture: whether it stands still from now on, or moves again."""
        sample = image[::STEP, ::STEP]
        if not np.array_equal(sample, self._sample):
            self._sample, self._since = sample.copy(), at
            was, self.frozen = self.frozen, False
            return "moving" if was else None
        if self.frozen or at - self._since < FROZEN:
            return None
        self.frozen = True
        return "frozen"
