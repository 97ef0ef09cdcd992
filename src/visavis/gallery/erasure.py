"""What a deletion must not leave behind, and how it finds room to work on a full disk.

secure_delete overwrites what is deleted, but not the copies that SQLite leaves in a page's unused
part when it moves rows from page to page. So the file is searched for what was erased, and written
anew where some of it is left. The setting TRACES is there from the deletion until that is done, so
that what a crash or a full disk interrupts is done at the next opening.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, Engine, select

from visavis.errors import GalleryError
from visavis.gallery import sqlite as schema

log = logging.getLogger(__name__)

TRACES = "traces"
BALLAST = "ballast"  # given up when the disk is full
BALLAST_BYTES = 4_000_000
BLOCK = 1 << 24  # bytes of the file searched at a time
HEAD = 16  # bytes of a sealed row that tell it from any other


def traces_of(connection: Connection, person: str) -> set[bytes]:
    """What of a person's could be found in the file: in words, and the heads of sealed rows."""
    people, samples, templates = schema.people.c, schema.samples.c, schema.templates.c
    words = connection.execute(
        select(people.name, people.external_id, people.consent).where(people.id == person)
    ).all()
    sealed = connection.execute(
        select(samples.crop, templates.data)
        .outerjoin(schema.templates, templates.sample_id == samples.id)
        .where(samples.person_id == person)
    ).all()
    sources = select(samples.source)
    own = set(connection.scalars(sources.where(samples.person_id == person)))
    others = set(
        connection.scalars(sources.where(samples.person_id != person))
    )  # 1.jpg is no one's
    texts = {part for row in words for part in row if part} | (own - others)
    heads = {part[:HEAD] for row in sealed for part in row if part}
    return {text.encode() for text in texts} | heads


def scrub(engine: Engine, path: Path, traces: Iterable[bytes] | None = None) -> None:
    """Leave no trace in the file; where that cannot be now, say so and leave TRACES set."""
    try:
        with schema.outside(engine, path) as connection:  # what a write-ahead log still holds
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            if traces is None or _found(path, set(traces)):
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        with schema.writing(engine, path) as connection:
            connection.execute(schema.settings.delete().where(schema.settings.c.name == TRACES))
    except GalleryError as error:
        log.warning(
            "erased, but unused parts of the file may still show what was; they are written anew "
            "when the gallery is next opened: %s",
            error,
        )


def make_ballast(path: Path) -> None:
    """Take room on the disk that a deletion can be given later."""
    if path.exists():
        return
    try:
        with path.open("wb") as file:
            file.write(bytes(BALLAST_BYTES))  # written, not sparse: it must hold real blocks
    except OSError:
        path.unlink(missing_ok=True)  # no room for it now; the next deletion tries again


def _found(path: Path, traces: set[bytes]) -> bool:
    longest = max(map(len, traces), default=0)
    before = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            part = before + block
            if any(trace in part for trace in traces):
                return True
            before = part[-longest:]
    return False
