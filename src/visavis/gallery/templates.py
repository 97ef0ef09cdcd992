"""Templates from the database to memory: each one opened and checked, what is wrong is named."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, bindparam, func, select

from visavis.compare import UNIT_TOLERANCE, join_parts
from visavis.errors import EmbeddingError
from visavis.gallery.tables import AS_BYTES, PEOPLE, SAMPLES, TEMPLATES, batches_of_ids
from visavis.gallery.vault import SampleVault, Vault
from visavis.types import Embeddings, Part

READ = 256  # rows read at a time: more leave the processor's cache before they are opened
LARGE_CHUNK = 4096  # templates opened at a time, where not all are kept as they are
FLOAT = 4  # bytes
ALTERED = "altered, or moved from another place"
LOST = "its photo or its person is gone"
# Whose templates are read: one model's by its name, or an embedder's by its parts. Where these are
# several, a photo's templates are joined; a photo that lacks one is left out.
Parts = str | tuple[Part, ...]
# Sample, person (empty where the row that says whose it is is gone), sealed template.
Sealed = tuple[str, str, bytes]
_SEALED = (
    select(TEMPLATES.c.sample_id, func.coalesce(PEOPLE.c.id, ""), TEMPLATES.c.data)
    .outerjoin(SAMPLES, SAMPLES.c.id == TEMPLATES.c.sample_id)
    .outerjoin(PEOPLE, PEOPLE.c.id == SAMPLES.c.person_id)
    .where(TEMPLATES.c.model == bindparam("model"))
    .execution_options(**{AS_BYTES: True})
)
# Made once: an index that follows its gallery asks them before each search.
OF_SAMPLES = _SEALED.where(TEMPLATES.c.sample_id.in_(bindparam("ids", expanding=True)))
OF_PEOPLE = _SEALED.where(SAMPLES.c.person_id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A template that is not as it was written: it is never matched."""

    person: str  # empty where the row that says whose it is is gone
    sample: str
    reason: str


@dataclass(frozen=True, eq=False, slots=True)
class Opened:
    """Templates that are as they were written, and those that are not."""

    people: list[str]
    samples: list[str]
    rows: Embeddings  # (N, D)
    quarantined: list[Quarantined]


def check_template(connection: Connection, model: str, embedding: NDArray[np.float32]) -> None:
    """Raise EmbeddingError for what is no unit vector, or not as long as the model's others."""
    length = float(np.linalg.norm(embedding)) if embedding.ndim == 1 else float("nan")
    if embedding.dtype != np.float32 or not abs(length - 1) < UNIT_TOLERANCE:
        raise EmbeddingError(
            f"{model}: expected a (D,) float32 template of length 1, got {embedding.shape} "
            f"{embedding.dtype} of length {length:.4g}"
        )
    query = select(func.length(TEMPLATES.c.data)).where(TEMPLATES.c.model == model).limit(1)
    stored = connection.scalar(query)
    if stored is not None and stored != Vault.size(embedding.nbytes):
        raise EmbeddingError(
            f"{model}: the gallery's templates have {Vault.plain_size(stored) // FLOAT} numbers, "
            f"got one of {len(embedding)}: another model made it"
        )


def models_of_parts(parts: Parts) -> tuple[str, ...]:
    """The names of the models whose templates are read."""
    return (parts,) if isinstance(parts, str) else tuple(part.model for part in parts)


def all_templates(connection: Connection, vault: SampleVault, parts: Parts) -> Opened:
    """Every template of a model, or of several, joined."""
    model = models_of_parts(parts)[0]
    shape = templates_shape(connection, model)
    first = _open(_all_sealed(connection, model), vault, model, shape)
    return _joined(connection, vault, parts, first)


def chunks_of_templates(
    connection: Connection, vault: SampleVault, parts: Parts, numbers: int
) -> Iterator[Opened]:
    """As `all_templates`, LARGE_CHUNK at a time; those of the first model that are of other than
    `numbers` numbers are quarantined.
    """
    model = models_of_parts(parts)[0]
    rows = _all_sealed(connection, model)
    while True:
        first = _open(islice(rows, LARGE_CHUNK), vault, model, (LARGE_CHUNK, numbers))
        if not first.people and not first.quarantined:
            return
        yield _joined(connection, vault, parts, first)


def templates_shape(connection: Connection, model: str) -> tuple[int, int]:
    """How many templates of a model there are, and how many numbers most of them have."""
    count = connection.scalar(select(func.count()).where(TEMPLATES.c.model == model))
    sizes = select(func.length(TEMPLATES.c.data)).where(TEMPLATES.c.model == model).limit(99)
    return count or 0, _most_numbers(connection.scalars(sizes))


def templates_of_samples(
    connection: Connection, vault: SampleVault, parts: Parts, samples: Sequence[str]
) -> Opened:
    """The templates that so many photos have."""
    first = _some(connection, vault, models_of_parts(parts)[0], (OF_SAMPLES, samples))
    return _joined(connection, vault, parts, first)


def templates_of_people(
    connection: Connection, vault: SampleVault, parts: Parts, people: Sequence[str]
) -> Opened:
    """The templates that so many people have."""
    first = _some(connection, vault, models_of_parts(parts)[0], (OF_PEOPLE, people))
    return _joined(connection, vault, parts, first)


def _joined(connection: Connection, vault: SampleVault, parts: Parts, first: Opened) -> Opened:
    """The first model's templates with the other models' of the same photos."""
    if isinstance(parts, str) or len(parts) == 1:
        return first
    members = [first]
    for part in parts[1:]:
        wanted = (OF_SAMPLES, first.samples)
        members.append(_some(connection, vault, part.model, wanted, part.dim))
    places = [{sample: row for row, sample in enumerate(one.samples)} for one in members]
    whole = [row for row, photo in enumerate(first.samples) if all(photo in at for at in places)]
    samples = [first.samples[row] for row in whole]
    rows = {
        part.model: member.rows[[at[sample] for sample in samples]]
        for part, member, at in zip(parts, members, places, strict=True)
    }
    if not samples:  # of no rows nobody knows how long they are
        rows = {part.model: np.empty((0, part.dim), np.float32) for part in parts}
    damaged = {one.sample: one for member in members for one in member.quarantined}
    people = [first.people[row] for row in whole]
    return Opened(people, samples, join_parts(rows, parts), list(damaged.values()))


def _some(
    connection: Connection,
    vault: SampleVault,
    model: str,
    wanted: tuple[Select[Any], Sequence[str]],
    numbers: int | None = None,
) -> Opened:
    """Templates of a model, of so many numbers; None: of as many as most have."""
    query, ids = wanted
    rows: list[Sealed] = []
    for some in batches_of_ids(ids):
        values = {"model": model, "ids": some}
        # The driver's own rows: an altered file may hold text where bytes were.
        rows += connection.execute(query, values).cursor.fetchall()
    if numbers is None:
        numbers = _most_numbers(len(data) for _, _, data in rows)
    return _open(rows, vault, model, (len(rows), numbers))


def _open(
    sealed: Iterable[Sealed], vault: SampleVault, model: str, shape: tuple[int, int]
) -> Opened:
    # One matrix made in advance takes half the time of a list of rows.
    opened = Opened([], [], np.empty(shape, np.float32), [])
    room, size = opened.rows.reshape(-1).view(np.uint8).data, shape[1] * FLOAT
    for sample, person, data in sealed:
        plain = vault.open(data, person, sample, model) if person else None
        if plain is None:
            reason = ALTERED if person else LOST
            opened.quarantined.append(Quarantined(person, str(sample), reason))
        elif len(plain) != size:
            reason = f"of {len(plain) / FLOAT:g} numbers"
            opened.quarantined.append(Quarantined(person, sample, reason))
        else:
            start = size * len(opened.people)
            room[start : start + size] = plain
            opened.people.append(person)
            opened.samples.append(sample)
    return _of_unit_length(opened)


def _of_unit_length(opened: Opened) -> Opened:
    rows = opened.rows[: len(opened.people)]
    whole = abs(np.einsum("nd,nd->n", rows, rows) - 1) < 2 * UNIT_TOLERANCE  # NaN is not
    if whole.all():
        return Opened(opened.people, opened.samples, rows, opened.quarantined)
    people, samples, quarantined = [], [], list(opened.quarantined)
    for person, sample, good in zip(opened.people, opened.samples, whole, strict=True):
        if good:
            people.append(person)
            samples.append(sample)
        else:
            quarantined.append(Quarantined(person, sample, "not a unit vector"))
    return Opened(people, samples, rows[whole], quarantined)


def _all_sealed(connection: Connection, model: str) -> Iterator[Sealed]:
    # The driver's own rows, and no join with templates: half the time to readiness. Photos are read
    # along with their templates, which were written in the same order: few have to be remembered.
    owned = select(SAMPLES.c.id, PEOPLE.c.id).join(PEOPLE, PEOPLE.c.id == SAMPLES.c.person_id)
    photos = connection.execute(owned).cursor
    owners: dict[str, str] = {}  # of photos whose template has not come yet
    query = select(TEMPLATES.c.sample_id, TEMPLATES.c.data).where(TEMPLATES.c.model == model)
    templates = connection.execute(query, execution_options={AS_BYTES: True}).cursor
    while chunk := templates.fetchmany(READ):
        for sample, data in chunk:
            while sample not in owners and (more := photos.fetchmany(READ)):
                owners.update(more)
            yield sample, owners.pop(sample, ""), data


def _most_numbers(sizes: Iterable[int]) -> int:
    """The numbers that most templates of so many sealed bytes have."""
    common = Counter(sizes).most_common(1)
    return Vault.plain_size(common[0][0]) // FLOAT if common else 0
