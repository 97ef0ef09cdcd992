"""What a gallery asks of a database: all that differs between one and another is behind this.

Knows nothing of people, templates or keys.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, MetaData, Table

T = TypeVar("T")

FULL = "the disk is full; nothing was lost"
BUSY_SECONDS = 30.0  # that one writer waits for another


class Database(Protocol):
    """A database that holds one gallery. Safe from several threads.

    Every method raises GalleryError where the database is missing, damaged, full or locked.
    """

    def prepare(self, *, create: bool = True) -> None:
        """Open it, with its tables up to date; with `create`, make a gallery where there is none.

        Raises GalleryError for what is no gallery.
        """

    def there(self) -> bool:
        """Whether a gallery is there; nothing is made."""

    @property
    def where(self) -> str:
        """Where it is, for messages."""

    def reading(self) -> AbstractContextManager[Connection]:
        """One transaction that reads: everything as it was at one moment."""

    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction that writes: all of it or nothing. One writer at a time, others wait."""

    def erasing(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in a transaction that writes, and make room for it where the disk is full."""

    def make(self, connection: Connection, tables: MetaData) -> None:
        """Make those tables of a room that are not there, within a transaction that writes."""

    def put(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
        """Write a row in place of the one with the same primary key, if there is one."""

    def scrub(self, traces: Iterable[bytes] | None) -> None:
        """Leave none of `traces` in unused parts of the files; None: whatever they hold."""

    def searched(self, connection: Connection) -> bool:
        """Whether unused parts of the files are searched for what a deletion left."""

    def beyond(self, connection: Connection) -> list[str]:
        """What no deletion reaches, in words."""

    def backup(self, target: Path) -> None:
        """Write a whole copy to a file, while others write."""

    def replacing(self, source: Path) -> AbstractContextManager[None]:
        """Put a copy that `backup` wrote in the place of what is here; `source` is moved.

        Where the block fails, what was here comes back.
        """

    def damage(self, connection: Connection) -> str | None:
        """What of the database's own structure is damaged, in words; None where all is whole."""

    def register(self, table: str, person_column: str, traces: Sequence[str]) -> None:
        """Let the deletion of a person reach a table of another room, from now on and for all.

        Rows whose `person_column` holds the person's id are deleted with the person, and follow
        them in a merge. `traces` are the columns whose contents must then be gone from the files.
        """

    def wait(self, seconds: float, stopping: Event) -> None:
        """Return when another process may have changed the gallery, or this one is stopping; after
        so long in any case.
        """

    def close(self) -> None:
        """Let go of the database."""
