"""A merge is taken back: name, groups and photos are apart again, in the index and in the audit."""

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from visavis.errors import PersonError
from visavis.gallery import Sample, open_gallery
from visavis.gallery.groups import add_to_group
from visavis.gallery.merging import last_merge, merge_people, merges_of, unmerge
from visavis.gallery.rotation import rotate_key

MODEL = "m@0"
AXES = np.eye(8, dtype=np.float32)


@pytest.fixture
def two(gallery):
    """Ann with photos 0 and 1, Bob with 2 and 3, in a group and with an id of his own."""
    ids = []
    for name, rows in (("Ann", (0, 1)), ("Bob", (2, 3))):
        person = gallery.add_person(name, external_id=f"E-{name}", consent=f"form of {name}").id
        for row in rows:
            sample = Sample(f"{row}.jpg", str(row), {}, {MODEL: AXES[row]}, crop=b"png")
            gallery.add_sample(person, sample)
        ids.append(person)
    add_to_group(gallery, "night", ids[1:])
    return gallery, *ids


def owners(gallery) -> list[str]:
    """Whose each of the four photos is, by a search."""
    closest = gallery.index(MODEL).nearest(AXES[:4], people=1)
    known = gallery.people_of(row[0][0] for row in closest)
    return [known[row[0][0]].name for row in closest]


def test_who_was_merged_is_apart_again(two):
    gallery, ann, bob = two
    index = gallery.index(MODEL)
    assert owners(gallery) == ["Ann", "Ann", "Bob", "Bob"]
    merge_people(gallery, ann, bob)
    assert owners(gallery) == ["Ann"] * 4
    again = unmerge(gallery, last_merge(gallery, gallery.find("Ann")))
    assert owners(gallery) == ["Ann", "Ann", "Bob", "Bob"]
    assert gallery.index(MODEL) is index  # it followed, and was not read again
    assert (again.name, again.external_id, again.consent) == ("Bob", "E-Bob", "form of Bob")
    assert (again.groups, again.samples, again.id == bob) == (("night",), 2, False)
    assert len(gallery.index(MODEL, "night")) == 2 + 2  # Ann keeps the group of both
    assert {sample.crop for sample in gallery.samples(again.id)} == {b"png"}
    assert merges_of(gallery, ann) == []
    assert gallery.damages() == []
    with pytest.raises(PersonError, match="nobody who was merged into Ann"):
        last_merge(gallery, gallery.find("Ann"))


def test_what_both_had_and_what_was_removed_since_stays_away(two):
    gallery, ann, bob = two
    both = Sample("0.jpg", "0", {}, {MODEL: AXES[0]})
    gallery.add_sample(bob, both)
    merge_people(gallery, ann, bob)
    (first, *_, ) = [one.id for one in gallery.samples(ann) if one.source == "2.jpg"]  # fmt: skip
    gallery.remove_photos([first])
    again = unmerge(gallery, merges_of(gallery, ann)[0])
    assert [one.source for one in gallery.samples(again.id)] == ["3.jpg"]
    assert sorted(one.source for one in gallery.samples(ann)) == ["0.jpg", "1.jpg"]
    assert gallery.damages() == []


def test_merges_are_taken_back_one_by_one_through_others(two):
    gallery, ann, bob = two
    carl = gallery.add_person("Carl").id
    gallery.add_sample(carl, Sample("4.jpg", "4", {}, {MODEL: AXES[4]}))
    merge_people(gallery, ann, bob)
    merge_people(gallery, carl, ann)
    names = [one.name for one in merges_of(gallery, carl)]
    assert sorted(names) == ["Ann", "Bob"]
    for merged in merges_of(gallery, carl):
        if merged.name == "Bob":
            unmerge(gallery, merged)
    assert owners(gallery) == ["Carl", "Carl", "Bob", "Bob"]
    assert gallery.damages() == []


def test_what_cannot_be_changes_nothing(two):
    gallery, ann, bob = two
    with pytest.raises(PersonError):
        merge_people(gallery, ann, ann)
    with pytest.raises(PersonError):
        merge_people(gallery, ann, "nobody")
    merge_people(gallery, ann, bob)
    merged = last_merge(gallery, gallery.find("Ann"))
    gallery.add_person("Bobby", external_id="E-Bob")
    head = gallery.audit_head()
    with pytest.raises(PersonError, match="has the external id 'E-Bob' already"):
        unmerge(gallery, merged)
    assert (gallery.audit_head(), gallery.find("Ann").samples) == (head, 4)
    gallery.remove_photos(merged.photos)
    with pytest.raises(PersonError, match="no photo of Bob is left"):
        unmerge(gallery, merged)


def test_what_is_kept_goes_with_the_person_and_is_read_by_nobody_without_the_key(two):
    gallery, ann, bob = two
    merge_people(gallery, ann, bob)
    folder = gallery.database.path.parent
    data = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"form of Bob" not in data
    with closing(sqlite3.connect(gallery.database.path)) as file:
        ((sealed,),) = file.execute("SELECT sealed FROM merged_people").fetchall()
    gallery.delete(ann)
    assert sealed not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_new_key_opens_it(two):
    gallery, ann, bob = two
    merge_people(gallery, ann, bob)
    rotate_key(gallery)
    again = open_gallery(gallery.database.path.parent)
    assert [one.name for one in merges_of(again, ann)] == ["Bob"]
    again.close()


def test_the_command_line_takes_it_back(two, run):
    gallery, *_ = two
    folder = ("--gallery", gallery.database.path.parent)
    assert run("people", "merge", "Ann", "Bob", "--yes", *folder)[0] == 0
    code, out, _ = run("people", "unmerge", "Ann", *folder, "--json")
    document = json.loads(out)
    assert (code, document["unmerged"]["name"], document["from"]["samples"]) == (0, "Bob", 2)
    assert run("people", "unmerge", "Ann", *folder)[0] == 2
