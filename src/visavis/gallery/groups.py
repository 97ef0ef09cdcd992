"""Groups of a gallery's people, by name: who is in them. They lie in people's sealed rows."""

from collections import Counter
from collections.abc import Callable, Iterable

from visavis.gallery.gallery import Gallery
from visavis.gallery.people import Person, SealedPeople, clean_group


def group_sizes(gallery: Gallery) -> dict[str, int]:
    """How many people are in each group, by the groups' names."""
    sizes = Counter(name for person in gallery.people() for name in person.groups)
    return dict(sorted(sizes.items()))


def group_members(gallery: Gallery, group: str) -> list[Person]:
    """Who is in a group, by name. Raises PersonError where that is nobody."""
    with gallery.database.reading() as connection:
        members = SealedPeople(gallery.vault, gallery.id).members(connection, group)
    return sorted(gallery.people_of(members).values(), key=lambda one: (one.name, one.id))


def add_to_group(gallery: Gallery, group: str, people: Iterable[str]) -> list[str]:
    """Put people, by their ids, into a group: those who were not in it. All of them or nobody.

    Raises PersonError for a name that cannot be, and where one is not in the gallery.
    """
    name = clean_group(group)
    return _regroup(gallery, people, lambda groups: {*groups, name})


def remove_from_group(gallery: Gallery, group: str, people: Iterable[str]) -> list[str]:
    """Take people, by their ids, out of a group: those who were in it. All of them or nobody.

    Raises PersonError where nobody is in the group, and where one is not in the gallery.
    """
    with gallery.database.reading() as connection:
        SealedPeople(gallery.vault, gallery.id).members(connection, group)
    name = clean_group(group)
    return _regroup(gallery, people, lambda groups: {*groups} - {name})


def _regroup(
    gallery: Gallery, people: Iterable[str], change: Callable[[tuple[str, ...]], set[str]]
) -> list[str]:
    """Change people's groups in one transaction; the ids of those whose groups are others now."""
    rows, audit = SealedPeople(gallery.vault, gallery.id), gallery.audit
    with gallery.database.writing() as connection:
        return [
            person
            for person in people
            if rows.regroup(connection, audit, person, change(rows.groups(connection, person)))
        ]
