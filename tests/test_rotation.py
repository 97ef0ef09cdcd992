"""A new key: everything opens with it, nothing with the old one, whenever it is stopped."""

import subprocess
import sys

import gallery_children
import numpy as np
import pytest
from gallery_children import MODEL, photo, query

from visavis.errors import GalleryError, GalleryKeyError
from visavis.gallery import open_gallery, rotation
from visavis.gallery.backups import backup, restore
from visavis.gallery.keyfiles import exchanging
from visavis.gallery.rotation import rotate_key
from visavis.gallery.vault import ENVIRONMENT, key_path


def filled(folder, people=3):
    """People of two photos each, with crops, a kept document, and one erased."""
    gallery, rng = open_gallery(folder), np.random.default_rng(0)
    for number in range(people):
        person = gallery.add_person(f"Person {number}", external_id=str(number))
        for which in range(2):
            gallery.add_sample(person.id, photo(rng, f"{number}-{which}"))
    gallery.delete(gallery.add_person("Gone").id)
    gallery.keep("calibration", b"document")
    return gallery


def held(gallery):
    """All that is sealed in a gallery, opened."""
    people = gallery.people()
    samples = [
        (sample.id, sample.crop, {model: row.tobytes() for model, row in sample.templates.items()})
        for person in people
        for sample in gallery.samples(person.id)
    ]
    return people, samples, gallery.kept("calibration")


def test_all_that_was_sealed_opens_with_the_new_key_alone(cache, tmp_path):
    gallery = filled(tmp_path / "gallery")
    before, sealed = held(gallery), sealed_bytes(gallery)
    key = key_path(gallery.id).read_text()
    old = rotate_key(gallery)
    gallery.close()
    assert (old.read_text(), old.stat().st_mode & 0o777) == (key, 0o600)
    assert key_path(gallery.id).read_text() != key
    again = open_gallery(tmp_path / "gallery")
    assert held(again) == before
    assert (again.damages(), again.quarantined(MODEL)) == ([], ())
    assert [entry.action for entry in again.changes(0)][-1] == "rotate key"
    assert not set(sealed) & set(sealed_bytes(again))
    content = (tmp_path / "gallery" / "gallery.db").read_bytes()
    assert not any(part in content for part in sealed)  # in no unused page either
    again.add_person("New")
    again.close()
    key_path(gallery.id).write_text(key)
    with pytest.raises(GalleryKeyError, match="not the one of this gallery: a key that was"):
        open_gallery(tmp_path / "gallery")


def sealed_bytes(gallery):
    statements = (
        "SELECT data FROM templates",
        "SELECT crop FROM samples",
        "SELECT seal FROM people",
        "SELECT value FROM settings WHERE name IN ('key_check', 'audit_head', 'kept calibration')",
    )
    return [row[0] for statement in statements for row in query(gallery, statement)]


def test_whoever_has_the_gallery_open_is_told_to_open_it_anew(cache, tmp_path):
    gallery = filled(tmp_path / "gallery")
    person = gallery.find("Person 1")
    gallery.index(MODEL)
    rotate_key(open_gallery(tmp_path / "gallery"))
    before = query(gallery, "SELECT seal FROM people")
    sample = photo(np.random.default_rng(9), "new")
    for refused in (
        gallery.people,
        lambda: gallery.people_of([person.id]),
        lambda: gallery.find("Person 1"),
        lambda: gallery.index(MODEL),
        lambda: gallery.index_of(person.id, MODEL),
        lambda: gallery.samples(person.id),
        lambda: gallery.kept("calibration"),
        lambda: gallery.add_person("Eve"),
        lambda: gallery.add_sample(person.id, sample),
        lambda: gallery.rename(person.id, "Eve"),
        lambda: gallery.delete(person.id),
        lambda: gallery.note_seen([person.id]),
        gallery.damages,
        gallery.audit_head,
        lambda: rotate_key(gallery),
    ):
        with pytest.raises(GalleryKeyError, match="it was rotated: open the gallery anew"):
            refused()
    assert query(gallery, "SELECT seal FROM people") == before
    gallery.close()


def test_a_backup_of_before_needs_the_old_key(cache, tmp_path, monkeypatch):
    gallery = filled(tmp_path / "gallery")
    backup(gallery, tmp_path / "copy.db")
    before = held(gallery)
    old = rotate_key(gallery)
    gallery.close()
    with pytest.raises(GalleryError, match=r"damaged, or of before the key was rotated.*old key"):
        restore(tmp_path / "copy.db", tmp_path / "elsewhere")
    monkeypatch.setenv(ENVIRONMENT, old.read_text().strip())
    restored = restore(tmp_path / "copy.db", tmp_path / "elsewhere")
    assert held(restored) == before
    restored.close()


@pytest.mark.parametrize(
    ("declared", "said"),
    [("11" * 32, rf"comes from \${ENVIRONMENT}"), ("keyring", "comes from the keyring")],
)
def test_a_key_that_is_in_no_file_is_not_rotated(cache, tmp_path, monkeypatch, declared, said):
    gallery = filled(tmp_path / "gallery")
    monkeypatch.setenv(ENVIRONMENT, declared)
    with pytest.raises(GalleryKeyError, match=rf"{said}.*: write it to .*, unset \${ENVIRONMENT}"):
        rotate_key(gallery)
    monkeypatch.delenv(ENVIRONMENT)
    assert gallery.damages() == []
    gallery.close()


def test_one_process_rotates_at_a_time(cache, tmp_path):
    gallery = filled(tmp_path / "gallery")
    with exchanging(gallery.id), pytest.raises(GalleryError, match="another process is writing"):
        rotate_key(gallery)
    assert gallery.damages() == []
    gallery.close()


def test_what_is_damaged_stays_damaged_and_an_altered_audit_is_not_sealed(cache, tmp_path):
    gallery = filled(tmp_path / "gallery")
    with gallery.database.writing() as connection:
        connection.exec_driver_sql("UPDATE people SET name = 'Boss' WHERE name = 'Person 0'")
        connection.exec_driver_sql("UPDATE templates SET data = zeroblob(99) WHERE rowid = 3")
    damages = gallery.damages()
    rotate_key(gallery)
    gallery.close()
    gallery = open_gallery(tmp_path / "gallery")
    assert (gallery.damages(), len(damages)) == (damages, 2)
    with gallery.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM audit WHERE seq > 4")
    with pytest.raises(GalleryError, match="the audit was altered"):
        rotate_key(gallery)
    assert len(gallery.people()) == 2
    gallery.close()


def test_an_opening_ends_a_rotation_that_was_stopped(cache, tmp_path, monkeypatch, caplog):
    def stopped(*_):
        raise KeyboardInterrupt

    gallery = filled(tmp_path / "gallery")
    before, path = held(gallery), key_path(gallery.id)
    waiting, key = path.with_suffix(".key.new"), path.read_text()
    monkeypatch.setattr(rotation, "put_in_place", stopped)
    with pytest.raises(KeyboardInterrupt):
        rotate_key(gallery)
    gallery.close()
    with exchanging(gallery.id):  # by another process
        again = open_gallery(tmp_path / "gallery")
    assert (held(again), waiting.exists(), path.read_text()) == (before, True, key)
    assert "the new key is not in its place yet" in caplog.text
    again.close()
    again = open_gallery(tmp_path / "gallery")
    assert (held(again), waiting.exists(), path.read_text() != key) == (before, False, True)
    assert [old.read_text() for old in path.parent.glob(f"{gallery.id}-*.key")] == [key]
    again.close()


def killed(folder, points, *switches):
    """Rotate the key of a copy of a gallery, killed at so many points: what was lost at which."""
    filled(folder / "whole").close()
    command = [sys.executable, gallery_children.__file__, "rotate", str(folder), str(points)]
    done = subprocess.run(
        [*command, *switches], capture_output=True, text=True, check=False, timeout=600
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, [f"{points} killed"]), (
        done.stderr
    )
    return done.stdout.splitlines()[:-1]


def test_a_rotation_that_is_killed_loses_nothing(cache, tmp_path):
    assert killed(tmp_path, 10) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_rotation_that_is_killed_at_200_points_loses_nothing(cache, tmp_path):
    assert killed(tmp_path, 200) == []


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", ["hasty", "autocommit"])
def test_the_check_of_killed_rotations_can_fail(cache, tmp_path, sabotage):
    assert killed(tmp_path, 40, sabotage) != []


def test_half_a_new_key_is_made_anew(cache, tmp_path):
    gallery = filled(tmp_path / "gallery")
    path = key_path(gallery.id)
    path.with_name(f"{path.name}.new.partial").write_text("ab")
    rotate_key(gallery)
    gallery.close()
    assert open_gallery(tmp_path / "gallery").damages() == []


def test_a_waiting_key_of_somebody_else_is_refused(cache, tmp_path):
    gallery = filled(tmp_path / "gallery")
    waiting = key_path(gallery.id).with_suffix(".key.new")
    waiting.write_text("00" * 32)
    waiting.chmod(0o622)
    with pytest.raises(GalleryKeyError, match="others may write here"):
        rotate_key(gallery)
    waiting.unlink()
    gallery.close()


def test_the_verb_says_where_both_keys_are(run, cache, tmp_path):
    gallery = filled(tmp_path / "gallery")
    gallery.close()
    code, out, _ = run("people", "rotate-key", "--gallery", tmp_path / "gallery")
    path = key_path(gallery.id)
    (old,) = path.parent.glob(f"{gallery.id}-*.key")
    assert (code, out.splitlines()[0]) == (
        0,
        f"the gallery has a new key: {path}. Back it up: a lost key loses the gallery",
    )
    assert str(old) in out.splitlines()[1]
    assert run("people", "check", "--gallery", tmp_path / "gallery")[:2] == (0, "whole\n")
