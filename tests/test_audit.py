"""The audit: every edit of it is found."""

import json

import numpy as np
import pytest

from visavis.gallery import Sample, open_gallery
from visavis.gallery.tables import AUDIT

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


def test_a_chain_made_anew_without_the_key_is_found(gallery):
    """Whoever can write the file can hash, too: the seal over the last entry is what stops them."""
    from visavis.gallery.audit import Audit
    from visavis.gallery.vault import Vault

    edit(gallery, "DELETE FROM audit WHERE seq = 6")
    with gallery.database.writing() as connection:
        Audit(gallery.database, Vault(bytes(32))).record(connection, "seen", None, {})
    assert gallery.audit_broken_at() == 7


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
