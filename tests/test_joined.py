"""Several models' templates of a photo, joined: what an ensemble searches and does not see."""

import numpy as np
import pytest
from sqlalchemy import delete, update

from visavis.errors import MismatchError
from visavis.gallery import Sample, following, open_gallery
from visavis.gallery.models import Apart, people_seen, photo_without, photos_apart
from visavis.gallery.tables import TEMPLATES
from visavis.types import Part

A, B = "a@1", "b@2"
# Shares of 0.36 and 0.64: a similarity is 0.36 times that by A and 0.64 times that by B.
PARTS = (Part(A, 4, 0.6), Part(B, 8, 0.8))
AXES = np.eye(8, dtype=np.float32)


def sample(name, **rows):
    """A photo whose templates are axes: by A, by B."""
    templates = {"a": (A, 4), "b": (B, 8)}
    return Sample(
        f"{name}.jpg",
        name,
        {},
        {templates[key][0]: AXES[row, : templates[key][1]] for key, row in rows.items()},
    )


def probe(a, b):
    return np.concatenate([0.6 * AXES[a, :4], 0.8 * AXES[b]])[None]


@pytest.fixture
def people(gallery):
    """Ann has a photo of both models, Bob one of A alone, Carl one of B alone."""
    who = {name: gallery.add_person(name).id for name in ("Ann", "Bob", "Carl")}
    gallery.add_sample(who["Ann"], sample("ann", a=0, b=1))
    gallery.add_sample(who["Bob"], sample("bob", a=1))
    gallery.add_sample(who["Carl"], sample("carl", b=2))
    return who


@pytest.mark.parametrize(
    ("rows", "similarity"), [((0, 1), 1.0), ((0, 0), 0.36), ((1, 1), 0.64), ((1, 2), 0.0)]
)
def test_a_similarity_is_that_of_both(gallery, people, rows, similarity):
    ((closest,),) = gallery.index(PARTS).nearest(probe(*rows))
    assert closest == (people["Ann"], pytest.approx(similarity))
    ((closest,),) = gallery.index_of(people["Ann"], PARTS).nearest(probe(*rows))
    assert closest[1] == pytest.approx(similarity)


def test_each_model_is_searched_alone_as_before(gallery, people):
    assert len(gallery.index(A)) == len(gallery.index((Part(A, 4),))) == 2
    assert gallery.index(B).nearest(AXES[2:3], 1) == [[(people["Carl"], 1.0)]]


def test_what_is_stored_is_a_template_a_model(gallery, people):
    (stored,) = gallery.samples(people["Ann"])
    assert {model: rows.tolist() for model, rows in stored.templates.items()} == {
        A: AXES[0, :4].tolist(),
        B: AXES[1].tolist(),
    }


@pytest.mark.parametrize(
    ("parts", "apart", "seen"),
    [
        (A, Apart(1, 1, (B,)), {"Ann", "Bob"}),
        ((PARTS[1],), Apart(1, 1, (A,)), {"Ann", "Carl"}),
        (PARTS, Apart(2, 2, (A, B)), {"Ann"}),
        ((*PARTS, Part("c@3", 2)), Apart(3, 3, (A, B)), set()),
    ],
)
def test_photos_that_lack_a_model_are_counted(gallery, people, parts, apart, seen):
    assert photos_apart(gallery, parts) == apart
    assert people_seen(gallery, parts) == {people[name] for name in seen}
    lacking = {name for name in people if photo_without(gallery, people[name], name.lower(), parts)}
    assert lacking == set(people) - seen


def test_nothing_is_joined_of_an_empty_gallery(gallery):
    assert len(gallery.index(PARTS)) == 0
    assert gallery.templates(PARTS)[0].rows.shape == (0, 12)


def check_same(gallery):
    """What was followed is what is read anew."""
    fresh = open_gallery(gallery.database.path.parent)
    followed, whole = gallery.index(PARTS), fresh.index(PARTS)
    probes = np.concatenate([probe(a, b) for a in range(4) for b in range(8)])
    assert followed.nearest(probes, people=9) == whole.nearest(probes, people=9)
    assert len(followed) == len(whole)
    assert set(gallery.quarantined(PARTS)) == set(fresh.quarantined(PARTS))
    fresh.close()


def test_an_index_follows_what_is_added_moved_and_erased(gallery, people, monkeypatch):
    index = gallery.index(PARTS)
    monkeypatch.setattr(following, "all_templates", lambda *_: pytest.fail("read whole"))
    (bob,) = gallery.samples(people["Bob"])
    gallery.add_template(people["Bob"], bob.id, B, AXES[3])
    assert gallery.index(PARTS) is index
    assert index.nearest(probe(1, 3), 1) == [[(people["Bob"], pytest.approx(1))]]
    gallery.merge(people["Carl"], people["Bob"])
    assert gallery.index(PARTS).nearest(probe(1, 3), 1)[0][0][0] == people["Carl"]
    gallery.delete(people["Ann"])
    assert len(gallery.index(PARTS)) == 1
    gallery.remove_photos([bob.id])
    assert len(gallery.index(PARTS)) == 0


@pytest.mark.slow
def test_any_order_of_changes_is_followed(gallery):
    """200 random changes; after each fifth what was followed is what is read anew."""
    rng = np.random.default_rng(0)
    people = [gallery.add_person(f"P{number}").id for number in range(5)]
    for number in range(200):
        person = people[rng.integers(len(people))]
        rows = {"a": int(rng.integers(4)), "b": int(rng.integers(8))}
        kept = [key for key in rows if rng.random() < 0.7]
        photos = gallery.samples(person)
        action = rng.integers(4)
        if action < 2:
            gallery.add_sample(person, sample(str(number), **{key: rows[key] for key in kept}))
        elif action == 2 and photos:
            gallery.add_template(person, photos[-1].id, B, AXES[rows["b"]])
        elif photos:
            gallery.remove_photos([photos[0].id])
        if number % 50 == 49:
            gallery.merge(people[0], people.pop())
        if number % 10 == 9:
            check_same(gallery)


def test_a_damaged_member_is_named_and_its_photo_left_out(gallery, people):
    for bad in (B, A):
        with gallery.database.writing() as connection:
            mine = TEMPLATES.c.model == bad
            connection.execute(update(TEMPLATES).where(mine).values(data=b"x" * 60))
        fresh = open_gallery(gallery.database.path.parent)
        assert len(fresh.index(PARTS)) == 0
        assert people["Ann"] in {one.person for one in fresh.quarantined(PARTS)}
        fresh.close()


def test_a_template_cannot_stand_in_for_another_models(gallery, people):
    """Who can write the file gives Ann's template by B to Bob's photo: it does not open there."""
    (ann,), (bob,) = gallery.samples(people["Ann"]), gallery.samples(people["Bob"])
    with gallery.database.writing() as connection:
        connection.execute(delete(TEMPLATES).where(TEMPLATES.c.sample_id == bob.id))
        connection.execute(
            update(TEMPLATES).where(TEMPLATES.c.sample_id == ann.id).values(sample_id=bob.id)
        )
    fresh = open_gallery(gallery.database.path.parent)
    assert len(fresh.index(PARTS)) == 0
    assert [one.sample for one in fresh.quarantined(PARTS)] == [bob.id]
    fresh.close()


def test_members_of_another_length_are_no_match(gallery, people):
    longer = (PARTS[0], Part(B, 4, 0.8))
    assert len(gallery.index(longer)) == 0
    assert [one.reason for one in gallery.quarantined(longer)] == ["of 8 numbers"]
    with pytest.raises(MismatchError, match="a@1: expected rows of 2 numbers, got rows of 4"):
        gallery.index((Part(A, 2, 0.6), PARTS[1]))


def test_a_large_gallery_is_searched_by_faiss(gallery, people, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(following, "LARGE", 1)
    for number in range(4):
        gallery.add_sample(people["Bob"], sample(f"more{number}", a=number, b=number + 4))
    index = gallery.index(PARTS)
    assert type(index).__name__ == "FaissIndex"
    ((closest, *_),) = index.nearest(probe(2, 6))
    assert closest == (people["Bob"], pytest.approx(1, abs=0.02))
    assert len(index) == 5
