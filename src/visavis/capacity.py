"""How many people a gallery can hold: its memory, and whether a search can still say match.

Knows no networks and no index; figures of memory are by formula.
"""

from dataclasses import dataclass

import numpy as np

from visavis.calibration import SEARCH_RATE
from visavis.decision import Calibration
from visavis.gallery import Gallery
from visavis.gallery.following import index_bytes
from visavis.gallery.models import templates_by_model

STEPS = 200_001  # of the cosine, from -1 to 1
# Above it lie too few photos of one person to tell people apart: docs/experiments.md, pairs.
USEFUL = 0.4


@dataclass(frozen=True, slots=True)
class ModelTemplates:
    """The templates of one model in a gallery."""

    model: str
    templates: int
    numbers: int  # in each
    memory: int  # bytes of an index of them
    by_chance: float  # the similarity that a stranger would reach if faces were random directions

    @property
    def serves(self) -> bool:
        """Whether so many numbers tell so many templates apart at all, by any model."""
        return self.by_chance < USEFUL


@dataclass(frozen=True, slots=True)
class Capacity:
    """A gallery's size, and for how many templates its calibration can say match."""

    people: int
    models: tuple[ModelTemplates, ...]
    calibrated: str  # the model that `most` is of
    rate: float  # share of strangers who may be taken for anybody
    most: int  # templates; 0: no calibration shows a rate


def capacity(gallery: Gallery, calibration: Calibration, rate: float = SEARCH_RATE) -> Capacity:
    """What a gallery holds of each model, and what a calibration can say of so much.

    Raises CalibrationError for what is no rate.
    """
    most = calibration.most_comparisons(rate)
    models = tuple(
        ModelTemplates(model, count, size, index_bytes(count, size), by_chance(size, count, rate))
        for model, (count, size) in sorted(templates_by_model(gallery).items())
    )
    people = gallery.audit_head().people
    return Capacity(people, models, calibration.model, rate, most)


def by_chance(numbers: int, comparisons: int, rate: float) -> float:
    """The cosine that the closest of so many random directions reaches with probability `rate`.

    The density of a random direction's cosine is (1 - t^2)^((D - 3) / 2): no model's strangers can
    be less alike than that. 1 for fewer than 4 numbers.
    """
    if numbers < 4:
        return 1.0
    cosines = np.linspace(1, -1, STEPS)
    density = np.maximum(1 - cosines**2, 0) ** ((numbers - 3) / 2)
    tail = np.cumsum(density) / density.sum()
    wanted = -np.expm1(np.log1p(-rate) / max(1, comparisons))
    return float(cosines[min(np.searchsorted(tail, wanted), STEPS - 1)])
