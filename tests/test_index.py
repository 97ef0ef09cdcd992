"""The search: a person is as close as the closest of theirs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.gallery import Templates, exact
from visavis.gallery.index import group

X, Y, Z = np.eye(3, dtype=np.float32)


def test_rows_are_grouped_by_person_in_the_order_they_came():
    templates = group(["b", "a", "b", "c"], np.stack([X, Y, Z, -X]))
    assert templates.people == ("a", "b", "c")
    assert templates.starts.tolist() == [0, 1, 3]
    assert templates.rows.tolist() == np.stack([Y, X, Z, -X]).tolist()


@pytest.mark.parametrize(
    ("probe", "similarities"),
    [
        (X, [0.0, 1.0, -1.0]),
        (Y, [1.0, 0.0, 0.0]),
        (Z, [0.0, 1.0, 0.0]),
        ((0.6 * X + 0.8 * Z).astype(np.float32), [0.0, 0.8, -0.6]),
    ],
)
def test_the_closest_template_is_the_persons(probe, similarities):
    templates = group(["b", "a", "b", "c"], np.stack([X, Y, Z, -X]))
    found = exact(templates)(probe[None])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [similarities], atol=1e-6)


def test_probes_are_searched_together_as_alone():
    templates = group(["b", "a", "b"], np.stack([X, Y, Z]))
    search = exact(templates)
    together = search(np.stack([X, Y]))
    assert together.tolist() == [*search(X[None]).tolist(), *search(Y[None]).tolist()]


@pytest.mark.parametrize("probes", [0, 1, 3])
def test_nobody_is_there_to_be_found(probes):
    empty = group([], np.empty((0, 0), np.float32))
    assert empty.people == ()
    assert exact(empty)(np.zeros((probes, 3), np.float32)).shape == (probes, 0)


def test_no_probe_finds_no_row():
    assert exact(group(["a"], X[None]))(np.empty((0, 3), np.float32)).shape == (0, 1)


def test_a_thousand_templates_of_one_person_are_one_person():
    templates = group(["a"] * 1000, np.tile(X, (1000, 1)))
    assert exact(templates)(X[None]).tolist() == [[1.0]]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=40), st.integers(0, 2**32 - 1))
def test_it_is_what_a_loop_finds_whatever_the_order(people, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(people), 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    probe = rows[:1]
    templates = group(people, rows)
    expected = {
        person: max(
            float(row @ probe[0])
            for row, owner in zip(rows, people, strict=True)
            if owner == person
        )
        for person in sorted(set(people))
    }
    assert templates.people == tuple(expected)
    np.testing.assert_allclose(exact(templates)(probe)[0], list(expected.values()), atol=1e-6)
    assert isinstance(templates, Templates)
