"""Who is meant: the gallery's people by what rules, terminals and files call them."""

from collections.abc import Iterable

from visavis.errors import PersonError, did_you_mean
from visavis.gallery import Person


class Directory:
    """The gallery's people, asked once: a file of thousands of lines names them thousands of
    times.
    """

    def __init__(self, people: Iterable[Person]) -> None:
        self.people = {person.id: person for person in people}
        self._known: dict[str, list[str]] = {}
        for person in self.people.values():
            for name in {person.id, person.external_id, person.name} - {None}:
                self._known.setdefault(str(name), []).append(person.id)

    def find(self, who: str) -> Person:
        """A person by the gallery's id, their own id, or name. Raises PersonError."""
        ids = self._known.get(who.strip(), [])
        # Somebody's own id stands above somebody else's name.
        own = [one for one in ids if who.strip() in (one, self.people[one].external_id)]
        ids = own or ids
        if len(ids) == 1:
            return self.people[ids[0]]
        if ids:
            names = ", ".join(self.people[one].external_id or one for one in ids)
            raise PersonError(f"{len(ids)} people are called {who!r}", mend=f"say which: {names}")
        mend = did_you_mean(who, list(self._known)[:5000])
        raise PersonError(f"nobody is called {who!r}, and nobody has that id", mend=mend)

    def name(self, person: str) -> str:
        """A person's name; of somebody who is gone, nothing of theirs."""
        known = self.people.get(person)
        return known.name if known else "(erased)"

    def reference(self, person: str) -> str:
        """What other systems know somebody by: their own id, or else their name."""
        known = self.people.get(person)
        return (known.external_id or known.name) if known else person

    def named(self, names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
        """The ids of those whom rules name, each with that name, and the names of nobody here."""
        ids: dict[str, str] = {}
        unknown = []
        for name in names:
            try:
                ids[self.find(name).id] = name
            except PersonError:
                unknown.append(name)
        return ids, unknown
