"""The audit: every edit of it is found."""

import json
from contextlib import suppress

import numpy as np
import pytest

from visavis.errors import GalleryError
from visavis.gallery import Sample, audit, open_gallery
from visavis.gallery.audit import Audit, ChainHead, Entry, head
from visavis.gallery.tables import AUDIT
from visavis.gallery.transfer import export_person, export_tensors
from visavis.gallery.vault import Vault

AXES = np.eye(4, dtype=np.float32)


@pytest.fixture
def gallery(tmp_path):
    """Made, two people added, one photo each, one erased: six entries."""
    gallery = open_gallery(tmp_path / "gallery")
    ann, bob = gallery.add_person("Ann"), gallery.add_person("Bob")
    for row, person in enumerate((ann, bob)):
        gallery.add_sample(person.id, Sample("a.jpg", f"{row}", {}, {"made@0": AXES[row]}))
    gallery.delete(bob.id)
    return gallery


def entries(gallery):
    with gallery.database.reading() as connection:
        return connection.execute(AUDIT.select()).all()


def edit(gallery, *statements):
    with gallery.database.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_what_was_done_is_there_in_order(gallery):
    actions = ["make gallery", "add person", "add person", "enroll", "enroll", "erase"]
    assert [entry.action for entry in entries(gallery)] == actions
    assert [entry.seq for entry in entries(gallery)] == [1, 2, 3, 4, 5, 6]
    assert gallery.audit_broken_at() is None
    assert open_gallery(gallery.database.path.parent).audit_broken_at() is None


def test_a_persons_entries_are_theirs(gallery):
    (ann,) = gallery.people()
    found = gallery.audit_of(ann.id)
    assert [(entry.seq, entry.action) for entry in found] == [
        (2, "add person"),
        (4, "enroll"),
    ]
    (sample,) = gallery.samples(ann.id)
    assert json.loads(found[1].details) == {"sample": sample.id}


@pytest.mark.parametrize(
    ("statements", "broken"),
    [
        (["UPDATE audit SET action = 'nothing' WHERE seq = 4"], 4),
        (["UPDATE audit SET at = '2000-01-01' WHERE seq = 1"], 1),
        (["UPDATE audit SET person_id = NULL WHERE seq = 2"], 2),
        (["UPDATE audit SET details = '{}' WHERE seq = 5"], 5),
        (["UPDATE audit SET hash = zeroblob(32) WHERE seq = 3"], 3),
        (["DELETE FROM audit WHERE seq = 3"], 3),
        (["DELETE FROM audit WHERE seq = 1"], 1),
        (["DELETE FROM audit WHERE seq = 6"], 6),
        (["DELETE FROM audit WHERE seq > 2"], 3),
        (["DELETE FROM audit"], 1),
        (["DELETE FROM audit", "DELETE FROM settings WHERE name = 'audit_head'"], 1),
        (["DELETE FROM settings WHERE name = 'audit_head'"], 7),
        (["UPDATE settings SET value = 'text' WHERE name = 'audit_head'"], 7),
        (
            [
                "UPDATE audit SET seq = 99 WHERE seq = 2",
                "UPDATE audit SET seq = 2 WHERE seq = 3",
                "UPDATE audit SET seq = 3 WHERE seq = 99",
            ],
            2,
        ),
        (["INSERT INTO audit VALUES (7, '', 'enroll', NULL, '{}', x'00')"], 7),
        (
            [
                "DELETE FROM audit WHERE seq = 6",
                "UPDATE settings SET value = (SELECT value FROM settings WHERE name = 'key_check') "
                "WHERE name = 'audit_head'",
            ],
            6,
        ),
    ],
)
def test_every_edit_is_found_where_it_was_made(gallery, statements, broken):
    edit(gallery, *statements)
    assert gallery.audit_broken_at() == broken


def relinked(gallery, change):
    """Rewrite the entries by hand, each hash over the one before, the seal left as it is."""
    with gallery.database.writing() as connection:
        rows = connection.execute(AUDIT.select().order_by(AUDIT.c.seq)).all()
        connection.execute(AUDIT.delete())
        before = b""
        for row in filter(None, map(change, rows)):
            row["hash"] = before = audit._hash(before, Entry(*(row[name] for name in COLUMNS)))
            connection.execute(AUDIT.insert().values(row))


COLUMNS = ("seq", "at", "action", "person_id", "details")


def test_a_gap_in_the_numbers_is_found_though_the_chain_is_whole(gallery):
    relinked(gallery, lambda row: dict(row._mapping) if row.seq != 3 else None)
    assert gallery.audit_broken_at() == 3


def test_an_entry_that_was_hashed_anew_alone_breaks_the_next(gallery):
    before, row = entries(gallery)[1:3]
    forged = Entry(3, row.at, "consent", row.person_id, row.details)
    query = AUDIT.update().where(AUDIT.c.seq == 3)
    with gallery.database.writing() as connection:
        connection.execute(query.values(action="consent", hash=audit._hash(before.hash, forged)))
    assert gallery.audit_broken_at() == 4


def test_every_action_is_written_down(gallery, tmp_path):
    ann, eve = gallery.find("Ann"), gallery.add_person("Eve")
    photo = gallery.add_sample(ann.id, Sample("b.jpg", "b", {}, {"made@0": AXES[2]}))
    gallery.add_template(ann.id, photo, "other@1", AXES[0])
    gallery.rename(ann.id, "Anna")
    gallery.note_consent(ann.id, "signed")
    gallery.keep("paper", b"text")
    gallery.requires_consent = True
    export_person(gallery, ann, tmp_path / "export")
    export_tensors(gallery, tmp_path / "tensors", "made@0")
    gallery.merge(eve.id, ann.id)
    gallery.delete(eve.id)
    done = entries(gallery)[6:]
    assert [(one.person_id, one.action, json.loads(one.details)) for one in done] == [
        (eve.id, "add person", {}),
        (ann.id, "enroll", {"sample": photo}),
        (ann.id, "re-embed", {"sample": photo}),
        (ann.id, "rename", {}),
        (ann.id, "consent", {}),
        (None, "keep", {"document": "paper"}),
        (None, "require consent", {"value": True}),
        (None, "export", {"person": ann.id}),
        (None, "export", {"model": "made@0"}),
        (eve.id, "merge", {"merged": ann.id}),
        (eve.id, "erase", {}),
    ]
    assert gallery.audit_broken_at() is None


def cut(gallery):
    edit(gallery, "DELETE FROM audit WHERE seq > 4")


def emptied(gallery):
    edit(gallery, "DELETE FROM audit", "DELETE FROM settings WHERE name = 'audit_head'")


def unsealed(gallery):
    edit(gallery, "DELETE FROM settings WHERE name = 'audit_head'")


def rewritten(gallery):
    """Whoever can write the file can hash, too: another history of the same length."""
    with gallery.database.writing() as connection:
        rows = connection.execute(AUDIT.select().order_by(AUDIT.c.seq)).all()
        before = b""
        for row in rows:
            action = "consent" if row.action == "erase" else row.action
            entry = Entry(row.seq, row.at, action, row.person_id, row.details)
            before = audit._hash(before, entry)
            query = AUDIT.update().where(AUDIT.c.seq == row.seq)
            connection.execute(query.values(action=action, hash=before))


def continued(gallery):
    """Without the key: an entry more, under a seal of one's own."""
    with gallery.database.writing() as connection:
        forged = Audit(gallery.database, Vault(bytes(32)), gallery.id)
        forged._append(connection, head(connection), [("enroll", None, {})])


def texts(gallery):
    edit(gallery, "UPDATE audit SET hash = 'text'")


ATTACKS = (cut, emptied, unsealed, rewritten, continued, texts)


def covered_up(gallery, attack):
    """Whether an honest write after the attack seals what it left."""
    attack(gallery)
    with suppress(GalleryError):
        gallery.record("export", {})
    return gallery.audit_broken_at() is None


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_honest_write_seals_what_was_altered(gallery, attack):
    assert not covered_up(gallery, attack)
    before = entries(gallery)
    with pytest.raises(GalleryError, match=r"audit was altered.*nothing more.*: keep the file"):
        gallery.record("export", {})
    assert entries(gallery) == before
    assert gallery.audit_broken_at() is not None
    with pytest.raises(GalleryError, match="the audit was altered"):
        gallery.audit_head()
    with pytest.raises(GalleryError, match="the audit was altered"):
        gallery.add_person("Eve")
    assert [person.name for person in gallery.people()] == ["Ann"]


@pytest.mark.parametrize("attack", [cut, emptied, unsealed, rewritten])
def test_the_check_before_a_write_can_fail(gallery, attack, monkeypatch):
    monkeypatch.setattr(Audit, "head", lambda _, connection: head(connection))
    assert covered_up(gallery, attack)


def rolled_back(gallery):
    """Put an older file in place with its own seal, and go on: its head of then and of now."""
    file = gallery.database.path
    gallery.close()
    old = file.read_bytes()
    gallery.delete(gallery.find("Ann").id)
    known = gallery.audit_head()
    gallery.close()
    file.write_bytes(old)
    gallery.add_person("Eve")
    return known


def test_an_older_file_is_told_by_a_head_kept_elsewhere(gallery):
    first = gallery.audit_head()
    known = rolled_back(gallery)
    assert (first.seq, known.seq) == (6, 7)
    assert gallery.audit_broken_at() is None  # inside the file nothing is wrong
    assert gallery.audit_broken_at(first) is None
    assert gallery.audit_broken_at(known) == 7
    assert gallery.audit_broken_at(ChainHead(9, bytes(32))) == 8
    assert ChainHead.of_text(str(known)) == known


@pytest.mark.parametrize(
    "text", ["", "7", "7-ab", "-" + "0" * 64, "x-" + "0" * 64, "7-" + "g" * 64]
)
def test_what_is_no_head_is_refused(text):
    with pytest.raises(GalleryError, match="expected an audit's head"):
        ChainHead.of_text(text)


def test_the_verbs_of_the_audit(run, gallery):
    words = ("--gallery", gallery.database.path.parent)
    code, first, _ = run("people", "audit", "head", *words)
    assert (code, first[:2]) == (0, "6-")
    code, out, _ = run("people", "audit", "check", *words, "--expect-head", first.strip())
    assert (code, out) == (0, "whole\n")
    known = rolled_back(gallery)
    gallery.close()
    code, out, _ = run("people", "audit", "check", *words, "--expect-head", known, "--json")
    assert (code, json.loads(out)) == (1, {"whole": False, "broken_at": 7})
    code, out, err = run("people", "audit", "check", *words, "--expect-head", "7")
    assert (code, out, err.count("\n")) == (2, "", 1)
    cut(gallery)
    assert run("people", "audit", "head", *words)[0] == 2


def test_every_flipped_bit_of_an_entry_is_found(gallery):
    whole = entries(gallery)[3]
    for column, value in (("details", whole.details.encode()), ("hash", whole.hash)):
        for bit in range(0, 8 * len(value), 5):
            flipped = bytearray(value)
            flipped[bit // 8] ^= 1 << bit % 8
            stored = bytes(flipped) if column == "hash" else flipped.decode("latin-1")
            query = AUDIT.update().where(AUDIT.c.seq == 4)
            with gallery.database.writing() as connection:
                connection.execute(query.values({column: stored}))
            assert gallery.audit_broken_at() == 4
        with gallery.database.writing() as connection:
            connection.execute(query.values({column: getattr(whole, column)}))
    assert gallery.audit_broken_at() is None
