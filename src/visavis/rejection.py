"""A face that is not the person it was taken for: what keeping that changes, and keeping it."""

from dataclasses import dataclass

import numpy as np

from visavis.compare import join_parts, split_parts
from visavis.errors import MismatchError
from visavis.gallery import Gallery, Person
from visavis.gallery.negatives import Negative, add_negative
from visavis.image import Photo, Picture
from visavis.recognizer import Recognizer
from visavis.types import Embeddings


@dataclass(frozen=True, slots=True)
class PhotoEffect:
    """What a negative does to an enrolled photo of its person."""

    sample: str
    source: str
    similarity: float | None  # to the likest other photo of the person; None: there is no other
    negative_similarity: float  # to the face that is not the person
    lost: bool  # whether the photo is accepted now, by the others, and would not be any more


@dataclass(frozen=True, eq=False, slots=True)
class Rejection:
    """A face that is not a person, not kept yet, and what keeping it would change."""

    person: Person
    similarity: float  # of the face to the person's photos
    threshold: float | None  # of a match, now
    photos: tuple[PhotoEffect, ...]
    templates: dict[str, Embeddings]  # of the face (1, D), by model

    @property
    def lost(self) -> int:
        """How many accepted photos of the person would be accepted no more."""
        return sum(photo.lost for photo in self.photos)


def rejection_of(
    recognizer: Recognizer,
    gallery: Gallery,
    person: Person,
    source: Picture | Photo,
    face: int | None = None,
) -> Rejection:
    """What keeping this face as no face of that person would change. Nothing is kept.

    Raises NoFaceError, AmbiguousFaceError, and what `Recognizer.faces` raises.
    """
    photo = recognizer.faces(source)
    crop, _ = recognizer.cut(photo, [photo.choose(face)])
    row = recognizer.embed(crop)
    parts = recognizer.embed.parts
    calibration = recognizer.calibration_of(gallery)
    comparisons = max(1, len(gallery.index(parts)))
    threshold = None
    if calibration.points:
        rate = recognizer.rules.search_rate(None) / comparisons
        threshold = calibration.search_policy(rate).match.threshold
    names, rows = _photos(recognizer, gallery, person)
    return Rejection(
        person,
        float((rows @ row[0]).max(initial=-1.0)),
        threshold,
        _effects(names, rows, row[0], threshold),
        split_parts(row, parts),
    )


def keep_rejection(gallery: Gallery, rejection: Rejection) -> Negative:
    """Keep it: from the next search on, this face and those like it are not that person."""
    return add_negative(gallery, rejection.person.id, rejection.templates)


def _photos(
    recognizer: Recognizer, gallery: Gallery, person: Person
) -> tuple[list[tuple[str, str]], Embeddings]:
    """A person's photos, id and file name, and their rows (N, D)."""
    parts, names, rows = recognizer.embed.parts, [], []
    for sample in gallery.samples(person.id):
        own = {model: one[None] for model, one in sample.templates.items()}
        try:
            rows.append(join_parts(own, parts))
        except MismatchError:
            continue  # without a template of this model it is never compared
        names.append((sample.id, sample.source))
    dim = sum(part.dim for part in parts)
    return names, np.concatenate([np.empty((0, dim), np.float32), *rows])


def _effects(
    names: list[tuple[str, str]],
    rows: Embeddings,
    negative: Embeddings,
    threshold: float | None,
) -> tuple[PhotoEffect, ...]:
    """What a negative (D,) does to each photo, as if it were searched for among the others."""
    similar = rows @ rows.T
    np.fill_diagonal(similar, -2.0)
    effects = []
    for (sample, source), own, to in zip(names, similar, rows @ negative, strict=True):
        others = float(own.max()) if len(names) > 1 else None
        accepted = others is not None and threshold is not None and others >= threshold
        lost = accepted and others is not None and float(to) >= others
        effects.append(PhotoEffect(sample, source, others, float(to), lost))
    return tuple(effects)
