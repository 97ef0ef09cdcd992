"""The search among many: what FAISS shortlists is compared, and is what all rows would give."""

from threading import Thread

import numpy as np
import pytest

from visavis.errors import MismatchError
from visavis.gallery import ExactIndex, Sample, following, open_gallery

pytest.importorskip("faiss", reason="faiss-cpu is not installed")

from visavis.gallery import faiss as module
from visavis.gallery.faiss import FaissIndex

DIM = 32
CLOSE = 0.005  # what a row of 32 numbers in 8 bits may move a similarity by


def unit(rng, count, dim=DIM):
    rows = rng.standard_normal((count, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def small(monkeypatch):
    """A shortlist and blocks so small that a few rows reach past them."""
    monkeypatch.setattr(module, "SHORTLIST", 8)
    monkeypatch.setattr(module, "BLOCK", 16)
    monkeypatch.setattr(module, "ROOM", 4)


def check_same(index, exact, probes, people=1):
    """The same people, as close."""
    assert len(index) == len(exact)
    for one, other in zip(
        index.nearest(probes, people), exact.nearest(probes, people), strict=True
    ):
        values = [value for _, value in one]
        assert dict(one) == pytest.approx(dict(other), abs=CLOSE)
        assert values == sorted(values, reverse=True)


def both(rows, people):
    index, exact = FaissIndex(rows), ExactIndex()
    samples = [str(number) for number in range(len(rows))]
    index.extend(people, samples, rows)
    for person, sample, row in zip(people, samples, rows, strict=True):
        exact.add(person, sample, row[None])
    return index, exact


def test_the_closest_person_is_the_exact_one(rng):
    rows = unit(rng, 3000)
    index, exact = both(rows, [f"p{number // 3}" for number in range(3000)])
    check_same(index, exact, rows[::100])
    mates = 0.7 * rows[::30] + 0.5 * unit(rng, 100)
    check_same(index, exact, mates / np.linalg.norm(mates, axis=1, keepdims=True))


def test_adding_and_removing_is_as_in_the_exact_index(rng, small):
    rows = unit(rng, 400)
    people = [f"p{number % 37}" for number in range(400)]
    index, exact = both(rows[:200], people[:200])
    for number in range(200, 400):
        for one in (index, exact):
            one.add(people[number], str(number), rows[number : number + 1])
        if number % 3 == 0:
            gone = int(rng.integers(number))
            for one in (index, exact):
                one.remove(people[gone], str(gone) if number % 2 else None)
                one.remove(people[gone], "no such photo")
                one.remove("nobody")
        if number % 20 == 0:
            # Every person is asked for, so the shortlist cannot be enough.
            check_same(index, exact, rows[:5], people=99)


def test_a_person_of_many_photos_does_not_hide_the_next_one(rng, small):
    probe = unit(rng, 1)
    near = 0.9 * probe + 0.1 * unit(rng, 200)
    far = unit(rng, 3)
    rows = np.concatenate([near / np.linalg.norm(near, axis=1, keepdims=True), far])
    index, exact = both(rows, ["many"] * 200 + ["a", "b", "c"])
    check_same(index, exact, probe, people=4)
    assert index.nearest(probe)[0][0][0] == "many"


def test_of_equally_close_people_the_first_by_id_is_first(rng):
    rows = np.repeat(unit(rng, 1), 4, axis=0)
    index, _ = both(rows, ["c", "a", "b", "a"])
    assert [person for person, _ in index.nearest(rows[:1], people=3)[0]] == ["a", "b", "c"]


def test_nobody_is_there_to_be_found(rng):
    rows = unit(rng, 20)
    index = FaissIndex(rows)
    assert (len(index), index.nearest(rows[:2])) == (0, [[], []])
    index.add("a", "0", rows[:1])
    assert index.nearest(np.empty((0, DIM), np.float32)) == []
    assert index.nearest(np.full((1, DIM), np.nan, np.float32)) == [[]]
    index.remove("a")
    assert (len(index), index.nearest(rows[:1])) == (0, [[]])


def test_other_lengths_are_refused(rng):
    index, _ = both(unit(rng, 20), ["a"] * 20)
    with pytest.raises(MismatchError, match="probes of 8 and templates of 32 numbers"):
        index.nearest(unit(rng, 1, 8))
    with pytest.raises(MismatchError, match="new templates of 8 and templates of 32 numbers"):
        index.add("b", "1", unit(rng, 1, 8))


def test_what_is_removed_is_in_no_array(rng, small):
    index, _ = both(unit(rng, 100), ["gone", "kept"] * 50)
    before = [part.codes.ntotal for part in index._parts]
    with index.changing():
        index.remove("gone", "0")
        index.remove("gone")
        assert (len(index), sum(before)) == (50, 100)  # masked at once
    for part in index._parts:
        assert part.codes.ntotal == part.count
        assert not part.rows[part.count :].any()
        assert set(part.owners[: part.count].tolist()) == {index._codes["kept"]}
    assert sum(part.count for part in index._parts) == 50


def test_what_changes_in_a_block_is_seen_whole(rng):
    rows = unit(rng, 20)
    index, _ = both(rows[:1], ["a"])
    seen = []
    with index.changing():
        index.remove("a")
        thread = Thread(target=lambda: seen.append(index.nearest(rows[1:2])))
        thread.start()
        thread.join(0.1)
        index.add("b", "1", rows[1:2])
    thread.join()
    assert [person for person, _ in seen[0][0]] == ["b"]


def test_a_large_gallery_is_searched_by_faiss_and_followed(tmp_path, cache, monkeypatch, rng):
    rows = unit(rng, 60)
    writing = open_gallery(tmp_path / "g")
    people = [writing.add_person(f"Person {number}") for number in range(60)]

    def enrol(number):
        sample = Sample("photo", str(number), {}, {"m@0": rows[number]})
        writing.add_sample(people[number].id, sample)

    for number in range(50):
        enrol(number)
    monkeypatch.setattr(following, "LARGE", 50 * DIM + 1)
    assert isinstance(open_gallery(tmp_path / "g").index("m@0"), ExactIndex)
    monkeypatch.setattr(following, "LARGE", 50 * DIM)
    reading = open_gallery(tmp_path / "g")
    index = reading.index("m@0")
    assert isinstance(index, FaissIndex)
    for number in range(50, 60):
        enrol(number)
    writing.delete(people[3].id)
    writing.merge(people[4].id, people[5].id)
    assert reading.index("m@0") is index
    owners = [one.id for one in people]
    owners[5] = owners[4]
    for number in set(range(60)) - {3}:
        ((closest, *_),) = reading.index("m@0").nearest(rows[number : number + 1])
        assert closest == (owners[number], pytest.approx(1, abs=CLOSE))
    assert len(index) == 59


def test_a_damaged_template_of_a_large_gallery_is_named(tmp_path, cache, monkeypatch, rng):
    rows = unit(rng, 40)
    gallery = open_gallery(tmp_path / "g")
    person = gallery.add_person("Anna")
    for number, row in enumerate(rows):
        gallery.add_sample(person.id, Sample("photo", str(number), {}, {"m@0": row}))
    with gallery.database.writing() as connection:
        connection.exec_driver_sql(
            "update templates set data = zeroblob(length(data)) where rowid % 10 = 0"
        )
    monkeypatch.setattr(following, "LARGE", 1)
    monkeypatch.setattr("visavis.gallery.templates.LARGE_CHUNK", 7)
    fresh = open_gallery(tmp_path / "g")
    assert (len(fresh.index("m@0")), len(fresh.quarantined("m@0"))) == (36, 4)
