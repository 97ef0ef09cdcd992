"""What deleted rows leave in PostgreSQL's files: taken out of them, and searched for.

VACUUM takes rows out of the tables, and leaves their bytes in unused parts of pages until something
is written over them. Where the role may read the server's files, they are searched, and a table
whose files hold what is looked for is written anew. Knows nothing of people.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from visavis.gallery.leftovers import BLOCK, Words

TRIES, PAUSE = 5, 0.3  # whoever reads for a moment has ended then; seconds
PATIENCE = 2.0  # seconds that a table is waited for, and everybody behind with it
LOOKED = text(  # what a role needs to read the server's files, as they are on the disk
    "SELECT pg_has_role('pg_checkpoint', 'usage') AND pg_has_role('pg_read_server_files', 'usage') "
    "AND has_function_privilege('pg_read_binary_file(text, bigint, bigint, boolean)', 'execute')"
)
FILES = text(  # of a table: its own, its indexes', those of its large values
    "SELECT pg_relation_filepath(oid) FROM pg_class WHERE oid IN ("
    "SELECT :table ::regclass UNION ALL "
    "SELECT reltoastrelid FROM pg_class WHERE oid = :table ::regclass UNION ALL "
    "SELECT indexrelid FROM pg_index WHERE indrelid IN (SELECT :table ::regclass UNION ALL "
    "SELECT reltoastrelid FROM pg_class WHERE oid = :table ::regclass))"
)
READ = text("SELECT pg_read_binary_file(:path, :start, :length, true)")
DEAD = text("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = :table ::regclass")
REPLICAS = text(
    "SELECT count(*), max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) "
    "FROM pg_stat_replication"
)


def vacuum(connection: Connection, table: str, *, anew: bool = False) -> bool:
    """Take what was deleted out of a table; whether nothing of it stays for somebody who reads.

    `anew` writes the table anew first, while nobody reads it.
    """
    with _impatient(connection):
        if anew:
            connection.exec_driver_sql(f"VACUUM (FULL) {table}")
        for _ in range(TRIES):
            connection.exec_driver_sql(f"VACUUM {table}")
            if not connection.scalar(DEAD, {"table": table}):
                return True
            time.sleep(PAUSE)
    return False


def may_search(connection: Connection) -> bool:
    """Whether this role may read the server's files."""
    return bool(connection.scalar(LOOKED))


def table_holds(connection: Connection, table: str, words: Words) -> bool:
    """Whether a file of a table holds one of the words, in a row or in an unused part."""
    paths = connection.scalars(FILES, {"table": table}).all()
    return any(words.within(part) for path in paths for part in _parts(connection, path, words))


def beyond(connection: Connection) -> list[str]:
    """What no deletion reaches, in words."""
    archived = connection.exec_driver_sql("SHOW archive_mode").scalar() != "off"
    reached = ["the server's log of writes" + (", and its archive" if archived else "")]
    standby = connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar()
    replicas, lag = (0, None) if standby else connection.execute(REPLICAS).one()
    if replicas:
        behind = "by how much they lag is not told" if lag is None else f"{lag} bytes behind"
        reached.append(f"replicas: {replicas} ({behind})")
    reached.append("backups")
    if not may_search(connection):
        reached.append("unused parts of the server's files: this role may not read them")
    return reached


@contextmanager
def _impatient(connection: Connection) -> Iterator[None]:
    """Wait for a long reader, as a dump is, no longer than those behind can wait."""
    patience = connection.exec_driver_sql("SHOW lock_timeout").scalar()
    connection.exec_driver_sql(f"SET lock_timeout = '{PATIENCE:.0f}s'")
    try:
        yield
    finally:
        if not connection.invalidated:  # else it is used by nobody any more
            connection.exec_driver_sql(f"SET lock_timeout = '{patience}'")


def _parts(connection: Connection, path: str, words: Words) -> Iterator[bytes]:
    """A file block by block, each with the end of the one before; it has parts of a gigabyte."""
    number = 0
    while True:
        name, start, before = f"{path}.{number}" if number else path, 0, b""
        while block := connection.scalar(READ, {"path": name, "start": start, "length": BLOCK}):
            yield before + bytes(block)
            before, start = bytes(block)[-words.longest :], start + len(block)
        if not start:
            return
        number += 1
