"""Which of several photos show one person. Knows embeddings alone, and decides by likeness."""

import numpy as np
from numpy.typing import NDArray

from visavis.types import Embeddings


def agreeing(rows: Embeddings, near: NDArray[np.bool_] | None, least: float) -> NDArray[np.bool_]:
    """Which photos (N, D) show the person that they are said to show: those that hang together.

    Two are alike from a similarity of `least`. `near` says which are like what is known of the
    person; None for nobody known: then it is the largest group, and none where two are as large.
    """
    alike = rows @ rows.T >= least
    if near is not None:
        return _reached(alike, near)
    groups = np.unique([_reached(alike, row) for row in np.eye(len(rows), dtype=bool)], axis=0)
    sizes = groups.sum(axis=1)
    largest = np.flatnonzero(sizes == sizes.max())
    return groups[largest[0]] if len(largest) == 1 else np.zeros(len(rows), bool)


def _reached(alike: NDArray[np.bool_], start: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All that hangs together with `start`, over any number of steps."""
    reached = start
    while (more := reached | alike[reached].any(axis=0)).sum() > reached.sum():
        reached = more
    return reached
