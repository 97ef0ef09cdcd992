"""What a gallery must survive: kills, flipped bits, damaged files, a crowd, a backup under writes.

Each check is a function, and each is shown to fail: the same check on a gallery that was sabotaged.
"""

import random
import signal
import sqlite3
import subprocess
import sys
import time

import gallery_children
import numpy as np
import pytest
from conftest import share
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gallery_children import DIM, MODEL, PEOPLE, PHOTOS, change, photo, query
from sqlalchemy import update

from visavis.errors import GalleryError, VisavisError
from visavis.gallery import open_gallery
from visavis.gallery import sqlite as schema
from visavis.gallery.backups import backup, restore
from visavis.gallery.tables import TEMPLATES
from visavis.gallery.vault import Vault

CHILDREN = gallery_children.__file__
JOURNALS = ["rollback", "wal"]  # the second is what SQLite 3.51.3 and newer use
EVERY = 25  # kills until a new gallery: what is checked grows with each


def child(what, folder, seed, *switches):
    command = [sys.executable, CHILDREN, what, str(folder), str(seed), *switches]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(command, text=True, **pipes)
    assert running.stdout.readline() == "ready\n", running.communicate()[1]
    return running


def killed(folder, seed, *switches):
    """The ids that a child acknowledged until it was killed."""
    with child("enrol", folder, seed, *switches) as running:
        time.sleep(random.Random(seed).uniform(0.06, 0.25))
        running.send_signal(signal.SIGKILL)
        lines = running.stdout.read().split("\n")
    assert running.returncode == -signal.SIGKILL
    return set(lines[:-1])  # the last is empty, or was cut


def check_whole(folder, acknowledged):
    gallery = open_gallery(folder)
    stored = {id_ for (id_,) in query(gallery, "SELECT id FROM samples")}
    assert acknowledged <= stored, "an acknowledged photo is lost"
    assert stored == {id_ for (id_,) in query(gallery, "SELECT sample_id FROM templates")}
    templates, bad = gallery.templates(MODEL)
    assert (len(templates.rows), bad) == (len(stored), ())
    for table, action in (("people", "add person"), ("samples", "enroll")):
        (count,) = query(gallery, f"SELECT count(*) FROM {table}")[0]
        assert query(gallery, f"SELECT count(*) FROM audit WHERE action = '{action}'") == [(count,)]
    assert gallery.audit_broken_at() is None
    gallery.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("switches", [(), ("wal",)])
def test_a_kill_loses_nothing_acknowledged_and_leaves_no_half_person(tmp_path, switches):
    acknowledged = {}
    for seed in range(share(1000) // len(JOURNALS)):
        folder = tmp_path / str(seed // EVERY)
        acknowledged.setdefault(folder, set()).update(killed(folder, seed, *switches))
        check_whole(folder, acknowledged[folder])
    assert sum(map(len, acknowledged.values())) >= share(1000) // len(JOURNALS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_kill_loses_nothing_in_postgresql(cache, postgres_server):
    for seed in range(share(100)):
        place = postgres_server.new_address()
        check_whole(place, killed(place, seed))


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", ["autocommit", "late"])
def test_the_kill_check_can_fail_in_postgresql(cache, postgres_server, sabotage):
    def kill_often():
        for seed in range(20):
            place = postgres_server.new_address()
            check_whole(place, killed(place, seed, sabotage))

    with pytest.raises(AssertionError):
        kill_often()


@pytest.mark.parametrize("sabotage", ["autocommit", "late"])
def test_the_kill_check_can_fail(tmp_path, sabotage):
    def kill_often():
        for seed in range(20):
            check_whole(tmp_path / str(seed), killed(tmp_path / str(seed), seed, sabotage))

    with pytest.raises(AssertionError):
        kill_often()


def filled(folder, count):
    """A gallery of so many photos of 7 people, and each photo's row."""
    gallery, rng = open_gallery(folder), np.random.default_rng(1)
    people = [gallery.add_person(f"Person {number}").id for number in range(7)]
    rows = {}
    with gallery.database.writing() as connection:
        for number in range(count):
            sample = photo(rng, str(number))
            id_ = f"{number:032x}"
            gallery._add_sample(connection, people[number % 7], id_, sample)
            rows[id_] = sample.templates[MODEL].tobytes()
    return gallery, rows


def check_flips(folder, flips):
    """Flip one bit in each of so many templates: all are named, and no other is touched."""
    gallery, rows = filled(folder, flips + 50)
    dice = random.Random(2)
    stored = query(gallery, "SELECT sample_id, data FROM templates ORDER BY sample_id")
    with gallery.database.writing() as connection:
        for id_, data in stored[:flips]:
            flipped, bit = bytearray(data), dice.randrange(8 * len(data))
            flipped[bit // 8] ^= 1 << bit % 8
            at = TEMPLATES.c.sample_id == id_
            connection.execute(update(TEMPLATES).where(at).values(data=bytes(flipped)))
    templates, bad = open_gallery(folder).templates(MODEL)
    assert {one.sample for one in bad} == {id_ for id_, _ in stored[:flips]}
    assert {one.reason for one in bad} == {"altered, or moved from another place"}
    assert sorted(row.tobytes() for row in templates.rows) == sorted(
        rows[id_] for id_, _ in stored[flips:]
    )


def test_every_flipped_bit_is_found_and_named(place):
    check_flips(place, 1000)


def test_the_flip_check_can_fail(place, monkeypatch):
    def unverified(vault, sealed, *place):
        counter = modes.CTR(sealed[:12] + bytes([0, 0, 0, 2]))  # GCM without its tag
        return Cipher(algorithms.AES(vault._key), counter).decryptor().update(sealed[12:-16])

    monkeypatch.setattr(Vault, "open", unverified)
    with pytest.raises(AssertionError):
        check_flips(place, 100)


def resealed(gallery, row):
    owner, id_ = query(gallery, "SELECT person_id, id FROM samples ORDER BY id")[0]
    data = gallery.vault.seal(row.tobytes(), gallery.id, owner, id_, MODEL)
    change(gallery, "UPDATE templates SET data = ? WHERE sample_id = ?", data, id_)


def test_a_flipped_bit_anywhere_matches_nothing_wrong_and_is_no_surprise(tmp_path):
    gallery, rows = filled(tmp_path / "gallery", 40)
    gallery.close()
    whole, dice, found = gallery.database.path.read_bytes(), random.Random(0), 0
    for _ in range(share(4000)):
        flipped, bit = bytearray(whole), dice.randrange(8 * len(whole))
        flipped[bit // 8] ^= 1 << bit % 8
        gallery.database.path.write_bytes(flipped)
        try:
            damaged = open_gallery(tmp_path / "gallery", create=False)
            templates, bad = damaged.templates(MODEL)
            found += bool(bad)
            assert {row.tobytes() for row in templates.rows} <= set(rows.values())
            damaged.audit_broken_at()
            for person in damaged.people():
                damaged.samples(person.id)
            damaged.close()
        except VisavisError:
            found += 1
    assert found > 0


def swapped(gallery):
    (one, first), (other, second) = query(
        gallery, "SELECT sample_id, data FROM templates ORDER BY sample_id LIMIT 2"
    )
    change(gallery, "UPDATE templates SET data = ? WHERE sample_id = ?", second, one)
    change(gallery, "UPDATE templates SET data = ? WHERE sample_id = ?", first, other)


@pytest.mark.parametrize(
    ("damage", "named", "reason"),
    [
        (swapped, 2, "moved"),
        (
            lambda gallery: change(
                gallery, "UPDATE samples SET person_id = (SELECT max(id) FROM people)"
            ),
            17,  # of 20, every seventh is that person's own
            "moved",
        ),
        (lambda gallery: resealed(gallery, np.full(DIM, np.nan, np.float32)), 1, "unit vector"),
        (lambda gallery: resealed(gallery, np.zeros(DIM, np.float32)), 1, "unit vector"),
        (lambda gallery: resealed(gallery, np.eye(1, 8, dtype=np.float32)), 1, "of 8 numbers"),
        (lambda gallery: resealed(gallery, np.zeros(5, np.int8)), 1, "of 1.25 numbers"),
        (lambda gallery: change(gallery, "UPDATE templates SET data = 'text'"), 20, "altered"),
        (lambda gallery: change(gallery, "UPDATE templates SET data = ?", b""), 20, "altered"),
    ],
)
def test_what_is_not_as_it_was_written_is_never_matched(place, damage, named, reason):
    gallery, rows = filled(place, 20)
    damage(gallery)
    templates, bad = open_gallery(place).templates(MODEL)
    assert len(templates.rows) == 20 - len(bad)
    assert {row.tobytes() for row in templates.rows} <= set(rows.values())
    assert len(bad) in (named, named + 1)
    assert all(reason in one.reason for one in bad)


def test_a_row_moved_to_another_model_is_named(place):
    gallery, _ = filled(place, 3)
    change(gallery, "UPDATE templates SET model = 'other@1' WHERE sample_id = ?", f"{2:032x}")
    templates, bad = open_gallery(place).templates("other@1")
    assert (len(templates.rows), [one.sample for one in bad]) == (0, [f"{2:032x}"])


def sql(*statements):
    def change(path):
        connection = sqlite3.connect(path)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return change


def directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (sql(f"PRAGMA user_version = {schema.VERSION + 1}"), "install a newer visavis"),
        (sql("PRAGMA application_id = 7"), "a database, but no gallery"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(9000)), "damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged|malformed"),
        (directory, "cannot be opened"),
        (lambda path: path.unlink(), "no gallery here"),
        (lambda path: path.write_bytes(b""), "no gallery here"),
    ],
)
def test_what_is_no_gallery_is_refused_and_left_alone(tmp_path, damage, said):
    gallery, _ = filled(tmp_path / "gallery", 3)
    gallery.close()
    path = gallery.database.path
    damage(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(GalleryError, match=said):
        open_gallery(path.parent, create=False)
    assert (path.read_bytes() if path.is_file() else None) == before


def check_crowd(folder, *switches):
    crowd = [child("crowd", folder, seed, *switches) for seed in range(8)]
    for one in crowd:
        one.stdin.write("go\n")
        one.stdin.flush()
    said = [one.communicate(timeout=100) for one in crowd]
    assert [
        (one.returncode, errors if "Error" in errors else "")
        for one, (_, errors) in zip(crowd, said, strict=True)
    ] == [(0, "")] * 8
    stored = [line for out, _ in said for line in out.split()]
    assert len(stored) == len(set(stored)) == PEOPLE * PHOTOS
    check_whole(folder, set(stored))
    people = open_gallery(folder).people()
    assert [(one.name, one.samples) for one in people] == [
        (f"Person {number}", PHOTOS) for number in range(PEOPLE)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("switches", [(), ("wal",)])
def test_eight_processes_enrol_at_once(tmp_path, switches):
    check_crowd(tmp_path / "gallery", *switches)


@pytest.mark.slow
@pytest.mark.timeout(600)  # ten processes on two cores
def test_eight_processes_enrol_at_once_in_postgresql(cache, postgres_server):
    check_crowd(postgres_server.new_address())


@pytest.mark.slow
def test_the_crowd_check_can_fail(tmp_path):
    with pytest.raises(AssertionError):
        check_crowd(tmp_path / "gallery", "impatient")


@pytest.mark.slow
def test_a_backup_under_writes_is_whole(tmp_path):
    folder = tmp_path / "gallery"
    with child("enrol", folder, 0) as running:
        acknowledged = {running.stdout.readline().strip() for _ in range(20)}
        backup(open_gallery(folder), tmp_path / "backup.db")
        running.kill()
    assert (tmp_path / "backup.db").stat().st_mode & 0o777 == 0o600
    restore(tmp_path / "backup.db", tmp_path / "restored").close()
    check_whole(tmp_path / "restored", acknowledged)
    (tmp_path / "gallery" / "gallery.db-journal").write_bytes(b"of the old file")
    restore(tmp_path / "backup.db", folder, replace=True).close()
    check_whole(folder, acknowledged)
