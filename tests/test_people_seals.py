"""The rows of people are sealed: whatever is changed in them without the key is named, not used."""

import random
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from conftest import share
from gallery_children import MODEL, query

from visavis.errors import GalleryError, PersonError, VisavisError
from visavis.gallery import Sample, open_gallery, people
from visavis.gallery.audit import HEAD, Audit
from visavis.gallery.keycheck import KEY_CHECK, UNSEALED
from visavis.gallery.people import SealedPeople
from visavis.gallery.vault import ENVIRONMENT, PersonVault, Vault

AXES = np.eye(8, dtype=np.float32)
NAMES = ("Ann", "Boss", "Carl", "Dora")
COLUMNS = ("name", "external_id", "consent", "added_at", "seen_at", "groups")


def filled(folder):
    """A gallery of four people with a photo each, closed: its folder and the people's ids."""
    gallery, ids = open_gallery(folder), {}
    for row, name in enumerate(NAMES):
        person = gallery.add_person(name, external_id=f"E-{name}", consent="form 1")
        gallery.add_sample(person.id, Sample("a.jpg", name, {}, {MODEL: AXES[row]}))
        ids[name] = person.id
    gallery.rename(ids["Dora"], "Dora K.")
    gallery.note_consent(ids["Carl"], "form 2")
    gallery.note_seen([ids["Ann"]])
    gallery.close()
    return folder, ids


@pytest.fixture(scope="module")
def whole(cache, tmp_path_factory):
    return filled(tmp_path_factory.mktemp("whole") / "gallery")


@pytest.fixture
def made(whole, tmp_path):
    folder, ids = whole
    return shutil.copytree(folder, tmp_path / "gallery"), ids


def edit(folder, *statements):
    """As whoever has the file and no key does: SQLite keeps no foreign keys for them."""
    with closing(sqlite3.connect(folder / "gallery.db")) as file:
        for statement in statements:
            file.execute(*statement) if isinstance(statement, tuple) else file.execute(statement)
        file.commit()


def swap(one, other):
    return [
        f"UPDATE people SET external_id = NULL, name = '{other}' WHERE name = '{one}'",
        f"UPDATE people SET name = '{one}' WHERE name = '{other}' AND external_id NOT NULL",
    ]


def whose(folder, row):
    """The name that a search for a face says."""
    gallery = open_gallery(folder, create=False)
    ((closest, _),) = gallery.index(MODEL).nearest(AXES[row : row + 1], people=1)[0]
    known = gallery.people_of([closest])
    gallery.close()
    return known[closest].name if closest in known else None


def unsealed(monkeypatch):
    """Sabotage: what a row says is believed."""
    monkeypatch.setattr(PersonVault, "entry", lambda *_: 1)


def test_the_bosss_name_is_not_put_on_another_face(made, caplog):
    folder, ids = made
    assert [whose(folder, row) for row in (0, 1)] == ["Ann", "Boss"]
    edit(folder, *swap("Ann", "Boss"))
    assert [whose(folder, row) for row in range(4)] == [None, None, "Carl", "Dora K."]
    assert f"altered, and left out: the row of a person, {ids['Ann']}" in caplog.text


def test_the_check_of_names_can_fail(made, monkeypatch):
    folder, _ = made
    edit(folder, *swap("Ann", "Boss"))
    unsealed(monkeypatch)
    assert [whose(folder, row) for row in (0, 1)] == ["Boss", "Ann"]


EDITS = {
    "name": "'Boss'",
    "external_id": "'E-1'",
    "consent": "NULL",
    "groups": "'banned'",
    "added_at": "'2020-01-01T00:00:00.000+00:00'",
    "seen_at": "NULL",
    "seal": "NULL",
    "id": f"'{'0' * 32}'",
}


@pytest.mark.parametrize("value", ["x'00'", "5", "''"])
@pytest.mark.parametrize("column", EDITS)
def test_an_altered_column_is_nobodys(made, column, value):
    folder, ids = made
    value = EDITS[column] if value == "5" and column != "id" else value
    edit(folder, f"UPDATE people SET {column} = {value} WHERE name = 'Ann'")
    gallery = open_gallery(folder, create=False)
    assert [person.name for person in gallery.people()] == ["Boss", "Carl", "Dora K."]
    assert gallery.people_of([ids["Ann"]]) == {}
    assert gallery.damages() != []
    gallery.close()


def test_who_is_meant_and_altered_is_refused_by_name(made):
    folder, ids = made
    edit(folder, "UPDATE people SET consent = 'form 9' WHERE name = 'Ann'")
    gallery = open_gallery(folder, create=False)
    sample = Sample("b.jpg", "b", {}, {MODEL: AXES[5]})
    for refused in (
        lambda: gallery.find("Ann"),
        lambda: gallery.find("E-Ann"),
        lambda: gallery.find(ids["Ann"]),
        lambda: gallery.known_as("Ann"),
        lambda: gallery.find_or_add("Ann"),
        lambda: gallery.rename(ids["Ann"], "Anna"),
        lambda: gallery.note_consent(ids["Ann"], "form 3"),
        lambda: gallery.add_sample(ids["Ann"], sample),
        lambda: gallery.merge(ids["Carl"], ids["Ann"]),
        lambda: gallery.merge(ids["Ann"], ids["Carl"]),
    ):
        with pytest.raises(PersonError, match=r"row of person .{32} was altered: see what visavis"):
            refused()
    assert gallery.note_seen([ids["Ann"], ids["Boss"]])  # which seals nothing that is altered
    assert gallery.find("Boss").seen_at
    with pytest.raises(PersonError, match="was altered"):
        gallery.find("Ann")
    gallery.delete(ids["Ann"])  # erasure reaches everybody
    assert gallery.damages() == []
    gallery.close()


def test_many_altered_rows_are_said_once_with_their_count(made, caplog):
    folder, _ = made
    edit(folder, "UPDATE people SET consent = 'all of it'")
    gallery = open_gallery(folder, create=False)
    assert (gallery.people(), gallery.people()) == ([], [])
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("altered, and left out: the row of 4 people, ")
    gallery.close()


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "the row of a person, 0: see"),
        (2, "the row of 2 people, 0, 1: see"),
        (5, "the row of 5 people, 0, 1, 2, 3, 4: see"),
        (6, "the row of 6 people, 0, 1, 2, 3, 4 and 1 more: see"),
        (8, "the row of 8 people, 0, 1, 2, 3, 4 and 3 more: see"),
    ],
)
def test_five_altered_rows_are_named_and_the_others_counted(gallery, caplog, count, said):
    people = SealedPeople(gallery.vault, gallery.id)
    with gallery.database.reading() as connection:
        people._name(connection, map(str, range(count)))
    assert said in caplog.text


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["DELETE FROM people WHERE name = 'Ann'"], "it holds 4 people; 3 are there"),
        (
            ["INSERT INTO people SELECT 'new', 'Eve', 'E', NULL, added_at, NULL, seal, NULL "
             "FROM people WHERE name = 'Ann'"],
            "it holds 4 people; 5 are there",
        ),
        (["DELETE FROM audit WHERE seq = 5"], None),
        (["DELETE FROM audit WHERE seq > 5"], "the audit was altered"),
    ],
)  # fmt: skip
def test_people_who_are_gone_or_new_are_said_at_the_opening(made, caplog, statements, said):
    folder, _ = made
    edit(folder, *statements)
    gallery = open_gallery(folder, create=False)
    assert (said is None) or said in caplog.text
    assert gallery.damages() != []
    gallery.close()


def test_an_older_row_put_back_is_told_by_the_audit(made):
    folder, ids = made
    (old,) = rows_of(folder, ids["Carl"])
    gallery = open_gallery(folder)
    gallery.note_consent(ids["Carl"], "withdrawn")
    gallery.close()
    edit(folder, ("REPLACE INTO people VALUES (?,?,?,?,?,?,?,?)", old))
    gallery = open_gallery(folder)
    assert gallery.find("Carl").consent == "form 2"  # its seal was good, once
    assert gallery.damages() == [f"the row of person {ids['Carl']} is an older one, put back"]
    gallery.delete(ids["Carl"])
    gallery.close()
    edit(folder, ("REPLACE INTO people VALUES (?,?,?,?,?,?,?,?)", old))
    gallery = open_gallery(folder)
    assert gallery.damages()[:2] == [
        f"the row of person {ids['Carl']} is an older one, put back",
        "by its seal it holds 3 people; 4 are there",
    ]
    gallery.close()


def rows_of(folder, person):
    with closing(sqlite3.connect(folder / "gallery.db")) as file:
        return file.execute("SELECT * FROM people WHERE id = ?", (person,)).fetchall()


def test_a_photo_without_templates_is_not_given_away_either(made):
    folder, ids = made
    gallery = open_gallery(folder)
    gallery.add_sample(ids["Ann"], Sample("c.jpg", "c", {}, {}))
    gallery.merge(ids["Boss"], ids["Ann"])  # whose photos are the other's by right
    assert gallery.damages() == []
    gallery.close()
    edit(folder, ("UPDATE samples SET person_id = ? WHERE source = 'c.jpg'", (ids["Carl"],)))
    gallery = open_gallery(folder)
    (damage,) = gallery.damages()
    assert damage.endswith("was given to another person")
    gallery.close()


def random_edit(dice, folder):
    """A statement that changes one row of people, of the audit, or whose a photo is."""
    with closing(sqlite3.connect(folder / "gallery.db")) as file:
        ids = [row[0] for row in file.execute("SELECT id FROM people")]
        samples = [row[0] for row in file.execute("SELECT id FROM samples")]
        last = file.execute("SELECT max(seq) FROM audit").fetchone()[0]
        key = dice.choice(["people", "audit", "samples", "templates"])
        if key == "samples":
            one = dice.choice(samples)
            return ("UPDATE samples SET person_id = ? WHERE id = ?", (other(file, dice, one), one))
        if key == "templates":
            one, two = dice.sample(samples, 2)
            return (
                "UPDATE templates SET data = (SELECT data FROM templates WHERE sample_id = ?) "
                "WHERE sample_id = ?",
                (one, two),
            )
        columns = (*COLUMNS, "id", "seal") if key == "people" else AUDITED
        where, row = ("id", dice.choice(ids)) if key == "people" else ("seq", dice.randint(1, last))
        if not dice.randrange(8):
            return (f"DELETE FROM {key} WHERE {where} = ?", (row,))
        column = dice.choice(columns)
        before = file.execute(f"SELECT {column} FROM {key} WHERE {where} = ?", (row,)).fetchone()[0]
        return (f"UPDATE {key} SET {column} = ? WHERE {where} = ?", (altered(dice, before), row))


AUDITED = ("seq", "at", "action", "person_id", "details", "hash")


def other(file, dice, sample):
    owner = file.execute("SELECT person_id FROM samples WHERE id = ?", (sample,)).fetchone()[0]
    query = file.execute("SELECT id FROM people WHERE id <> ?", (owner,))
    return dice.choice(query.fetchall())[0]


def altered(dice, value):
    """A value like it that is another."""
    if value is None:
        return "something"
    if isinstance(value, int):
        return value + 1000
    if isinstance(value, bytes):
        at = dice.randrange(8 * len(value))
        return bytes(one ^ (1 << at % 8 if at // 8 == i else 0) for i, one in enumerate(value))
    at = dice.randrange(len(value) + 1)
    return dice.choice([value[:at] + "x" + value[at:], value[:at] + "Ω" + value[at + 1 :], "other"])


def unnamed(folder, caplog, count):
    """Of so many random edits, each in a file of its own, those that nothing names."""
    whole = (folder / "gallery.db").read_bytes()
    missed = []
    for seed in range(count):
        (folder / "gallery.db").write_bytes(whole)
        statement = random_edit(random.Random(seed), folder)
        edit(folder, statement)
        caplog.clear()
        gallery = open_gallery(folder, create=False)
        gallery.people()
        named = bool(caplog.records) or gallery.quarantined(MODEL) or gallery.damages()
        gallery.close()
        missed += [] if named else [statement]
    return missed


def test_random_edits_are_each_named(made, caplog):
    assert unnamed(made[0], caplog, 60) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_thousand_random_edits_are_each_named(made, caplog):
    assert unnamed(made[0], caplog, share(20_000)) == []


def test_the_check_of_random_edits_can_fail(made, caplog, monkeypatch):
    unsealed(monkeypatch)
    monkeypatch.setattr("visavis.gallery.gallery.damages", lambda *_: iter(()))
    assert len(unnamed(made[0], caplog, 20)) > 5


def as_version_1(folder):
    """What an earlier visavis wrote: no seals of rows, a head that names no gallery."""
    gallery = open_gallery(folder)
    head = gallery.audit_head()
    text = f"{head.seq} {head.hash.hex()}".encode()
    settings = {
        HEAD: gallery.vault.seal(text, HEAD),
        KEY_CHECK: gallery.vault.seal(UNSEALED, gallery.id, KEY_CHECK),
    }
    gallery.close()
    edit(
        folder,
        "ALTER TABLE people DROP COLUMN seal",
        "ALTER TABLE people DROP COLUMN groups",
        "PRAGMA user_version = 1",
        *(("UPDATE settings SET value = ? WHERE name = ?", (v, k)) for k, v in settings.items()),
    )
    return settings


def test_a_gallery_of_before_is_sealed_once_and_says_so(made, caplog):
    folder, ids = made
    as_version_1(folder)
    edit(folder, "INSERT INTO people VALUES ('blob', x'00', NULL, NULL, 'then', NULL)")
    gallery = open_gallery(folder, create=False)
    assert [person.name for person in gallery.people()] == ["Ann", "Boss", "Carl", "Dora K."]
    gallery.delete("blob")  # which was no text, and is nobody's
    assert "the rows of 5 people are sealed from now on" in caplog.text
    assert [entry.action for entry in gallery.changes(0)][-2:] == ["seal people", "erase"]
    assert gallery.people()[0].id == ids["Ann"]
    gallery.note_consent(ids["Ann"], "form 4")
    assert (gallery.damages(), gallery.audit_head().people) == ([], 4)
    gallery.close()
    caplog.clear()
    open_gallery(folder).close()
    assert caplog.text == ""


def test_a_gallery_of_before_whose_audit_was_altered_is_not_sealed(made):
    folder, _ = made
    as_version_1(folder)
    edit(folder, "DELETE FROM audit WHERE seq > 3")
    for _ in range(2):
        with pytest.raises(GalleryError, match=r"audit of this older gallery was altered.*restore"):
            open_gallery(folder)


DOWNGRADES = {
    "no seals": ["UPDATE people SET seal = NULL"],
    "the version": ["PRAGMA user_version = 1", "UPDATE people SET seal = NULL"],
    "no column": ["PRAGMA user_version = 1", "ALTER TABLE people DROP COLUMN seal"],
    "no key check": ["PRAGMA user_version = 1", "DELETE FROM settings WHERE name = 'key_check'"],
    "the old key check": ["PRAGMA user_version = 1", "UPDATE people SET seal = NULL"],
}


def downgraded(folder, how):
    """Whether a name that was changed is believed after an attempt to take the seals away."""
    old = {}
    if how == "the old key check":
        (folder.parent / "copy").mkdir()
        (folder.parent / "copy" / "gallery.db").write_bytes((folder / "gallery.db").read_bytes())
        old = as_version_1(folder.parent / "copy")
    edit(
        folder,
        *DOWNGRADES[how],
        "UPDATE people SET name = 'Mallory' WHERE name = 'Ann'",
        *(("UPDATE settings SET value = ? WHERE name = ?", (v, k)) for k, v in old.items()),
    )
    if old:  # the audit has gone on since
        edit(folder, "INSERT INTO audit SELECT seq + 1, at, action, person_id, details, hash "
             "FROM audit ORDER BY seq DESC LIMIT 1")  # fmt: skip
    try:
        gallery = open_gallery(folder, create=False)
    except VisavisError:
        return False
    names = [person.name for person in gallery.people()]
    gallery.close()
    return "Mallory" in names


@pytest.mark.parametrize("how", DOWNGRADES)
def test_the_seals_are_not_taken_away_by_an_older_version(made, how):
    assert not downgraded(made[0], how)


@pytest.mark.parametrize("how", ["no seals", "the version", "no column"])
def test_the_check_of_downgrades_can_fail(made, monkeypatch, how):
    """As if the file's own version said whether its rows are sealed."""
    unsealed(monkeypatch)
    assert downgraded(made[0], how)


def from_another_gallery(folder, monkeypatch, *tables):
    """Copy rows between two galleries of one key, from the second to the first: opened after."""
    monkeypatch.setenv(ENVIRONMENT, bytes(range(32)).hex())
    for name in ("one", "two"):
        filled(folder / name)
    edit(
        folder / "one",
        f"ATTACH '{folder / 'two' / 'gallery.db'}' AS two",
        *(f"DELETE FROM {table}" for table in tables),
        *(f"INSERT INTO {table} SELECT * FROM two.{table}" for table in tables),
        f"REPLACE INTO settings SELECT * FROM two.settings WHERE name = '{HEAD}'",
    )
    return open_gallery(folder / "one", create=False)


def test_rows_of_a_gallery_with_the_same_key_are_refused(cache, tmp_path, monkeypatch):
    gallery = from_another_gallery(tmp_path, monkeypatch, "audit", "people")
    assert gallery.people() == []
    assert gallery.audit_broken_at() == len(query(gallery, "SELECT seq FROM audit")) + 1
    with pytest.raises(GalleryError, match="the audit was altered"):
        gallery.add_person("Eve")
    gallery.close()


def test_the_check_of_whose_head_it_is_can_fail(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(Audit, "_place", lambda _: (HEAD,))
    gallery = from_another_gallery(tmp_path, monkeypatch, "audit")
    assert gallery.audit_broken_at() is None
    gallery.close()


def test_the_check_of_whose_people_they_are_can_fail(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(people, "PersonVault", lambda vault, _: PersonVault(vault, "any"))
    gallery = from_another_gallery(tmp_path, monkeypatch, "people")
    assert len(gallery.people()) == 4
    gallery.close()


def test_a_seal_of_a_row_is_one_rows_alone():
    vault = PersonVault(Vault(bytes(32)), "gallery")
    row = ["id", "Ann", None, "form", "then", None]
    seal = vault.seal(row, 7)
    assert vault.entry(row, seal) == 7
    assert PersonVault(Vault(bytes(32)), "other").entry(row, seal) is None
    for wrong in (
        ["id", "Ann", "", "form", "then", None],
        ["id", "Ann", None, "form", "then", "None"],
        ["id", "An", "n", "form", "then", None],
        ["id", "Ann", None, "form", "then"],
        ["id", "Ann", None, "form", b"then", None],
    ):
        assert vault.entry(wrong, seal) is None
    with pytest.raises(TypeError):
        vault.seal(["id", b"Ann", None, None, "then", None], 7)
