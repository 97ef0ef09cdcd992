"""How alike embeddings are: cosine. Decides nothing."""

import numpy as np
from numpy.typing import NDArray

from visavis.errors import EmbeddingError, MismatchError
from visavis.types import Embeddings

UNIT_TOLERANCE = 1e-3


def similarity(a: Embeddings, b: Embeddings) -> NDArray[np.float32]:
    """Cosine of every row of `a` with every row of `b`: (len(a), len(b)), -1..1, larger is closer.

    Raises EmbeddingError for rows that are not finite and of length 1, MismatchError for other
    dimensions.
    """
    for rows in (a, b):
        _check(rows)
    if a.shape[1] != b.shape[1]:
        raise MismatchError(
            f"embeddings of {a.shape[1]} and {b.shape[1]} numbers come from different models"
        )
    return np.asarray(np.clip(a @ b.T, -1, 1))


def _check(rows: Embeddings) -> None:
    if rows.ndim != 2 or rows.dtype != np.float32:
        raise EmbeddingError(f"expected (N, D) float32 embeddings, got {rows.shape} {rows.dtype}")
    off = np.abs(np.einsum("nd,nd->n", rows, rows) - 1)
    bad = np.flatnonzero(~(off < UNIT_TOLERANCE))  # written so that NaN is bad
    if bad.size:
        raise EmbeddingError(
            f"expected rows of length 1; row {bad[0]} of {len(rows)} has length "
            f"{np.linalg.norm(rows[bad[0]].astype(np.float64)):.4g}",
            mend="visavis.embedder.unit scales them",
        )
