"""Writes that are done once: an `Idempotency-Key` that comes again gets the answer it had.

Answers are kept sealed in the gallery, beside the people they are about: the deletion of a person
reaches them. They are kept for a day.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, delete, select

from visavis.errors import GalleryError
from visavis.gallery import Gallery
from visavis.gallery.audit import now
from visavis.serve.forms import Archived, Upload
from visavis.serve.refusals import Refusal

NAME = "answered_requests"
KEPT_DAYS = 1
REFUSED_FROM = 400
ANSWERED = Table(
    NAME,
    MetaData(),
    Column("id", String, primary_key=True),  # hash of who asked, and of their key for it
    Column("person_id", String, index=True),
    Column("at", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)


@dataclass(frozen=True, slots=True)
class WriteAnswer:
    """What a request is answered with, and whom that is about."""

    document: dict[str, Any]
    status: int = 200
    person: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A write that may come again: who asks, by which key of theirs, for what."""

    caller: str
    key: str | None  # the header Idempotency-Key
    request: str  # a hash over all that was asked


class Once:
    """The answers of a gallery's writes."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._running: set[str] = set()
        self._lock = Lock()
        with gallery.database.writing() as connection:
            gallery.database.make(connection, ANSWERED.metadata)
        gallery.database.register(NAME, "person_id", ["sealed"])

    def answer(self, ask: Ask, work: Callable[[], WriteAnswer]) -> WriteAnswer:
        """The answer of this very request of earlier, or of `work`, which is kept when it is done.

        Raises Refusal: 409 while the first one runs, 422 where the key came with something else.
        """
        if ask.key is None:
            return work()
        identity = hashlib.sha256(f"{ask.caller}\n{ask.key}".encode()).hexdigest()
        with self._lock:
            if identity in self._running:
                what = "the request of this Idempotency-Key is being worked on"
                raise Refusal("conflict", what, mend="ask again in a moment")
            self._running.add(identity)
        try:
            known = self._known(identity, ask.request)
            if known is None:
                known = work()
                if known.status < REFUSED_FROM:  # else whoever asks again may as well have it done
                    self._keep(identity, ask.request, known)
            return known
        finally:
            with self._lock:
                self._running.discard(identity)

    def _known(self, identity: str, request: str) -> WriteAnswer | None:
        query = select(ANSWERED.c.sealed, ANSWERED.c.person_id).where(ANSWERED.c.id == identity)
        with self._gallery.database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        opened = self._gallery.vault.open(row.sealed, self._gallery.id, NAME, identity)
        if opened is None:
            raise GalleryError(f"{self._gallery.where}: an answer that was kept is altered")
        kept = json.loads(opened)
        if kept["request"] != request:
            what = "this Idempotency-Key came with another request"
            raise Refusal("invalid", what, mend="use a new key for each request")
        return WriteAnswer(kept["document"], kept["status"], row.person_id)

    def _keep(self, identity: str, request: str, answered: WriteAnswer) -> None:
        document = {
            "request": request,
            "status": answered.status,
            "document": impersonal(answered.document),
        }
        gallery = self._gallery
        data = json.dumps(document).encode()
        sealed = gallery.vault.seal(data, gallery.id, NAME, identity)
        row = {"id": identity, "person_id": answered.person, "at": now(), "sealed": sealed}
        before = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat()
        with gallery.database.writing() as connection:
            connection.execute(delete(ANSWERED).where(ANSWERED.c.at < before))
            gallery.database.put(connection, ANSWERED, row)


def impersonal(document: dict[str, Any]) -> dict[str, Any]:
    """An answer as it may be kept: its photos' details can name somebody else, whose erasure would
    not reach them here.
    """
    if "photos" not in document:
        return document
    photos = [{**photo, "detail": ""} for photo in document["photos"]]
    return {**document, "photos": photos}


def hash_of(route: str, form: BaseModel | None) -> str:
    """A hash over a route and all fields of its form, photos included."""
    digest = hashlib.sha256(route.encode())
    for name, value in sorted(dict(form or ()).items()):
        for one in value if isinstance(value, list) else [value]:
            content = _content_hash(one)
            digest.update(f"\n{name} {content}\n".encode())
    return digest.hexdigest()


def _content_hash(value: Any) -> str:
    if isinstance(value, Archived):
        value.file.seek(0)
        return hashlib.file_digest(value.file, "sha256").hexdigest()  # type: ignore[arg-type]
    content = value.data if isinstance(value, Upload) else repr(value).encode()
    return hashlib.sha256(content).hexdigest()
