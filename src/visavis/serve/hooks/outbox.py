"""What is still to be told to webhooks: kept in the gallery until the other side has it.

An event is a row for each webhook that asked for it, sealed with a key of that webhook's secret.
The row is the person's, so that their deletion takes it along, and it holds ids alone: names are
looked up when it is sent. Enrolments and erasures are taken from the audit, whoever made them; an
entry gives the same event, with the same id, however often it is read.
"""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from visavis.answers.documents import identification_json
from visavis.gallery import Gallery
from visavis.gallery.audit import ENROLL, ERASE, Entry, entries_since, now
from visavis.gallery.vault import Vault
from visavis.results import Identification
from visavis.serve.hooks.webhooks import HookEventKind, Webhook

log = logging.getLogger(__name__)

NAME = "webhook_events"
TABLES = MetaData()
WAITING = Table(
    NAME,
    TABLES,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("hook", String, index=True, nullable=False),
    Column("id", String, nullable=False, unique=True),
    Column("person_id", String, index=True),
    Column("at", Float, nullable=False),  # seconds since 1970, as `due`
    Column("due", Float, nullable=False),  # when it is tried next
    Column("tries", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
# How far the audit was read for each webhook: setting it back sends events anew, with their ids.
PLACES = Table(
    "webhook_places",
    TABLES,
    Column("hook", String, primary_key=True),
    Column("seq", Integer, nullable=False),
)
OF_AUDIT: dict[str, HookEventKind] = {ENROLL: "enrolled", ERASE: "erased"}
FIGURES = ("box", "similarity", "threshold", "false_positive_rate")  # what is told of a face
KEPT_SECONDS = 3 * 24 * 3600.0
MOST_WAITING = 100_000  # of one webhook; the oldest make room


@dataclass(frozen=True, slots=True)
class HookEvent:
    """What happened, as it is kept: ids, and no name."""

    kind: HookEventKind
    person: str | None = None
    more: dict[str, Any] = field(default_factory=dict)
    at: str = field(default_factory=now)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event on its way."""

    number: int
    event: HookEvent
    tries: int  # so far


class Outbox:
    """The events of a gallery that are still to be sent."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        with gallery.database.writing() as connection:
            self._gallery.database.make(connection, TABLES)
        gallery.database.register(NAME, "person_id", ["sealed"])

    def put(self, hooks: Sequence[Webhook], events: Sequence[HookEvent]) -> None:
        """Keep events for the webhooks that want them: when this returns, they are on disk."""
        wanted = [(hook, one) for hook in hooks for one in events if wants(hook, one.kind)]
        if wanted:
            with self._gallery.database.writing() as connection:
                for hook, one in wanted:
                    self._put(connection, hook, one)

    def collect(self, hook: Webhook) -> None:
        """Keep what the audit has of enrolments and erasures since the last time."""
        if not (wants(hook, "enrolled") or wants(hook, "erased")):
            return
        with self._gallery.database.reading() as connection:
            entries = self._entries(connection, hook)
        if not any(wants(hook, OF_AUDIT[entry.action]) for entry in entries):
            return
        with self._gallery.database.writing() as connection:
            for entry in self._entries(connection, hook):
                kind = OF_AUDIT[entry.action]
                if wants(hook, kind):
                    self._put(connection, hook, _of_entry(hook, kind, entry))
                place = {"hook": hook.id, "seq": entry.seq}
                self._gallery.database.put(connection, PLACES, place)

    def next(self, hook: Webhook) -> WaitingEvent | None:
        """The first event that is due. What is too old, or was altered, is dropped."""
        mine, moment = WAITING.c.hook == hook.id, time.time()
        due = mine & (WAITING.c.due <= moment)
        query = select(WAITING).where(due).order_by(WAITING.c.number).limit(1)
        while True:
            with self._gallery.database.reading() as connection:
                row = connection.execute(query).first()
            if row is None:
                return None
            event = self._opened(hook, row.id, row.sealed)
            if event is not None and row.at > moment - KEPT_SECONDS:
                return WaitingEvent(row.number, event, row.tries)
            log.warning("webhook %s: an event is too old or was altered: dropped", hook.id)
            self.done(row.number)

    def document(self, event: HookEvent) -> dict[str, Any]:
        """An event as it is sent, with the person's name of now; of an erased one no name."""
        person = event.person and self._gallery.people_of([event.person]).get(event.person)
        who = {
            "id": event.person,
            "name": person.name if person else None,
            "external_id": person.external_id if person else None,
        }
        return {
            "id": event.id,
            "event": event.kind,
            "at": event.at,
            "person": who if event.person else None,
            **event.more,
        }

    def done(self, number: int) -> None:
        """The other side has it."""
        with self._gallery.database.writing() as connection:
            connection.execute(delete(WAITING).where(WAITING.c.number == number))

    def later(self, number: int, seconds: float) -> None:
        """Try it again in so many seconds."""
        this = update(WAITING).where(WAITING.c.number == number)
        with self._gallery.database.writing() as connection:
            connection.execute(this.values(due=time.time() + seconds, tries=WAITING.c.tries + 1))

    def clear(self, hook: str) -> None:
        """Drop what waits for a webhook that is gone."""
        with self._gallery.database.writing() as connection:
            connection.execute(delete(WAITING).where(WAITING.c.hook == hook))
            connection.execute(delete(PLACES).where(PLACES.c.hook == hook))

    def waiting(self, hook: str | None = None) -> int:
        """How many events wait, for one webhook or for all."""
        query = select(func.count()).select_from(WAITING)
        if hook is not None:
            query = query.where(WAITING.c.hook == hook)
        with self._gallery.database.reading() as connection:
            return connection.execute(query).scalar_one()

    def _entries(self, connection: Connection, hook: Webhook) -> list[Entry]:
        place = connection.scalar(select(PLACES.c.seq).where(PLACES.c.hook == hook.id))
        since = max(hook.since, place or 0)
        return [one for one in entries_since(connection, since) if one.action in OF_AUDIT]

    def _put(self, connection: Connection, hook: Webhook, event: HookEvent) -> None:
        sealed = _vault(hook).seal(
            json.dumps([event.kind, event.person, event.more, event.at]).encode(),
            *self._place(hook, event.id),
        )
        moment = time.time()
        row = {"hook": hook.id, "id": event.id, "person_id": event.person, "sealed": sealed}
        if event.kind == "erased":
            row["person_id"] = None  # they are gone: it names nobody, and stays until it is sent
        values = {**row, "at": moment, "due": moment, "tries": 0}
        if connection.scalar(select(WAITING.c.id).where(WAITING.c.id == event.id)) is None:
            connection.execute(insert(WAITING).values(values))
        oldest = (
            select(WAITING.c.number)
            .where(WAITING.c.hook == hook.id)
            .order_by(WAITING.c.number.desc())
            .offset(MOST_WAITING)
        )
        connection.execute(delete(WAITING).where(WAITING.c.number.in_(oldest)))

    def _opened(self, hook: Webhook, identity: str, sealed: bytes) -> HookEvent | None:
        opened = _vault(hook).open(sealed, *self._place(hook, identity))
        if opened is None:
            return None
        kind, person, more, at = json.loads(opened)
        return HookEvent(kind, person, more, at, identity)

    def _place(self, hook: Webhook, identity: str) -> tuple[str, ...]:
        return self._gallery.id, NAME, hook.id, identity


def recognised(face: Identification, request: str) -> HookEvent:
    """A face of a search as an event; the person is whoever is meant, and nobody of an unknown."""
    said = identification_json(face)
    more = {name: said[name] for name in FIGURES} | {"request": request}
    if face.person is not None:
        return HookEvent("match", face.person.id, more)
    if face.decision.outcome == "review" and face.closest is not None:
        return HookEvent("review", face.closest.id, more)
    return HookEvent("unknown", None, more)


def wants(hook: Webhook, kind: HookEventKind) -> bool:
    """Whether a webhook is told of this."""
    return not hook.off and kind in hook.events


def _of_entry(hook: Webhook, kind: HookEventKind, entry: Entry) -> HookEvent:
    told = json.loads(entry.details)
    more = {"entry": entry.seq} | ({"sample": told["sample"]} if "sample" in told else {})
    identity = hashlib.sha256(f"{hook.secret} {entry.seq}".encode()).hexdigest()[:32]
    return HookEvent(kind, entry.person, more, entry.at, identity)


def _vault(hook: Webhook) -> Vault:
    return Vault(hashlib.sha256(f"outbox {hook.secret}".encode()).digest())
