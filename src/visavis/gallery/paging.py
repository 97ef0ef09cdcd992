"""A gallery's people and its audit page by page, for whoever cannot take them all at once."""

from sqlalchemy import and_, or_, select

from visavis.gallery.audit import Entry
from visavis.gallery.gallery import Gallery
from visavis.gallery.people import Person, normal_name
from visavis.gallery.tables import AUDIT, PEOPLE

Place = tuple[str, str]  # name and id of the last person of a page


def people_page(
    gallery: Gallery, count: int, *, after: Place | None = None, like: str = ""
) -> tuple[list[Person], Place | None]:
    """So many people by name, of those whose name or external id has `like` in it, and the place
    where the next page begins; None at the end.
    """
    query = select(PEOPLE.c.name, PEOPLE.c.id).order_by(PEOPLE.c.name, PEOPLE.c.id)
    if after is not None:
        name, person = after
        later = and_(PEOPLE.c.name == name, PEOPLE.c.id > person)
        query = query.where(or_(PEOPLE.c.name > name, later))
    if like:
        text = normal_name(like)
        columns = (PEOPLE.c.name, PEOPLE.c.external_id)
        query = query.where(or_(*(one.icontains(text, autoescape=True) for one in columns)))
    with gallery.database.reading() as connection:
        places = [(row.name, row.id) for row in connection.execute(query.limit(count + 1))]
    known = gallery.people_of(person for _, person in places[:count])
    more = places[count - 1] if len(places) > count else None
    return [known[person] for _, person in places[:count] if person in known], more


def audit_page(gallery: Gallery, count: int, *, after: int = 0) -> list[Entry]:
    """So many entries of the audit behind entry `after`, in order."""
    query = select(AUDIT).where(AUDIT.c.seq > after).order_by(AUDIT.c.seq).limit(count)
    with gallery.database.reading() as connection:
        rows = connection.execute(query).all()
    return [Entry(row.seq, row.at, row.action, row.person_id, row.details) for row in rows]
