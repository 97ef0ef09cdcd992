"""A new key for a gallery: all that is sealed is sealed anew, in one transaction.

Stopped at any point, the gallery opens with the key that it is sealed with at that moment; called
again, the rotation is done. What does not open stays as it is, and stays damaged. Knows no files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Update, bindparam, select, update

from visavis.gallery import erasure
from visavis.gallery.audit import ROTATE, Audit
from visavis.gallery.gallery import Gallery
from visavis.gallery.keycheck import KEY_CHECK, sealed_check
from visavis.gallery.keyfiles import exchanging, new_key, put_in_place
from visavis.gallery.merging import reseal_merged
from visavis.gallery.negatives import reseal_negatives
from visavis.gallery.people import ROWS
from visavis.gallery.samples import CROP
from visavis.gallery.settings import KEPT
from visavis.gallery.tables import PEOPLE, SAMPLES, SETTINGS, TEMPLATES
from visavis.gallery.vault import PersonVault, Vault, load_key

CHUNK = 500  # rows in memory at a time


def rotate_key(gallery: Gallery) -> Path:
    """Give a gallery a new key; where the file of the old one is from now on.

    The old key opens the gallery no more, only backups of before. `gallery` itself has it, and is
    to be opened anew. Raises GalleryKeyError where the key is in no file, or was rotated
    meanwhile; GalleryError where another process rotates it, or the audit was altered.
    """
    with exchanging(gallery.id):
        old, new = load_key(gallery.id), Vault(new_key(gallery.id))
        with gallery.database.writing() as connection:
            _seal_anew(connection, gallery, new)
        kept = put_in_place(gallery.id, old)
    # What the old key opens must not stay in unused parts of the files.
    erasure.finish(gallery.database)
    return kept


@dataclass(frozen=True, slots=True)
class _Exchange:
    gallery: str
    old: Vault
    new: Vault

    def __call__(self, sealed: Any, *place: str) -> Any:
        """The same, sealed by the new key; as it is where the old one does not open it."""
        plain = self.old.open(sealed, self.gallery, *place)
        return sealed if plain is None else self.new.seal(plain, self.gallery, *place)


def _seal_anew(connection: Connection, gallery: Gallery, new: Vault) -> None:
    exchange = _Exchange(gallery.id, gallery.vault, new)
    head = Audit(gallery.database, exchange.old, gallery.id).head(connection)
    _people(connection, exchange)
    _crops(connection, exchange)
    _templates(connection, exchange)
    for row in connection.execute(select(SETTINGS)).all():
        if row.name.startswith(KEPT):
            value = exchange(row.value, KEPT, row.name.removeprefix(KEPT))
            gallery.database.put(connection, SETTINGS, {"name": row.name, "value": value})
    reseal_negatives(connection, exchange)
    reseal_merged(connection, exchange)
    check = {"name": KEY_CHECK, "value": sealed_check(new, gallery.id)}
    gallery.database.put(connection, SETTINGS, check)
    Audit(gallery.database, new, gallery.id).go_on(connection, head, ROTATE, {})
    erasure.note_unused(gallery.database, connection)


def _people(connection: Connection, exchange: _Exchange) -> None:
    old, new = (PersonVault(one, exchange.gallery) for one in (exchange.old, exchange.new))
    this = update(PEOPLE).where(PEOPLE.c.id == bindparam("person"))
    sealed = []
    for *row, seal in connection.execute(ROWS).cursor.fetchall():
        entry = old.entry(row, seal)
        if entry is not None:
            sealed.append({"person": row[0], "data": new.seal(row, entry)})
    _write(connection, this.values(seal=bindparam("data")), sealed)


def _crops(connection: Connection, exchange: _Exchange) -> None:
    this = update(SAMPLES).where(SAMPLES.c.id == bindparam("sample"))
    owners = select(SAMPLES.c.id, SAMPLES.c.person_id).where(SAMPLES.c.crop.is_not(None))
    rows = connection.execute(owners).cursor.fetchall()
    for start in range(0, len(rows), CHUNK):
        people = dict(rows[start : start + CHUNK])
        query = select(SAMPLES.c.id, SAMPLES.c.crop).where(SAMPLES.c.id.in_(people))
        sealed = [
            {"sample": sample, "data": exchange(crop, people[sample], sample, CROP)}
            for sample, crop in connection.execute(query).cursor.fetchall()
        ]
        _write(connection, this.values(crop=bindparam("data")), sealed)


def _templates(connection: Connection, exchange: _Exchange) -> None:
    this = update(TEMPLATES).where(
        TEMPLATES.c.sample_id == bindparam("sample"), TEMPLATES.c.model == bindparam("kind")
    )
    owners = select(SAMPLES.c.id, SAMPLES.c.person_id)
    rows = connection.execute(owners).cursor.fetchall()
    for start in range(0, len(rows), CHUNK):
        people = dict(rows[start : start + CHUNK])
        query = select(TEMPLATES).where(TEMPLATES.c.sample_id.in_(people))
        sealed = [
            {"sample": sample, "kind": model, "data": exchange(data, people[sample], sample, model)}
            for sample, model, data in connection.execute(query).cursor.fetchall()
        ]
        _write(connection, this.values(data=bindparam("data")), sealed)


def _write(connection: Connection, statement: Update, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)
