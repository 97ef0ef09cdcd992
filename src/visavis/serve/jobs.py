"""Imports that go on after their request was answered: one at a time, each file with its report.

Jobs and reports are kept in the gallery, sealed, beside the people they are about: the deletion of
a person reaches them. A job that a crash has ended is known as interrupted; what it has enrolled
is there.
"""

import json
import logging
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from threading import Event, Semaphore
from typing import Any

from sqlalchemy import (
    Column,
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

from visavis.enrollment import Enrolled
from visavis.errors import PersonError, VisavisError
from visavis.gallery import Gallery
from visavis.gallery.audit import now
from visavis.serve.refusals import Refusal, busy, envelope

log = logging.getLogger(__name__)

TABLES = MetaData()
JOBS = Table(
    "import_jobs",
    TABLES,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("by", String, nullable=False),  # a key's id
    Column("at", String, nullable=False),
    Column("total", Integer, nullable=False),
    Column("error", String),  # JSON: code and message
)
JOB_FILES = Table(
    "import_job_files",
    TABLES,
    Column("job", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("person_id", String, index=True),
    Column("accepted", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
KEPT_DAYS = 7
MOST_WAITING = 5
MOST_LISTED = 100
WAITING, RUNNING, DONE, FAILED, INTERRUPTED = "waiting", "running", "done", "failed", "interrupted"


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a job will do: so many files, and each with what became of it, as it is done."""

    total: int
    work: Callable[[], Iterator[tuple[Enrolled, str | None]]]  # with the person's external id
    end: Callable[[], None] = lambda: None  # in any case, when nothing more is done


class Jobs:
    """The jobs of a gallery."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="visavis-job")
        self._stopping = Event()
        self._places = Semaphore(MOST_WAITING)
        with gallery.database.writing() as connection:
            gallery.database.make(connection, TABLES)
            begun = JOBS.c.state.in_((WAITING, RUNNING))
            connection.execute(update(JOBS).where(begun).values(state=INTERRUPTED))
        gallery.database.register("import_job_files", "person_id", ["sealed"])

    def begin(self, plan: JobPlan, by: str) -> str:
        """A job's id: it is known from now on. Raises Refusal where too many wait."""
        if not self._places.acquire(blocking=False):
            raise busy("too many imports are waiting", 60)
        job = uuid.uuid4().hex
        row = {"id": job, "state": WAITING, "by": by, "at": now(), "total": plan.total}
        with self._gallery.database.writing() as connection:
            _forget_old(connection)
            connection.execute(insert(JOBS).values(row))
        self._pool.submit(self._run, job, plan)
        return job

    def all(self) -> list[dict[str, Any]]:
        """The last jobs, the newest first."""
        query = select(JOBS.c.id).order_by(JOBS.c.at.desc()).limit(MOST_LISTED)
        with self._gallery.database.reading() as connection:
            ids = list(connection.scalars(query))
        return [self.one(job) for job in ids]

    def one(self, job: str) -> dict[str, Any]:
        """A job and how far it is. Raises Refusal, 404."""
        counting = select(func.count(), func.coalesce(func.sum(JOB_FILES.c.accepted), 0))
        with self._gallery.database.reading() as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == job)).first()
            done, accepted = connection.execute(counting.where(JOB_FILES.c.job == job)).one()
        if row is None:
            raise Refusal("not_found", "there is no job of this id")
        known = {"id": row.id, "state": row.state, "by": row.by, "at": row.at, "total": row.total}
        counts = {"done": done, "accepted": accepted, "refused": done - accepted}
        return {**known, **counts, "error": row.error and json.loads(row.error)}

    def files(self, job: str, count: int, *, after: int = 0) -> list[dict[str, Any]]:
        """What became of so many files behind number `after`: those of erased people are gone."""
        mine = (JOB_FILES.c.job == job) & (JOB_FILES.c.number > after)
        query = select(JOB_FILES).where(mine).order_by(JOB_FILES.c.number).limit(count)
        with self._gallery.database.reading() as connection:
            rows = connection.execute(query).all()
        opened = [(row.number, self._opened(job, row.number, row.sealed)) for row in rows]
        return [{"number": number, **json.loads(data)} for number, data in opened if data]

    def close(self) -> None:
        """Stop after the file that is worked on."""
        self._stopping.set()
        self._pool.shutdown(wait=True)

    def _run(self, job: str, plan: JobPlan) -> None:
        self._places.release()
        self._set(job, RUNNING)
        try:
            self._set(job, self._work_off(job, plan))
        except VisavisError as error:
            self._set(job, FAILED, json.dumps(envelope(error, job)["error"]))
        except Exception as error:  # noqa: BLE001 a fault of ours ends this job, and is told
            log.error("%s: unexpected %s", job, type(error).__name__)
            fault = Refusal("unexpected", "an unexpected fault", mend="tell the request id")
            self._set(job, FAILED, json.dumps(envelope(fault, job)["error"]))
        finally:
            plan.end()

    def _work_off(self, job: str, plan: JobPlan) -> str:
        """The state it ends in."""
        if self._stopping.is_set():
            return INTERRUPTED
        for number, (file, external_id) in enumerate(plan.work(), start=1):
            self._note(job, number, file, external_id)
            if self._stopping.is_set():
                return INTERRUPTED
        return DONE

    def _note(self, job: str, number: int, file: Enrolled, external_id: str | None) -> None:
        """Keep what became of a file; its details can name somebody else, and are not kept."""
        try:
            person = self._gallery.known_as(file.name, external_id)
        except PersonError:
            person = None
        document = json.dumps({**asdict(file), "detail": ""}).encode()
        gallery = self._gallery
        sealed = gallery.vault.seal(document, gallery.id, "job", job, str(number))
        row = {"job": job, "number": number, "person_id": person and person.id}
        with gallery.database.writing() as connection:
            values = {**row, "accepted": int(file.accepted), "sealed": sealed}
            connection.execute(insert(JOB_FILES).values(values))

    def _opened(self, job: str, number: int, sealed: bytes) -> bytes | None:
        gallery = self._gallery
        return gallery.vault.open(sealed, gallery.id, "job", job, str(number))

    def _set(self, job: str, state: str, error: str | None = None) -> None:
        with self._gallery.database.writing() as connection:
            change = update(JOBS).where(JOBS.c.id == job).values(state=state, error=error)
            connection.execute(change)


def _forget_old(connection: Any) -> None:
    before = (datetime.now(UTC) - timedelta(days=KEPT_DAYS)).isoformat()
    old = select(JOBS.c.id).where(JOBS.c.at < before)
    connection.execute(delete(JOB_FILES).where(JOB_FILES.c.job.in_(old)))
    connection.execute(delete(JOBS).where(JOBS.c.at < before))
