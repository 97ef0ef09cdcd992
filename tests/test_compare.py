"""Cosines by hand, and rows that are refused."""

import numpy as np
import pytest

from visavis.compare import similarity
from visavis.errors import EmbeddingError, MismatchError

X, Y, DIAGONAL = [1, 0], [0, 1], [0.6, 0.8]


def rows(*values):
    return np.array(values, np.float32).reshape(len(values), -1)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([X], [X], [[1]]),
        ([X], [Y], [[0]]),
        ([X], [[-1, 0]], [[-1]]),
        ([X, Y], [DIAGONAL], [[0.6], [0.8]]),
        ([DIAGONAL], [X, Y, DIAGONAL], [[0.6, 0.8, 1]]),
    ],
)
def test_every_row_meets_every_row(a, b, expected):
    np.testing.assert_allclose(similarity(rows(*a), rows(*b)), expected, rtol=1e-6)


def test_no_row_meets_no_row():
    assert similarity(np.empty((0, 2), np.float32), rows(X)).shape == (0, 1)
    assert similarity(rows(X, Y), np.empty((0, 2), np.float32)).shape == (2, 0)


def test_rounding_never_reaches_beyond_one():
    raw = np.random.default_rng(0).normal(size=(300, 128))
    units = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    units *= np.float32(1.0002)  # within the tolerance
    values = similarity(units, units)
    assert values.dtype == np.float32
    assert values.max() == 1
    assert similarity(units, -units).min() == -1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(rows(X, [2, 0]), r"row 1 of 2 has length 2: visavis", id="too long"),
        pytest.param(rows(X, Y, [0, 0]), r"row 2 of 3 has length 0: visavis", id="zero"),
        pytest.param(rows([np.nan, 0]), r"row 0 of 1 has length nan: visavis", id="NaN"),
        pytest.param(rows([np.inf, 0]), r"row 0 of 1 has length inf: visavis", id="infinity"),
        pytest.param(rows([1.001, 0]), r"length 1\.001", id="just off"),
        pytest.param(np.float32(X), r"got \(2,\) float32", id="one row without a batch"),
        pytest.param(np.array([X], np.float64), r"got \(1, 2\) float64", id="doubles"),
        pytest.param(np.array([X]), r"got \(1, 2\) int64", id="integers"),
    ],
)
def test_rows_that_are_no_embeddings_are_an_error_on_either_side(bad, message):
    with pytest.raises(EmbeddingError, match=message):
        similarity(bad, rows(X))
    with pytest.raises(EmbeddingError, match=message):
        similarity(rows(X), bad)


def test_other_dimensions_come_from_other_models():
    with pytest.raises(MismatchError, match="embeddings of 2 and 3 numbers"):
        similarity(rows(X), rows([1, 0, 0]))
