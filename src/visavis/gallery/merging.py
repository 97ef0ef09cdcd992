"""Two entries that are one person, and taking that back: what the second one was is kept, sealed.

What is kept is the row of whoever has the photos now, and goes with them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    inspect,
    select,
    update,
)

from visavis.errors import PersonError
from visavis.gallery.audit import ADD, ENROLL, REMOVE, now
from visavis.gallery.gallery import Gallery
from visavis.gallery.people import Person, SealedPeople, new_person
from visavis.gallery.samples import move_sample
from visavis.gallery.tables import SAMPLES
from visavis.gallery.vault import SampleVault

NAME = "merged_people"
TABLES = MetaData()
MERGED = Table(
    NAME,
    TABLES,
    Column("id", String, primary_key=True),  # of who was merged
    Column("person_id", String, index=True, nullable=False),  # who has their photos now
    Column("at", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class MergedPerson:
    """Who was merged into somebody, as they were."""

    id: str
    into: str
    at: str
    name: str
    external_id: str | None
    consent: str | None
    groups: tuple[str, ...]
    photos: tuple[str, ...]  # their ids; those that both had are gone


def merge_people(gallery: Gallery, kept: str, merged: str) -> None:
    """`Gallery.merge`, which can be taken back. Raises PersonError."""
    known = gallery.people_of([merged]).get(merged)
    if known is not None and kept != merged:
        photos = [sample.id for sample in gallery.samples(merged)]
        document = {
            "name": known.name,
            "external_id": known.external_id,
            "consent": known.consent,
            "groups": known.groups,
            "photos": photos,
        }
        gallery.database.register(NAME, "person_id", ["sealed"])
        data = json.dumps(document).encode()
        sealed = gallery.vault.seal(data, gallery.id, NAME, merged)
        with gallery.database.writing() as connection:
            gallery.database.make(connection, TABLES)
            # Theirs until the merge moves it, with all else that is held of them.
            row = {"id": merged, "person_id": merged, "at": now(), "sealed": sealed}
            gallery.database.put(connection, MERGED, row)
    gallery.merge(kept, merged)


def merges_of(gallery: Gallery, person: str) -> list[MergedPerson]:
    """Who was merged into a person and can be taken out again, the last one first."""
    query = select(MERGED).where(MERGED.c.person_id == person, MERGED.c.id != person)
    with gallery.database.reading() as connection:
        if not inspect(connection).has_table(NAME):
            return []
        rows = connection.execute(query.order_by(MERGED.c.at.desc(), MERGED.c.id)).all()
    merged = []
    for row in rows:
        opened = gallery.vault.open(row.sealed, gallery.id, NAME, row.id)
        if opened is not None:
            told = json.loads(opened)
            told |= {"groups": tuple(told["groups"]), "photos": tuple(told["photos"])}
            merged.append(MergedPerson(row.id, row.person_id, row.at, **told))
    return merged


def last_merge(gallery: Gallery, person: Person) -> MergedPerson:
    """The last merge into a person. Raises PersonError where there is none to take back."""
    merges = merges_of(gallery, person.id)
    if not merges:
        raise PersonError(f"nobody who was merged into {person.name} can be taken out again")
    return merges[0]


def unmerge(gallery: Gallery, merged: MergedPerson) -> Person:
    """Take a merge back: a person with the name, groups and photos of who was merged, and a new id.

    Photos that both had stay with the one who was kept, and so does what other rooms held of them.
    Raises PersonError where none of the photos is left, or somebody has their external id by now.
    """
    rows, vault = SealedPeople(gallery.vault, gallery.id), SampleVault(gallery.vault, gallery.id)
    with gallery.database.writing() as connection:
        photos = _owned(connection, merged)
        if not photos:
            raise PersonError(f"no photo of {merged.name} is left with the person they were merged")
        person = new_person(merged.name, merged.external_id, merged.consent)
        entry = gallery.audit.record(connection, ADD, person.id, {"unmerged": merged.id})
        rows.add(connection, person, entry)
        rows.regroup(connection, gallery.audit, person.id, merged.groups)
        for photo in photos:
            move_sample(connection, vault, photo, merged.into, person.id)
            # In this order an index lets go of the photo, and reads whose it is now.
            gallery.audit.record(connection, ENROLL, person.id, {"sample": photo})
            gallery.audit.record(connection, REMOVE, merged.into, {"sample": photo})
        connection.execute(delete(MERGED).where(MERGED.c.id == merged.id))
    return gallery.find(person.id)


def reseal_merged(connection: Connection, exchange: Callable[..., bytes]) -> None:
    """Seal them anew, within the transaction that rotates the key; `exchange` makes the seals."""
    if inspect(connection).has_table(NAME):
        for row in connection.execute(select(MERGED)).all():
            sealed = exchange(row.sealed, NAME, row.id)
            this = update(MERGED).where(MERGED.c.id == row.id)
            connection.execute(this.values(sealed=sealed))


def _owned(connection: Connection, merged: MergedPerson) -> list[str]:
    """Those of the photos that whoever was kept still has."""
    mine = select(SAMPLES.c.id).where(SAMPLES.c.person_id == merged.into)
    owned = set(connection.scalars(mine))
    return [photo for photo in merged.photos if photo in owned]
