"""People as a gallery knows them: what their names may be, how they are found, kept and sealed."""

import logging
import re
import unicodedata
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from visavis.errors import PersonError, did_you_mean
from visavis.gallery.audit import GROUP, Audit, now
from visavis.gallery.keycheck import check_key
from visavis.gallery.tables import PEOPLE, SAMPLES, batches_of_ids
from visavis.gallery.vault import PersonVault, Vault

log = logging.getLogger(__name__)

MOST_NAME = 200  # characters
MOST_CONSENT = 10_000
# Names that a name which nobody has is compared with: a tenth of a second.
MOST_SUGGESTED = 5_000
MOST_NAMED = 5  # people in one warning
MEND = "see what visavis people check says; restore a backup, or accept the rows as they are"
# What a seal covers; groups come last.
COLUMNS = ("id", "name", "external_id", "consent", "added_at", "seen_at", "groups")
APART = "\n"  # between the names of groups in their column
SEPARATORS = ",;"  # between them in a roster, so in no name
ROWS = select(*(PEOPLE.c[column] for column in COLUMNS), PEOPLE.c.seal)
# Whose templates are searched: a group's people, so many ids, or everybody's.
Among = str | frozenset[str] | None
# Made once: each enrolment asks for one, each search for some.
ONE = ROWS.where(PEOPLE.c.id == bindparam("person"))
SOME = ROWS.where(PEOPLE.c.id.in_(bindparam("people", expanding=True)))
SEEN = (
    update(PEOPLE)
    .where(PEOPLE.c.id == bindparam("person"))
    .values(seen_at=bindparam("at"), seal=bindparam("sealed"))
)


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
    groups: tuple[str, ...] = ()  # sorted


def clean_name(name: str) -> str:
    """A name as it is stored: NFC, trimmed. Raises PersonError for an empty or unprintable one."""
    clean = normal_name(name)
    check_text(clean, MOST_NAME)
    return clean


def clean_group(name: str) -> str:
    """A group's name as it is stored. Raises PersonError for one that cannot be."""
    clean = clean_name(name)
    if any(sign in clean for sign in SEPARATORS):
        raise PersonError(f"expected a group's name without , and ;, got {name!r}")
    return clean


def groups_in(cell: str) -> tuple[str, ...]:
    """The groups that a cell of a roster names. Raises PersonError as `clean_group`."""
    return tuple(clean_group(one) for one in re.split(f"[{SEPARATORS}]", cell) if one.strip())


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


class SealedPeople:
    """The rows of a gallery's people, each sealed: what is not as it was written is nobody's."""

    def __init__(self, vault: Vault, gallery: str) -> None:
        self._vault, self._gallery = vault, gallery
        self._rows = PersonVault(vault, gallery)
        self._named: set[str] = set()  # whose rows were said to be altered

    def all(self, connection: Connection, name: str | None = None) -> list[Person]:
        """Everybody, or those of one name, by name."""
        query = ROWS.order_by(PEOPLE.c.name, PEOPLE.c.id)
        if name is not None:
            named = query.where(PEOPLE.c.name == clean_name(name))
            return self._people(connection, _rows(connection, named))
        # One pass over all photos, in place of a query for each person.
        counting = select(SAMPLES.c.person_id, func.count()).group_by(SAMPLES.c.person_id)
        counts: dict[str, int] = dict(connection.execute(counting).cursor.fetchall())
        rows = self._whole(connection, _rows(connection, query))
        return [_person(row, counts.get(row[0], 0)) for row in rows]

    def by_id(self, connection: Connection, ids: Iterable[str]) -> dict[str, Person]:
        """Those of so many ids who are here, by id."""
        people = self._people(connection, _some(connection, ids))
        return {person.id: person for person in people}

    def find(self, connection: Connection, who: str) -> Person:
        """A person by id, external id or name. Raises PersonError for none and for several."""
        by_id = or_(PEOPLE.c.id == who, PEOPLE.c.external_id == who)
        # Half of a surrogate pair, or a zero, is in no stored text, nor can it be asked for.
        askable = not any(sign == "\0" or unicodedata.category(sign) == "Cs" for sign in who)
        for condition in (by_id, PEOPLE.c.name == normal_name(who)) if askable else ():
            people = self._meant(connection, ROWS.where(condition).order_by(PEOPLE.c.id))
            if len(people) == 1:
                return people[0]
            if people:
                ids = ", ".join(person.external_id or person.id for person in people)
                what = f"{len(people)} people are called {who!r}"
                raise PersonError(what, mend=f"say which: {ids}")
        names = connection.scalars(select(PEOPLE.c.name).distinct().limit(MOST_SUGGESTED))
        mend = did_you_mean(normal_name(who), names)
        raise PersonError(f"nobody is called {who!r}, and nobody has that id", mend=mend)

    def known_as(self, connection: Connection, name: str, external_id: str | None) -> Person | None:
        """The one person of a name, and of an external id where there is one; None for nobody.

        Raises PersonError where several people have the name and no external id says which.
        """
        query = ROWS.where(PEOPLE.c.name == clean_name(name))
        if external_id is not None:
            check_text(external_id, MOST_NAME)
            query = query.where(PEOPLE.c.external_id == external_id)
        people = self._meant(connection, query)
        if len(people) > 1:
            raise PersonError(
                f"{len(people)} people are called {name!r}",
                mend="say which by an external id",
                option="id",
            )
        return people[0] if people else None

    def add(self, connection: Connection, person: Person, entry: int) -> None:
        """Store a `new_person`, whom an entry of the audit adds.

        Raises PersonError where somebody has the external id.
        """
        row = [*(getattr(person, column) for column in COLUMNS[:-1]), _column(person.groups)]
        values = dict(zip(COLUMNS, row, strict=True), seal=self._rows.seal(row, entry))
        try:
            connection.execute(insert(PEOPLE).values(values))
        except IntegrityError as error:
            what = f"somebody has the external id {person.external_id!r} already"
            raise PersonError(what) from error

    def regroup(
        self, connection: Connection, audit: Audit, person: str, groups: Iterable[str]
    ) -> bool:
        """Whether these are other groups than a person had; then they are written, and said in the
        audit. Raises PersonError.
        """
        after = tuple(sorted(set(groups)))
        if after == self.groups(connection, person):
            return False
        entry = audit.record(connection, GROUP, person, {})
        self.seal(connection, person, entry, groups=_column(after))
        return True

    def groups(self, connection: Connection, person: str) -> tuple[str, ...]:
        """The groups a person is in. Raises PersonError as `check`."""
        self.check(connection, person)
        return self.by_id(connection, [person])[person].groups

    def chosen(self, connection: Connection, among: Among) -> frozenset[str] | None:
        """Whose templates are meant; None: all. Raises PersonError for a group of nobody."""
        return self.members(connection, among) if isinstance(among, str) else among

    def members(self, connection: Connection, group: str) -> frozenset[str]:
        """The ids of who is in a group. Raises PersonError where that is nobody.

        Everybody's row is opened: who was taken out of a group without the key is named.
        """
        name, by_group = normal_name(group), dict[str, set[str]]()
        for row in self._whole(connection, _rows(connection, ROWS)):
            for own in _groups(row[-1]):
                by_group.setdefault(own, set()).add(row[0])
        if name not in by_group:
            mend = did_you_mean(name, by_group) or f"there are {', '.join(sorted(by_group)) or '0'}"
            raise PersonError(f"nobody is in a group {name!r}", mend=mend, option="among")
        return frozenset(by_group[name])

    def change(self, connection: Connection, person: str, entry: int, **changed: str) -> None:
        """Write columns of a person's row, by an entry of the audit. Raises PersonError."""
        self.check(connection, person)
        self.seal(connection, person, entry, **changed)

    def see(self, connection: Connection, ids: Iterable[str]) -> None:
        """Note that people were seen now; of whom the row is altered, nothing is noted."""
        at, seen, altered = now(), [], []
        for *row, seal in _some(connection, ids):
            entry = self._rows.entry(row, seal)
            if entry is None:
                altered.append(row[0])
            else:
                sealed = self._rows.seal([*row[:-2], at, row[-1]], entry)
                seen.append({"person": row[0], "at": at, "sealed": sealed})
        self._name(connection, altered)
        if seen:
            connection.execute(SEEN, seen)

    def seal(self, connection: Connection, person: str, entry: int, **changed: str | None) -> None:
        """Seal a row as it is, but for what is changed. Raises PersonError for what is no text."""
        row: dict[str, Any] = {
            **connection.execute(ROWS.where(PEOPLE.c.id == person)).one()._mapping,
            **changed,
        }
        try:
            row["seal"] = self._rows.seal([row[column] for column in COLUMNS], entry)
        except TypeError as error:
            raise PersonError(f"the row of person {person} holds what is no text") from error
        connection.execute(update(PEOPLE).where(PEOPLE.c.id == person).values(row))

    def check(self, connection: Connection, person: str) -> None:
        """Raise PersonError where nobody has that id, or the row is not as it was written."""
        row = connection.execute(ONE, {"person": person}).cursor.fetchone()
        if row is None:
            raise PersonError(f"person {person} is not in the gallery")
        self._refuse_altered(connection, [row])

    def entries(self, connection: Connection) -> list[tuple[Any, int | None]]:
        """Everybody's id, and the entry that changed their row last; None: it is altered."""
        rows = _rows(connection, ROWS)
        return [(row[0], self._rows.entry(row, seal)) for *row, seal in rows]

    def altered(self, connection: Connection) -> tuple[tuple[str, ...], ...]:
        """The rows that are altered, as they are now, without those that hold what is no text."""
        return tuple(
            tuple(row)
            for *row, seal in _rows(connection, ROWS.order_by(PEOPLE.c.id))
            if self._rows.entry(row, seal) is None
            and all(text is None or isinstance(text, str) for text in row)
        )

    def _meant(self, connection: Connection, query: Select[Any]) -> list[Person]:
        """As `_people`, for one who is meant. Raises PersonError for a row that is altered."""
        rows = _rows(connection, query)
        self._refuse_altered(connection, rows)
        return [_person(row[:-1], _photos(connection, row[0])) for row in rows]

    def _refuse_altered(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
        for *row, seal in rows:
            if self._rows.entry(row, seal) is None:
                check_key(connection, self._vault, self._gallery)
                raise PersonError(f"the row of person {row[0]} was altered", mend=MEND)

    def _people(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> list[Person]:
        whole = self._whole(connection, rows)
        return [_person(row, _photos(connection, row[0])) for row in whole]

    def _whole(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
        """The rows that are as they were written, without their seals; the others are named."""
        whole, altered = [], []
        for *row, seal in rows:
            if self._rows.entry(row, seal) is None:
                altered.append(row[0])
            else:
                whole.append(row)
        self._name(connection, altered)
        return whole

    def _name(self, connection: Connection, altered: Iterable[Any]) -> None:
        """Say once of each person that the row is altered."""
        news = sorted(set(map(str, altered)) - self._named)
        if not news:
            return
        check_key(connection, self._vault, self._gallery)
        self._named.update(news)
        named = ", ".join(news[:MOST_NAMED])
        more = f" and {len(news) - MOST_NAMED} more" if len(news) > MOST_NAMED else ""
        count = f"{len(news)} people" if len(news) > 1 else "a person"
        log.warning("altered, and left out: the row of %s, %s%s: %s", count, named, more, MEND)


def new_person(name: str, external_id: str | None, consent: str | None) -> Person:
    """A person without photos. Raises PersonError for a name or id that cannot be."""
    name = clean_name(name)
    for text, most in ((external_id, MOST_NAME), (consent, MOST_CONSENT)):
        if text is not None:
            check_text(text, most)
    return Person(uuid.uuid4().hex, name, external_id, consent, now(), None, 0)


def check_there(connection: Connection, people: Iterable[str]) -> None:
    """Raise PersonError where nobody has one of the ids, altered or not: erasure reaches all."""
    there = select(PEOPLE.c.id).where(PEOPLE.c.id == bindparam("person"))
    for person in people:
        if connection.execute(there, {"person": person}).first() is None:
            raise PersonError(f"person {person} is not in the gallery")


def _rows(connection: Connection, query: Select[Any], **values: Any) -> Sequence[Any]:
    """The driver's own rows: of 100,000 people that saves what the seals cost."""
    return connection.execute(query, values).cursor.fetchall()


def _some(connection: Connection, ids: Iterable[str]) -> list[Sequence[Any]]:
    return [row for some in batches_of_ids(ids) for row in _rows(connection, SOME, people=some)]


def _person(row: Sequence[Any], photos: int) -> Person:
    *columns, groups = row
    return Person(*[*columns, photos, _groups(groups)])


def _photos(connection: Connection, person: str) -> int:
    count = select(func.count()).where(SAMPLES.c.person_id == person)
    return connection.execute(count).scalar_one()


def _groups(column: str | None) -> tuple[str, ...]:
    return tuple(column.split(APART)) if column else ()


def _column(groups: Iterable[str]) -> str | None:
    return APART.join(groups) or None
