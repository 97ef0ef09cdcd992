"""Which models have templates of whom: what a search by some of them does not see."""

from dataclasses import dataclass

from sqlalchemy import Select, func, select

from visavis.gallery.gallery import Gallery
from visavis.gallery.tables import SAMPLES, TEMPLATES
from visavis.gallery.templates import Parts, models_of_parts, templates_shape

MODELS = select(TEMPLATES.c.model).distinct()


@dataclass(frozen=True, slots=True)
class Apart:
    """What an embedder's searches do not see: how many photos of how many people, which lack a
    template of one of its models, and the models whose templates these photos have.
    """

    photos: int
    people: int
    models: tuple[str, ...]


def photos_apart(gallery: Gallery, parts: Parts) -> Apart:
    """The photos that have templates, but not of all these models."""
    query = (
        select(TEMPLATES.c.model, SAMPLES.c.id, SAMPLES.c.person_id)
        .join(SAMPLES, SAMPLES.c.id == TEMPLATES.c.sample_id)
        .where(TEMPLATES.c.sample_id.not_in(_seen(parts)))
    )
    with gallery.database.reading() as connection:
        # Where there is one model, as in most galleries, nothing has to be compared.
        (first, *others) = models_of_parts(parts)
        alone = not others and connection.scalars(MODELS).all() == [first]
        rows = [] if alone else connection.execute(query).all()
    models, photos, people = ({row[column] for row in rows} for column in range(3))
    return Apart(len(photos), len(people), tuple(sorted(models)))


def templates_by_model(gallery: Gallery) -> dict[str, tuple[int, int]]:
    """How many templates each model has, and of how many numbers they are."""
    with gallery.database.reading() as connection:
        models = connection.scalars(MODELS).all()
        return {str(model): templates_shape(connection, model) for model in models}


def photo_without(gallery: Gallery, person: str, source_sha256: str, parts: Parts) -> str | None:
    """The id of a person's photo that lacks a template of one of these models; None where there
    is none.
    """
    query = select(SAMPLES.c.id).where(
        SAMPLES.c.person_id == person,
        SAMPLES.c.source_sha256 == source_sha256,
        SAMPLES.c.id.not_in(_seen(parts)),
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


def people_seen(gallery: Gallery, parts: Parts) -> set[str]:
    """The ids of those who have a photo with templates of all these models."""
    query = select(SAMPLES.c.person_id).where(SAMPLES.c.id.in_(_seen(parts))).distinct()
    with gallery.database.reading() as connection:
        return set(connection.scalars(query))


def _seen(parts: Parts) -> Select[tuple[str]]:
    """Photos that have a template of each of these models."""
    models = models_of_parts(parts)
    own = select(TEMPLATES.c.sample_id).where(TEMPLATES.c.model.in_(models))
    if len(models) == 1:
        return own
    return own.group_by(TEMPLATES.c.sample_id).having(func.count() == len(models))
