"""Whether all that a gallery holds can be read, and is what its audit says was put into it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from visavis.gallery.audit import (
    ACCEPT,
    ACCEPT_PERSON,
    ADD,
    CONSENT,
    ENROLL,
    ERASE,
    GROUP,
    MERGE,
    REMOVE,
    RENAME,
    SEAL,
    Audit,
    Entry,
    accepted_at,
    entries_since,
    head,
)
from visavis.gallery.people import SealedPeople
from visavis.gallery.samples import CROP
from visavis.gallery.tables import PEOPLE, SAMPLES, TEMPLATES
from visavis.gallery.vault import SampleVault

OF_ROWS = {ADD, RENAME, CONSENT, GROUP, ACCEPT_PERSON}  # actions that write a person's row


@dataclass(frozen=True, slots=True)
class Told:
    """What the audit tells: its entries, and how many people its seal counts.

    An audit that is broken tells nothing, and one that was accepted only what came since.
    """

    broken_at: int | None
    entries: Sequence[Entry] = ()
    people: int | None = None

    @property
    def from_the_start(self) -> bool:
        """Whether nothing of before is missing."""
        return bool(self.entries) and self.entries[0].action != ACCEPT


def told_by(audit: Audit, connection: Connection) -> Told:
    """What a gallery's audit tells."""
    broken = audit.broken_at(connection)
    if broken is not None:
        return Told(broken)
    since = max(accepted_at(connection) - 1, 0)
    return Told(None, entries_since(connection, since), audit.head(connection).people)


def odd_at_first_sight(connection: Connection, audit: Audit) -> str | None:
    """What can be said of the audit and of people without reading everything; None for nothing."""
    last, sealed = head(connection), audit.sealed(connection)
    if sealed is None or sealed != last:
        return "the audit was altered"
    count = connection.scalar(select(func.count()).select_from(PEOPLE))
    words = f"by its seal it holds {sealed.people} people; {count} are there"
    return words if sealed.people != count else None


def damages(
    connection: Connection, audit: Audit, people: SealedPeople, vault: SampleVault
) -> Iterator[str]:
    """What was altered, cannot be read or is not there, in words.

    Reads every row, opens every template and crop.
    """
    told = told_by(audit, connection)
    rows = people.entries(connection)
    yield from altered_people(rows, told)
    yield from _photos(connection, vault, told, {person for person, _ in rows})
    yield from _templates(connection, vault)


def altered_people(rows: Sequence[tuple[str, int | None]], told: Told) -> Iterator[str]:
    """What was altered of the audit and of people's rows, which are `SealedPeople.entries`."""
    if told.broken_at is not None:
        yield f"its audit is broken at entry {told.broken_at}"
    changed, sealed = _last_changes(told)
    for person, entry in rows:
        if entry is None:
            yield f"the row of person {person} was altered"
        elif told.entries:
            # What was written before the audit was accepted is in no entry that counts.
            last = changed.get(person, sealed)
            if entry != last and (last is not None or entry >= told.entries[0].seq):
                yield f"the row of person {person} is an older one, put back"
    if told.people is not None and told.people != len(rows):
        yield f"by its seal it holds {told.people} people; {len(rows)} are there"
    known, stored = _known(told), {person for person, _ in rows}
    if known is not None and known != stored:
        yield f"by its audit it holds {len(known)} people; {len(stored & known)} of them are there"


def _last_changes(told: Told) -> tuple[dict[str | None, int], int | None]:
    """The entry that wrote each person's row last, and the one that sealed all others."""
    changed: dict[str | None, int] = {}
    sealed = None
    for entry in told.entries:
        if entry.action == SEAL:
            changed, sealed = {}, entry.seq
        elif entry.action in OF_ROWS:
            changed[entry.person] = entry.seq
    return changed, sealed


def _known(told: Told) -> set[str | None] | None:
    """Everybody whom the audit says to be here; None where it does not say it of all."""
    merged = {_detail(entry, "merged") for entry in told.entries if entry.action == MERGE}
    if not told.from_the_start or None in merged:
        return None  # an older visavis did not say who
    known = {entry.person for entry in told.entries if entry.action == ADD} - merged
    return known - {entry.person for entry in told.entries if entry.action == ERASE}


def _photos(
    connection: Connection, vault: SampleVault, told: Told, people: set[str]
) -> Iterator[str]:
    owners = _owners(told)
    merged_into = {entry.person for entry in told.entries if entry.action == MERGE}
    # A merge gives up the photos that both had.
    missing = {
        sample for sample, owner in owners.items() if owner in people and owner not in merged_into
    }
    for row in connection.execute(select(SAMPLES)):
        missing.discard(row.id)
        if owners.get(row.id, row.person_id) != row.person_id:
            yield f"photo {row.id} was given to another person"
        if row.crop is not None and vault.open(row.crop, row.person_id, row.id, CROP) is None:
            yield f"the crop of photo {row.id} was altered"
        try:
            json.loads(row.quality)
        except ValueError:
            yield f"photo {row.id} is damaged"
    if missing:
        yield f"{len(missing)} photos that its audit names are not there"


def _owners(told: Told) -> dict[str, str | None]:
    """Whose each photo is by the audit; a merged person's are those of whoever was kept."""
    owners: dict[str, str | None] = {}
    into: dict[str | None, str | None] = {}
    for entry in told.entries:
        sample = _detail(entry, "sample")
        if entry.action == ENROLL and sample is not None:
            owners[sample] = entry.person
        elif entry.action == REMOVE and sample is not None:
            owners.pop(sample, None)
        elif entry.action == MERGE:
            into[_detail(entry, "merged")] = entry.person
    return {sample: _kept(owner, into) for sample, owner in owners.items()}


def _kept(person: str | None, into: dict[str | None, str | None]) -> str | None:
    """Who has a person's photos after all merges."""
    while person in into:
        person = into[person]
    return person


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
