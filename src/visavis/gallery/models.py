"""Which models have templates of whom: what a search by one of them does not see."""

from dataclasses import dataclass

from sqlalchemy import select

from visavis.gallery.gallery import Gallery
from visavis.gallery.tables import SAMPLES, TEMPLATES


@dataclass(frozen=True, slots=True)
class Apart:
    """What a model's searches do not see: how many photos of how many people, with templates of
    these other models alone.
    """

    photos: int
    people: int
    models: tuple[str, ...]


def photos_apart(gallery: Gallery, model: str) -> Apart:
    """The photos that have templates, but none of this model."""
    own = select(TEMPLATES.c.sample_id).where(TEMPLATES.c.model == model)
    query = (
        select(TEMPLATES.c.model, SAMPLES.c.id, SAMPLES.c.person_id)
        .join(SAMPLES, SAMPLES.c.id == TEMPLATES.c.sample_id)
        .where(SAMPLES.c.id.not_in(own))
    )
    with gallery.database.reading() as connection:
        rows = connection.execute(query).all()
    models, photos, people = ({row[column] for row in rows} for column in range(3))
    return Apart(len(photos), len(people), tuple(sorted(models)))


def photo_without(gallery: Gallery, person: str, source_sha256: str, model: str) -> str | None:
    """The id of a person's photo that has no template of a model; None where there is none."""
    template = (TEMPLATES.c.sample_id == SAMPLES.c.id) & (TEMPLATES.c.model == model)
    query = (
        select(SAMPLES.c.id)
        .outerjoin(TEMPLATES, template)
        .where(SAMPLES.c.person_id == person, SAMPLES.c.source_sha256 == source_sha256)
        .where(TEMPLATES.c.model.is_(None))
    )
    with gallery.database.reading() as connection:
        return connection.scalar(query)


def people_by_model(gallery: Gallery) -> dict[str, set[str]]:
    """The ids of those who have a template, by its model."""
    people: dict[str, set[str]] = {}
    query = select(TEMPLATES.c.model, SAMPLES.c.person_id).distinct()
    owned = query.join(SAMPLES, SAMPLES.c.id == TEMPLATES.c.sample_id)
    with gallery.database.reading() as connection:
        for model, person in connection.execute(owned):
            people.setdefault(model, set()).add(person)
    return people
