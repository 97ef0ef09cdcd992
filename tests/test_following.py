"""An index follows its gallery through the audit chain, whoever changes it, and reads no more."""

import json
import re
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from gallery_children import change, place_of

from visavis.gallery import Sample, following, open_gallery
from visavis.gallery.audit import ENROLL, ERASE, MERGE, RE_EMBED, Entry
from visavis.gallery.backups import backup, restore
from visavis.gallery.following import Changes, changes_of

MODEL, OTHER = "made@0", "other@1"
AXES = np.eye(8, dtype=np.float32)


def photo(number, row=0, model=MODEL):
    return Sample(f"{number}.jpg", f"{number}", {}, {model: AXES[row]})


def entry(action, person=None, **details):
    return Entry(1, "", action, person, json.dumps(details))


@pytest.fixture
def gallery(place):
    opened = open_gallery(place)
    yield opened
    opened.close()


@pytest.fixture
def in_a_file(tmp_path):
    return open_gallery(tmp_path / "gallery")


@pytest.fixture
def another(gallery):
    """The same gallery, as another process has it."""
    opened = open_gallery(place_of(gallery))
    yield opened
    opened.close()


@pytest.fixture
def no_full_reading(monkeypatch):
    """From when it is called, a gallery that is read whole is a failure."""
    return lambda: monkeypatch.setattr(
        following, "all_templates", lambda *_: pytest.fail("the gallery was read whole")
    )


def check_same(gallery):
    """What was followed is what is read anew."""
    fresh = open_gallery(place_of(gallery))
    followed, whole = gallery.index(MODEL), fresh.index(MODEL)
    bad, all_bad = gallery.quarantined(MODEL), fresh.quarantined(MODEL)
    probes = AXES[:, : gallery.templates(MODEL)[0].rows.shape[1]]
    fresh.close()
    assert len(followed) == len(whole)
    assert followed.nearest(probes, people=99) == whole.nearest(probes, people=99)
    assert sorted(bad, key=repr) == sorted(all_bad, key=repr)


@pytest.mark.parametrize(
    ("entries", "changes"),
    [
        ([], Changes()),
        ([entry("rename", "a"), entry("keep", document="x"), entry("add person", "a")], Changes()),
        ([entry(ENROLL, "a", sample="s")], Changes(samples={"s": "a"})),
        ([entry(RE_EMBED, "a", sample="s")], Changes(samples={"s": "a"})),
        ([entry(ERASE, "a")], Changes(gone={"a"})),
        ([entry(MERGE, "a", merged="b")], Changes(gone={"b"}, people={"a"})),
        (
            [entry(ENROLL, "b", sample="s"), entry(MERGE, "a", merged="b"), entry(ERASE, "c")],
            Changes(gone={"b", "c"}, people={"a"}, samples={"s": "b"}),
        ),
        ([entry(ENROLL, "a")], None),  # of an older visavis
        ([entry(MERGE, "a")], None),
        ([entry("transmogrify", "a")], None),  # of a newer one
        ([Entry(1, "", ENROLL, "a", "no JSON")], None),
        ([Entry(1, "", ENROLL, "a", "[]")], None),
    ],
)
def test_what_entries_did_to_templates(entries, changes):
    assert changes_of(entries) == changes


RECORDED = re.compile(r'(?:\.change|\brecord)\(\s*(?:connection,\s*)?"([a-z ]+)"')


def test_nothing_that_is_noted_lets_everything_be_read_again():
    """An action that HARMLESS lacks costs each process seconds, where the gallery is large."""
    noted = {
        action
        for path in Path(following.__file__).parents[1].rglob("*.py")
        for action in RECORDED.findall(path.read_text("utf-8"))
    }
    assert {"request", "keep", "make api key", "require consent"} <= noted
    assert noted - following.HARMLESS == set()


def test_every_change_of_another_process_is_caught_up(gallery, another, no_full_reading):
    ann, bob, eve = (gallery.add_person(name) for name in ("Ann", "Bob", "Eve"))
    for number, person in enumerate((ann, bob, eve)):
        gallery.add_sample(person.id, photo(number, number))
    index = gallery.index(MODEL)
    steps = [
        lambda: another.add_sample(ann.id, photo(3, 3)),
        lambda: another.add_sample(eve.id, photo(0, 4)),
        lambda: another.rename(bob.id, "Bert"),
        lambda: another.merge(ann.id, eve.id),
        lambda: another.delete(bob.id),
        lambda: another.add_sample(another.add_person("Zoë").id, photo(9, 5)),
        lambda: another.keep("paper", b"text"),
        lambda: another.add_sample(ann.id, photo(7, 6, OTHER)),
    ]
    expected = [4, 5, 5, 4, 3, 4, 4, 4]  # the photo 0 is there already when Eve becomes Ann
    no_full_reading()
    counts = []
    for step in steps:
        step()
        assert gallery.index(MODEL) is index
        counts.append(len(index))
    assert counts == expected
    assert index.nearest(AXES[2:3], people=1) == [[(ann.id, 1.0)]]  # Eve's, until they were merged


def test_a_followed_index_is_what_is_read_anew(gallery, another):
    rng = np.random.default_rng(0)
    people = [gallery.add_person(f"Person {number}").id for number in range(5)]
    gallery.index(MODEL)
    for number in range(60):
        at = people[rng.integers(len(people))]
        do = rng.integers(6)
        if do == 0 and len(people) > 3:
            another.delete(at)
            people.remove(at)
        elif do == 1 and len(people) > 3:
            kept = people[(people.index(at) + 1) % len(people)]
            another.merge(kept, at)
            people.remove(at)
        elif do == 2:
            people.append(another.add_person(f"New {number}").id)
        else:
            (gallery if do == 3 else another).add_sample(at, photo(number % 9, rng.integers(8)))
        if rng.integers(2):
            check_same(gallery)
    check_same(gallery)


def test_a_template_that_is_made_again_is_replaced(gallery, another, no_full_reading):
    ann = gallery.add_person("Ann")
    sample = gallery.add_sample(ann.id, photo(1))
    gallery.index(MODEL)
    no_full_reading()
    another.add_template(ann.id, sample, MODEL, AXES[3])
    assert gallery.index(MODEL).nearest(AXES[3:4]) == [[(ann.id, 1.0)]]
    assert len(gallery.index(MODEL)) == 1


def test_whoever_is_erased_is_in_no_index_at_once(gallery):
    ann, bob = gallery.add_person("Ann"), gallery.add_person("Bob")
    gallery.add_sample(ann.id, photo(1, 0))
    gallery.add_sample(bob.id, photo(2, 1))
    index = gallery.index(MODEL)
    gallery.delete(ann.id)
    assert index.nearest(AXES[:1]) == [[(bob.id, 0.0)]]  # though nobody asked for it anew


def test_a_damaged_template_is_named_when_it_is_caught_up(gallery, another):
    ann = gallery.add_person("Ann")
    good = gallery.add_sample(ann.id, photo(1, 0))
    gallery.index(MODEL)
    bad = another.add_sample(ann.id, photo(2, 1))
    change(another, "UPDATE templates SET data = 'text' WHERE sample_id = ?", bad)
    assert [one.sample for one in gallery.quarantined(MODEL)] == [bad]
    assert len(gallery.index(MODEL)) == 1
    another.add_template(ann.id, bad, MODEL, AXES[1])
    assert (gallery.quarantined(MODEL), len(gallery.index(MODEL))) == ((), 2)
    assert good
    another.delete(ann.id)
    assert (gallery.quarantined(MODEL), len(gallery.index(MODEL))) == ((), 0)


def test_another_history_is_read_whole(in_a_file, tmp_path):
    gallery = in_a_file
    ann = gallery.add_person("Ann")
    gallery.add_sample(ann.id, photo(1, 0))
    backup(gallery, tmp_path / "copy.db")
    gallery.add_sample(ann.id, photo(2, 1))
    index = gallery.index(MODEL)
    gallery.database.close()
    restored = restore(tmp_path / "copy.db", gallery.database.path.parent, replace=True)
    restored.add_sample(restored.add_person("Bob").id, photo(3, 2))
    restored.close()
    assert gallery.index(MODEL) is not index
    assert len(gallery.index(MODEL)) == 2
    check_same(gallery)


def test_a_model_can_begin_anew_with_another_length(gallery, another):
    ann = gallery.add_person("Ann")
    gallery.add_sample(ann.id, photo(1))
    assert len(gallery.index(MODEL)) == 1
    another.delete(ann.id)
    bob = another.add_person("Bob")
    short = np.eye(1, 4, dtype=np.float32)
    another.add_sample(bob.id, Sample("b.jpg", "b", {}, {MODEL: short[0]}))
    assert gallery.index(MODEL).nearest(short) == [[(bob.id, 1.0)]]


def test_several_threads_search_and_enrol_at_once(gallery):
    ann = gallery.add_person("Ann")
    gallery.add_sample(ann.id, photo(0, 0))
    wrong = []

    def search():
        for _ in range(40):
            ((closest, *_),) = gallery.index(MODEL).nearest(AXES[:1])
            if closest != (ann.id, 1.0):
                wrong.append(closest)

    def enrol(name):
        person = gallery.add_person(name)
        for number in range(10):
            gallery.add_sample(person.id, photo(number, 1))

    threads = [Thread(target=search) for _ in range(3)]
    threads += [Thread(target=enrol, args=(name,)) for name in ("Bob", "Carl")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, len(gallery.index(MODEL))) == ([], 21)
    check_same(gallery)


def test_one_person_is_searched_without_reading_the_others(gallery, no_full_reading):
    ann, bob = gallery.add_person("Ann"), gallery.add_person("Bob")
    gallery.add_sample(ann.id, photo(1, 0))
    gallery.add_sample(ann.id, photo(2, 1))
    gallery.add_sample(bob.id, photo(3, 2))
    no_full_reading()
    index = gallery.index_of(ann.id, MODEL)
    assert (len(index), index.nearest(AXES[2:3])) == (2, [[(ann.id, 0.0)]])
    assert len(gallery.index_of("nobody", MODEL)) == len(gallery.index_of(ann.id, OTHER)) == 0


def test_the_changes_of_a_gallery_are_its_audit_in_order(gallery, another):
    ann = another.add_person("Ann")
    sample = another.add_sample(ann.id, photo(1))
    made, added, enrolled = gallery.changes(0)
    assert [one.action for one in (made, added, enrolled)] == [
        "make gallery",
        "add person",
        "enroll",
    ]
    assert (enrolled.person, json.loads(enrolled.details)) == (ann.id, {"sample": sample})
    assert gallery.changes(added.seq) == [enrolled]
    assert gallery.changes(enrolled.seq) == []


def test_templates_in_another_order_than_their_photos_find_them(in_a_file, monkeypatch):
    gallery = in_a_file
    monkeypatch.setattr("visavis.gallery.templates.READ", 2)
    people = [gallery.add_person(f"Person {number}").id for number in range(8)]
    photos = [gallery.add_sample(one, photo(at, at)) for at, one in enumerate(people)]
    for at in (6, 2, 7, 0, 5, 3, 1, 4):
        gallery.add_template(people[at], photos[at], OTHER, AXES[at])
    with gallery.database.writing() as connection:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.exec_driver_sql("UPDATE templates SET sample_id = 'gone' WHERE rowid = 12")
        columns = "person_id, source, '', quality, crop, added_at"
        connection.exec_driver_sql(
            f"INSERT INTO samples SELECT 'gone', {columns} FROM samples LIMIT 1"
        )
    fresh = open_gallery(place_of(gallery))
    expected = [[(person, 1.0)] for at, person in enumerate(people) if at != 0]
    assert fresh.index(OTHER).nearest(AXES[1:], people=1) == expected
    assert [one.sample for one in fresh.quarantined(OTHER)] == ["gone"]
    fresh.close()
