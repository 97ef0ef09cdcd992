"""The inbox of unknown people: kept sealed, looked at in clusters, named or discarded.

Naming somebody back-fills their punches, each with who said so and why. What is like somebody in
the gallery is deleted with that person. Nothing stays longer than the rules say.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)

from visavis.attendance.attendance import Attendance
from visavis.attendance.keys import MEND
from visavis.attendance.moments import midnight_before
from visavis.attendance.punches import Recorded, Reporter, check_reason, check_sighting
from visavis.attendance.store import inbox_entry
from visavis.attendance.tables import UNKNOWNS
from visavis.attendance.unknown import (
    Stranger,
    UnknownCluster,
    UnknownSighting,
    clusters_of,
    evidence_of,
    stranger_bytes,
    stranger_from,
)
from visavis.compare import split_parts
from visavis.errors import AttendanceError
from visavis.gallery import Person, Sample, erasure
from visavis.gallery.audit import ChainHead
from visavis.gallery.audit import head as audit_head
from visavis.gallery.erasure import Erased

log = logging.getLogger(__name__)

UNKNOWN, FACE = "unknown", "unknown crop"  # what is sealed
MOST = 5000  # sightings: more are no inbox, and to compare all of them takes minutes
SHOWN = 5  # of a cluster's sightings, that somebody is enrolled with


@dataclass(frozen=True, slots=True)
class Named:
    """Who unknown people were, and what became of their sightings."""

    person: Person
    recorded: Sequence[Recorded]


class Inbox:
    """The unknown people of a gallery's attendance. Safe from several threads and processes.

    Every method raises GalleryError where the database is damaged, full, locked or read-only and
    that stands in its way.
    """

    def __init__(self, attendance: Attendance) -> None:
        self.attendance, self._ledger = attendance, attendance.ledger
        self._database = attendance.gallery.database
        # The gallery's last change after which sightings were compared with its people.
        self._related: ChainHead | None = None

    def keep(self, stranger: Stranger, *, now: datetime | None = None) -> int | None:
        """Keep somebody whom nobody knows; the sighting's number. None where the rules keep none,
        and where the very same was kept before.

        Raises AttendanceError for what no sighting can be.
        """
        check_sighting(stranger.sighting)
        rules, now = self.attendance.rules, now or datetime.now(UTC)
        if not rules.retention.unknowns:
            return None
        self._ledger.prepare()
        self.relate()
        closest = self._closest(stranger)
        crop = stranger.crop if rules.crops else None
        with self._database.writing() as connection:
            removed = self.expire(connection, now) + self._make_room(connection)
            number = self._insert(connection, stranger, closest, crop)
            erased = self._noted(connection, removed)
        self._scrub(erased)
        return number

    def clusters(self) -> list[UnknownCluster]:
        """Everybody unknown, the most often seen first."""
        with self._database.reading() as connection:
            return clusters_of(self._read(connection))

    def cluster(self, number: int) -> UnknownCluster:
        """The cluster that a sighting belongs to. Raises AttendanceError where there is none."""
        for cluster in self.clusters():
            if number in cluster.numbers:
                return cluster
        raise _none(number)

    def crop(self, number: int) -> bytes | None:
        """A sighting's picture, where one is kept. Raises AttendanceError as `cluster`, and where
        it was altered.
        """
        with self._database.reading() as connection:
            return self._crop(connection, self._row(connection, number))

    def name(self, numbers: Sequence[int], who: str, *, actor: str, reason: str) -> Named:
        """Say who was seen: their punches are back-filled as corrected, and the sightings go.

        Raises AttendanceError where one of them is not there, or nobody says who and why, and
        PersonError where nobody, or several people, are called so.
        """
        check_reason(actor, reason)
        self._ledger.prepare()
        with self._database.writing() as connection:
            state = self.attendance.settled(connection)
            person = self.attendance.directory.find(who)
            sightings, crops = self._chosen(connection, numbers)
            recorded = [
                self.attendance.record_within(
                    connection,
                    replace(
                        one.stranger.sighting,
                        person=person.id,
                        source=Reporter.INBOX,
                        evidence=evidence_of(one, sightings, crops[one.number]),
                        actor=actor,
                        reason=reason,
                    ),
                    state,
                )
                for one in sorted(sightings, key=lambda one: one.at)
            ]
            entry = inbox_entry("named", person.id, len(sightings), actor, reason)
            self._ledger.append(connection, entry)
            erased = self._noted(connection, self._remove(connection, UNKNOWNS.c.seq.in_(numbers)))
        self._scrub(erased)
        return Named(person, recorded)

    def enroll(
        self, numbers: Sequence[int], name: str, *, actor: str, reason: str,
        external_id: str | None = None, consent: str | None = None,
    ) -> Named:  # fmt: skip
        """As `name`, of somebody who is not in the gallery yet: enrolled by the best sightings.

        Raises PersonError for a name or id that cannot be, as `Gallery.add_person`.
        """
        check_reason(actor, reason)
        with self._database.reading() as connection:
            sightings, crops = self._chosen(connection, numbers)
        gallery = self.attendance.gallery
        person = gallery.add_person(name, external_id=external_id, consent=consent)
        for one in UnknownCluster(tuple(sightings)).best(SHOWN):
            gallery.add_sample(person.id, _sample(one, crops[one.number]))
        named = self.name(numbers, person.id, actor=actor, reason=reason)
        return replace(named, person=gallery.find(person.id))

    def discard(self, numbers: Sequence[int], *, actor: str, reason: str) -> int:
        """Remove sightings that nobody is to be named by; how many. Raises as `name`."""
        check_reason(actor, reason)
        self._ledger.prepare()
        with self._database.writing() as connection:
            sightings, _ = self._chosen(connection, numbers)
            entry = inbox_entry("discarded", None, len(sightings), actor, reason)
            self._ledger.append(connection, entry)
            erased = self._noted(connection, self._remove(connection, UNKNOWNS.c.seq.in_(numbers)))
        self._scrub(erased)
        return len(sightings)

    def relate(self) -> None:
        """Note whom each sighting is like by now, so that it goes when that person is deleted:
        people may have been enrolled since. Where nobody was, nothing is read.
        """
        with self._database.reading() as connection:
            change = audit_head(connection)
            if change == self._related:
                return
            sightings = self._read(connection)
        likely = {one.number: self._closest(one.stranger) for one in sightings}
        changed = {one.number for one in sightings if likely[one.number] != one.closest}
        if changed:
            with self._database.writing() as connection:
                for number in sorted(changed):
                    this = update(UNKNOWNS).where(UNKNOWNS.c.seq == number)
                    connection.execute(this.values(person_id=likely[number]))
        self._related = change

    def due(self, connection: Connection, now: datetime) -> tuple[int, int]:
        """How many sightings the rules keep no longer, and how many crops of others."""
        if not _is_there(connection):
            return 0, 0
        whole, bare = self._expired(now)
        count = select(func.count()).select_from(UNKNOWNS)
        gone, crops = (connection.scalar(count.where(these)) or 0 for these in (whole, bare))
        return gone, crops

    def expire(self, connection: Connection, now: datetime) -> list[bytes]:
        """Remove what the rules keep no longer, within the caller's transaction; what of it must
        be gone from the files.
        """
        if not _is_there(connection):
            return []
        whole, bare = self._expired(now)
        removed = self._remove(connection, whole)
        removed += [crop for (crop,) in connection.execute(select(UNKNOWNS.c.crop).where(bare))]
        connection.execute(update(UNKNOWNS).where(bare).values(crop=None))
        return removed

    def _expired(self, now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        """Which sightings are kept no longer, and which others have a crop that is not."""
        kept = self.attendance.rules.retention
        whole, bare = (_before(now, days) for days in (kept.unknowns, kept.crops))
        has_crop = UNKNOWNS.c.crop.is_not(None)
        return UNKNOWNS.c.at < whole, (UNKNOWNS.c.at >= whole) & (UNKNOWNS.c.at < bare) & has_crop

    def _insert(
        self, connection: Connection, stranger: Stranger, closest: str | None, crop: bytes | None
    ) -> int | None:
        tokens = self._ledger.keys.tokens(connection, _words(stranger))
        token = tokens[0]
        if connection.scalar(select(UNKNOWNS.c.seq).where(UNKNOWNS.c.token.in_(tokens))):
            return None
        at = int(stranger.sighting.true_at.timestamp())
        key_id, sealed = self._ledger.seal(
            connection, None, stranger_bytes(stranger), UNKNOWN, token.hex(), at
        )
        row = {"at": at, "person_id": closest, "key_id": key_id, "token": token, "sealed": sealed}
        if crop is not None:
            row["crop"] = self._ledger.seal(connection, None, crop, FACE, token.hex())[1]
        connection.execute(insert(UNKNOWNS).values(row))
        return connection.scalar(select(UNKNOWNS.c.seq).where(UNKNOWNS.c.token == token))

    def _make_room(self, connection: Connection) -> list[bytes]:
        if (connection.scalar(select(func.count()).select_from(UNKNOWNS)) or 0) < MOST:
            return []
        log.warning(
            "%d unknown people wait to be named: the oldest sighting makes way for a new one", MOST
        )
        oldest = select(UNKNOWNS.c.seq).order_by(UNKNOWNS.c.at, UNKNOWNS.c.seq).limit(1)
        return self._remove(connection, UNKNOWNS.c.seq == oldest.scalar_subquery())

    def _read(self, connection: Connection) -> list[UnknownSighting]:
        """Every sighting; what was altered is left out, and named."""
        if not _is_there(connection):
            return []
        rows = connection.execute(select(UNKNOWNS).order_by(UNKNOWNS.c.seq)).all()
        opened = [(row, self._sighting(connection, row)) for row in rows]
        altered = [row.seq for row, one in opened if one is None]
        if altered:
            log.warning(
                "altered, and left out: %d sightings of unknown people, the first is %s: %s",
                len(altered), altered[0], MEND,
            )  # fmt: skip
        return [one for _, one in opened if one is not None]

    def _sighting(self, connection: Connection, row: Any) -> UnknownSighting | None:
        place = UNKNOWN, row.token.hex(), row.at
        data = self._ledger.opened(connection, row.key_id, row.sealed, *place)
        if data is None:
            return None
        stranger = stranger_from(datetime.fromtimestamp(row.at, UTC), data)
        return UnknownSighting(row.seq, stranger, row.crop is not None, row.person_id)

    def _crop(self, connection: Connection, row: Any) -> bytes | None:
        if row.crop is None:
            return None
        crop = self._ledger.opened(connection, row.key_id, row.crop, FACE, row.token.hex())
        if crop is None:
            raise AttendanceError(f"the crop of unknown {row.seq} was altered", mend=MEND)
        return crop

    def _chosen(
        self, connection: Connection, numbers: Sequence[int]
    ) -> tuple[list[UnknownSighting], dict[int, bytes | None]]:
        """The sightings of these numbers, and their crops. Raises AttendanceError."""
        if not numbers:
            raise AttendanceError("expected sightings of unknown people, got none")
        rows = [self._row(connection, number) for number in dict.fromkeys(numbers)]
        opened = [(row, self._sighting(connection, row)) for row in rows]
        for row, one in opened:
            if one is None:
                raise AttendanceError(f"the unknown sighting {row.seq} was altered", mend=MEND)
        crops = {row.seq: self._crop(connection, row) for row in rows}
        return [one for _, one in opened if one is not None], crops

    def _row(self, connection: Connection, number: int) -> Any:
        """A sighting as it is stored. Raises AttendanceError where there is none."""
        query = select(UNKNOWNS).where(UNKNOWNS.c.seq == number)
        row = connection.execute(query).first() if _is_there(connection) else None
        if row is None:
            raise _none(number)
        return row

    def _remove(self, connection: Connection, these: ColumnElement[bool]) -> list[bytes]:
        """Remove sightings; what of them must be gone from the files."""
        query = select(UNKNOWNS.c.sealed, UNKNOWNS.c.crop).where(these)
        parts = [part for row in connection.execute(query) for part in row if part is not None]
        connection.execute(delete(UNKNOWNS).where(these))
        return parts

    def _noted(self, connection: Connection, removed: Sequence[bytes]) -> Erased | None:
        return erasure.note_parts(self._database, connection, removed) if removed else None

    def _scrub(self, erased: Erased | None) -> None:
        if erased is not None:
            erasure.scrub(self._database, erased)

    def _closest(self, stranger: Stranger) -> str | None:
        """Whom in the gallery somebody is as like as two faces of one person are."""
        index = self.attendance.gallery.index(stranger.parts)
        (near,) = index.nearest(stranger.embedding, people=1) if len(index) else [[]]
        return next((who for who, alike in near if alike >= stranger.threshold), None)


def _words(stranger: Stranger) -> str:
    """What is the same when the same is said again."""
    sighting = stranger.sighting
    own = "" if sighting.key else hashlib.sha256(stranger.embedding.tobytes()).hexdigest()
    return "\0".join((UNKNOWN, sighting.token(""), own))


def _sample(one: UnknownSighting, crop: bytes | None) -> Sample:
    """A sighting as a photo of somebody who is enrolled by it."""
    data = one.stranger.embedding.tobytes()
    templates = split_parts(one.stranger.embedding, one.stranger.parts)
    return Sample(
        source=f"unknown {one.number}",
        source_sha256=hashlib.sha256(crop or data).hexdigest(),
        quality={},
        templates={model: rows[0] for model, rows in templates.items()},
        crop=crop,
    )


def _before(now: datetime, days: int | None) -> int:
    """The second before which something is kept no longer; 0, where for good."""
    return 0 if days is None else int(midnight_before(now, days).timestamp())


def _is_there(connection: Connection) -> bool:
    return inspect(connection).has_table(UNKNOWNS.name)


def _none(number: int) -> AttendanceError:
    return AttendanceError(f"there is no unknown sighting {number}: it was named or discarded, or "
                           "has expired", mend="see attendance unknown list")  # fmt: skip
