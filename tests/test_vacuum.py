"""Who is erased is in no file of PostgreSQL's data folder, and what it cannot reach is told."""

import subprocess

import postgres
import pytest
from gallery_children import MODEL, change, query
from test_gallery_erasure import WORDS, forms, notes, peopled

from visavis.gallery import open_gallery, vacuum
from visavis.gallery import postgres as schema
from visavis.gallery.proof import erase_with_proof
from visavis.gallery.vault import load_key

pytestmark = pytest.mark.slow
READER = "pg_read_binary_file(text, bigint, bigint, boolean)"


@pytest.fixture
def server(postgres_server):
    return postgres_server


@pytest.fixture
def place(server):
    """Where a gallery can be made; what it left in the server's files is no other test's."""
    address = server.new_address()
    yield address
    server.sql(f"DROP SCHEMA IF EXISTS {address.rpartition('=')[2]} CASCADE", database="test")


@pytest.fixture
def may_read(server):
    """The gallery's role may read the server's files."""
    server.sql(
        f"GRANT pg_checkpoint, pg_read_server_files TO {postgres.ROLE}",
        f"GRANT EXECUTE ON FUNCTION {READER} TO {postgres.ROLE}",
        database="test",
    )
    yield
    server.sql(
        f"REVOKE pg_checkpoint, pg_read_server_files FROM {postgres.ROLE}",
        f"REVOKE EXECUTE ON FUNCTION {READER} FROM {postgres.ROLE}",
        database="test",
    )


def in_tables(server, parts) -> list[bytes]:
    """Those that some file of the databases holds; the log of writes is another matter."""
    server.sql("CHECKPOINT")
    files = [path for path in (server.data / "base").rglob("*") if path.is_file()]
    held = [path.read_bytes() for path in files]
    return [part for part in parts if any(part in data for data in held)]


def sealed_heads(gallery, person: str) -> list[bytes]:
    columns = "substr(data, 1, 16), substr(crop, 1, 16)"
    tables = "templates JOIN samples ON sample_id = id"
    return list(query(gallery, f"SELECT {columns} FROM {tables} WHERE person_id = '{person}'")[0])


def check_erased(gallery, server, ann, sample) -> None:
    heads = sealed_heads(gallery, ann.id)
    assert in_tables(server, [*WORDS, *heads]) == [*WORDS, *heads]
    gallery.delete(ann.id)
    assert in_tables(server, [*WORDS, *heads, *forms(sample)]) == []
    assert len(gallery.people()) == len(gallery.templates(MODEL)[0].people) == 30
    assert gallery.damages() == []


def test_who_is_erased_is_in_no_file_of_the_server(place, server, may_read):
    gallery, ann, sample = peopled(place)
    check_erased(gallery, server, ann, sample)
    gallery.close()


@pytest.mark.usefixtures("may_read")
@pytest.mark.parametrize("sabotage", ["no vacuum", "no search"])
def test_the_erasure_check_can_fail(place, server, monkeypatch, sabotage):
    gallery, ann, sample = peopled(place)
    if sabotage == "no vacuum":
        monkeypatch.setattr(schema.PostgresDatabase, "scrub", lambda *_: None)
    else:  # VACUUM alone leaves bytes in unused parts of pages
        monkeypatch.setattr(schema, "may_search", lambda _: False)
    with pytest.raises(AssertionError):
        check_erased(gallery, server, ann, sample)
    gallery.close()


def test_the_proof_says_what_is_not_reached(place, server, may_read):
    gallery, ann, _ = peopled(place)
    proof = erase_with_proof(gallery, ann.id)
    assert (proof.left, proof.files_clean) == (0, True)
    assert proof.beyond == ("the server's log of writes", "backups")
    gallery.close()


def test_a_role_that_may_not_read_the_files_says_so(place):
    gallery, ann, _ = peopled(place)
    proof = erase_with_proof(gallery, ann.id)
    assert (proof.left, proof.files_clean, notes(gallery)) == (0, False, 0)
    assert proof.beyond[-1] == "unused parts of the server's files: this role may not read them"
    gallery.close()


@pytest.mark.usefixtures("may_read")
def test_what_somebody_still_reads_is_not_taken_for_gone(place, server, monkeypatch, caplog):
    import psycopg

    monkeypatch.setattr(vacuum, "PAUSE", 0.0)
    gallery, ann, _ = peopled(place)
    name = place.rpartition("=")[2]
    reader = psycopg.connect(host=str(server.folder), dbname="test", user="postgres")
    with reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute(f"SELECT count(*) FROM {name}.people")
        proof = erase_with_proof(gallery, ann.id)
        assert (proof.left, proof.files_clean, notes(gallery)) == (0, False, 1)
        assert "erased, but unused parts of the files may still show what was" in caplog.text
        assert in_tables(server, WORDS)
    gallery.close()
    gallery = open_gallery(place)  # that program has ended by now
    assert (in_tables(server, WORDS), notes(gallery)) == ([], 0)
    gallery.close()


@pytest.mark.usefixtures("may_read")
def test_a_dump_that_takes_long_delays_nobody_for_long(place, server, monkeypatch, caplog):
    """Whoever reads a table keeps it from being written anew; searches wait behind that."""
    import psycopg

    monkeypatch.setattr(vacuum, "PATIENCE", 1.0)
    gallery, ann, _ = peopled(place)
    name = place.rpartition("=")[2]
    with psycopg.connect(host=str(server.folder), dbname="test", user="postgres") as reader:
        for table in ("people", "samples", "templates"):
            reader.execute(f"LOCK TABLE {name}.{table} IN ACCESS SHARE MODE")
        gallery.delete(ann.id)
        assert notes(gallery) == 1
        assert "another process has been writing" in caplog.text
        with gallery.database.outside() as connection:
            assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "30s"
        assert len(gallery.index(MODEL)) == 30
    gallery.close()


def dump_of(server, place: str) -> bytes:
    """What pg_dump writes, as the gallery's own role makes a backup."""
    command = [server.programs / "pg_dump", "-h", server.folder, "-U", postgres.ROLE, "test"]
    command += ["-n", place.rpartition("=")[2]]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_a_dump_holds_no_template_that_anybody_could_read(place, server):
    gallery, _, sample = peopled(place)
    dump = dump_of(server, place)
    assert b"Ann Unmistakable" in dump  # names are text: docs/postgres.md says so
    assert [form for form in forms(sample) if form in dump] == []
    key = load_key(gallery.id)
    assert not any(one in dump for one in (key, key.hex().encode()))
    # The search finds one that somebody stores as it is.
    row = sample.templates[MODEL]
    change(gallery, "UPDATE templates SET data = ?", row.tobytes())
    assert row.tobytes().hex().encode() in dump_of(server, place)
    gallery.close()


def test_a_file_of_several_parts_is_read_to_its_end():
    """PostgreSQL begins another file at every gigabyte."""
    parts = {"base/1": b"a" * 9 + b"Ann ", "base/1.1": b"Unmistakable", "base/1.2": b"Bob"}
    asked: list[str] = []

    class Connection:
        def scalar(self, _, values):
            asked.append(values["path"])
            return parts.get(values["path"], b"")[values["start"] :][:4]

    words, nobody = vacuum.Words([b"Unmist"]), vacuum.Words([b"Eve!"])
    assert any(words.within(part) for part in vacuum._parts(Connection(), "base/1", words))
    assert set(asked) == {"base/1", "base/1.1"}
    assert not any(nobody.within(part) for part in vacuum._parts(Connection(), "base/1", words))
    assert set(asked) == {"base/1", "base/1.1", "base/1.2", "base/1.3"}
