"""Groups of a gallery's people, by name: who is in them. They lie in people's sealed rows."""

from collections.abc import Callable, Iterable

from visavis.gallery.gallery import Gallery
from visavis.gallery.people import SealedPeople, clean_group


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
