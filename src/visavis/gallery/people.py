"""A person as a gallery knows them: the names they may have, and how they are found and stored."""

import unicodedata
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from visavis.errors import PersonError, did_you_mean
from visavis.gallery.audit import now
from visavis.gallery.tables import PEOPLE, SAMPLES

MOST_NAME = 200  # characters
MOST_CONSENT = 10_000
# Names that a name which nobody has is compared with: a tenth of a second.
MOST_SUGGESTED = 5_000


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the gallery."""

    id: str
    name: str  # NFC
    external_id: str | None
    consent: str | None  # what they agreed to, in words
    added_at: str
    seen_at: str | None
    samples: int


def clean_name(name: str) -> str:
    """A name as it is stored: NFC, trimmed. Raises PersonError for an empty or unprintable one."""
    clean = normal_name(name)
    check_text(clean, MOST_NAME)
    return clean


def normal_name(name: str) -> str:
    """NFC, trimmed: what names are compared by."""
    return unicodedata.normalize("NFC", name).strip()


def check_text(text: str, most: int) -> None:
    """Raises PersonError for a text that is empty, unprintable or longer than `most`."""
    # Controls, halves of a pair, line and paragraph separators.
    bad = [sign for sign in text if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")]
    if not text or len(text) > most or bad:
        what = f"with the control character {bad[0]!r}" if bad else f"of {len(text)} characters"
        raise PersonError(f"expected 1 to {most} printable characters, got a text {what}")


def list_people(connection: Connection, name: str | None = None) -> list[Person]:
    """Everybody, or those of one name, by name."""
    query = select(PEOPLE).order_by(PEOPLE.c.name, PEOPLE.c.id)
    if name is not None:
        return _people(connection, query.where(PEOPLE.c.name == clean_name(name)))
    # One pass over all photos, in place of a query for each person.
    counts: dict[str, int] = {}
    for person, count in connection.execute(
        select(SAMPLES.c.person_id, func.count()).group_by(SAMPLES.c.person_id)
    ):
        counts[person] = count
    rows = connection.execute(query)
    return [Person(**row._mapping, samples=counts.get(row.id, 0)) for row in rows]


def people_by_id(connection: Connection, ids: Iterable[str]) -> dict[str, Person]:
    """Those of so many ids who are here, by id."""
    query = select(PEOPLE).where(PEOPLE.c.id.in_(sorted(set(ids))))
    return {person.id: person for person in _people(connection, query)}


def find_person(connection: Connection, who: str) -> Person:
    """A person by id, external id or name. Raises PersonError for none and for several."""
    by_id = or_(PEOPLE.c.id == who, PEOPLE.c.external_id == who)
    # Half of a surrogate pair is in no stored text, and no database can be asked for it.
    askable = not any(unicodedata.category(sign) == "Cs" for sign in who)
    for condition in (by_id, PEOPLE.c.name == normal_name(who)) if askable else ():
        people = _people(connection, select(PEOPLE).where(condition).order_by(PEOPLE.c.id))
        if len(people) == 1:
            return people[0]
        if people:
            ids = ", ".join(person.external_id or person.id for person in people)
            raise PersonError(f"{len(people)} people are called {who!r}", mend=f"say which: {ids}")
    names = connection.scalars(select(PEOPLE.c.name).distinct().limit(MOST_SUGGESTED))
    mend = did_you_mean(normal_name(who), names)
    raise PersonError(f"nobody is called {who!r}, and nobody has that id", mend=mend)


def known_as(connection: Connection, name: str, external_id: str | None) -> Person | None:
    """The one person of a name, and of an external id where there is one; None for nobody.

    Raises PersonError where several people have the name and no external id says which.
    """
    query = select(PEOPLE).where(PEOPLE.c.name == clean_name(name))
    if external_id is not None:
        check_text(external_id, MOST_NAME)
        query = query.where(PEOPLE.c.external_id == external_id)
    people = _people(connection, query)
    if len(people) > 1:
        raise PersonError(
            f"{len(people)} people are called {name!r}",
            mend="say which by an external id",
            option="id",
        )
    return people[0] if people else None


def insert_person(
    connection: Connection, name: str, external_id: str | None, consent: str | None
) -> Person:
    """Store a person without photos. Raises PersonError for a name or id that cannot be."""
    name = clean_name(name)
    for text, most in ((external_id, MOST_NAME), (consent, MOST_CONSENT)):
        if text is not None:
            check_text(text, most)
    person = Person(uuid.uuid4().hex, name, external_id, consent, now(), None, 0)
    row = {name: value for name, value in asdict(person).items() if name != "samples"}
    try:
        connection.execute(insert(PEOPLE).values(row))
    except IntegrityError as error:
        raise PersonError(f"somebody has the external id {external_id!r} already") from error
    return person


def check_person(connection: Connection, person: str) -> None:
    """Raise PersonError where nobody has that id."""
    if connection.execute(select(PEOPLE.c.id).where(PEOPLE.c.id == person)).first() is None:
        raise PersonError(f"person {person} is not in the gallery")


def _people(connection: Connection, query: Select[Any]) -> list[Person]:
    return [_person(connection, row) for row in connection.execute(query).all()]


def _person(connection: Connection, row: Row[Any]) -> Person:
    count = select(func.count()).where(SAMPLES.c.person_id == row.id)
    return Person(**row._mapping, samples=connection.execute(count).scalar_one())
