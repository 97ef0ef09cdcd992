"""The store: people, photos, templates; names as they are given; errors that say what is wrong."""

import sqlite3
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from gallery_children import change, query
from sqlalchemy import event, select

from visavis.errors import EmbeddingError, GalleryError, MismatchError, PersonError
from visavis.gallery import Sample, erasure, open_gallery, tables
from visavis.gallery.tables import SETTINGS

MODEL, OTHER = "made@0", "other@1"
AXES = np.eye(8, dtype=np.float32)
NAMES = """
Robert'); DROP TABLE people;--
' OR '1'='1
%
_
"quoted"
../../etc/passwd
..
/dev/null
C:\\Windows\\CON
{name} {0} %s %n ${HOME} $(id) `id`
<script>alert(1)</script>
{{7*7}}
${jndi:ldap://example.org}
=HYPERLINK("http://example.org")
-1+1
--help
NULL
Ωμέγα 李小龍 محمد 👩‍👩‍👧
""".strip().splitlines()


@pytest.fixture
def gallery(place):
    return open_gallery(place)


def photo(number, row=0, **more):
    return Sample(f"{number}.jpg", f"{number:064x}", {"sharpness": 1.5}, {MODEL: AXES[row]}, **more)


def test_a_person_and_a_photo_come_back_as_they_went_in(place, gallery):
    ann = gallery.add_person("Ann", external_id="A-1", consent="signed 2026-01-02")
    sample = gallery.add_sample(ann.id, photo(1, crop=b"PNG"))
    again = open_gallery(place)
    (found,) = again.people()
    assert (found.id, found.name, found.external_id) == (ann.id, "Ann", "A-1")
    assert (found.consent, found.seen_at, found.samples) == ("signed 2026-01-02", None, 1)
    (held,) = again.samples(ann.id)
    assert held.id == sample
    assert held.person_id == ann.id
    assert held.source == "1.jpg"
    assert held.source_sha256 == f"{1:064x}"
    assert held.quality == {"sharpness": 1.5}
    assert held.crop == b"PNG"
    assert held.templates[MODEL].tolist() == AXES[0].tolist()
    assert again.has_photo(ann.id, f"{1:064x}")
    assert not again.has_photo(ann.id, f"{2:064x}")
    assert not again.has_photo("nobody", f"{1:064x}")


def test_the_very_photo_is_stored_once_a_person(gallery):
    ann, bob = gallery.add_person("Ann"), gallery.add_person("Bob")
    assert gallery.add_sample(ann.id, photo(1)) is not None
    assert gallery.add_sample(ann.id, photo(1)) is None
    assert gallery.add_sample(bob.id, photo(1)) is not None
    assert [person.samples for person in gallery.people()] == [1, 1]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_and_nothing_else(place, gallery, name):
    gallery.add_person("Ann")
    person = gallery.add_person(name, external_id=f"id {name}", consent=name)
    assert gallery.find(name).id == person.id
    assert gallery.find(f"id {name}").id == person.id
    assert [(p.name, p.consent) for p in gallery.people(name)] == [(name, name)]
    sample = Sample(name, "0" * 64, {"note": name}, {name: AXES[0]})
    assert gallery.add_sample(person.id, sample) is not None
    (held,) = gallery.samples(person.id)
    assert (held.source, held.quality, [*held.templates]) == (name, {"note": name}, [name])
    assert len(gallery.templates(name)[0].rows) == 1
    assert len(gallery.people()) == 2
    if isinstance(place, Path):
        assert sorted(file.name for file in place.iterdir()) == ["ballast", "gallery.db"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "  ",
        "a\0b",
        "a\nb",
        "\x1b[31mred",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        "\ud800",
        "a\ud800",
        "x" * 201,
    ],
)
def test_what_is_no_name_is_refused_everywhere(gallery, name):
    ann = gallery.add_person("Ann")
    for refused in (
        lambda: gallery.add_person(name),
        lambda: gallery.find_or_add(name),
        lambda: gallery.rename(ann.id, name),
        lambda: gallery.people(name),
        lambda: gallery.find(name),
    ):
        with pytest.raises(PersonError):
            refused()
    if name.strip():
        with pytest.raises(PersonError):
            gallery.add_person("Bob", external_id=name)
    assert [person.name for person in gallery.people()] == ["Ann"]
    assert gallery.audit_broken_at() is None


def test_a_name_of_200_characters_is_one(gallery):
    assert gallery.add_person("x" * 200).name == "x" * 200


def test_a_consent_note_is_text(gallery):
    for note in ("", "a\0b", "\udcff", "x" * 10_001):
        with pytest.raises(PersonError):
            gallery.add_person("Ann", consent=note)


def test_a_files_name_that_is_no_text_is_stored_readably(gallery):
    ann = gallery.add_person("Ann")
    gallery.add_sample(ann.id, Sample("caf\udce9.jpg", "0" * 64, {}, {MODEL: AXES[0]}))
    assert gallery.samples(ann.id)[0].source == "caf\\udce9.jpg"


def test_composed_and_decomposed_are_one_person(gallery):
    composed, decomposed = (unicodedata.normalize(form, "Zoë Ångström") for form in ("NFC", "NFD"))
    assert composed != decomposed
    person = gallery.find_or_add(f" {decomposed} ")
    assert person.name == composed
    assert gallery.find_or_add(composed).id == person.id
    assert gallery.find(decomposed).id == gallery.find(composed).id == person.id


def test_two_people_of_one_name_are_told_apart_by_id(gallery):
    first = gallery.add_person("Ann", external_id="A-1")
    second = gallery.find_or_add("Ann", external_id="A-2")
    third = gallery.add_person("Ann")
    with pytest.raises(PersonError) as error:
        gallery.find("Ann")
    assert "3 people are called 'Ann'" in str(error.value)
    assert all(id_ in str(error.value) for id_ in ("A-1", "A-2", third.id))
    gallery.delete(third.id)
    with pytest.raises(PersonError, match="2 people are called 'Ann'"):
        gallery.known_as("Ann")
    third = gallery.add_person("Ann")
    assert [gallery.find(who).id for who in ("A-1", "A-2", third.id)] == [
        first.id,
        second.id,
        third.id,
    ]
    with pytest.raises(PersonError, match="3 people"):
        gallery.find_or_add("Ann")
    with pytest.raises(PersonError, match="external id 'A-1' already"):
        gallery.add_person("Bob", external_id="A-1")
    with pytest.raises(PersonError, match="nobody is called 'Eve'"):
        gallery.find("Eve")


def test_found_or_added_says_how_many_photos(gallery):
    ann = gallery.find_or_add("Ann")
    gallery.add_sample(ann.id, photo(1))
    assert gallery.find_or_add("Ann").samples == 1
    assert {id_: person.samples for id_, person in gallery.people_of([ann.id, "?"]).items()} == {
        ann.id: 1
    }


def test_a_rename_is_kept(gallery):
    ann = gallery.add_person("Ann")
    gallery.rename(ann.id, "Anna")
    assert gallery.find("Anna").id == ann.id
    with pytest.raises(PersonError, match="nobody"):
        gallery.find("Ann")


def test_merging_gives_all_photos_to_one(gallery):
    ann, twin = gallery.add_person("Ann"), gallery.add_person("Ann B.")
    gallery.add_sample(ann.id, photo(1, 0))
    gallery.add_sample(twin.id, photo(1, 0))  # the very photo: kept once
    moved = gallery.add_sample(twin.id, photo(2, 1, crop=b"PNG"))
    gallery.merge(ann.id, twin.id)
    assert [(person.name, person.samples) for person in gallery.people()] == [("Ann", 2)]
    held = {sample.id: sample for sample in gallery.samples(ann.id)}
    assert held[moved].crop == b"PNG"
    templates, bad = gallery.templates(MODEL)
    assert (templates.people, len(templates.rows), bad) == ((ann.id,), 2, ())
    assert gallery.index(MODEL).nearest(AXES[1:2]) == [[(ann.id, 1.0)]]
    assert gallery.audit_broken_at() is None


def test_who_is_not_there_cannot_be_changed(gallery):
    ann = gallery.add_person("Ann")
    sample = gallery.add_sample(ann.id, photo(1))
    before = gallery.audit_of("nobody")
    for refused in (
        lambda: gallery.rename("nobody", "Bob"),
        lambda: gallery.merge(ann.id, "nobody"),
        lambda: gallery.merge("nobody", ann.id),
        lambda: gallery.merge(ann.id, ann.id),
        lambda: gallery.delete("nobody"),
        lambda: gallery.add_sample("nobody", photo(2)),
        lambda: gallery.add_template(ann.id, "no photo", OTHER, AXES[0]),
        lambda: gallery.add_template("nobody", sample, OTHER, AXES[0]),
    ):
        with pytest.raises(PersonError):
            refused()
    assert gallery.audit_of("nobody") == before == []
    assert gallery.find("Ann").samples == 1


def test_who_is_seen_is_noted(gallery):
    ann = gallery.add_person("Ann")
    bob = gallery.add_person("Bob")
    assert gallery.note_seen([ann.id, bob.id, ann.id, "nobody"])
    assert gallery.find("Bob").seen_at >= bob.added_at
    assert gallery.note_seen([])
    assert gallery.find("Ann").seen_at >= ann.added_at


def test_who_is_seen_cannot_be_noted_where_nobody_may_write(gallery, monkeypatch, caplog):
    ann = gallery.add_person("Ann")

    def refuse(_):
        raise GalleryError("the file is read-only")

    monkeypatch.setattr(type(gallery.database), "writing", refuse)
    assert not gallery.note_seen([ann.id])
    assert "cannot note who was seen: the file is read-only" in caplog.text
    assert gallery.find("Ann").seen_at is None


def test_a_gallery_may_demand_consent(place, gallery):
    gallery.add_person("Before")
    gallery.requires_consent = True
    again = open_gallery(place)
    assert again.requires_consent
    for add in (again.add_person, again.find_or_add):
        with pytest.raises(PersonError, match="demands a consent note"):
            add("Ann")
    assert again.find_or_add("Ann", consent="signed").consent == "signed"
    assert again.find_or_add("Before").name == "Before"
    again.requires_consent = False
    assert not gallery.requires_consent


def test_models_are_kept_apart(gallery):
    ann = gallery.add_person("Ann")
    sample = gallery.add_sample(ann.id, photo(1, 0))
    gallery.add_template(ann.id, sample, OTHER, AXES[1, :4])
    assert gallery.templates(MODEL)[0].rows.shape == (1, 8)
    assert gallery.templates(OTHER)[0].rows.shape == (1, 4)
    assert gallery.templates("unknown@2")[0].people == ()
    assert {*gallery.samples(ann.id)[0].templates} == {MODEL, OTHER}
    gallery.add_template(ann.id, sample, OTHER, AXES[2, :4])  # made again: replaced
    assert gallery.templates(OTHER)[0].rows.tolist() == [AXES[2, :4].tolist()]


@pytest.mark.parametrize(
    "row",
    [
        np.full(8, np.nan, np.float32),
        np.zeros(8, np.float32),
        AXES[0] * 1.01,
        np.full(8, np.inf, np.float32),
        AXES[0].astype(np.float64),
        AXES[:1],
        AXES[0, :4],  # another model's: not as long as those here
        np.float32(1),
        np.empty(0, np.float32),
    ],
)
def test_what_is_no_template_is_never_stored(gallery, row):
    ann = gallery.add_person("Ann")
    sample = gallery.add_sample(ann.id, photo(1))
    with np.errstate(invalid="ignore"), pytest.raises(EmbeddingError, match=MODEL):
        gallery.add_sample(ann.id, Sample("b.jpg", "b", {}, {MODEL: np.asarray(row)}))
    with pytest.raises(EmbeddingError, match=MODEL):
        gallery.add_template(ann.id, sample, MODEL, np.asarray(row))
    assert gallery.find("Ann").samples == 1
    assert len(gallery.templates(MODEL)[0].rows) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (np.zeros(8, np.float32), "not a unit vector"),
        (np.full(8, np.nan, np.float32), "not a unit vector"),
        (AXES[3] * np.float32(1.01), "not a unit vector"),
        (AXES[0, :4], "of 4 numbers"),
        (np.zeros(5, np.int8), "of 1.25 numbers"),
    ],
)
def test_what_was_sealed_and_is_no_template_is_named_and_in_no_index(place, gallery, row, reason):
    """Somebody who has the key, or an older visavis, wrote it."""
    ann = gallery.add_person("Ann")
    _, wrong, _ = (gallery.add_sample(ann.id, photo(number, number)) for number in range(3))
    data = gallery.vault.seal(row.tobytes(), gallery.id, ann.id, wrong, MODEL)
    change(gallery, "UPDATE templates SET data = ? WHERE sample_id = ?", data, wrong)
    for one in (gallery, open_gallery(place)):
        templates, bad = one.templates(MODEL)
        assert templates.rows.tolist() == AXES[[0, 2]].tolist()
        assert [(name.person, name.sample, name.reason) for name in bad] == [
            (ann.id, wrong, reason)
        ]
        assert len(one.index_of(ann.id, MODEL)) == 2


def test_what_another_process_adds_is_found_at_once(place, gallery):
    ann = gallery.add_person("Ann")
    gallery.add_sample(ann.id, photo(1))
    index = gallery.index(MODEL)
    assert len(index) == 1
    another = open_gallery(place)
    another.add_sample(ann.id, photo(2, 1))
    assert gallery.index(MODEL) is index  # kept in memory, and caught up
    assert len(gallery.templates(MODEL)[0].rows) == len(index) == 2
    another.delete(ann.id)
    assert gallery.templates(MODEL)[0].people == ()
    assert gallery.index(MODEL) is index
    assert len(index) == 0


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(GalleryError, match="cannot make a gallery here"):
        open_gallery(tmp_path / "file" / "gallery")


def test_an_embedding_of_another_length_is_no_probe(gallery):
    ann = gallery.add_person("Ann")
    gallery.add_sample(ann.id, photo(1))
    with pytest.raises(MismatchError, match="different models"):
        gallery.index(MODEL).nearest(AXES[:1, :4])


def test_consent_can_be_noted_later(gallery):
    anna = gallery.add_person("Anna")
    gallery.note_consent(anna.id, "by letter, 3 May")
    assert gallery.find("Anna").consent == "by letter, 3 May"
    with pytest.raises(PersonError, match="not in the gallery"):
        gallery.note_consent("nobody", "yes")


def test_a_document_is_kept_sealed_exchanged_and_removed(gallery):
    assert gallery.kept("calibration x") is None
    gallery.keep("calibration x", b"first of its kind")
    gallery.keep("calibration x", b"second of its kind")
    assert gallery.kept("calibration x") == b"second of its kind"
    assert gallery.kept("calibration y") is None
    assert not any(b"of its kind" in row[0] for row in query(gallery, "SELECT value FROM settings"))
    gallery.keep("calibration x", None)
    assert gallery.kept("calibration x") is None
    assert gallery.audit_broken_at() is None


def test_a_kept_document_that_was_altered_or_moved_is_refused(gallery):
    gallery.keep("one", b"document")
    change(gallery, "UPDATE settings SET name = 'kept two' WHERE name = 'kept one'")
    with pytest.raises(GalleryError, match="two was altered"):
        gallery.kept("two")


@pytest.fixture
def in_a_file(tmp_path):
    return open_gallery(tmp_path / "gallery")


def with_few_values(gallery, most):
    """As SQLite is where it was built to take so few values in a statement."""

    @event.listens_for(gallery.database.engine, "connect")
    def fewer(connection, _):
        connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, most)

    gallery.close()  # a new connection follows


def many_things_done(gallery):
    """Ten people of a photo each: all that names them at once."""
    people = [gallery.add_person(f"Person {number}").id for number in range(10)]
    photos = [gallery.add_sample(person, photo(1)) for person in people]
    with gallery.database.writing() as connection:
        for number in range(10):
            note = {"name": f"{erasure.TRACES} {number}", "value": b"yes"}
            gallery.database.put(connection, SETTINGS, note)
    with_few_values(gallery, 8)
    assert gallery.note_seen(people)
    assert all(person.seen_at for person in gallery.people())
    assert sorted(gallery.people_of([*people, *people])) == sorted(people)
    erasure.finish(gallery.database)
    # One more, and one of those that stays is named twice: what nobody else has of a photo goes.
    gallery.remove_photos([*photos[:9], photos[0], "no photo"])
    assert [person.samples for person in gallery.people()] == [0] * 9 + [1]
    assert b"1.jpg" in gallery.database.path.read_bytes()
    gallery.remove_photos(photos)
    assert b"1.jpg" not in gallery.database.path.read_bytes()
    with gallery.database.reading() as connection:
        names = connection.scalars(select(SETTINGS.c.name)).all()
    return [name for name in names if name.startswith(erasure.TRACES)], gallery.damages()


def test_more_ids_than_a_statement_takes_are_named_in_batches(in_a_file, monkeypatch):
    monkeypatch.setattr(tables, "MOST_IDS", 3)
    assert many_things_done(in_a_file) == ([], [])


def test_the_check_of_many_ids_can_fail(in_a_file, monkeypatch):
    monkeypatch.setattr(tables, "MOST_IDS", 10)
    with pytest.raises(AssertionError):  # it is warned of: too many SQL variables
        many_things_done(in_a_file)


@pytest.mark.slow
def test_forty_thousand_ids_are_named_in_batches_that_sqlite_takes(in_a_file):
    gallery = in_a_file
    ann = gallery.add_person("Ann")
    gallery.add_sample(ann.id, photo(1))
    ids = [*map(str, range(40_000)), ann.id]
    with_few_values(gallery, 32_766)
    assert [len(some) for some in tables.batches_of_ids(ids)] == [4096] * 9 + [3137]
    assert list(gallery.people_of(ids)) == [ann.id]
    assert gallery.note_seen(ids)
    assert gallery.people()[0].seen_at
