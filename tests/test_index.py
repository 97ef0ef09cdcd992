"""The search: a person is as close as the closest of theirs."""

from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visavis.errors import MismatchError
from visavis.gallery import ExactIndex
from visavis.gallery.index import group_templates

X, Y, Z = np.eye(3, dtype=np.float32)


def index_of(people, rows) -> ExactIndex:
    """An index made at once; each row is a photo of its own."""
    return ExactIndex(people, [str(row) for row in range(len(people))], rows)


def added_one_by_one(people, rows) -> ExactIndex:
    """The same, as it grows."""
    index = ExactIndex()
    for number, (person, row) in enumerate(zip(people, rows, strict=True)):
        index.add(person, str(number), row[None])
    return index


WAYS = pytest.mark.parametrize("made", [index_of, added_one_by_one])


def test_rows_are_grouped_by_person_in_the_order_they_came():
    templates = group_templates(["b", "a", "b", "c"], np.stack([X, Y, Z, -X]))
    assert templates.people == ("a", "b", "c")
    assert templates.starts.tolist() == [0, 1, 3]
    assert templates.rows.tolist() == np.stack([Y, X, Z, -X]).tolist()


@WAYS
def test_the_closest_and_the_next_are_found_unless_more_are_asked_for(made):
    index = made(["a", "b", "c"], np.stack([X, Y, Z]))
    assert [len(row) for row in index.nearest(np.stack([X, Y]))] == [2, 2]
    assert [[len(row) for row in index.nearest(X[None], people=n)] for n in (1, 3, 4)] == [
        [1],
        [3],
        [3],
    ]


@WAYS
@pytest.mark.parametrize(
    ("probe", "nearest"),
    [
        (X, [("b", 1.0), ("a", 0.0), ("c", -1.0)]),
        (Y, [("a", 1.0), ("b", 0.0), ("c", 0.0)]),  # equally close: by id
        (Z, [("b", 1.0), ("a", 0.0), ("c", 0.0)]),
        ((0.6 * X + 0.8 * Z).astype(np.float32), [("b", 0.8), ("a", 0.0), ("c", -0.6)]),
    ],
)
def test_the_closest_template_is_the_persons(made, probe, nearest):
    index = made(["b", "a", "b", "c"], np.stack([X, Y, Z, -X]))
    for people in (0, 1, 2, 3, 9):
        (found,) = index.nearest(probe[None], people=people)
        assert [person for person, _ in found] == [person for person, _ in nearest[:people]]
        values = [similar for _, similar in nearest[:people]]
        assert [similar for _, similar in found] == pytest.approx(values, abs=1e-6)


@WAYS
def test_of_equally_close_people_the_first_by_id_is_first_however_they_came(made):
    index = made(["c", "a", "b", "a"], np.stack([X, X, X, X]))
    assert index.nearest(X[None], people=3) == [[("a", 1.0), ("b", 1.0), ("c", 1.0)]]


def test_probes_are_searched_together_as_alone():
    index = index_of(["b", "a", "b"], np.stack([X, Y, Z]))
    together = index.nearest(np.stack([X, Y]))
    assert together == [*index.nearest(X[None]), *index.nearest(Y[None])]


@pytest.mark.parametrize("probes", [0, 1, 3])
def test_nobody_is_there_to_be_found(probes):
    assert ExactIndex().nearest(np.zeros((probes, 3), np.float32)) == [[]] * probes
    empty = group_templates([], np.empty((0, 0), np.float32))
    assert empty.people == ()


def test_no_probe_finds_no_row():
    assert index_of(["a"], X[None]).nearest(np.empty((0, 3), np.float32)) == []


def test_a_probe_of_no_numbers_finds_nobody():
    assert index_of(["a"], X[None]).nearest(np.full((1, 3), np.nan, np.float32)) == [[]]


def test_a_thousand_templates_of_one_person_are_one_person():
    index = index_of(["a"] * 1000, np.tile(X, (1000, 1)))
    assert len(index) == 1000
    assert index.nearest(X[None]) == [[("a", 1.0)]]


def test_other_lengths_are_refused_until_nobody_is_left():
    index = index_of(["a"], X[None])
    with pytest.raises(MismatchError, match="probes of 2 and templates of 3 numbers"):
        index.nearest(X[None, :2])
    with pytest.raises(MismatchError, match="new templates of 2 and templates of 3 numbers"):
        index.add("b", "1", X[None, :2])
    index.remove("a")
    index.add("b", "1", X[None, :2])
    assert index.nearest(X[None, :2]) == [[("b", 1.0)]]


def test_a_photo_or_a_person_is_removed():
    index = index_of(["a", "b", "a"], np.stack([X, Y, Z]))
    index.remove("b", "0")  # that is a photo of a
    index.remove("nobody")
    assert len(index) == 3
    index.remove("a", "0")
    assert index.nearest(X[None], people=1) == [[("a", 0.0)]]
    index.remove("a")
    assert (len(index), index.nearest(X[None])) == (1, [[("b", 0.0)]])
    index.add("a", "3", X[None])
    assert index.nearest(X[None], people=1) == [[("a", 1.0)]]


def test_removed_templates_are_in_no_array_any_more():
    index = index_of(["a", "b"], np.stack([X, Y]))
    index.remove("a")
    assert len(index) == 1
    assert X.tolist() not in index._rows.tolist()


def test_searches_go_on_while_others_add_and_remove():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = ExactIndex(["a"], ["first"], rows[:1])
    wrong = []

    def search():
        for _ in range(300):
            (found,) = index.nearest(rows[:1], people=1)
            wrong.extend(one for one in found if one[0] != "a" or abs(one[1] - 1) > 1e-5)

    searching = [Thread(target=search) for _ in range(2)]
    for thread in searching:
        thread.start()
    for turn in range(5):
        for number, row in enumerate(rows[1:]):
            index.add(f"other {number % 7}", f"{turn} {number}", row[None])
        for number in range(7):
            index.remove(f"other {number}")
    for thread in searching:
        thread.join()
    assert (wrong, len(index)) == ([], 1)


def test_what_changes_in_a_block_is_seen_whole():
    index = index_of(["a"], X[None])
    seen = []

    def search():
        seen.append(index.nearest(X[None]))

    with index.changing():
        index.remove("a")
        thread = Thread(target=search)
        thread.start()
        thread.join(0.1)
        index.add("b", "0", X[None])
    thread.join()
    assert seen == [[[("b", 1.0)]]]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
    st.integers(0, 2**32 - 1),
)
def test_it_is_what_a_loop_finds_whatever_the_order(people, removed, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(people), 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    probe = rows[:1]
    index = added_one_by_one(people, rows)
    for row in removed & set(range(len(people))):
        index.remove(people[row], str(row))
    kept = [row for row in range(len(people)) if row not in removed]
    expected = {
        person: max(float(rows[row] @ probe[0]) for row in kept if people[row] == person)
        for person in sorted({people[row] for row in kept})
    }
    (found,) = index.nearest(probe, people=99)
    assert dict(found) == pytest.approx(expected, abs=1e-6)
    similar = [one for _, one in found]
    assert similar == sorted(similar, reverse=True)
    assert len(index) == len(kept)
