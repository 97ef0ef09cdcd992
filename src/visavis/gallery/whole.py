"""Whether all that a gallery holds can be read, and is what its audit says was put into it."""

import json
from collections.abc import Callable, Iterator

from sqlalchemy import Connection, func, select

from visavis.gallery.audit import ENROLL, ERASE, MERGE, REMOVE, Entry
from visavis.gallery.samples import CROP
from visavis.gallery.tables import PEOPLE, SAMPLES, TEMPLATES
from visavis.gallery.vault import SampleVault


def first_damage(connection: Connection, vault: SampleVault, entries: list[Entry]) -> str | None:
    """What cannot be read or is not there, in words: the first that is found; None for nothing.

    `entries` are all of the audit. Reads every row, opens every template and crop.
    """
    checks: tuple[Callable[[], Iterator[str]], ...] = (
        lambda: _people(connection, entries),
        lambda: _photos(connection, vault, entries),
        lambda: _templates(connection, vault),
    )
    return next((damage for check in checks for damage in check()), None)


def _people(connection: Connection, entries: list[Entry]) -> Iterator[str]:
    merged = {_detail(entry, "merged") for entry in entries if entry.action == MERGE}
    if None in merged:
        return  # an older visavis did not say who
    known = {entry.person for entry in entries if entry.action == "add person"} - merged
    known -= {entry.person for entry in entries if entry.action == ERASE}
    stored = set(connection.scalars(select(PEOPLE.c.id)))
    if stored != known:
        yield f"by its audit it holds {len(known)} people; {len(stored & known)} of them are there"


def _photos(connection: Connection, vault: SampleVault, entries: list[Entry]) -> Iterator[str]:
    people = set(connection.scalars(select(PEOPLE.c.id)))
    # A merge gives up the photos that both had.
    people -= {entry.person for entry in entries if entry.action == MERGE}
    missing = {
        _detail(entry, "sample")
        for entry in entries
        if entry.action == ENROLL and entry.person in people
    } - {None}
    missing -= {_detail(entry, "sample") for entry in entries if entry.action == REMOVE}
    for row in connection.execute(select(SAMPLES)):
        missing.discard(row.id)
        if row.crop is not None and vault.open(row.crop, row.person_id, row.id, CROP) is None:
            yield f"the crop of photo {row.id} was altered"
        try:
            json.loads(row.quality)
        except ValueError:
            yield f"photo {row.id} is damaged"
    if missing:
        yield f"{len(missing)} photos that its audit names are not there"


def _templates(connection: Connection, vault: SampleVault) -> Iterator[str]:
    owner = func.coalesce(SAMPLES.c.person_id, "")
    query = select(TEMPLATES, owner).outerjoin(SAMPLES, SAMPLES.c.id == TEMPLATES.c.sample_id)
    # The driver's own rows: an altered file may hold text where bytes were.
    cursor = connection.execute(query).cursor
    for sample, model, data, person in iter(cursor.fetchone, None):
        if vault.open(data, person, str(sample), str(model)) is None:
            yield f"a template of photo {sample} was altered"


def _detail(entry: Entry, name: str) -> str | None:
    value = json.loads(entry.details).get(name)
    return value if isinstance(value, str) else None
