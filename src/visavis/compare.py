"""How alike embeddings are: cosine; and which networks' rows one consists of. Decides nothing."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from visavis.errors import EmbeddingError, MismatchError
from visavis.types import Embeddings, Part

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


def split_parts(embeddings: Embeddings, parts: Sequence[Part]) -> dict[str, Embeddings]:
    """Rows (N, dim) into each member's unit rows, by model: what a gallery stores.

    Raises MismatchError for rows of another length.
    """
    dim = sum(part.dim for part in parts)
    if embeddings.shape[1] != dim:
        raise MismatchError(f"expected rows of {dim} numbers, got {embeddings.shape[1]}")
    ends = np.cumsum([part.dim for part in parts])
    rows = np.split(embeddings, ends[:-1], axis=1)
    return {
        part.model: np.asarray(own / part.scale, np.float32)
        for part, own in zip(parts, rows, strict=True)
    }


def join_parts(templates: Mapping[str, Embeddings], parts: Sequence[Part]) -> Embeddings:
    """Each member's unit rows (N, D), by model, into rows (N, dim) of length 1.

    Raises MismatchError where a member's are missing or of another length.
    """
    rows = []
    for part in parts:
        own = templates.get(part.model)
        if own is None or own.shape[1] != part.dim:
            got = "none" if own is None else f"rows of {own.shape[1]}"
            raise MismatchError(f"{part.model}: expected rows of {part.dim} numbers, got {got}")
        rows.append(own * np.float32(part.scale))
    return np.concatenate(rows, axis=1)
