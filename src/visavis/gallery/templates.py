"""Templates from the file to memory: each one opened and checked, what is wrong is named."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from visavis.compare import UNIT_TOLERANCE
from visavis.errors import EmbeddingError
from visavis.gallery.index import Templates, group
from visavis.gallery.vault import Vault

CHUNK = 4096  # templates read at a time
FLOAT = 4  # bytes
ALTERED = "altered, or moved from another place"
LOST = "its photo or its person is gone"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A template that is not as it was written: it is never matched."""

    person: str  # empty where the row that says whose it is is gone
    sample: str
    reason: str


def check_template(connection: Connection, model: str, embedding: NDArray[np.float32]) -> None:
    """Raise EmbeddingError for what is no unit vector, or not as long as the model's others."""
    length = float(np.linalg.norm(embedding)) if embedding.ndim == 1 else float("nan")
    if embedding.dtype != np.float32 or not abs(length - 1) < UNIT_TOLERANCE:
        raise EmbeddingError(
            f"{model}: expected a (D,) float32 template of length 1, got {embedding.shape} "
            f"{embedding.dtype} of length {length:.4g}"
        )
    query = "SELECT length(data) FROM templates WHERE model = ? LIMIT 1"
    stored = connection.exec_driver_sql(query, (model,)).scalar()
    if stored is not None and stored != Vault.size(embedding.nbytes):
        raise EmbeddingError(
            f"{model}: the gallery's templates have {Vault.plain_size(stored) // FLOAT} numbers, "
            f"got one of {len(embedding)}: another model made it"
        )


def load_templates(
    connection: Connection, vault: Vault, gallery: str, model: str
) -> tuple[Templates, tuple[Quarantined, ...]]:
    """Every template of a model that is as it was written, and those that are not."""
    # Driver rows, a dict for a join and one matrix made in advance: half the time to readiness.
    count, size = _shape(connection, model)
    rows = np.empty((count, Vault.plain_size(size) // FLOAT), np.float32)
    owners: list[str] = []
    samples: list[str] = []
    bad: list[Quarantined] = []
    people = dict(
        connection.exec_driver_sql(
            "SELECT samples.id, people.id FROM samples JOIN people ON people.id = person_id"
        ).cursor.fetchall()
    )
    found = connection.exec_driver_sql(
        "SELECT sample_id, data FROM templates WHERE model = ? ORDER BY rowid", (model,)
    ).cursor
    while chunk := found.fetchmany(CHUNK):
        for sample, data in chunk:
            person = people.get(sample, "")
            opened = vault.open(data, gallery, person, sample, model)
            if opened is None:
                bad.append(Quarantined(person, str(sample), ALTERED if person else LOST))
            elif len(opened) != rows.shape[1] * FLOAT:
                bad.append(Quarantined(person, sample, f"of {len(opened) / FLOAT:g} numbers"))
            else:
                rows[len(owners)] = np.frombuffer(opened, np.float32)
                owners.append(person)
                samples.append(sample)
    rows = rows[: len(owners)]
    whole = abs(np.einsum("nd,nd->n", rows, rows) - 1) < 2 * UNIT_TOLERANCE  # NaN is not
    for at in np.flatnonzero(~whole):
        bad.append(Quarantined(owners[at], samples[at], "not a unit vector"))
    if not whole.all():
        owners = [owner for owner, good in zip(owners, whole, strict=True) if good]
        rows = rows[whole]
    return group(owners, rows), tuple(bad)


def _shape(connection: Connection, model: str) -> tuple[int, int]:
    """How many templates of a model there are, and the size that most of them have."""
    count = connection.exec_driver_sql(
        "SELECT count(*) FROM templates WHERE model = ?", (model,)
    ).scalar_one()
    sizes = connection.exec_driver_sql(
        "SELECT length(data) FROM templates WHERE model = ? LIMIT 99", (model,)
    ).scalars()
    common = Counter(sizes).most_common(1)
    return count, common[0][0] if common else 0
