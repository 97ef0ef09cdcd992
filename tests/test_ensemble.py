"""Several embedders as one: weighed evidence, split for storage, fewer where one is missing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visavis.embedder import Ensemble, Member, join_parts, split_parts
from visavis.errors import MismatchError, ModelError
from visavis.types import Part


class Fixed:
    """An embedder that answers with rows of its own, whatever the crops are."""

    margin = 0.0

    def __init__(self, model, rows):
        self.model, self.rows = model, np.array(rows, np.float32)
        self.dim = self.rows.shape[1]
        self.parts = (Part(model, self.dim),)

    def __call__(self, crops):
        return self.rows[: len(crops)]


CROPS = np.zeros((2, 112, 112, 3), np.uint8)
# Similarities of the two rows: 0, 0.6 and 1.
A = Fixed("a@1", [[1, 0], [0, 1]])
B = Fixed("b@2", [[1, 0, 0], [0.6, 0.8, 0]])
C = Fixed("c@3", [[1], [1]])


def ensemble(*members):
    return Ensemble(tuple(Member(*member) for member in members))


@pytest.mark.parametrize(
    ("members", "similarity"),
    [
        # 0.5 x 10 x 0 + 0.5 x 10 x 0.6, shared by 10
        (((A, 0.5, 10), (B, 0.5, 10)), 0.3),
        # 0.25 x 8 x 0 + 0.75 x 24 x 0.6 = 10.8, shared by 2 + 18
        (((A, 0.25, 8), (B, 0.75, 24)), 0.54),
        # 0.3 x 20 x 0.6 + 0.4 x 5 x 1 + 0.3 x 40 x 0 = 5.6, shared by 6 + 2 + 12
        (((B, 0.3, 20), (C, 0.4, 5), (A, 0.3, 40)), 0.28),
    ],
)
def test_the_dot_product_is_the_weighed_evidence(members, similarity):
    embed = ensemble(*members)
    rows = embed(CROPS)
    assert rows.shape == (2, embed.dim) == (2, sum(one[0].dim for one in members))
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1])
    assert rows[0] @ rows[1] == pytest.approx(similarity)


def test_scales_are_square_roots_of_shares():
    parts = ensemble((A, 0.25, 8), (B, 0.75, 24)).parts
    assert [(part.model, part.dim) for part in parts] == [("a@1", 2), ("b@2", 3)]
    assert [part.scale for part in parts] == pytest.approx([math.sqrt(0.1), math.sqrt(0.9)])


def test_a_name_says_members_and_what_decides_a_similarity():
    embed = ensemble((A, 0.5, 10), (B, 0.5, 10))
    assert embed.model.startswith("a+b@")
    assert embed.model == ensemble((A, 0.5, 10), (B, 0.5, 10)).model
    # Twice the slopes of all members weigh as before.
    assert embed.model == ensemble((A, 0.5, 20), (B, 0.5, 20)).model
    others = {
        ensemble((B, 0.5, 10), (A, 0.5, 10)).model,
        ensemble((A, 0.4, 10), (B, 0.6, 10)).model,
        ensemble((A, 0.5, 10), (B, 0.5, 11)).model,
        ensemble((Fixed("a@9", A.rows), 0.5, 10), (B, 0.5, 10)).model,
    }
    assert len(others - {embed.model}) == 4


@given(
    weight=st.floats(0.01, 0.99),
    slopes=st.tuples(st.floats(0.1, 100), st.floats(0.1, 100)),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_split_is_joined_again(weight, slopes, seed):
    embed = ensemble((A, weight, slopes[0]), (B, 1 - weight, slopes[1]))
    rng = np.random.default_rng(seed)
    own = {part.model: rng.normal(size=(4, part.dim)).astype(np.float32) for part in embed.parts}
    own = {model: rows / np.linalg.norm(rows, axis=1)[:, None] for model, rows in own.items()}
    rows = join_parts(own, embed.parts)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    for model, back in split_parts(rows, embed.parts).items():
        np.testing.assert_allclose(back, own[model], atol=1e-5)


def test_a_member_that_is_missing_leaves_the_others():
    embed = ensemble((A, 0.5, 10), (B, 0.25, 10), (C, 0.25, 10))
    rest = embed.without("b@2")
    assert [part.model for part in rest.parts] == ["a@1", "c@3"]
    assert [one.weight for one in rest.members] == pytest.approx([2 / 3, 1 / 3])
    assert rest.model != embed.model
    assert rest.without("a@1") is C
    with pytest.raises(MismatchError, match="has no member d@4"):
        embed.without("d@4")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (((A, 1, 10),), "expected 2 to 16 models together, got 1"),
        (((A, 0.5, 10), (A, 0.5, 10)), "expected each model once, got a@1, a@1"),
        (((A, 0.5, 10), (B, 0.4, 10)), "expected weights that sum to 1, got 0.9"),
        (((A, 0.5, 10), (B, 0.502, 10)), "expected weights that sum to 1, got 1.002"),
        (((A, 0, 10), (B, 1, 10)), "a@1: expected a weight above 0 and at most 1, got 0"),
        (((A, -0.5, 10), (B, 1.5, 10)), "a@1: expected a weight above 0"),
        (((A, math.nan, 10), (B, 1, 10)), "a@1: expected a weight above 0"),
        (((A, 0.5, 0), (B, 0.5, 10)), "a@1: expected a slope above 0, got 0"),
        (((A, 0.5, math.nan), (B, 0.5, 10)), "a@1: expected a slope above 0, got nan"),
        (((A, 0.5, math.inf), (B, 0.5, 10)), "a@1: expected a slope above 0, got inf"),
    ],
)
def test_what_cannot_be_weighed_is_refused(members, message):
    with pytest.raises(ModelError, match=message):
        ensemble(*members)


def test_weights_may_be_rounded():
    assert ensemble((A, 0.333, 10), (B, 0.333, 10), (C, 0.3335, 10)).dim == 6


def test_rows_that_do_not_fit_are_refused():
    parts = ensemble((A, 0.5, 10), (B, 0.5, 10)).parts
    with pytest.raises(MismatchError, match="expected rows of 5 numbers, got 4"):
        split_parts(np.zeros((1, 4), np.float32), parts)
    with pytest.raises(MismatchError, match="b@2: expected rows of 3 numbers, got none"):
        join_parts({"a@1": A.rows}, parts)
    with pytest.raises(MismatchError, match="b@2: expected rows of 3 numbers, got rows of 2"):
        join_parts({"a@1": A.rows, "b@2": A.rows}, parts)
